"""fsck must see what is wrong: each invariant is broken by hand once."""
import json
import re

import pytest
from redis.exceptions import ResponseError

import fsck
from conftest import Queue
from harness import ROOT


@pytest.fixture
def broken(redis):
    """A queue with one job of each kind, whose end is not judged."""
    queue = Queue(redis)
    queue.create("installation1")
    queue.add(delay="1h")
    queue.end(queue.start(), "succeeded")
    queue.running = queue.start()
    queue.add()
    return queue


def test_a_sound_queue_is_sound(broken):
    assert fsck.check(broken.redis) == []


BREAKS = {
    "job 3 is not in leases": lambda q: q.redis.zrem(q.key("leases"), 3),
    "queued job 4 is in leases": lambda q: q.redis.zadd(q.key("leases"), {"4": 1}),
    "leases has 99, which is no job": lambda q: q.redis.zadd(q.key("leases"), {"99": 1}),
    "waiting job 1 is not in waiting": lambda q: q.redis.delete(q.key("waiting")),
    "succeeded job 2 is not in jobs:succeeded": lambda q: q.redis.delete(q.key("jobs:succeeded")),
    "succeeded job 2 is in jobs:failed": lambda q: q.redis.zadd(q.key("jobs:failed"), {"2": 1}),
    "its ready entries are": lambda q: q.redis.xadd(q.key("ready:cpu1:5:-"), {"n": "4", "attempt": "0"}),
    "is delivered but not pending": lambda q: q.redis.xack(q.key("ready:cpu1:5:-"), "workers", q.job(3)["entry"]),
    "is pending but deleted": lambda q: q.redis.xdel(q.key("ready:cpu1:5:-"), q.job(3)["entry"]),
    "is pending for w2": lambda q: q.redis.xclaim(q.key("ready:cpu1:5:-"), "workers", "w2", 0, [q.job(3)["entry"]]),
    "is pending for w1": lambda q: q.redis.xreadgroup("workers", "w1", {q.key("ready:cpu1:5:-"): ">"}),
    "is not in lanes": lambda q: q.redis.delete(q.key("lanes")),
    "lanes has x:5:-, which has no stream": lambda q: q.redis.zadd(q.key("lanes"), {"x:5:-": 1}),
    "its class is not in classes": lambda q: q.redis.delete(q.key("classes")),
    "active jobs, there are 3": lambda q: q.redis.hincrby(q.key("meta"), "active", 1),
    "the newest job is 3, it is 4": lambda q: q.redis.hset(q.key("meta"), "next", 3),
    "has the state odd": lambda q: q.set_job(1, state="odd"),
    "running job 3 has ['stop'], attempt 1, and is not special": lambda q: q.set_job(3, stop="cancel"),
    "queued job 4 has [], attempt 2, and is not special": lambda q: q.set_job(4, attempt="2"),
    "job 1 has no spec": lambda q: q.redis.delete(q.key("spec:1")),
    "job 4 has no uid": lambda q: q.redis.hdel(q.key("job:4"), "uid"),
    "log:99 belongs to no job": lambda q: q.redis.xadd(q.key("log:99"), {"stdout": "x", "lines": "1"}),
    "log of job 3 has a hole": lambda q: [
        q.log(*q.running.fence, *[a for first in "123" for a in (first, "0", "stdout", "1", "x")]),
        q.redis.xdel(q.key("log:3"), "1-2")],
    "log of job 3 ends before 2": lambda q: [q.log(*q.running.fence, "1", "0", "stdout", "1", "x"),
                                            q.set_job(3, log_next="9")],
    "sizes of job 3 are not those": lambda q: [q.log(*q.running.fence, "1", "0", "stdout", "1", "x"),
                                               q.redis.rpush(q.key("sizes:3"), "2")],
    "log of job 3 has 1 bytes, its log_bytes is 2": lambda q: [
        q.log(*q.running.fence, "1", "0", "stdout", "1", "x"), q.set_job(3, log_bytes="2")],
    "names checkpoint 1-9, the newest good one is 1-1": lambda q: [q.commit(q.running, 1, 5),
                                                                 q.set_job(3, checkpoint="1-9")],
    "unknown key odd": lambda q: q.redis.set(q.key("odd"), 1),
    "events is a string": lambda q: q.redis.set(q.key("events"), 1),
}


@pytest.mark.parametrize("sentence", BREAKS)
def test_what_is_broken_is_found(broken, sentence):
    BREAKS[sentence](broken)
    problems = fsck.check(broken.redis)
    assert any(sentence in problem for problem in problems), problems


# ---------------------------------------------------------------- types

PUTS = {"string": lambda r, key: r.set(key, "x"), "list": lambda r, key: r.rpush(key, "x"),
        "set": lambda r, key: r.sadd(key, "x"), "hash": lambda r, key: r.hset(key, "x", "x"),
        "zset": lambda r, key: r.zadd(key, {"x": 1}), "stream": lambda r, key: r.xadd(key, {"x": "x"})}


def contract():
    """Each key of docs/protocol.md, as it stands there, and its type."""
    text = (ROOT / "docs/protocol.md").read_text().split("| key | type | holds |\n|---|---|---|\n")[1].split("\n\n")[0]
    keys = {}
    for line in text.splitlines():
        names, kind = line.split(" | ")[:2]
        keys.update(dict.fromkeys(re.findall(r"`([^`]+)`", names), re.match(r"\w+", kind)[0]))
    return keys


CONTRACT = contract()
BESIDE = {"stoker:queues": "set", "stoker:library": "string", "stoker:installation": "string",
          "stoker-secret:{default}:webhooks": "hash"}


def full(q):
    """As much as one queue may have at a time; no types are judged by what is in it."""
    q.add(concurrency={"key": "k", "max": 1}), q.add(concurrency={"key": "k", "max": 1})
    q.add(after=["default-4"], batch="b", unique={"key": "u"})
    q.schedule(json.dumps({"command": "x", "schedule": {"name": "s", "every": 60}}))
    q.webhook_add("http://x.org", "", "x" * 16)
    q.webhook_test("h1")
    q.log(*q.running.fence, "1", "0", "stdout", "1", "x")
    q.commit(q.running, 1, 5)


def key_for(q, pattern):
    """One that is there, if there is one."""
    there = sorted(q.redis.keys(q.key(re.sub("<.*>", "*", pattern))))
    return there[0] if there else q.key(re.sub("<.*>", "3", pattern))


@pytest.mark.parametrize("pattern", [*CONTRACT, *BESIDE])
def test_a_key_of_another_type_is_found(broken, pattern):
    full(broken)
    right, redis = {**CONTRACT, **BESIDE}[pattern], broken.redis
    key = pattern if pattern in BESIDE else key_for(broken, pattern)
    assert right in PUTS and redis.type(key) in (right, "none")
    if redis.exists(key):
        redis.rename(key, "aside")
    for kind in sorted(PUTS.keys() - {right}):
        redis.delete(key)
        PUTS[kind](redis, key)
        found = list(fsck.findings(redis, broken.key("meta")))
        assert f"the key {key} is a {kind}, not a {right}" in [f["detail"] for f in found if f["code"] == "type"], found
    for finding in found:  # what hangs on it may be mended, or not
        try:
            broken.repair(finding["where"], finding["code"])
        except ResponseError as error:
            assert re.match("CONFLICT|WRONGTYPE the key", str(error)), f"{finding}: {error}"
    assert redis.type(key) == kind, "it is somebody else's"
