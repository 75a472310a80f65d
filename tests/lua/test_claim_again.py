"""A claim that is asked for again, and one that meets what a stranger, or the loss of writes, has left behind."""
import json

import pytest

from conftest import FREE
from test_claim import bells, numbers
from test_offers import Waiting, idle


@pytest.mark.parametrize("log, metric", [("2", "1"), ("1", "2"), ("2", "2")])
def test_a_runner_that_spoke_and_did_not_renew_goes_on_behind_its_words(q, log, metric):
    claim = q.start()
    if log == "2":
        q.log(*claim.fence, 1, 1, "stdout", 1, "x")
    if metric == "2":
        q.metric(*claim.fence, 1, '{"loss":1}')
    again, = q.take(request=1)
    assert (again.pop("log_next"), again.pop("metric_next")) == (log, metric) and again == claim


def test_asked_again_it_names_the_same_checkpoint(q):
    claim = q.start()
    q.commit(claim, 1, 5)
    q.end(claim, "preempted")
    second, = q.take()
    again, = q.take(request=q.requests["w1"])
    assert again == second and (again["resume"], json.loads(again["checkpoint"])["step"]) == ("1-1", 5)


def test_asked_again_nothing_is_left_of_what_others_have_since(q):
    q.start()
    q.lose(1)
    second, = q.take("w2")
    assert q.take(request=1) == [] and q.job(1)["token"] == second["token"]
    q.adopt(*second.fence, "w1")
    assert q.take(request=1) == [], "it looks after another attempt of it by now"


def gone(q):
    q.redis.delete(q.key("job:1"))


def without_its_answer(q):
    q.redis.hdel(q.key("worker:w1"), "claim_answer")


@pytest.mark.parametrize("spoil", [gone, without_its_answer])
def test_asked_again_after_it_was_forgotten_it_is_nothing(spoiled, spoil):
    spoiled.start()
    spoil(spoiled)
    assert spoiled.take(request=1) == []


def test_asked_again_after_its_class_was_forgotten(spoiled):
    spoiled.start()
    spoiled.redis.hdel(spoiled.key("classes"), "cpu1")
    again, = spoiled.take(request=1)
    assert (again["n"], again["cpus"], again["gpus"], again["memory"]) == ("1", "0", "0", "0")


def test_without_an_installation_it_names_none(spoiled):
    spoiled.redis.hdel(spoiled.key("meta"), "installation")
    assert spoiled.start()["installation"] == ""


def test_a_second_entry_of_one_job_is_not_a_second_claim(q):
    q.add()
    q.redis.xadd(q.key("ready:cpu1:5:-"), {"n": "2", "attempt": "0"})
    q.add()
    assert numbers(q.take(most=9)) == [1, 2]
    assert q.redis.xlen(q.key("ready:cpu1:5:-")) == 2, "what nobody knows is gone"


@pytest.mark.parametrize("more", [{}, {"tenant": "ada"}])
def test_a_lease_that_is_no_number_ends_at_once(q, more):
    q.add(**more)
    q.set_job(1, lease_ms="soon")
    assert numbers(q.take()) == [1]
    assert q.redis.zscore(q.key("leases"), "1") == float(q.job(1)["claimed_ms"])
    assert q.redis.hget(q.key("meta"), "lease_min_ms") == "0"
    q.set_job(1, lease_ms="10000")


@pytest.mark.parametrize("free", [FREE, {**FREE, "total": {"cpus": 64, "gpus": 8, "memory": 1 << 40}}])
def test_a_lane_whose_class_is_forgotten_is_passed_by(spoiled, free):
    q = spoiled
    q.add(), q.add(resources={"cpus": 2})
    q.redis.hdel(q.key("classes"), "cpu1")
    q.redis.delete(q.key("wake:cpu1"))
    assert numbers(q.take(most=9, free=free)) == [2]
    assert "cpu1" in bells(q), "others are rung for"


@pytest.mark.parametrize("less", [{}, {"priority": 3}])
def test_others_are_rung_for_eight_lanes_of_many_tenants(q, less):
    """However many lanes are left, in the priority it took from and behind it."""
    for i in range(1, 21):
        q.add(tenant=f"t{i}", resources={"cpus": i}, **(less if i > 10 else {}))
    q.redis.delete(*q.redis.keys(q.key("wake:*")))
    assert len(q.take()) == 1
    assert len(bells(q)) == 8


def test_a_priority_without_tenants_beside_one_with(q):
    q.add(priority=3, tenant="ada"), q.add(priority=3, tenant="eve")
    q.add(), q.add(resources={"cpus": 2})
    assert numbers(q.take(most=3))[:2] == [3, 4]


# ---------------------------------------------------------------- a machine that is emptied

TOTAL = {"cpus": 8, "gpus": 0, "memory": 1 << 30}
LARGE = {"resources": {"cpus": 8}}


def reserved(q):
    prefix = q.key("reserved:")
    return {key[len(prefix):]: q.redis.get(key) for key in q.redis.keys(prefix + "*")}


def wait_long(q):
    for lane, score in q.redis.zrange(q.key("lanes"), 0, -1, withscores=True):
        q.redis.zadd(q.key("lanes"), {lane: score - 600000})


def ask(q, worker, cpus):
    """A claim of a machine with so many processors left."""
    return numbers(q.take(worker, 9, {**FREE, "cpus": cpus, "memory": 1 << 30, "total": TOTAL}))


def test_one_machine_is_emptied_for_one_lane(q):
    q.add(priority=7, **LARGE), q.add(priority=6, **LARGE)
    wait_long(q)
    assert ask(q, "w1", 4) == []
    assert reserved(q) == {"cpu8:7:-": "w1"}, "the second waits for another"
    assert ask(q, "w2", 4) == []
    assert reserved(q) == {"cpu8:7:-": "w1"}


@pytest.mark.parametrize("keeper, taken", [("w1", []), ("w2", [3])])
def test_what_preempts_is_kept_for_before_it_is_old(q, keeper, taken):
    """A tick keeps a machine for a lane: that one takes nothing else, the others go on."""
    q.limit("", "", "", "ada", "", "1")
    q.add(priority=7, **LARGE), q.add(priority=6, **LARGE), q.add()
    q.redis.set(q.key("reserved:cpu8:6:-"), keeper)
    assert ask(q, "w1", 4) == taken
    assert reserved(q) == {"cpu8:6:-": keeper}


# ---------------------------------------------------------------- what was handed over

def test_what_was_given_is_known_without_the_offer_it_came_from(q):
    w = Waiting(q)
    w.ask()
    q.add()
    assert len(w.heard(timeout=0.5)) == 1
    q.redis.hdel(q.key("worker:w1"), "offer")
    assert numbers(w.ask()) == [1], "it never said that it arrived"
    assert "given" not in q.redis.hgetall(q.key("worker:w1"))


def test_the_bounds_of_leases_come_back_with_the_next_claim(q):
    w = Waiting(q)
    w.ask()
    q.add(lease="7s")
    w.heard(timeout=0.5)
    q.redis.hdel(q.key("meta"), "lease_min_ms", "lease_max_ms")
    assert numbers(w.ask()) == [1], "what is handed over again began before"
    assert q.redis.hmget(q.key("meta"), "lease_min_ms", "lease_max_ms") == [None, None]
    q.start("w2", lease="7s")
    assert q.redis.hmget(q.key("meta"), "lease_min_ms", "lease_max_ms") == ["7000", "7000"]


@pytest.mark.parametrize("offer", [None, "", "odd", "w1-1 1 {now} 1 0 9999999 {{", "w1-1 1 {now} 1 0 9999999 3"])
def test_an_offer_that_nobody_can_read_goes(q, offer):
    w = Waiting(q)
    w.ask()
    if offer is None:
        q.redis.hdel(q.key("worker:w1"), "offer")
    else:
        q.redis.hset(q.key("worker:w1"), "offer", offer.format(now=q.now()))
    q.add()
    assert q.state(1) == "queued" and idle(q) == [] and w.heard() == []


# ---------------------------------------------------------------- checkpoints that nobody can read

UNREADABLE = ["{", "3", "null", '"x"']


def started_again(q):
    """The claim of a job that saved twice and was preempted, of which the newest checkpoint is spoiled by then."""
    claim = q.start()
    q.commit(claim, 1, 5), q.commit(claim, 2, 7)
    q.end(claim, "preempted")


@pytest.mark.parametrize("odd", UNREADABLE)
def test_a_claim_passes_over_a_checkpoint_that_nobody_can_read(spoiled, odd):
    q = spoiled
    started_again(q)
    q.redis.hset(q.key("checkpoints:1"), "1-2", odd)
    q.add()
    first, second = q.take(most=2)
    assert (first["n"], first["resume"], json.loads(first["checkpoint"])["step"]) == ("1", "1-1", 5)
    assert second["n"] == "2" and q.job(1)["resumed_at"] == "5"


@pytest.mark.parametrize("best", [{}, {"resume": "best"}])
def test_a_claim_without_any_that_can_be_read_begins_from_the_start(spoiled, best):
    q = spoiled
    claim = q.start(**best)
    q.commit(claim, 1, 5)
    q.end(claim, "preempted")
    q.redis.delete(q.key("checkpoints:1"))
    q.redis.set(q.key("checkpoints:1"), "a stranger's")
    again, = q.take()
    assert again["attempt"] == "2" and "resume" not in again and q.state(1) == "running"


def test_the_best_one_is_the_newest_where_none_says_a_value(q):
    claim = q.start(resume="best")
    q.commit(claim, 1, 5), q.commit(claim, 2, 7)
    q.end(claim, "preempted")
    assert q.take()[0]["resume"] == "1-2"


def test_what_somebody_chose_goes_before_the_best_one(q):
    claim = q.start(resume="best")
    q.commit(claim, 1, 5, loss=1), q.commit(claim, 2, 7, loss=2)
    q.end(claim, "error")
    q.retry(1, 1, "ada", "", "1-2")
    assert q.take()[0]["resume"] == "1-2"
    q.end(q.take(request=q.requests["w1"])[0], "error")
    q.retry(1, 2, "ada", "", "none")
    assert "resume" not in q.take()[0]


@pytest.mark.parametrize("odd", [None, *UNREADABLE])
def test_what_was_lent_is_lent_on_though_its_first_record_is_gone(spoiled, odd):
    q = spoiled
    first = q.start()
    q.commit(first, 1, 5)
    q.end(first, "permanent")
    q.end(q.start(resume="default-1@latest"), "permanent")
    if odd is None:
        q.redis.hdel(q.key("checkpoints:1"), "1-1")
    else:
        q.redis.hset(q.key("checkpoints:1"), "1-1", odd)
    q.add(resume="default-2@latest")
    third, = q.take()
    assert (third["n"], third["resume"], json.loads(third["checkpoint"])["from"]) == ("3", "0-1", "default-1")
    assert q.redis.hget(q.key("checkpoints:1"), "1-1") == odd
