"""stoker_fsck finds what is broken and changes nothing; stoker_repair mends it, looks again before it writes, and both
ways of looking find nothing afterwards. What has no one right answer is told and left alone."""
import json
import os
import random
import re

import pytest
from redis.exceptions import ResponseError

import fsck
import test_walk
from conftest import Queue
from harness import ROOT

LANE, META = "ready:cpu1:5:-", "stoker:{default}:meta"


def found(q):
    return list(fsck.findings(q.redis, META))


def codes(q):
    return {finding["code"] for finding in found(q)}


def mend(q):
    """As stoker fsck --repair does; answers the codes of what was mended."""
    mended = set()
    for _ in range(5):
        again = False
        for finding in found(q):
            if finding["repair"] and q.repair(finding["where"], finding["code"], "test") == "repaired":
                mended.add(finding["code"])
                again = True
        if not again:
            break
    return mended


@pytest.fixture
def broken(redis):
    """A queue with jobs of each kind; its end is judged by the test."""
    q = Queue(redis)
    q.create("installation1")
    q.waiting = q.add(delay="1h")
    q.end(q.start(), "succeeded", result='{"a":1}')
    q.running = q.start()
    q.queued = q.add()
    return q


def with_slots(q):
    q.first = q.add(concurrency={"key": "k", "max": 1})
    q.second = q.add(concurrency={"key": "k", "max": 1})


def with_parent(q):
    q.child = q.add(after=["default-" + q.queued])


def with_batch(q):
    q.members = [q.add(batch="b"), q.add(batch="b", delay="1h")]


def with_schedule(q):
    q.schedule(json.dumps({"command": "x", "schedule": {"name": "s", "every": 60}}))


def with_hook(q):
    q.webhook_add("http://x.org", "", "x" * 16)
    q.delivery = q.webhook_test("h1")


def with_uses(q):
    q.commit(q.running, 1, 5)
    q.commit(q.running, 2, 6, uses=[1])


def lines(q, count=3):
    return q.log(*q.running.fence, *[a for n in range(1, count + 1) for a in (n, 0, "stdout", 1, "x")])


def dead(q):
    q.redis.hset(q.key("meta"), "webhook_tries", 1)
    taken, = q.webhook_take(1, 1000)
    fields = dict(zip(taken[::2], taken[1::2]))
    q.webhook_done(fields["id"], fields["try"], "failed")


def edit(q, checkpoint, **changes):
    record = {**json.loads(q.redis.hget(q.key("checkpoints:3"), checkpoint)), **changes}
    q.redis.hset(q.key("checkpoints:3"), checkpoint, json.dumps(record))


def lane_of(q, n):
    return q.key("ready:" + q.job(n)["lane"])


def move_to_held(q):
    """Queued where nobody reads."""
    q.redis.xdel(q.key(LANE), q.job(4)["entry"])
    q.redis.xgroup_create(q.key("ready:cpu1:5:!held"), "workers", 0, mkstream=True)
    entry = q.redis.xadd(q.key("ready:cpu1:5:!held"), {"n": 4, "attempt": 0})
    q.set_job(4, lane="cpu1:5:!held", entry=entry)


def held_job(q):
    q.hold("4")
    return "4"


def settle(q, *steps):
    for step in steps:
        step(q)


# What has one right answer: the damage, in a row of steps, by the code that must be found.
MENDED = {
    "active": [lambda q: q.redis.hincrby(q.key("meta"), "active", 3)],
    "next": [lambda q: q.redis.hset(q.key("meta"), "next", 3)],
    "lane-unlisted": [lambda q: q.redis.delete(q.key("lanes"))],
    "lane-gone": [lambda q: q.redis.zadd(q.key("lanes"), {"cpu9:5:-": 1})],
    "lane-empty": [lambda q: q.redis.xgroup_create(q.key("ready:cpu9:5:-"), "workers", 0, mkstream=True)],
    "lane-group": [lambda q: q.redis.xgroup_destroy(q.key(LANE), "workers")],
    "class-missing": [lambda q: q.redis.delete(q.key("classes"))],
    "entry-lost": [lambda q: q.redis.xdel(q.key(LANE), q.job(4)["entry"])],
    "entry-stray": [lambda q: q.redis.xadd(q.key(LANE), {"n": 4, "attempt": 0})],
    "pending-deleted": [lambda q: q.redis.xdel(q.key(LANE), q.job(3)["entry"])],
    "queued-pending": [lambda q: q.redis.xreadgroup("workers", "w1", {q.key(LANE): ">"})],
    "queued-passed": [lambda q: q.redis.xreadgroup("workers", "w1", {q.key(LANE): ">"}),
                      lambda q: q.redis.xack(q.key(LANE), "workers", q.job(4)["entry"])],
    "queued-unread": [move_to_held],
    "running-pending": [lambda q: q.redis.xclaim(q.key(LANE), "workers", "w2", 0, [q.job(3)["entry"]])],
    "index-missing": [lambda q: q.redis.delete(q.key("waiting"), q.key("leases"), q.key("jobs:succeeded"))],
    "index-wrong": [lambda q: [q.redis.zadd(q.key(name), {"4": 1})
                               for name in ("leases", "waiting", "jobs:failed", "elsewhere")]],
    "index-ghost": [lambda q: [q.redis.zadd(q.key(name), {"99": 1})
                               for name in ("leases", "waiting", "jobs:failed", "elsewhere", "borrowers")]],
    "never-due": [lambda q: q.redis.zadd(q.key("waiting"), {"1": "inf"})],
    "leftover": [lambda q: q.redis.xadd(q.key("log:99"), {"stdout": "x", "lines": 1})],
    "job-empty-field": [lambda q: q.set_job(4, name="")],
    "job-end": [lambda q: q.redis.hdel(q.key("job:2"), "ended_ms")],
    "job-special": [lambda q: q.set_job(3, stop="cancel")],
    "result-unknown": [lambda q: q.redis.hdel(q.key("job:2"), "result_bytes")],
    "held-fields": [lambda q: q.set_job(4, held_ms=1)],
    "held-since": [lambda q: q.redis.hdel(q.key("job:" + held_job(q)), "held_ms")],
    "held-due": [lambda q: q.redis.zadd(q.key("waiting"), {held_job(q): 1})],
    "slot-missing": [with_slots, lambda q: q.redis.zrem(q.key("slots:k"), q.first)],
    "slot-wrong": [with_slots, lambda q: q.redis.zadd(q.key("slots:k"), {q.second: 1})],
    "slot-ghost": [with_slots, lambda q: q.redis.zadd(q.key("slots:k"), {"99": 1})],
    "line-missing": [with_slots, lambda q: q.redis.zrem(q.key("limited:k"), q.second)],
    "line-wrong": [with_slots, lambda q: q.redis.zadd(q.key("limited:k"), {q.first: 1e18})],
    "line-stuck": [with_slots, lambda q: q.set_job(q.second, slot_max=2)],
    "unique-lost": [lambda q: q.add(unique={"key": "u"}), lambda q: q.redis.delete(q.key("unique:u"))],
    "links": [with_batch, lambda q: q.redis.hdel(q.key("job:" + q.members[0]), "links")],
    "parents-count": [with_parent, lambda q: q.set_job(q.child, parents=3)],
    "needs-count": [with_parent, lambda q: q.set_job(q.child, needs=2)],
    "needs-left": [lambda q: q.set_job(4, needs=2, special=1)],
    "waits-for-nobody": [lambda q: q.set_job(1, reason="dependency"),
                         lambda q: q.redis.zadd(q.key("waiting"), {"1": "inf"})],
    "parent-over": [with_parent, lambda q: q.redis.delete(q.key("children:4")), lambda q: q.cancel("4")],
    "parent-unknowing": [with_parent, lambda q: q.redis.delete(q.key("children:4"))],
    "parent-unasked": [lambda q: q.add(after=["other-1"]), lambda q: q.redis.delete(q.key("outbox"))],
    "loan-unasked": [lambda q: q.add(resume="other-1"), lambda q: q.redis.delete(q.key("outbox"))],
    "children-untold": [lambda q: q.redis.zadd(q.key("children:2"), {"4": 4}), lambda q: q.set_job(2, links="c")],
    "member-missing": [with_batch, lambda q: q.redis.zrem(q.key("members:b"), q.members[0])],
    "member-ghost": [with_batch, lambda q: q.redis.zadd(q.key("members:b"), {"4": 4})],
    "batch-lost": [with_batch, lambda q: q.redis.delete(q.key("batch:b"))],
    "batch-unlisted": [with_batch, lambda q: q.redis.delete(q.key("batches"))],
    "batch-counts": [with_batch, lambda q: q.redis.hincrby(q.key("batch:b"), "waiting", 1)],
    "batch-done": [with_batch, lambda q: q.redis.hset(q.key("batch:b"), "done_ms", 1)],
    "stream-next": [lines, lambda q: q.set_job(3, log_next=9)],
    "log-bytes": [lines, lambda q: q.set_job(3, log_bytes=9)],
    "log-sizes": [lines, lambda q: q.redis.rpush(q.key("sizes:3"), 2)],
    "checkpoint-newest": [with_uses, lambda q: q.set_job(3, checkpoint="1-9")],
    "checkpoint-used": [with_uses, lambda q: edit(q, "1-1", used=7)],
    "schedule-ghost": [lambda q: q.redis.zadd(q.key("schedules"), {"s": 1})],
    "schedule-unlisted": [with_schedule, lambda q: q.redis.delete(q.key("schedules"))],
    "schedule-place": [with_schedule, lambda q: q.redis.zadd(q.key("schedules"), {"s": 12345})],
    "deliveries-count": [with_hook, lambda q: q.redis.hincrby(q.key("meta"), "webhook_waiting", 3)],
    "delivery-lane": [with_hook, lambda q: q.redis.zadd(q.key("deliveries"), {"h1": 12345})],
    "delivery-ghost": [with_hook, dead, lambda q: q.redis.delete(q.key("delivery:" + q.delivery))],
    "webhook-ghost": [lambda q: q.redis.sadd(q.key("webhooks:jobs"), 99),
                      lambda q: q.redis.sadd(q.key("webhooks:batches"), "x"), with_batch,
                      lambda q: q.redis.sadd(q.key("webhooks:batches"), "b")],
    "reply-ghost": [lambda q: q.redis.xadd(q.key("reply:x"), {"job": "default-1"})],
}

# What is only told.
TOLD = {
    "type": [lambda q: q.redis.set(q.key("rate:x"), 1), lambda q: q.redis.delete(q.key("rate:x")),
             lambda q: q.redis.hset(q.key("rate:x"), "a", 1)],
    "key-unknown": [lambda q: q.redis.set(q.key("odd"), 1)],
    "member-odd": [lambda q: q.redis.zadd(q.key("leases"), {"a b": 1})],
    "paused": [lambda q: q.redis.hset(q.key("meta"), "paused_ms", 1)],
    "queued-elsewhere": [lambda q: q.add(retry={"elsewhere": "1h"}, priority=9),
                         lambda q: q.end(q.take("w1", 1)[0], "error"), lambda q: q.hurry("5"),
                         lambda q: q.set_job("5", worker="w9")],
    "job-lost": [lambda q: q.redis.delete(q.key("job:1"))],
    "job-forgotten": [lambda q: q.reap("100", int(q.redis.hget(q.key("meta"), "next")) + 1)],
    "job-state": [lambda q: q.set_job(1, state="odd")],
    "job-field": [lambda q: q.redis.hdel(q.key("job:4"), "uid")],
    "job-reason": [lambda q: q.redis.hdel(q.key("job:1"), "reason")],
    "job-token": [lambda q: q.redis.hdel(q.key("job:3"), "token")],
    "spec-lost": [lambda q: q.redis.delete(q.key("spec:1"))],
    "result-lost": [lambda q: q.redis.delete(q.key("result:2"))],
    "held-state": [lambda q: q.set_job(4, reason="held", held_ms=1)],
    "stream-hole": [lines, lambda q: q.redis.xdel(q.key("log:3"), "1-2")],
    "checkpoint-id": [with_uses, lambda q: q.redis.hset(q.key("checkpoints:3"), "odd", "{}")],
    "checkpoint-record": [with_uses, lambda q: edit(q, "1-2", state="odd")],
    "checkpoint-used-gone": [with_uses, lambda q: q.redis.hdel(q.key("checkpoints:3"), "1-1")],
    "batch-size": [with_batch, lambda q: q.redis.hset(q.key("batch:b"), "size", "many")],
    "schedule-lost": [with_schedule, lambda q: q.redis.delete(q.key("schedule:s"))],
    "schedule-rule": [with_schedule, lambda q: q.redis.hset(q.key("schedule:s"), "cron", "* * * * *")],
    "schedule-ahead": [with_schedule, lambda q: q.redis.hset(q.key("schedule:s"), "last_job", 99)],
    "schedule-again": [with_schedule, lambda q: q.redis.hset(q.key("schedule:s"), "next_ms", 5),
                       lambda q: q.redis.hset(q.key("schedule:s"), "last_ms", 9)],
    "delivery-place": [with_hook, dead, lambda q: q.redis.delete(q.key("deliveries:dead"))],
}


def test_each_kind_of_finding_has_its_damage_here():
    rows = set(re.findall(r'^\t\{ "([a-z-]+)",', (ROOT / "queue/fsck.c").read_text(), flags=re.M))
    assert rows == set(MENDED) | set(TOLD) and not set(MENDED) & set(TOLD)


def test_a_lane_has_its_group_alone(broken):
    broken.redis.xgroup_create(broken.key(LANE), "other")
    assert mend(broken) == {"lane-group"}
    assert fsck.check(broken.redis) == []


@pytest.mark.parametrize("code", MENDED)
def test_what_has_one_right_answer_is_mended(broken, code):
    for step in MENDED[code]:
        step(broken)
    before = broken.snapshot()
    first = found(broken)
    assert code in {finding["code"] for finding in first}, first
    assert broken.snapshot() == before, "looking changes nothing"
    assert code in mend(broken)
    assert fsck.check(broken.redis) == []
    told = {(e["where"], e["code"]) for e in broken.events("queue.repaired")}
    assert code in {code for _, code in told}
    for finding in first:  # sent again: it is not there any more, and nothing is written
        before = broken.snapshot()
        assert broken.repair(finding["where"], finding["code"]) == "gone"
        assert broken.snapshot() == before


@pytest.mark.parametrize("code", TOLD)
def test_what_has_none_is_told_and_left(broken, code):
    for step in TOLD[code]:
        step(broken)
    finding = next((f for f in found(broken) if f["code"] == code), None)
    assert finding and finding["repair"] is False, found(broken)
    before = broken.snapshot()
    with pytest.raises(ResponseError, match="CONFLICT"):
        broken.repair(finding["where"], code)
    assert broken.snapshot() == before
    mend(broken)
    assert code in codes(broken)


def test_jobs_run_on_after_everything_was_mended(broken):
    """Several damages at once; then all jobs can be run to their ends."""
    q = broken
    q.redis.delete(q.key("lanes"), q.key("classes"), q.key("waiting"), q.key("leases"))
    q.redis.xgroup_destroy(q.key(LANE), "workers")
    mend(q)
    assert fsck.check(q.redis) == []
    assert q.end(q.running, "succeeded") == ["ok", "succeeded"]
    q.hurry("1")
    claims = q.take("w1", 9)
    assert {claim["n"] for claim in claims} == {"1", "4"}
    for claim in claims:
        assert q.end(claim, "succeeded") == ["ok", "succeeded"]
    assert fsck.check(q.redis) == []


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_it_goes_on_by_its_cursor_in_steps_of_any_size(broken, limit):
    for n in range(250):
        broken.add(batch="b" + str(n % 7), priority=n % 10)
    lines(broken, 90)
    broken.redis.xdel(broken.key("log:3"), "1-50")
    broken.redis.zadd(broken.key("leases"), {"999": 1})
    wrong = {"index-ghost", "stream-hole", "log-bytes", "active"}
    assert {f["code"] for f in fsck.findings(broken.redis, META, limit)} == wrong


def test_a_long_log_is_walked_in_pages_and_mended_as_a_whole(broken):
    for first in range(1, 201, 20):
        broken.log(*broken.running.fence, *[a for n in range(first, first + 20)
                                            for a in (n, 0, "stdout", 1, "x" * 10000)])
    assert found(broken) == []
    broken.set_job(3, log_bytes=5)
    assert mend(broken) == {"log-bytes"}
    assert broken.job(3)["log_bytes"] == "2000000"


def test_a_log_that_loses_its_head_meanwhile_makes_no_false_finding(broken):
    broken.log(*broken.running.fence, *[a for n in range(1, 101) for a in (n, 0, "stdout", 1, "x" * 10000)])
    cursor, was_trimmed = "", False
    while True:
        answer = json.loads(broken.fsck(cursor, 1))
        assert answer["findings"] == []
        cursor = answer["cursor"]
        if not cursor:
            break
        if "log 3 1-1," in cursor and not was_trimmed:
            was_trimmed = True
            broken.redis.xtrim(broken.key("log:3"), minid="1-60", approximate=False)
            broken.set_job(3, log_bytes=41 * 10000)
    assert was_trimmed


def test_a_staged_graph_is_nobodys_fault(broken):
    broken.stage("s", 3, 0, '{"command":"x","name":"a"}', '{"command":"x","after":["a"]}')
    assert found(broken) == []


@pytest.mark.parametrize("args", [["odd 1"], ["job"], ["job x"], ["jobs 0"], ["queue 1"], ["log 1 x"], ["lane"],
                                  ["queue", 0], ["queue", 1001], ["queue", "1", "x"]])
def test_bad_arguments_are_refused(broken, args):
    with pytest.raises(ResponseError, match="INVALID"):
        broken.fsck(*args)


@pytest.mark.parametrize("args", [["", "active"], ["odd", "active"], ["queue", "Odd"], ["queue", "active", "", "x"]])
def test_bad_repairs_are_refused(broken, args):
    with pytest.raises(ResponseError, match="INVALID"):
        broken.repair(*args)


# ---------------------------------------------------------------- damage of any kind

def damage(q, rnd):
    """Something that was there is gone, or something is there that was not. Answers what."""
    key = rnd.choice(sorted(set(q.redis.keys(q.key("*"))) - {q.key("meta")}))
    kind, what = q.redis.type(key), rnd.random()
    if what < 0.2:
        q.redis.delete(key)
        return f"DEL {key}"
    if kind == "hash":
        field = rnd.choice(sorted(q.redis.hkeys(key)))
        if what < 0.8:
            q.redis.hdel(key, field)
            return f"HDEL {key} {field}"
        value = rnd.choice(["7", "", "queued", "{}"])
        q.redis.hset(key, field, value)
        return f"HSET {key} {field} {value}"
    if kind == "zset":
        member = rnd.choice(q.redis.zrange(key, 0, -1) + [str(rnd.randrange(1, 30))])
        if what < 0.6:
            q.redis.zrem(key, member)
            return f"ZREM {key} {member}"
        q.redis.zadd(key, {member: rnd.choice([1, "inf"])})
        return f"ZADD {key} {member}"
    if kind == "stream" and ":ready:" in key:
        entries = q.redis.xrange(key)
        if entries and what < 0.6:
            q.redis.xdel(key, rnd.choice(entries)[0])
        elif entries and what < 0.8:
            q.redis.xack(key, "workers", rnd.choice(entries)[0])
        else:
            q.redis.xgroup_destroy(key, "workers")
        return f"a hole in {key}"
    return "nothing"


def seen(redis):
    try:
        return fsck.seen(redis)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return [f"it cannot be read: {error}"]


SEEDS = [int(seed) for seed in os.environ.get("DAMAGE_SEED", "1 2 3 4 5 6 7 8").split()]


@pytest.mark.parametrize("seed", SEEDS)
def test_any_damage_is_mended_or_told(redis, seed):
    """After a random walk something breaks, again and again: no repair fails, what is left has no right answer, and
    what is right for one way of looking is right for the other. DAMAGE_SEED="9 10 11" breaks other things."""
    q, rnd = Queue(redis), random.Random(seed)
    q.create("installation1")
    walk = test_walk.Walk(q, seed)
    walk.run_id = redis.info("server")["run_id"]
    for _ in range(120):
        walk.step()
    sound = {key: redis.dump(key) for key in redis.keys("*") if redis.ttl(key) == -1}
    for _ in range(12):
        redis.flushdb()
        for key, value in sound.items():
            redis.restore(key, 0, value)
        done = [damage(q, rnd) for _ in range(rnd.choice([1, 1, 2]))]
        mend(q)
        left = found(q)
        assert not [finding for finding in left if finding["repair"]], done
        assert left or seen(redis) == [], (done, seen(redis))
