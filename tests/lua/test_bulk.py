"""stoker_bulk: up to a hundred submits in one call, each answered as if it had come alone."""
import json

import pytest
import redis as redis_errors


def bulk(q, *items, actor=""):
    args = [part for spec, key in items for part in (spec if isinstance(spec, str) else json.dumps(spec), key)]
    return q.redis.fcall("stoker_bulk", 1, q.key("meta"), actor, *args)


def spec(i=0, **more):
    return {"name": f"job {i}", "command": ["true", str(i)], **more}


def test_a_hundred_at_once_are_jobs_like_any_other(q):
    answers = bulk(q, *[(spec(i), "") for i in range(100)], actor="app:me")
    assert answers == [["ok", f"default-{i}"] for i in range(1, 101)]
    alone = q.redis.fcall("stoker_submit", 1, q.key("meta"), json.dumps(spec(7)), "", "app:me")
    one, other = q.job(8), q.job(alone.rsplit("-", 1)[1])
    assert set(one) == set(other)
    same = {"state", "name", "class", "priority", "attempt", "lease_ms", "lane", "actor"}
    assert {k: one[k] for k in same} == {k: other[k] for k in same}
    assert len({q.job(n)["uid"] for n in range(1, 102)}) == 101
    assert json.loads(q.redis.get(q.key("spec:42"))) == spec(41)
    assert [e["job"] for e in q.events("job.submitted")] == [f"default-{n}" for n in range(1, 102)]
    assert q.redis.hget(q.key("meta"), "active") == "101"
    assert q.redis.zcard(q.key("wake:cpu1")) == 1


def test_they_come_out_in_the_order_in_which_they_stand(q):
    bulk(q, (spec(1), ""), (spec(2, priority=9), ""), (spec(3), ""))
    order = []
    while claims := q.take():
        order += [claim["n"] for claim in claims]
        q.end(claims[0], "succeeded")
    assert order == ["2", "1", "3"]


def test_what_is_wrong_is_refused_alone(q):
    answers = bulk(q, (spec(1), ""), ("{", ""), (spec(2, priority=10), ""), (spec(3), "bad key"), (spec(4), ""),
                   (spec(5, queue="other"), ""))
    assert [a[0] for a in answers] == ["ok", "error", "error", "error", "ok", "error"]
    assert [a[1] for a in answers if a[0] == "ok"] == ["default-1", "default-2"]
    assert answers[1][1].startswith("INVALID spec: not valid JSON")
    assert answers[2][1] == "INVALID priority: expected an integer from 0 to 9, got 10"
    assert answers[3][1].startswith("INVALID idempotency key")
    assert answers[5][1].startswith("INVALID queue: the spec says other")
    with pytest.raises(redis_errors.ResponseError) as alone:
        q.add(priority=10)
    assert str(alone.value) == answers[2][1], "the same sentence as alone"


def test_the_same_call_again_makes_nothing_twice(q):
    items = [(spec(i), f"key-{i}") for i in range(5)]
    first = bulk(q, *items)
    before = q.snapshot()
    assert bulk(q, *items) == first
    assert q.snapshot() == before
    changed = bulk(q, *[(spec(i + 1), f"key-{i}") for i in range(5)])
    assert all(a[0] == "error" and a[1].startswith("CONFLICT the idempotency key") for a in changed)


def test_a_key_that_stands_twice_in_one_call(q):
    answers = bulk(q, (spec(1), "k"), (spec(2), ""), (spec(1), "k"), (spec(3), "k"), (spec(4), "k"))
    assert answers[:3] == [["ok", "default-1"], ["ok", "default-2"], ["ok", "default-1"]]
    assert all(a[1].startswith("CONFLICT") and "default-1" in a[1] for a in answers[3:])
    assert q.redis.hget(q.key("meta"), "next") == "2" == q.redis.hget(q.key("meta"), "active")


def test_the_bound_on_unfinished_jobs_holds_inside_a_call(q):
    q.redis.hset(q.key("meta"), "max_jobs", 3)
    answers = bulk(q, *[(spec(i), "") for i in range(5)])
    assert [a[0] for a in answers] == ["ok"] * 3 + ["error"] * 2
    assert answers[4][1].startswith("FULL queue default has 3 unfinished jobs")


def test_the_bound_on_classes_holds_inside_a_call(q):
    for n in range(254):
        q.redis.hset(q.key("classes"), f"cpu1-l{n:08x}", "{}")
    answers = bulk(q, *[(spec(i, resources={"gpus": i}), "") for i in range(10, 14)])
    assert [a[0] for a in answers] == ["ok", "ok", "error", "error"]
    for n in range(254):
        q.redis.hdel(q.key("classes"), f"cpu1-l{n:08x}")


def test_late_ones_wait(q):
    answers = bulk(q, (spec(1, delay="1h"), ""), (spec(2), ""))
    assert [a[0] for a in answers] == ["ok", "ok"]
    assert (q.job(1)["state"], q.job(1)["reason"], q.job(2)["state"]) == ("waiting", "delay", "queued")


@pytest.mark.parametrize("args", [[], [""], ["", "{}"], ["", "{}", "", "{}"], ["x" * 200, "{}", ""],
                                  [""] + ["{}", ""] * 101], ids=lambda a: str(len(a)))
def test_a_call_of_the_wrong_form_changes_nothing(q, args):
    before = q.snapshot()
    with pytest.raises(redis_errors.ResponseError, match="^INVALID "):
        q.redis.fcall("stoker_bulk", 1, q.key("meta"), *args)
    assert q.snapshot() == before


def test_a_strange_key_in_the_way_refuses_before_anything_is_written(q):
    q.redis.set(q.key("ready:cpu1:5:-"), "x")
    before = q.snapshot()
    answers = bulk(q, (spec(1), ""))
    assert answers[0][0] == "error" and answers[0][1].startswith("WRONGTYPE")
    assert q.snapshot() == before
    q.redis.delete(q.key("ready:cpu1:5:-"))
