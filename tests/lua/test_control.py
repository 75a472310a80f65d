"""Hold and release, update and remove: in every state, twice, and with wrong arguments."""
import json

import pytest
from redis.exceptions import ResponseError

from test_states import FINAL, STATES, bring


def due(q, n):
    return q.redis.zscore(q.key("waiting"), n)


# ---------------------------------------------------------------- hold and release

def test_held_job_is_out_of_the_ready_stream(q):
    n, other = q.add(), q.add()
    assert q.hold(n, "ada", "not today") == "waiting"
    job = q.job(n)
    assert (job["reason"], job["held_by"], job["held_reason"]) == ("held", "ada", "not today")
    assert [c["n"] for c in q.take(most=5)] == [other]
    assert q.promote() == [0, -1]
    assert q.release(n, "bob") == "queued"
    assert not [field for field in q.job(n) if field.startswith("held") or field == "reason"]
    assert [c["n"] for c in q.take()] == [n]
    assert [e["event"] for e in q.history(n)] == ["job.held", "job.released"]


def test_release_goes_back_to_wait_for_its_time(q):
    n = q.add(delay="1h")
    before = q.job(n)["due_ms"]
    q.hold(n)
    assert due(q, n) == float("inf") and "due_ms" not in q.job(n)
    assert q.release(n) == "waiting"
    assert q.job(n)["due_ms"] == before and q.job(n)["reason"] == "delay" and due(q, n) == float(before)
    q.hold(n)
    q.set_job(n, held_due_ms=1)
    assert q.release(n) == "queued", "its time has passed meanwhile"


def test_a_retry_stays_one(q):
    claim = q.start()
    q.end(claim, "error")
    before = q.job(1)
    q.hold(1)
    q.release(1)
    assert q.job(1) == before


@pytest.mark.parametrize("cause", ["preempted", "lost"])
def test_what_was_in_front_is_in_front_again(q, cause):
    claim = q.start()
    q.add()
    if cause == "lost":
        q.lose(1)
    else:
        q.end(claim, "preempted")
    q.hold(1)
    assert q.release(1) == "queued"
    assert q.job(1)["reason"] == cause
    assert [c["n"] for c in q.take()] == ["1"]


def test_the_runner_of_a_lost_job_that_is_held_must_stop(q):
    claim = q.start()
    q.lose(1)
    q.hold(1)
    with pytest.raises(ResponseError, match="^STALE"):
        q.renew(*claim.fence)


def test_a_spec_may_ask_for_it(q):
    n = q.submit(json.dumps({"command": "x", "hold": True, "delay": "1h"}), "", "ada").split("-")[1]
    assert q.state(n) == "waiting" and q.job(n)["held_by"] == "ada" and "due_ms" not in q.job(n)
    assert q.take() == []
    assert q.release(n) == "waiting" and q.job(n)["reason"] == "delay"
    held = q.add(hold=True)
    assert q.release(held) == "queued"
    assert q.state(q.add(hold=False)) == "queued"


def test_the_retry_of_a_job_that_was_to_be_held_is_not(q):
    n = q.add(hold=True)
    q.cancel(n)
    again = q.retry(n, 0).split("-")[1]
    assert q.state(again) == "queued"


def test_an_index_that_lies_starts_nothing(q):
    n = q.add(hold=True)
    q.hurry(n)
    assert q.state(n) == "waiting" and due(q, n) == float("inf")


def test_a_held_job_is_cancelled_and_not_retried(q):
    n = q.add()
    q.hold(n, "ada", "why")
    with pytest.raises(ResponseError, match="^CONFLICT job default-1 is held by ada: why | stoker release default-1$"):
        q.retry(n, 0)
    assert q.cancel(n) == "cancelled"
    assert not [field for field in q.job(n) if field.startswith("held")]


def test_held_after_corruption(q):
    claim = q.start()
    q.commit(claim, 1, 10)
    q.end(claim, "error")
    q.hold(1)
    assert q.corrupt(1, 1, "x") == "waiting"
    assert q.job(1)["reason"] == "held"
    q.release(1)
    q.hurry(1)
    assert len(q.take()) == 1


def test_a_class_that_was_dropped_is_made_again(q):
    n = q.add()
    q.hold(n)
    q.redis.hdel(q.key("classes"), "cpu1")
    assert q.release(n) == "queued"
    assert len(q.take()) == 1


# ---------------------------------------------------------------- every state, and twice

ACTIONS = {  # action → its call, and in which states it may be
    "hold": (lambda q: q.hold(1, "ada", "why"), ("waiting", "queued")),
    "release": (lambda q: q.release(1, "ada"), ("waiting", "queued", "running")),
    "update": (lambda q: q.update(1, '{"priority":7}', "ada"), ("waiting", "queued")),
    "remove": (lambda q: q.remove(1, "ada"), FINAL),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_state(q, action, state):
    bring(q, state)
    call, allowed = ACTIONS[action]
    before = q.snapshot()
    if state not in allowed:
        with pytest.raises(ResponseError, match="^CONFLICT job default-1 (is|has|was) "):
            call(q)
        assert q.snapshot() == before
        return
    answer = call(q)
    before = q.snapshot()
    assert call(q) == answer
    assert q.snapshot() == before, "asked twice: nothing changes"


@pytest.mark.parametrize("action", ["hold", "release", "update", "remove"])
def test_no_such_job(q, action):
    with pytest.raises(ResponseError, match="^NOTFOUND"):
        getattr(q, action)(9, *(["{\"priority\":1}"] if action == "update" else []))


@pytest.mark.parametrize("call", [
    lambda q: q.hold("x"), lambda q: q.hold(), lambda q: q.hold(1, "", "", ""), lambda q: q.release(1, "a", "b"),
    lambda q: q.remove(0), lambda q: q.remove(1, "a", "b"), lambda q: q.update(1), lambda q: q.update(1, "{}"),
    lambda q: q.update(1, "[1]"), lambda q: q.update(1, '{"priority":1'), lambda q: q.hold(1, "a\n")])
def test_wrong_arguments(q, call):
    q.add()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID"):
        call(q)
    assert q.snapshot() == before


# ---------------------------------------------------------------- remove

def test_nothing_of_a_removed_job_is_left(q):
    claim = q.start()
    q.commit(claim, 1, 10)
    q.log(*claim.fence, 1, 1, "stdout", 1, "hello")
    q.metric(*claim.fence, 1, '{"loss":1}')
    q.end(claim, "permanent")
    assert q.remove(1, "ada") == "removed"
    assert not q.redis.keys(q.key("*:1"))
    assert q.redis.zcard(q.key("jobs:failed")) == 0
    assert q.remove(1) == "removed", "it is gone, as was asked"
    assert q.events("job.removed")[0]["actor"] == "ada"
    assert q.end(claim, "succeeded")[0] == "stale"
    with pytest.raises(ResponseError, match="^NOTFOUND"):
        q.show(1)


def test_what_was_lent_survives(q):
    claim = q.start()
    q.commit(claim, 1, 10)
    q.end(claim, "permanent")
    again = q.retry(1, 1).split("-")[1]
    q.remove(1)
    assert q.checkpoints(again) == {"0-1": "committed"}
    assert q.take()[0]["resume"] == "0-1"
