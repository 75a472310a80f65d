"""Sweeps that are asked for by FCALL: kept until a scheduler has carried them out, once."""
import json

import pytest
from redis.exceptions import ResponseError

SWEEP = json.dumps({"command": ["true"], "sweep": {"grid": {"lr": [1, 2]}}})


def letters(q):
    return [entry for entry in q.redis.zrange(q.key("outbox"), 0, -1)]


def token_of(batch):
    return batch.removeprefix("sweep-")


def test_it_waits_for_a_scheduler(q):
    batch = q.sweep(SWEEP, "", "ada")
    token = token_of(batch)
    assert letters(q) == [f"sweep {token}"] and q.promote()[2] == [f"sweep {token}"]
    assert q.swept(token) == [SWEEP, batch, "ada"]
    assert 0 < q.redis.ttl(q.key(f"sweep:{token}")) <= 86400
    assert q.promote()[2:] in ([], [[]]), "handed out again only after a while"
    assert q.swept(token, "") == "ok" and letters(q) == []
    assert q.swept(token) == ["", batch, "ada"], "the spec is not needed any more"
    assert q.swept(token, "late") == "ok" and q.events("sweep.refused") == [], "said once"


def test_a_key_is_one_sweep(q):
    batch = q.sweep(SWEEP, "k")
    assert q.sweep(SWEEP, "k") == batch and q.sweep(SWEEP) != batch
    with pytest.raises(ResponseError, match='^CONFLICT the idempotency key "k" was used for another sweep: '):
        q.sweep(SWEEP.replace("2", "3"), "k")
    q.swept(token_of(batch), "")
    assert q.sweep(SWEEP, "k") == batch, "also when it is done"
    assert len(letters(q)) == 1


def test_what_was_wrong_with_it_is_told(q):
    batch = q.sweep(SWEEP, "k")
    q.swept(token_of(batch), "command: expected what there is")
    assert q.redis.hget(q.key(f"sweep:{token_of(batch)}"), "error") == "command: expected what there is"
    event, = q.events("sweep.refused")
    assert (event["batch"], event["reason"]) == (batch, "command: expected what there is")
    with pytest.raises(ResponseError, match="^INVALID command: expected what there is"):
        q.sweep(SWEEP, "k")


def test_its_batch_may_have_a_name(q):
    assert q.sweep(json.dumps({**json.loads(SWEEP), "batch": "lrs"})) == "lrs"


@pytest.mark.parametrize("spec, says", [
    ("x", "spec: expected a JSON object"), ("[]", "spec: expected a JSON object"),
    ('{"command":"true"}', "sweep: expected an object"), ('{"sweep":"x"}', "sweep: expected an object"),
    ('{"sweep":{},"queue":"gpu"}', "queue: the spec says"), ('{"sweep":{},"batch":"a b"}', "batch: expected"),
    ('{"sweep":{},"batch":7}', "batch: expected"), ('{"sweep":{"a":"' + "x" * 262144 + '"}}', "spec: expected a JSON"),
])
def test_what_is_none(q, spec, says):
    with pytest.raises(ResponseError, match="^INVALID " + says):
        q.sweep(spec)
    assert letters(q) == []


def test_a_queue_that_takes_nothing_takes_none(q):
    q.pause("drain")
    with pytest.raises(ResponseError, match="^CONFLICT queue default is draining"):
        q.sweep(SWEEP)
    q.pause("resume")
    q.redis.hset(q.key("meta"), "max_jobs", 0)
    with pytest.raises(ResponseError, match="^FULL"):
        q.sweep(SWEEP)
    assert letters(q) == []
