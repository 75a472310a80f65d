"""Queues in which higher priorities take the places of lower ones: who goes, for whom, and what it costs them."""
import json

import pytest
from redis.exceptions import ResponseError


class Machine:
    """A worker that says what it has and what it gave."""

    def __init__(self, q, name="w1", cpus=2, state="up", labels=None):
        self.q, self.name, self.cpus, self.used, self.labels, self.state = q, name, cpus, 0, labels or {}, state
        self.beat()

    def beat(self):
        total = {"cpus": self.cpus, "gpus": 0, "memory": 1 << 30}
        self.q.worker(self.name, json.dumps({"state": self.state, "capacity": {**total, "labels": self.labels},
                                             "used": {"cpus": self.used, "gpus": 0, "memory": 0}}))

    def take(self, most=10):
        total = {"cpus": self.cpus, "gpus": 0, "memory": 1 << 30}
        claims = self.q.take(self.name, most, {**total, "cpus": self.cpus - self.used, "labels": self.labels,
                                               "total": total})
        self.used += sum(int(c["cpus"]) for c in claims)
        self.beat()
        return claims

    def give_back(self, claim, cause="preempted", **detail):
        self.q.end(claim, cause, **detail)
        self.used -= int(claim["cpus"])
        self.beat()


@pytest.fixture
def urgent(q):
    q.limit("", "", "", "ada", "", "1")
    return q


def job(priority, cpus=1, **more):
    return {"priority": priority, "resources": {"cpus": cpus}, **more}


def age(q, ms=2000):
    """Everything queued has waited for longer."""
    for lane, score in q.redis.zrange(q.key("lanes"), 0, -1, withscores=True):
        q.redis.zadd(q.key("lanes"), {lane: score - ms})


def look(q):
    """One tick, after a while; answers the numbers of those that are asked to go."""
    age(q)
    q.promote()
    return [n for n in sorted(q.redis.zrange(q.key("leases"), 0, -1)) if q.job(n).get("stop") == "preempt"]


def numbers(claims):
    return [c["n"] for c in claims]


def test_nothing_of_that_unless_the_queue_wants_it(q):
    machine = Machine(q)
    q.add(**job(1, 2))
    machine.take()
    q.add(**job(9, 2))
    assert look(q) == [] and json.loads(q.stats())["preempt"] == 0
    q.limit("", "", "", "ada", "", "1")
    assert look(q) == ["1"] and json.loads(q.stats())["preempt"] == 1
    assert q.events("queue.limited")[0]["preempt"] == "1"


def test_the_lower_one_goes_and_nothing_is_counted(urgent):
    q, machine = urgent, Machine(urgent)
    q.add(**job(3, 2))
    claim, = machine.take()
    q.renew(*claim.fence, "phase", "running")
    q.add(**job(7, 2))
    assert q.promote() and "stop" not in q.job(1), "it waits for a moment first"
    assert look(q) == ["1"]
    reason = "default-2, of priority 7, takes its place"
    assert q.renew(*claim.fence) == ["preempt", reason]
    assert (q.job(1)["stop_for"], q.job(1)["state"]) == ("2", "running")
    assert q.events("job.preempt_asked")[0]["reason"] == reason
    assert look(q) == ["1"] and len(q.events("job.preempt_asked")) == 1, "once"
    q.commit(claim, 1, 5)
    machine.give_back(claim, error=reason)
    left = q.job(1)
    assert (left["state"], left["reason"]) == ("queued", "preempted")
    assert not {"stop", "stop_for", "stop_reason", "errors", "lost"} & set(left)
    high, = machine.take()
    assert high["n"] == "2"
    machine.give_back(high, "succeeded")
    again, = machine.take()
    assert (again["n"], again["attempt"], again["resume"]) == ("1", "2", "1-1")
    assert [h["event"] for h in q.history(1)][:2] == ["job.preempt_asked", "job.preempted"]


def test_the_least_is_lost(urgent):
    """The lowest priority first, then what began last; and never what is as urgent."""
    q, machine = urgent, Machine(urgent, cpus=4)
    for priority in (4, 2, 2, 6):
        q.add(**job(priority))
    machine.take()
    q.set_job(2, claimed_ms=q.now() - 60000)
    q.add(**job(5))
    assert look(q) == ["3"]


def test_what_is_as_urgent_stays(urgent):
    q, machine = urgent, Machine(urgent)
    for priority in (5, 6):
        q.add(**job(priority))
    machine.take()
    q.add(**job(5))
    assert look(q) == []
    q.add(**job(6, 2))
    assert look(q) == [], "one of priority 5 would not be enough"


def test_a_machine_is_kept_for_whom_it_is_emptied(urgent):
    """Two go for one; what becomes free first is not filled with others again."""
    q, machine = urgent, Machine(urgent)
    for _ in range(3):
        q.add(**job(1))
    first, second = machine.take()
    q.add(**job(8, 2))
    assert look(q) == ["1", "2"]
    machine.give_back(first)
    assert machine.take() == [], "the place of the first is not for the third"
    assert look(q) == ["2"]
    machine.give_back(second)
    assert numbers(machine.take()) == ["4"]
    assert look(q) == []


def test_the_machine_on_which_least_is_lost(urgent):
    q = urgent
    small, large = Machine(q, "w1", 1), Machine(q, "w2", 4)
    for priority in (1, 3, 2, 2, 2):
        q.add(**job(priority, 1 if priority != 1 else 1))
    assert numbers(large.take()) == ["2", "3", "4", "5"] and numbers(small.take()) == ["1"]
    q.add(**job(9, 2))
    assert look(q) == ["4", "5"], "w1 has the lowest priority, but not enough in all"
    q.add(**job(9))
    q.promote()
    assert look(q) == ["1", "4", "5"], "another lane does not wait for that"


def test_several_are_served_at_once(urgent):
    """Those behind the first of a lane as well, also on one machine; and for each only one goes."""
    q, machine, other = urgent, Machine(urgent, "w1", 4), Machine(urgent, "w2", 1)
    for priority in (1, 1, 2, 6):
        q.add(**job(priority))
    first = machine.take()
    q.add(**job(3))
    last, = other.take()
    for _ in range(3):
        q.add(**job(5))
    assert look(q) == ["1", "2", "3"]
    assert {q.job(n)["stop_for"] for n in "123"} == {"6", "7", "8"}
    assert look(q) == ["1", "2", "3"], "nobody else goes for them"
    assert len(q.events("job.preempt_asked")) == 3
    other.give_back(last, "succeeded")
    assert numbers(other.take()) == ["6"], "it got a place of its own, and the one made for it is for the next"
    q.add(**job(5))
    assert look(q) == ["1", "2", "3"]
    for claim in first:
        if claim["n"] in "123":
            machine.give_back(claim)
    assert numbers(machine.take()) == ["7", "8", "9"]
    assert look(q) == []


def test_what_several_jobs_have_to_leave_is_for_the_first_of_a_lane(urgent):
    """Nothing keeps such a place for who stands behind it: what becomes free first would be taken."""
    q, one, two = urgent, Machine(urgent, "w1"), Machine(urgent, "w2")
    for _ in range(4):
        q.add(**job(1))
    one.take()
    two.take()
    q.add(**job(5, 2))
    q.add(**job(5, 2))
    gone = look(q)
    assert len(gone) == 2 and len({q.job(n)["worker"] for n in gone}) == 1


@pytest.mark.parametrize("how", ["free", "drained", "gone", "labels", "paused", "breaker"])
def test_nobody_goes(urgent, how):
    q, machine = urgent, Machine(urgent)
    q.add(**job(1, 2))
    machine.take()
    wants = job(9, 2)
    if how == "free":
        Machine(q, "w2")
    elif how == "drained":
        q.worker_drain("w1")
    elif how == "gone":
        q.redis.zadd(q.key("workers"), {"w1": q.now() - 60000})
    elif how == "labels":
        wants["resources"]["labels"] = {"gpu": "a100"}
    elif how == "paused":
        q.pause("pause")
    else:
        machine.state = "draining"
        machine.beat()
    q.add(**wants)
    assert look(q) == []


def test_a_queue_at_its_limit(urgent):
    """There is room, but not for another job: one goes."""
    q, machine = urgent, Machine(urgent, cpus=8)
    q.limit("1", "", "")
    q.add(**job(1))
    machine.take()
    q.add(**job(9))
    assert look(q) == ["1"]


def test_what_is_asked_besides_wins(urgent):
    q, machine = urgent, Machine(urgent)
    q.add(**job(1, 2))
    claim, = machine.take()
    q.add(**job(9, 2))
    assert look(q) == ["1"]
    q.cancel("1", "ada", "not needed")
    assert q.renew(*claim.fence) == ["cancel", "not needed"]
    machine.give_back(claim)
    assert q.state(1) == "cancelled" and "stop_for" not in q.job(1)
    assert numbers(machine.take()) == ["2"]


def test_one_that_succeeds_all_the_same(urgent):
    q, machine = urgent, Machine(urgent)
    q.add(**job(1, 2))
    claim, = machine.take()
    q.add(**job(9, 2))
    assert look(q) == ["1"]
    machine.give_back(claim, "succeeded")
    assert q.state(1) == "succeeded" and "stop_for" not in q.job(1) and "stop" not in q.job(1)


def test_one_that_is_to_go_elsewhere(urgent):
    """Its own last worker is not emptied for it."""
    q, machine = urgent, Machine(urgent)
    q.add(**job(9, 2, retry={"elsewhere": "1h", "backoff": "0s"}))
    claim, = machine.take()
    machine.give_back(claim, "error")
    q.hurry(1)
    q.add(**job(1, 2))
    assert numbers(machine.take()) == ["2"]
    assert look(q) == []
    other = Machine(q, "w2")
    q.add(**job(1, 2))
    assert numbers(other.take()) == ["1"]


@pytest.mark.parametrize("words", [("", "", "", "", "", "2"), ("", "", "", "", "", "yes"),
                                   ("", "", "", "", "", "1", "1")])
def test_bad_words(q, words):
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID"):
        q.limit(*words)
    assert q.snapshot() == before


def test_strangers_in_the_place_of_jobs_and_workers(urgent):
    q, machine = urgent, Machine(urgent)
    q.add(**job(1, 2))
    machine.take()
    q.add(**job(9, 2))
    age(q)
    q.redis.zadd(q.key("lanes"), {"x": 1, "cpu2:9:": 1})
    q.redis.zadd(q.key("workers"), {"w8": q.now(), "w9": q.now()})
    q.redis.set(q.key("worker:w9"), "no hash")
    q.redis.hset(q.key("worker:w8"), mapping={"state": "up", "capacity": "no JSON", "used": "[]"})
    q.promote()
    assert q.job(1)["stop"] == "preempt"
    q.redis.zrem(q.key("lanes"), "x", "cpu2:9:")
    q.redis.zrem(q.key("workers"), "w8", "w9")
    q.redis.delete(q.key("worker:w9"), q.key("worker:w8"))


def test_a_stranger_in_the_place_of_a_history(urgent):
    q, machine = urgent, Machine(urgent)
    q.add(**job(1, 2))
    machine.take()
    q.add(**job(9, 2))
    age(q)
    q.redis.set(q.key("history:1"), "no list")
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^WRONGTYPE"):
        q.promote()
    assert q.snapshot() == before
    q.redis.delete(q.key("history:1"))


@pytest.mark.parametrize("left, right, gone", [
    ([(2, 2, 0)], [(1, 2, 0)], ["2"]),                    # the lower priority goes
    ([(1, 2, 0)], [(2, 2, 0)], ["1"]),
    ([(1, 1, 0), (1, 1, 0)], [(1, 2, 0)], ["3"]),         # then the fewest
    ([(1, 2, 0)], [(1, 1, 0), (1, 1, 0)], ["1"]),
    ([(1, 2, 60000)], [(1, 2, 0)], ["2"]),                # then what ran for the shortest time
    ([(1, 2, 0)], [(1, 2, 60000)], ["1"]),
])
def test_of_two_machines_the_one_that_loses_less_is_emptied(urgent, left, right, gone):
    q = urgent
    for name, jobs in (("w1", left), ("w2", right)):
        for priority, cpus, _ in jobs:
            q.add(**job(priority, cpus))
        Machine(q, name).take()
    for n, (_, _, ran_ms) in enumerate([*left, *right], 1):
        q.set_job(n, claimed_ms=q.now() - ran_ms)
    q.add(**job(9, 2))
    assert look(q) == gone


@pytest.mark.parametrize("spoiled", [{"capacity": "x"}, {"used": "x"}, {"capacity": "1"}, {"used": "1"},
                                     {"capacity": None}, {"used": None}])
def test_a_machine_that_says_nothing_of_its_room_is_left_alone(urgent, spoiled):
    q, machine = urgent, Machine(urgent)
    q.add(**job(1, 2))
    machine.take()
    for field, text in spoiled.items():
        if text is None:
            q.redis.hdel(q.key("worker:w1"), field)
        else:
            q.redis.hset(q.key("worker:w1"), field, text)
    q.add(**job(9, 2))
    assert look(q) == []


def test_amounts_that_a_machine_does_not_say_are_none(urgent):
    q, machine = urgent, Machine(urgent)
    q.add(**job(1, 2))
    machine.take()
    q.redis.hset(q.key("worker:w1"), mapping={"capacity": '{"cpus":2,"memory":1073741824}', "used": '{"cpus":2}'})
    q.add(**job(9, 2))
    assert look(q) == ["1"]


def test_for_the_lowest_priority_nobody_goes(urgent):
    q, machine = urgent, Machine(urgent)
    q.add(**job(0, 2))
    machine.take()
    q.add(**job(0, 2))
    assert look(q) == []


# ---------------------------------------------------------------- what cannot be read is passed by

def without(*fields):
    return lambda q, n: q.redis.hdel(q.key(f"job:{n}"), *fields)


def replaced(q, n):
    q.redis.delete(q.key(f"job:{n}"))
    q.redis.set(q.key(f"job:{n}"), "a stranger's")


@pytest.mark.parametrize("spoil, stays", [
    (replaced, True), (without("state"), True), (without("worker"), True), (without("class"), True),
    (lambda q, n: q.set_job(n, **{"class": "cpu7"}), True),  # a class that nobody knows
    (without("priority"), True),  # it may be as urgent as anything
    (without("claimed_ms"), False)])
def test_a_running_job_that_nobody_can_read_stays(spoiled, spoil, stays):
    q = spoiled
    q.limit("", "", "", "ada", "", "1")
    machine = Machine(q)
    q.add(**job(1, 2))
    machine.take()
    spoil(q, 1)
    q.add(**job(9, 2))
    age(q)
    q.promote()
    assert ("job.preempt_asked" in q.events()) != stays


@pytest.mark.parametrize("odd", [{"x": "1"}, {"n": "99", "attempt": "0"}, {"n": "2", "attempt": "0"}])
def test_an_entry_in_front_that_is_nobodys_is_passed_by(urgent, odd):
    """Of no job, of one that is gone, of one that has another entry."""
    q, machine = urgent, Machine(urgent)
    q.add(**job(1, 2))
    machine.take()
    q.redis.xgroup_create(q.key("ready:cpu2:9:-"), "workers", "0", mkstream=True)
    q.redis.xadd(q.key("ready:cpu2:9:-"), odd)
    q.add(**job(9, 2))
    head = q.redis.xrange(q.key("ready:cpu2:9:-"))[0][0].split("-")[0]
    rank = float(q.redis.zscore(q.key("lanes"), "cpu2:9:-")) // 10**13 * 10**13
    q.redis.zadd(q.key("lanes"), {"cpu2:9:-": rank + int(head) - 2000})
    assert q.promote() and q.job(1)["stop_for"] == "2"
    assert len(q.take("w2", 9)) == 1 and q.redis.xlen(q.key("ready:cpu2:9:-")) == 1


def test_an_entry_of_what_is_no_job_is_passed_by(spoiled):
    q = spoiled
    q.limit("", "", "", "ada", "", "1")
    machine = Machine(q)
    q.add(**job(1, 2))
    machine.take()
    q.add(**job(9, 2)), q.add(**job(9, 2))
    replaced(q, 2)
    age(q)
    q.promote()
    assert q.job(1)["stop_for"] == "3"


def test_a_machine_that_is_being_emptied_is_not_asked_for_more(urgent):
    """Not even when nobody says for whom; another one that has nothing to give is no way out."""
    q = urgent
    for name in ("w1", "w2"):
        q.add(**job(1, 1))
        q.add(**job(1, 1))
        Machine(q, name).take()
    q.set_job(1, special="1", stop="preempt", stop_reason="a spot notice")
    q.set_job(3, special="1", stop="cancel")
    q.set_job(4, priority=9)
    q.add(**job(9, 2))
    assert look(q) == ["1"]
    q.set_job(4, priority=1)
    assert look(q) == ["1"], "what is being cancelled goes anyhow, and is not enough"
    Machine(q, "w3", cpus=1)
    q.add(**job(8, 1))
    assert look(q) == ["1"]


def test_a_machine_that_is_being_emptied_is_emptied_no_further(urgent):
    q, machine = urgent, Machine(urgent, cpus=3)
    for _ in range(3):
        q.add(**job(1))
    machine.take()
    q.set_job(1, claimed_ms=q.now() - 60000, special="1", stop="preempt", stop_reason="a spot notice")
    q.add(**job(9, 2))
    assert look(q) == ["1"]
    q.redis.hdel(q.key("job:1"), "stop", "stop_reason")
    assert look(q) == ["2", "3"]


def test_a_machine_with_nothing_of_ours_has_nothing_to_give(urgent):
    q = urgent
    idle = Machine(q, "w1")
    idle.used = 2  # by others
    idle.beat()
    q.add(**job(9, 2))
    assert look(q) == []
