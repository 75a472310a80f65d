"""What a claim takes, in which order, and when it rings on."""
import json

import pytest
from redis.exceptions import ResponseError


def numbers(claims):
    return [int(c["n"]) for c in claims]


def bells(q):
    return sorted(key.rsplit(":", 1)[1] for key in q.redis.keys(q.key("wake:*")))


def answer_bell(q, *classes):
    """What BZPOPMIN does for a worker that waits for these; answers the class that rang."""
    return next((c for c in classes if q.redis.zpopmin(q.key("wake:" + c))), None)


def test_priority_nine_goes_first(q):
    for priority in (5, 0, 9, 5, 7):
        q.add(priority=priority)
    assert numbers(q.take(most=5)) == [3, 5, 1, 4, 2]


def test_what_was_given_back_goes_before_its_equals(q):
    first = q.start()
    q.add(), q.add(priority=9)
    q.end(first, "preempted")
    assert numbers(q.take(most=3)) == [3, 1, 2]


def test_the_oldest_head_goes_first_whatever_its_class_is_called(q):
    for memory in ("1GiB", "2GiB", "1GiB", "2GiB"):
        q.add(resources={"memory": memory})
        seen = q.now()
        while q.now() == seen:
            pass
    assert [numbers(q.take())[0] for _ in range(4)] == [1, 2, 3, 4]


def test_only_what_fits_is_taken(q):
    q.add(resources={"cpus": 4})
    q.add(resources={"cpus": 1, "gpus": 2})
    q.add(resources={"memory": "3GiB"})
    q.add(resources={"labels": {"gpu": "a100", "zone": "x"}})
    q.add(resources={"cpus": 0})
    assert numbers(q.take(most=9, free={"cpus": 3})) == [5]
    assert numbers(q.take(most=9, free={"cpus": 3, "gpus": 2, "memory": 2**31})) == [2]
    assert q.take(most=9, free={"cpus": 3, "labels": {"gpu": "a100"}}) == []
    assert numbers(q.take(most=9, free={"cpus": 3, "labels": {"gpu": "a100", "zone": "x", "y": "z"}})) == [4]
    claim, = q.take(most=9, free={"cpus": 3, "memory": 2**32})
    assert (claim["n"], claim["cpus"], claim["memory"], claim["class"]) == ("3", "1", str(3 * 2**30), "cpu1-mem3072m")
    assert numbers(q.take(most=9, free={"cpus": 4})) == [1]


def test_free_resources_are_used_up_by_one_call(q):
    for _ in range(5):
        q.add(resources={"cpus": 2, "memory": "1GiB"})
    q.add(resources={"cpus": 1})
    assert sorted(numbers(q.take(most=9, free={"cpus": 5, "memory": 2**31}))) == [1, 2, 6]


@pytest.mark.parametrize("asked,granted", [("1B", 1), ("1MiB", 1), ("7MiB", 7), ("8MiB", 8), ("9MiB", 10),
                                           ("20GiB", 20480), ("21GiB", 24576), ("33GiB", 40960)])
def test_memory_is_rounded_so_that_classes_stay_few(q, asked, granted):
    claim = q.start(resources={"memory": asked})
    assert claim["memory"] == str(granted << 20)
    assert claim["class"] == f"cpu1-mem{granted}m"


def test_claims_stop_at_max_and_ring_on(q):
    q.add(), q.add()
    assert answer_bell(q, "cpu1") == "cpu1"
    assert numbers(q.take()) == [1]
    assert bells(q) == ["cpu1"]
    assert answer_bell(q, "cpu1") == "cpu1"
    assert numbers(q.take("w2")) == [2]
    assert bells(q) == []


def test_a_worker_that_is_full_rings_for_the_others(q):
    q.add(), q.add()
    answer_bell(q, "cpu1")
    assert numbers(q.take(most=9, free={"cpus": 1})) == [1]
    assert bells(q) == ["cpu1"]


def test_classes_that_were_not_reached_keep_their_bell(q):
    q.add(priority=9), q.add(resources={"cpus": 2})
    answer_bell(q, "cpu2"), answer_bell(q, "cpu1")
    assert numbers(q.take(free={"cpus": 4})) == [1]
    assert bells(q) == ["cpu2"]


def test_a_claim_rings_for_a_few_of_many_and_no_ring_is_the_last(q):
    for cpus in range(1, 41):
        q.add(resources={"cpus": cpus}), q.add(resources={"cpus": cpus})
    for left in range(80, 0, -1):
        rung = bells(q)
        assert rung and (len(rung) <= 10 or left == 80), "a ring for the lane it took from, and eight ahead"
        answer_bell(q, *rung)
        for other in rung[1:]:  # whoever else heard it had nothing to spare
            q.redis.delete(q.key("wake:" + other))
        assert len(q.take(free={"cpus": 40})) == 1
    assert bells(q) == []


def test_a_worker_without_a_processor_left_takes_what_needs_none(q):
    q.add()
    for cpus in range(2, 20):
        q.add(resources={"cpus": cpus})
    q.add(resources={"cpus": 0}, priority=0)
    assert numbers(q.take(most=9, free={"cpus": 1})) == [1, 20]


def test_a_worker_that_cannot_run_it_does_not_spin(q):
    q.add(resources={"gpus": 1})
    rings = 0
    for _ in range(20):
        rings += answer_bell(q, "cpu1-gpu1") is not None
        assert q.take(free={"cpus": 1}) == []
    assert rings == 2  # the submit's, and one that is handed on


def test_an_empty_queue_is_silent(q):
    assert q.take() == []
    before = q.snapshot()
    assert q.take() == []
    assert q.snapshot() == before


def test_a_lane_leaves_the_order_once_it_is_empty(q):
    claim = q.start()
    assert q.redis.zcard(q.key("lanes")) == 0
    assert q.redis.exists(q.key("ready:cpu1:5:-"))
    q.end(claim, "succeeded")
    assert not q.redis.keys(q.key("ready:*"))


def test_an_entry_that_no_job_knows_goes(q):
    q.add()
    q.redis.xadd(q.key("ready:cpu1:5:-"), {"n": "99", "attempt": "0"})
    q.redis.xadd(q.key("ready:cpu1:5:-"), {"odd": "1"})
    assert numbers(q.take(most=9)) == [1]


def test_a_new_class_is_announced(q):
    with q.redis.pubsub() as heard:
        heard.subscribe(q.key("control"))
        heard.get_message(timeout=5)
        q.add(), q.add()
        assert json.loads(heard.get_message(timeout=5)["data"]) == {"class": "cpu1"}
        assert heard.get_message(timeout=0.05) is None


def test_the_leases_ever_granted_are_known(q):
    q.start(lease="30s"), q.start(lease="2s"), q.start(lease="5s")
    assert q.redis.hmget(q.key("meta"), "lease_min_ms", "lease_max_ms") == ["2000", "30000"]


@pytest.mark.parametrize("args,sentence", [
    (("", "{}", "1", "1"), "worker: expected"), (("-w", "{}", "1", "1"), "worker: expected"),
    (("w", "[]", "1", "1"), "free: expected a JSON object"), (("w", "{", "1", "1"), "free: expected a JSON object"),
    (("w", '{"cpus":"2"}', "1", "1"), "free.cpus: expected a number"),
    (("w", '{"cpus":NaN}', "1", "1"), "free.cpus: expected a number"),
    ((b"\x80" * 200, "{}", "1", "1"),
     'worker: expected 1 to 128 letters, digits, dots, hyphens, underscores, got ""'),
    (("w", '{"labels":3}', "1", "1"), "free.labels: expected an object"),
    (("w", "{}", "-1", "1"), "max: expected an integer from 0 to 100, got \"-1\""),
    (("w", "{}", "101", "1"), "max: expected"), (("w", "{}", "1", "0"), "request: expected"),
    (("w", "{}", "1", "1", "c", "1"), "too many arguments"), (("w", "{}", "1", "1", "c:d"), "channel: expected"),
    (("w", '{"given":3}', "1", "1"), "free.given: expected a list"),
        (("w", '{"labels":{"a":1e999}}', "1", "1", "c"), "free.labels: expected texts, finite numbers"),
])
def test_bad_arguments(q, args, sentence):
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + sentence.replace(".", r"\.")):
        q.claim(*args)
    assert q.snapshot() == before


def test_workers_register_and_leave(q):
    info = {"host": "h", "pid": 12, "state": "up", "capacity": {"cpus": 2, "labels": {}}, "runs": [],
            "used": [{'a\\"]': "b,}"}, []]}
    assert q.worker("w1", json.dumps(info)) == [0, 0, 0, ""]
    kept = q.redis.hgetall(q.key("worker:w1"))
    assert {k: kept[k] for k in ("host", "pid", "state", "runs")} == {"host": "h", "pid": "12", "state": "up",
                                                                     "runs": "[]"}
    assert json.loads(kept["capacity"]) == {"cpus": 2, "labels": {}}
    assert json.loads(kept["used"]) == info["used"]
    q.start()
    assert q.worker("w1", json.dumps(info)) == [1, 0, 0, ""]
    q.redis.hset(q.key("worker:w1"), "drain", 1)
    assert q.worker("w1", json.dumps({"state": "draining"})) == [1, 1, 0, ""]
    assert q.redis.zcard(q.key("workers")) == 1
    q.worker("w1", json.dumps({"state": "gone"}))
    q.worker("w1", json.dumps({"state": "gone"}))
    assert q.redis.zcard(q.key("workers")) == 0
    q.start("w2")
    assert all(0 < q.redis.ttl(q.key("worker:" + w)) <= 172800 for w in ("w1", "w2")), "neither is kept for ever"
    assert [e["event"] for e in q.events("worker.up", "worker.gone")] == ["worker.up", "worker.gone"]
    with pytest.raises(ResponseError, match="^INVALID worker: \"claim_request\" is not a name that a worker can set"):
        q.worker("w1", '{"claim_request":9}')


@pytest.mark.parametrize("more", [{}, {"tenant": "ada"}])
def test_a_record_that_lost_its_lease_is_claimed_all_the_same(q, more):
    q.add(**more)
    q.redis.hdel(q.key("job:1"), "lease_ms")
    assert [claim["n"] for claim in q.take()] == ["1"]
    assert float(q.redis.zscore(q.key("leases"), "1")) == float(q.job(1)["claimed_ms"])  # the reaper takes it at once
    q.set_job(1, lease_ms="10000")
