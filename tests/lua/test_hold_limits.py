"""Hold, update and many jobs a call, beside limits by key: a slot that is given back goes to the next."""
import pytest
from redis.exceptions import ResponseError


def limited(q, **more):
    return q.add(concurrency={"key": "k", "max": 1}, **more)


def test_a_held_job_gives_its_slot_to_the_next(q):
    first, second = limited(q), limited(q)
    q.hold(first)
    assert q.state(second) == "queued"
    assert q.release(first) == "waiting" and q.job(first)["reason"] == "limit"
    q.end(q.take()[0], "succeeded")
    assert q.state(first) == "queued"


def test_one_that_waits_in_line_is_held_out_of_it(q):
    first, second, third = limited(q), limited(q), limited(q)
    q.hold(second)
    q.cancel(first)
    assert (q.state(second), q.state(third)) == ("waiting", "queued")
    q.cancel(third)
    assert q.job(second)["reason"] == "held"
    assert q.release(second) == "queued"


def test_priority_counts_in_line(q):
    first, second, third = limited(q), limited(q), limited(q)
    assert q.update(third, '{"priority":9}') == "waiting"
    q.cancel(first)
    assert (q.state(second), q.state(third)) == ("waiting", "queued")
    with pytest.raises(ResponseError, match="^CONFLICT job default-2 waits for something else than time"):
        q.update(second, '{"delay":"1h"}')
    assert q.update(third, '{"delay":"1h"}') == "waiting"
    assert q.state(second) == "queued", "what waits for its time needs no slot"


def test_limits_are_not_changed_in_a_job_that_is_there(q):
    n = limited(q)
    with pytest.raises(ResponseError, match="^INVALID concurrency: it cannot be changed"):
        q.update(n, '{"concurrency":{"max":5}}')


def test_a_spec_with_hold_takes_no_slot(q):
    held, other = limited(q, hold=True), limited(q)
    assert q.state(other) == "queued"
    assert q.release(held) == "waiting" and q.job(held)["reason"] == "limit"


@pytest.mark.parametrize("action", ["cancel", "hold"])
def test_a_whole_line_in_one_call(q, action):
    """The slot that one gives back goes to another of the same call, which is then asked for in its turn."""
    numbers = [limited(q) for _ in range(6)]
    answers = q.each(action, "", "", "", *numbers)
    assert {word for word, _ in answers} == {"ok"}
    assert {q.state(n) for n in numbers} == {"cancelled" if action == "cancel" else "waiting"}
    assert q.take(most=10) == []
    if action == "hold":
        assert {q.job(n)["reason"] for n in numbers} == {"held"}
        q.each("release", "held", "", "", *numbers)
        assert len(q.take(most=10)) == 1


def test_a_whole_line_from_its_end(q):
    numbers = [limited(q) for _ in range(6)]
    q.each("hold", "", "", "", *reversed(numbers))
    assert {q.job(n)["reason"] for n in numbers} == {"held"}


def test_retries_of_one_unique_key(q):
    for _ in range(2):
        q.end(q.start(unique={"key": "u"}), "permanent")
    answers = q.each("retry", "", "", "", 1, 2)
    assert answers[0] == ["ok", "default-3"] and answers[1][1].startswith("CONFLICT unique.key")


def test_a_tenant_keeps_its_lane(q):
    """Held and released, or of another priority: a job stays in the lane of its tenant."""
    n = q.add(tenant="ada")
    q.hold(n)
    q.release(n)
    assert q.job(n)["lane"] == "cpu1:5:ada"
    q.update(n, '{"priority":7}')
    assert q.job(n)["lane"] == "cpu1:7:ada"
    held = q.add(tenant="bob", hold=True)
    q.update(held, '{"priority":8,"resources":{"cpus":2}}')
    q.release(held)
    assert q.job(held)["lane"] == "cpu2:8:bob"
    with pytest.raises(ResponseError, match="^INVALID tenant: it cannot be changed"):
        q.update(n, '{"tenant":"bob"}')
    assert [c["n"] for c in q.take(most=2)] == [held, n]
