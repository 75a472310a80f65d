"""Redis is full, stands still, or is away, and real programs run: what gives way, in which order, and what does not."""
import json
import os
import signal
import subprocess
import time

import pytest

import fsck
from cluster import ApiError, Cluster
from harness import wait_until
from worker_harness import RETRY, committed, events, is_alive, pids

LEASE_S = 2
PAUSE_S = 2 * LEASE_S  # for so long something stands still: more than a lease
STALLED_DISK = """
#include <unistd.h>
#include <stdlib.h>
int fdatasync(int fd)
{
	(void)fd;
	while (access(getenv("STALL_FILE"), F_OK) == 0)
		usleep(10000);
	return 0;
}
"""


def job_of(folder, name, script="", **more):
    return {"name": name, "lease": f"{LEASE_S}s", "retry": RETRY, **more, "command": ["bash", "-c", f"""
echo up; touch {folder}/{name}.up
while [ ! -e {folder}/{name}.go ]; do sleep 0.1; {script} done; echo down"""]}


def start(cluster, folder, *names, **more):
    jobs = {name: cluster.submit(job_of(folder, name, **more)) for name in names}
    for name in names:
        wait_until((folder / f"{name}.up").exists, what=f"{name} runs")
    return jobs


def let_go(cluster, folder, jobs):
    for name in jobs:
        (folder / f"{name}.go").touch()
    return {name: cluster.wait_final(job) for name, job in jobs.items()}


def health(cluster):
    """Its status and what GET /readyz?verbose=1 says."""
    status, text = cluster.request("GET", "/readyz?verbose=1")
    return status, json.loads(text)


# ---------------------------------------------------------------- it stands still

@pytest.fixture
def stalling(tmp_path):
    """A cluster whose Redis waits for its disk as long as a file is there, and may be told to sleep."""
    (tmp_path / "stall.c").write_text(STALLED_DISK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "stall.so", tmp_path / "stall.c"], check=True)
    os.environ["STALL_FILE"] = str(tmp_path / "stall")
    try:
        class Stalling(Cluster):
            def make_redis(self, options):
                server = super().make_redis(("--enable-debug-command", "yes"))
                server.stop()
                server.before = ("env", f"LD_PRELOAD={tmp_path}/stall.so")
                server.start()
                return server
        with Stalling(tmp_path, worker_options=["--cpus", "4"]) as one:
            yield one
            assert fsck.check(one.redis.client()) == []
    finally:
        del os.environ["STALL_FILE"]


def stopped(processes, first=()):
    """first: those that go on a moment before the rest."""
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(PAUSE_S)
    for pid in sorted(processes, key=lambda pid: pid not in first):
        os.kill(pid, signal.SIGCONT)


def pause_redis(cluster, _jobs):
    stopped([cluster.redis.process.pid])


def pause_disk(cluster, _jobs):
    stall = cluster.folder / "stall"
    stall.touch()
    time.sleep(PAUSE_S)
    stall.unlink()


def pause_inside(cluster, _jobs):
    cluster.redis.client().execute_command("DEBUG", "SLEEP", PAUSE_S)


def pause_scheduler(cluster, _jobs):
    stopped([cluster.schedulers[0].pid])


def pause_machine(cluster, jobs):
    """Who reaps is awake before who is to renew."""
    early = [cluster.redis.process.pid, cluster.schedulers[0].pid]
    runs = [pid for job in jobs.values() for pid in pids(cluster, job)]
    stopped([*early, cluster.workers[0].pid, *runs], early)


def restart(cluster, _jobs):
    cluster.redis.kill()
    time.sleep(PAUSE_S)
    cluster.restart_redis()


PAUSES = {f.__name__: f for f in (pause_redis, pause_disk, pause_inside, pause_scheduler, pause_machine, restart)}


@pytest.mark.parametrize("pause", [pytest.param(name, marks=[] if name in ("pause_redis", "pause_machine") else
                                                pytest.mark.long) for name in PAUSES])
def test_nobody_is_reaped_for_a_pause_that_is_not_its_own(stalling, tmp_path, pause):
    jobs = start(stalling, tmp_path, "a", "b", "c")
    before = {job: stalling.job(job)["token"] for job in jobs.values()}
    PAUSES[pause](stalling, jobs)
    redis = stalling.redis.client()
    over_s, _ = redis.time()
    wait_until(lambda: int(redis.hget("stoker:{default}:meta", "last_reap_ms") or 0) > 1000 * (over_s + 2 * LEASE_S),
               what="the reaper has looked past its grace")
    for job, token in before.items():
        now = stalling.job(job)
        assert (now["state"], now["attempt"], now["token"]) == ("running", "1", token)
        assert events(stalling, job, "job.lost") == []
    assert {done["attempt"] for done in let_go(stalling, tmp_path, jobs).values()} == {"1"}


def test_who_died_meanwhile_is_reaped_when_the_grace_is_over(stalling, tmp_path):
    """Its worker is gone, too: nobody reports it."""
    jobs = start(stalling, tmp_path, "a", "b")
    runner, program = pids(stalling, jobs["b"])
    stalling.redis.process.signal(signal.SIGSTOP)
    stalling.workers[0].kill()
    os.kill(runner, signal.SIGKILL)
    wait_until(lambda: not is_alive(program), what="its program died with it")
    time.sleep(PAUSE_S)
    stalling.redis.process.signal(signal.SIGCONT)
    wait_until(lambda: stalling.job(jobs["b"])["state"] == "queued", what="it is reaped")
    assert stalling.job(jobs["a"])["state"] == "running" and events(stalling, jobs["a"], "job.lost") == []
    stalling.start_worker(0)
    done = let_go(stalling, tmp_path, jobs)
    assert (done["a"]["attempt"], done["b"]["attempt"]) == ("1", "2")


# ---------------------------------------------------------------- it is full

SAVING = """
[ -e %s/save ] && rm %s/save && echo x > out.tmp && mv out.tmp out.txt &&
    echo '{"t":"checkpoint","path":"out.txt","step":7}' >&3;
"""


def test_a_full_redis_drains(tmp_path):
    store = f"file://{tmp_path}/store"
    with Cluster(tmp_path, worker_options=["--cpus", "2"], scheduler_options=["--store", store]) as cluster:
        ended = cluster.submit({"command": ["true"]})
        cluster.wait_final(ended)
        jobs = start(cluster, tmp_path, "a", "b", script=SAVING % (tmp_path, tmp_path))
        queued = cluster.submit({"command": ["true"]})
        redis = cluster.redis.client()
        redis.hset("stoker:{default}:meta", "max_finished", 1)
        redis.config_set("maxmemory", "1mb")

        wait_until(lambda: health(cluster)[1]["state"] == "read-only", what="the scheduler says so")
        status, said = health(cluster)
        assert status == 200 and said["ready"] and "OOM" in said["error"] and "refuses writes" in said["means"]
        with pytest.raises(ApiError, match="OOM|memory") as refused:
            cluster.submit({"command": ["true"]})
        assert refused.value.status == 503
        (tmp_path / "job.yaml").write_text('command: ["true"]\n')
        told = cluster.cli("submit", tmp_path / "job.yaml", check=False)
        assert told.returncode != 0 and "memory" in told.stderr, told.stderr

        renewed = int(cluster.job(jobs["a"])["renewed_ms"])
        wait_until(lambda: int(cluster.job(jobs["a"])["renewed_ms"]) > renewed + 2000 * LEASE_S, what="leases are kept")
        (tmp_path / "save").touch()
        wait_until(lambda: [c for job in jobs.values() for c in committed(cluster, job).values()],
                   what="checkpoints are committed")
        cluster.api("POST", f"/api/v1/jobs/{jobs['b']}/cancel", {})
        assert cluster.wait_final(jobs["b"])["state"] == "cancelled"
        (tmp_path / "a.go").touch()
        assert cluster.wait_final(jobs["a"])["state"] == "succeeded"
        wait_until(lambda: not redis.exists("stoker:{default}:job:1"), what="what is past its bound is archived")
        assert cluster.show(ended)["archived"]
        assert cluster.job(queued)["state"] == "queued", "nothing new begins"
        wait_until(lambda: "cannot claim" in cluster.workers[0].text(), what="the worker says so")

        redis.config_set("maxmemory", "0")
        assert cluster.wait_final(queued)["state"] == "succeeded"
        wait_until(lambda: health(cluster)[1]["state"] == "ok", what="all is well again")
        log = cluster.cli("logs", jobs["a"]).stdout
        assert "up" in log and "down" in log, "what Redis did not take is in the store"
        assert fsck.check(redis) == []


# ---------------------------------------------------------------- the order in which it gives way

def test_the_order_is_told(tmp_path):
    with Cluster(tmp_path, worker_options=["--cpus", "2"]) as cluster:
        jobs = start(cluster, tmp_path, "a")
        job = jobs["a"]
        status, said = health(cluster)
        assert (status, said["ready"], said["state"], said["means"], said["error"]) == (200, True, "ok", "", "")
        assert cluster.request("GET", "/readyz")[1] == '{"ready":true}\n'

        redis = cluster.redis.client()
        redis.replicaof("127.0.0.1", 1)
        redis.config_set("replica-serve-stale-data", "yes")
        wait_until(lambda: health(cluster)[1]["state"] == "read-only", what="it refuses writes")
        assert cluster.request("GET", "/health")[0] == cluster.request("GET", "/health/ready")[0] == 503
        assert cluster.request("GET", "/readyz")[0] == cluster.request("GET", "/health/live")[0] == 200
        assert "READONLY" in health(cluster)[1]["error"]
        assert cluster.job(job)["state"] == "running", "it can be looked at"
        wait_until(lambda: "has not been heard of for" in cluster.show(job)["why"], what="show tells of the silence")
        redis.replicaof("NO", "ONE")
        wait_until(lambda: health(cluster)[1]["state"] == "ok", what="it takes writes again")
        wait_until(lambda: cluster.show(job)["why"] == "", what="and is told of the run")

        cluster.redis.process.signal(signal.SIGSTOP)
        wait_until(lambda: health(cluster)[1]["state"] == "silent", what="it does not answer")
        assert "does not answer" in health(cluster)[1]["means"]
        cluster.redis.process.signal(signal.SIGCONT)
        wait_until(lambda: health(cluster)[1]["state"] == "ok", what="it answers again")

        cluster.redis.kill()
        wait_until(lambda: health(cluster)[1]["state"] == "away", what="it is away")
        status, said = health(cluster)
        assert (status, said["ready"]) == (503, False) and "only /livez" in said["means"]
        told = cluster.cli("show", job, check=False)
        assert told.returncode != 0 and "redis cannot be reached" in told.stderr
        wait_until(lambda: "redis is away" in cluster.workers[0].text(), what="the worker says so")
        _, program = pids(cluster, job)
        assert is_alive(program)
        cluster.restart_redis()
        done = let_go(cluster, tmp_path, jobs)["a"]
        assert (done["state"], done["attempt"]) == ("succeeded", "1")
        wait_until(lambda: "redis is back" in cluster.workers[0].text(), what="the worker says that, too")
        assert fsck.check(cluster.redis.client()) == []
