"""Dependencies at their edges: parents and children of which something is gone, and bounds."""
import json

import pytest
from redis.exceptions import ResponseError


def family(q, parents=1, **child):
    """So many running parents, and a child that waits for them."""
    claims = [q.start() for _ in range(parents)]
    return claims, q.add(after=["default-" + c["n"] for c in claims], **child)


@pytest.mark.parametrize("id", ["a" * 64 + "-1", "default-1234567890123456"])
def test_what_is_too_long_is_no_job_id(q, id):
    with pytest.raises(ResponseError, match=f'^INVALID after: "{id[:60]}.*is no job of this submit, and no job id'):
        q.add(after=[id])


def test_named_twice_it_is_one_parent(q):
    parent = q.start()
    child = q.add(after=["default-1", "default-1"])
    assert (q.job(child)["needs"], q.job(child)["parents"]) == ("1", "1")
    q.end(parent, "succeeded")
    assert q.state(child) == "queued"


def test_of_two_that_fail_the_first_is_the_reason(q):
    claims, child = family(q, 2, on_unmet="hold")
    for claim in claims:
        q.end(claim, "permanent")
    assert q.state(child) == "waiting" and "needs" not in q.job(child)
    assert q.job(child)["unmet"] == "default-1, which it needs, failed"
    assert q.retry(child, 0) == "default-" + child and q.state(child) == "queued"


def test_one_that_is_held_for_a_failure_need_not_await_the_rest(q):
    (first, second), child = family(q, 2, on_unmet="hold")
    q.end(first, "permanent")
    assert (q.job(child)["needs"], "unmet" in q.job(child)) == ("1", True)
    q.retry(child, 0)
    assert q.state(child) == "queued" and not q.redis.exists(q.key("children:2"))
    q.end(second, "succeeded")


def test_a_child_that_needs_nothing_is_told_nothing(spoiled):
    q = spoiled
    (parent,), child = family(q)
    q.redis.hdel(q.key("job:" + child), "needs")
    q.end(parent, "permanent")
    assert q.state(child) == "waiting" and q.redis.hgetall(q.key("parents:" + child)) == {"default-1": "succeeded -"}


def test_a_child_that_is_gone_holds_nobody_up(spoiled):
    q = spoiled
    (parent,), child = family(q)
    last = q.add(after=["default-1"])
    q.redis.delete(q.key("job:" + child))
    q.end(parent, "succeeded")
    assert q.state(last) == "queued" and not q.redis.exists(q.key("children:1"))


def test_the_children_of_one_that_is_gone_are_told_so(spoiled):
    q = spoiled
    _, child = family(q)
    q.redis.delete(q.key("job:1"))
    q.redis.zadd(q.key("releases"), {"1": 1})
    q.promote()
    assert (q.state(child), q.job(child)["error"]) == ("cancelled", "default-1, which it needs, is not there")
    assert not q.redis.exists(q.key("releases"))


def test_what_is_done_again_waits_for_no_parent_that_is_gone(q):
    """Its end is known all the same."""
    (parent,), child = family(q)
    q.end(parent, "succeeded")
    q.end(q.take()[0], "permanent")
    q.remove(1)
    again = q.retry(child, 1).rsplit("-", 1)[1]
    assert q.state(again) == "queued"
    assert q.redis.hgetall(q.key("parents:" + again)) == {"default-1": "succeeded succeeded"}


def test_what_is_done_again_gives_up_on_one_that_never_ended(spoiled):
    q = spoiled
    (parent,), child = family(q)
    q.cancel(child)
    q.redis.delete(q.key("job:1"))
    again = q.retry(child, 0).rsplit("-", 1)[1]
    assert q.redis.hgetall(q.key("parents:" + again)) == {"default-1": "succeeded gone"}
    assert q.state(again) == "queued", "nothing would ever tell it"


def test_a_nameless_job_leaves_its_result_alone(spoiled):
    q = spoiled
    q.end(q.start(), "succeeded", result="[1]")
    q.redis.hdel(q.key("job:1"), "name")
    assert json.loads(q.about(1)) == {"result": [1]}


def test_of_a_parent_that_nobody_can_read_the_end_is_known(spoiled):
    q = spoiled
    (parent,), child = family(q)
    q.end(parent, "succeeded")
    q.redis.delete(q.key("job:1"))
    q.redis.set(q.key("job:1"), "a stranger's")
    claim, = q.take()
    assert json.loads(claim["parents"]) == {"default-1": {"condition": "succeeded", "state": "succeeded"}}


def test_what_many_parents_left_is_cut_to_what_a_variable_holds(q):
    claims, child = family(q, 20)
    for claim in claims:
        q.end(claim, "succeeded", result='"' + "x" * 4000 + '"')
    claim, = q.take()
    parents = json.loads(claim["parents"])
    assert len(claim["parents"]) < 70000 and len(parents) == 20
    assert {p["state"] for p in parents.values()} == {"succeeded"}
    assert 10 < sum("result" in p for p in parents.values()) < 20
