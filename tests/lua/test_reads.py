"""show, list, stats: JSON that is right whatever is in it, pages that miss nothing, and no writes."""
import json

import pytest
from redis.exceptions import ResponseError


def pages(q, state, limit, between=lambda: None):
    """Every id of every page."""
    found, cursor = [], ""
    while True:
        answer = json.loads(q.list(state, limit, cursor))
        found += [job["id"] for job in answer["jobs"]]
        assert len(answer["jobs"]) <= limit
        cursor = answer["cursor"]
        if not cursor:
            return found
        between()


def ids(*numbers):
    return [f"default-{n}" for n in numbers]


def test_show_has_everything(q):
    claim = q.start(name='a "b" \\ é', env={"A": "1"})
    q.commit(claim, 1, 5)
    q.end(claim, "error", error='line "1"\n\tline 2')
    shown = json.loads(q.show(1))
    assert shown["id"] == "default-1" and shown["job"] == q.job(1)
    assert shown["spec"]["env"] == {"A": "1"}
    assert shown["checkpoints"]["1-1"]["step"] == 5
    assert [h["event"] for h in shown["history"]] == ["job.retrying"]
    assert shown["requirement"] == {"cpus": 1, "gpus": 0, "memory": 0, "labels": {}}
    assert abs(shown["now_ms"] - q.now()) < 5000


def test_show_counts_who_is_ahead(q):
    q.start()
    for _ in range(3):
        q.add()
    assert [json.loads(q.show(n))["ahead"] for n in (1, 2, 3, 4)] == [0, 0, 1, 2]


def test_show_of_nothing(q):
    with pytest.raises(ResponseError, match=r"^NOTFOUND no job default-7: queue default has had none yet \|"):
        q.show(7)
    q.add()
    with pytest.raises(ResponseError, match=r"^NOTFOUND no job default-7 \(the newest is default-1\) \|"):
        q.show(7)
    with pytest.raises(ResponseError, match="^INVALID job number: expected"):
        q.show("x")


def test_list_says_what_a_queued_job_needs(q):
    q.add(resources={"gpus": 2, "labels": {"gpu": "a100"}})
    q.start()
    running, queued = json.loads(q.list("all", 10))["jobs"]
    assert queued["requirement"] == {"cpus": 1, "gpus": 2, "memory": 0, "labels": {"gpu": "a100"}}
    assert "requirement" not in running and running["state"] == "running"


def test_list_all_is_newest_first(q):
    for _ in range(7):
        q.add()
    assert pages(q, "all", 3) == ids(7, 6, 5, 4, 3, 2, 1)
    assert pages(q, "", 100) == ids(7, 6, 5, 4, 3, 2, 1)
    assert json.loads(q.list("all", 1))["jobs"][0]["name"] == "t"


def test_list_skips_what_is_gone(q):
    q.redis.hset(q.key("meta"), "max_finished", 1)
    for _ in range(5):
        q.end(q.start(), "succeeded")
    q.add()
    q.prune()
    assert pages(q, "all", 2) == ids(6, 5)


def test_list_all_over_a_large_hole(q):
    q.add()
    q.redis.hset(q.key("meta"), "next", 5000)
    q.add()
    assert pages(q, "all", 10) == ids(5001, 1)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_of_each_state(q, limit):
    for n in range(1, 6):
        q.add(delay="1h")
    for n in range(6, 11):
        q.add(priority=n % 3)
    for n in range(11, 16):
        q.add(resources={"gpus": 1})
    running = q.take(most=5, free={"cpus": 99, "gpus": 99})
    assert sorted(pages(q, "waiting", limit)) == sorted(ids(*range(1, 6)))
    assert pages(q, "waiting", limit) == ids(5, 4, 3, 2, 1)
    queued = [n for n in range(6, 16) if str(n) not in [c["n"] for c in running]]
    assert sorted(pages(q, "queued", limit)) == sorted(ids(*queued))
    assert pages(q, "queued", limit) == pages(q, "queued", 100)
    assert pages(q, "running", limit) == ids(*sorted((int(c["n"]) for c in running), reverse=True))
    q.finish(*[a for c in running for a in (*c.fence, "permanent", "{}")])
    assert sorted(pages(q, "failed", limit)) == sorted(f"default-{c['n']}" for c in running), "all of one millisecond"
    assert pages(q, "running", limit) == []


def test_a_cursor_holds_while_jobs_come_and_go(q):
    for _ in range(10):
        q.end(q.start(), "succeeded")
        seen = q.now()
        while q.now() == seen:  # what ends in one millisecond has no order
            pass
    q.redis.hset(q.key("meta"), "max_finished", 12)
    steps = iter(range(3))

    def change():
        if next(steps, 9) == 0:
            for _ in range(4):
                q.end(q.start(), "succeeded")
            q.prune()
    newest_first = ids(*q.redis.zrevrange(q.key("jobs:succeeded"), 0, -1))  # some end in one millisecond
    found = pages(q, "succeeded", 4, change)
    assert found == newest_first[:8]


def test_a_cursor_whose_job_was_dropped(q):
    for _ in range(3):
        q.end(q.start(), "succeeded")
        seen = q.now()
        while q.now() == seen:
            pass
    cursor = json.loads(q.list("succeeded", 2))["cursor"]
    assert cursor.endswith(":2")
    q.redis.zrem(q.key("jobs:succeeded"), 2)
    q.redis.delete(q.key("job:2"), q.key("spec:2"))
    assert [j["id"] for j in json.loads(q.list("succeeded", 2, cursor))["jobs"]] == ids(1)


@pytest.mark.parametrize("args,sentence", [
    (("odd", 1), "state: expected"), (("all", 0), "limit: expected"), (("all", 101), "limit: expected"),
    (("all", 1, "x"), "cursor: expected"), (("queued", 1, "x"), "cursor: expected"),
    (("failed", 1, "x"), "cursor: expected"), (("running", 1, "x"), "cursor: expected"),
])
def test_bad_lists(q, args, sentence):
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.list(*args)


def test_stats(q):
    q.add(delay="1h"), q.add(priority=9), q.add(resources={"cpus": 2})
    q.start()
    q.end(q.take()[0], "succeeded")
    q.cancel(1)
    q.worker("w1", "{}")
    stats = json.loads(q.stats())
    assert 0 <= stats.pop("now_ms") - stats.pop("oldest_ms") < 60000
    classes = stats.pop("classes")
    assert stats.pop("goodput").keys() <= {"plain"}
    assert stats == {"queue": "default", "waiting": 0, "queued": 1, "running": 1, "succeeded": 1, "failed": 0,
                     "cancelled": 1, "submitted": 4, "workers": 1, "max_running": 0, "max_recovering": 10,
                     "preempt": 0, "rate_max": 0, "rate_per_ms": 0}
    assert {name: c["queued"] for name, c in classes.items()} == {"cpu1": 0, "cpu2": 1} or \
        {name: c["queued"] for name, c in classes.items()} == {"cpu1": 1, "cpu2": 0}
    assert classes["cpu2"]["requirement"] == {"cpus": 2, "gpus": 0, "memory": 0, "labels": {}}


def test_reads_do_not_write(q):
    claim = q.start()
    q.add(), q.add(delay="1h")
    q.commit(claim, 1, 1)
    before = q.snapshot()
    for client_call in ("show 1", "stats", "list all 10", "list queued 10", "list running 10"):
        name, *args = client_call.split()
        q.redis.execute_command("FCALL_RO", "stoker_" + name, 1, q.key("meta"), *args)
    assert q.snapshot() == before


@pytest.mark.parametrize("count", range(1, 8))
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_of_one_lane_end_where_they_end(q, count, limit):
    for _ in range(count):
        q.add()
    assert pages(q, "queued", limit) == ids(*range(count, 0, -1))
