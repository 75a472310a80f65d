"""Redis loses writes: everything up to some moment is there, and nothing of what came after, as after a failover. What
the runners bring back, and what is refused."""
import json

import pytest
import redis as redis_py
from redis.exceptions import ResponseError

import fsck
from conftest import Claim

INSTALLATION = "installation1"


@pytest.fixture
def moment(q):
    """(remember, forget): forget brings Redis back to what it was at remember."""
    raw = redis_py.Redis(unix_socket_path=q.redis.connection_pool.connection_kwargs["path"])
    saved = {}

    def remember():
        saved.clear()
        saved.update({key: raw.dump(key) for key in raw.keys("*")})

    def forget():
        raw.flushdb()
        for key, value in saved.items():
            raw.restore(key, 0, value)
    yield remember, forget
    raw.close()


def told(q, name):
    """Events of the queue itself."""
    return [e for _, e in q.redis.xrange(q.key("events")) if e["event"] == name]


def offer(q, claim, worker="w1", kept=(), installation=INSTALLATION):
    """What the runner of this attempt would say. kept: {id: summary} of its checkpoints."""
    words = [word for one in dict(kept).items() for word in (one[0], json.dumps(one[1]))]
    return q.adopt(*claim.fence, worker, claim["attempt"], installation, claim.get("resume", ""), claim["spec"], *words)


def summary(claim, seq, step, **more):
    return {"size": 1, "sha256": f"{claim['attempt']}.{seq}", "step": step, **more}


def acknowledged(q, *lost):
    """fsck tells these jobs, until somebody has taken note of it."""
    assert sorted(problem.split()[-3] for problem in fsck.check(q.redis)) == sorted(f"default-{n}" for n in lost)
    q.redis.zrem(q.key("forgotten"), *lost)


# ---------------------------------------------------------------- the claim is forgotten

def before_the_claim(q, state):
    """A job in this state, as Redis will know it; answers nothing."""
    if state == "new":
        q.add()
    elif state == "waiting":
        claim = q.start()
        q.end(claim, "error")
    elif state == "preempted":
        claim = q.start()
        q.end(claim, "preempted")
    elif state == "running":
        q.start()
    elif state == "delayed":
        q.add(delay="1h")


def claim_again(q, state):
    if state in ("waiting", "delayed"):
        q.hurry(1)
    elif state == "running":
        q.end(job_claim(q), "preempted")
    claim, = q.take("w2")
    return claim


def job_claim(q):
    job = q.job(1)
    return Claim(n="1", uid=job["uid"], token=job["token"], attempt=job["attempt"])


@pytest.mark.parametrize("state", ["new", "waiting", "preempted", "running", "delayed"])
def test_an_attempt_whose_claim_is_forgotten_goes_on(q, moment, state):
    remember, forget = moment
    before_the_claim(q, state)
    remember()
    claim = claim_again(q, state)
    kept = {f"{claim['attempt']}-1": summary(claim, 1, 10)}
    q.commit(claim, 1, 10)
    forget()
    with pytest.raises(ResponseError, match="^STALE"):
        q.renew(*claim.fence)
    assert offer(q, claim, "w2", kept) == ["ok", "ok", ""]
    job = q.job(1)
    assert (job["state"], job["token"], job["attempt"], job["worker"]) == ("running", claim["token"], claim["attempt"],
                                                                          "w2")
    assert job["checkpoint"] == f"{claim['attempt']}-1" and q.checkpoints(1)[job["checkpoint"]] == "committed"
    assert "forgotten the claim" in q.history(1)[-1]["reason"]
    before = q.snapshot()
    assert offer(q, claim, "w2", kept) == ["ok", "ok", ""], "once more"
    assert q.snapshot() == before
    assert q.take("w3") == [], "nobody else gets it"
    assert q.renew(*claim.fence) == ["ok", ""]
    assert q.log(*claim.fence, "1", "0", "stdout", "1", "x") == ["ok", 2]
    assert q.commit(claim, 2, 20) == ["ok"]
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]


def test_the_older_one_is_stopped_when_somebody_has_claimed_since(q, moment):
    remember, forget = moment
    q.add()
    remember()
    older, = q.take("w1")
    forget()
    newer, = q.take("w2")
    assert int(newer["token"]) > int(older["token"]), "tokens rise although the record was set back"
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^STALE job default-1: token"):
        offer(q, older)
    assert q.snapshot() == before
    assert q.end(newer, "succeeded") == ["ok", "succeeded"]
    with pytest.raises(ResponseError, match="^STALE"):
        offer(q, older)


def test_a_larger_token_is_not_enough_where_the_same_attempt_was_begun_anew(q, moment):
    """The clock of the new Redis is behind."""
    remember, forget = moment
    q.add()
    remember()
    older, = q.take("w1")
    older["token"] = str(int(older["token"]) + 10_000_000)
    forget()
    q.take("w2")
    with pytest.raises(ResponseError, match="^STALE job default-1: another attempt 1"):
        offer(q, older)


@pytest.mark.parametrize("end", ["cancel", "hold"])
def test_what_was_decided_since_wins(q, moment, end):
    remember, forget = moment
    q.add()
    remember()
    claim, = q.take("w1")
    forget()
    getattr(q, end)(1)
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^STALE"):
        offer(q, claim)
    assert q.snapshot() == before


def test_a_cancel_of_the_attempt_that_redis_remembers_is_meant_for_this_one(q, moment):
    remember, forget = moment
    before_the_claim(q, "running")
    remember()
    claim = claim_again(q, "running")
    forget()
    q.cancel(1, "", "enough")
    assert offer(q, claim) == ["ok", "cancel", "enough"]
    assert q.end(claim, "cancelled") == ["ok", "cancelled"]


def test_a_flag_of_the_attempt_before_is_not(q, moment):
    remember, forget = moment
    before_the_claim(q, "running")
    q.corrupt(1, 1, "nonsense", 5)
    remember()
    q.end(job_claim(q), "corrupted")
    q.hurry(1)
    claim, = q.take("w2")
    forget()
    assert offer(q, claim) == ["ok", "ok", ""]
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]


def test_its_slot_its_key_and_its_tenant(q, moment):
    """What it holds it goes on to hold, also when somebody else was given the slot."""
    remember, forget = moment
    spec = {"concurrency": {"key": "k", "max": 1}, "unique": {"key": "u", "until": "started"}, "tenant": "ada"}
    first = q.start(concurrency={"key": "k", "max": 1})
    q.add(**spec)
    remember()
    q.end(first, "succeeded")
    claim, = q.take("w2")
    forget()
    assert q.job(2)["reason"] == "limit"
    assert offer(q, claim, "w2") == ["ok", "ok", ""]
    assert set(q.redis.zrange(q.key("slots:k"), 0, -1)) == {"1", "2"}
    assert not q.redis.exists(q.key("limited:k")) and not q.redis.exists(q.key("unique:u"))
    q.end(claim, "succeeded"), q.cancel(1)


def test_a_job_that_waits_for_others_waits_on(q, moment):
    remember, forget = moment
    parent = q.start()
    child = q.add(after=[parent["id"]])
    remember()
    q.end(parent, "succeeded")
    claim, = q.take("w2")
    assert claim["n"] == child
    forget()
    with pytest.raises(ResponseError, match=r"^STALE job default-2 is waiting \(dependency\), and waits on"):
        offer(q, claim)


# ---------------------------------------------------------------- checkpoints alone are forgotten

def test_checkpoints_that_are_forgotten_come_back(q, moment):
    remember, forget = moment
    claim = q.start()
    q.commit(claim, 1, 10)
    remember()
    q.commit(claim, 2, 20), q.commit(claim, 3, 30, uses=[2])
    forget()
    kept = {"1-1": summary(claim, 1, 10), "1-2": summary(claim, 2, 20), "1-3": summary(claim, 3, 30, uses=[2])}
    assert offer(q, claim, "w1", kept) == ["ok", "ok", ""]
    assert q.checkpoints(1) == {"1-1": "committed", "1-2": "committed", "1-3": "committed"}
    assert (q.job(1)["checkpoint"], q.job(1)["checkpoint_step"]) == ("1-3", "30")
    assert [e["reason"] for e in q.events("checkpoint.committed")[1:]] == ["Redis had forgotten it"] * 2
    assert q.commit(claim, 4, 40)[0] == "ok"


def test_what_uses_files_of_one_that_nobody_has_stays_away(q):
    claim = q.start()
    assert offer(q, claim, "w1", {"1-3": summary(claim, 3, 30, uses=[2])}) == ["ok", "ok", ""]
    assert q.checkpoints(1) == {}


def test_checkpoints_of_a_flagged_run_do_not_come_back(q):
    claim = q.start()
    q.corrupt(1, 1, "nonsense", 5)
    assert offer(q, claim, "w1", {"1-1": summary(claim, 1, 3)}) == ["ok", "corrupted", "nonsense"]
    assert q.checkpoints(1) == {}


def test_what_was_dropped_does_not_come_back(q):
    claim = q.start(checkpoint={"keep_last": 1})
    q.renew(*claim.fence, "phase", "running")
    q.commit(claim, 1, 10)
    assert q.commit(claim, 2, 20) == ["ok", "1-1"]
    q.drop(*claim.fence, "1-1")
    offer(q, claim, "w1", {"1-1": summary(claim, 1, 10)})
    assert q.checkpoints(1) == {"1-2": "committed"}


# ---------------------------------------------------------------- the job is forgotten

WHOLE = {"name": "n", "tenant": "ada", "batch": "b", "tags": ["x"], "experiment": "e", "priority": 7,
         "concurrency": {"key": "k", "max": 1}, "unique": {"key": "u"}, "webhook": {"url": "http://x.org/"}}


def test_a_job_that_is_forgotten_is_made_again(q, moment):
    remember, forget = moment
    q.add()
    remember()
    lost = q.add()
    q.add(**WHOLE)
    claim = next(c for c in q.take("w1", 3) if c["n"] == "3")
    q.commit(claim, 1, 10)
    job = q.job(3)
    forget()
    assert offer(q, claim, "w1", {"1-1": summary(claim, 1, 10)}) == ["ok", "ok", ""]
    made = q.job(3)
    same = ("uid", "name", "tenant", "tags", "experiment", "priority", "class", "token", "attempt", "lease_ms", "slot",
            "unique", "batch", "state", "checkpoint")
    assert {k: made[k] for k in same} == {k: job[k] for k in same}
    assert json.loads(q.show(3))["spec"]["name"] == "n"
    assert q.redis.zrange(q.key("forgotten"), 0, -1) == [lost]
    event, = told(q, "queue.writes_lost")
    assert event["count"] == "2"
    assert "did not know of jobs default-2 to default-3, which worker w1 has" in event["reason"]
    assert q.add() == "4", "no number is given out twice"
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]
    acknowledged(q, "2")


def test_each_of_them_comes_back_in_any_order(q, moment):
    remember, forget = moment
    remember()
    for _ in range(4):
        q.add()
    claims = q.take("w1", 4)
    forget()
    for claim in reversed(claims):
        assert offer(q, claim) == ["ok", "ok", ""]
    assert not q.redis.exists(q.key("forgotten"))
    assert len(told(q, "queue.writes_lost")) == 1
    assert [q.end(claim, "succeeded")[1] for claim in claims] == ["succeeded"] * 4


def test_a_job_that_got_its_number_is_not_touched(q, moment):
    remember, forget = moment
    remember()
    old = q.start()
    forget()
    new = q.start(name="other")
    assert new["n"] == old["n"] and new["uid"] != old["uid"]
    before = {k: v for k, v in q.snapshot().items() if k != q.key("events")}
    for call in (lambda: offer(q, old), lambda: q.renew(*old.fence), lambda: q.commit(old, 1, 1)):
        with pytest.raises(ResponseError, match="^STALE job default-1 is another job than the one of uid"):
            call()
    assert q.end(old, "succeeded")[0] == "stale"
    assert {k: v for k, v in q.snapshot().items() if k != q.key("events")} == before
    refused, = told(q, "queue.run_refused")
    assert (refused["uid"], refused["worker"], refused["attempt"]) == (old["uid"], "w1", "1") and "job" not in refused


@pytest.mark.parametrize("is_doomed", [False, True])
def test_a_job_that_is_made_again_spares_its_code(q, moment, is_doomed):
    """gc must not take what a retry of it needs; what is doomed already cannot stop what runs."""
    remember, forget = moment
    code = "c" * 64
    q.condemn("mark", "run1", code)
    if is_doomed:
        q.condemn("doom", "run1", code)
    remember()
    q.redis.delete(q.key("condemned"), q.key("doomed"))
    claim = q.start(code=code)
    forget()
    assert offer(q, claim) == ["ok", "ok", ""] and q.state(1) == "running"
    assert not q.redis.hexists(q.key("condemned"), code)


def test_an_ended_job_that_was_removed_is_not_made_again(q):
    claim = q.start()
    q.end(claim, "succeeded")
    q.remove(1)
    before = q.redis.keys("*")
    with pytest.raises(ResponseError, match="^STALE job default-1 is gone"):
        offer(q, claim)
    assert q.redis.keys("*") == before


def test_a_record_that_was_evicted_is_made_again_and_keeps_what_is_left(q):
    claim = q.start()
    q.commit(claim, 1, 10)
    q.redis.delete(q.key("job:1"), q.key("ready:cpu1:5:-"))
    assert offer(q, claim) == ["ok", "ok", ""]
    assert q.checkpoints(1) == {"1-1": "committed"}
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]


def test_its_unique_key_belongs_to_who_has_it_now(q, moment):
    remember, forget = moment
    remember()
    claim = q.start(unique={"key": "u"})
    forget()
    q.add(unique={"key": "u"})
    claim["n"] = "9"
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^CONFLICT unique.key: job default-1"):
        offer(q, claim)
    assert q.snapshot() == before


def test_another_installation_is_refused(q, moment):
    remember, forget = moment
    remember()
    claim = q.start()
    forget()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID installation: this Redis belongs to installation1"):
        offer(q, claim, installation="another")
    assert q.snapshot() == before


@pytest.mark.parametrize("words", [("1",), ("x", INSTALLATION, "", "{}"), ("1", INSTALLATION, "", "{}", "1-1"),
                                   ("1", INSTALLATION, "", "{}", "odd", "{}"),
                                   ("1", INSTALLATION, "", "{}", "1-1", "x")])
def test_an_offer_is_checked(q, words):
    claim = q.start()
    with pytest.raises(ResponseError, match="^INVALID"):
        q.adopt(*claim.fence, "w1", *words)


# ---------------------------------------------------------------- told by a scheduler

def test_a_scheduler_that_has_seen_more_says_so(q, moment):
    remember, forget = moment
    q.add()
    remember()
    q.add(), q.add()
    assert q.reap()[3] == 3
    forget()
    assert q.reap("100", "3")[3] == 3
    assert q.redis.zrange(q.key("forgotten"), 0, -1) == ["2", "3"]
    event, = told(q, "queue.writes_lost")
    assert event["count"] == "2" and "which a scheduler has seen" in event["reason"]
    q.reap("100", "3")
    assert len(told(q, "queue.writes_lost")) == 1
    assert q.add() == "4"
    acknowledged(q, "2", "3")


def test_what_is_kept_of_them_is_bounded(q):
    assert q.reap("100", "25000")[3] == 25000
    assert q.redis.zcard(q.key("forgotten")) == 10000
    assert q.redis.zscore(q.key("forgotten"), 25000) and not q.redis.zscore(q.key("forgotten"), 15000)
    q.redis.delete(q.key("forgotten"))


# ---------------------------------------------------------------- what comes back with it

def test_too_much_is_no_offer(q):
    claim = q.start()
    with pytest.raises(ResponseError, match="^INVALID expected .* at most 32 times <checkpoint> <summary>"):
        offer(q, claim, "w1", {f"1-{i}": summary(claim, i, i) for i in range(33)})


def test_a_redis_of_no_installation_takes_nothing_back(spoiled):
    claim = spoiled.start()
    spoiled.redis.hdel(spoiled.key("meta"), "installation")
    with pytest.raises(ResponseError, match="^INVALID installation: this Redis belongs to none, the attempt to"):
        offer(spoiled, claim)


def test_only_what_this_job_saved_so_far_comes_back(q):
    """Not what another job lent, nor what a later attempt would have."""
    claim = q.start()
    offer(q, claim, "w1", {"0-1": summary(claim, 1, 1), "1-1": summary(claim, 1, 1), "2-1": summary(claim, 1, 1)})
    assert q.checkpoints(1) == {"1-1": "committed"}


def test_what_its_summary_says_of_its_time_and_token_stays(q):
    claim = q.start()
    offer(q, claim, "w1", {"1-1": summary(claim, 1, 1, token="7", time_ms=8)})
    kept = json.loads(q.redis.hget(q.key("checkpoints:1"), "1-1"))
    assert (kept["token"], kept["time_ms"]) == ("7", 8)


def test_what_is_older_than_the_newest_that_redis_knows_was_let_go(q):
    first = q.start()
    q.end(first, "preempted")
    second, = q.take()
    q.commit(second, 1, 20)
    offer(q, second, "w1", {"1-1": summary(first, 1, 10), "2-2": summary(second, 2, 30)})
    assert q.checkpoints(1) == {"2-1": "committed", "2-2": "committed"} and q.job(1)["checkpoint"] == "2-2"


def test_of_many_attempts_the_newest_is_the_last(q):
    first = q.start()
    q.commit(first, 9, 90)
    q.end(first, "preempted")
    second, = q.take()
    offer(q, second, "w1", {f"2-{i}": summary(second, i, i) for i in range(1, 5)})
    assert q.job(1)["checkpoint"] == "2-4"


def test_of_a_flagged_run_that_is_being_cancelled_nothing_comes_back(q):
    claim = q.start()
    q.corrupt(1, 1, "nonsense", 5)
    q.cancel(1, "ada", "enough")
    assert offer(q, claim, "w1", {"1-1": summary(claim, 1, 3)}) == ["ok", "cancel", "enough"]
    assert q.checkpoints(1) == {}


def test_a_checkpoint_without_a_step_is_one_to_go_on_from(q, moment):
    remember, forget = moment
    first = q.start()
    q.commit(first, 1)
    q.end(first, "preempted")
    remember()
    claim, = q.take()
    forget()
    assert offer(q, claim)[0] == "ok" and (q.job(1)["resume"], q.job(1)["resumed_at"]) == ("1-1", "0")
    q.end(claim, "succeeded")


def test_the_first_claim_of_a_job_that_goes_elsewhere_may_be_forgotten(q, moment):
    remember, forget = moment
    q.add(retry={"elsewhere": "1h"})
    remember()
    claim, = q.take()
    forget()
    assert offer(q, claim)[0] == "ok" and q.state(1) == "running"


def test_a_tenant_pays_for_a_class_that_is_forgotten_too(spoiled):
    q = spoiled
    q.add(tenant="ada", resources={"cpus": 4})
    claim, = q.take()
    q.set_job(1, state="queued", attempt="0", token="0", lane="cpu4:5:ada", entry="1-1")
    q.redis.hdel(q.key("classes"), "cpu4")
    q.redis.delete(q.key("usage"))
    assert offer(q, claim)[0] == "ok"
    assert q.redis.hget(q.key("usage"), "ada").split()[0] == "60.000", "as for one processor"
