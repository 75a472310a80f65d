"""Many different resource shapes: classes stay bounded, and every job is in one that covers it."""
import json

import pytest
from redis.exceptions import ResponseError

GIB = 1 << 30
HUGE = {"cpus": 1 << 20, "gpus": 64, "memory": 1 << 50, "labels": {"disk": "ssd"}}


def shape(i):
    """1,000 of them: 25 counts of processors, 20 sizes of memory, no or two GPUs."""
    return {"cpus": 1 + i % 25, "memory": f"{1 + i // 25 % 20}GiB", "gpus": i // 500 * 2}


def submit(q, resources):
    specs = [json.dumps({"command": ["true"], "resources": one}) for one in resources]
    for i in range(0, len(specs), 100):
        answers = q.bulk("", *[word for spec in specs[i:i + 100] for word in (spec, "")])
        assert all(a[0] == "ok" for a in answers), answers


def granted(claim):
    return int(claim["cpus"]), int(claim["gpus"]), int(claim["memory"])


def register(q, worker, **capacity):
    q.worker(worker, json.dumps({"capacity": {"gpus": 0, "memory": 64 * GIB, "labels": {}, **capacity}}))


def fill(q, count=200):
    """So many classes that new shapes are folded."""
    submit(q, [{"labels": {"n": str(i)}} for i in range(count)])


def test_a_thousand_shapes_find_their_classes_and_run(q):
    submit(q, map(shape, range(1000)))
    assert q.redis.hlen(q.key("classes")) <= 256
    claims = []
    while page := q.take(most=100, free=dict(HUGE)):
        claims += page
        for i, claim in ((int(c["n"]) - 1, c) for c in page):
            asked, given = shape(i), granted(claim)
            assert given[0] in range(asked["cpus"], 4 * asked["cpus"] + 1) and given[1] == asked["gpus"]
            size = int(asked["memory"][:-3]) * GIB
            assert size <= given[2] <= 4 * size
        q.finish(*[word for c in page for word in (*c.fence, "succeeded", "{}")])
    assert len(claims) == 1000


def test_few_shapes_have_classes_of_their_own(q):
    submit(q, ({"cpus": cpus} for cpus in range(1, 65)))
    assert set(q.redis.hkeys(q.key("classes"))) == {f"cpu{cpus}" for cpus in range(1, 65)}
    assert q.job(q.add(resources={"cpus": 65}))["class"] == "cpu128"
    assert q.job(q.add(resources={"cpus": 33}))["class"] == "cpu33", "what is there already is taken as it is"


def test_a_worker_takes_what_the_class_says(q):
    fill(q, 64)
    n = q.add(priority=9, resources={"cpus": 5, "memory": "5GiB"})
    assert q.take(free={"cpus": 7, "memory": 8 * GIB}) == []
    claim, = q.take(free={"cpus": 8, "memory": 8 * GIB})
    assert (claim["n"], granted(claim)) == (n, (8, 0, 8 * GIB))


def test_no_worker_that_could_run_it_is_lost_by_folding(q):
    fill(q, 64)
    register(q, "w6", cpus=6, memory=7 * GIB + 5)
    register(q, "w40", cpus=40)
    register(q, "w4", cpus=4)
    n = q.add(priority=9, resources={"cpus": 5, "memory": "5GiB"})
    assert q.job(n)["class"] == f"cpu6-mem{7 * 1024}m"
    claim, = q.take("w6", free={"cpus": 6, "memory": 7 * GIB + 5})
    assert (claim["n"], granted(claim)) == (n, (6, 0, 7 * GIB))
    assert q.job(q.add(resources={"cpus": 33}))["class"] == "cpu40"
    assert q.job(q.add(resources={"cpus": 41}))["class"] == "cpu64", "nobody there could run it anyway"


def test_workers_without_its_labels_or_gpus_have_no_say(q):
    fill(q, 64)
    register(q, "w6", cpus=6)
    register(q, "w7", cpus=7, gpus=1, labels={"disk": "ssd"})
    n = q.add(resources={"cpus": 5, "gpus": 1, "labels": {"disk": "ssd"}})
    assert q.job(n)["class"].startswith("cpu7-gpu1-l")


@pytest.mark.parametrize("capacity", ["", "7", "{}", '{"cpus":"x"}', '{"cpus":5,"gpus":0,"memory":1,"labels":7'])
def test_what_a_worker_says_cannot_break_a_submit(q, capacity):
    fill(q, 64)
    register(q, "w", cpus=1)
    q.redis.hset(q.key("worker:w"), "capacity", capacity)
    assert q.job(q.add(resources={"cpus": 5}))["class"] == "cpu8"


def test_a_worker_key_of_a_stranger(q):
    fill(q, 64)
    q.redis.zadd(q.key("workers"), {"w": q.now()})
    q.redis.set(q.key("worker:w"), "mine")
    assert q.job(q.add(resources={"cpus": 5}))["class"] == "cpu8"
    q.redis.delete(q.key("worker:w"))


def test_gpus_and_labels_are_never_folded(q):
    fill(q, 256)
    with pytest.raises(ResponseError, match="^FULL queue default has 256 resource classes"):
        q.add(resources={"gpus": 3})
    with pytest.raises(ResponseError, match="^FULL"):
        q.add(resources={"labels": {"disk": "ssd"}})
    assert q.job(q.add(resources={"labels": {"n": "7"}}))["state"] == "queued"


def test_a_folded_class_that_was_dropped_is_made_again(q):
    fill(q, 64)
    n = q.add(delay="1h", resources={"cpus": 5, "memory": "5GiB", "labels": {"disk": "ssd"}})
    name = q.job(n)["class"]
    requirement = q.redis.hget(q.key("classes"), name)
    assert json.loads(requirement) == {"cpus": 8, "gpus": 0, "memory": 8 * GIB, "labels": {"disk": "ssd"}}
    q.redis.hdel(q.key("classes"), name)
    q.hurry(n)
    assert q.redis.hget(q.key("classes"), name) == requirement
    claim, = q.take(free={"cpus": 8, "memory": 8 * GIB, "labels": {"disk": "ssd"}})
    assert claim["n"] == n


def test_what_waited_is_folded_when_its_class_was_dropped(q):
    """Each had a class of its own at its submit: there were few then."""
    for i in range(0, 300, 50):
        submit(q, ({"cpus": 1 + (i + k) % 30, "memory": f"{1 + (i + k) // 30}GiB"} for k in range(50)))
        for n in range(i + 1, i + 51):
            q.hold(n)
        q.redis.delete(q.key("classes"))  # as prune does in time
    assert len({q.job(n)["class"] for n in range(1, 301)}) == 270
    for n in range(1, 301):
        q.release(n)
    live = q.redis.hkeys(q.key("classes"))
    assert 64 <= len(live) <= 128 and {q.job(n)["class"] for n in range(1, 301)} == set(live)
    while page := q.take(most=100, free=dict(HUGE)):
        for claim in page:
            i = int(claim["n"]) - 1
            assert granted(claim)[0] >= 1 + i % 30 and granted(claim)[2] >= (1 + i // 30) * GIB
        q.finish(*[word for c in page for word in (*c.fence, "succeeded", "{}")])
    assert q.redis.zcard(q.key("jobs:succeeded")) == 300


def test_an_update_keeps_the_class_unless_it_is_of_resources(q):
    fill(q, 64)
    n = q.add(resources={"cpus": 5})
    q.redis.hdel(q.key("classes"), *[c for c in q.redis.hkeys(q.key("classes")) if c.startswith("cpu1-")][:20])
    before = q.job(n)
    q.update(n, '{"name":"new"}')
    assert {**q.job(n), "name": ""} == {**before, "name": ""}
    q.update(n, '{"resources":{"memory":"1GiB"}}')
    assert q.job(n)["class"] == "cpu5-mem1024m", "there is room again"
    fill(q, 64)  # makes the classes again: their jobs are still there
