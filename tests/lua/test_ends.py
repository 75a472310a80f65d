"""How attempts end: causes, budgets, backoff, cancel, retry."""
import json

import pytest
from redis.exceptions import ResponseError

FAST = {"retry": {"backoff": "1s", "max_backoff": "4s", "jitter": 0}}


def due_in(q, n):
    return int(q.job(n)["due_ms"]) - q.now()


@pytest.mark.parametrize("cause,detail,error", [
    ("error", {"exit": 1}, "exit 1"), ("error", {"signal": 11}, "signal 11"), ("timeout", {}, "timeout"),
    ("stalled", {"error": "no output for 5 s"}, "no output for 5 s"),
])
def test_errors_are_tried_again_until_the_budget_is_used(q, cause, detail, error):
    q.add(**FAST)
    for attempt, wait_ms in ((1, 1000), (2, 2000)):
        claim, = q.take()
        assert claim["attempt"] == str(attempt)
        assert q.end(claim, cause, **detail) == ["ok", "waiting"]
        job = q.job(1)
        assert (job["reason"], job["cause"], job["error"], job["errors"]) == ("retry", cause, error, str(attempt))
        assert wait_ms - 500 < due_in(q, 1) <= wait_ms
        assert q.promote()[0] == 0
        assert q.hurry(1)[0] == 1
    claim, = q.take()
    assert q.end(claim, cause, **detail) == ["ok", "failed"]
    assert [h["event"] for h in q.history(1)] == ["job.retrying", "job.retrying", "job.failed"]
    assert q.history(1)[-1]["error"] == error


def test_the_backoff_stops_doubling_and_spreads(q):
    spec = {"retry": {"backoff": "1s", "max_backoff": "4s", "jitter": 0.5, "max_attempts": 9}}
    delays = []
    for n in range(1, 6):
        q.add(**spec)
        for _ in range(5):
            claim, = q.take()
            q.end(claim, "error")
            delays.append(due_in(q, n))
            q.hurry(n)
        q.cancel(n)
    for i, delay in enumerate(delays):
        middle = min(1000 * 2 ** (i % 5), 4000)
        assert middle * 0.5 - 500 < delay <= middle * 1.5
    last = [d for i, d in enumerate(delays) if i % 5 >= 2]
    assert max(last) - min(last) > 1000, "jitter spreads what failed together"


@pytest.mark.parametrize("cause", ["permanent"])
def test_a_permanent_failure_is_final(q, cause):
    assert q.end(q.start(), cause, exit=65, error="bad data") == ["ok", "failed"]
    assert (q.job(1)["cause"], q.job(1)["exit"], q.job(1)["error"]) == ("permanent", "65", "bad data")


def test_preempted_costs_nothing(q):
    claim = q.start(retry={"max_attempts": 1, "max_lost": 1})
    for _ in range(5):
        assert q.end(claim, "preempted") == ["ok", "queued"]
        assert q.job(1)["reason"] == "preempted"
        assert q.job(1)["lane"].endswith(":!front")
        claim, = q.take()
    assert claim["attempt"] == "6"


def test_lost_in_a_row_is_a_poison_pill(q):
    claim = q.start()
    for lost in ("1", "2"):
        assert q.end(claim, "lost", error="runner died") == ["ok", "queued"]
        assert q.job(1)["lost"] == lost
        claim, = q.take()
    assert q.end(claim, "lost", error="runner died") == ["ok", "failed"]
    assert q.job(1)["error"] == ("lost 3 times in a row without a new checkpoint (retry.max_lost is 3); "
                                 "the last time: runner died")


def test_a_checkpoint_gives_the_lost_budget_back(q):
    claim = q.start(retry={"max_lost": 2})
    for step in range(4):
        assert q.end(claim, "lost") == ["ok", "queued"]
        claim, = q.take()
        q.commit(claim, 1, step)


def test_budgets_are_apart(q):
    claim = q.start(retry={"max_attempts": 2, "max_lost": 2}, recovery={"max_attempts": 1})
    for cause in ("error", "lost", "corrupted", "preempted"):
        q.end(claim, cause)
        assert q.state(1) in ("queued", "waiting")
        q.hurry(1)
        claim, = q.take()
    assert q.end(claim, "error") == ["ok", "failed"]


# ---------------------------------------------------------------- every decision says its numbers

def reasons(q):
    return [(h["event"], h["reason"]) for h in q.history(1) if "reason" in h]


def test_errors_are_counted_aloud(q):
    claim = q.start(retry={"backoff": "10s", "max_backoff": "10s", "jitter": 0})
    for cause in ("error", "timeout", "stalled"):
        q.end(claim, cause, error="it broke")
        if q.state(1) == "waiting":
            q.hurry(1)
            claim, = q.take()
    assert reasons(q) == [("job.retrying", "failed 1 of 3 (retry.max_attempts); again in 10.0 s"),
                          ("job.retrying", "failed 2 of 3 (retry.max_attempts); again in 10.0 s"),
                          ("job.failed", "failed 3 of 3 (retry.max_attempts)")]
    assert q.history(1)[-1]["error"] == "it broke"


def test_losses_are_counted_aloud_and_what_gives_them_back(q):
    claim = q.start(retry={"max_lost": 5})
    for seq in (None, 1, None, None):
        q.lose(1)
        claim, = q.take()
        if seq:
            q.commit(claim, seq, 100)
    q.lose(1)
    q.renew(*claim.fence)
    q.lose(1)
    assert reasons(q) == [
        ("job.lost", "lost 1 of 5 in a row (retry.max_lost)"), ("job.lost", "lost 2 of 5 in a row (retry.max_lost)"),
        ("checkpoint.committed", "gives the lost budget back: 2 of 5 were used"),
        ("job.lost", "lost 1 of 5 in a row (retry.max_lost); before it checkpoint 3-1 gave 2 back"),
        ("job.lost", "lost 2 of 5 in a row (retry.max_lost)"), ("job.lost", "lost 3 of 5 in a row (retry.max_lost)"),
        ("job.adopted", "gives the lost budget back: 3 of 5 were used"),
        ("job.lost", "lost 1 of 5 in a row (retry.max_lost); before it its return gave 3 back")]


def test_a_poison_pill_says_its_numbers(q):
    q.start(retry={"max_lost": 1})
    q.lose(1)
    assert q.state(1) == "failed"
    assert reasons(q) == [("job.failed", "lost 1 of 1 in a row (retry.max_lost)")]


def test_a_checkpoint_without_losses_gives_nothing_back(q):
    q.commit(q.start(), 1, 100)
    assert not q.history(1) and "reason" not in q.events("checkpoint.committed")[0]


def test_corruptions_and_preemptions_are_counted_aloud(q):
    claim = q.start(recovery={"backoff": 0, "max_backoff": 0, "max_attempts": 1})
    q.end(claim, "corrupted", error="nan")
    q.promote()
    q.end(q.take()[0], "preempted", error="its worker drains")
    q.end(q.take()[0], "preempted")
    q.end(q.take()[0], "permanent")
    assert [r for r in reasons(q) if r[0].startswith("job.")] == [
        ("job.retrying", "corrupted 1 of 1 (recovery.max_attempts); again in 0.0 s"),
        ("job.preempted", "its worker drains; preemption 1, counted against no budget"),
        ("job.preempted", "preemption 2, counted against no budget"),
        ("job.failed", "it would fail again: no budget is asked")]
    assert q.job(1)["preempted"] == "2"


def test_unasked_cancelled_counts_as_preempted(q):
    assert q.end(q.start(), "cancelled") == ["ok", "queued"]
    assert q.job(1)["cause"] == "preempted"


def test_the_time_that_it_ran_adds_up(q):
    claim = q.start()
    q.set_job(1, claimed_ms=q.now() - 5000)
    q.end(claim, "preempted")
    claim, = q.take()
    q.set_job(1, claimed_ms=q.now() - 7000)
    q.end(claim, "succeeded")
    assert 12000 <= int(q.job(1)["ran_ms"]) < 12500


@pytest.mark.parametrize("detail,sentence", [
    ("[]", "detail: expected a JSON object"), ('{"exit":"1"}', "detail.exit: expected an integer"),
    ('{"cut":1}', "detail.cut: expected true or false"),
    ('{"signal":1.5}', "detail.signal: expected an integer"), ('{"error":3}', "detail.error: expected a text"),
])
def test_bad_details(q, detail, sentence):
    claim = q.start()
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.finish(*claim.fence, "error", detail)
    with pytest.raises(ResponseError, match="^INVALID cause: expected"):
        q.finish(*claim.fence, "bored", "{}")
    assert q.state(1) == "running"


def test_a_long_error_is_cut_between_characters(q):
    q.end(q.start(), "error", error="é" * 400)
    assert q.job(1)["error"] == "é" * 250


# ---------------------------------------------------------------- cancel

def test_cancel_of_what_does_not_run_is_at_once(q):
    q.add(), q.add(delay="1h")
    for n in (1, 2):
        assert q.cancel(n, "cli:ada", "no need") == "cancelled"
        before = q.snapshot()
        assert q.cancel(n, "cli:ada", "no need") == "cancelled"
        assert q.snapshot() == before
        assert (q.job(n)["error"], q.history(n)[0]["actor"]) == ("no need", "cli:ada")
    assert q.take() == []


def test_cancel_of_a_run_asks_its_runner(q):
    claim = q.start()
    with q.redis.pubsub() as heard:
        heard.subscribe(q.key("control"))
        heard.get_message(timeout=5)
        assert q.cancel(1, "cli:ada", "wrong data") == "running"
        assert json.loads(heard.get_message(timeout=5)["data"]) == {"stop": 1}
    before = q.snapshot()
    assert q.cancel(1) == "running"
    assert q.snapshot() == before
    assert q.renew(*claim.fence) == ["cancel", "wrong data"]
    assert q.end(claim, "cancelled", signal=15) == ["ok", "cancelled"]
    assert [h["event"] for h in q.history(1)] == ["job.cancel_asked", "job.cancelled"]
    assert (q.job(1)["error"], q.job(1)["signal"]) == ("wrong data", "15")


@pytest.mark.parametrize("cause,state", [("error", "cancelled"), ("preempted", "cancelled"), ("lost", "cancelled"),
                                         ("corrupted", "cancelled"), ("succeeded", "succeeded")])
def test_a_cancel_wins_over_all_but_success(q, cause, state):
    claim = q.start()
    q.cancel(1)
    assert q.end(claim, cause) == ["ok", state]


def test_a_cancel_beats_corrupted(q):
    claim = q.start()
    q.corrupt(1, 1, "bad loss")
    assert q.renew(*claim.fence)[0] == "corrupted"
    q.cancel(1)
    assert q.renew(*claim.fence)[0] == "cancel"
    q.corrupt(1, 1, "bad loss")
    assert q.renew(*claim.fence)[0] == "cancel"
    assert q.end(claim, "corrupted") == ["ok", "cancelled"]


def test_a_lost_run_that_was_to_be_cancelled_is_cancelled(q):
    q.start()
    q.cancel(1)
    q.lose(1)
    assert (q.state(1), q.job(1)["error"]) == ("cancelled", "cancelled")


@pytest.mark.parametrize("cause,state", [("succeeded", "succeeded"), ("permanent", "failed")])
def test_cancel_of_what_is_over(q, cause, state):
    q.end(q.start(), cause)
    with pytest.raises(ResponseError, match=f"^CONFLICT job default-1 (has|was) {state} already"):
        q.cancel(1)


# ---------------------------------------------------------------- retry

def test_retry_of_a_waiting_job_is_now(q):
    claim = q.start(retry={"backoff": "1h", "max_backoff": "1h"})
    q.end(claim, "error")
    assert q.retry(1, 1, "cli:ada") == "default-1"
    assert q.state(1) == "queued"
    assert q.retry(1, 1, "cli:ada") == "default-1"
    claim, = q.take()
    assert q.retry(1, 1, "cli:ada") == "default-1"
    with pytest.raises(ResponseError, match="^CONFLICT job default-1 is running"):
        q.retry(1, 2)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_retry_of_a_final_job_makes_a_new_one(q, end):
    claim = q.start(checkpoint={"keep_last": 2})
    for seq in (1, 2, 3):
        q.commit(claim, seq, seq * 100)
    q.end(claim, "permanent") if end == "failed" else (q.cancel(1), q.end(claim, "cancelled"))
    assert q.retry(1, 1, "cli:ada") == "default-2"
    assert q.retry(1, 1, "cli:ada") == "default-2"
    assert q.state(1) == end
    assert (q.job(1)["retried_as"], q.job(2)["retry_of"]) == ("2", "1")
    claim, = q.take()
    assert claim["resume"] == "0-2" and json.loads(claim["checkpoint"])["step"] == 300
    assert q.checkpoints(2) == {"0-1": "committed", "0-2": "committed"}
    assert q.commit(claim, 1, 400) == ["ok"]
    q.renew(*claim.fence, "phase", "running")
    assert q.commit(claim, 2, 500) == ["ok"], "what an earlier job lent is not ours to delete"
    assert q.checkpoints(2) == {"1-1": "committed", "1-2": "committed"}


def test_retry_of_what_succeeded(q):
    q.end(q.start(), "succeeded")
    with pytest.raises(ResponseError, match="^CONFLICT job default-1 has succeeded: there is nothing to retry"):
        q.retry(1, 1)


def test_retry_names_the_attempt(q):
    q.end(q.start(), "permanent")
    for attempt in (0, 2):
        with pytest.raises(ResponseError, match="^STALE"):
            q.retry(1, attempt)
    assert q.retry(1, 1) == "default-2"


def test_where_a_stalled_program_was(q):
    trace = "process 7: python3\n  python3: asleep in futex\n" + "é" * 3000
    claim = q.start(retry={"backoff": "0s"})
    q.renew(*claim.fence, "phase", "running", "step", 8)
    q.end(claim, "stalled", error="silent", trace=trace)
    said, = q.events("job.stalled")
    assert (said["worker"], said["step"], said["attempt"]) == ("w1", "8", "1")
    assert said["trace"] == trace[:len(said["trace"])] and 4090 < len(said["trace"].encode()) <= 4096
    assert [(h["event"], h.get("trace")) for h in q.history(1)][0] == ("job.stalled", said["trace"])
    q.hurry(1)
    q.end(q.take()[0], "error", error="exit 1", trace="of no stall")
    q.hurry(1)
    claim, = q.take()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID detail.trace: expected a text, got"):
        q.end(claim, "stalled", trace=7)
    assert q.snapshot() == before
    assert len(q.events("job.stalled")) == 1


def test_an_error_that_ended_with_nothing_is_one(q):
    q.end(q.start(), "error", exit=0)
    assert (q.job(1)["state"], q.job(1)["error"], q.job(1)["exit"]) == ("waiting", "error", "0")


def test_told_twice_in_one_call_it_ends_once(q):
    claim, other = q.start(), q.start()
    words = [*claim.fence, "succeeded", '{"exit":0}']
    assert q.finish(*words, *words, *other.fence, "succeeded", '{"exit":0}') == [["ok", "succeeded"]] * 3
    assert [e["job"] for e in q.events("job.succeeded")].count("default-1") == 1
    assert q.redis.hget(q.key("meta"), "active") == "0"


def test_a_record_that_lost_its_class_ends_well(spoiled):
    q = spoiled
    claim = q.start()
    q.redis.hdel(q.key("job:1"), "class")
    assert q.end(claim, "succeeded", step=3) == ["ok", "succeeded"] and q.job(1)["step"] == "3"


# ---- retry

def test_retried_twice_in_one_call_it_goes_on_once(q):
    claim = q.start()
    q.end(claim, "error")
    assert q.each("retry", "", "ada", "", 1, 1) == [["ok", "default-1"]] * 2
    assert q.state(1) == "queued" and len(q.events("job.queued")) == 1


def test_a_retry_of_an_attempt_that_is_over_is_done(q):
    q.end(q.start(), "error")
    q.hurry(1)
    q.end(q.take()[0], "error")
    assert q.retry(1, 1) == "default-1" and q.state(1) == "waiting", "the second one has its own time"


def test_a_retry_goes_on_from_the_best_if_the_job_did(q):
    claim = q.start(resume="best")
    q.commit(claim, 1, 5, loss=1), q.commit(claim, 2, 7, loss=2)
    q.end(claim, "permanent")
    q.retry(1, 1)
    assert json.loads(q.take()[0]["checkpoint"])["step"] == 5


def test_without_its_spec_nothing_can_be_done_again(spoiled):
    q = spoiled
    q.end(q.start(), "permanent")
    q.redis.delete(q.key("spec:1"))
    with pytest.raises(ResponseError, match="^NOTFOUND the spec of job default-1 is gone"):
        q.retry(1, 1)
