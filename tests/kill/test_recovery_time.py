"""How soon what was killed runs again, under the bounds that `make bench-recovery` measures with many more kills."""
import json
import os
import signal
import time

import pytest

import fsck
from cluster import Cluster, log_lines
from harness import wait_until
from network import Networked
from training import Training, now, wait_checkpoints


def began_within(training, killed, bound_s):
    began = wait_until(lambda: training.began_after(killed), 60, f"{training.id} runs again")
    assert began - killed <= bound_s, f"{training.id} ran again {began - killed:.2f} s after the kill"
    return next(line for line in training.lines if line.at == began)


def trains_on(redis, training):
    """It has trained for a while, and the checkpoint that it began with is gone."""
    lines = training.read()
    begin = next((line for line in reversed(lines) if line.what == "begin"), None)
    if not begin or lines[-1].step - begin.step < 40:
        return False
    n = training.id.rsplit("-", 1)[1]
    resume = redis.hget("stoker:{default}:job:" + n, "resume")
    return not resume or not redis.hexists("stoker:{default}:checkpoints:" + n, resume)


def test_a_killed_runner(tmp_path):
    """And what stoker says was lost is what the program knows to be lost."""
    with Cluster(tmp_path) as cluster:
        redis = cluster.redis.client()
        one, lost_s = Training(cluster, step_ms=50, save_every=10, checkpoint={"keep_last": 1}), 0
        for _ in range(2):
            wait_until(lambda: trains_on(redis, one), 60, "two seconds of training")
            killed = now()
            os.kill(one.runner_pid(), signal.SIGKILL)
            begin = began_within(one, killed, 2)
            reached = [line for line in one.lines if line.attempt < begin.attempt][-1]
            saved = next(line for line in one.lines if line.what == "save" and line.step == begin.step)
            lost_s += reached.at - saved.at
        one.finish()
        assert cluster.wait_final(one.id)["state"] == "succeeded"
        assert abs(cluster.show(one.id)["time"]["lost_ms"] / 1000 - lost_s) < 1, f"by the program {lost_s:.2f} s"
        assert fsck.check(redis) == []


@pytest.mark.long
def test_a_machine_without_power(tmp_path):
    with Networked(tmp_path, workers=2, worker_options=["--cpus", "8"]) as cluster:
        jobs = [(Training(cluster, **lease), bound_s) for lease, bound_s in (({}, 14), ({"lease": "3s"}, 5)) * 4]
        wait_checkpoints([one for one, _ in jobs])
        hit = [(one, bound_s) for one, bound_s in jobs if cluster.job(one.id)["worker"] == "w0"]
        assert hit, "the first machine has none of them"
        killed = now()
        cluster.cut_power(0)
        for one, bound_s in hit:
            began_within(one, killed, bound_s)
        for one, _ in jobs:
            one.finish()
            assert cluster.wait_final(one.id)["state"] == "succeeded"
        assert fsck.check(cluster.redis.client()) == []


def test_redis_away_for_longer_than_a_lease(tmp_path):
    """No run is stopped, no line of a log is missing, and what can go goes as soon as Redis is back: jobs whose time
    came meanwhile, one behind a run that ended meanwhile, and new ones."""
    with Cluster(tmp_path, worker_options=["--cpus", "12"]) as cluster:
        run = Training(cluster, step_ms=10, save_every=100, lease="5s")
        ends = Training(cluster, resources={"cpus": 4}, lease="5s")
        wait_checkpoints([run, ends])
        behind = cluster.submit({"name": "behind", "resources": {"cpus": 8}, "command": ["true"]})
        due = [cluster.submit({"name": "due", "delay": "4s", "command": ["true"]}) for _ in range(2)]
        assert cluster.job(behind)["state"] == "queued"
        cluster.redis.kill()
        ends.finish()
        time.sleep(8)  # the outage itself: longer than the lease
        cluster.redis.start()
        back = now()
        redis = cluster.redis.client()
        spec = json.dumps({"name": "new", "command": ["true"]})
        new = [redis.fcall("stoker_submit", 1, "stoker:{default}:meta", spec) for _ in range(2)]
        for job in (*new, *due, behind):
            assert cluster_claimed(redis, job) - back <= 2
        run.finish()
        for one in (run, ends):
            done = cluster.wait_final(one.id)
            assert (done["state"], done["attempt"]) == ("succeeded", "1"), done
        steps = [line.step for line in run.read() if line.what == "step"]
        assert log_lines(cluster.log_text(run.id), 1) == [f"step={step} loss={1 / step:.4f}" for step in steps]
        assert fsck.check(redis) == []


@pytest.mark.parametrize("late", ["scheduler", "runner"])
def test_who_finds_redis_late_holds_up_nobody(tmp_path, late):
    """The worker has claimed already, and waits at the bells again: what comes after that is claimed at once."""
    with Cluster(tmp_path, worker_options=["--cpus", "8"]) as cluster:
        ends = Training(cluster, resources={"cpus": 4})
        wait_checkpoints([ends])
        waits = {"runner": {"resources": {"cpus": 8}}, "scheduler": {"delay": "1s"}}[late]
        job = cluster.submit({"name": "waits", **waits, "command": ["true"]})
        stopped = {"runner": ends.runner_pid(), "scheduler": cluster.schedulers[0].pid}[late]
        cluster.redis.kill()
        ends.finish()
        time.sleep(2)  # its time comes, and everybody has become patient
        os.kill(stopped, signal.SIGSTOP)
        cluster.redis.start()
        redis = cluster.redis.client()
        new = redis.fcall("stoker_submit", 1, "stoker:{default}:meta", json.dumps({"command": ["true"]}))
        cluster_claimed(redis, new)
        assert not redis.hget("stoker:{default}:job:" + job.rsplit("-", 1)[1], "claimed_ms")
        woken = now()
        os.kill(stopped, signal.SIGCONT)
        assert cluster_claimed(redis, job) - woken <= 2
        for one in (job, new, ends.id):
            assert cluster.wait_final(one)["state"] == "succeeded"
        assert fsck.check(redis) == []


def cluster_claimed(redis, job):
    key = "stoker:{default}:job:" + job.rsplit("-", 1)[1]
    return int(wait_until(lambda: redis.hget(key, "claimed_ms"), 30, f"{job} is claimed")) / 1000
