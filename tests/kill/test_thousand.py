"""1,000 short jobs through two workers with a kill -9 every second: all end exactly once."""
import collections
import os
import random
import signal
import time

import fsck
from cluster import Cluster
from harness import events_each, wait_until

JOBS = 1000
RETRY = {"max_attempts": 100, "max_lost": 100, "backoff": "50ms", "max_backoff": "100ms"}


def submit_all(cluster, count, out, work="0.01"):
    """Each program leaves one line when it has done its work: more than one means it ran to its end twice."""
    script = f"sleep {work}; echo $STOKER_JOB $STOKER_ATTEMPT >> {out}"
    return [cluster.submit({"name": f"short-{i}", "lease": "1s", "retry": RETRY, "command": ["/bin/sh", "-c", script]})
            for i in range(count)]


def test_thousand_jobs_with_a_kill_every_second(tmp_path):
    seed = int(os.environ.get("STOKER_KILL_SEED", random.randrange(1 << 30)))
    chance = random.Random(seed)
    print(f"STOKER_KILL_SEED={seed}")
    out = tmp_path / "done"
    with Cluster(tmp_path / "c", workers=0, schedulers=2, worker_options=["--cpus", "4"]) as cluster:
        jobs = submit_all(cluster, JOBS, out, work="0.1")
        cluster.start_worker(0)
        cluster.start_worker(1)
        redis = cluster.redis.client()
        kills, next_kill = collections.Counter(), time.monotonic()

        def finished():
            return sum(redis.zcard("stoker:{default}:jobs:" + s) for s in ("succeeded", "failed", "cancelled"))

        def step():
            nonlocal next_kill
            if time.monotonic() >= next_kill:
                next_kill = time.monotonic() + 1
                kills[kill_one(cluster, chance)] += 1
            return finished() == JOBS
        wait_until(step, 300, "every job has ended", every=0.1)
        print(f"kills: {dict(kills)}")
        assert sum(kills.values()) >= 10, kills
        check(cluster, jobs, out)


def kill_one(cluster, chance):
    what = chance.choice(["runner", "runner", "program", "worker", "scheduler", "redis"])
    i = chance.randrange(2)
    if what == "worker":
        cluster.workers[i].kill()
        cluster.start_worker(i)
    elif what == "scheduler":
        cluster.schedulers[i].kill()
        cluster.start_scheduler(i)
    elif what == "redis":
        cluster.redis.kill()
        cluster.restart_redis()
    else:
        pids = list(cluster.runner_pids(i).values()) if what == "runner" else cluster.program_pids()
        if pids:
            try:
                os.kill(chance.choice(pids), signal.SIGKILL)
            except ProcessLookupError:
                pass
    return what


def check(cluster, jobs, out):
    redis = cluster.redis.client()
    states = collections.Counter(redis.hget("stoker:{default}:job:" + j.rsplit("-", 1)[1], "state") for j in jobs)
    assert states == {"succeeded": len(jobs)}, states
    final = collections.Counter(e["job"] for e in events_each(redis.xrange("stoker:{default}:events"))
                                if e["event"] in ("job.succeeded", "job.failed", "job.cancelled"))
    assert set(final) == set(jobs) and set(final.values()) == {1}, [j for j in jobs if final[j] != 1]
    ran = {line.split()[0] for line in out.read_text().splitlines()}
    assert ran == set(jobs), f"never ran to the end: {sorted(set(jobs) - ran)[:5]}"
    assert fsck.check(redis) == []
    wait_until(lambda: not cluster.program_pids(), what="no process of a run is left")


def test_a_worker_started_in_the_middle_takes_jobs_at_once(tmp_path):
    out = tmp_path / "done"
    with Cluster(tmp_path / "c", workers=1, worker_options=["--cpus", "1"]) as cluster:
        jobs = submit_all(cluster, 60, out, work="0.2")
        redis = cluster.redis.client()

        def claimed_by(worker):
            return sum(1 for j in jobs
                       if redis.hget("stoker:{default}:job:" + j.rsplit("-", 1)[1], "worker") == worker)
        wait_until(lambda: redis.zcard("stoker:{default}:jobs:succeeded") >= 10, 60, "ten jobs are done")
        alone = time.monotonic()
        before = redis.zcard("stoker:{default}:jobs:succeeded")
        wait_until(lambda: redis.zcard("stoker:{default}:jobs:succeeded") >= before + 10, 60, "ten more")
        alone = (time.monotonic() - alone) / 10
        started = time.monotonic()
        cluster.start_worker(1)
        wait_until(lambda: claimed_by("w1") > 0, 5, "the new worker has a job")
        first = time.monotonic() - started
        both, before = time.monotonic(), redis.zcard("stoker:{default}:jobs:succeeded")
        wait_until(lambda: redis.zcard("stoker:{default}:jobs:succeeded") >= before + 20, 60, "twenty more")
        both = (time.monotonic() - both) / 20
        print(f"first claim {first * 1000:.0f} ms after the start; {alone / both:.2f} times as fast with two workers")
        assert first < 2
        assert alone / both > 1.4
