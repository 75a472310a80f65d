"""Checkpoints of 6 MiB go to the store all the time, and the ship helper, the runner and Redis are killed in the middle
of it: every committed record has its manifest and its data, byte for byte those that the program wrote, and the job
ends. STOKER_KILL_SECONDS makes it longer, STOKER_KILL_SEED repeats the order of the kills."""
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import fsck
import stored
from cluster import Cluster
from harness import events_each, wait_until

BYTES = 6 << 20

# What is in a checkpoint follows from its step. Says WRONG if it ever resumes from something else.
TRAIN = f"""
import os, random, sys, time
out, resume, step = os.environ["STOKER_CHECKPOINT_DIR"], os.environ.get("STOKER_RESUME"), 0
if resume:
    step = int(os.path.basename(resume).split("-")[1].split(".")[0])
    right = open(resume, "rb").read() == random.Random(step).randbytes({BYTES})
    print(f"resumed {{step}}" if right else f"WRONG {{step}}", flush=True)
end = False
while not end:  # once more after it was told: the last attempt ships something too
    end, step = os.path.exists(sys.argv[1]), step + 1
    with open(f"{{out}}/step.tmp", "wb") as f:
        f.write(random.Random(step).randbytes({BYTES}))
    os.rename(f"{{out}}/step.tmp", f"{{out}}/step-{{step}}.bin")
    for old in os.listdir(out):
        if old.startswith("step-") and int(old[5:-4]) < step - 3:
            os.unlink(f"{{out}}/{{old}}")
    time.sleep(0.1)
print(f"saved {{step}}", flush=True)
"""


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return len(pids)


def kill_redis(cluster):
    cluster.redis.kill()
    cluster.restart_redis()
    return 1


VICTIMS = {
    "ship": lambda cluster: kill_all(cluster.helper_pids("stoker-ship")),
    "unpack": lambda cluster: kill_all(cluster.helper_pids("stoker-unpack") + cluster.helper_pids("stoker-restore")),
    "runner": lambda cluster: kill_all(cluster.runner_pids().values()),
    "redis": kill_redis,
}


def committed(redis, job):
    found = redis.hgetall(f"stoker:{{default}}:checkpoints:{job.rsplit('-', 1)[1]}")
    return {i: c for i, c in ((i, json.loads(one)) for i, one in found.items()) if c["state"] == "committed"}


def wrong_with(summary):
    """What is wrong with a committed record, whose content is known; "" nothing."""
    step = summary["step"]
    return stored.wrong_with(summary, [(f"checkpoint/step-{step}.bin", random.Random(step).randbytes(BYTES))])


def check_now(redis, job):
    """In the middle of it: one that is wrong but dropped meanwhile was only being deleted."""
    for i, summary in committed(redis, job).items():
        wrong = wrong_with(summary)
        assert not wrong or i not in committed(redis, job), f"{i} is committed: {wrong}"


def left_over(cluster, known):
    """Files among the checkpoints of the store that no committed record has."""
    folders = {Path(c["uri"].removeprefix("file://")).parent for c in known.values()}
    return sorted(p for p in cluster.store().glob("*/checkpoints/**/*") if p.is_file() and p.parent not in folders)


def kill_for(cluster, job, chance, seconds):
    """In rounds of random order; a kill may come too late for a helper, so it goes on until each was hit."""
    redis, killed, end, order = cluster.redis.client(), Counter(), time.monotonic() + seconds, []
    while time.monotonic() < end or (not all(killed[v] for v in VICTIMS) and time.monotonic() < end + 30):
        if not order:
            order = ["ship", "ship", "runner", "unpack", "redis"]
            chance.shuffle(order)
        name = order.pop()
        wait_until(lambda: cluster.helper_pids("stoker-ship"), 30, "an upload is on its way", every=0.002)
        time.sleep(chance.uniform(0, 0.1))  # the random point
        if name == "unpack":  # somebody has to come back first
            killed["runner"] += VICTIMS["runner"](cluster)
            wait_until(lambda: cluster.helper_pids("stoker-unpack"), 30, "a checkpoint is on its way back", every=0.002)
            time.sleep(chance.uniform(0, 0.02))
        killed[name] += VICTIMS[name](cluster)
        check_now(redis, job)
    return killed


def test_no_committed_checkpoint_misses_anything(tmp_path):
    seed = int(os.environ.get("STOKER_KILL_SEED", random.randrange(1 << 30)))
    seconds = float(os.environ.get("STOKER_KILL_SECONDS", 25))
    print(f"STOKER_KILL_SEED={seed}")
    (tmp_path / "train.py").write_text(TRAIN)
    with Cluster(tmp_path / "c", worker_options=["--cpus", "1"]) as cluster:
        redis = cluster.redis.client()
        job = cluster.submit({
            "command": ["/usr/bin/python3", str(tmp_path / "train.py"), str(tmp_path / "end")], "lease": "3s",
            "checkpoint": {"keep_last": 3},
            "retry": {"max_attempts": 50, "max_lost": 50, "backoff": "20ms", "max_backoff": "20ms"}})
        wait_until(lambda: committed(redis, job), 30, "a first checkpoint")
        killed = kill_for(cluster, job, random.Random(seed), seconds)
        (tmp_path / "end").touch()
        done = cluster.wait_final(job)
        log = "\n".join(e.get("stdout", "") for e in cluster.log_text(job))
        assert done["state"] == "succeeded" and "WRONG" not in log, done
        known = committed(redis, job)
        wrong = {i: found for i, found in ((i, wrong_with(c)) for i, c in known.items()) if found}
        assert not wrong
        assert max(c["step"] for c in known.values()) == int(log.rsplit("saved ", 1)[1].split()[0])
        events = Counter(e["event"] for e in events_each(redis.xrange("stoker:{default}:events")))
        assert not events["checkpoint.rejected"], "one that was committed could not be used"
        assert all(killed[v] for v in VICTIMS), f"nothing was proved: {killed}"
        assert fsck.check(redis) == []
        left = left_over(cluster, known)
        print(f"killed {dict(killed)} in {done['attempt']} attempts; {events['checkpoint.committed']} commits, "
              f"{len(known)} kept, all whole; left over: {[str(p.relative_to(cluster.store())) for p in left]}")
        # Of what was never whole nothing stays: the next helper swept it.
        assert not [p for p in left if p.name.startswith(".put-") or not (p.parent / "manifest.json").exists()], left
