"""Graphs that are too large for one call: staged in pages, seen by nobody until the commit shows all of them."""
import json
import time

import pytest
from redis.exceptions import ResponseError

from test_depend import node, run, shown


def stage(q, jobs, name="s", size=100):
    for at in range(0, len(jobs), size):
        have = q.stage(name, len(jobs), at, *[json.dumps(job) for job in jobs[at:at + size]])
    return have


def commit(q, *args):
    return q.redis.fcall("stoker_commit", 1, q.key("meta"), *args)


def layers(count, width=10):
    """Each job waits for one of the layer before."""
    return [node(f"j{i}", *([f"j{i - width}"] if i >= width else [])) for i in range(count)]


def test_nobody_sees_what_is_staged(q):
    assert stage(q, layers(250)) == 250
    assert json.loads(q.list("all"))["jobs"] == [] and json.loads(q.stats())["waiting"] == 0
    assert q.promote() [:2] == [0, -1] and q.take() == [] and q.events() == ["queue.created"]
    for call in (q.show, q.cancel):
        with pytest.raises(ResponseError, match="^NOTFOUND"):
            call(1)
    assert all(0 < q.redis.ttl(q.key(f"{kind}:17")) <= 3600 for kind in ("job", "spec", "parents", "children"))
    assert q.add() == "251" and run(q) == "251"


def test_the_commit_shows_all(q):
    stage(q, layers(250))
    ids = commit(q, "s", "", "cli:me")
    assert ids == [f"default-{n}" for n in range(1, 251)]
    assert q.redis.hget(q.key("meta"), "active") == "250" and q.redis.zcard(q.key("waiting")) == 250
    assert len(q.events("job.submitted")) == 250 and q.redis.xlen(q.key("events")) == 4
    assert (q.job(30)["actor"], q.job(30)["reason"], q.job(1)["reason"]) == ("cli:me", "dependency", "delay")
    assert q.redis.ttl(q.key("job:7")) == q.redis.ttl(q.key("spec:7")) == q.redis.ttl(q.key("children:7")) == -1
    q.promote()
    order = []
    while claims := q.take(most=10):
        order += [int(c["n"]) for c in claims]
        for claim in claims:
            q.end(claim, "succeeded")
    assert sorted(order) == list(range(1, 251))
    place = {n: i for i, n in enumerate(order)}
    assert all(place[n] > place[n - 10] for n in range(11, 251))


def test_sent_again(q):
    jobs = layers(150)
    stage(q, jobs)
    before = q.snapshot()
    assert q.stage("s", 150, 0, *[json.dumps(j) for j in jobs[:100]]) == 150
    assert q.snapshot().keys() == before.keys()
    ids = commit(q, "s", "k")
    before = q.snapshot()
    assert commit(q, "s", "k") == ids and commit(q, "s") == ids
    assert q.stage("s", 150, 100, *[json.dumps(j) for j in jobs[100:]]) == 150
    assert q.snapshot() == before
    stage(q, jobs, "other")
    with pytest.raises(ResponseError, match='^CONFLICT the idempotency key "k" was used'):
        commit(q, "other", "k")
    q.redis.delete(q.key("stage:other"), *[q.key(f"{kind}:{n}") for n in range(151, 301)
                                           for kind in ("job", "spec", "parents", "children")])


def test_parents_outside_of_the_stage(q):
    for _ in range(2):
        q.add()
    assert run(q) == "1"
    jobs = [node("a", "default-1"), node("b", "default-2", "a"), node("c", delay="1h")]
    stage(q, jobs)
    q.end(q.take()[0], "permanent")  # default-2, after it was staged
    assert commit(q, "s") == ["default-3", "default-4", "default-5"]
    assert [q.state(n) for n in (3, 4, 5)] == ["queued", "cancelled", "waiting"]
    assert q.job(4)["error"] == "default-2, which it needs, failed"
    assert int(q.job(5)["due_ms"]) - q.now() > 3500000
    assert shown(q, 4)["parents"]["default-3"]["state"] == "queued"


@pytest.mark.parametrize("jobs, says", [
    ([node("a"), node("a")], 'jobs[1]: name: a job before it has the name "a", too'),
    ([node("a", "b"), node("b")], 'jobs[0]: after: "b" is no job that stands before it, and no job id'),
    ([node("a", "a")], 'jobs[0]: after: "a" is no job that stands before it, and no job id'),
    ([node("a"), node("b", "default-7")], "jobs[1]: after: there is no job default-7 (the newest is default-0)"),
    ([node("a"), node("b", unique={"key": "u"})], "jobs[1]: unique.key: not in a graph of more than 100 jobs"),
    ([node("a"), node("b", rate={"key": "u", "max": 1})], "jobs[1]: rate.key: not in a graph of more than 100 jobs"),
    ([node("a"), node("b", hold=True)], "jobs[1]: hold: not in a graph of more than 100 jobs"),
    ([node("a"), node("b", priority=10)], "jobs[1]: priority: expected an integer from 0 to 9, got 10")])
def test_bad_pages_change_nothing(q, jobs, says):
    before = q.snapshot()
    with pytest.raises(ResponseError) as error:
        stage(q, jobs)
    assert str(error.value) == "INVALID " + says
    assert q.snapshot() == before


@pytest.mark.parametrize("args, says", [
    (("a b", 1, 0, "{}"), "^INVALID stage: expected 1 to 64 letters"), (("s", 0, 0, "{}"), "^INVALID count: "),
    (("s", 10001, 0, "{}"), "^INVALID count: expected an integer from 1 to 10000"),
    (("s", 2, 2, "{}"), "^INVALID at: expected an integer from 0 to 1"),
    (("s", 2, 0), "^INVALID expected 1 to 100 specs"),
    (("s", 2, 1, "{}"), "^CONFLICT stage s has 0 jobs: number 0 is next"),
    (("s", 1, 0, '{"command":"x"}', '{"command":"x"}'), "^INVALID expected 1 to 100 specs, and at most 1 in all")])
def test_calls_of_the_wrong_form(q, args, says):
    with pytest.raises(ResponseError, match=says):
        q.stage(*args)


def test_a_commit_too_early_too_late_or_too_large(q):
    with pytest.raises(ResponseError, match="^NOTFOUND there is no stage s"):
        commit(q, "s")
    jobs = layers(3)
    q.stage("s", 3, 0, json.dumps(jobs[0]))
    with pytest.raises(ResponseError, match="^CONFLICT stage s has 1 of its 3 jobs"):
        commit(q, "s")
    with pytest.raises(ResponseError, match="^CONFLICT stage s was begun for 3 jobs, not 4"):
        q.stage("s", 4, 1, json.dumps(jobs[1]))
    q.stage("s", 3, 1, *[json.dumps(j) for j in jobs[1:]])
    q.redis.hset(q.key("meta"), "max_jobs", 2)
    with pytest.raises(ResponseError, match="^FULL queue default has 0 unfinished jobs, with 3 more"):
        commit(q, "s")
    q.redis.hset(q.key("meta"), "max_jobs", 3)
    q.redis.delete(q.key("job:1"))
    with pytest.raises(ResponseError, match="^NOTFOUND stage s has expired"):
        commit(q, "s")
    q.redis.delete(q.key("stage:s"), *[q.key(f"{kind}:{n}") for n in (1, 2, 3) for kind in ("job", "spec")])


def test_limits_hold_for_what_was_staged(q):
    one = {"concurrency": {"key": "k", "max": 1}}
    stage(q, [node("a", **one), node("b", **one), node("c", "a", **one)])
    q.limit("", 2, 3600000)
    commit(q, "s")
    q.promote()
    assert [q.job(n)["reason"] if q.state(n) == "waiting" else q.state(n) for n in (1, 2, 3)] == \
        ["queued", "limit", "dependency"]
    assert run(q) == "1" and [q.state(2), q.state(3), q.job(3)["reason"]] == ["queued", "waiting", "limit"]


def test_ten_thousand(q):
    stage(q, layers(10000, width=100))
    begun = time.monotonic()
    assert len(commit(q, "s")) == 10000
    assert time.monotonic() - begun < 5, "Redis may not stand still"
    print("commit of 10,000:", time.monotonic() - begun)
    assert q.redis.zcard(q.key("waiting")) == 10000


@pytest.mark.parametrize("more, says", [({"resume": "default-1@latest"}, "resume: not in a graph of more than"),
                                        ({"batch": "b"}, "batch: a graph is one batch")])
def test_what_no_staged_job_has(q, more, says):
    q.add()
    with pytest.raises(ResponseError, match=r"^INVALID jobs\[0\]: " + says):
        stage(q, [node("a", **more)])


def test_a_staged_child_that_holds_and_one_with_a_delay(q):
    stage(q, [node("a"), node("b", "a", on_unmet="hold"), node("c", "a", delay="1h", on_unmet="cancel")])
    commit(q, "s")
    q.hurry(1)
    claim, = q.take()
    assert int(q.job(3)["due_ms"]) > q.now() + 3500000 and q.job(3)["reason"] == "dependency"
    q.end(claim, "permanent")
    assert (q.state(2), q.job(2)["unmet"]) == ("waiting", "default-1, which it needs, failed")
    assert q.state(3) == "cancelled"


def test_parents_outside_that_run_or_are_in_another_queue(q):
    claim = q.start()
    stage(q, [node("a", "default-1", "other-7"), node("b", "default-1")])
    commit(q, "s")
    assert q.redis.zrange(q.key("outbox"), 0, -1) == ["ask other-7 2"]
    q.end(claim, "succeeded")
    assert (q.state(2), q.job(2)["needs"], q.state(3)) == ("waiting", "1", "queued")
    q.tell(2, "other-7", "succeeded")
    assert q.state(2) == "queued"
