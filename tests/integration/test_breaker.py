"""A worker on which job after job dies at once takes no more, says so, and goes on when it is asked to."""
import pytest

from cluster import ApiError, Cluster
from harness import wait_until
from worker_harness import job_of

ONCE = {"max_attempts": 1}
DIES = job_of("exit 1", retry=ONCE)


@pytest.fixture
def broken(tmp_path):
    with Cluster(tmp_path, worker_options=["--cpus", "1", "--breaker", "3"]) as cluster:
        yield cluster


def worker(cluster, name="w0"):
    return wait_until(lambda: next((w for w in cluster.api("GET", "/api/v1/workers")["workers"] if w["id"] == name),
                                   None), what=f"{name} has come")


def run(cluster, *specs):
    return [cluster.wait_final(cluster.submit(spec)) for spec in specs]


def wait_worker(cluster, state, name="w0"):
    return wait_until(lambda: (lambda w: w if w["state"] == state else None)(worker(cluster, name)),
                      what=f"{name} is {state}")


def queue_events(cluster, name):
    return [e for _, e in cluster.redis.client().xrange("stoker:{default}:events") if e["event"] == name]


def test_it_drains_itself_and_says_so(broken):
    run(broken, DIES, DIES, DIES)
    why = "3 jobs in a row died within 1m of their start: default-1, default-2, default-3"
    assert wait_worker(broken, "draining")["why"] == why
    event, = wait_until(lambda: queue_events(broken, "worker.drained"), what="the event")
    assert (event["worker"], event["reason"]) == ("w0", why)
    assert why in broken.cli("workers").stdout and "draining" in broken.cli("workers").stdout
    assert f"worker draining on w0: {why}" in broken.cli("events").stdout
    waits = broken.submit(job_of("true"))
    assert broken.show(waits)["why"] == f"the only worker of queue default is draining: {why}"
    assert why in broken.cli("show", waits).stdout
    assert broken.job(waits)["state"] == "queued"

    assert broken.cli("workers", "resume", "w0").stdout == "w0: up\n"
    assert broken.wait_final(waits)["state"] == "succeeded"
    assert wait_worker(broken, "up")["why"] == ""
    assert queue_events(broken, "worker.resumed")[0]["worker"] == "w0"
    run(broken, DIES, DIES)
    assert worker(broken)["state"] == "up", "it counts from the beginning"
    run(broken, DIES)
    wait_worker(broken, "draining")
    wait_until(lambda: len(queue_events(broken, "worker.drained")) == 2, what="the second event")


def test_a_restart_lifts_it(broken):
    run(broken, DIES, DIES, DIES)
    wait_worker(broken, "draining")
    waits = broken.submit(job_of("true"))
    broken.workers[0].stop()
    broken.start_worker(0, ["--cpus", "1", "--breaker", "3"])
    assert broken.wait_final(waits)["state"] == "succeeded"


@pytest.mark.parametrize("between", [
    job_of("true"),                                  # one that succeeds
    job_of("sleep 0.6; exit 1", retry=ONCE),         # one that ran for long
])
def test_they_must_be_in_a_row(tmp_path, between):
    """With one slot: where runs overlap, their runners may exit in another order than their programs ended."""
    with Cluster(tmp_path, worker_options=["--cpus", "1", "--breaker", "3", "--breaker-time", "500ms"]) as cluster:
        run(cluster, DIES, DIES, between, DIES, DIES, between)
        assert worker(cluster)["state"] == "up"
        run(cluster, DIES, DIES, DIES)
        wait_worker(cluster, "draining")


def test_jobs_that_ran_long_do_not_count(tmp_path):
    with Cluster(tmp_path, worker_options=["--cpus", "1", "--breaker", "3", "--breaker-time", "200ms"]) as cluster:
        run(cluster, *[job_of("sleep 0.4; exit 1", retry=ONCE)] * 5)
        run(cluster, job_of("true"))
        assert worker(cluster)["state"] == "up" and not queue_events(cluster, "worker.drained")


def test_one_job_is_no_row(broken):
    done, = run(broken, job_of("exit 1", retry={"max_attempts": 6, "backoff": "10ms", "max_backoff": "10ms"}))
    assert done["attempt"] == "6"
    run(broken, job_of("exit 65"), job_of("exit 65"), job_of("exit 65"), job_of("exit 65"))
    assert worker(broken)["state"] == "up", "what is wrong with their input says nothing about the machine"
    run(broken, DIES, DIES)
    wait_worker(broken, "draining")


def test_a_program_that_cannot_be_started_counts(broken):
    run(broken, *[{"command": ["no-such-program"], "retry": ONCE}] * 3)
    wait_worker(broken, "draining")


def test_what_a_rule_keeps_from_a_retry_counts(broken):
    run(broken, *[job_of("exit 5", retry={"never_on_exit": [5]})] * 3)
    wait_worker(broken, "draining")


def test_the_others_go_on(tmp_path):
    """The jobs that a broken machine would have broken are done elsewhere."""
    with Cluster(tmp_path, workers=0, worker_options=["--cpus", "1", "--breaker", "3"]) as cluster:
        bad = tmp_path / "bad"
        bad.touch()
        cluster.start_worker(0, ["--labels", "place=here"])
        here = {**DIES, "resources": {"labels": {"place": "here"}}}
        run(cluster, here, here, here)
        wait_worker(cluster, "draining")
        cluster.start_worker(1)
        assert {d["worker"] for d in run(cluster, *[job_of("true")] * 3)} == {"w1"}


def test_off_is_off(tmp_path):
    with Cluster(tmp_path, worker_options=["--breaker", "0"]) as cluster:
        run(cluster, *[DIES] * 5, job_of("true"))
        assert worker(cluster)["state"] == "up"


def test_a_queue_that_comes_while_it_drains(tmp_path):
    with Cluster(tmp_path, worker_options=["--queues", "default,late", "--breaker", "3"]) as cluster:
        run(cluster, DIES, DIES, DIES)
        wait_worker(cluster, "draining")
        waits = cluster.submit(job_of("true"), queue="late")
        wait_until(lambda: "late" in worker(cluster)["queues"], what="it serves the new queue")
        assert cluster.show(waits)["why"].startswith("the only worker of queue late is draining: 3 jobs")
        cluster.cli("workers", "resume", "w0")
        assert cluster.wait_final(waits)["state"] == "succeeded"
        assert run(cluster, job_of("true"))[0]["state"] == "succeeded"


def test_a_drain_by_hand_holds_over_a_restart(broken):
    assert worker(broken)["state"] == "up"
    broken.cli("workers", "drain", "w0")
    broken.workers[0].kill()
    again = broken.start_worker(0)
    waits = broken.submit(job_of("true"))
    wait_until(lambda: worker(broken)["pid"] == str(again.pid), what="it is back")
    assert broken.job(waits)["state"] == "queued"
    broken.cli("workers", "resume", "w0")
    assert broken.wait_final(waits)["state"] == "succeeded"


def test_an_operator_drains_and_resumes(broken):
    running = broken.submit(job_of("while [ ! -e go ]; do sleep 0.02; done"))
    broken.wait_state(running, "running")
    broken.cli("workers", "drain", "w0", "--reason", "new disk")
    waits = broken.submit(job_of("true"))
    assert "new disk" in broken.cli("workers").stdout
    assert broken.show(waits)["why"] == "the only worker of queue default is draining: new disk"
    next(broken.state_dir().glob(f"runs/{running}-*/work")).joinpath("go").touch()
    assert broken.wait_final(running)["state"] == "succeeded", "what runs may end"
    broken.redis.client().fcall("stoker_worker_resume", 1, "stoker:{default}:meta", "w0", "ada")
    assert broken.wait_final(waits)["state"] == "succeeded"


@pytest.mark.parametrize("args,says", [
    (["drain"], "workers drain: name a worker"), (["stop", "w0"], "expected drain or resume, got \"stop\""),
    (["resume", "w9"], "no worker w9"), (["resume", "a/b"], "is no name of a worker"), (["drain", "w0", "x"], ""),
])
def test_wrong_words(broken, args, says):
    worker(broken)
    done = broken.cli("workers", *args, check=False)
    assert done.returncode > 0 and says in done.stderr


def test_wrong_requests(broken):
    worker(broken)
    with pytest.raises(ApiError, match="404.*no worker w9"):
        broken.api("POST", "/api/v1/workers/w9/resume")
    with pytest.raises(ApiError, match="404"):
        broken.api("POST", "/api/v1/workers/w9/drain?queue=default")
    with pytest.raises(ApiError, match="400.*reason: expected a text"):
        broken.api("POST", "/api/v1/workers/w0/drain", {"reason": 5})
    with pytest.raises(ApiError, match="400.*mood: unknown key"):
        broken.api("POST", "/api/v1/workers/w0/drain", {"mood": 5})


@pytest.mark.parametrize("option", [["--breaker", "-1"], ["--breaker", "101"], ["--breaker", "x"],
                                    ["--breaker-time", "0s"], ["--breaker-time", "2d"]])
def test_wrong_settings(tmp_path, option):
    with Cluster(tmp_path, workers=0) as cluster:
        started = cluster.start_worker(0, option)
        assert started.popen.wait(10) != 0 and option[0].lstrip("-") in started.text()
