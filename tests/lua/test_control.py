"""Hold and release, update, remove, and the same for many jobs: in every state, twice, and with wrong arguments."""
import json

import pytest
from redis.exceptions import ResponseError

from test_states import FINAL, STATES, bring


def spec(q, n):
    return json.loads(q.redis.get(q.key(f"spec:{n}")))


def due(q, n):
    return q.redis.zscore(q.key("waiting"), n)


# ---------------------------------------------------------------- hold and release

def test_held_job_is_out_of_the_ready_stream(q):
    n, other = q.add(), q.add()
    assert q.hold(n, "ada", "not today") == "waiting"
    job = q.job(n)
    assert (job["reason"], job["held_by"], job["held_reason"]) == ("held", "ada", "not today")
    assert [c["n"] for c in q.take(most=5)] == [other]
    assert q.promote() == [0, -1]
    assert q.release(n, "bob") == "queued"
    assert not [field for field in q.job(n) if field.startswith("held") or field == "reason"]
    assert [c["n"] for c in q.take()] == [n]
    assert [e["event"] for e in q.history(n)] == ["job.held", "job.released"]


def test_release_goes_back_to_wait_for_its_time(q):
    n = q.add(delay="1h")
    before = q.job(n)["due_ms"]
    q.hold(n)
    assert due(q, n) == float("inf") and "due_ms" not in q.job(n)
    assert q.release(n) == "waiting"
    assert q.job(n)["due_ms"] == before and q.job(n)["reason"] == "delay" and due(q, n) == float(before)
    q.hold(n)
    q.set_job(n, held_due_ms=1)
    assert q.release(n) == "queued", "its time has passed meanwhile"


def test_a_retry_stays_one(q):
    claim = q.start()
    q.end(claim, "error")
    before = q.job(1)
    q.hold(1)
    q.release(1)
    assert q.job(1) == before


@pytest.mark.parametrize("cause", ["preempted", "lost"])
def test_what_was_in_front_is_in_front_again(q, cause):
    claim = q.start()
    q.add()
    if cause == "lost":
        q.lose(1)
    else:
        q.end(claim, "preempted")
    q.hold(1)
    assert q.release(1) == "queued"
    assert q.job(1)["reason"] == cause
    assert [c["n"] for c in q.take()] == ["1"]


def test_the_runner_of_a_lost_job_that_is_held_must_stop(q):
    claim = q.start()
    q.lose(1)
    q.hold(1)
    with pytest.raises(ResponseError, match="^STALE"):
        q.renew(*claim.fence)


def test_a_spec_may_ask_for_it(q):
    n = q.submit(json.dumps({"command": "x", "hold": True, "delay": "1h"}), "", "ada").split("-")[1]
    assert q.state(n) == "waiting" and q.job(n)["held_by"] == "ada" and "due_ms" not in q.job(n)
    assert q.take() == []
    assert q.release(n) == "waiting" and q.job(n)["reason"] == "delay"
    held = q.add(hold=True)
    assert q.release(held) == "queued"
    assert q.state(q.add(hold=False)) == "queued"


def test_the_retry_of_a_job_that_was_to_be_held_is_not(q):
    n = q.add(hold=True)
    q.cancel(n)
    again = q.retry(n, 0).split("-")[1]
    assert q.state(again) == "queued"


def test_an_index_that_lies_starts_nothing(q):
    n = q.add(hold=True)
    q.hurry(n)
    assert q.state(n) == "waiting" and due(q, n) == float("inf")


def test_a_held_job_is_cancelled_and_not_retried(q):
    n = q.add()
    q.hold(n, "ada", "why")
    with pytest.raises(ResponseError, match="^CONFLICT job default-1 is held by ada: why | stoker release default-1$"):
        q.retry(n, 0)
    assert q.cancel(n) == "cancelled"
    assert not [field for field in q.job(n) if field.startswith("held")]


def test_held_after_corruption(q):
    claim = q.start()
    q.commit(claim, 1, 10)
    q.end(claim, "error")
    q.hold(1)
    assert q.corrupt(1, 1, "x") == "waiting"
    assert q.job(1)["reason"] == "held"
    q.release(1)
    q.hurry(1)
    assert len(q.take()) == 1


def test_a_class_that_was_dropped_is_made_again(q):
    n = q.add()
    q.hold(n)
    q.redis.hdel(q.key("classes"), "cpu1")
    assert q.release(n) == "queued"
    assert len(q.take()) == 1


# ---------------------------------------------------------------- every state, and twice

ACTIONS = {  # action → its call, and in which states it may be
    "hold": (lambda q: q.hold(1, "ada", "why"), ("waiting", "queued")),
    "release": (lambda q: q.release(1, "ada"), ("waiting", "queued", "running")),
    "update": (lambda q: q.update(1, '{"priority":7}', "ada"), ("waiting", "queued")),
    "remove": (lambda q: q.remove(1, "ada"), FINAL),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_state(q, action, state):
    bring(q, state)
    call, allowed = ACTIONS[action]
    before = q.snapshot()
    if state not in allowed:
        with pytest.raises(ResponseError, match="^CONFLICT job default-1 (is|has|was) "):
            call(q)
        assert q.snapshot() == before
        return
    answer = call(q)
    before = q.snapshot()
    assert call(q) == answer
    assert q.snapshot() == before, "asked twice: nothing changes"


@pytest.mark.parametrize("action", ["hold", "release", "update", "remove"])
def test_no_such_job(q, action):
    with pytest.raises(ResponseError, match="^NOTFOUND"):
        getattr(q, action)(9, *(["{\"priority\":1}"] if action == "update" else []))


@pytest.mark.parametrize("call", [
    lambda q: q.hold("x"), lambda q: q.hold(), lambda q: q.hold(1, "", "", ""), lambda q: q.release(1, "a", "b"),
    lambda q: q.remove(0), lambda q: q.remove(1, "a", "b"), lambda q: q.update(1), lambda q: q.update(1, "{}"),
    lambda q: q.update(1, "[1]"), lambda q: q.update(1, '{"priority":1'), lambda q: q.hold(1, "a\n")])
def test_wrong_arguments(q, call):
    q.add()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID"):
        call(q)
    assert q.snapshot() == before


# ---------------------------------------------------------------- update

def test_priority_changes_the_order_of_claims(q):
    first, second, third = q.add(), q.add(), q.add()
    assert q.update(third, '{"priority":8}', "ada") == "queued"
    assert q.job(third)["priority"] == "8" and spec(q, third)["priority"] == 8
    assert q.update(first, '{"priority":1}') == "queued"
    assert [c["n"] for c in q.take(most=5)] == [third, second, first]
    assert q.events("job.updated")[0]["reason"] == "priority=8"


def test_priority_of_what_is_in_front_stays_in_front(q):
    claim = q.start()
    q.add(priority=7)
    q.end(claim, "preempted")
    q.update(1, '{"priority":7}')
    assert q.job(1)["lane"] == "cpu1:7:!front" and q.job(1)["reason"] == "preempted"
    assert [c["n"] for c in q.take()] == ["1"]


def test_delay(q):
    n = q.add()
    assert q.update(n, '{"delay":"1h"}') == "waiting"
    assert q.job(n)["reason"] == "delay" and abs(due(q, n) - q.now() - 3600000) < 60000
    assert q.update(n, '{"delay":"2h"}') == "waiting"
    assert abs(due(q, n) - q.now() - 7200000) < 60000
    assert q.take() == []
    assert q.update(n, '{"delay":0}') == "queued"
    assert [c["n"] for c in q.take()] == [n]


def test_delay_of_a_retry_and_of_a_held_job(q):
    claim = q.start()
    q.end(claim, "error")
    q.update(1, '{"delay":"1h"}')
    assert q.job(1)["reason"] == "retry" and due(q, 1) > q.now() + 3000000
    q.hold(1)
    q.update(1, '{"delay":"5h"}')
    assert due(q, 1) == float("inf")
    assert q.release(1) == "waiting" and due(q, 1) > q.now() + 17000000
    assert q.job(1)["reason"] == "retry"
    q.hold(1)
    q.update(1, '{"delay":0}')
    assert q.release(1) == "queued"


def test_limits_and_names(q):
    n = q.add(retry={"max_attempts": 1, "backoff": "1s"}, tags=["a"], name="old")
    q.update(n, json.dumps({"retry": {"max_attempts": 7}, "timeout": "2h", "lease": "30s", "tags": [],
                            "name": "new", "experiment": "e1"}))
    changed = spec(q, n)
    assert changed["retry"] == {"max_attempts": 7, "backoff": "1s"}, "the rest of a section stays"
    assert changed["timeout"] == "2h" and changed["command"] == ["true"]
    assert q.redis.get(q.key(f"spec:{n}")).count('"tags":[]') == 1, "an empty list stays a list"
    assert (q.job(n)["lease_ms"], q.job(n)["name"], q.job(n)["experiment"]) == ("30000", "new", "e1")
    claim, = q.take()
    assert (json.loads(claim["spec"])["timeout"], claim["lease_ms"]) == ("2h", "30000")


def test_null_is_the_default_again(q):
    n = q.add(priority=9, experiment="e")
    q.update(n, '{"priority":null,"experiment":null}')
    assert q.job(n)["priority"] == "5" and "experiment" not in q.job(n)


def test_resources_change_the_class(q):
    n = q.add(resources={"gpus": 8, "cpus": 2})
    small = {"cpus": 4, "gpus": 1, "memory": 0, "labels": {}}
    assert q.take(free=small) == []
    q.update(n, '{"resources":{"gpus":1}}')
    assert q.job(n)["class"] == "cpu2-gpu1"
    assert q.redis.zcard(q.key("wake:cpu2-gpu1")) == 1
    assert [c["n"] for c in q.take(free=small)] == [n]


def test_texts_survive_as_they_were_given(q):
    text = '{ "command" : ["a/b", "\\u00e9 \\"}", "[,{"],\n "env":{"A":"1,2}","B":""}, "retry" : {"jitter":0.1250} , "tags":[] }'
    n = q.submit(text).split("-")[1]
    q.update(n, '{"priority":3}')
    assert json.loads(q.redis.get(q.key(f"spec:{n}"))) == {**json.loads(text), "priority": 3}
    assert '"jitter":0.1250' in q.redis.get(q.key(f"spec:{n}")) and '"tags":[]' in q.redis.get(q.key(f"spec:{n}"))


@pytest.mark.parametrize("changes, sentence", [
    ({"priority": 10}, "priority: expected an integer from 0 to 9, got 10"),
    ({"delay": "soon"}, "delay: expected a duration"),
    ({"prio": 1}, "prio: unknown key"), ({"retry": {"max_atempts": 1}}, "retry.max_atempts: unknown key"),
    ({"retry": {"max_backoff": "1s"}}, "retry.max_backoff: expected at least retry.backoff"),
    ({"retry": 3}, "retry: expected an object"), ({"resources": {"labels": {"-": "x"}}}, "resources.labels: "),
    ({"command": "rm"}, "command: it cannot be changed"), ({"env": {}}, "env: it cannot be changed"),
    ({"queue": "other"}, "queue: it cannot be changed"), ({"hold": False}, "hold: it cannot be changed"),
    ({"train": {}}, "train: it cannot be changed"), ({"backend": "tinygrad"}, "backend: it cannot be changed"),
    ('{"priority":1,"priority":2}', "changes: priority stands twice"),
    ('{"retry":{"max_lost":1,"max_lost":2}}', "changes: retry.max_lost stands twice"),
    ('{"timeout":1.}', "spec: not valid JSON"), ('{"name":"a\tb"}', "(name|spec): "), ("nonsense", "changes: ")])
def test_wrong_changes(q, changes, sentence):
    n = q.add(retry={"backoff": "5s"})
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.update(n, changes if isinstance(changes, str) else json.dumps(changes))
    assert q.snapshot() == before


def test_too_large_a_change(q):
    n = q.add(env={"A": "x" * 130000})
    q.redis.set(q.key(f"spec:{n}"), json.dumps({"command": ["true"], "env": {f"A{i}": "x" * 130000 for i in range(2)}}))
    with pytest.raises(ResponseError, match="^INVALID spec: expected at most 262144 bytes"):
        q.update(n, json.dumps({"tags": ["t" * 60 + f"{i:02}" for i in range(32)]}))


def test_a_class_too_many(q):
    n = q.add()
    q.redis.hset(q.key("classes"), mapping={f"cpu{i}": "{}" for i in range(1000, 1255)})
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^FULL queue default has 256 resource classes"):
        q.update(n, '{"resources":{"cpus":77}}')
    assert q.snapshot() == before


def test_strangers_in_the_way(q):
    n = q.add()
    q.redis.set(q.key("ready:cpu1:9:-"), "mine")
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^WRONGTYPE"):
        q.update(n, '{"priority":9}')
    assert q.snapshot() == before
    q.redis.delete(q.key("ready:cpu1:9:-"))


# ---------------------------------------------------------------- remove

def test_nothing_of_a_removed_job_is_left(q):
    claim = q.start()
    q.commit(claim, 1, 10)
    q.log(*claim.fence, 1, 1, "stdout", 1, "hello")
    q.metric(*claim.fence, 1, '{"loss":1}')
    q.end(claim, "permanent")
    assert q.remove(1, "ada") == "removed"
    assert not q.redis.keys(q.key("*:1"))
    assert q.redis.zcard(q.key("jobs:failed")) == 0
    assert q.remove(1) == "removed", "it is gone, as was asked"
    assert q.events("job.removed")[0]["actor"] == "ada"
    assert q.end(claim, "succeeded")[0] == "stale"
    with pytest.raises(ResponseError, match="^NOTFOUND"):
        q.show(1)


def test_what_was_lent_survives(q):
    claim = q.start()
    q.commit(claim, 1, 10)
    q.end(claim, "permanent")
    again = q.retry(1, 1).split("-")[1]
    q.remove(1)
    assert q.checkpoints(again) == {"0-1": "committed"}
    assert q.take()[0]["resume"] == "0-1"


# ---------------------------------------------------------------- many jobs a call

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


# ---------------------------------------------------------------- pages

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


# ---------------------------------------------------------------- beside limits by key

def limited(q, **more):
    return q.add(concurrency={"key": "k", "max": 1}, **more)


def test_a_held_job_gives_its_slot_to_the_next(q):
    first, second = limited(q), limited(q)
    q.hold(first)
    assert q.state(second) == "queued"
    assert q.release(first) == "waiting" and q.job(first)["reason"] == "limit"
    q.end(q.take()[0], "succeeded")
    assert q.state(first) == "queued"


def test_one_that_waits_in_line_is_held_out_of_it(q):
    first, second, third = limited(q), limited(q), limited(q)
    q.hold(second)
    q.cancel(first)
    assert (q.state(second), q.state(third)) == ("waiting", "queued")
    q.cancel(third)
    assert q.job(second)["reason"] == "held"
    assert q.release(second) == "queued"


def test_priority_counts_in_line(q):
    first, second, third = limited(q), limited(q), limited(q)
    assert q.update(third, '{"priority":9}') == "waiting"
    q.cancel(first)
    assert (q.state(second), q.state(third)) == ("waiting", "queued")
    with pytest.raises(ResponseError, match="^CONFLICT job default-2 waits for something else than time"):
        q.update(second, '{"delay":"1h"}')
    assert q.update(third, '{"delay":"1h"}') == "waiting"
    assert q.state(second) == "queued", "what waits for its time needs no slot"


def test_limits_are_not_changed_in_a_job_that_is_there(q):
    n = limited(q)
    with pytest.raises(ResponseError, match="^INVALID concurrency: it cannot be changed"):
        q.update(n, '{"concurrency":{"max":5}}')


def test_a_spec_with_hold_takes_no_slot(q):
    held, other = limited(q, hold=True), limited(q)
    assert q.state(other) == "queued"
    assert q.release(held) == "waiting" and q.job(held)["reason"] == "limit"


@pytest.mark.parametrize("action", ["cancel", "hold"])
def test_a_whole_line_in_one_call(q, action):
    """The slot that one gives back goes to another of the same call, which is then asked for in its turn."""
    numbers = [limited(q) for _ in range(6)]
    answers = q.each(action, "", "", "", *numbers)
    assert {word for word, _ in answers} == {"ok"}
    assert {q.state(n) for n in numbers} == {"cancelled" if action == "cancel" else "waiting"}
    assert q.take(most=10) == []
    if action == "hold":
        assert {q.job(n)["reason"] for n in numbers} == {"held"}
        q.each("release", "held", "", "", *numbers)
        assert len(q.take(most=10)) == 1


def test_a_whole_line_from_its_end(q):
    numbers = [limited(q) for _ in range(6)]
    q.each("hold", "", "", "", *reversed(numbers))
    assert {q.job(n)["reason"] for n in numbers} == {"held"}


def test_retries_of_one_unique_key(q):
    for _ in range(2):
        q.end(q.start(unique={"key": "u"}), "permanent")
    answers = q.each("retry", "", "", "", 1, 2)
    assert answers[0] == ["ok", "default-3"] and answers[1][1].startswith("CONFLICT unique.key")
