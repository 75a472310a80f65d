"""A worker that waits leaves an offer; the next submit that fits begins its job there and publishes the claim."""
import json

import pytest

from conftest import Claim


class Waiting:
    """A worker that listens on a channel of its own, and asks with it."""

    def __init__(self, q, name="w1", **free):
        self.q, self.name, self.request, self.known = q, name, 0, []
        self.free = {"cpus": 1, "gpus": 0, "memory": 1 << 30, "labels": {}, **free}
        self.pubsub = q.redis.pubsub(ignore_subscribe_messages=True)
        self.channel = f"{name}-1"
        self.pubsub.subscribe(q.key("given:" + self.channel))
        self.pubsub.get_message(timeout=5)

    def leave(self):
        self.pubsub.close()
        while self.q.redis.pubsub_numsub(self.q.key("given:" + self.channel))[0][1]:
            pass

    def ask(self, most=1, **free):
        self.request += 1
        body = json.dumps({**self.free, "given": self.known, **free})
        self.known = []
        return [Claim(zip(c[::2], c[1::2])) for c in
                self.q.claim(self.name, body, most, self.request, self.channel)]

    def again(self):
        return [Claim(zip(c[::2], c[1::2])) for c in
                self.q.claim(self.name, json.dumps(self.free), 1, self.request, self.channel)]

    def heard(self, timeout=0.0):
        """What was handed over since, as claims."""
        claims = []
        while message := self.pubsub.get_message(timeout=timeout):
            answer = json.loads(message["data"])
            claims.append(Claim(zip(answer[::2], answer[1::2])))
        return claims

    def given(self):
        claim, = self.heard(timeout=0.5)
        self.known.append(f"{claim['n']}:{claim['token']}")
        return claim


def pass_ms(q):
    seen = q.now()
    while q.now() == seen:
        pass


def idle(q):
    return q.redis.zrange(q.key("idle"), 0, -1)


def test_a_submit_gives_its_job_to_a_worker_that_waits(q):
    w = Waiting(q)
    assert w.ask() == [] and idle(q) == ["w1"]
    n = q.add(resources={"memory": "100MiB"})
    job, claim = q.job(n), w.given()
    assert (job["state"], job["worker"], job["attempt"], job["token"]) == ("running", "w1", "1", claim["token"])
    assert claim == {"n": n, "id": f"default-{n}", "uid": job["uid"], "attempt": "1", "token": job["token"],
                     "installation": "installation1", "lease_ms": "1000", "class": "cpu1-mem112m", "cpus": "1",
                     "gpus": "0", "memory": str(112 << 20), "spec": q.redis.get(q.key(f"spec:{n}")), "request": "1"}
    assert q.events()[-2:] == ["job.submitted", "job.claimed"]
    assert q.redis.keys(q.key("wake:*")) == [] and idle(q) == []
    assert q.redis.zscore(q.key("leases"), n) == int(job["claimed_ms"]) + 1000
    assert q.end(claim, "succeeded", exit=0) == ["ok", "succeeded"]
    assert q.redis.keys(q.key("ready:*")) == []


def test_the_answer_is_the_same_as_that_of_a_claim(q):
    q.add()
    asked, = q.take()
    q.end(asked, "succeeded")
    w = Waiting(q, "w2")
    w.ask()
    q.add()
    given = w.given()
    assert given.keys() - asked.keys() == {"request"} and asked.keys() <= given.keys()
    # (A token rises within its job; those of two jobs are the same when both were claimed in one millisecond.)
    assert {k for k in asked if asked[k] != given[k]} - {"token"} == {"n", "id", "uid"}


def test_what_is_left_is_offered_on(q):
    w = Waiting(q, cpus=3)
    w.ask()
    first, second = q.add(resources={"cpus": 2}), q.add()
    assert [c["n"] for c in w.heard(0.2)] == [first, second] and idle(q) == []
    third = q.add()
    assert w.heard() == [] and q.job(third)["state"] == "queued" and q.redis.zcard(q.key("wake:cpu1")) == 1


def test_a_claim_that_takes_something_offers_the_rest(q):
    w = Waiting(q, cpus=2)
    q.add()
    assert len(w.ask(most=2)) == 1 and idle(q) == ["w1"]
    n = q.add()
    assert w.given()["n"] == n


def test_who_waits_longest_comes_first_and_again_last(q):
    workers = [Waiting(q, name, cpus=2) for name in ("w1", "w2")]
    for w in workers:
        w.ask()
        pass_ms(q)
    for _ in range(4):
        q.add()
        pass_ms(q)
    assert [[c["n"] for c in w.heard(0.2)] for w in workers] == [["1", "3"], ["2", "4"]]


@pytest.mark.parametrize("spec", [
    {"resources": {"cpus": 2}}, {"resources": {"memory": "2GiB"}}, {"resources": {"gpus": 1}},
    {"resources": {"labels": {"zone": "b"}}}, {"delay": "1h"}, {"tenant": "a"}, {"hold": True},
    {"concurrency": {"key": "k", "max": 1}}, {"unique": {"key": "u"}},
    {"env": {"A": "x" * 65536}}])
def test_what_does_not_fit_or_asks_for_more_than_a_place_goes_the_usual_way(q, spec):
    w = Waiting(q, labels={"zone": "a"})
    w.ask()
    n = q.add(**spec)
    assert w.heard(0.1) == [] and q.job(n)["state"] in ("queued", "waiting") and idle(q) == ["w1"]


def test_labels_that_fit(q):
    w = Waiting(q, labels={"zone": "a"})
    w.ask()
    q.add(resources={"labels": {"zone": "a"}})
    assert w.given()["n"] == "1"


def test_nothing_overtakes_what_is_queued(q):
    w = Waiting(q)
    w.ask()
    q.add(resources={"cpus": 8})
    n = q.add()
    assert w.heard(0.1) == [] and q.job(n)["state"] == "queued"


def test_no_hand_over_on_a_paused_queue(q):
    w = Waiting(q)
    w.ask()
    q.pause("pause")
    assert q.job(q.add())["state"] == "queued" and w.heard(0.1) == []


def test_no_hand_over_over_the_bound_of_what_runs(q):
    w = Waiting(q)
    w.ask()
    q.redis.hset(q.key("meta"), "max_running", 1)
    assert q.job(q.add())["state"] == "queued" and w.heard(0.1) == []


def test_a_worker_that_is_gone_is_forgotten_and_another_gets_it(q):
    w = Waiting(q)
    w.ask()
    w.leave()
    n = q.add()
    assert q.job(n)["state"] == "queued" and idle(q) == [] and "token" not in q.job(n)
    assert [c["n"] for c in q.take("w2")] == [n]


def age(q, ms):
    """Makes the offer of w1 so much older."""
    fields = q.redis.hget(q.key("worker:w1"), "offer").split(" ")
    fields[2] = str(int(fields[2]) - ms)
    q.redis.hset(q.key("worker:w1"), "offer", " ".join(fields))


def test_an_offer_lasts_from_its_claim_whatever_is_handed_over(q):
    w = Waiting(q, cpus=3)
    w.ask()
    age(q, 14000)
    q.add()
    assert len(w.heard(0.2)) == 1 and idle(q) == ["w1"]
    age(q, 1001)
    n = q.add()
    assert q.job(n)["state"] == "queued" and idle(q) == [] and w.heard(0.1) == []


def test_what_did_not_arrive_is_answered_by_the_next_claim(q):
    w = Waiting(q)
    w.ask()
    n = q.add()
    w.leave()  # the message is lost on its way
    pass_ms(q)
    claim, = w.ask()
    assert (claim["n"], claim["token"]) == (n, q.job(n)["token"]) and int(claim["age_ms"]) >= 1
    assert [c["n"] for c in w.again()] == [n]
    assert w.ask() == [] and q.redis.hget(q.key("worker:w1"), "given") is None


def test_it_takes_its_place_in_what_is_free(q):
    w = Waiting(q, cpus=2)
    w.ask(cpus=1)
    q.add()
    q.add(), q.add()
    assert [c["n"] for c in w.ask(most=9, cpus=2)] == ["1", "2"]


def test_what_arrived_is_not_answered_again(q):
    w = Waiting(q, cpus=2)
    w.ask(cpus=1)
    q.add()
    w.given()
    q.add()
    assert [c["n"] for c in w.ask(cpus=1)] == ["2"]


def test_nor_what_a_runner_renewed_already(q):
    w = Waiting(q)
    w.ask()
    q.add()
    claim, = w.heard(0.5)
    q.renew(*claim.fence, "phase", "running")
    assert w.ask(cpus=0) == []


def test_what_was_renewed_before_it_was_told_takes_its_place(q):
    w = Waiting(q, cpus=2)
    w.ask(cpus=1)
    q.add()
    claim, = w.heard(0.5)
    q.renew(*claim.fence, "phase", "running")
    q.add(), q.add()
    assert [c["n"] for c in w.ask(most=9, cpus=2)] == ["2"]


def test_a_claim_on_a_paused_queue_answers_what_was_given(q):
    w = Waiting(q)
    w.ask()
    n = q.add()
    q.pause("pause")
    assert [c["n"] for c in w.ask()] == [n] and idle(q) == []


def test_a_claim_of_nothing_takes_the_offer_back(q):
    w = Waiting(q)
    w.ask()
    assert w.ask(most=0) == [] and idle(q) == [] and q.redis.hget(q.key("worker:w1"), "offer") is None
    assert q.job(q.add())["state"] == "queued" and w.heard(0.1) == []


def test_no_offer_without_a_channel_or_a_free_processor(q):
    assert q.take() == [] and idle(q) == []
    w = Waiting(q)
    assert w.ask(cpus=0) == [] and idle(q) == []


def test_the_record_of_a_worker_that_never_registered_does_not_stay(q):
    w = Waiting(q)
    w.ask()
    assert 0 < q.redis.ttl(q.key("worker:w1")) <= 172800


def test_sixteen_at_most_between_two_claims(q):
    w = Waiting(q, cpus=64)
    w.ask()
    for _ in range(17):
        q.add()
    assert len(w.heard(0.2)) == 16 and q.job("17")["state"] == "queued"
    w.ask(most=1)
    assert q.job("17")["state"] == "running"


@pytest.mark.parametrize("end", ["drain", "gone"])
def test_a_worker_that_leaves_is_given_nothing(q, end):
    w = Waiting(q)
    q.worker("w1", '{"state":"up"}')
    w.ask()
    q.worker_drain("w1") if end == "drain" else q.worker("w1", '{"state":"gone"}')
    assert q.job(q.add())["state"] == "queued" and w.heard(0.1) == []


def test_a_lost_hand_over_comes_back_when_its_lease_ends(q):
    w = Waiting(q)
    w.ask()
    n = q.add()
    q.lose(n)
    assert q.job(n)["state"] == "queued"
    claim, = q.take("w2")
    assert (claim["n"], claim["attempt"]) == (n, "2")


def test_strangers_in_the_way_hurt_nobody(q):
    w = Waiting(q)
    q.redis.set(q.key("idle"), "mine")
    assert w.ask() == []
    assert q.job(q.add())["state"] == "queued"
    assert [c["n"] for c in w.ask()] == ["1"]
    q.redis.delete(q.key("idle"))
    for offer in ("", "x", "c 1 9 1 0 0", "c x 9 1 0 0 {}", f"c 1 {q.now()} 1 0 0 {{}}", "c 1 9 1 0 0 {}"):
        q.redis.hset(q.key("worker:w9"), "offer", offer)
        q.redis.zadd(q.key("idle"), {"w9": q.now()})
        assert q.job(q.add())["state"] == "queued"
    for label in ("[", "{\"a\":", "3"):
        q.redis.hset(q.key("worker:w9"), "offer", f"c 1 {q.now()} 1 0 0 {label}")
        q.redis.zadd(q.key("idle"), {"w9": q.now()})
        assert q.job(q.add())["state"] == "queued"
    q.redis.delete(q.key("idle"), q.key("worker:w9"))


def test_a_lane_for_what_is_given_that_is_there_already(q):
    w = Waiting(q)
    w.ask()
    q.redis.xgroup_create(q.key("ready:cpu1:5:!given"), "workers", "0", mkstream=True)
    n = q.add()
    claim = w.given()
    assert claim["n"] == n
    assert [one["consumer"] for one in q.redis.xpending_range(q.key("ready:cpu1:5:!given"), "workers", "-", "+", 9)] \
        == ["w1"]
    assert q.end(claim, "succeeded", exit=0) == ["ok", "succeeded"]
    assert q.redis.keys(q.key("ready:*")) == []
