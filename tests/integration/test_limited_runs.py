"""Limits and unique jobs through real schedulers, workers and programs."""
import pytest

from cluster import ApiError
from harness import wait_until


def noted(path, **more):
    return {"command": ["bash", "-c", f"echo in >> {path}; sleep 0.15; echo out >> {path}"], **more}


def most_at_once(path):
    now = most = 0
    for line in path.read_text().split():
        now += 1 if line == "in" else -1
        most = max(most, now)
    return most


def test_no_more_at_once_than_the_key_allows(cluster, tmp_path):
    notes, others = tmp_path / "notes", tmp_path / "others"
    jobs = [cluster.submit(noted(notes, concurrency={"key": "user-7", "max": 2})) for _ in range(8)]
    shown = cluster.show(jobs[-1])
    assert shown["why"] == f"waits for a slot of user-7, which has 2: taken by {jobs[0]}, {jobs[1]}"
    free = [cluster.submit(noted(others)) for _ in range(4)]
    for job in jobs + free:
        assert cluster.wait_final(job)["state"] == "succeeded"
    assert most_at_once(notes) == 2 and most_at_once(others) >= 2


def test_a_worker_that_is_killed_gives_no_slot_away_twice(cluster, tmp_path):
    notes = tmp_path / "notes"
    jobs = [cluster.submit(noted(notes, concurrency={"key": "k", "max": 1}, lease="1s")) for _ in range(5)]
    for _ in range(2):
        wait_until(lambda: notes.exists() and notes.read_text().count("in") >= 1, what="something runs")
        cluster.kill_everything()
        cluster.start_worker()
    for job in jobs:
        assert cluster.wait_final(job)["state"] == "succeeded"


def test_a_rate_is_kept(cluster, tmp_path):
    jobs = [cluster.submit({"command": ["true"], "rate": {"key": "api", "max": 2, "per": "1s"}}) for _ in range(4)]
    assert "as its rate limit allows" in cluster.show(jobs[3])["why"]
    ended = [cluster.wait_final(job) for job in jobs]
    starts = sorted(int(job["claimed_ms"]) for job in ended)
    assert starts[2] - starts[0] >= 400 and starts[3] - starts[0] >= 900


def test_one_of_its_kind(cluster):
    job = cluster.submit({"command": ["sleep", "30"], "grace": "1s", "unique": {"key": "nightly"}})
    with pytest.raises(ApiError) as refused:
        cluster.submit({"command": ["true"], "unique": {"key": "nightly"}})
    assert refused.value.status == 409 and job in str(refused.value)
    cluster.api("POST", f"/api/v1/jobs/{job}/cancel")
    cluster.wait_final(job)
    again = cluster.submit({"command": ["true"], "unique": {"key": "nightly"}})
    assert cluster.wait_final(again)["state"] == "succeeded"


def test_limits_of_a_queue_from_the_command_line(cluster, tmp_path):
    notes = tmp_path / "notes"
    cluster.cli("queues", "limit", "default", "--max-running", "2", "--max-recovering", "3")
    assert "at most 2 at once" in cluster.cli("queues").stdout
    jobs = [cluster.submit(noted(notes)) for _ in range(7)]
    says = "the queue is at its limit: 2 of 2 jobs run"
    wait_until(lambda: says in cluster.show(jobs[-1])["why"] and says in cluster.cli("ls").stdout,
               what="show and ls say why it waits")
    for job in jobs:
        assert cluster.wait_final(job)["state"] == "succeeded"
    assert most_at_once(notes) == 2
    cluster.cli("queues", "limit", "default", "--max-running", "0", "--rate", "2/1h")
    assert "at most 2 in 1h" in cluster.cli("queues").stdout
    states = [cluster.job(cluster.submit({"command": ["true"]}))["state"] for _ in range(3)]
    assert states[2] == "waiting" and "waiting" not in states[:2]
    cluster.cli("queues", "share", "default", "ada", "2.5")
    assert cluster.redis.client().hget("stoker:{default}:shares", "ada") == "2.5"


@pytest.mark.parametrize("words, says", [
    (["limit", "default"], "expected --max-running, --max-recovering, --rate or --preempt"),
    (["limit", "default", "--max-recovering", "x"], "--max-recovering: expected an integer from 0"),
    (["limit", "default", "--max-running", "-1"], "--max-running: expected an integer from 0"),
    (["limit", "default", "--rate", "x"], "--rate: expected a count"),
    (["limit", "default", "--rate", "5/0s"], "--rate: expected a count"),
    (["limit", "Default", "--rate", "5"], "a queue's name is"),
    (["limit", "nowhere", "--rate", "5"], "no queue nowhere"),
    (["share", "default", "ada", "much"], "expected a weight"),
    (["share", "default", "ada", "0"], "weight: expected a number from 0.001 to 1000"),
    (["share", "default", "a:b", "1"], "tenant: expected a tenant"),
    (["share", "default", "ada"], "expected `queues`"),
])
def test_wrong_limits_are_told(cluster, words, says):
    done = cluster.cli("queues", *words, check=False)
    assert done.returncode in (2, 3) and says in done.stderr, done.stderr
