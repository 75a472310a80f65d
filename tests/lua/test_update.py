"""stoker_update: what may be changed in a job that does not run yet, and what follows from it."""
import json

import pytest
from redis.exceptions import ResponseError


def spec(q, n):
    return json.loads(q.redis.get(q.key(f"spec:{n}")))


def due(q, n):
    return q.redis.zscore(q.key("waiting"), n)


def test_priority_changes_the_order_of_claims(q):
    first, second, third = q.add(), q.add(), q.add()
    assert q.update(third, '{"priority":8}', "ada") == "queued"
    assert q.job(third)["priority"] == "8" and spec(q, third)["priority"] == 8
    assert q.update(first, '{"priority":1}') == "queued"
    assert [c["n"] for c in q.take(most=5)] == [third, second, first]
    assert q.events("job.updated")[0]["reason"] == "priority=8"


def test_priority_of_what_is_in_front_stays_in_front(q):
    claim = q.start()
    q.add(priority=7)
    q.end(claim, "preempted")
    q.update(1, '{"priority":7}')
    assert q.job(1)["lane"] == "cpu1:7:!front" and q.job(1)["reason"] == "preempted"
    assert [c["n"] for c in q.take()] == ["1"]


def test_delay(q):
    n = q.add()
    assert q.update(n, '{"delay":"1h"}') == "waiting"
    assert q.job(n)["reason"] == "delay" and abs(due(q, n) - q.now() - 3600000) < 60000
    assert q.update(n, '{"delay":"2h"}') == "waiting"
    assert abs(due(q, n) - q.now() - 7200000) < 60000
    assert q.take() == []
    assert q.update(n, '{"delay":0}') == "queued"
    assert [c["n"] for c in q.take()] == [n]


def test_delay_of_a_retry_and_of_a_held_job(q):
    claim = q.start()
    q.end(claim, "error")
    q.update(1, '{"delay":"1h"}')
    assert q.job(1)["reason"] == "retry" and due(q, 1) > q.now() + 3000000
    q.hold(1)
    q.update(1, '{"delay":"5h"}')
    assert due(q, 1) == float("inf")
    assert q.release(1) == "waiting" and due(q, 1) > q.now() + 17000000
    assert q.job(1)["reason"] == "retry"
    q.hold(1)
    q.update(1, '{"delay":0}')
    assert q.release(1) == "queued"


def test_limits_and_names(q):
    n = q.add(retry={"max_attempts": 1, "backoff": "1s"}, tags=["a", "b/c"], name="old")
    assert q.job(n)["tags"] == "a b/c"
    q.update(n, json.dumps({"retry": {"max_attempts": 7}, "timeout": "2h", "lease": "30s", "tags": [],
                            "name": "new", "experiment": "e1"}))
    changed = spec(q, n)
    assert changed["retry"] == {"max_attempts": 7, "backoff": "1s"}, "the rest of a section stays"
    assert changed["timeout"] == "2h" and changed["command"] == ["true"]
    assert q.redis.get(q.key(f"spec:{n}")).count('"tags":[]') == 1, "an empty list stays a list"
    assert "tags" not in q.job(n)
    q.update(n, '{"tags":["x"]}')
    assert q.job(n)["tags"] == "x"
    assert (q.job(n)["lease_ms"], q.job(n)["name"], q.job(n)["experiment"]) == ("30000", "new", "e1")
    claim, = q.take()
    assert (json.loads(claim["spec"])["timeout"], claim["lease_ms"]) == ("2h", "30000")


@pytest.mark.parametrize("name", ["prio\\u0072ity", "priorit\\u0079"])
def test_an_escaped_name_is_the_name(q, name):
    n = q.submit('{"command":"x","%s":3,"env":{"A":"a\\\\"}}' % name).split("-")[1]
    q.update(n, '{ "%s" : 9 }' % name)
    assert spec(q, n) == {"command": "x", "priority": 9, "env": {"A": "a\\"}} and q.job(n)["priority"] == "9"


def test_null_is_the_default_again(q):
    n = q.add(priority=9, experiment="e")
    q.update(n, '{"priority":null,"experiment":null}')
    assert q.job(n)["priority"] == "5" and "experiment" not in q.job(n)


def test_resources_change_the_class(q):
    n = q.add(resources={"gpus": 8, "cpus": 2})
    small = {"cpus": 4, "gpus": 1, "memory": 0, "labels": {}}
    assert q.take(free=small) == []
    q.update(n, '{"resources":{"gpus":1}}')
    assert q.job(n)["class"] == "cpu2-gpu1"
    assert q.redis.zcard(q.key("wake:cpu2-gpu1")) == 1
    assert [c["n"] for c in q.take(free=small)] == [n]


def test_texts_survive_as_they_were_given(q):
    text = ('{ "command" : ["a/b", "\\u00e9 \\"}", "[,{"],\n "env":{"A":"1,2}","B":""}, "retry" : {"jitter":0.1250} ,'
            ' "tags":[] }')
    n = q.submit(text).split("-")[1]
    q.update(n, '{"priority":3}')
    assert json.loads(q.redis.get(q.key(f"spec:{n}"))) == {**json.loads(text), "priority": 3}
    assert '"jitter":0.1250' in q.redis.get(q.key(f"spec:{n}")) and '"tags":[]' in q.redis.get(q.key(f"spec:{n}"))


@pytest.mark.parametrize("changes, sentence", [
    ({"priority": 10}, "priority: expected an integer from 0 to 9, got 10"),
    ({"delay": "soon"}, "delay: expected a duration"),
    ({"prio": 1}, "prio: unknown key"), ({"retry": {"max_atempts": 1}}, "retry.max_atempts: unknown key"),
    ({"retry": {"max_backoff": "1s"}}, "retry.max_backoff: expected at least retry.backoff"),
    ({"retry": 3}, "retry: expected an object"), ({"resources": {"labels": {"-": "x"}}}, "resources.labels: "),
    ({"command": "rm"}, "command: it cannot be changed"), ({"env": {}}, "env: it cannot be changed"),
    ({"queue": "other"}, "queue: it cannot be changed"), ({"hold": False}, "hold: it cannot be changed"),
    ({"train": {}}, "train: it cannot be changed"), ({"backend": "tinygrad"}, "backend: it cannot be changed"),
    ('{"priority":1,"priority":2}', "changes: priority stands twice"),
    ('{"retry":{"max_lost":1,"max_lost":2}}', "changes: retry.max_lost stands twice"),
    ('{"timeout":1.}', "spec: not valid JSON"), ('{"name":"a\tb"}', "(name|spec): "), ("nonsense", "changes: ")])
def test_wrong_changes(q, changes, sentence):
    n = q.add(retry={"backoff": "5s"})
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.update(n, changes if isinstance(changes, str) else json.dumps(changes))
    assert q.snapshot() == before


def test_too_large_a_change(q):
    n = q.add(env={"A": "x" * 130000})
    q.redis.set(q.key(f"spec:{n}"), json.dumps({"command": ["true"], "env": {f"A{i}": "x" * 130000 for i in range(2)}}))
    with pytest.raises(ResponseError, match="^INVALID spec: expected at most 262144 bytes"):
        q.update(n, json.dumps({"tags": ["t" * 60 + f"{i:02}" for i in range(32)]}))


def test_a_class_too_many(q):
    n = q.add()
    q.redis.hset(q.key("classes"), mapping={f"cpu{i}": "{}" for i in range(1000, 1255)})
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^FULL queue default has 256 resource classes"):
        q.update(n, '{"resources":{"cpus":77}}')
    assert q.snapshot() == before


def test_strangers_in_the_way(q):
    n = q.add()
    q.redis.set(q.key("ready:cpu1:9:-"), "mine")
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^WRONGTYPE"):
        q.update(n, '{"priority":9}')
    assert q.snapshot() == before
    q.redis.delete(q.key("ready:cpu1:9:-"))


def test_the_same_delay_counts_anew_and_nothing_else_changes(q):
    n = q.add(delay="1h")
    q.hurry(n), q.update(n, '{"delay":"1h"}')
    before = spec(q, n)
    assert q.state(n) == "waiting" and due(q, n) > q.now() + 3500000
    q.update(n, '{"delay":"1h"}')
    assert spec(q, n) == before and due(q, n) > q.now() + 3500000


def test_a_delay_of_what_was_held_when_it_was_queued(q):
    q.add()
    q.hold(1)
    q.update(1, '{"delay":"1h"}')
    assert q.release(1) == "waiting" and q.job(1)["reason"] == "delay" and due(q, 1) > q.now() + 3500000


def test_a_name_of_what_waits_under_limits(q):
    """In the line for a slot it keeps its place; under a rate it has none."""
    slot, rate = {"concurrency": {"key": "k", "max": 1}}, {"rate": {"key": "r", "max": 1, "per": "1h"}}
    q.add(**slot), q.add(**rate)
    q.add(**slot), q.add(**rate), q.add(**slot, **rate)
    line = q.redis.zrange(q.key("limited:k"), 0, -1, withscores=True)
    for n in (3, 4, 5):
        q.update(n, '{"name":"new"}')
        assert (q.job(n)["name"], q.job(n)["reason"]) == ("new", "limit")
    assert q.redis.zrange(q.key("limited:k"), 0, -1, withscores=True) == line


def test_what_was_null_is_what_is_given(q):
    q.submit('{"command":"x","retry":null}')
    q.update(1, '{"retry":{"max_attempts":5}}')
    assert spec(q, 1)["retry"] == {"max_attempts": 5}


def test_a_name_of_what_wants_graphics_leaves_its_class(q):
    q.add(resources={"gpus": 2, "memory": "4GiB"}, priority=3)
    before = q.redis.hgetall(q.key("classes"))
    q.redis.delete(q.key("classes"))
    q.update(1, '{"name":"new"}')
    assert q.redis.hgetall(q.key("classes")) == before and len(q.take()) == 1


@pytest.mark.parametrize("spoil, says", [
    (lambda q: q.redis.delete(q.key("spec:1")), "NOTFOUND the spec of job default-1 is gone"),
    (lambda q: q.redis.set(q.key("spec:1"), "[1]"), "NOTFOUND the spec of job default-1 is gone"),
    (lambda q: q.redis.hdel(q.key("job:1"), "reason"), "CONFLICT job default-1 waits for something else than time")])
def test_a_job_of_which_half_is_gone(spoiled, spoil, says):
    q = spoiled
    q.add(delay="1h")
    spoil(q)
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^" + says):
        q.update(1, '{"delay":"2h"}')
    assert q.snapshot() == before


def test_a_lane_or_class_that_is_none_goes_with_the_change(spoiled):
    q = spoiled
    q.add()
    q.set_job(1, lane="odd", **{"class": "odd"})
    q.update(1, '{"priority":7}')
    assert (q.job(1)["lane"], json.loads(q.redis.hget(q.key("classes"), "odd"))["cpus"]) == ("odd:7:-", 1)
