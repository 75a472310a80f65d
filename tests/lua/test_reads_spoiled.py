"""What is shown and listed where something was deleted or overwritten: the rest of it, and never an error."""
import json

import pytest
from redis.exceptions import ResponseError

LANE = "ready:cpu1:5:-"


def shown(q, n=1):
    return json.loads(q.show(n))


def listed(q, *args):
    return json.loads(q.list(*args))["jobs"]


@pytest.mark.parametrize("spoil", [
    lambda q: q.redis.hdel(q.key("job:1"), "entry"), lambda q: q.redis.hdel(q.key("job:1"), "lane"),
    lambda q: q.redis.delete(q.key(LANE)), lambda q: q.redis.xgroup_destroy(q.key(LANE), "workers")])
def test_a_queued_job_without_its_place_has_nobody_ahead(spoiled, spoil):
    q = spoiled
    q.add(), q.add()
    spoil(q)
    assert shown(q)["ahead"] == 0 and shown(q)["job"]["state"] == "queued"


@pytest.mark.parametrize("spoil", [lambda q: q.redis.delete(q.key(LANE)),
                                   lambda q: q.redis.xgroup_destroy(q.key(LANE), "workers")])
def test_a_lane_without_its_stream_lists_and_counts_nothing(spoiled, spoil):
    q = spoiled
    q.add(), q.add(priority=4)
    spoil(q)
    assert [j["id"] for j in listed(q, "queued")] == ["default-2"]
    assert json.loads(q.stats())["classes"]["cpu1"]["queued"] == 1


def test_without_its_spec_and_its_class_the_rest_is_shown(spoiled):
    q = spoiled
    q.add()
    q.redis.delete(q.key("spec:1"), q.key("classes"))
    assert (shown(q)["spec"], shown(q)["requirement"], listed(q, "queued")[0]["requirement"]) == ({}, {}, {})


def test_who_holds_the_slot_that_it_waits_for(q):
    """Of one whose time has not come that is nobody, and where nobody has it, too."""
    limits = {"concurrency": {"key": "k", "max": 1}}
    q.add(**limits), q.add(**limits)
    q.add(**limits, rate={"key": "r", "max": 1, "per": "1h"})
    q.add(**limits, rate={"key": "r", "max": 1, "per": "1h"})
    assert [shown(q, n).get("holders") for n in (2, 4)] == [["default-1"], []]
    slots = q.redis.zrange(q.key("slots:k"), 0, -1, withscores=True)
    q.redis.delete(q.key("slots:k"))
    assert shown(q, 2)["holders"] == []
    q.redis.zadd(q.key("slots:k"), dict(slots))


def test_where_it_is_stored_is_known(q):
    assert "store" not in json.loads(q.stats())
    q.redis.hset(q.key("meta"), "store", "marked")
    assert json.loads(q.stats())["store"] == "marked"


def test_many_that_ended_at_once_are_listed_once_each(q):
    for _ in range(5):
        q.bulk("", *['{"command":"x"}', ""] * 50)
    for _ in range(5):
        q.finish(*[word for c in q.take(most=50, free={"cpus": 99}) for word in (*c.fence, "succeeded", "{}")])
    q.redis.zadd(q.key("jobs:succeeded"), {str(n): 1000 for n in range(1, 251)})
    found, cursor = [], ""
    while not found or cursor:
        page = json.loads(q.list("succeeded", 60, cursor))
        found, cursor = found + [j["id"] for j in page["jobs"]], page["cursor"]
    assert sorted(found) == sorted(f"default-{n}" for n in range(1, 251))
    q.redis.zadd(q.key("jobs:succeeded"), {str(n): q.job(n)["ended_ms"] for n in range(1, 251)})


# ---------------------------------------------------------------- batches, schedules, checkpoints

def test_pages_of_batches_go_on_behind_one_that_is_gone(q):
    for i in range(3):
        q.batch(f"b{i}", "{}")
        q.redis.zadd(q.key("batches"), {f"b{i}": i + 1})
    cursor = json.loads(q.batches(1))["cursor"]
    assert cursor == "3:b2"
    q.redis.zrem(q.key("batches"), "b2")
    assert [b["id"] for b in json.loads(q.batches(9, cursor))["batches"]] == ["b1", "b0"]
    for i in range(3):
        q.redis.zadd(q.key("batches"), {f"b{i}": q.redis.hget(q.key(f"batch:b{i}"), "created_ms")})


def test_a_member_that_is_gone_and_a_metric_that_is_no_stream(spoiled):
    q = spoiled
    q.add(batch="b")
    q.redis.zadd(q.key("members:b"), {"99": 99})
    q.redis.set(q.key("metrics:1"), "no stream")
    members = json.loads(q.members("b", "all", 50, "", "loss"))["jobs"]
    assert [m["id"] for m in members] == ["default-1"] and "metric" not in members[0]


def test_a_schedule_of_which_half_is_gone(q):
    q.schedule(json.dumps({"command": "x", "schedule": {"name": "s", "every": 60}}))
    q.redis.hset(q.key("schedule:s"), "last_job", "7")
    q.redis.set(q.key("job:7"), "no hash")
    spec = q.redis.getdel(q.key("schedule-spec:s"))
    one = json.loads(q.schedule_show("s"))
    assert (one["schedule"]["last_state"], one["spec"]) == ("gone", {}) and "last_error" not in one["schedule"]
    q.redis.set(q.key("schedule-spec:s"), spec)
    q.redis.hdel(q.key("schedule:s"), "last_job")
    q.redis.delete(q.key("job:7"))


def test_what_is_no_id_of_a_checkpoint_is_on_no_page(spoiled):
    q = spoiled
    claim = q.start()
    q.commit(claim, 1, 5)
    q.redis.hset(q.key("checkpoints:1"), "odd", "{}")
    page = json.loads(q.redis.fcall("stoker_checkpoints", 1, q.key("meta"), 1))
    assert [c["id"] for c in page["checkpoints"]] == ["1-1"]


@pytest.mark.parametrize("states", ["waiting", "queued", "running", "held", "failed", "waiting,queued,running"])
def test_each_of_these_states(q, states):
    q.start(), q.add(delay="1h"), q.add()
    found = {"waiting": "2", "running": "1", "queued": "3"}
    asked = [found[s] for s in states.split(",") if s in found]
    answers = q.each("cancel", states, "", "", 1, 2, 3)
    assert [n for n, a in zip("123", answers) if a[0] == "ok"] == sorted(asked)


@pytest.mark.parametrize("call", [lambda q: q.submit(), lambda q: q.graph(), lambda q: q.schedule(),
                                  lambda q: q.watch(1), lambda q: q.condemn()])
def test_a_call_of_nothing(q, call):
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID"):
        call(q)
    assert q.snapshot() == before
