"""Jobs that go on from one of another queue, or of the archive: real schedulers carry what they are lent, real workers
restore it, and whoever dies in between, nothing that is needed is let go."""
import json
import random
import threading

import pytest

import fsck
from cluster import Cluster
from harness import wait_until
from test_gc_races import SAVER

QUEUES = ("default", "other")


class Abroad(Cluster):
    def __init__(self, folder, **options):
        store = ["--store", f"file://{folder}/store"]
        super().__init__(folder, scheduler_options=store,
                         worker_options=["--cpus", "4", "--queues", ",".join(QUEUES), *store], **options)
        (folder / "train.py").write_text(SAVER)

    def start(self, queue, status=0, **spec):
        spec = {"command": ["/usr/bin/python3", str(self.folder / "train.py"), str(status)],
                "checkpoint": {"keep_last": 9}, **spec}
        return self.submit(spec, queue)

    def run(self, queue, status=0, **spec):
        job = self.start(queue, status, **spec)
        self.wait_final(job)
        return job

    def begun_from(self, job):
        """The file that its program was told to go on from, and what its runner said."""
        lines = [e[s] for e in self.log_text(job) for s in ("stdout", "stoker") if s in e]
        begun = [line for text in lines for line in text.split("\n") if line.startswith("from ")]
        assert begun, json.dumps(self.show(job), indent=1)
        return begun[0], "\n".join(lines)

    def saved(self, job):
        """What it saved itself, oldest first: an earlier one may have been dropped for a later one."""
        records = self.api("GET", f"/api/v1/jobs/{job}/checkpoints")["checkpoints"]
        return sorted((r for r in records if "from" not in r), key=lambda r: r["seq"])

    def archive_all(self, *queues):
        for queue in queues:
            self.redis.client().hset(f"stoker:{{{queue}}}:meta", "max_finished", 0)
        wait_until(lambda: not any(self.redis.client().zcard(f"stoker:{{{queue}}}:jobs:{state}") for queue in queues
                                   for state in ("succeeded", "failed", "cancelled")), what="all of it is archived")


@pytest.fixture
def abroad(tmp_path):
    with Abroad(tmp_path) as cluster:
        yield cluster
        assert fsck.check(cluster.redis.client()) == []
        assert cluster.cli("fsck").returncode == 0


def test_on_from_another_queue(abroad):
    lender = abroad.run("other")
    assert lender == "other-1"
    first, last = abroad.saved(lender)[0], abroad.saved(lender)[-1]
    for which, one in (("", last), (f"@{first['step']}", first), ("@" + first["id"], first)):
        job = abroad.run("default", resume=lender + which)
        begun, text = abroad.begun_from(job)
        assert begun.endswith(f"/step-{one['step']}") and abroad.job(job)["state"] == "succeeded", text
        assert abroad.job(job)["lender"] == lender and abroad.job(job)["resume"].startswith("0-")
    held = abroad.start("default", resume=lender, delay="1h")
    wait_until(lambda: "borrows" not in abroad.job(held), what="it has its loan")
    assert f"{last['id']} of {lender}, at step {last['step']}" in abroad.cli("show", held).stdout
    out = abroad.cli("checkpoints", "rm", lender, last["id"], check=False)
    assert out.returncode and "a job of queue default goes on from it" in out.stderr
    assert f"Lent by {lender}" in abroad.cli("checkpoints", "show", held, "latest").stdout
    assert abroad.cli("checkpoints", "verify", held).stdout.count("good") == len(abroad.saved(lender))
    abroad.cli("cancel", held)


@pytest.mark.parametrize("resume, says", [
    ("nowhere-7", "no queue nowhere"), ("other-99", "there is no job other-99"),
    ("other-1@77", 'job other-1 has no good checkpoint "77": it has 1-1 (step'),
    ("other-1@best", 'job other-1 has no good checkpoint "best"')])
def test_nothing_to_go_on_from(abroad, resume, says):
    abroad.run("other")
    job = abroad.run("default", resume=resume)
    assert abroad.job(job)["state"] == "cancelled" and says in abroad.job(job)["error"]
    assert says in abroad.cli("show", job).stdout.replace("\n", " ")


def test_on_from_the_archive(abroad):
    lenders = [abroad.run(queue, status) for queue in QUEUES for status in (0, 65)]
    saved = {lender: abroad.saved(lender)[0] for lender in lenders}
    abroad.archive_all(*QUEUES)
    for queue in QUEUES:
        for lender, one in saved.items():
            job = abroad.start(queue, resume=f"{lender}@{one['id']}")
            wait_until(lambda job=job: abroad.request("GET", f"/api/v1/jobs/{job}")[0] == 200 and
                       abroad.show(job)["job"]["state"] == "succeeded", what=f"{job} of {lender} has ended")
            begun, text = abroad.begun_from(job)
            assert begun.endswith(f"/step-{one['step']}"), text
    status, text = abroad.request("POST", "/api/v1/gc", {"older_ms": 0})
    assert status == 200 and '"deleted"' not in text, text


def test_the_lender_may_go(abroad):
    """Removed with its record, while the job of another queue that was lent its checkpoint has not begun: gc leaves the
    objects alone until that one is gone, too."""
    lender = abroad.run("other")
    count = len(abroad.saved(lender))
    job = abroad.start("default", resume=lender, delay="1h")
    wait_until(lambda: "borrows" not in abroad.job(job), what="it has its loan")
    abroad.api("POST", f"/api/v1/jobs/{lender}/remove")
    deleted = [line for line in abroad.request("POST", "/api/v1/gc", {"older_ms": 0})[1].splitlines()
               if '"deleted"' in line and "/checkpoints/" in line]
    assert len(deleted) == 0, "all of what keep_last lends is still lent"
    assert abroad.cli("checkpoints", "verify", job).stdout.count("good") == count
    abroad.cli("cancel", job)
    abroad.api("POST", f"/api/v1/jobs/{job}/remove")
    abroad.archive_all(*QUEUES)
    deleted = [line for line in abroad.request("POST", "/api/v1/gc", {"older_ms": 0})[1].splitlines()
               if '"deleted"' in line and "/checkpoints/" in line]
    assert len(deleted) == count


@pytest.mark.parametrize("seed", [1, 2])
def test_whoever_dies_in_between(tmp_path, seed):
    """Two schedulers that are killed and started again, and a lender that saves and lets go all the time, while jobs of
    another queue go on from it: each begins at a checkpoint of it, none from nothing, and none is left waiting."""
    rng = random.Random(seed)
    with Abroad(tmp_path, schedulers=2) as cluster:
        (tmp_path / "train.py").write_text(SAVER.replace("step + 6", "step + 60 if len(sys.argv) > 2 else step + 2"))
        lender = cluster.submit({"command": ["/usr/bin/python3", str(tmp_path / "train.py"), "0", "long"],
                                 "checkpoint": {"keep_last": 1}}, "other")
        wait_until(lambda: cluster.job(lender).get("checkpoint"), what="it has saved something")
        over = threading.Event()

        def die():
            while not over.wait(rng.random() * 0.3):
                cluster.schedulers[1].kill()
                cluster.start_scheduler(1)

        killer = threading.Thread(target=die)
        killer.start()
        try:
            jobs = [cluster.start("default", status=rng.choice([0, 65]), resume=lender) for _ in range(12)]
            for job in jobs:
                cluster.wait_final(job)
        finally:
            over.set()
            killer.join()
        for job in jobs:
            begun, text = cluster.begun_from(job)
            assert "/step-" in begun and "cannot be used" not in text, text
        cluster.wait_final(lender)
        redis = cluster.redis.client()
        for job in jobs:  # those that failed might be done again: they keep it
            cluster.api("POST", f"/api/v1/jobs/{job}/remove")
        outbox = "stoker:{other}:outbox"
        redis.zadd(outbox, {letter: 1 for letter in redis.zrange(outbox, 0, -1)} or {"x": 1})
        wait_until(lambda: redis.zrange(outbox, 0, -1) in ([], ["x"]), what="all of it is given back")
        redis.zrem(outbox, "x")
        records = redis.hvals("stoker:{other}:checkpoints:1")
        assert records and not any("lent" in json.loads(text) for text in records)
        assert fsck.check(redis) == []
