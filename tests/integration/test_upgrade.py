"""An older and a newer stoker side by side, and a worker that is replaced while it works: no run is lost, none is begun
twice.

The older build is the one in STOKER_OLD_BUILD, where somebody has built an earlier commit. Without it, it is this build
with another version in its library: the same code, but other programs and another library for each other."""
import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

import fsck
from cluster import Cluster
from harness import BUILD, ROOT, Process, wait_until
from worker_harness import RETRY, is_alive, pids

VERSION = int((ROOT / "lua/VERSION").read_text())
PROGRAMS = ("stoker-scheduler", "stoker-worker")
SHORT_JOBS = 200


@pytest.fixture(scope="module")
def old_build(tmp_path_factory):
    """(folder, version of its library)."""
    given = os.environ.get("STOKER_OLD_BUILD")
    folder = Path(given) if given else tmp_path_factory.mktemp("old")
    if not given:
        new = f"\n-- version {VERSION}\n".encode()
        old = f"\n-- version {VERSION - 1:0{len(str(VERSION))}d}\n".encode()
        for name in PROGRAMS:
            program = (BUILD / name).read_bytes()
            assert program.count(new) == 1
            (folder / name).write_bytes(program.replace(new, old))
            shutil.copymode(BUILD / name, folder / name)
    return folder, int(re.search(rb"\n-- version (\d+)\n", (folder / "stoker-worker").read_bytes())[1])


class Mixed(Cluster):
    """Starts programs of either build: those in `old` are old."""

    def __init__(self, folder, old_build, **more):
        self.old_build, self.old = old_build, {("scheduler", 0), ("worker", 0)}
        super().__init__(folder, **more)

    def launch(self, kind, i, args, log):
        if (kind, i) in self.old:
            args = [self.old_build / Path(args[0]).name, *args[1:]]
        return Process(args, log)

    def upgrade(self, kind, i, number):
        """The program gets the signal, and one of the other build takes its place."""
        process = {"worker": self.workers, "scheduler": self.schedulers}[kind][i]
        os.kill(process.pid, number)
        process.popen.wait()
        self.old ^= {(kind, i)}
        (self.start_worker if kind == "worker" else self.start_scheduler)(i)

    def library(self):
        return int(self.redis.client().get("stoker:library").split()[0])


@pytest.fixture
def mixed(tmp_path, old_build):
    with Mixed(tmp_path, old_build[0], worker_options=["--cpus", "4"]) as one:
        yield one
        assert fsck.check(one.redis.client()) == []


def job_of(script, **more):
    return {"lease": "5s", "retry": RETRY, **more, "command": ["bash", "-c", script]}


def test_old_and_new_side_by_side(mixed, old_build):
    assert mixed.library() == old_build[1] <= VERSION
    assert mixed.wait_final(mixed.submit(job_of("echo old")))["worker"] == "w0"
    mixed.start_scheduler(1)
    assert mixed.library() == VERSION, "the newer one loads its library"
    assert mixed.wait_final(mixed.submit(job_of("echo old worker, new library")))["worker"] == "w0"
    mixed.start_worker(1)
    jobs = [mixed.submit(job_of("sleep 1")) for _ in range(8)]
    done = [mixed.wait_final(job) for job in jobs]
    assert {one["state"] for one in done} == {"succeeded"} and {one["worker"] for one in done} == {"w0", "w1"}
    mixed.schedulers[0].kill()
    mixed.start_scheduler(0)
    mixed.workers[0].kill()
    mixed.start_worker(0)
    wait_until(lambda: mixed.workers[0].text().count("serving a queue") == 2, what="the old worker is up again")
    assert mixed.library() == VERSION, "the older one does not replace it"
    status, text = mixed.request("POST", "/api/v1/jobs", job_of("echo by the new one"), scheduler=1)
    assert status == 201
    assert mixed.wait_final(json.loads(text)["id"])["state"] == "succeeded"


@pytest.mark.parametrize("number", [pytest.param(signal.SIGUSR2, marks=pytest.mark.long), signal.SIGKILL])
def test_a_worker_that_is_replaced_under_load_loses_no_run(mixed, tmp_path, number):
    started = tmp_path / "started"
    started.mkdir()
    note = f"echo $STOKER_ATTEMPT >> {started}/$STOKER_JOB;"
    long = mixed.submit(job_of(f"{note} while [ ! -e {tmp_path}/go ]; do echo on; sleep 0.2; done"))
    before = pids(mixed, long)
    jobs = [mixed.submit(job_of(f"{note} sleep 0.$((RANDOM % 10))")) for _ in range(SHORT_JOBS)]
    redis = mixed.redis.client()
    for part in (0.2, 0.4, 0.6):  # new, old again, new
        wait_until(lambda part=part: redis.zcard("stoker:{default}:jobs:succeeded") > part * SHORT_JOBS, 120,
                   f"{part} of the jobs are done")
        mixed.upgrade("worker", 0, number)
        mixed.upgrade("scheduler", 0, signal.SIGTERM)
    (tmp_path / "go").touch()
    for job in [long, *jobs]:
        done = mixed.wait_final(job, timeout=120)
        assert (done["state"], done["attempt"]) == ("succeeded", "1"), done
        assert (started / job).read_text() == "1\n"
    assert not is_alive(before[0]) and mixed.workers[0].text().count("adopted a run") >= 3
    wait_until(lambda: mixed.runs() == [], what="every run has left")
    assert mixed.library() == VERSION


def test_a_worker_that_drains_for_an_upgrade_gives_its_runs_back(mixed, tmp_path):
    """SIGTERM: each program may save, and goes on under the new worker."""
    jobs = [mixed.submit(job_of(f"""
[ -n "$STOKER_RESUME" ] && {{ echo resumed $(cat "$STOKER_RESUME"); exit 0; }}
save() {{ echo {i} > last.txt; echo '{{"t":"checkpoint","path":"last.txt"}}' >&3; exit 75; }}
trap save TERM
touch {tmp_path}/up-{i}; while :; do sleep 0.1; done""")) for i in range(4)]
    for i in range(4):
        wait_until((tmp_path / f"up-{i}").exists, what="it runs")
    mixed.upgrade("worker", 0, signal.SIGTERM)
    for i, job in enumerate(jobs):
        done = mixed.wait_final(job)
        assert (done["state"], done["attempt"], done["preempted"]) == ("succeeded", "2", "1")
        assert f"resumed {i}" in mixed.cli("logs", job).stdout
