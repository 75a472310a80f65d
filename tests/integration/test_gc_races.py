"""Cleaning without a pause, of things of any age, while jobs save, end, are removed, and begin where others are:
nothing that somebody needs is ever deleted."""
import random
import threading
import time

import pytest

import fsck
from cluster import ApiError, Cluster
from harness import wait_until

SAVER = """
import os, sys
folder, step = os.environ["STOKER_CHECKPOINT_DIR"], int(os.environ.get("STOKER_RESUME_STEP", 0))
print("from", os.environ.get("STOKER_RESUME"), flush=True)
if "STOKER_RESUME" in os.environ:
    assert open(os.environ["STOKER_RESUME"]).read() == str(step) * 1000
for step in range(step + 1, step + 6):
    with open(f"{folder}/step-{step}.part", "w") as f:
        f.write(str(step) * 1000)
    os.rename(f"{folder}/step-{step}.part", f"{folder}/step-{step}")
    os.write(int(os.environ["STOKER_CONTROL_FD"]), b'{"t":"checkpoint","path":"%s/step-%d","step":%d}\\n'
             % (folder.encode(), step, step))
    print(f"step={step}", flush=True)
sys.exit(int(sys.argv[1]))
"""
SECONDS = 12
QUEUES = ("default", "other")


class Cleaners:
    """gc in one thread, cleanup of ended jobs in another."""

    def __init__(self, cluster):
        self.cluster, self.over, self.failed = cluster, threading.Event(), []
        self.threads = [threading.Thread(target=self.run, args=(what,)) for what in (self.gc, self.cleanup)]
        for thread in self.threads:
            thread.start()

    def run(self, what):
        while not self.over.is_set():
            try:
                what()
            except Exception as error:  # pylint: disable=broad-except
                self.failed.append(error)
                return

    def gc(self):
        status, text = self.cluster.request("POST", "/api/v1/gc", {"older_ms": 0})
        assert status == 200 and '"sum"' in text and '"kept"' not in text, text

    def cleanup(self):
        jobs = [job for queue in QUEUES
                for job in self.cluster.api("GET", f"/api/v1/jobs?limit=20&queue={queue}")["jobs"]]
        for job in jobs:
            try:
                self.cluster.api("POST", f"/api/v1/jobs/{job['id']}/checkpoints/discard", {"keep_last": 1})
            except ApiError as error:
                assert error.status in (404, 409), error

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        assert not self.failed, self.failed


def wrong_begins(cluster, job, expected):
    text = "\n".join(e.get("stdout", "") + e.get("stoker", "") for e in cluster.log_text(job))
    return [] if not expected or "cannot be used" not in text and "from None" not in text else [text]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_what_is_needed_stays(tmp_path, seed):
    draw = random.Random(seed)
    (tmp_path / "train.py").write_text(SAVER)
    store = ["--store", f"file://{tmp_path}/store"]
    with Cluster(tmp_path, scheduler_options=store,
                 worker_options=["--cpus", "4", "--queues", ",".join(QUEUES), *store]) as cluster:
        for queue in QUEUES:  # the first job makes it
            cluster.wait_final(cluster.submit({"command": ["true"]}, queue))
        cleaners, ended, wrong, begun = Cleaners(cluster), [], [], 0
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            lenders = [j for j in ended if not j.startswith("-")]
            resume = draw.choice(lenders) if lenders and draw.random() < 0.7 else None
            spec = {"command": ["/usr/bin/python3", str(tmp_path / "train.py"), str(draw.choice([0, 65]))],
                    "checkpoint": {"keep_last": draw.choice([1, 2, 9])}}
            job = cluster.submit({**spec, **({"resume": resume} if resume else {})}, draw.choice(QUEUES))
            if resume and draw.random() < 0.5:  # the lender goes, perhaps before the borrower has begun
                wait_until(lambda job=job: "borrows" not in cluster.job(job), what=f"{job} has its loan")
                cluster.api("POST", f"/api/v1/jobs/{resume}/remove")
                ended.remove(resume)
            cluster.wait_final(job)
            wrong += wrong_begins(cluster, job, resume)
            begun += resume is not None
            if cluster.api("GET", f"/api/v1/jobs/{job}/checkpoints")["count"]:
                ended.append(job)
        cleaners.stop()
        assert not wrong, wrong[0]
        assert begun >= 3
        for job in ended:
            checkpoints = cluster.api("GET", f"/api/v1/jobs/{job}/checkpoints")["checkpoints"]
            own = [c["id"] for c in checkpoints if c["state"] == "committed" and "from" not in c]
            for id in own:
                answer = cluster.api("POST", f"/api/v1/jobs/{job}/checkpoints/{id}/verify")
                assert answer["is_good"], answer
        assert fsck.check(cluster.redis.client()) == []
