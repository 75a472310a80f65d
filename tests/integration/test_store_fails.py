"""The store fills up, turns read-only, is not mounted, loses an object, stands still: the log of the run says it, the
program's steps go on as before, nothing is lost that can be had, and the older checkpoint is used for the one that is
gone."""
import hashlib
import json
import os
import signal
import statistics
import subprocess
from pathlib import Path

import pytest

import fsck
from cluster import Cluster
from disk import small_disk
from harness import BUILD, events_each, wait_until
from s3 import Faults, S3Server
from worker_harness import pids

MIB = 1 << 20

# A step each 10 ms; what it took stands in a file. Saves 1 MiB when it is told to (a file `save-N` in the folder that
# is its argument), by another name and a rename, and says where it resumed.
TRAIN = """
import os, sys, time
told, out = sys.argv[1], os.environ["STOKER_CHECKPOINT_DIR"]
resume = os.environ.get("STOKER_RESUME")
saved = int(open(resume, "rb").readline()) if resume else 0
print(f"resumed {saved}" if resume else "began", flush=True)
step, took = 0, open(f"{told}/steps-{os.environ['STOKER_ATTEMPT']}", "a", buffering=1)
while not os.path.exists(f"{told}/end"):
    before = time.monotonic()
    time.sleep(0.01)
    step += 1
    if os.path.exists(f"{told}/save-{saved + 1}"):
        saved += 1
        with open(f"{out}/step.tmp", "wb") as f:
            f.write(b"%d\\n" % saved + os.urandom(1 << 20))
        os.rename(f"{out}/step.tmp", f"{out}/step-{saved}.bin")
    took.write(f"{time.monotonic() - before}\\n")
"""


class Run:
    """A job of this program, and what is seen of it."""

    def __init__(self, cluster, folder, keep=3):
        self.cluster, self.told = cluster, folder / "told"
        self.told.mkdir()
        (folder / "train.py").write_text(TRAIN)
        self.job = cluster.submit({
            "command": ["/usr/bin/python3", str(folder / "train.py"), str(self.told)],
            "checkpoint": {"keep_last": keep},
            "retry": {"max_attempts": 9, "backoff": "50ms", "max_backoff": "50ms"}})
        self.wait_said("began")

    def save(self, n):
        (self.told / f"save-{n}").touch()

    def log(self):
        return self.cluster.cli("logs", self.job).stdout

    def wait_said(self, text, timeout=30):
        return wait_until(lambda: text in self.log() and self.log(), timeout, f"the log says: {text}", every=0.1)

    def summaries(self):
        found = self.cluster.redis.client().hgetall(f"stoker:{{default}}:checkpoints:{self.job.rsplit('-', 1)[1]}")
        return {i: json.loads(one) for i, one in found.items()}

    def wait_stored(self, n, timeout=30):
        return wait_until(lambda: [i for i, one in self.summaries().items() if one.get("step") == n], timeout,
                          f"step-{n} is committed")[0]

    def events(self, name):
        found = events_each(self.cluster.redis.client().xrange("stoker:{default}:events"))
        return [e for e in found if e.get("job") == self.job and e["event"] == name]

    def steps(self, attempt=1):
        path = self.told / f"steps-{attempt}"
        return [float(line) for line in path.read_text().split()] if path.exists() else []

    def wait_steps(self, more, attempt=1):
        """Waits for so many more steps, and returns them: what the program felt meanwhile."""
        before = len(self.steps(attempt))
        return wait_until(lambda: len(self.steps(attempt)) >= before + more, 30,
                          f"{more} more steps") and self.steps(attempt)[before:before + more]

    def kill(self):
        os.kill(pids(self.cluster, self.job)[1], signal.SIGKILL)

    def end(self):
        (self.told / "end").touch()
        done = self.cluster.wait_final(self.job)
        assert done["state"] == "succeeded", done
        return done


def unharmed(before, during):
    """The program did not feel it: a median says it, since one step of many may meet a busy machine."""
    assert statistics.median(during) < 2 * statistics.median(before) + 0.005, (before, during)


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as one:
        yield one


@pytest.fixture
def cluster(disk, tmp_path):
    options = ["--store", f"file://{disk.path}"]
    with Cluster(tmp_path / "c", scheduler_options=options, worker_options=["--cpus", "2", *options]) as one:
        yield one
        assert fsck.check(one.redis.client()) == []


def test_the_store_is_full_until_somebody_makes_room(cluster, disk, tmp_path):
    run = Run(cluster, tmp_path)
    run.save(1)
    run.wait_stored(1)
    before = run.wait_steps(50)
    disk.fill()
    run.save(2)
    log = run.wait_said("No space left on device")
    assert "step-2.bin" in log and "make room in the store" in log
    unharmed(before, run.wait_steps(100))
    assert not run.events("checkpoint.rejected") and [c["step"] for c in run.summaries().values()] == [1]
    (disk.path / "filler").unlink()
    run.wait_stored(2, timeout=60)
    run.kill()
    run.wait_said("resumed 2")
    assert int(run.end()["attempt"]) == 2
    assert not [p for p in disk.path.rglob(".put-*")]


def test_the_store_is_read_only_for_a_while(cluster, disk, tmp_path):
    run = Run(cluster, tmp_path)
    run.save(1)
    run.wait_stored(1)
    before = run.wait_steps(50)
    disk.remount("ro")
    run.save(2)
    assert "step-2.bin" in run.wait_said("Read-only file system")
    unharmed(before, run.wait_steps(100))
    # The end of an attempt waits for the store, too: what it has not taken yet is the newest that there is.
    run.kill()
    wait_until(lambda: not cluster.program_pids(), what="the program is dead")
    disk.remount("rw")
    run.wait_stored(2, timeout=60)
    run.wait_said("resumed 2")
    run.end()


def test_a_read_only_store_is_enough_to_come_back(cluster, disk, tmp_path):
    run = Run(cluster, tmp_path)
    run.save(1)
    run.wait_stored(1)
    disk.remount("ro")
    run.kill()
    run.wait_said("resumed 1")
    disk.remount("rw")
    run.end()


def test_the_store_is_not_mounted_when_a_run_comes_back(cluster, disk, tmp_path):
    """Nothing is given up: it waits, says why, and goes on when the disk is there."""
    run = Run(cluster, tmp_path)
    run.save(1)
    run.wait_stored(1)
    disk.bind_away()
    run.kill()
    run.wait_said("is it mounted?")
    assert not run.events("checkpoint.rejected")
    disk.umount()
    run.wait_said("resumed 1")
    run.end()


@pytest.mark.parametrize("what", ["data.tar", "manifest.json", "both"])
def test_an_object_is_gone(cluster, disk, tmp_path, what):
    run = Run(cluster, tmp_path)
    run.save(1)
    older = run.wait_stored(1)
    run.save(2)
    newer = run.wait_stored(2)
    folder = Path(run.summaries()[newer]["uri"].removeprefix("file://")).parent
    for name in ["data.tar", "manifest.json"] if what == "both" else [what]:
        (folder / name).unlink()
    run.kill()
    log = run.wait_said("resumed 1")
    assert f"checkpoint {newer} cannot be used" in log and "there is no" in log
    assert [e["checkpoint"] for e in run.events("checkpoint.rejected")] == [newer]
    assert f"rejected checkpoint {newer}" in cluster.cli("events").stdout
    assert run.summaries()[older]["state"] == "committed" and run.summaries()[newer]["state"] == "rejected"
    run.end()


def test_a_store_that_stands_still_is_not_felt(tmp_path, monkeypatch):
    server = S3Server(tmp_path / "s3")
    faults = Faults(server)
    for name, value in faults.env.items():
        monkeypatch.setenv(name, value)
    options = ["--store", "s3://runs/slow"]
    try:
        with Cluster(tmp_path / "c", scheduler_options=options, worker_options=["--cpus", "2", *options]) as cluster:
            run = Run(cluster, tmp_path)
            run.save(1)
            run.wait_stored(1)
            before = run.wait_steps(50)
            faults.fault = lambda method, path, n: "stall" if method == "PUT" else None
            puts = faults.count("PUT")
            run.save(2)
            wait_until(lambda: faults.count("PUT") > puts, 30, "the upload stands still")
            unharmed(before, run.wait_steps(200))
            assert [c["step"] for c in run.summaries().values()] == [1]
            faults.fault = lambda method, path, n: None
            faults.stalled.set()
            run.wait_stored(2)
            run.end()
            assert fsck.check(cluster.redis.client()) == []
    finally:
        faults.stop()
        server.stop()


def test_what_is_saved_while_the_store_is_not_mounted_waits_for_it(cluster, disk, tmp_path):
    """It would be gone with the next mount: nothing is written to the folder below."""
    run = Run(cluster, tmp_path)
    run.save(1)
    run.wait_stored(1)
    disk.bind_away()
    run.save(2)
    run.wait_said("is it mounted?")
    run.kill()
    wait_until(lambda: cluster.job(run.job).get("phase") == "shipping", 30, "the attempt waits for the store")
    assert not list(disk.path.iterdir()) and [one["step"] for one in run.summaries().values()] == [1]
    disk.umount()
    run.wait_stored(2)
    run.wait_said("resumed 2")
    run.end()


def test_who_is_started_while_the_store_is_not_mounted_waits_for_it(cluster, disk, tmp_path):
    """Also as if this machine had never seen it mounted: Redis knows that there is a mark."""
    run = Run(cluster, tmp_path)
    run.save(1)
    run.wait_stored(1)
    assert len(list(disk.path.glob("*/mark"))) == 1
    cluster.kill_everything()
    cluster.schedulers[0].kill()
    disk.bind_away()
    cluster.start_scheduler()
    cluster.start_worker()
    run.wait_said("the one that Redis knows has: is it mounted?")
    code = f"/api/v1/code/{'0' * 64}/{hashlib.sha256(b'x').hexdigest()}"
    status, text = cluster.request("POST", code, b"x", {"Content-Type": "application/octet-stream"})
    assert status == 503 and "is it mounted?" in text and "touch" in text
    assert not list(disk.path.iterdir())
    disk.umount()
    run.wait_said("resumed 1")
    run.end()


def test_a_new_store_is_taken_when_it_is_marked(cluster, disk, tmp_path):
    """The way out that the message names, for one that is new on purpose."""
    first = Run(cluster, tmp_path)
    first.save(1)
    first.wait_stored(1)
    first.end()
    cluster.workers[0].kill()
    disk.bind_away()
    cluster.start_worker()
    (tmp_path / "second").mkdir()
    run = Run(cluster, tmp_path / "second")
    run.save(1)
    installation = cluster.redis.client().get("stoker:installation")
    hint = f"mkdir -p {disk.path}/{installation} && touch {disk.path}/{installation}/mark"
    run.wait_said(hint)
    assert not list(disk.path.iterdir())
    subprocess.run(hint, shell=True, check=True)
    run.wait_stored(1)
    run.end()


def marked(cluster):
    return cluster.redis.client().hget("stoker:{default}:meta", "store")


def test_a_store_in_which_only_the_scheduler_stored_something(cluster, disk):
    """Packed code, and nothing was ever committed: Redis knows of the mark all the same."""
    code = f"/api/v1/code/{'0' * 64}/{hashlib.sha256(b'x').hexdigest()}"
    status, text = cluster.request("POST", code, b"x", {"Content-Type": "application/octet-stream"})
    assert marked(cluster) is None and status < 300, text
    wait_until(lambda: marked(cluster) == f"file://{disk.path}", 30, "Redis knows")
    cluster.kill_everything()
    cluster.schedulers[0].kill()
    disk.bind_away()
    cluster.start_scheduler()
    status, text = cluster.request("POST", code, b"x", {"Content-Type": "application/octet-stream"})
    assert status == 503 and "is it mounted?" in text
    assert not list(disk.path.iterdir())
    disk.umount()


def test_a_worker_that_stores_in_its_own_folder(tmp_path):
    """What it commits says nothing about a store that is given later: that one is new, and is not asked for a mark."""
    with Cluster(tmp_path / "c", workers=0) as cluster:
        state = cluster.state_dir()
        cluster.workers[0] = cluster.launch(
            "worker", 0, [BUILD / "stoker-worker", "--redis-url", cluster.redis.url, "--id", "w0", "--state-dir", state,
                          "--breaker", "0", "--cpus", "2"], cluster.folder / "own.log")
        first = Run(cluster, tmp_path)
        first.save(1)
        first.wait_stored(1)
        first.end()
        assert len(list(state.glob("store/*/mark"))) == 1 and marked(cluster) is None
        cluster.workers[0].kill()
        cluster.start_worker()
        (tmp_path / "second").mkdir()
        run = Run(cluster, tmp_path / "second")
        run.save(1)
        run.wait_stored(1)
        run.end()
        assert marked(cluster) == f"file://{cluster.store()}"
