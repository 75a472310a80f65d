"""Jobs that are handed over to a worker that waits, with real workers: nothing is lost by it, and none runs twice."""
import signal

import pytest

from cluster import Cluster
from harness import wait_until
from worker_harness import events, job_of


class Given:
    def __init__(self, cluster, queue="default"):
        self.cluster, self.base, self.redis = cluster, f"stoker:{{{queue}}}:", cluster.redis.client()

    def idle(self):
        return self.redis.zrange(self.base + "idle", 0, -1)

    def wait_idle(self):
        wait_until(lambda: len(self.idle()) == 1, what="a worker offers itself")
        return self.idle()[0]

    def of(self, worker):
        return self.redis.hget(self.base + "worker:" + worker, "given")


@pytest.fixture
def one(tmp_path):
    with Cluster(tmp_path, worker_options=["--cpus", "2"]) as cluster:
        yield cluster, Given(cluster)


def was_given(cluster, job):
    return cluster.job(job).get("lane", "").endswith(":!given")


def test_a_job_for_a_worker_that_waits_is_handed_over(one):
    cluster, given = one
    for _ in range(5):
        given.wait_idle()
        job = cluster.submit(job_of("echo $STOKER_JOB"))
        done = cluster.wait_final(job)
        assert (done["state"], done["attempt"]) == ("succeeded", "1") and was_given(cluster, job)
        assert [e["event"] for e in events(cluster, job)] == ["job.submitted", "job.claimed", "job.succeeded"]


def test_a_worker_of_several_queues_asks_for_each_job(tmp_path):
    with Cluster(tmp_path, workers=0, worker_options=["--cpus", "2"]) as cluster:
        given = Given(cluster)
        cluster.start_worker(0, ["--queues", "default,other"])
        job = cluster.submit(job_of("true"))
        assert cluster.wait_final(job)["state"] == "succeeded"
        assert not was_given(cluster, job) and given.idle() == []


def test_many_at_once_run_once_each(one, tmp_path):
    """Some are handed over, some are rung for, and the two cross."""
    cluster, given = one
    given.wait_idle()
    jobs = [cluster.submit(job_of(f"echo $STOKER_JOB >> {tmp_path}/ran")) for _ in range(60)]
    done = [cluster.wait_final(job) for job in jobs]
    assert {(job["state"], job["attempt"]) for job in done} == {("succeeded", "1")}
    assert sorted((tmp_path / "ran").read_text().split()) == sorted(jobs)
    assert sum(was_given(cluster, job) for job in jobs) >= 1


def test_what_the_worker_did_not_hear_it_gets_by_asking(one):
    cluster, given = one
    worker = given.wait_idle()
    key = given.base + "worker:" + worker
    ours = given.redis.pubsub(ignore_subscribe_messages=True)
    ours.subscribe(given.base + "given:ours")
    ours.get_message(timeout=5)
    offer = given.redis.hget(key, "offer").split(" ", 1)
    given.redis.hset(key, "offer", "ours " + offer[1])  # the message comes to us instead
    job = cluster.submit(job_of("true"))
    assert ours.get_message(timeout=5) and was_given(cluster, job)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "1") and given.of(worker) is None


def test_nothing_is_handed_to_a_worker_that_was_killed(one):
    cluster, given = one
    given.wait_idle()
    cluster.workers[0].signal(signal.SIGKILL)
    cluster.workers[0].popen.wait(10)
    wait_until(lambda: given.redis.pubsub_channels(given.base + "given:*") == [], what="its connection is gone")
    job = cluster.submit(job_of("true"))
    assert cluster.job(job)["state"] == "queued" and given.idle() == []


@pytest.mark.parametrize("how", ["stop", "drain"])
def test_a_worker_that_drains_takes_its_offer_back(one, how):
    cluster, given = one
    worker = given.wait_idle()
    if how == "stop":
        assert cluster.workers[0].stop(timeout=20) == 0
    else:
        cluster.cli("workers", "drain", worker)
        wait_until(lambda: given.redis.hget(given.base + "worker:" + worker, "offer") is None, what="it is taken back")
    assert given.idle() == []
    job = cluster.submit(job_of("true"))
    assert cluster.job(job)["state"] == "queued"
    if how == "drain":
        cluster.cli("workers", "resume", worker)
        assert cluster.wait_final(job)["state"] == "succeeded"


def test_a_worker_that_starts_again_runs_what_it_was_given_before(one):
    """Killed right after the hand-over: the next worker of this id finds it."""
    cluster, given = one
    worker = given.wait_idle()
    cluster.workers[0].signal(signal.SIGSTOP)
    job = cluster.submit(job_of("true", lease="60s"))
    assert was_given(cluster, job)
    cluster.workers[0].signal(signal.SIGKILL)
    cluster.workers[0].popen.wait(10)
    cluster.start_worker(0)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["worker"]) == ("succeeded", "1", worker)
