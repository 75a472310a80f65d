"""A full Redis drains, strangers' keys break nothing halfway, and nothing grows without a bound."""
import json

import pytest
from redis.exceptions import ResponseError

from harness import wait_until

FENCED = {
    "renew": lambda q, c: q.renew(*c.fence, "phase", "running"),
    "checkpoint": lambda q, c: q.commit(c, 2, 2),
    "reject": lambda q, c: q.reject(*c.fence, "1-1", "x"),
    "drop": lambda q, c: q.drop(*c.fence, "1-1"),
    "adopt": lambda q, c: q.adopt(*c.fence, "w2"),
    "cancel": lambda q, c: q.cancel(c["n"]),
    "finish": lambda q, c: q.end(c, "succeeded"),
    "promote": lambda q, c: q.hurry(2),
    "reap": lambda q, c: q.lose(c["n"]),
    "prune": lambda q, c: q.prune(), "worker": lambda q, c: q.worker("w1", "{}"),
    "show": lambda q, c: q.show(1), "list": lambda q, c: q.list("all", 9), "stats": lambda q, c: q.stats(),
}
REFUSED = {
    "submit": lambda q, c: q.add(),
    "claim": lambda q, c: q.take(),
    "log": lambda q, c: q.log(*c.fence, "1", "1", "stdout", "1", "x"),
    "metric": lambda q, c: q.metric(*c.fence, 1, '{"loss":1}'),
}


@pytest.fixture
def full(q):
    """A Redis over its memory, with one job running and one waiting."""
    claim = q.start()
    q.commit(claim, 1, 1)
    q.add(delay="1h")
    yield claim
    q.redis.config_set("maxmemory", 0)


def fill(q):
    q.redis.config_set("maxmemory", 1)


@pytest.mark.parametrize("function", [f for f in FENCED if f not in ("promote", "reap")])
def test_a_full_redis_drains(q, full, function):
    fill(q)
    FENCED[function](q, full)


@pytest.mark.parametrize("function", ["promote", "reap"])
def test_a_full_redis_goes_on_ticking(q, full, function):
    q.redis.zadd(q.key("waiting"), {"2": 1})
    q.expire(1)
    q.redis.hset(q.key("meta"), mapping={"last_reap_ms": q.now(), "redis_run_id": q.redis.info("server")["run_id"]})
    fill(q)
    assert getattr(q, function)()[0] == 1


@pytest.mark.parametrize("function", REFUSED)
def test_a_full_redis_takes_nothing_in(q, full, function):
    before = q.snapshot()
    fill(q)
    with pytest.raises(ResponseError, match="OOM|command not allowed when used memory"):
        REFUSED[function](q, full)
    assert q.snapshot() == before


# ---------------------------------------------------------------- strangers

STRANGE = ["events", "lanes", "leases", "waiting", "classes", "ready:cpu1:5:-", "ready:cpu1:5:!front", "wake:cpu1",
           "history:1", "checkpoints:1", "job:1", "jobs:failed", "jobs:cancelled", "jobs:succeeded", "log:1",
           "metrics:1", "worker:w1", "workers", "spec:1", "key:k", "job:2", "meta", "elsewhere",
           "ready:cpu1:5:!not@w1", "result:1", "sizes:1"]
CALLS = {
    **{name: call for name, call in FENCED.items() if name not in ("promote", "reap")}, **REFUSED,
    "submit with a key": lambda q, c: q.submit('{"command":["x"]}', "k"),
    "promote": lambda q, c: q.promote(), "reap": lambda q, c: q.reap(),
    "finish lost": lambda q, c: q.end(c, "lost"), "finish error": lambda q, c: q.end(c, "error"),
    "finish corrupted": lambda q, c: q.end(c, "corrupted", onset=1),
    "finish permanent": lambda q, c: q.end(c, "permanent"),
    "corrupt": lambda q, c: q.corrupt(1, 1, "x", 1), "retry": lambda q, c: q.retry(3, 0),
    "retry final": lambda q, c: q.retry(4, 0),
    "finish with a result": lambda q, c: q.end(c, "succeeded", result="{}"),
    "worker drain": lambda q, c: q.worker_drain("w1"), "worker resume": lambda q, c: q.worker_resume("w1"),
    "create": lambda q, c: q.create("i"), "cancel queued": lambda q, c: q.cancel(2),
}


@pytest.mark.parametrize("key", STRANGE)
def test_a_key_of_another_type_is_refused_or_harmless(redis, key):
    """Whatever a stranger put there: a call either does all of its work or nothing."""
    from conftest import Queue
    q = Queue(redis)
    for name, function in CALLS.items():
        redis.flushall()
        q.requests = {}
        q.create("installation1")
        claim = q.start(retry={"elsewhere": "1h"})
        q.commit(claim, 1, 1)
        q.add(), q.add(delay="1h"), q.add(delay="1h")
        q.cancel(4)
        q.worker("w1", "{}")
        redis.zadd(q.key("waiting"), {"3": 1})
        redis.zadd(q.key("leases"), {"1": 1})
        redis.hset(q.key("meta"), mapping={"last_reap_ms": q.now(), "redis_run_id": redis.info("server")["run_id"]})
        kind = redis.type(q.key(key))
        redis.delete(q.key(key))
        if kind == "string":
            redis.rpush(q.key(key), "strange")
        else:
            redis.set(q.key(key), "strange")
        before = q.snapshot()
        try:
            function(q, claim)
        except ResponseError as error:
            assert q.snapshot() == before, f"{name} failed halfway: {error}"


def test_an_earlier_queue_of_the_same_name_leaves_nothing_to_the_new_one(q):
    """Somebody deleted `meta`: the numbers begin anew, and the old records are still there."""
    q.add()
    for name in ("log", "metrics"):
        q.redis.xadd(q.key(f"{name}:1"), {"old": "1"})
    for name in ("checkpoints", "parents"):
        q.redis.hset(q.key(f"{name}:1"), "old", "1")
    q.redis.hset(q.key("job:1"), "links", "c")
    q.redis.rpush(q.key("history:1"), "old")
    q.redis.set(q.key("result:1"), "old")
    q.redis.zadd(q.key("children:1"), {"7": 7})
    q.redis.delete(*[q.key(name) for name in ("meta", "lanes", "ready:cpu1:5:-")])
    q.create("installation1")
    assert q.add() == "1"
    assert sorted(q.redis.keys(q.key("*:1"))) == [q.key("job:1"), q.key("spec:1")]
    assert "links" not in q.job(1)


def test_a_damaged_meta_is_said(q):
    q.redis.hset(q.key("meta"), "max_jobs", "many")
    with pytest.raises(ResponseError, match='^INVALID queue default: the field max_jobs of meta must be an integer'):
        q.add()
    q.redis.hset(q.key("meta"), "max_jobs", 10)


def test_a_damaged_spec_does_not_stop_the_job_from_ending(q):
    for text in ("{", "[]", '{"retry":{"max_attempts":"x"}}', '{"retry":5}'):
        claim = q.start()
        q.redis.set(q.key("spec:" + claim["n"]), text)
        q.end(claim, "error")
        q.hurry(claim["n"])
        q.end(q.take()[0], "lost")
        q.end(q.take()[0], "corrupted")
        q.cancel(claim["n"])


# ---------------------------------------------------------------- bounds

def test_admission_is_bounded(q):
    q.redis.hset(q.key("meta"), "max_jobs", 2)
    q.add(), q.add()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^FULL queue default has 2 unfinished jobs"):
        q.add()
    assert q.snapshot() == before
    q.end(q.take()[0], "permanent")
    assert q.add() == "3"
    with pytest.raises(ResponseError, match="^FULL"):
        q.retry(1, 1)


def test_classes_are_bounded_and_the_unused_go(q):
    for i in range(256):
        q.add(resources={"labels": {"n": str(i)}}, delay="1h")
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^FULL queue default has 256 resource classes"):
        q.add(resources={"cpus": 7})
    assert q.snapshot() == before
    q.hurry(1)
    for _ in range(400):
        q.prune()
    left = q.redis.hkeys(q.key("classes"))
    assert len(left) == 64 and q.job(1)["class"] in left
    q.hurry(2)
    claim, = q.take(free={"cpus": 1, "labels": {"n": "1"}})
    assert claim["n"] == "2", "its class is made again when it is due"


def test_labels_that_collide_are_refused(q):
    q.add(resources={"labels": {"a": "1"}}, delay="1h")
    name = q.job(1)["class"]
    q.redis.hset(q.key("classes"), name, '{"cpus":1,"gpus":0,"memory":0,"labels":{"a":"2"}}')
    with pytest.raises(ResponseError, match="^CONFLICT the labels of this job collide"):
        q.add(resources={"labels": {"a": "1"}})


def test_finished_jobs_are_bounded(q):
    q.redis.hset(q.key("meta"), "max_finished", 3)
    for n in range(1, 7):
        claim = q.start()
        q.log(*claim.fence, "1", "1", "stdout", "1", "x")
        q.metric(*claim.fence, 1, '{"loss":1}')
        q.commit(claim, 1, 1)
        q.end(claim, ("succeeded", "permanent")[n % 2])
        ended = q.now()
        wait_until(lambda: q.now() > ended, what="a millisecond has passed: the oldest goes first")
    running = q.start()
    assert q.prune(2) == [2, 4, 0]
    assert q.prune() == [1, 3, 0]
    assert q.prune() == [0, 3, 0]
    assert sorted(k.rsplit(":", 1)[1] for k in q.redis.keys(q.key("job:*"))) == ["4", "5", "6", "7"]
    dropped = q.events("retention.dropped")
    assert [e["ids"] for e in dropped] == ["default-1 default-2", "default-3"] and dropped[0]["count"] == "2"
    q.end(running, "succeeded")


def test_workers_unseen_for_a_day_go(q):
    q.worker("w1", "{}"), q.worker("w2", "{}"), q.worker("w3", "{}")
    for worker in ("w1", "w2", "w3"):
        q.start(worker)
    q.add()
    q.end(q.take("w1")[0], "permanent")
    q.redis.zadd(q.key("workers"), {"w1": 1, "w2": q.now() - 86400001})
    q.add()
    q.prune()
    assert q.redis.zrange(q.key("workers"), 0, -1) == ["w3"]
    assert [e["worker"] for e in q.events("worker.gone")] == ["w1", "w2"]
    consumers = {c["name"]: c["pending"] for c in q.redis.xinfo_consumers(q.key("ready:cpu1:5:-"), "workers")}
    assert consumers == {"w1": 1, "w2": 1, "w3": 1}, "what still runs keeps its consumer"


def test_history_and_events_are_capped(q):
    claim = q.start(retry={"max_lost": 1000})
    for _ in range(230):
        q.end(claim, "lost")
        claim, = q.take()
    assert q.redis.llen(q.key("history:1")) == 200
    with q.redis.pipeline() as many:
        for _ in range(11000):
            many.xadd(q.key("events"), {"event": "x"})
        many.execute()
    q.end(claim, "preempted")
    assert 10000 <= q.redis.xlen(q.key("events")) <= 10200


def test_a_hundred_jobs_a_call(q):
    claim = q.start()
    with pytest.raises(ResponseError, match="^INVALID expected 1 to 100 times"):
        q.finish(*([*claim.fence, "succeeded", "{}"] * 101))
    for function in ("promote", "reap", "prune"):
        with pytest.raises(ResponseError, match="^INVALID limit: expected an integer from 1 to 100"):
            getattr(q, function)(101)
    assert json.loads(q.stats())["running"] == 1


# ---------------------------------------------------------------- texts

@pytest.mark.parametrize("bad", [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"caf\xe9", b"\xe2\x82"])
def test_what_is_not_utf8_is_refused(q, bad):
    claim = q.start()
    before = q.snapshot()
    for call in (lambda: q.cancel(1, "", bad), lambda: q.cancel(1, bad), lambda: q.corrupt(1, 1, bad),
                 lambda: q.finish(*claim.fence, "error", b'{"error":"' + bad + b'"}'),
                 lambda: q.log(*claim.fence, "1", "1", "stdout", "1", bad),
                 lambda: q.checkpoint(*claim.fence, "1-1", b'{"note":"' + bad + b'"}'),
                 lambda: q.worker("w1", b'{"host":"' + bad + b'"}'), lambda: q.submit(b'{"command":"' + bad + b'"}')):
        with pytest.raises(ResponseError, match="^INVALID .*expected UTF-8"):
            call()
    assert q.snapshot() == before


@pytest.mark.parametrize("around", [b"", b"x" * 9000, "né\n".encode() * 3000])
@pytest.mark.parametrize("bad", [b"\xff", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xc3\xa9\xa9"])
def test_what_is_not_utf8_is_found_in_long_texts(q, around, bad):
    claim = q.start()
    lines = str(around.count(b"\n") * 2 + 1)
    for text in (around + bad + b" " + around, around * 2 + bad, bad + b"." + around * 2):
        with pytest.raises(ResponseError, match="^INVALID text: expected UTF-8"):
            q.log(*claim.fence, "1", "1", "stdout", lines, text)
    q.log(*claim.fence, "1", "1", "stdout", lines, around * 2)
    assert q.redis.xlen(q.key("log:1")) == 1


@pytest.mark.parametrize("good", ["é", "\u07ff\u0800", "\ud7ff\ue000", "\U0001f600\U0010ffff", "a\u0000b"])
def test_what_is_utf8_is_kept(q, good):
    claim = q.start(name="é")
    q.cancel(1, "", good)
    q.log(*claim.fence, "1", "1", "stdout", "1", good)
    q.end(claim, "error", error=good)
    assert json.loads(q.show(1))["job"]["error"] == good.replace("\0", " ")
    assert q.redis.xrange(q.key("log:1"))[0][1]["stdout"] == good
