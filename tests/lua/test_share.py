"""Fair share between tenants: by what they used lately for their weight, inside a priority, and nobody starves."""
import collections

import pytest
from redis.exceptions import ResponseError


def fill(q, tenant, count, **more):
    return [q.add(tenant=tenant, **more) for _ in range(count)]


def used(q):
    return {t: float(v.split()[0]) for t, v in q.redis.hgetall(q.key("usage")).items()}


def taken(q, count, free=None):
    """Tenants of the next `count` claims, all of which go on running."""
    return [q.job(c["n"])["tenant"] for _ in range(count) for c in q.take(free=free or {"cpus": 1})]


def test_who_came_first_does_not_get_everything(q):
    fill(q, "ada", 20)
    fill(q, "bob", 5)
    assert collections.Counter(taken(q, 10)) == {"ada": 5, "bob": 5}
    assert taken(q, 5) == ["ada"] * 5, "what nobody else wants is for who is there"


def test_a_batch_is_shared_as_well(q):
    fill(q, "ada", 20)
    fill(q, "bob", 20)
    claims = q.take(most=10, free={"cpus": 10})
    assert collections.Counter(q.job(c["n"])["tenant"] for c in claims) == {"ada": 5, "bob": 5}


def test_weights(q):
    assert q.share("ada", "3") == "ok"
    fill(q, "ada", 30)
    fill(q, "bob", 30)
    assert collections.Counter(taken(q, 20)) == {"ada": 15, "bob": 5}
    assert q.share("ada", "1") == "ok" and not q.redis.exists(q.key("shares"))
    assert [e["weight"] for e in q.events("queue.shared")] == ["3", "1"]


def test_what_costs_more_counts_more(q):
    fill(q, "ada", 10, resources={"cpus": 4})
    fill(q, "bob", 10, resources={"cpus": 1})
    assert collections.Counter(taken(q, 10, {"cpus": 4})) == {"ada": 2, "bob": 8}
    fill(q, "gpu", 1, resources={"gpus": 1})
    taken(q, 1, {"cpus": 1, "gpus": 1})
    assert used(q)["gpu"] == 11 * 60


def test_priority_comes_before_shares(q):
    fill(q, "ada", 3, priority=7)
    fill(q, "bob", 3)
    assert taken(q, 4) == ["ada"] * 3 + ["bob"]


def test_use_halves_in_an_hour(q):
    q.redis.hset(q.key("usage"), mapping={"ada": f"4000 {q.now() - 7200000}", "bob": f"1100 {q.now()}"})
    fill(q, "ada", 2)
    fill(q, "bob", 2)
    assert taken(q, 1) == ["ada"], "two hours ago 4000 is 1000 now"


def test_who_waited_long_goes_first(q):
    fill(q, "bob", 3)
    fill(q, "ada", 3)
    q.redis.hset(q.key("usage"), "bob", f"100000 {q.now()}")
    assert taken(q, 1) == ["ada"]
    lane = "cpu1:5:bob"
    q.redis.zincrby(q.key("lanes"), -700000, lane)
    assert taken(q, 1) == ["bob"], "eleven minutes in the lane"


def test_the_minute_that_was_prepaid_is_given_back(q):
    fill(q, "ada", 2)
    claim, = q.take()
    assert used(q) == {"ada": 60}
    q.end(claim, "succeeded")
    assert used(q)["ada"] < 2
    claim, = q.take()
    q.redis.hset(q.key("job:" + claim["n"]), "charged_ms", q.now() - 100000)
    q.renew(*claim.fence, "phase", "running")
    assert 100 <= used(q)["ada"] - 60 < 103, "what comes after the minute is charged when the lease is renewed"
    q.end(claim, "succeeded")


def test_lost_and_preempted_jobs_go_to_the_front_whoever_used_less(q):
    fill(q, "ada", 2)
    fill(q, "bob", 2)
    claim, = q.take()
    q.end(claim, "preempted")
    again, = q.take()
    assert again["n"] == claim["n"]


TOTAL = {"cpus": 4, "gpus": 0, "memory": 0}


def age(q, lane, ms=700000):
    q.redis.zincrby(q.key("lanes"), -ms, lane)


def test_a_large_job_that_waited_long_gets_a_machine_emptied(q):
    large = q.add(resources={"cpus": 4})
    small = [q.add() for _ in range(5)]
    assert [c["n"] for c in q.take("w1", most=5, free={"cpus": 3, "total": TOTAL})] == small[:3], "it is not old yet"
    age(q, "cpu4:5:-")
    assert q.take("w1", most=5, free={"cpus": 1, "total": TOTAL}) == [], "nothing smaller is taken here any more"
    assert q.redis.get(q.key("reserved:cpu4:5:-")) == "w1" and 0 < q.redis.pttl(q.key("reserved:cpu4:5:-")) <= 30000
    assert len(q.take("w2", most=1, free={"cpus": 1, "total": TOTAL})) == 1, "one machine is enough"
    assert [c["n"] for c in q.take("w1", most=5, free={"cpus": 4, "total": TOTAL})] == [large]
    assert len(q.take("w1", most=5, free={"cpus": 2, "total": TOTAL})) == 1


def test_what_stands_before_it_is_still_taken(q):
    first = q.add(priority=9)
    q.add(resources={"cpus": 4})
    q.add()
    age(q, "cpu4:5:-")
    assert [c["n"] for c in q.take(most=5, free={"cpus": 3, "total": TOTAL})] == [first]


@pytest.mark.parametrize("total", [None, {"cpus": 3}, {"cpus": 2, "gpus": 4}])
def test_a_machine_that_could_never_run_it_is_not_kept_free(q, total):
    q.add(resources={"cpus": 4})
    small = q.add()
    age(q, "cpu4:5:-")
    free = {"cpus": 1, **({"total": total} if total else {})}
    assert [c["n"] for c in q.take(most=5, free=free)] == [small]
    assert not q.redis.exists(q.key("reserved:cpu4:5:-"))


@pytest.mark.parametrize("total", [3, "x", {"cpus": "4"}])
def test_a_total_of_the_wrong_form(q, total):
    with pytest.raises(ResponseError, match="^INVALID free.total"):
        q.take(free={"cpus": 1, "total": total})


def test_without_tenants_nothing_is_written(q):
    q.add()
    q.end(q.start(), "succeeded")
    assert not q.redis.exists(q.key("usage"))


def test_a_stranger_in_the_place_of_the_account_stops_nothing(q):
    q.redis.set(q.key("usage"), "x"), q.redis.set(q.key("shares"), "x")
    fill(q, "ada", 2)
    fill(q, "bob", 2)
    assert len(q.take(most=4, free={"cpus": 4})) == 4
    with pytest.raises(ResponseError, match="^WRONGTYPE"):
        q.share("ada", "2")
    q.redis.delete(q.key("usage"), q.key("shares"))


@pytest.mark.parametrize("args, says", [(("a:b", "1"), "tenant"), (("", "1"), "tenant"), (("a", "0"), "weight"),
                                        (("a", "-1"), "weight"), (("a", "1e3"), "weight"), (("a", "1001"), "weight"),
                                        (("a", ""), "weight"), (("a",), "weight"), (("a", "1", "x", "y"), "arguments")])
def test_wrong_shares_change_nothing(q, args, says):
    before = q.snapshot()
    with pytest.raises(ResponseError, match=f"^INVALID .*{says}"):
        q.share(*args)
    assert q.snapshot() == before


def test_a_weight_that_is_no_number_is_one(q):
    q.redis.hset(q.key("shares"), "ada", "much")
    fill(q, "ada", 10)
    fill(q, "bob", 10)
    assert collections.Counter(taken(q, 10)) == {"ada": 5, "bob": 5}
    q.redis.delete(q.key("shares"))


def test_within_the_minute_that_was_prepaid_a_renewal_costs_nothing(q):
    fill(q, "ada", 1)
    claim, = q.take()
    q.renew(*claim.fence)
    assert used(q) == {"ada": 60}


def test_what_ran_in_a_class_that_nobody_knows_counts_as_one_processor(spoiled):
    q = spoiled
    fill(q, "ada", 1, resources={"cpus": 4})
    claim, = q.take()
    q.redis.hdel(q.key("classes"), "cpu4")
    q.set_job(1, charged_ms=q.now() - 100000)
    q.end(claim, "succeeded")
    assert 100 <= used(q)["ada"] - 240 < 102


def test_of_equals_the_one_that_waits_longest_goes_first(q):
    for tenant in ("ada", "bob", "ada"):
        fill(q, tenant, 1)
        seen = q.now()
        while q.now() == seen:
            pass
    q.redis.hset(q.key("usage"), "bob", f"60 {q.now() + 100000}")  # what ada used, too, after its first job
    assert [c["n"] for c in q.take(most=3)] == ["1", "2", "3"]
