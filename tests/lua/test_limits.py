"""Limits by key and of the queue, and unique jobs: enforced atomically, and nothing that waits blocks another."""
import pytest
from redis.exceptions import ResponseError

from harness import wait_until


def limited(key="user-7", most=2, **more):
    return {"concurrency": {"key": key, "max": most}, **more}


def states(q, *numbers):
    return [q.state(n) for n in numbers]


# ---- concurrency by key

def test_what_is_above_the_limit_waits_outside_the_lane(q):
    held = [q.add(**limited()) for _ in range(2)]
    waits = [q.add(**limited()) for _ in range(3)]
    free = q.add()
    assert states(q, *held, *waits, free) == ["queued"] * 2 + ["waiting"] * 3 + ["queued"]
    assert q.job(waits[0])["reason"] == "limit" and "due_ms" not in q.job(waits[0])
    assert [c["n"] for c in q.take(most=10)] == [*held, free], "what waits blocks nobody"


def test_a_slot_that_comes_free_lets_the_next_one_go_in_the_same_call(q):
    q.add(**limited(most=1))
    low, high = q.add(**limited(most=1, priority=2)), q.add(**limited(most=1, priority=8))
    claim, = q.take()
    q.end(claim, "succeeded")
    assert states(q, low, high) == ["waiting", "queued"], "by priority"
    claim, = q.take()
    q.end(claim, "permanent")
    assert q.state(low) == "queued"


@pytest.mark.parametrize("cause, keeps", [("succeeded", False), ("permanent", False), ("error", False), ("lost", True),
                                          ("preempted", True), ("corrupted", False)])
def test_who_is_queued_again_at_once_keeps_its_slot(q, cause, keeps):
    q.add(**limited(most=1))
    waits = q.add(**limited(most=1))
    claim, = q.take()
    q.end(claim, cause)
    assert (q.state(waits) == "waiting") == keeps


def test_a_retry_takes_a_slot_again(q):
    first = q.add(**limited(most=1, retry={"backoff": "10ms", "max_backoff": "10ms"}))
    second = q.add(**limited(most=1))
    claim, = q.take()
    q.end(claim, "error")
    assert states(q, first, second) == ["waiting", "queued"]
    wait_until(lambda: q.promote()[0] == 1, what="its backoff is over")
    assert (q.state(first), q.job(first)["reason"]) == ("waiting", "limit")
    assert q.promote() == [0, -1], "it waits for no time"
    claim, = q.take()
    assert claim["n"] == second
    q.end(claim, "succeeded")
    assert q.state(first) == "queued"


def test_cancelled_in_the_line_or_in_the_lane(q):
    held, one, two = (q.add(**limited(most=1)) for _ in range(3))
    q.cancel(one)
    assert states(q, held, one, two) == ["queued", "cancelled", "waiting"]
    q.cancel(held)
    assert states(q, held, two) == ["cancelled", "queued"]


def test_a_slot_is_free_when_the_reaper_fails_its_job(q):
    q.add(**limited(most=1, lease="1s", retry={"max_lost": 1}))
    waits = q.add(**limited(most=1))
    q.take()
    wait_until(lambda: q.reap()[0] == 1, what="the lease is over")
    assert q.state(waits) == "queued"


def test_many_finish_in_one_call(q):
    for _ in range(9):
        q.add(**limited(most=3))
    claims = q.take(most=10)
    assert len(claims) == 3
    q.finish(*[part for c in claims for part in (*c.fence, "succeeded", "")])
    assert len(q.take(most=10)) == 3


def test_each_key_is_a_limit_of_its_own(q):
    for n in range(10):
        q.add(**limited(f"user-{n % 5}", 1))
    assert len(q.take(most=10)) == 5


def test_in_one_bulk_call(q):
    import json
    answers = q.bulk("", *[x for i in range(5) for x in (json.dumps({"command": ["x"], **limited(most=2)}), "")])
    assert [a[0] for a in answers] == ["ok"] * 5
    assert states(q, 1, 2, 3, 4, 5) == ["queued"] * 2 + ["waiting"] * 3


# ---- rate

def test_a_burst_then_one_by_one(q):
    numbers = [q.add(rate={"key": "api", "max": 3, "per": "3s"}) for _ in range(6)]
    assert states(q, *numbers) == ["queued"] * 3 + ["waiting"] * 3
    due = [int(q.job(n)["due_ms"]) - q.now() for n in numbers[3:]]
    assert [round(d / 1000) for d in due] == [1, 2, 3] and q.job(numbers[3])["reason"] == "limit"


def test_a_rate_is_kept_over_time(q):
    began, seen = q.now(), 0
    for _ in range(10):
        q.add(rate={"key": "api", "max": 2, "per": "100ms"})
    while seen < 10:
        q.promote()
        seen += len(q.take(most=10, free={"cpus": 100}))
        assert seen <= 2 + (q.now() - began) / 50 + 1
    assert q.now() - began >= 390


def test_the_longest_wait_counts(q):
    n = q.add(delay="1h", rate={"key": "api", "max": 1, "per": "1s"})
    assert (q.job(n)["reason"], q.state(n)) == ("delay", "waiting")
    n = q.add(delay="1ms", rate={"key": "api", "max": 1, "per": "2h"})
    assert q.job(n)["reason"] == "limit"


# ---- of the queue

def test_no_more_run_than_the_queue_allows(q):
    q.limit("2", "", "")
    for _ in range(5):
        q.add()
    claims = q.take(most=10)
    assert len(claims) == 2 and q.take("w2", most=10) == []
    q.redis.delete(q.key("wake:cpu1"))
    assert q.take("w2", most=10) == [] and not q.redis.exists(q.key("wake:cpu1")), "no bell: nobody spins"
    q.end(claims[0], "succeeded")
    assert q.redis.exists(q.key("wake:cpu1")), "whoever ends rings"
    assert len(q.take("w2", most=10)) == 1
    q.limit("0", "", "")
    assert q.redis.exists(q.key("wake:cpu1")) and len(q.take("w2", most=10)) == 2
    assert [e["max_running"] for e in q.events("queue.limited")] == ["2", "0"]


def test_a_rate_of_the_queue(q):
    q.limit("", "2", "60000", "ops:ada")
    assert states(q, *[q.add() for _ in range(4)]) == ["queued", "queued", "waiting", "waiting"]
    before = q.snapshot()
    q.limit("", "2", "60000", "ops:ada")
    assert q.snapshot() == before, "the same again changes nothing"


@pytest.mark.parametrize("args, says", [(("-1", "", ""), "max_running"), (("x", "", ""), "max_running"),
                                        (("", "1e3", ""), "rate_max"), (("", "5", ""), "rate_per_ms"),
                                        (("", "", "9" * 20), "rate_per_ms"),
                                        (("1", "1", "1", "a", "b"), "max_recovering"),
                                        (("1", "1", "1", "a", "1", "b"), "preempt"),
                                        (("1", "1", "1", "a", "1", "1", "b"), "arguments")])
def test_wrong_limits_change_nothing(q, args, says):
    before = q.snapshot()
    with pytest.raises(ResponseError, match=f"^INVALID .*{says}"):
        q.limit(*args)
    assert q.snapshot() == before


# ---- unique

def test_one_job_and_one_clear_answer(q):
    first = q.add(unique={"key": "nightly"})
    with pytest.raises(ResponseError) as refused:
        q.add(unique={"key": "nightly"})
    assert str(refused.value) == f'CONFLICT unique.key: job default-{first} (queued) has the key "nightly"'
    assert q.add(unique={"key": "other"}) == "2" and q.add() == "3"
    claim = q.take()[0]
    with pytest.raises(ResponseError, match="running"):
        q.add(unique={"key": "nightly"})
    q.end(claim, "succeeded")
    assert q.add(unique={"key": "nightly"}) == "4"


def test_until_it_starts(q):
    q.add(unique={"key": "k", "until": "started"})
    with pytest.raises(ResponseError, match="^CONFLICT"):
        q.add(unique={"key": "k", "until": "started"})
    q.take()
    assert q.add(unique={"key": "k", "until": "started"}) == "2"


def test_for_a_time_whatever_becomes_of_it(q):
    q.add(unique={"key": "k", "until": "expired", "for": "1s"})
    q.end(q.take()[0], "succeeded")
    with pytest.raises(ResponseError, match="succeeded"):
        q.add(unique={"key": "k"})
    wait_until(lambda: not q.redis.exists(q.key("unique:k")), what="the time is over")
    assert q.add(unique={"key": "k"}) == "2"


@pytest.mark.parametrize("end", ["cancel", "fail", "lose"])
def test_however_it_ends_the_key_is_free(q, end):
    n = q.add(unique={"key": "k"}, retry={"max_lost": 1})
    if end == "cancel":
        q.cancel(n)
    else:
        q.end(q.take()[0], {"fail": "permanent", "lose": "lost"}[end])
    assert q.add(unique={"key": "k"}) == "2"


def test_a_retry_needs_the_key_again(q):
    n = q.add(unique={"key": "k"})
    q.end(q.take()[0], "permanent")
    q.add(unique={"key": "k"})
    with pytest.raises(ResponseError, match="^CONFLICT unique.key: job default-2"):
        q.retry(n, 1)
    q.cancel("2")
    assert q.retry(n, 1) == "default-3"


def test_the_same_submit_again_is_the_same_job(q):
    import json
    spec = json.dumps({"command": ["x"], "unique": {"key": "k"}})
    assert q.submit(spec, "idem") == q.submit(spec, "idem") == "default-1"
    answers = q.bulk("", spec.replace('"k"', '"b"'), "", spec.replace('"k"', '"b"'), "", spec, "")
    assert answers[0] == ["ok", "default-2"]
    assert answers[1] == ["error", 'CONFLICT unique.key: job default-2 has the key "b"']
    assert answers[2][0] == "error" and "default-1 (queued)" in answers[2][1]


def test_a_key_whose_job_is_gone_is_free(q):
    q.redis.set(q.key("unique:k"), "77")
    assert q.add(unique={"key": "k"}) == "1"
    assert q.redis.get(q.key("unique:k")) == "1"


# ---- what strangers, or the loss of writes, have left behind

def test_a_key_whose_job_has_ended_is_free(q):
    q.end(q.start(), "succeeded")
    q.redis.set(q.key("unique:u"), "1")
    n = q.add(unique={"key": "u"})
    assert q.redis.get(q.key("unique:u")) == n


def test_a_key_that_is_kept_for_a_time_outlives_its_job(q):
    q.redis.set(q.key("unique:u"), "7 expired", px=100000)
    with pytest.raises(ResponseError, match=r'^CONFLICT unique.key: job default-7 \(gone\) has the key "u"'):
        q.add(unique={"key": "u"})
    q.redis.delete(q.key("unique:u"))


def test_who_does_not_belong_into_the_line_leaves_it_and_nothing_else_happens(q):
    running = [q.add(**limited(most=4)) and q.take()[0] for _ in range(4)]
    waits = q.add(**limited(most=4))
    free = q.add()
    of_other = [q.add(**limited("other", 1)) for _ in range(2)][1]
    line = q.key("limited:user-7")
    q.redis.zadd(line, {"99": 1, free: 2, of_other: 3})
    for claim in running[:3]:
        q.end(claim, "succeeded")
    assert q.redis.zrange(line, 0, -1) == [waits]
    assert states(q, free, of_other, waits) == ["queued", "waiting", "waiting"]
    assert q.redis.zrange(q.key("limited:other"), 0, -1) == [of_other]
    q.end(running[3], "succeeded")
    assert q.state(waits) == "queued"


def test_a_slot_that_a_child_never_took_goes_with_it(q):
    parent = q.start()
    child = q.add(**limited(most=1), after=["default-" + parent["n"]])
    q.redis.zadd(q.key("slots:user-7"), {child: 1})
    q.end(parent, "permanent")
    assert q.state(child) == "cancelled" and not q.redis.exists(q.key("slots:user-7"))


def test_a_bucket_that_is_no_number_is_empty(q):
    q.redis.set(q.key("rate:api"), "soon")
    numbers = [q.add(rate={"key": "api", "max": 1, "per": "1h"}) for _ in range(2)]
    assert states(q, *numbers) == ["queued", "waiting"]
