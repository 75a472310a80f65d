"""Rules and wishes about checkpoints of which something is not said, or not there."""
import json

import pytest
from redis.exceptions import ResponseError

from test_keep import discarded, kept, many


def edit(q, id, drop=(), **changes):
    record = {**json.loads(q.redis.hget(q.key("checkpoints:1"), id)), **changes}
    q.redis.hset(q.key("checkpoints:1"), id, json.dumps({k: v for k, v in record.items() if k not in drop}))


def states(q):
    return q.checkpoints(1)


def test_without_a_step_it_is_in_no_window_of_steps(q):
    claim = many(q, [5, None, 12, 13], {"keep_last": 1, "keep_every": "10 steps"})
    assert {id for id, state in states(q).items() if state == "committed"} == {"1-3", "1-4"}
    q.end(claim, "succeeded")


@pytest.mark.parametrize("rule", [{"keep_every": "1h"}, {"keep_for": "1h"}])
def test_without_a_time_it_is_old(q, rule):
    claim = many(q, [1], {"keep_last": 1, **rule})
    edit(q, "1-1", drop=("time_ms",))
    q.commit(claim, 2, 2)
    assert states(q)["1-1"] == "deleting"


def test_what_did_not_verify_has_a_term(q):
    claim = many(q, [1, 2, 3], {"keep_last": 9}, recovery={"quarantine": "1h"})
    q.reject(*claim.fence, "1-1", "damaged"), q.reject(*claim.fence, "1-2", "damaged")
    edit(q, "1-1", drop=("time_ms",))
    q.commit(claim, 4, 4)
    assert states(q) == {"1-1": "deleting", "1-2": "rejected", "1-3": "committed", "1-4": "committed"}


def test_a_borrower_that_nobody_can_name_keeps_nothing(q):
    claim = many(q, [1], {"keep_last": 1})
    edit(q, "1-1", lent=["odd"])
    q.commit(claim, 2, 2)
    assert kept(q) == [2]


def test_what_there_is_is_told_without_its_steps(q):
    q.end(many(q, [None, 2], {"keep_last": 9}), "permanent")
    with pytest.raises(ResponseError, match=r'has no good checkpoint "77": it has 1-1, 1-2 \(step 2\) \|'):
        q.retry(1, 1, "", "", "77")


@pytest.mark.parametrize("resume", ["-1@latest", "a-0@latest"])
def test_a_loan_of_what_is_no_job(q, resume):
    with pytest.raises(ResponseError, match="^INVALID resume: "):
        q.add(resume=resume)


def test_named_twice_it_is_discarded_once(q):
    many(q, [1, 2], {"keep_last": 9})
    discarded(q, 1, "ada", "1-1", "1-1")
    assert states(q) == {"1-1": "deleting", "1-2": "committed"}
    assert len(q.events("checkpoint.discarded")) == 1


def test_where_none_is_good_the_last_one_goes_too(q):
    claim = many(q, [1], {"keep_last": 9})
    q.reject(*claim.fence, "1-1", "damaged")
    discarded(q, 1, "ada", "1-1")
    assert states(q) == {"1-1": "deleting"}


def test_the_training_in_a_checkpoint_that_nobody_can_read_is_none(spoiled):
    q = spoiled
    claim = many(q, [1], {})
    q.set_job(1, claimed_ms=q.now() - 50000, started_ms=q.now() - 50000)
    q.commit(claim, 2, 2)
    assert int(json.loads(q.redis.hget(q.key("checkpoints:1"), "1-2"))["trained_ms"]) > 40000
    q.redis.hset(q.key("checkpoints:1"), "1-2", "3")
    q.end(claim, "error")
    assert "trained_ms" not in q.job(1)
