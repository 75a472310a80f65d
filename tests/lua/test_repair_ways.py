"""Other ways to findings of stoker_fsck than those of test_repair, and damages that are none."""
import json

import pytest
from redis.exceptions import ResponseError

import fsck
import test_repair
from harness import wait_until
from test_repair import LANE, codes, edit, found, held_job, lines, mend, with_batch, with_hook, with_schedule, with_uses

broken = test_repair.broken  # the fixture


def queued_elsewhere(q):
    """A job that only w1 passes by."""
    q.end(q.start(priority=9, retry={"elsewhere": "1h"}), "lost")
    return q.job(5)


def move_to_given(q):
    q.redis.xdel(q.key(LANE), q.job(4)["entry"])
    q.redis.xgroup_create(q.key("ready:cpu1:5:!given"), "workers", 0, mkstream=True)
    q.set_job(4, lane="cpu1:5:!given", entry=q.redis.xadd(q.key("ready:cpu1:5:!given"), {"n": 4, "attempt": 0}))


def done_batch(q):
    q.end(q.start(batch="d", priority=9), "succeeded")


def spoil_spec(q):
    q.redis.delete(q.key("classes"), q.key("spec:4"))
    q.redis.rpush(q.key("spec:4"), "a stranger's")


MENDED = {
    "an end without its time and place": ("job-end", lambda q: [q.redis.hdel(q.key("job:2"), "ended_ms"),
                                                                q.redis.delete(q.key("jobs:succeeded"))]),
    "held, and due": ("held-due", lambda q: q.set_job(held_job(q), due_ms=5)),
    "held in a lane": ("held-due", lambda q: q.set_job(held_job(q), lane="cpu1:5:-")),
    "held with an entry": ("held-due", lambda q: q.set_job(held_job(q), entry="1-1")),
    "a group of another name": ("lane-group", lambda q: [q.redis.xgroup_destroy(q.key(LANE), "workers"),
                                                         q.redis.xgroup_create(q.key(LANE), "other")]),
    "queued where one worker alone reads": ("queued-unread", move_to_given),
    "no entry where one worker passes by": (
        "entry-lost", lambda q: q.redis.xdel(q.key("ready:cpu1:9:!not@w1"), queued_elsewhere(q)["entry"])),
    "the entry of another job": ("entry-lost", lambda q: q.set_job(4, entry=q.job(q.add())["entry"])),
    "no class, and an entry of nobody": ("class-missing", lambda q: [
        q.redis.xgroup_create(q.key("ready:cpu2:5:-"), "workers", 0, mkstream=True),
        q.redis.xadd(q.key("ready:cpu2:5:-"), {"odd": "1"})]),
    "queued, and held for a failure": ("needs-left", lambda q: q.set_job(4, unmet="x", special=1)),
    "forgotten, and there": ("index-wrong", lambda q: q.redis.zadd(q.key("forgotten"), {"4": 1})),
    "forgotten, and never there": ("index-wrong", lambda q: q.redis.zadd(q.key("forgotten"), {"99": 1})),
    "forgotten, and no number": ("index-ghost", lambda q: q.redis.zadd(q.key("forgotten"), {"x": 1})),
    "a paused schedule that is due": ("schedule-place", lambda q: [
        with_schedule(q), q.schedule_pause("s", "pause"), q.redis.zadd(q.key("schedules"), {"s": 5})]),
    "a paused schedule that is not listed": ("schedule-unlisted", lambda q: [
        with_schedule(q), q.schedule_pause("s", "pause"), q.redis.delete(q.key("schedules"))]),
    "a schedule that nobody understands, not listed": ("schedule-unlisted", lambda q: [
        with_schedule(q), q.redis.hset(q.key("schedule:s"), "error", "x"), q.redis.delete(q.key("schedules"))]),
    "a batch that does not know that it is done": ("batch-done", lambda q: [
        done_batch(q), q.redis.hdel(q.key("batch:d"), "done_ms")]),
    "a log shorter than its sizes": ("log-sizes", lambda q: [
        lines(q, 1), q.redis.rpush(q.key("sizes:3"), 1, 1)]),
}

TOLD = {
    "a job of a schedule without its time": ("job-field", lambda q: q.set_job(4, schedule="s")),
    "a result of what failed": ("result-lost", lambda q: [
        q.end(q.running, "permanent"), q.set_job(3, result_bytes=1), q.redis.set(q.key("result:3"), "1")]),
    "nobody to pass by": ("queued-elsewhere", lambda q: queued_elsewhere(q) and q.redis.hdel(q.key("job:5"), "worker")),
    "no lane": ("key-unknown", lambda q: [q.redis.xadd(q.key("ready:odd"), {"n": "4"}),
                                          q.redis.zadd(q.key("lanes"), {"odd": 1})]),
    "paused somehow": ("paused", lambda q: q.redis.hset(q.key("meta"), mapping={"paused": "odd", "paused_ms": 1})),
    "paused since nobody knows": ("paused", lambda q: q.redis.hset(q.key("meta"), "paused", "paused")),
    "a schedule whose last job is no number": ("schedule-ahead", lambda q: [
        with_schedule(q), q.redis.hset(q.key("schedule:s"), "last_job", "x")]),
    "a schedule whose last time is no number": ("schedule-again", lambda q: [
        with_schedule(q), q.redis.hset(q.key("schedule:s"), mapping={"last_ms": "x", "next_ms": 5})]),
    "the spec of a schedule alone": ("schedule-unlisted", lambda q: [
        with_schedule(q), q.redis.delete(q.key("schedules"), q.key("schedule:s"))]),
    "the record of a schedule alone": ("schedule-unlisted", lambda q: [
        with_schedule(q), q.redis.delete(q.key("schedules"), q.key("schedule-spec:s"))]),
    "a delivery that is dead, and waits": ("delivery-place", lambda q: [
        with_hook(q), q.redis.zadd(q.key("deliveries:dead"), {q.delivery: 1})]),
    "a log of no job": ("key-unknown", lambda q: q.redis.set(q.key("log:x"), "1") and q.redis.rename(
        q.key("log:x"), q.key("spec:x"))),
    "a job of too long a number": ("key-unknown", lambda q: q.redis.hset(q.key("job:1234567890123456"), "a", "1")),
    "a key of no kind": ("key-unknown", lambda q: q.redis.set(q.key("odd:1"), "1")),
    "a checkpoint that is no object": ("checkpoint-record", lambda q: [
        with_uses(q), q.redis.hset(q.key("checkpoints:3"), "1-2", "3")]),
    "a checkpoint that is going, and used": ("checkpoint-used-gone", lambda q: [
        with_uses(q), edit(q, "1-1", state="deleting")]),
    "uses of what is no number": ("checkpoint-used-gone", lambda q: [with_uses(q), edit(q, "1-2", uses=["x"])]),
    "a batch from a time that is none": ("batch-unlisted", lambda q: [
        with_batch(q), q.redis.zrem(q.key("batches"), "b"), q.redis.hset(q.key("batch:b"), "created_ms", "x")]),
}


@pytest.mark.parametrize("what", MENDED)
def test_it_is_mended(broken, what):
    code, spoil = MENDED[what]
    spoil(broken)
    assert code in codes(broken) and code in mend(broken)
    assert fsck.check(broken.redis) == []


@pytest.mark.parametrize("what", TOLD)
def test_it_is_told(broken, what):
    code, spoil = TOLD[what]
    spoil(broken)
    assert {f["repair"] for f in found(broken) if f["code"] == code} == {False}


def test_a_class_comes_back_though_nobody_can_read_the_spec(broken):
    spoil_spec(broken)
    assert "class-missing" in mend(broken)
    assert json.loads(broken.redis.hget(broken.key("classes"), "cpu1"))["cpus"] == 1


def test_a_key_that_was_kept_for_a_time_is_not_lost_after_it(broken):
    broken.add(unique={"key": "u", "until": "expired", "for": "1h"})
    broken.redis.pexpire(broken.key("unique:u"), 1)
    wait_until(lambda: not broken.redis.exists(broken.key("unique:u")), what="its time is over")
    assert codes(broken) == set() and fsck.check(broken.redis) == []


# Steps that a page asked for, and that have nothing to look at by now: whoever took it was faster.
OVER = ["indexed forgotten 3", "indexed waiting x", "borrower other-1:9", "target gone", "stray log:x", "key odd",
        "log 99", "metrics 99", "log 4", "entries gone -", "pending gone -", "members gone 0", "batch gone",
        "schedule gone", "holder slots:k 9", "mark webhooks:jobs 9", "reply gone", "member b 9", "waits h1 x"]


@pytest.mark.parametrize("step", OVER)
def test_what_went_meanwhile_is_nothing(broken, step):
    answer = json.loads(broken.fsck(step))
    assert answer["findings"] == [] and answer["cursor"] == ""


@pytest.mark.parametrize("step", ["entries odd -", "pending odd -", "members odd 0", "log 4", "log 3"])
def test_what_became_something_else_meanwhile_is_nothing(broken, step):
    q = broken
    for key in ("ready:odd", "members:odd", "log:4", "job:3"):
        q.redis.delete(q.key(key))
        q.redis.set(q.key(key), "a stranger's")
    assert json.loads(q.fsck(step))["findings"] == []


@pytest.mark.parametrize("cursor", ["   ", "entries", "entries  ", "queue x", "job", "lanes x"])
def test_a_step_that_is_none(broken, cursor):
    with pytest.raises(ResponseError, match="^INVALID fsck: there is no step"):
        broken.fsck(cursor)


def test_a_finding_stands_where_it_was_found(broken):
    broken.set_job(3, stop="cancel")
    assert broken.repair("jobs 1", "job-special") == "gone" and "special" not in broken.job(3)
    assert broken.repair("job 3", "job-special") == "repaired"


def test_a_call_has_so_many_findings(broken):
    broken.redis.zadd(broken.key("waiting"), {str(1000 + i): 1 for i in range(500)})
    first = json.loads(broken.fsck("", 1000))
    assert 200 <= len(first["findings"]) < 300 and first["cursor"] != ""
    assert len([f for f in found(broken) if f["code"] == "index-ghost"]) == 500


def test_what_is_too_much_to_count_is_not_counted(broken):
    q = broken
    q.redis.hincrby(q.key("meta"), "active", 1), q.redis.hset(q.key("meta"), "webhook_waiting", 7)
    assert {"active", "deliveries-count"} <= codes(q)
    q.redis.zadd(q.key("lanes"), {f"cpu{i}:5:-": i for i in range(1001)})
    q.redis.zadd(q.key("deliveries"), {f"x{i}": i for i in range(1001)})
    q.redis.zadd(q.key("members:large"), {str(i): i for i in range(2001)})
    told = codes(q)
    assert {"lane-gone", "delivery-lane"} <= told and not {"active", "deliveries-count", "batch-lost"} & told


def test_what_goes_by_itself_is_no_leftover(broken):
    broken.redis.set(broken.key("spec:99"), "{}", px=60000)
    assert codes(broken) == set()


def test_a_log_that_began_with_the_end_of_a_line_is_walked(broken):
    """A point of no value is where an attempt began; a log of full pages ends at its last line."""
    q = broken
    q.end(q.running, "preempted")
    q.running, = q.take("w1", 1)
    q.metric(*q.running.fence, 1, '{"loss":1}')
    q.redis.xdel(q.key("metrics:3"), "2-1")
    q.redis.hdel(q.key("job:3"), "metric_next")
    assert codes(q) == set(), "nothing but the mark"
    for first in range(1, 501, 100):
        q.log(*q.running.fence, *[a for n in range(first, first + 100) for a in (n, 0, "stdout", 1, "x")])
    assert codes(q) == set()
    q.set_job(3, log_bytes=5)
    assert mend(q) == {"log-bytes"} and q.job(3)["log_bytes"] == "500"


def test_lines_that_go_while_it_looks_are_no_finding(broken):
    q = broken
    lines(q, 3)
    step = json.loads(q.fsck("log 3", 1))
    assert step["findings"] == []
    q.redis.xdel(q.key("log:3"), "1-1")
    assert json.loads(q.fsck("log 3 1-1,1-2,2,1,3"))["findings"] == [], "the log was cut at its head meanwhile"
