"""A paused queue takes jobs and gives none out; a draining one takes none and gives out what is there."""
import json

import pytest
from redis.exceptions import ResponseError


def told(q):
    return json.loads(q.stats()).get("paused")


def test_paused_queue_takes_jobs_and_gives_none_out(q):
    assert q.pause("pause", "ada", "new disks") == "paused"
    n = q.add()
    assert q.state(n) == "queued"
    assert q.take() == []
    paused = told(q)
    assert (paused["state"], paused["by"], paused["reason"]) == ("paused", "ada", "new disks")
    assert abs(int(paused["since_ms"]) - q.now()) < 60000
    assert json.loads(q.show(n))["paused"] == paused
    assert json.loads(q.list("all"))["paused"] == paused
    assert q.pause("resume", "bob") == "open"
    assert told(q) is None and "paused" not in json.loads(q.show(n))
    assert [c["n"] for c in q.take()] == [n]
    assert [e["event"] for e in q.events("queue.paused", "queue.resumed")] == ["queue.paused", "queue.resumed"]


def test_what_runs_goes_on(q):
    claim = q.start()
    q.pause("pause")
    assert q.renew(*claim.fence)[0] == "ok"
    assert q.commit(claim, 1, 10) == ["ok"]
    assert q.end(claim, "error") == ["ok", "waiting"]
    q.hurry(1)
    assert q.state(1) == "queued" and q.take() == []
    q.pause("resume")
    assert len(q.take()) == 1


def test_a_claim_from_before_the_pause_is_answered_again(q):
    n = q.add()
    claim, = q.take(request=1)
    q.pause("pause")
    again, = q.take(request=1)
    assert again.fence == claim.fence and claim["n"] == n


def test_nobody_is_woken_while_it_is_paused_and_all_are_after(q):
    q.pause("pause")
    q.add()
    q.add(resources={"cpus": 2})
    q.add(delay="1h")
    q.hurry(3)
    assert not q.redis.keys(q.key("wake:*"))
    q.pause("resume")
    assert sorted(q.redis.keys(q.key("wake:*"))) == [q.key("wake:cpu1"), q.key("wake:cpu2")]


def test_a_bell_of_before_the_pause_is_not_rung_on(q):
    """Else a worker that it woke would ring for the next one, and that for the next, for ever."""
    q.add()
    q.pause("pause")
    assert q.redis.zpopmin(q.key("wake:cpu1"))
    assert q.take() == []
    assert not q.redis.keys(q.key("wake:*"))


def test_draining_queue_refuses_new_jobs_and_finishes_the_rest(q):
    claim = q.start(retry={"max_attempts": 1})
    n = q.add()
    failed = q.add(retry={"max_attempts": 1})
    second, third = q.take(most=2)
    q.end(third, "permanent")
    q.add()
    assert q.pause("drain", "ada", "moving house") == "draining"
    before = q.snapshot()
    for call in (lambda: q.add(), lambda: q.retry(failed, 1)):
        with pytest.raises(ResponseError, match=r"^CONFLICT queue default is draining by ada \(moving house\)"):
            call()
    assert q.bulk("", json.dumps({"command": "x"}), "")[0][0] == "error"
    assert q.snapshot() == before
    assert [c["n"] for c in q.take()] == ["4"], "what is there is claimed"
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]
    assert q.end(second, "preempted") == ["ok", "queued"]
    assert [c["n"] for c in q.take()] == [n]
    q.pause("resume")
    assert q.add() == "5"


def test_an_idempotency_key_is_known_to_a_draining_queue(q):
    spec = json.dumps({"command": "x"})
    made = q.submit(spec, "k1")
    q.pause("drain")
    assert q.submit(spec, "k1") == made


def test_asked_twice(q):
    q.pause("pause", "ada", "first")
    before = q.snapshot()
    assert q.pause("pause", "bob", "second") == "paused"
    assert q.snapshot() == before
    assert q.pause("drain", "bob") == "draining"
    assert told(q)["by"] == "bob" and "reason" not in told(q)
    assert q.pause("resume") == "open"
    before = q.snapshot()
    assert q.pause("resume") == "open"
    assert q.snapshot() == before


@pytest.mark.parametrize("args, sentence", [
    (("stop",), 'expected pause, drain or resume, got "stop"'), ((), "expected pause, drain or resume, got nothing"),
    (("pause", "a\nb"), "actor: "), (("pause", "", b"\xff"), "reason: expected UTF-8"),
    (("pause", "", "", ""), "too many arguments")])
def test_wrong_arguments(q, args, sentence):
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.pause(*args)
    assert q.snapshot() == before


def test_a_stranger_in_the_way(q):
    q.add()
    q.pause("pause")
    q.redis.set(q.key("wake:cpu1"), "mine")
    with pytest.raises(ResponseError, match="^WRONGTYPE"):
        q.pause("resume")
    assert told(q)["state"] == "paused"
    q.redis.delete(q.key("wake:cpu1"))


def test_no_queue(redis, q):
    with pytest.raises(ResponseError, match="^NOQUEUE"):
        redis.fcall("stoker_pause", 1, "stoker:{nope}:meta", "pause")
