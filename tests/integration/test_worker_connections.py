"""What a worker and its runners make of connections to Redis that are there and carry nothing."""
import signal

import pytest

from cluster import Cluster
from harness import wait_until
from proxy import Proxy
from worker_harness import committed, events, job_of, pids


@pytest.fixture
def proxied(tmp_path):
    with Cluster(tmp_path, workers=0, worker_options=["--cpus", "4"]) as cluster:
        proxy = Proxy(tmp_path / "proxy.sock", cluster.redis.socket)
        cluster.start_worker(0, ["--redis-url", proxy.url])
        yield cluster, proxy
        proxy.close()


def test_a_dead_connection_is_given_up_before_the_lease_ends(proxied, tmp_path):
    cluster, proxy = proxied
    job = cluster.submit(job_of(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done", lease="3s"))
    pids(cluster, job)
    dark_ms = cluster.redis.client().time()[0] * 1000 + 1000
    proxy.go_dark()
    wait_until(lambda: int(cluster.job(job).get("renewed_ms", 0)) > dark_ms or events(cluster, job, "job.lost"), 20,
               "the lease is renewed on another connection")
    assert events(cluster, job, "job.lost") == []
    (tmp_path / "go").touch()
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "1")


def test_a_claim_whose_answer_was_lost_is_asked_for_again(tmp_path):
    """Under the number that it had: what it gave is answered again, and need not wait for the end of its lease."""
    with Cluster(tmp_path, workers=0, worker_options=["--cpus", "4"]) as cluster:
        job = cluster.submit(job_of("true", lease="5s"))
        proxy = Proxy(tmp_path / "proxy.sock", cluster.redis.socket)
        proxy.lose_answer(b"stoker_claim")
        cluster.start_worker(0, ["--redis-url", proxy.url])
        wait_until(proxy.is_lost.is_set, what="the answer is lost")
        done = cluster.wait_final(job)
        assert (done["state"], done["attempt"], events(cluster, job, "job.lost")) == ("succeeded", "1", [])
        proxy.close()


def test_an_end_that_did_not_arrive_is_reported_again(proxied):
    cluster, proxy = proxied
    proxy.lose_call(b"stoker_finish")
    job = cluster.submit(job_of("true", lease="5s"))
    wait_until(proxy.is_lost.is_set, what="the report is lost")
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], events(cluster, job, "job.lost")) == ("succeeded", "1", [])


def test_a_commit_that_did_not_arrive_is_sent_again(proxied, tmp_path):
    cluster, proxy = proxied
    proxy.lose_call(b"stoker_checkpoint")
    job = cluster.submit(job_of(f"""
echo 7 > out.txt; echo '{{"t":"checkpoint","path":"out.txt","step":7}}' >&3
until [ -e {tmp_path}/go ]; do sleep 0.05; done"""))
    wait_until(proxy.is_lost.is_set, what="the commit is lost")
    wait_until(lambda: committed(cluster, job), what="it is committed all the same")
    (tmp_path / "go").touch()
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert [c["step"] for c in committed(cluster, job).values()] == [7]


@pytest.fixture
def asking(tmp_path):
    """A cluster whose worker asks a Redis that is away for jobs: its request waits for the connection."""
    with Cluster(tmp_path, worker_options=["--cpus", "4", "--log-level", "debug"]) as cluster:
        cluster.wait_final(cluster.submit(job_of("true")))  # from now on there is a class whose doorbell it waits for
        wait_until(lambda: cluster.redis.client().info("clients")["blocked_clients"] == 1, what="it waits")
        cluster.redis.kill()
        # Each attempt to connect waits longer than the one before: when there were so many, it has asked by now.
        wait_until(lambda: cluster.workers[0].text().count("redis is away") > 6, what="it has asked again")
        yield cluster
        cluster.redis.start()


def test_a_worker_that_asks_a_redis_that_is_away_drains(asking):
    assert asking.workers[0].stop(timeout=20) == 0


def test_a_worker_that_asks_a_redis_that_is_away_hands_over(asking):
    asking.workers[0].signal(signal.SIGUSR2)
    assert asking.workers[0].popen.wait(5) == 0


def test_short_runs_report_their_end_at_once(tmp_path):
    """A run may end while its connection is being made: its report must not wait for a second try, half a second later.
    One in twenty did."""
    with Cluster(tmp_path, workers=0, worker_options=["--cpus", "8", "--log-level", "warn"]) as cluster:
        jobs = [cluster.submit(job_of("true")) for _ in range(200)]
        cluster.start_worker()
        done = [cluster.wait_final(job) for job in jobs]
        took = [int(job["ended_ms"]) - int(job["claimed_ms"]) for job in done]
        assert sum(ms > 450 for ms in took) <= 2, sorted(took)
