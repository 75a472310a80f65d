"""Loans between queues: what is no answer, and letters and records that say something else by now."""
import json

import pytest
from redis.exceptions import ResponseError

import test_abroad
from test_abroad import records, saved

other, post = test_abroad.other, test_abroad.post  # the fixtures

RECORD = {"attempt": 1, "seq": 1, "state": "committed", "from": "other-1"}


@pytest.mark.parametrize("answer", [
    "x", "3", "{}", "[]", "[1]", [RECORD] * 17, [{**RECORD, "seq": None}], [{**RECORD, "attempt": "x"}],
    [{**RECORD, "state": "deleting"}, RECORD], [{**RECORD, "from": "nobody"}], {"instead": "nobody@1-1"},
    {"instead": "other-2@latest"}, {"instead": "other-2"}, [{**RECORD, "x": "y" * 131072}]])
def test_an_answer_of_the_wrong_form_changes_nothing(q, answer):
    q.add(resume="other-1@latest")
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID answer: expected what stoker_lend answered"):
        q.borrow(1, "other-1@latest", answer if isinstance(answer, str) else json.dumps(answer))
    assert q.snapshot() == before


@pytest.mark.parametrize("call", [lambda q: q.borrowing(), lambda q: q.lend(1), lambda q: q.returned(1),
                                  lambda q: q.lend(99, "latest", "third", 1, "", "", '{"job":3}')])
def test_a_call_of_which_half_is_missing(q, call):
    q.start()
    with pytest.raises(ResponseError, match="^INVALID"):
        call(q)


def test_a_letter_about_what_it_no_longer_asks_for_goes(q):
    q.add(resume="other-1@latest"), q.add(delay="1h")
    q.redis.zadd(q.key("outbox"), {"borrow other-9 1": 1})
    assert q.borrow(1, "other-9@1-1", "", "it is gone") == "waiting"
    before = q.snapshot()
    assert list(before) and q.redis.zrange(q.key("outbox"), 0, -1) == ["borrow other-1 1"]
    assert q.borrow(1, "other-1@1-1", "", "it is gone") == "waiting" and q.snapshot() == before, "it asks for another"
    assert q.borrow(2) == ""


def test_a_loan_is_waited_for_before_the_rate(q, other, post):
    saved(other, 10)
    rate = {"rate": {"key": "k", "max": 1, "per": "1h"}}
    q.add(**rate)
    n = q.add(resume="other-1", **rate)
    assert q.job(n)["reason"] == "dependency"
    post.carry()
    assert (q.state(n), q.job(n)["reason"]) == ("waiting", "limit")


def test_who_does_not_know_its_lender_asks_for_nothing(spoiled):
    q = spoiled
    q.add(resume="other-1@latest")
    q.redis.hdel(q.key("job:1"), "lender")
    q.cancel(1)
    assert q.state(1) == "cancelled" and q.redis.zcard(q.key("outbox")) == 1


def test_borrowers_that_are_gone_or_have_it_from_others_need_nothing(spoiled):
    q = spoiled
    q.add(resume="other-1@latest")
    q.borrow(1, "other-1@latest", json.dumps([{**RECORD, "from": "third-1"}, {**RECORD, "seq": 2}]))
    q.redis.zadd(q.key("abroad"), {"other-1:99": 0})
    assert q.borrowing("other-1") == '{"ids":["1-2"]}'


def test_what_does_not_come_from_a_job_is_its_own(spoiled):
    q = spoiled
    saved(q, 10)
    q.redis.hset(q.key("checkpoints:1"), "1-1", json.dumps({**records(q, 1)["1-1"], "from": "nobody"}))
    assert json.loads(q.lend(1, "latest", "third"))[0]["from"] == "default-1"


def test_only_what_it_saved_itself_is_lent_on(q, other, post):
    first = saved(other, 10, 20)
    q.add(resume="other-1")
    post.carry()
    claim, = q.take()
    q.commit(claim, 1, 30)
    lent = json.loads(q.lend(1, "latest", "third", 9))
    assert [(r["step"], r["from"]) for r in lent] == [(30, "default-1")]
    other.end(first, "succeeded")


def test_an_answer_from_before_the_last_loan_lets_nothing_go(q):
    saved(q, 10)
    q.lend(1, "latest", "third")
    letter, = q.redis.zrange(q.key("outbox"), 0, -1)
    q.redis.zadd(q.key("outbox"), {"lent third 1 5": 1})
    for answer in ('{"ids":["1-1"]}', "{}"):
        assert q.returned(1, "third", 5, answer) == 0
    assert records(q, 1)["1-1"]["lent"] == ["third@" + letter.split()[-1]]
    assert q.redis.zrange(q.key("outbox"), 0, -1) == [letter]
