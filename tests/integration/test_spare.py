"""The runner that waits for its job: it is used, it never outlives its worker, and nothing depends on it."""
import os
import signal
import threading
from pathlib import Path

from harness import wait_until
from worker_harness import is_alive, pids


def spare_pid(cluster, i=0):
    """Of a spare that has made everything in its folder, and sleeps until it is called."""
    folder = cluster.state_dir(i) / "runs/.spare"
    try:
        pid = int((folder / "pid").read_text().split()[0])
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return pid if (folder / "metrics.jsonl").exists() and state == "S" else None
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None


def wait_spare(cluster, other_than=None):
    return wait_until(lambda: (lambda pid: pid if pid != other_than else None)(spare_pid(cluster)),
                      what="a spare runner waits")


def sleeper():
    return {"command": ["sleep", "60"], "grace": "1s"}


def end(cluster, job):
    cluster.api("POST", f"/api/v1/jobs/{job}/cancel")
    cluster.wait_final(job)


def test_it_becomes_the_runner_of_the_next_job(cluster):
    spare = wait_spare(cluster)
    job = cluster.submit(sleeper())
    runner, _ = pids(cluster, job)
    assert runner == spare
    assert wait_spare(cluster, other_than=spare) != runner
    end(cluster, job)


def test_a_spare_that_died_is_not_missed(cluster):
    spare = wait_spare(cluster)
    os.kill(spare, signal.SIGKILL)
    wait_until(lambda: not is_alive(spare), what="the spare is dead")
    job = cluster.submit({"command": ["echo", "hello"]})
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert cluster.job(job)["attempt"] == "1"
    wait_spare(cluster, other_than=spare)


def test_it_ends_with_its_worker(cluster):
    spare = wait_spare(cluster)
    cluster.workers[0].kill()
    wait_until(lambda: not is_alive(spare), what="the spare has ended")
    cluster.start_worker(0)
    wait_spare(cluster, other_than=spare)
    job = cluster.submit({"command": ["echo", "hello"]})
    assert cluster.wait_final(job)["state"] == "succeeded"


def test_one_that_dies_as_it_is_called_is_a_lost_attempt(cluster):
    """The folder got its name, the message was never read: no program was started, and the next attempt runs."""
    spare = wait_spare(cluster)
    os.kill(spare, signal.SIGSTOP)
    job = cluster.submit({"command": ["echo", "hello"]})
    wait_until(lambda: [run for run in cluster.runs() if run.name.startswith(job)], what="the spare is called")
    os.kill(spare, signal.SIGKILL)
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert cluster.job(job)["attempt"] == "2"


def test_a_spare_that_is_not_ready_is_not_called(cluster):
    """Jobs come at every moment of its making: none is lost to a folder that got its name too early."""
    for i in range(60):
        job = cluster.submit({"command": ["true"]})
        wait_until(lambda: cluster.job(job)["state"] == "succeeded", what=f"{job} has ended", every=0.001)
        assert cluster.job(job)["attempt"] == "1", cluster.show(job)
        threading.Event().wait(0.015 + i % 30 / 2000)  # a spare is begun 20 ms after the last start


def test_many_at_once_need_no_spare(cluster):
    jobs = [cluster.submit({"command": ["echo", str(i)]}) for i in range(20)]
    for job in jobs:
        assert cluster.wait_final(job)["state"] == "succeeded"
    assert {cluster.job(job)["attempt"] for job in jobs} == {"1"}
