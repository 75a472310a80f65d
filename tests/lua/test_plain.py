"""Most submits go straight (lua/submit_plain.lua). Whichever way a job takes, the same must be written, told and
answered: each example is played twice, with the library as it is and with one whose straight way is closed."""
import json
import os
import re

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

import fsck
from conftest import Queue
from harness import BUILD, wait_until

LIBRARY = (BUILD / "stoker.lua").read_text()
OPEN = "function submitting.plainly(keys, list, from, step, actor, key)\n"


def closed():
    assert LIBRARY.count(OPEN) == 1
    return LIBRARY.replace(OPEN, OPEN + "        do return nil end\n")


def counting():
    """Answers how often the straight way was gone, by a function of its own."""
    text = LIBRARY.replace("return line_up(q,", "redis.pcall('INCR', 'lined up')\n            return line_up(q,")
    text = text.replace("return hand_over(q,", "redis.pcall('INCR', 'handed over')\n            return hand_over(q,")
    assert text.count("redis.pcall('INCR'") == 2
    return text


SPECS = st.sampled_from([
    {"command": ["a"]}, {"command": ["b", "c d"]}, {"name": "x", "command": ["a"]}, {"name": "y", "command": ["a"]},
    {"name": "x", "command": ["a"], "priority": 9}, {"name": "x", "command": ["a"], "lease": "3s"},
    {"command": ["a"], "name": "x"}, {"name": "x", "command": ["a"], "resources": {"cpus": 2}},
    {"name": "x", "command": ["a"], "queue": "default"}, {"name": "x", "command": ["a"], "queue": "other"},
    {"name": "x", "command": ["a"], "tenant": "t"}, {"name": "x", "command": ["a"], "delay": "1h"},
    {"name": "x", "command": ["a"], "resources": {"cpus": 1, "labels": {"a": "b"}}}, {"command": []}])
# Of one call, whose entries may have the same ms or not: which of two lanes is first would be chance.
BULK = SPECS.filter(lambda spec: not spec.keys() & {"tenant", "resources"})
ACTOR = st.sampled_from(["", "", "ann"])
KEY = st.sampled_from(["", "", "", "k", "l", "a b", "x" * 129])
META = st.sampled_from([("paused", "paused"), ("paused", "draining"), ("paused", ""), ("archive", "behind"),
                        ("archive", "well"), ("max_jobs", "3"), ("max_jobs", "x"), ("rate_max", "0"), ("next", "1e3"),
                        ("max_running", "1"), ("key_ttl_ms", "x"), ("key_ttl_ms", "5000")])
STEPS = st.one_of(
    st.tuples(st.just("submit"), SPECS, KEY, ACTOR), st.tuples(st.just("submit"), SPECS, st.just(""), ACTOR),
    st.tuples(st.just("bulk"), ACTOR, st.lists(st.tuples(BULK, KEY), min_size=1, max_size=4)),
    st.tuples(st.just("same"), SPECS, st.integers(1, 4), ACTOR), st.tuples(st.just("claim"), st.integers(0, 1)),
    st.tuples(st.just("meta"), META), st.tuples(st.just("listen"), st.integers(0, 1)),
    st.tuples(st.just("listen"), st.integers(0, 1)), st.tuples(st.just("deaf")),
    # Not `classes`: the straight way does not ask it, and takes a job that a damaged one would refuse.
    st.tuples(st.just("stranger"), st.sampled_from(["lanes", "events", "ready:cpu1:5:-", "wake:cpu1", "job:2", "idle",
                                                    "spec:2", "leases"])))

# A shape that is known, nothing queued, and a worker that waits.
HANDED = [("submit", {"command": ["a"]}, "", ""), ("claim", 0), ("listen", 0)]


def play(redis, text, steps):
    """What every step answered, what the worker was told, and what Redis holds at the end."""
    redis.flushall()
    redis.function_load(text, replace=True)
    q, answers = Queue(redis), []
    q.create("installation1")
    request = 0
    pubsub = redis.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(q.key("given:c"), q.key("events"))
    for _ in range(2):
        pubsub.get_message(timeout=5)
    is_sound = True
    for step in steps:
        seen = q.now()
        while q.now() == seen:  # so that what came first is first
            pass
        is_sound = is_sound and step[0] not in ("meta", "stranger")
        try:
            if step[0] == "submit":
                answers.append(q.submit(json.dumps(step[1]), *step[2:]))
            elif step[0] == "same":
                answers.append(q.bulk(step[3], *[one for _ in range(step[2]) for one in (json.dumps(step[1]), "")]))
            elif step[0] == "bulk":
                answers.append(q.bulk(step[1], *[one for s, key in step[2] for one in (json.dumps(s), key)]))
            elif step[0] in ("claim", "listen"):
                request += 1
                free = {"cpus": step[1] + 1, "gpus": 0, "memory": 1 << 30, "labels": {}, "given": []}
                channel = ["c"] if step[0] == "listen" else []
                answers.append(q.claim("w", json.dumps(free), 1, request, *channel))
            elif step[0] == "deaf":  # the worker is gone, and its offer is still there
                pubsub.unsubscribe(q.key("given:c"))
                wait_until(lambda: redis.pubsub_numsub(q.key("given:c"))[0][1] == 0, 5, "nobody listens")
            elif step[0] == "meta" and step[1][1]:
                redis.hset(q.key("meta"), *step[1])
            elif step[0] == "meta":
                redis.hdel(q.key("meta"), step[1][0])
            else:
                redis.delete(q.key(step[1]))
                redis.rpush(q.key(step[1]), "a stranger's")
        except ResponseError as error:
            answers.append(str(error))
    redis.publish(q.key("events"), "the end")
    told = told_until(pubsub, "the end")
    pubsub.close()
    straight = [int(redis.get(name) or 0) for name in ("lined up", "handed over")]
    redis.delete("lined up", "handed over")
    problems = fsck.check(redis) if is_sound else []
    return without_times([answers, told, contents(redis)]), straight, problems


def told_until(pubsub, end):
    heard = []

    def is_over():
        message = pubsub.get_message()
        heard.extend([message["data"]] if message else [])
        return heard[-1:] == [end]

    wait_until(is_over, 5, "what was published arrives", every=0)
    return heard[:-1]


def contents(redis):
    held = {}
    for key in sorted(redis.keys("*")):
        kind = redis.type(key)
        held[key] = {
            "hash": redis.hgetall, "string": redis.get, "list": lambda key: redis.lrange(key, 0, -1),
            "set": lambda key: sorted(redis.smembers(key)),
            "zset": lambda key: sorted(redis.zrange(key, 0, -1)),
            "stream": lambda key: [list(redis.xrange(key)), redis.xinfo_groups(key)],
        }[kind](key)
    return held


def without_times(value):
    """Times, ids of entries, tokens and uids differ from one play to the next: they become the same."""
    text = json.dumps(value, sort_keys=True)
    text = re.sub(r'"age_ms", "\d+"', '"age_ms"', text)
    text = re.sub(r"(?<![0-9a-f])[0-9a-f]{13}(\d{3})(?![0-9a-f])", r"uid\1", text)
    return re.sub(r"1\d{12}(-\d+)?", "time", text)


def test_both_ways_lead_to_the_same(redis):
    gone = [0, 0]

    @settings(max_examples=int(os.environ.get("PLAIN_EXAMPLES", "80")), deadline=None, database=None,
              suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, min_size=2, max_size=12))
    @example([HANDED[0]] * 3)
    @example([*HANDED, ("submit", {"command": ["b", "c d"]}, "k", "ann")])
    @example([*HANDED, ("deaf",), ("submit", {"command": ["b", "c d"]}, "", "")])
    @example([*HANDED, ("stranger", "leases"), ("submit", {"command": ["b", "c d"]}, "", "")])
    def check(steps):
        one, straight, problems = play(redis, counting(), steps)
        other, never, _ = play(redis, closed(), steps)
        assert one == other
        assert never == [0, 0] and not problems
        gone[:] = [a + b for a, b in zip(gone, straight)]

    check()
    assert gone[0] >= 2 and gone[1] >= 3, gone  # those of the examples, at the least


def test_a_worker_that_is_gone_is_given_nothing(redis):
    """What is the same as the job before finds its offer, and nobody on the channel: it is queued."""
    redis.function_load(counting(), replace=True)
    q = Queue(redis)
    q.create("installation1")
    text = json.dumps({"command": ["a"]})
    q.submit(text)
    q.end(q.take()[0], "succeeded")
    free = {"cpus": 1, "gpus": 0, "memory": 1 << 30, "labels": {}, "given": []}
    assert q.claim("w", json.dumps(free), 1, 1, "c") == [] and redis.zrange(q.key("idle"), 0, -1) == ["w"]
    assert q.submit(text) == "default-2" and redis.get("handed over") == "1"
    assert q.state(2) == "queued" and not redis.exists(q.key("idle"), q.key("leases"))
    assert redis.zrange(q.key("lanes"), 0, -1) == ["cpu1:5:-"] and redis.zcard(q.key("wake:cpu1")) == 1
    redis.delete("handed over")
    assert fsck.check(redis) == []


def test_what_goes_straight(redis):
    """A job behind others of its lane, alone or with many, with an actor or without."""
    redis.function_load(counting(), replace=True)
    q = Queue(redis)
    q.create("installation1")
    text = [json.dumps({"name": f"t{i}", "command": ["a", str(i)]}) for i in range(8)]
    assert q.submit(text[0]) == "default-1" and not redis.exists("lined up")
    assert q.submit(text[1]) == "default-2" and redis.get("lined up") == "1"
    assert q.submit(text[2], "", "ann") == "default-3" and redis.get("lined up") == "2"
    assert q.bulk("ann", text[3], "", text[4], "", text[5], "") == [["ok", f"default-{n}"] for n in (4, 5, 6)]
    assert redis.get("lined up") == "3"
    assert q.bulk("", text[6], "", text[7], "key") == [["ok", "default-7"], ["ok", "default-8"]]
    assert q.submit(text[6], "another") == "default-9" and redis.get("lined up") == "4"
    assert q.submit(text[6], "another") == "default-9" and redis.get("lined up") == "4"
    assert 0 < redis.pttl(q.key("key:another")) <= 86400000
    assert [q.job(n).get("name") for n in range(1, 10)] == [f"t{i}" for i in range(8)] + ["t6"]
    assert [q.job(n).get("actor") for n in range(1, 8)] == [None, None, "ann", "ann", "ann", "ann", None]
    submitted = q.events("job.submitted")
    assert [e["job"] for e in submitted] == [f"default-{n}" for n in range(1, 10)]
    assert [e.get("actor") for e in submitted[:7]] == [None, None, "ann", "ann", "ann", "ann", None]
    assert redis.hmget(q.key("meta"), "next", "active") == ["9", "9"]
