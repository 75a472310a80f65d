"""Checkpoints: committed under the token, ordered, kept or deleted, found bad, put aside when the run was corrupted."""
import json

import pytest
from redis.exceptions import ResponseError

NOW = {"retry": {"backoff": 0, "max_backoff": 0}, "recovery": {"backoff": 0, "max_backoff": 0}}


def spec(**recovery):
    return {"retry": NOW["retry"], "recovery": {**NOW["recovery"], **recovery}}


def again(q, claim, cause="preempted", **detail):
    """Ends the attempt by this cause and claims the next one."""
    q.end(claim, cause, **detail)
    q.promote()
    return q.take()[0]


def test_commit_and_resume(q):
    claim = q.start()
    assert q.commit(claim, 1, 100, loss=0.5, uri="file:///x") == ["ok"]
    assert q.commit(claim, 2, 200, token="forged", state="rejected", attempt=9) == ["ok"]
    job = q.job(1)
    assert (job["checkpoint"], job["checkpoint_step"]) == ("1-2", "200")
    summary = json.loads(q.redis.hget(q.key("checkpoints:1"), "1-2"))
    assert summary["state"] == "committed" and summary["token"] == claim["token"]
    assert (summary["attempt"], summary["seq"]) == (1, 2) and abs(summary["time_ms"] - q.now()) < 5000
    claim = again(q, claim)
    assert claim["resume"] == "1-2" and json.loads(claim["checkpoint"]) == summary
    assert q.job(1)["resume"] == "1-2" and q.job(1)["step"] == "200"
    assert [e["event"] for e in q.events("checkpoint.committed")] == ["checkpoint.committed"] * 2


def test_the_order_is_attempt_then_sequence_not_step(q):
    claim = q.start()
    for seq in range(1, 11):
        q.commit(claim, seq, 1000 + seq)
    claim = again(q, claim)
    q.commit(claim, 1, 528)
    assert q.job(1)["checkpoint"] == "2-1"
    assert again(q, claim)["resume"] == "2-1"


def test_a_commit_sent_again_changes_nothing(q):
    claim = q.start(checkpoint={"keep_last": 1})
    q.commit(claim, 1, 100)
    assert q.commit(claim, 2, 200) == ["ok", "1-1"]
    before = q.snapshot()
    assert q.commit(claim, 2, 200) == ["ok", "1-1"]
    assert q.snapshot() == before
    with pytest.raises(ResponseError, match="^CONFLICT checkpoint 1-2 of job default-1"):
        q.commit(claim, 2, 200, sha256="other")
    assert q.drop(*claim.fence, "1-1", "1-2", "1-7") == 1
    assert q.drop(*claim.fence, "1-1") == 0
    assert q.commit(claim, 1, 100) == ["ok"], "its objects are gone: it does not come back"
    assert q.checkpoints(1) == {"1-2": "committed"}


def test_keep_last(q):
    claim = q.start(checkpoint={"keep_last": 2})
    assert [q.commit(claim, seq, seq) for seq in (1, 2, 3)] == [["ok"], ["ok"], ["ok", "1-1"]]
    assert q.commit(claim, 4, 4) == ["ok", "1-1", "1-2"], "answered until they are dropped"
    assert q.drop(*claim.fence, "1-1") == 1
    claim = again(q, claim)
    assert q.commit(claim, 1, 5) == ["ok", "1-2", "1-3"]
    assert q.checkpoints(1) == {"1-2": "deleting", "1-3": "deleting", "1-4": "committed", "2-1": "committed"}


def test_what_may_still_be_restored_is_not_deleted(q):
    claim = q.start(checkpoint={"keep_last": 1})
    q.commit(claim, 1, 1)
    claim = again(q, claim)
    assert claim["resume"] == "1-1"
    assert q.commit(claim, 1, 2) == ["ok"]
    q.renew(*claim.fence, "phase", "running")
    assert q.commit(claim, 2, 3) == ["ok", "1-1", "2-1"]


@pytest.mark.parametrize("id,summary,sentence", [
    ("1", "{}", "checkpoint: expected <attempt>-<sequence>"), ("2-1", "{}", "checkpoint: 2-1 is not of the running"),
    ("1-1", "[]", "summary: expected a JSON object"), ("1-1", "x" * 5000, "summary: expected a JSON object of at most"),
    ("1-1", '{"step":-1}', "summary.step: expected"), ("1-1", '{"step":"a"}', "summary.step: expected"),
])
def test_bad_commits(q, id, summary, sentence):
    claim = q.start()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.checkpoint(*claim.fence, id, summary)
    assert q.snapshot() == before


# ---------------------------------------------------------------- rejected

def test_a_rejected_checkpoint_is_never_used_again(q):
    claim = q.start()
    for seq in (1, 2, 3):
        q.commit(claim, seq, seq * 100)
    claim = again(q, claim)
    older, summary = q.reject(*claim.fence, "1-3", "sha256 differs")
    assert (older, json.loads(summary)["step"], q.job(1)["resume"]) == ("1-2", 200, "1-2")
    before = q.snapshot()
    assert q.reject(*claim.fence, "1-3", "sha256 differs")[0] == "1-2"
    assert q.snapshot() == before
    assert q.reject(*claim.fence, "1-2", "truncated")[0] == "1-1"
    assert q.reject(*claim.fence, "1-1", "gone") == []
    assert "checkpoint" not in q.job(1) and "resume" not in q.job(1)
    assert again(q, claim).get("resume") is None
    assert [h["checkpoint"] for h in q.history(1) if h["event"] == "checkpoint.rejected"] == ["1-3", "1-2", "1-1"]
    assert [e["checkpoint"] for e in q.events("recovery.checkpoint_selected")] == ["1-3", "1-2", "1-1", "none", "none"]
    with pytest.raises(ResponseError, match="^STALE"):
        q.reject(*claim.fence, "9-9", "x")


def test_rejecting_what_is_not_there(q):
    claim = q.start()
    with pytest.raises(ResponseError, match="^NOTFOUND job default-1 has no checkpoint 1-1"):
        q.reject(*claim.fence, "1-1", "x")


# ---------------------------------------------------------------- corrupted

def five(q, **recovery):
    """A running job with checkpoints at steps 100 to 500, all kept."""
    claim = q.start(checkpoint={"keep_last": 9}, **spec(**recovery))
    for seq in range(1, 6):
        q.commit(claim, seq, seq * 100)
    return claim


def test_known_onset_goes_back_before_it(q):
    claim = five(q)
    assert q.corrupt(1, 1, "loss is nan", 300, "cli:ada") == "running"
    assert q.checkpoints(1) == {"1-1": "committed", "1-2": "committed", "1-3": "quarantined", "1-4": "quarantined",
                                "1-5": "quarantined"}
    before = q.snapshot()
    assert q.corrupt(1, 1, "again", 100) == "running"
    assert q.snapshot() == before, "twice: the same answer"
    assert q.renew(*claim.fence) == ["corrupted", "loss is nan"]
    assert q.commit(claim, 6, 250) == ["ok"]
    assert q.commit(claim, 7, 600) == ["ok"]
    assert q.checkpoints(1)["1-6"] == "committed" and q.checkpoints(1)["1-7"] == "quarantined"
    claim = again(q, claim, "preempted")
    assert claim["resume"] == "1-6"
    assert q.job(1)["corrupted"] == "1"
    assert q.events("recovery.detected")[0]["actor"] == "cli:ada"


def test_unknown_onset_keeps_the_last_then_goes_one_further_back(q):
    claim = five(q, max_attempts=9)
    claim = again(q, claim, "corrupted", error="loss is nan")
    assert claim["resume"] == "1-5"
    claim = again(q, claim, "corrupted")
    assert claim["resume"] == "1-4"
    claim = again(q, claim, "lost")
    assert claim["resume"] == "1-4", "a loss says nothing about the checkpoint"
    claim = again(q, claim, "corrupted")
    assert claim["resume"] == "1-3"
    q.commit(claim, 1, 700)
    claim = again(q, claim, "corrupted")
    assert claim["resume"] == "5-1", "it got past the one that it resumed from"
    claim = again(q, claim, "corrupted")
    assert claim["resume"] == "1-3"


def test_flagged_by_the_backend_with_an_onset(q):
    claim = again(q, five(q), "corrupted", onset=200, error="bad gradients")
    assert claim["resume"] == "1-1"
    assert q.events("recovery.detected")[0]["reason"] == "bad gradients"


def test_what_was_asked_wins_even_over_success(q):
    claim = five(q)
    q.corrupt(1, 1, "wrong data", 100)
    assert q.end(claim, "succeeded") == ["ok", "waiting"]
    q.promote()
    assert "resume" not in q.take()[0]
    assert "no good checkpoint" in q.events("recovery.checkpoint_selected")[0]["reason"], "never a silent cold start"


def test_a_checkpoint_without_a_step_is_not_before_any_onset(q):
    claim = q.start(**spec())
    q.commit(claim, 1)
    q.corrupt(1, 1, "x", 10)
    assert q.checkpoints(1) == {"1-1": "quarantined"}


def test_a_flag_on_a_job_that_waits_or_is_queued(q):
    claim = five(q)
    q.end(claim, "preempted")
    assert q.corrupt(1, 1, "x", 300) == "queued"
    before = q.snapshot()
    assert q.corrupt(1, 1, "x", 300) == "queued"
    assert q.snapshot() == before
    claim, = q.take()
    assert (claim["resume"], q.job(1)["corrupted"]) == ("1-2", "1")
    q.set_job(1, errors="0")
    q.end(claim, "error")
    assert q.corrupt(1, 2, "x", 200) == "waiting"
    q.promote()
    assert q.take()[0]["resume"] == "1-1"


def test_the_flag_names_the_attempt(q):
    q.add()
    with pytest.raises(ResponseError, match="^STALE"):
        q.corrupt(1, 1)
    q.take()
    with pytest.raises(ResponseError, match=r"^STALE job default-1: attempt 2 is not the last one \(that is 1\)"):
        q.corrupt(1, 2)


def test_a_final_job_cannot_be_flagged(q):
    q.end(q.start(), "succeeded")
    with pytest.raises(ResponseError, match="^CONFLICT"):
        q.corrupt(1, 1)


def test_a_specific_checkpoint_is_wanted(q):
    claim = five(q, checkpoint="1-2")
    claim = again(q, claim, "corrupted")
    assert claim["resume"] == "1-2"
    claim = again(q, claim, "lost")
    assert claim["resume"] == "1-5", "that was of the recovery only"


def test_a_wanted_checkpoint_that_is_bad_is_not_used(q):
    claim = again(q, five(q, checkpoint="1-4"), "corrupted", onset=300)
    assert claim["resume"] == "1-2"


def test_recovery_that_is_not_enabled(q):
    assert q.end(five(q, enabled=False), "corrupted") == ["ok", "failed"]
    assert q.events("recovery.failed")[0]["error"] == "corrupted, and recovery is not enabled"


def test_recovery_attempts_are_counted(q):
    claim = five(q, max_attempts=2)
    claim = again(q, again(q, claim, "corrupted"), "corrupted")
    assert q.end(claim, "corrupted") == ["ok", "failed"]
    assert q.events("recovery.exhausted") and q.job(1)["error"].startswith("corrupted 3 times; recovery.max_attempts")


@pytest.mark.parametrize("where", ["running", "queued", "waiting"])
def test_no_checkpoint_may_be_a_failure(q, where):
    claim = q.start(**spec(no_checkpoint="fail"))
    if where == "running":
        assert q.end(claim, "corrupted") == ["ok", "failed"]
    else:
        q.end(claim, "preempted" if where == "queued" else "error")
        assert q.corrupt(1, 1) == "failed"
        assert q.corrupt(1, 1) == "failed", "twice: the same answer"
    assert "no good checkpoint is left" in q.job(1)["error"]
    assert q.events("recovery.failed")


def test_the_reaper_recovers_what_was_flagged(q):
    five(q)
    q.corrupt(1, 1, "x", 300)
    q.lose(1)
    assert (q.state(1), q.job(1)["cause"]) == ("waiting", "corrupted")
    q.promote()
    assert q.take()[0]["resume"] == "1-2"


def test_the_events_of_a_recovery(q):
    claim = again(q, five(q), "corrupted", onset=250)
    q.renew(*claim.fence, "resumed", "1-2", "phase", "running")
    q.renew(*claim.fence, "resumed", "1-2", "step", "200")
    q.renew(*claim.fence, "step", "201")
    q.renew(*claim.fence, "step", "202")
    events = [e for e in q.events() if e.startswith("recovery.")]
    assert events == ["recovery.detected", "recovery.started", "recovery.checkpoint_selected", "recovery.resumed",
                      "recovery.completed"]


def test_a_metric_completes_a_recovery(q):
    claim = again(q, five(q), "corrupted")
    q.metric(*claim.fence, 1, '{"step":500,"loss":1}')
    assert not q.events("recovery.completed")
    q.metric(*claim.fence, 2, '{"step":501,"loss":1}')
    assert q.events("recovery.completed")[0]["step"] == "501"


def test_without_steps_a_recovery_completes_by_outliving(q):
    claim = q.start(**spec())
    q.set_job(1, claimed_ms=q.now() - 10000)
    claim = again(q, claim, "corrupted")
    q.renew(*claim.fence, "phase", "running")
    assert not q.events("recovery.completed")
    q.set_job(1, claimed_ms=q.now() - 10500)
    q.renew(*claim.fence)
    assert len(q.events("recovery.completed")) == 1


def test_a_recovered_attempt_that_fails_says_so(q):
    claim = again(q, five(q), "corrupted")
    q.end(claim, "error", error="boom")
    assert q.events("recovery.failed")[0]["error"] == "boom"


def test_a_job_goes_on_from_a_checkpoint_that_has_no_step(q):
    claim = q.start(retry={"max_attempts": 1})
    q.commit(claim, 1)
    q.end(claim, "error")
    assert q.retry(1, 1) == "default-2"
    q.add(resume="default-1@latest")
    assert [claim["resume"] for claim in q.take(most=2)] == ["0-1", "0-1"]


@pytest.mark.parametrize("onset, state", [(5, "committed"), ("", "quarantined")])
def test_of_a_flagged_run_that_is_being_cancelled_only_what_lies_before_is_good(q, onset, state):
    claim = q.start()
    q.corrupt(1, 1, "nan", onset)
    q.cancel(1)
    q.commit(claim, 1, 3), q.commit(claim, 2, 7)
    assert q.checkpoints(1) == {"1-1": state, "1-2": "quarantined"}


def test_a_step_that_nobody_reported_completes_no_recovery(q):
    claim = q.start(**spec())
    q.commit(claim, 1, 5)
    claim = again(q, claim, "corrupted")
    q.renew(*claim.fence, "phase", "running")
    q.set_job(1, step="9", claimed_ms=1)
    q.renew(*claim.fence)
    assert q.events("recovery.completed") == [] and q.job(1)["recover_step"] == "5"
