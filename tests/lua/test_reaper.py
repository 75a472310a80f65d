"""Leases, the reaper that forgives the pauses of Redis, and what takes an attempt back."""
import json

import pytest
from redis.exceptions import ResponseError

from harness import wait_until


def meta(q, field):
    return int(q.redis.hget(q.key("meta"), field) or 0)


def test_a_lease_runs_out_by_itself(q):
    q.start(lease="1s")
    wait_until(lambda: q.reap()[0], 10, "the lease of 1 s is reaped", 0.05)
    assert (q.state(1), q.job(1)["reason"], q.job(1)["lost"]) == ("queued", "lost", "1")
    assert q.history(1)[-1]["actor"] == "reaper"
    assert "worker w1 did not renew the lease for" in q.job(1)["error"]


def test_a_renewed_lease_lives(q):
    claim = q.start(lease="5s")
    q.expire(1)
    q.renew(*claim.fence)
    assert q.reap_now()[0] == 0
    assert q.redis.zscore(q.key("leases"), 1) > q.now() + 4000


def test_renewing_shows_in_xpending(q):
    claim = q.start()
    key = q.key("ready:cpu1:5:-")
    wait_until(lambda: q.redis.xpending_range(key, "workers", "-", "+", 1)[0]["time_since_delivered"] > 100,
               what="100 ms pass")
    q.renew(*claim.fence)
    pending, = q.redis.xpending_range(key, "workers", "-", "+", 1)
    assert pending["time_since_delivered"] < 100 and pending["times_delivered"] == 1


def test_the_answer_says_when_to_come_again(q):
    assert q.reap_now()[1] == -1
    q.start(lease="60s")
    assert q.reap_now()[1] == 10000, "soon enough not to look like a pause"
    q.expire(1)
    assert q.reap_now()[:2] == [1, -1]


def test_a_new_run_id_gives_everybody_one_lease(q):
    q.start(lease="30s")
    q.expire(1)
    q.redis.hset(q.key("meta"), mapping={"redis_run_id": "of another life", "last_reap_ms": q.now()})
    reaped, _, grace, _ = q.reap()
    assert reaped == 0 and 29000 < grace <= 30000
    assert q.reap()[0] == 0, "the grace holds although nothing is new any more"
    assert q.state(1) == "running"
    q.redis.hset(q.key("meta"), "no_reap_before_ms", q.now())
    assert q.reap()[0] == 1


def test_a_gap_between_reaps_gives_everybody_one_lease(q):
    q.start(lease="30s"), q.start(lease="9s")
    q.expire(1)
    q.reap_now()
    q.start(lease="30s")
    q.expire(2)
    q.redis.hset(q.key("meta"), "last_reap_ms", q.now() - 3100)  # more than a third of 9 s
    assert q.reap()[0] == 0
    assert meta(q, "no_reap_before_ms") > q.now() + 29000


@pytest.mark.parametrize("lease", ["3s", "1s"])
def test_a_short_lease_does_not_wait_for_a_long_one(q, lease):
    """However long a lease somebody else has: what each needs to be renewed in is its own, and no less than 3 s."""
    q.start(lease="30s"), q.start(lease=lease)
    q.reap_now()
    q.expire(1), q.expire(2)
    q.redis.hset(q.key("meta"), "last_reap_ms", q.now() - 1100)
    assert q.reap()[0] == 0
    q.redis.hset(q.key("meta"), mapping={"last_reap_ms": q.now(), "resumed_ms": q.now() - 2800})
    assert q.reap()[0] == 0
    q.redis.hset(q.key("meta"), mapping={"last_reap_ms": q.now(), "resumed_ms": q.now() - 3000})
    reaped, next_ms, grace_ms, _ = q.reap()
    assert (reaped, q.state(1), q.state(2)) == (1, "running", "queued")
    assert next_ms <= 500 and grace_ms > 26000


def test_no_gap_no_grace(q):
    q.start(lease="9s")
    q.reap_now()
    q.expire(1)
    q.redis.hset(q.key("meta"), "last_reap_ms", q.now() - 2000)
    assert q.reap()[0] == 1


def test_a_reaper_that_always_comes_late_still_reaps(q):
    q.start(lease="1s")
    q.expire(1)
    for _ in range(30):  # each time later than a third of the lease, and just past the last grace
        now = q.now()
        q.redis.hset(q.key("meta"), "last_reap_ms", now - 400)
        for field in ("no_reap_before_ms", "grace_since_ms"):
            if meta(q, field):
                q.redis.hincrby(q.key("meta"), field, -3100)
        if q.reap()[0]:
            return
    raise AssertionError("it never reaped")


def test_at_most_a_hundred_a_call(q):
    for _ in range(130):
        q.add(resources={"cpus": 0})
    q.take(most=100), q.take(most=100)
    for n in range(1, 131):
        q.expire(n)
    reaped, next_ms, _, _ = q.reap_now()
    assert (reaped, next_ms) == (100, 0)
    assert q.reap_now()[:2] == [30, -1]


def test_an_index_entry_without_its_job_goes(q):
    q.redis.zadd(q.key("leases"), {"99": 1})
    q.redis.zadd(q.key("waiting"), {"98": 1})
    assert q.reap_now()[0] == 0
    assert q.promote() == [0, -1]


# ---------------------------------------------------------------- adoption

TAKES_BACK = {
    "renew": lambda q, c: q.renew(*c.fence),
    "adopt": lambda q, c: q.adopt(*c.fence, "w1"),
    "checkpoint": lambda q, c: q.commit(c, 1, 10),
}


@pytest.mark.parametrize("function", ["renew", "adopt", "checkpoint"])
def test_an_attempt_that_lives_takes_its_job_back(q, function):
    claim = q.start(retry={"max_lost": 2})
    q.lose(1)
    assert q.job(1)["lost"] == "1"
    TAKES_BACK[function](q, claim)
    job = q.job(1)
    assert (job["state"], job["token"], job["attempt"]) == ("running", claim["token"], "1")
    assert "lost" not in job and "error" not in job
    assert job["lane"] == "cpu1:5:!held"
    assert q.take("w2") == [], "nobody else gets it"
    assert q.history(1)[-1]["event"] == "job.adopted"
    before = len(q.history(1))
    TAKES_BACK[function](q, claim)
    assert len(q.history(1)) == before
    q.lose(1)
    assert q.state(1) == "queued", "the budget was given back"
    TAKES_BACK[function](q, claim)
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]


def test_finish_of_a_lost_attempt_takes_it_back_first(q):
    claim = q.start()
    q.lose(1)
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]
    assert q.take("w2") == []


def test_once_claimed_again_it_is_gone(q):
    claim = q.start()
    q.lose(1)
    other, = q.take("w2")
    for function in ("renew", "adopt", "checkpoint"):
        with pytest.raises(ResponseError, match="^STALE"):
            TAKES_BACK[function](q, claim)
    assert q.end(claim, "succeeded")[0] == "stale"
    assert q.log(*other.fence, "1", "0", "stdout", "1", "mine") == ["ok", 2]
    with pytest.raises(ResponseError, match="^STALE"):
        q.log(*claim.fence, "1", "0", "stdout", "1", "not mine")


def test_a_reported_loss_is_not_taken_back(q):
    claim = q.start()
    q.end(claim, "lost")
    with pytest.raises(ResponseError, match="^STALE"):
        q.renew(*claim.fence)
    assert q.end(claim, "succeeded") == ["ok", "queued"], "the answer of the first report"


@pytest.mark.parametrize("function", ["renew", "adopt", "checkpoint", "finish"])
def test_what_was_flagged_while_it_was_lost_is_not_taken_back(q, function):
    claim = q.start()
    q.commit(claim, 1, 100)
    q.lose(1)
    assert q.corrupt(1, 1, "nonsense", 50) == "queued"
    if function == "finish":
        assert q.end(claim, "succeeded")[0] == "stale"
    else:
        arguments = {"renew": (), "adopt": ("w1",), "checkpoint": ("1-2", '{"step":9}')}[function]
        with pytest.raises(ResponseError, match="^STALE "):
            getattr(q, function)(*claim.fence, *arguments)
    again, = q.take("w2")
    assert (again["attempt"], "resume" in again) == ("2", False)


def test_a_loss_that_the_reaper_saw_first_counts_once_and_counts(q):
    claim = q.start(retry={"max_lost": 3})
    for lost in ("1", "2"):
        q.lose(1)
        assert q.end(claim, "lost") == ["ok", "queued"]
        assert q.end(claim, "lost") == ["ok", "queued"]
        assert q.job(1)["lost"] == lost
        with pytest.raises(ResponseError, match="^STALE"):
            q.renew(*claim.fence)
        claim, = q.take()
    q.lose(1)
    assert q.state(1) == "failed"


@pytest.mark.parametrize("change", ["cancel", "fail"])
def test_a_final_job_is_not_taken_back(q, change):
    claim = q.start(retry={"max_lost": 1 if change == "fail" else 3})
    q.lose(1)
    if change == "cancel":
        q.cancel(1)
    assert q.state(1) == {"cancel": "cancelled", "fail": "failed"}[change]
    with pytest.raises(ResponseError, match="^STALE"):
        q.adopt(*claim.fence, "w1")
    assert q.end(claim, "succeeded")[0] == "stale"


def test_another_worker_adopts_a_running_attempt(q):
    claim = q.start("w1")
    assert q.adopt(*claim.fence, "w2") == ["ok", "ok", ""]
    assert q.job(1)["worker"] == "w2"
    before = q.snapshot()
    assert q.adopt(*claim.fence, "w2") == ["ok", "ok", ""]
    assert q.snapshot() == before
    q.cancel(1, "", "enough")
    assert q.adopt(*claim.fence, "w2") == ["ok", "cancel", "enough"]


def test_a_lost_attempt_taken_back_keeps_its_count_of_time(q):
    claim = q.start()
    q.set_job(1, claimed_ms=q.now() - 60000)
    q.lose(1)
    q.renew(*claim.fence)
    q.end(claim, "succeeded")
    assert 60000 <= int(q.job(1)["ran_ms"]) < 61000


def test_renew_takes_only_what_it_knows(q):
    claim = q.start()
    for args, sentence in ((("phase", "bored"), "phase: expected"), (("step", "-1"), "step: expected"),
                           (("mood", "good"), '"mood": expected phase, step, total, pace, resumed, spent or lineage')):
        with pytest.raises(ResponseError, match="^INVALID " + sentence):
            q.renew(*claim.fence, *args)
    assert json.loads(q.show(1))["job"].get("phase") is None
