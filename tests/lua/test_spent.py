"""Where the time went: what the functions add up for a job and for its queue."""
import json

import pytest
from redis.exceptions import ResponseError

NOW = {"retry": {"backoff": 0, "max_backoff": 0}, "recovery": {"backoff": 0, "max_backoff": 0, "max_attempts": 9},
       "checkpoint": {"keep_last": 9}}
HOUR = 3_600_000


def ago(q, ms, n=1):
    """The running attempt was claimed so long ago."""
    q.set_job(n, claimed_ms=q.now() - ms)


def sums(q):
    """Of the queue, in whole seconds."""
    return {k: round(int(v) / 1000) for k, v in q.redis.hgetall(q.key("goodput")).items()
            if k != "ends" and round(int(v) / 1000)}


def of_job(q, n=1):
    fields = ("setup", "restore", "loading", "saving", "training", "trained")
    return {f: round(int(q.job(n).get(f + "_ms", 0)) / 1000) for f in fields if f + "_ms" in q.job(n)}


def test_a_plain_success_is_one_number_of_the_queue(q):
    claim = q.start()
    ago(q, 60_000)
    q.end(claim, "succeeded", exit=0)
    assert of_job(q) == {} and sums(q) == {"plain": 60}
    assert json.loads(q.stats())["goodput"].keys() == {"plain"}


def test_what_its_runner_said(q):
    claim = q.start()
    ago(q, 60_000)
    assert q.renew(*claim.fence, "phase", "running", "spent", "2000:1000:0")[0] == "ok"
    q.renew(*claim.fence, "spent", "2000:1000:5000")
    q.end(claim, "succeeded", exit=0, spent="2000:1000:5000:3000")
    whole = {"setup": 2, "restore": 1, "loading": 5, "saving": 3, "training": 49, "trained": 49}
    assert of_job(q) == whole and sums(q) == whole


def test_training_without_a_checkpoint_is_lost(q):
    claim = q.start(**NOW)
    q.renew(*claim.fence, "phase", "running", "spent", "2000:0:0")
    ago(q, 60_000)
    q.lose(1)
    assert of_job(q) == {"setup": 2, "training": 58}
    claim, = q.take()
    ago(q, 30_000)
    q.end(claim, "succeeded", exit=0)
    assert of_job(q) == {"setup": 2, "training": 88, "trained": 30} and sums(q) == of_job(q)
    assert q.redis.hget(q.key("goodput"), "ends") == "1"


def test_what_is_in_a_checkpoint_is_kept(q):
    claim = q.start(**NOW)
    q.renew(*claim.fence, "phase", "running", "spent", "10000:0:0")
    ago(q, 70_000)
    q.commit(claim, 1, 100, save_ms=5000)  # it was read 5 s ago
    ago(q, 100_000)
    q.end(claim, "error")
    assert of_job(q) == {"setup": 10, "training": 90, "trained": 55}
    q.promote()
    claim, = q.take()
    ago(q, 40_000)
    q.commit(claim, 1, 200)
    record = json.loads(q.redis.hget(q.key("checkpoints:1"), "2-1"))
    assert round(record["trained_ms"] / 1000) == 95
    ago(q, 50_000)
    q.end(claim, "preempted")
    assert of_job(q) == {"setup": 10, "training": 140, "trained": 95} and sums(q) == of_job(q)


def resumed_from_what_is_gone(q):
    """The second attempt began with 60 s in 1-1, which is deleted once 2-1 is there; it ran for 40 s."""
    first = q.start(**{**NOW, "checkpoint": {"keep_last": 1}})
    ago(q, 60_000)
    q.commit(first, 1, 100)
    q.lose(1)
    claim, = q.take()
    assert claim["resume"] == "1-1"
    q.renew(*claim.fence, "phase", "running", "spent", "0:0:0")  # it has what it needs of it
    ago(q, 20_000)
    q.commit(claim, 1, 200)
    q.drop(*claim.fence, "1-1")
    assert q.checkpoints(1) == {"2-1": "committed"}
    ago(q, 40_000)
    return claim


def test_a_checkpoint_that_was_resumed_from_may_go(q):
    q.commit(resumed_from_what_is_gone(q), 2, 300)
    q.lose(1)
    assert of_job(q) == {"training": 100, "trained": 100} and sums(q) == of_job(q)


def test_what_is_taken_back_began_with_a_checkpoint_that_may_be_gone(q):
    claim = resumed_from_what_is_gone(q)
    q.lose(1)
    assert of_job(q) == {"training": 100, "trained": 80}
    q.renew(*claim.fence)
    assert of_job(q) == {"training": 60, "trained": 60} and sums(q) == of_job(q)
    q.commit(claim, 2, 300)
    q.end(claim, "preempted")
    assert of_job(q) == {"training": 100, "trained": 100} and "trained_from_ms" not in q.job(1)


def test_what_is_quarantined_is_lost_after_all(q):
    claim = q.start(**NOW)
    for seq, ms in ((1, 20_000), (2, 40_000), (3, 60_000)):
        ago(q, ms)
        q.commit(claim, seq, seq * 100)
    q.end(claim, "preempted")
    assert of_job(q)["trained"] == 60
    q.corrupt(1, 1, "bad data", 250)
    claim, = q.take()
    assert claim["resume"] == "1-2" and of_job(q) == {"training": 60, "trained": 40} and sums(q) == of_job(q)


def test_from_the_beginning_nothing_is_kept(q):
    claim = q.start(**NOW)
    ago(q, 60_000)
    q.commit(claim, 1, 100)
    q.end(claim, "corrupted", onset=50)
    assert of_job(q) == {"training": 60}
    q.promote()
    claim, = q.take()
    q.end(claim, "succeeded", exit=0)
    assert sums(q) == {"training": 60}


@pytest.mark.parametrize("said", [None, "5000:0:0"])
def test_an_attempt_that_is_taken_back_counts_once(q, said):
    claim = q.start(**NOW)
    q.renew(*claim.fence, "phase", "running", *(["spent", said] if said else []))
    q.set_job(1, started_ms=q.now() - 55_000)
    ago(q, 60_000)
    q.commit(claim, 1, 100)
    q.lose(1)
    assert of_job(q) == {"setup": 5, "training": 55, "trained": 55}
    q.renew(*claim.fence)
    assert q.state(1) == "running" and of_job(q) == {}
    assert sums(q) == {}
    assert q.redis.hget(q.key("goodput"), "ends") == "0"
    q.end(claim, "succeeded", exit=0)
    assert of_job(q) == {"setup": 5, "training": 55, "trained": 55}


def test_what_was_lent_is_not_its_own_training(q):
    claim = q.start(**NOW)
    ago(q, HOUR)
    q.commit(claim, 1, 100)
    q.end(claim, "permanent")
    q.retry(1, 1)
    claim, = q.take()
    assert claim["resume"].startswith("0-")
    ago(q, 60_000, 2)
    q.end(claim, "succeeded", exit=0)
    assert of_job(q, 2) == {"training": 60, "trained": 60}


@pytest.mark.parametrize("text", ["", "1:2", "1:2:3:4:5", "-1:2:3", "a:b:c", "1.5:0:0"])
def test_only_numbers_are_taken(q, text):
    claim = q.start()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID spent: expected"):
        q.renew(*claim.fence, "spent", text)
    with pytest.raises(ResponseError, match="^INVALID spent: expected"):
        q.end(claim, "succeeded", spent=text)
    assert q.snapshot() == before


def test_numbers_that_are_too_large_end_with_the_attempt(q):
    claim = q.start()
    ago(q, 60_000)
    q.end(claim, "succeeded", exit=0, spent="50000:50000:1:1")
    assert of_job(q) == {"setup": 50, "restore": 10}
