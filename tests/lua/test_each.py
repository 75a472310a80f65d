"""stoker_each: one action on many jobs, each answered by itself, and the pages that such a walk goes over."""
import json

import pytest
from redis.exceptions import ResponseError


def test_each_is_answered_by_itself(q):
    running = q.start()["n"]
    queued, waiting = q.add(), q.add(delay="1h")
    q.cancel(q.add())
    answers = q.each("cancel", "", "ada", "too many", running, queued, waiting, 4, 99, queued)
    assert answers[:4] == [["ok", "running"], ["ok", "cancelled"], ["ok", "cancelled"], ["ok", "cancelled"]]
    assert answers[4][0] == "error" and answers[4][1].startswith("NOTFOUND no job default-99")
    assert answers[5] == answers[1]
    assert q.job(queued)["error"] == "too many"
    assert len(q.events("job.cancelled")) == 3, "nothing twice"


def test_only_in_the_states_that_were_listed(q):
    n, other = q.add(), q.add()
    q.take()
    assert q.each("cancel", "queued", "", "", n, other) == [["skipped", "running"], ["ok", "cancelled"]]
    q.add(hold=True)
    assert q.each("release", "held", "", "", n, 3) == [["skipped", "running"], ["ok", "queued"]]


def test_retry_of_many_names_the_attempt(q):
    for _ in range(3):
        q.end(q.start(), "permanent")
    answers = q.each("retry", "failed,cancelled", "ada", "", "1:1", "2:7", 3)
    assert answers == [["ok", "default-4"], ["skipped", "failed"], ["ok", "default-5"]]
    assert q.each("retry", "failed,cancelled", "ada", "", "1:1", 3) == [["ok", "default-4"], ["ok", "default-5"]]
    assert q.redis.hget(q.key("meta"), "next") == "5"


def test_many_retries_meet_the_bound(q):
    for _ in range(3):
        q.end(q.start(), "permanent")
    q.redis.hset(q.key("meta"), "max_jobs", 2)
    answers = q.each("retry", "", "", "", 1, 2, 3)
    assert [a[0] for a in answers] == ["ok", "ok", "error"] and answers[2][1].startswith("FULL")


def test_a_hundred_at_once(q):
    numbers = [q.add() for _ in range(100)]
    assert set(map(tuple, q.each("update", "", "", '{"priority":9}', *numbers))) == {("ok", "queued")}
    assert set(map(tuple, q.each("hold", "", "", "", *numbers))) == {("ok", "waiting")}
    assert not q.redis.keys(q.key("ready:*"))
    assert set(map(tuple, q.each("release", "", "", "", *numbers))) == {("ok", "queued")}
    assert set(map(tuple, q.each("cancel", "", "", "", *numbers))) == {("ok", "cancelled")}
    assert set(map(tuple, q.each("remove", "", "", "", *numbers))) == {("ok", "removed")}
    assert not q.redis.keys(q.key("job:*"))


@pytest.mark.parametrize("args, sentence", [
    (("destroy", "", "", "", 1), 'action: expected cancel, retry, hold, release, update or remove, got "destroy"'),
    (("cancel", "finished", "", "", 1), 'states: expected names of states, got "finished"'),
    (("cancel", "", "", ""), "expected <action>"), (("cancel", "", "", "", *range(1, 102)), "expected <action>"),
    (("cancel", "", "", "", "one"), "job number: "), (("cancel", "", "", "", "1:x"), "job number: "),
    (("update", "", "", '{"command":"x"}', 1), "command: it cannot be changed"),
    (("cancel", "", "a\n", "", 1), "actor: ")])
def test_wrong_calls(q, args, sentence):
    q.add()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.each(*args)
    assert q.snapshot() == before


def test_a_wrong_value_is_the_answer_of_each(q):
    q.add()
    answers = q.each("update", "", "", '{"priority":77}', 1)
    assert answers[0][0] == "error" and answers[0][1].startswith("INVALID priority: ")


def test_a_full_redis_can_be_emptied_and_takes_nothing_new(q):
    q.end(q.start(), "permanent")
    q.end(q.start(), "succeeded")
    q.add()
    q.redis.config_set("maxmemory", 1)
    with pytest.raises(ResponseError, match="^FULL Redis is full"):
        q.each("retry", "", "", "", 1)
    assert q.each("remove", "", "", "", 1, 2) == [["ok", "removed"]] * 2
    assert q.each("cancel", "", "", "", 3) == [["ok", "cancelled"]]
    assert q.pause("pause") == "paused"
    q.redis.config_set("maxmemory", 0)
    q.pause("resume")


def test_a_page_goes_on_behind_what_was_removed(q):
    """Many jobs end in one call, at the same millisecond: the cursor of a page whose last job is gone skips none."""
    numbers = [q.add() for _ in range(30)]
    q.each("cancel", "", "", "", *numbers)
    seen, cursor = [], ""
    while True:
        page = json.loads(q.list("cancelled", 7, cursor))
        found = [job["id"].split("-")[1] for job in page["jobs"]]
        seen += found
        q.each("remove", "", "", "", *found)
        cursor = page["cursor"]
        if not cursor:
            break
    assert sorted(seen, key=int) == numbers


@pytest.mark.parametrize("action", ["cancel", "release"])
def test_pages_of_what_waits(q, action):
    """Held ones have no due time, so that they are all one place of the index; the others have each their own."""
    numbers = [q.add(hold=True) for _ in range(30)] + [q.add(delay=f"{i}h") for i in range(1, 11)]
    seen, cursor = [], ""
    while True:
        page = json.loads(q.list("due", 7, cursor))
        found = [job["id"].split("-")[1] for job in page["jobs"]]
        seen += found
        q.each(action, "", "", "", *found[::2])
        cursor = page["cursor"]
        if not cursor:
            break
    assert sorted(seen, key=int) == numbers
    assert seen[30:] == numbers[:29:-1], "due last first"


@pytest.mark.parametrize("cursor", ["x", "1", "abc:1", "1:x", ":", "inf:"])
def test_a_cursor_that_is_none(q, cursor):
    for state in ("due", "failed"):
        with pytest.raises(ResponseError, match="^INVALID cursor"):
            q.list(state, 1, cursor)
