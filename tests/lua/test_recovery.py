"""Which checkpoints a corruption takes out of use: those that are not proved to be from before its onset; and more of
them when the same happens again."""
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
