"""Which checkpoints a corruption takes out of use: those that are not proved to be from before its onset; and more of
them when the same happens again."""
import json

import pytest
from redis.exceptions import ResponseError


def saved(q, steps=(100, 200, 300, 400), **recovery):
    """A running job with checkpoints at these steps, all kept."""
    rules = {"backoff": 0, "max_backoff": 0, "max_attempts": 9, **recovery}
    claim = q.start(checkpoint={"keep_last": 9}, recovery=rules)
    for seq, step in enumerate(steps, 1):
        q.commit(claim, seq, step)
    return claim


def again(q, claim, **detail):
    assert q.end(claim, "corrupted", **detail) == ["ok", "waiting"]
    q.promote()
    return q.take()[0]


def good(q):
    return sorted(i for i, state in q.checkpoints(1).items() if state == "committed")


@pytest.mark.parametrize("onset,proved,left", [
    (400, 399, ["1-1", "1-2", "1-3"]), (401, 400, ["1-1", "1-2", "1-3"]), (401, 399, ["1-1", "1-2", "1-3"]),
    (401, 250, ["1-1", "1-2"]), (401, None, ["1-1", "1-2", "1-3", "1-4"]), (401, 900, ["1-1", "1-2", "1-3", "1-4"]),
    (1, 0, [])])
@pytest.mark.parametrize("how", ["finish", "corrupt"])
def test_only_what_is_proved_to_be_good(q, onset, proved, left, how):
    claim = saved(q)
    if how == "corrupt":
        assert q.corrupt(1, 1, "nan", onset, "", "" if proved is None else proved, claim["token"]) == "running"
        assert good(q) == left, "at once"
    claim = again(q, claim, onset=onset, **({} if proved is None else {"good": proved}))
    assert good(q) == left and claim.get("resume") == (left[-1] if left else None)
    assert q.events("recovery.detected")[0]["step"] == str(onset)


def test_a_step_that_is_counted_otherwise_proves_nothing(q):
    """Checkpoints of the epochs 1, 2 and 3: what had been reported when they were shipped says where they lie."""
    claim = saved(q, [])
    for epoch, seen in ((1, 1000), (2, 2000), (3, 3000)):
        q.commit(claim, epoch, epoch, seen=seen)
    q.corrupt(1, 1, "nan", 2500, "", 2499, claim["token"])
    assert good(q) == ["1-1", "1-2"]
    q.commit(claim, 4, 4, seen=2499)
    assert q.checkpoints(1)["1-4"] == "quarantined"


def test_what_comes_in_late_is_judged_by_the_same(q):
    claim = saved(q, [100])
    q.corrupt(1, 1, "nan", 401, "", 250, claim["token"])
    for seq, step, state in ((2, 249, "committed"), (3, 250, "quarantined"), (4, None, "quarantined")):
        q.commit(claim, seq, step)
        assert q.checkpoints(1)[f"1-{seq}"] == state
    assert again(q, claim)["resume"] == "1-2"
    assert "suspect" not in q.job(1)


def test_a_new_onset_is_no_reason_to_go_further_back(q):
    claim = again(q, saved(q), onset=350, good=349)
    assert claim["resume"] == "1-3"
    claim = again(q, claim, onset=360, good=359, error="nan")
    assert claim["resume"] == "1-3", "it got past the first one, without a checkpoint"
    assert q.events("recovery.detected")[1]["reason"] == "nan; a new onset: before, it was corrupted at step 350"


@pytest.mark.parametrize("onset", [350, 340])
def test_the_same_onset_again_goes_further_back(q, onset):
    claim = again(q, saved(q), onset=350, good=349)
    q.commit(claim, 1, 320)
    claim = again(q, claim, onset=onset, good=onset - 1, error="nan")
    assert claim["resume"] == "1-2", "neither what it resumed from nor what came of it"
    assert q.checkpoints(1)["2-1"] == "quarantined"
    assert q.events("recovery.detected")[1]["reason"] == (
        "nan; the same again: it did not get past step 350, where it was corrupted before")
    assert "resumed from 1-3 was corrupted at the same place again" in q.events("checkpoint.quarantined")[-1]["reason"]
    claim = again(q, claim, onset=350)
    assert claim["resume"] == "1-1"
    assert "resume" not in again(q, claim, onset=350), "then from the beginning"


def test_from_the_beginning_there_is_no_further_back(q):
    claim = again(q, saved(q, []), onset=350)
    q.commit(claim, 1, 100)
    assert again(q, claim, onset=350)["resume"] == "2-1"


def test_a_loss_in_between_does_not_hide_it(q):
    claim = again(q, saved(q), onset=350)
    q.lose(1)
    claim, = q.take()
    assert claim["resume"] == "1-3"
    assert again(q, claim, onset=350)["resume"] == "1-2"


def test_a_runner_knows_how_often(q):
    claim = saved(q)
    assert "corrupted" not in claim
    claim = again(q, claim, onset=350)
    assert claim["corrupted"] == "1"
    q.lose(1)
    assert q.take()[0]["corrupted"] == "1"


def test_a_stale_runner_flags_nothing(q):
    claim = saved(q)
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^STALE job default-1: token 17 is not the current one"):
        q.corrupt(1, 1, "nan", 350, "", 349, "17")
    with pytest.raises(ResponseError, match="^INVALID good: expected an integer"):
        q.corrupt(1, 1, "nan", 350, "", "later", claim["token"])
    assert q.snapshot() == before


# ---------------------------------------------------------------- not all at once

def corrupted(q, count, **fields):
    """Jobs whose recovery is due."""
    for _ in range(count):
        q.add(recovery={"backoff": 0, "max_backoff": 0}, **fields)
    for claim in q.take(most=count):
        q.end(claim, "corrupted", error="nan")


def line(q, count):
    return [(q.job(n)["state"], q.job(n).get("reason")) for n in range(1, count + 1)]


def test_so_many_recoveries_at_once(q):
    q.limit("", "", "", "ops:ada", 2)
    corrupted(q, 4)
    assert q.promote()[0] == 2
    states = [state for state, _ in line(q, 4)]
    assert states.count("queued") == 2 and states.count("waiting") == 2
    assert {reason for state, reason in line(q, 4) if state == "waiting"} == {"recovery"}
    moved, next_ms, _ = [*q.promote(), None][:3]
    assert moved == 0 and 0 < next_ms <= 1000, "it comes again"
    assert json.loads(q.stats())["max_recovering"] == 2


@pytest.mark.parametrize("end", ["its step", "succeeded", "error", "lost", "cancelled"])
def test_one_that_is_done_lets_the_next_one_go(q, end):
    q.limit("", "", "", "", 1)
    corrupted(q, 2)
    q.promote()
    claim, = q.take(most=2)
    q.set_job(claim["n"], recover_ms=10**9)  # no outliving
    waiting = next(n for n in (1, 2) if q.state(n) == "waiting")
    assert q.hurry(waiting)[0] == 0, "while it restores"
    q.renew(*claim.fence, "phase", "running", "resumed", "cold")
    assert q.hurry(waiting)[0] == 0, "and until it got past where it resumed"
    if end == "its step":
        q.renew(*claim.fence, "step", "1")
    elif end == "cancelled":
        q.cancel(int(claim["n"]))
        q.end(claim, "cancelled")
    else:
        q.end(claim, end)
    assert q.hurry(waiting)[0] >= 1 and q.state(waiting) == "queued"
    assert q.redis.zrange(q.key("recovering"), 0, -1) == [str(waiting)]


def test_others_do_not_wait_for_recoveries(q):
    q.limit("", "", "", "", 1)
    corrupted(q, 3)
    q.promote()
    n = q.add(delay="1h")
    q.hurry(n)
    assert q.state(n) == "queued"
    q.limit("", "", "", "", 0)
    for one in range(1, 4):
        q.hurry(one)
    assert [state for state, _ in line(q, 3)] == ["queued"] * 3, "any number"
    assert q.redis.zcard(q.key("recovering")) == 1, "and nobody is noted then"


def test_without_a_limit_of_its_own_it_is_ten(q):
    corrupted(q, 12)
    assert q.promote()[0] == 10
    assert q.retry(next(n for n in range(1, 13) if q.state(n) == "waiting"), 1), "somebody who asks for it gets it"


def test_what_waits_for_something_else_is_no_recovery(q):
    """And what a stranger put in the place of one that recovers is none either."""
    q.limit("", "", "", "ada", 1)
    corrupted(q, 2)
    assert q.promote()[0] == 1
    waiting, = (n for n in ("1", "2") if q.state(n) == "waiting")
    q.set_job(waiting, reason="delay")
    q.hurry(waiting)
    assert q.state(waiting) == "queued"
    q.redis.set(q.key("job:99"), "no hash")
    q.redis.zadd(q.key("recovering"), {"99": 1})
    corrupted(q, 1)
    assert "99" in q.redis.zrange(q.key("recovering"), 0, -1)
    q.hurry(3)
    assert "99" not in q.redis.zrange(q.key("recovering"), 0, -1)
    q.redis.delete(q.key("job:99"))
