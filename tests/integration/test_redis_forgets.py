"""Redis loses writes that it had acknowledged, while real programs run: a replica that was cut off takes over, or its
file is cut. Runs go on, and whatever cannot is told."""
import json
import os
import signal

import pytest

import fsck
from cluster import log_lines
from failover import HOW, FailoverCluster
from harness import wait_until
from worker_harness import RETRY, committed, events, is_alive, pids, run_folder, wait_lines


def queue_events(cluster, name):
    return [e for _, e in cluster.redis.client().xrange("stoker:{default}:events") if e["event"] == name]


@pytest.fixture
def lossy(tmp_path):
    """Nothing may be wrong in Redis afterwards but what is lost for good, which the test says."""
    with FailoverCluster(tmp_path, workers=0, worker_options=["--cpus", "4"],
                         scheduler_options=["--store", f"file://{tmp_path}/store"]) as one:
        one.lost = []
        yield one
        found = fsck.check(one.redis.client())
        assert sorted(line.split()[-3] for line in found) == one.lost


def job_of(tmp_path, name, **more):
    """Says what it does, saves a checkpoint, and ends when it is told to."""
    return {"name": name, "lease": "3s", "retry": RETRY, **more, "command": ["bash", "-c", f"""
echo $STOKER_ATTEMPT >> {tmp_path}/{name}.started
n=0; [ -n "$STOKER_RESUME" ] && n=$(cat "$STOKER_RESUME") && echo resumed=$n
echo up
save() {{ n=$((n + 1)); echo $n > save-$n.tmp; mv save-$n.tmp save-$n.txt
    echo "{{\\"t\\":\\"checkpoint\\",\\"path\\":\\"save-$n.txt\\",\\"step\\":$n}}" >&3; echo step=$n; }}
save
while [ ! -e {tmp_path}/{name}.go ]; do
    [ -e {tmp_path}/{name}.save ] && rm {tmp_path}/{name}.save && save
    sleep 0.02
done
echo down
"""]}


def starts(tmp_path, name):
    return (tmp_path / f"{name}.started").read_text().split()


def let_go(cluster, tmp_path, jobs):
    """All may end; answers their records."""
    for name in jobs:
        (tmp_path / f"{name}.go").touch()
    return {name: cluster.wait_final(job) for name, job in jobs.items()}


def saved(cluster, job, step=1):
    return wait_until(lambda: [c for c in committed(cluster, job).values() if c["step"] == step], 20,
                      f"checkpoint {step} of {job}")[0]


@pytest.mark.parametrize("how", HOW)
def test_attempts_whose_claims_are_forgotten_go_on(lossy, tmp_path, how):
    """There is room for each of them elsewhere, and nobody begins it anew."""
    jobs = {name: lossy.submit(job_of(tmp_path, name)) for name in "abcd"}
    moment = lossy.remember(how)
    for i in range(2):
        lossy.start_worker(i)
    for job in jobs.values():
        saved(lossy, job)
    tokens = {job: lossy.job(job)["token"] for job in jobs.values()}
    lossy.forget(moment)
    for job in jobs.values():
        assert lossy.wait_state(job, "running", "succeeded")["token"] == tokens[job]
        wait_until(lambda job=job: committed(lossy, job), what=f"the checkpoint of {job} is known again")
    done = let_go(lossy, tmp_path, jobs)
    for name, job in jobs.items():
        assert (done[name]["state"], done[name]["attempt"]) == ("succeeded", "1")
        assert starts(tmp_path, name) == ["1"]
        assert log_lines(lossy.log_text(job), 1) == ["up", "step=1", "down"]
        assert [c["step"] for c in committed(lossy, job).values()] == [1]
        assert ["forgotten the claim" in e["reason"] for e in events(lossy, job, "job.adopted")] == [True]


def test_who_was_given_the_job_since_keeps_it(lossy, tmp_path):
    job = lossy.submit(job_of(tmp_path, "a"))
    moment = lossy.remember("replica")
    lossy.start_worker(0)
    old = saved(lossy, job)
    runner, program = pids(lossy, job)
    for pid in (lossy.workers[0].pid, runner):
        os.kill(pid, signal.SIGSTOP)
    lossy.forget(moment)
    lossy.start_worker(1)
    new = saved(lossy, job)
    assert int(new["token"]) > int(old["token"]), "tokens rise"
    for pid in (runner, lossy.workers[0].pid):
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: not is_alive(program), what="the older program is stopped")
    wait_until(lambda: not is_alive(runner), what="and its runner leaves")
    assert let_go(lossy, tmp_path, {"a": job})["a"]["state"] == "succeeded"
    assert starts(tmp_path, "a") == ["1", "1"], "both were the first attempt, as far as Redis knew"
    assert [c["token"] for c in committed(lossy, job).values()] == [new["token"]]
    assert "the job is not ours any more" in lossy.workers[0].text()
    assert log_lines(lossy.log_text(job), 1) == ["up", "step=1", "down"]


@pytest.mark.parametrize("how", HOW)
def test_jobs_that_are_forgotten_are_made_again_by_their_runners(lossy, tmp_path, how):
    lossy.start_worker(0)
    wait_until(lambda: "serving a queue" in lossy.workers[0].text(), what="the worker is up")
    moment = lossy.remember(how)
    jobs = {"a": lossy.submit(job_of(tmp_path, "a"))}
    nobody = lossy.submit({**job_of(tmp_path, "b"), "delay": "1h"})
    jobs["c"] = lossy.submit(job_of(tmp_path, "c", tags=["x"], batch="all"))
    for job in jobs.values():
        saved(lossy, job)
    before = {job: lossy.job(job) for job in jobs.values()}
    lossy.forget(moment)
    for job in jobs.values():
        wait_until(lambda job=job: lossy.request("GET", f"/api/v1/jobs/{job}")[0] == 200, what=f"{job} is back")
        wait_until(lambda job=job: committed(lossy, job), what=f"the checkpoint of {job} is known again")
    assert lossy.request("GET", f"/api/v1/jobs/{nobody}")[0] == 404
    for job, known in before.items():
        now = lossy.job(job)
        assert {k: now.get(k) for k in ("uid", "token", "attempt", "name", "tags", "batch")} == \
            {k: known.get(k) for k in ("uid", "token", "attempt", "name", "tags", "batch")}
    assert lossy.submit({"command": ["true"]}) == "default-4", "no number is given out twice"
    done = let_go(lossy, tmp_path, jobs)
    for name, job in jobs.items():
        assert (done[name]["state"], done[name]["attempt"]) == ("succeeded", "1")
        assert starts(tmp_path, name) == ["1"]
        assert log_lines(lossy.log_text(job), 1) == ["up", "step=1", "down"]
    assert sum(int(e["count"]) for e in queue_events(lossy, "queue.writes_lost")) == 3
    told = lossy.cli("fsck", check=False)
    assert told.returncode != 0 and f"job {nobody}" in told.stdout and "job-forgotten" in told.stdout
    lossy.lost = [nobody]


def test_jobs_that_nobody_runs_are_told_by_who_took_them(lossy):
    moment = lossy.remember("replica")
    body = "".join(json.dumps({"command": ["true"]}) + "\n" for _ in range(3))
    lossy.submit({"command": ["true"]})
    _, text = lossy.request("POST", "/api/v1/jobs", body, {"Content-Type": "application/x-ndjson"})
    assert text.count("default-") == 3
    lossy.forget(moment)
    event, = wait_until(lambda: queue_events(lossy, "queue.writes_lost"), what="it is told")
    assert event["count"] == "4" and "default-1 to default-4, which a scheduler has seen" in event["reason"]
    assert lossy.submit({"command": ["true"]}) == "default-5"
    lossy.lost = [f"default-{n}" for n in range(1, 5)]


def test_another_job_of_the_same_number_is_not_touched(lossy, tmp_path):
    lossy.start_worker(0)
    wait_until(lambda: "serving a queue" in lossy.workers[0].text(), what="the worker is up")
    moment = lossy.remember("replica")
    job = lossy.submit(job_of(tmp_path, "a"))
    unit = saved(lossy, job)
    uid = lossy.job(job)["uid"]
    runner, program = pids(lossy, job)
    folder = run_folder(lossy, job)
    for pid in (lossy.workers[0].pid, runner, lossy.schedulers[0].pid):
        os.kill(pid, signal.SIGSTOP)  # an app is faster than all of them
    lossy.redis.kill()
    moment.client().replicaof("NO", "ONE")
    assert moment.client().fcall("stoker_submit", 1, "stoker:{default}:meta",
                                 json.dumps(job_of(tmp_path, "other"))) == job
    lossy.redis = lossy.point_to(moment)
    os.kill(lossy.schedulers[0].pid, signal.SIGCONT)
    lossy.start_worker(1)
    saved(lossy, job)
    wait_until(lambda: lossy.request("GET", f"/api/v1/jobs/{job}")[0] == 200, what="the scheduler has found Redis")
    before = lossy.job(job)
    assert before["uid"] != uid and before["name"] == "other"
    os.kill(runner, signal.SIGCONT)
    wait_until(lambda: not is_alive(program), what="the program of the job that is lost is stopped")
    refused, = wait_until(lambda: queue_events(lossy, "queue.run_refused"), what="it is told")
    assert (refused["uid"], refused["worker"], refused["attempt"]) == (uid, "w0", "1")
    assert f"job {job} is another job" in refused["reason"]
    os.kill(lossy.workers[0].pid, signal.SIGCONT)
    wait_until(lambda: "the job is not ours any more" in lossy.workers[0].text(), what="its worker says so")
    now = lossy.job(job)
    assert {k: now[k] for k in ("uid", "token", "attempt", "state", "worker")} == \
        {k: before[k] for k in ("uid", "token", "attempt", "state", "worker")}
    # What it did is not lost: its log is in the store, its files on the worker, its checkpoint in the store.
    wait_until(lambda: [p for p in (lossy.state_dir() / "finished").iterdir() if p.name == folder.name],
               what="its folder is kept")
    assert len(list(lossy.store().glob(f"*/runs/{job}-{uid}/1-*/log.gz"))) == 1
    status, text = lossy.request("POST", "/api/v1/gc", {"older_ms": 0})
    assert status == 200 and "did it lose writes?" in text, text
    assert os.path.exists(unit["uri"].removeprefix("file://"))
    assert let_go(lossy, tmp_path, {"other": job})["other"]["state"] == "succeeded"
    assert starts(tmp_path, "other") == ["1"] and starts(tmp_path, "a") == ["1"]


@pytest.mark.parametrize("how", HOW)
def test_checkpoints_that_are_forgotten_are_known_again(lossy, tmp_path, how):
    lossy.start_worker(0)
    job = lossy.submit(job_of(tmp_path, "a", lease="1m"))
    saved(lossy, job)
    wait_lines(lossy, job, 1, 2)
    moment = lossy.remember(how)
    for step in (2, 3):
        (tmp_path / "a.save").touch()
        saved(lossy, job, step)
    lossy.forget(moment)
    saved(lossy, job, 3)
    assert lossy.job(job)["checkpoint"] == "1-3"
    runner, _ = pids(lossy, job)
    os.kill(runner, signal.SIGKILL)
    assert let_go(lossy, tmp_path, {"a": job})["a"]["attempt"] == "2"
    assert log_lines(lossy.log_text(job), 2)[0] == "resumed=3"
    assert starts(tmp_path, "a") == ["1", "2"]


@pytest.mark.parametrize("was", ["queued", "running"])
def test_a_job_that_ended_runs_again_when_its_end_is_forgotten(lossy, tmp_path, was):
    """What was lost is the end: it comes back with what its last checkpoint holds, under a larger token."""
    if was == "running":
        lossy.start_worker(0)
    job = lossy.submit(job_of(tmp_path, "a"))
    if was == "running":
        saved(lossy, job)
    moment = lossy.remember("replica")
    if was == "queued":
        lossy.start_worker(0)
    token = saved(lossy, job)["token"]
    assert let_go(lossy, tmp_path, {"a": job})["a"]["state"] == "succeeded"
    wait_until(lambda: lossy.runs() == [], what="its runner has gone")
    lossy.forget(moment)
    assert lossy.job(job)["state"] == was
    done = lossy.wait_final(job)
    assert done["state"] == "succeeded" and int(done["token"]) > int(token)
    assert starts(tmp_path, "a") == (["1", "2"] if was == "running" else ["1", "1"])
    assert len(events(lossy, job, "job.succeeded")) == 1


def test_a_redis_that_comes_back_empty(tmp_path):
    """What runs goes on, in each queue that a scheduler has seen; the rest is lost, and told of. A scheduler loads the
    functions and makes the queues before anything can be offered back."""
    with FailoverCluster(tmp_path, worker_options=["--cpus", "4", "--queues", "default,gpu"],
                         scheduler_options=["--store", f"file://{tmp_path}/store"]) as lossy:
        jobs = {"a": lossy.submit(job_of(tmp_path, "a")), "g": lossy.submit(job_of(tmp_path, "g"), "gpu")}
        nobody = lossy.submit({"command": ["true"], "delay": "1h"})
        redis = lossy.redis.client()
        checkpoints = {"a": "stoker:{default}:checkpoints:1", "g": "stoker:{gpu}:checkpoints:1"}
        for key in checkpoints.values():
            wait_until(lambda key=key: redis.hexists(key, "1-1"), what=f"{key} has one")
        before = {job: lossy.job(job) for job in jobs.values()}
        reaped = redis.hget("stoker:{default}:meta", "last_reap_ms")
        wait_until(lambda: redis.hget("stoker:{default}:meta", "last_reap_ms") != reaped, what="it was seen")
        _, program = pids(lossy, jobs["g"])

        lossy.redis.kill()
        lossy.redis = lossy.point_to(lossy.make_server())
        redis = lossy.redis.client()
        for name, key in checkpoints.items():
            wait_until(lambda key=key: redis.hexists(key, "1-1"), what=f"the checkpoint of {name} is known again")
        assert lossy.request("GET", f"/api/v1/jobs/{nobody}")[0] == 404
        assert lossy.submit({"command": ["true"]}) == "default-3", "no number is given out twice"
        for job, known in before.items():
            now = lossy.job(job)
            assert {k: now[k] for k in ("uid", "token", "attempt", "state", "worker")} == \
                {k: known[k] for k in ("uid", "token", "attempt", "state", "worker")}
        assert is_alive(program)
        done = let_go(lossy, tmp_path, jobs)
        for name, job in jobs.items():
            assert (done[name]["state"], done[name]["attempt"]) == ("succeeded", "1")
            assert starts(tmp_path, name) == ["1"]
            assert log_lines(lossy.log_text(job), 1) == ["up", "step=1", "down"]
        assert lossy.wait_final("default-3")["state"] == "succeeded"
        assert [line.split()[-3] for line in fsck.check(redis)] == [nobody]


def test_an_empty_redis_without_a_scheduler(tmp_path):
    """Its runs wait for one that knows the installation and the queue."""
    with FailoverCluster(tmp_path, worker_options=["--cpus", "4"],
                         scheduler_options=["--store", f"file://{tmp_path}/store"]) as lossy:
        job = lossy.submit(job_of(tmp_path, "a"))
        saved(lossy, job)
        token, installation = lossy.job(job)["token"], lossy.redis.client().get("stoker:installation")
        _, program = pids(lossy, job)
        lossy.schedulers[0].stop()
        lossy.redis.kill()
        lossy.redis = lossy.point_to(lossy.make_server())
        wait_until(lambda: "redis has forgotten the queue" in lossy.workers[0].text(), what="the runner says so")
        assert is_alive(program)
        lossy.redis.client().set("stoker:installation", installation)
        lossy.start_scheduler()
        saved(lossy, job)
        assert lossy.job(job)["token"] == token
        assert let_go(lossy, tmp_path, {"a": job})["a"]["attempt"] == "1"
        assert starts(tmp_path, "a") == ["1"]
        assert fsck.check(lossy.redis.client()) == []
