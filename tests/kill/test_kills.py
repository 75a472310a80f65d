"""A real tinygrad run, whose surroundings are killed at random points: afterwards the final weights are bit for bit
those of the undisturbed run, no job is lost, and none finishes twice."""
import hashlib
import os
import random
import signal

import pytest

import fsck
from cluster import Cluster
from harness import ROOT, events_each, wait_until

STEPS = 300
SPEC = {
    "name": "kills", "backend": "tinygrad", "lease": "2s", "grace": "10s",
    "train": {"task": "language-model", "text": str(ROOT / "docs"), "steps": STEPS, "batch": 4, "context": 8,
              "width": 8, "layers": 1, "seed": 7},
    "checkpoint": {"every": "25 steps"},
    "retry": {"max_attempts": 50, "max_lost": 50, "backoff": "100ms", "max_backoff": "200ms"},
}


def weights(cluster, job):
    """SHA-256 of the model that the job left behind. Its folder is put away after Redis knows of the end."""
    pattern = f"finished/{job}-*/output/model.safetensors"

    def models():
        return [path for i in cluster.workers for path in cluster.state_dir(i).glob(pattern)]
    found = wait_until(models, what=f"the final model of {job}")
    assert len(found) == 1, f"expected one final model of {job}, found {found}"
    return hashlib.sha256(found[0].read_bytes()).hexdigest()


def ended_once(cluster, job):
    """Exactly one final event, and every invariant of the queue holds."""
    redis = cluster.redis.client()
    final = [e for e in events_each(redis.xrange("stoker:{default}:events"))
             if e.get("job") == job and e["event"] in ("job.succeeded", "job.failed", "job.cancelled")]
    assert len(final) == 1, final
    saved = {}
    for e in events_each(redis.xrange("stoker:{default}:events")):
        if e["event"] == "recovery.resumed":
            saved[e["attempt"]] = int(e["step"])
        elif e["event"] == "checkpoint.committed":
            assert int(e["step"]) > saved.get(e["attempt"], 0), f"committed again: {e}"
            saved[e["attempt"]] = int(e["step"])
    assert fsck.check(redis) == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("undisturbed")) as cluster:
        job = cluster.submit(SPEC)
        assert cluster.wait_final(job, timeout=180)["state"] == "succeeded"
        return weights(cluster, job)


def kill_pid(pid):
    if pid:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def kill_program(cluster):
    for pid in cluster.program_pids():
        kill_pid(pid)


def kill_runner(cluster):
    for pid in cluster.runner_pids().values():
        kill_pid(pid)


def kill_worker(cluster):
    cluster.workers[0].kill()
    cluster.start_worker(0)


def kill_scheduler(cluster):
    cluster.schedulers[0].kill()
    cluster.start_scheduler(0)


def kill_redis(cluster):
    cluster.redis.kill()
    cluster.restart_redis()


VICTIMS = {"program": kill_program, "runner": kill_runner, "worker": kill_worker, "scheduler": kill_scheduler,
           "redis": kill_redis}


@pytest.mark.parametrize("victim", [*[pytest.param(victim, marks=pytest.mark.long) for victim in VICTIMS], "all"])
def test_final_weights_survive_kills(victim, tmp_path, undisturbed):
    seed = int(os.environ.get("STOKER_KILL_SEED", random.randrange(1 << 30)))
    chance = random.Random(seed)
    print(f"STOKER_KILL_SEED={seed}")
    with Cluster(tmp_path) as cluster:
        job = cluster.submit(SPEC)
        order = list(VICTIMS) if victim == "all" else [victim] * 3
        chance.shuffle(order)
        for step, name in zip(sorted(chance.sample(range(5, STEPS - 20), len(order))), order):
            reached = step_or_end(cluster, job, step)
            assert reached != "ended", f"{job} ended before step {step}: nothing was left to kill"
            VICTIMS[name](cluster)
        done = cluster.wait_final(job, timeout=180)
        assert done["state"] == "succeeded", done
        assert weights(cluster, job) == undisturbed
        ended_once(cluster, job)
        wait_until(lambda: not cluster.program_pids(), what="no process of a run is left")


def step_or_end(cluster, job, step):
    """Waits for a step by Redis' own record, through whatever was just killed."""
    redis = cluster.redis.client()
    key = "stoker:{default}:job:" + job.rsplit("-", 1)[1]

    def there():
        state, at = redis.hmget(key, "state", "step")
        if state in ("succeeded", "failed", "cancelled"):
            return "ended"
        return "there" if int(at or 0) >= step else None
    return wait_until(there, 120, f"{job} reaches step {step}")


def test_resume_without_optimizer_differs(tmp_path, undisturbed):
    """So that the comparison above can fail: Adam's state matters."""
    with Cluster(tmp_path) as cluster:
        job = cluster.submit({**SPEC, "recovery": {"restore_optimizer": False}})
        wait_until(lambda: cluster.job(job).get("checkpoint"), 120, "a first checkpoint")
        kill_runner(cluster)
        assert cluster.wait_final(job, timeout=180)["state"] == "succeeded"
        assert weights(cluster, job) != undisturbed


def test_damaged_checkpoint_is_never_resumed_from(tmp_path, undisturbed):
    """The newest stored object is truncated, zeroed or flipped after its commit: the older one is used, and an event
    says so."""
    for damage in ("truncate", "zero", "flip"):
        with Cluster(tmp_path / damage) as cluster:
            job = cluster.submit(SPEC)
            redis = cluster.redis.client()
            n = job.rsplit("-", 1)[1]
            key = "stoker:{default}:checkpoints:" + n
            wait_until(lambda: redis.hlen(key) >= 2, 120, "two checkpoints")
            os.kill(cluster.workers[0].pid, signal.SIGKILL)
            cluster.kill_everything()
            newest = redis.hget("stoker:{default}:job:" + n, "checkpoint")
            spoil(cluster, redis.hget(key, newest), damage)
            cluster.start_worker(0)
            done = cluster.wait_final(job, timeout=180)
            assert done["state"] == "succeeded", done
            assert weights(cluster, job) == undisturbed
            rejected = [e for e in events_each(redis.xrange("stoker:{default}:events"))
                        if e["event"] == "checkpoint.rejected"]
            assert [e["checkpoint"] for e in rejected] == [newest], f"{damage}: {rejected}"


def spoil(cluster, summary, damage):
    import json
    uri = json.loads(summary)["uri"]
    data = os.path.join(os.path.dirname(uri.removeprefix("file://")), "data.tar")
    size = os.path.getsize(data)
    with open(data, "r+b") as f:
        if damage == "truncate":
            f.truncate(size - 1000)
        elif damage == "zero":
            f.seek(size // 2)
            f.write(bytes(512))
        else:
            f.seek(size // 2)
            byte = f.read(1)
            f.seek(size // 2)
            f.write(bytes([byte[0] ^ 1]))


def test_stopped_runner_cannot_commit(tmp_path):
    """SIGSTOP past the lease, then SIGCONT: somebody else has the job, and nothing of the first attempt counts."""
    script = ("import os, time\nopen(os.environ['STOKER_OUTPUT_DIR'] + '/x', 'w').close()\n"
              "while not os.path.exists(%r): time.sleep(0.02)\n")
    gate = tmp_path / "gate"
    with Cluster(tmp_path / "c", workers=2, worker_options=["--cpus", "1"]) as cluster:
        command = ["/usr/bin/python3", "-c", script % str(gate)]
        job = cluster.submit({"name": "frozen", "lease": "1s", "command": command})
        cluster.wait_state(job, "running")
        holder = int(cluster.job(job)["worker"][1:])
        pid = wait_until(lambda: list(cluster.runner_pids(holder).values()), what="a runner")[0]
        os.kill(cluster.workers[holder].pid, signal.SIGSTOP)  # or it would settle this at once
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: cluster.job(job)["attempt"] == "2", 30, "attempt 2")
        before = cluster.wait_state(job, "running")
        os.kill(pid, signal.SIGCONT)
        os.kill(cluster.workers[holder].pid, signal.SIGCONT)
        wait_until(lambda: pid not in cluster.runner_pids(holder).values(), 30, "the stale runner gives up")
        after = cluster.job(job)
        assert (after["token"], after["worker"], after["state"]) == (before["token"], before["worker"], "running")
        gate.touch()
        assert cluster.wait_final(job)["attempt"] == "2"
        ended_once(cluster, job)
