"""Checkpoints that use files of earlier ones: those stay as long as they do."""
import json

import pytest
from redis.exceptions import ResponseError


def states(q, n=1):
    return {id: json.loads(text)["state"] for id, text in q.redis.hgetall(q.key(f"checkpoints:{n}")).items()}


def used(q, n=1):
    records = {id: json.loads(text) for id, text in q.redis.hgetall(q.key(f"checkpoints:{n}")).items()}
    return {id: record["used"] for id, record in records.items() if record.get("used")}


def test_what_is_used_stays_as_long_as_its_users(q):
    claim = q.start(checkpoint={"keep_last": 2})
    q.commit(claim, 1, 100)
    for seq in (2, 3, 4):
        q.commit(claim, seq, 100 * seq, uses=[1])
    assert states(q) == {"1-1": "committed", "1-2": "deleting", "1-3": "committed", "1-4": "committed"}
    assert used(q) == {"1-1": 2}
    q.drop(*claim.fence, "1-2")
    q.commit(claim, 5, 500)
    q.commit(claim, 6, 600)
    assert states(q) == {"1-1": "deleting", "1-3": "deleting", "1-4": "deleting", "1-5": "committed",
                         "1-6": "committed"}
    assert used(q) == {}


def test_a_commit_sent_again_counts_once(q):
    claim = q.start(checkpoint={"keep_last": 3})
    q.commit(claim, 1, 100)
    for _ in range(2):
        q.commit(claim, 2, 200, uses=[1])
    assert used(q) == {"1-1": 1}


@pytest.mark.parametrize("uses", [[3], [1, 3]])
def test_what_is_gone_cannot_be_used(q, uses):
    claim = q.start(checkpoint={"keep_last": 1})
    q.commit(claim, 1, 100)
    with pytest.raises(ResponseError, match="CONFLICT.*checkpoint 1-3 of job default-1, which is gone"):
        q.commit(claim, 4, 200, uses=uses)
    q.commit(claim, 2, 200)
    assert states(q)["1-1"] == "deleting"
    with pytest.raises(ResponseError, match="CONFLICT.*1-1 .* gone"):
        q.commit(claim, 5, 300, uses=[1])
    assert "1-5" not in states(q) and "1-4" not in states(q)


@pytest.mark.parametrize("uses", [[], {}, "1", [1, 1], ["1"], [1.5], [-1], {"a": 1}, list(range(1, 10))])
def test_bad_uses(q, uses):
    claim = q.start()
    q.commit(claim, 1, 100)
    with pytest.raises(ResponseError, match="INVALID.*summary.uses"):
        q.commit(claim, 20, 200, uses=uses)
    assert set(states(q)) == {"1-1"}


def test_nobody_says_how_many_use_it_but_the_functions(q):
    claim = q.start()
    q.commit(claim, 1, 100, used=7)
    assert used(q) == {}


def test_discarding(q):
    claim = q.start(checkpoint={"keep_last": 9})
    q.commit(claim, 1, 100)
    q.commit(claim, 2, 200, uses=[1])
    q.commit(claim, 3, 300, uses=[1])
    q.commit(claim, 4, 400)
    with pytest.raises(ResponseError, match="CONFLICT.*1-1 of job default-1 stays: 2 later ones use files of it"):
        q.discard(1, "me", "1-1")
    with pytest.raises(ResponseError, match="CONFLICT"):
        q.discard(1, "me", "1-1", "1-3")
    assert set(states(q).values()) == {"committed"}
    answer = json.loads(q.discard(1, "me", "1-1", "1-3", "1-2"))
    assert answer["count"] == 3 and states(q)["1-1"] == "deleting" and used(q) == {}


def test_discarding_all_but_the_last(q):
    claim = q.start(checkpoint={"keep_last": 9})
    q.commit(claim, 1, 100)
    q.commit(claim, 2, 200, uses=[1])
    q.commit(claim, 3, 300)
    q.commit(claim, 4, 400, uses=[3])
    answer = json.loads(q.discard(1, "me", "last", 1))
    assert [c["id"] for c in answer["checkpoints"]] == ["1-1", "1-2"]
    assert states(q)["1-3"] == states(q)["1-4"] == "committed" and used(q) == {"1-3": 1}


def test_those_of_a_lent_one_are_lent_too(q):
    claim = q.start()
    for seq, uses in ((1, None), (2, None), (3, [1])):
        q.commit(claim, seq, seq, uri=f"file:///s/i/checkpoints/j-u/9/{seq}/manifest.json",
                 **({"uses": uses} if uses else {}))
    q.end(claim, "error", permanent=True)
    other = q.submit(json.dumps({"name": "b", "command": ["true"], "resume": "default-1@1-3",
                                 "checkpoint": {"keep_last": 1}}))
    n = other.rsplit("-", 1)[1]
    record = json.loads(q.redis.hget(q.key(f"checkpoints:{n}"), "0-1"))
    assert record["uses"] == [1] and "used" not in record
    assert sorted(json.loads(q.lent())) == [f"file:///s/i/checkpoints/j-u/9/{seq}/manifest.json" for seq in (1, 3)]
    with pytest.raises(ResponseError, match="CONFLICT.*1 later ones use"):
        q.discard(1, "me", "1-1")
