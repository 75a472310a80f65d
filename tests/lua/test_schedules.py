"""Recurring jobs: stoker_schedule and its kin, and stoker_fire, which makes one job of each due time."""
import json

import pytest
import redis as redis_errors

NIGHTLY = {"name": "nightly", "cron": "0 3 * * *"}


def text(**more):
    rule = {**NIGHTLY, **more.pop("rule", {})}
    return json.dumps({"name": "train", "command": ["true"], "schedule": {k: v for k, v in rule.items() if v}, **more})


def of(q, name="nightly"):
    return q.redis.hgetall(q.key("schedule:" + name))


def due(q):
    now, following, *found = q.due()
    names = ["name", "revision", "cron", "every_ms", "zone", "missed", "anchor_ms", "from_ms", "next_ms"]
    return int(now), following, [dict(zip(names, one)) for one in found]


class Fire:
    """A schedule that is planned, and due times an hour apart that have come."""

    def __init__(self, q, **more):
        self.q, self.at = q, q.now() - 3600000 * 50
        q.schedule(text(**more))
        self.revision = of(q)["revision"]
        assert q.fire("nightly", self.revision, 0, 0, self.at) == ["planned", "", str(self.at)]

    def __call__(self, due=None, following=None, expected=None):
        expected = self.at if expected is None else expected
        due = expected if due is None else due
        following = following or max(due, expected) + 3600000
        answer = self.q.fire("nightly", self.revision, expected, due, following)
        if answer[0] != "stale":
            self.at = following
        return answer


def refused(call, *args):
    with pytest.raises(redis_errors.ResponseError) as error:
        call(*args)
    return str(error.value)


# ---------------------------------------------------------------- making and changing

def test_a_new_one_is_to_be_planned(q):
    before = q.now()
    assert q.schedule(text(rule={"zone": "Europe/Berlin", "overlap": "queue", "missed": "all"}), "cli:ada") == "created"
    s = of(q)
    assert {k: s[k] for k in ("cron", "zone", "overlap", "missed", "next_ms", "actor")} == {
        "cron": "0 3 * * *", "zone": "Europe/Berlin", "overlap": "queue", "missed": "all", "next_ms": "0",
        "actor": "cli:ada"}
    assert before <= int(s["from_ms"]) <= q.now() and s["from_ms"] == s["anchor_ms"] == s["created_ms"]
    assert q.events("schedule.created")[0]["schedule"] == "nightly"
    now, following, found = due(q)
    assert (following, [one["name"] for one in found]) == (-1, ["nightly"])
    assert found[0]["cron"] == "0 3 * * *" and found[0]["every_ms"] == "" and now >= before
    assert q.redis.hget(q.key("meta"), "next") == "0", "no job yet"


def test_the_same_again_changes_nothing(q):
    q.schedule(text())
    before = q.snapshot()
    assert q.schedule(text()) == "unchanged"
    assert q.snapshot() == before


def test_another_spec_keeps_the_due_time_another_rule_does_not(q):
    fire = Fire(q)
    assert q.schedule(text(command=["false"])) == "changed"
    assert of(q)["next_ms"] == str(fire.at)
    assert fire()[0] == "stale", "what was worked out for the old one does not count"
    assert q.schedule(text(command=["false"], rule={"zone": "Asia/Tokyo"})) == "changed"
    assert of(q)["next_ms"] == "0"
    assert q.schedule(text(rule={"cron": None, "every": "10s"})) == "changed"
    s = of(q)
    assert s["every_ms"] == "10000" and "cron" not in s and "zone" not in s
    assert [e["event"] for e in q.events("schedule.created", "schedule.changed")] == ["schedule.created"] + [
        "schedule.changed"] * 3


def test_a_spec_of_one_job_is_no_schedule_and_the_reverse(q):
    assert refused(q.schedule, '{"command":["true"]}').startswith("INVALID schedule: required")
    assert refused(q.submit, text()).startswith("INVALID schedule: this is a recurring job")
    assert refused(q.schedule, text(queue="other")).startswith("INVALID queue: the spec says other")
    assert refused(q.schedule, text(priority=10)).startswith("INVALID priority: expected an integer from 0 to 9")


def test_there_are_at_most_a_thousand(q):
    for i in range(1000):
        q.schedule(text(rule={"name": f"s{i}"}))
    assert refused(q.schedule, text()).startswith("FULL queue default has 1000 schedules")
    assert q.schedule(text(rule={"name": "s7"}, command=["false"])) == "changed"
    assert len(json.loads(q.schedules())["schedules"]) == 1000
    assert [len(q.due(offset)) - 2 for offset in (0, 100, 950, 1000)] == [100, 100, 50, 0]


def test_deleting(q):
    fire = Fire(q)
    fire()
    assert q.unschedule("nightly", "cli:ada") == "deleted"
    assert not q.redis.keys("*schedule*")
    assert q.state(1) == "queued", "its jobs stay"
    assert refused(q.unschedule, "nightly").startswith("NOTFOUND no schedule nightly in queue default")
    assert fire()[0] == "stale"


# ---------------------------------------------------------------- firing

def test_one_job_for_each_due_time(q):
    fire = Fire(q)
    at = fire.at
    what, job, following = fire()
    assert (what, job, following) == ("fired", "default-1", str(at + 3600000))
    j = q.job(1)
    assert (j["schedule"], j["scheduled_ms"], j["actor"], j["state"]) == ("nightly", str(at), "schedule:nightly",
                                                                         "queued")
    s = of(q)
    assert (s["last"], s["last_ms"], s["last_job"], s["fired"]) == ("fired", str(at), "1", "1")
    event = q.events("job.submitted")[0]
    assert (event["schedule"], event["due_ms"], event["job"]) == ("nightly", str(at), "default-1")
    assert json.loads(q.redis.get(q.key("spec:1")))["schedule"]["name"] == "nightly"
    claim = q.take()[0]
    assert claim["scheduled_ms"] == str(at)
    q.end(claim, "succeeded")
    assert fire()[1] == "default-2"


def test_who_comes_second_does_nothing(q):
    fire = Fire(q)
    at = fire.at
    first = fire()
    before = q.snapshot()
    assert q.fire("nightly", fire.revision, at, at, at + 3600000) == first, "the same sent again: the same answer"
    assert q.fire("nightly", fire.revision, at, at - 0, at + 7200000) == first
    assert q.fire("nightly", fire.revision, at - 1, at + 1, at + 2)[0] == "stale"
    assert q.fire("nightly", fire.revision, at + 1, at + 1, at + 2)[0] == "stale"
    assert q.fire("nightly", "1", at + 3600000, at + 3600000, at + 7200000)[0] == "stale"
    assert q.fire("nobody", fire.revision, at, at, at + 1)[0] == "stale"
    assert q.snapshot() == before


def test_times_that_cannot_be(q):
    fire = Fire(q)
    future = q.now() + 60000
    before = q.snapshot()
    assert q.fire("nightly", fire.revision, fire.at, future, future + 1) == ["early", "", str(fire.at)]
    assert q.snapshot() == before
    assert refused(fire, fire.at, fire.at).startswith("INVALID next due time")
    assert refused(fire, fire.at - 1).startswith("INVALID due time: expected one from")
    assert refused(q.fire, "nightly", fire.revision, 0, 5, 6).startswith("INVALID due time: expected one from a time")
    assert refused(q.fire, "nightly", fire.revision, "x", 5, 6).startswith("INVALID expected due time")
    assert refused(q.fire, "a b", fire.revision, 1, 5, 6).startswith("INVALID schedule: expected a name")


def test_missed_ones_are_told(q):
    fire = Fire(q)
    at = fire.at
    assert fire(at + 7200000)[0] == "fired"
    missed = q.events("schedule.missed")[0]
    assert (missed["from_ms"], missed["to_ms"]) == (str(at), str(at + 7200000))
    at = fire.at
    assert fire(0)[:2] == ["missed", ""]
    assert q.events("schedule.missed")[1]["from_ms"] == str(at)
    assert of(q)["fired"] == "1"


def test_a_full_queue_keeps_the_due_time(q):
    fire = Fire(q)
    q.redis.hset(q.key("meta"), "max_jobs", 1)
    q.add()
    before = q.snapshot()
    assert refused(fire).startswith("FULL queue default has 1 unfinished jobs")
    assert q.snapshot() == before
    q.cancel(1)
    assert fire()[:2] == ["fired", "default-2"]


def test_a_delay_of_the_spec_counts_from_the_due_time_on(q):
    fire = Fire(q, delay="1h")
    assert fire()[0] == "fired"
    assert (q.state(1), q.job(1)["reason"]) == ("waiting", "delay")


# ---------------------------------------------------------------- overlap

def test_skip(q):
    fire = Fire(q)
    fire()
    assert fire()[:2] == ["skipped", ""]
    claim = q.take()[0]
    at = fire.at
    assert fire()[0] == "skipped"
    assert q.fire("nightly", fire.revision, at, at, at + 3600000)[0] == "skipped", "sent again"
    assert [e["reason"] for e in q.events("schedule.skipped")] == ["default-1 is queued", "default-1 is running"]
    assert of(q)["skipped"] == "2"
    q.end(claim, "error")  # it will be tried again: it has not ended
    assert fire()[0] == "skipped"
    q.cancel(1)
    assert fire()[1] == "default-2"


def test_queue_runs_one_after_the_other(q):
    fire = Fire(q, rule={"overlap": "queue"})
    assert [fire()[1] for _ in range(3)] == ["default-1", "default-2", "default-3"]
    assert [q.state(n) for n in (1, 2, 3)] == ["queued", "waiting", "waiting"]
    assert (q.job(2)["reason"], q.job(2)["behind"], q.job(3)["behind"]) == ("overlap", "1", "2")
    claim = q.take()[0]
    for n in (2, 3):
        q.hurry(n)
    assert [q.state(n) for n in (2, 3)] == ["waiting", "waiting"], "the first still runs"
    assert q.take() == []
    q.end(claim, "succeeded")
    q.hurry(3)
    assert q.state(3) == "waiting"
    q.hurry(2)
    assert q.state(2) == "queued"
    q.cancel(2)
    q.hurry(3)
    assert q.state(3) == "queued", "a cancelled one holds nobody"


def test_held_ones_can_be_hurried_by_hand_and_forgotten_ones_hold_nobody(q):
    fire = Fire(q, rule={"overlap": "queue"})
    for _ in range(3):
        fire()
    q.retry(2, 0)
    assert q.state(2) == "queued"
    q.redis.hset(q.key("meta"), "max_finished", 0)
    q.cancel(2)
    q.prune()
    q.hurry(3)
    assert q.state(3) == "queued"


def test_queue_is_bounded(q):
    fire = Fire(q, rule={"overlap": "queue"})
    fire.at = q.now() - 1000 * 3600000
    q.redis.hset(q.key("schedule:nightly"), "next_ms", fire.at)
    answers = [fire()[0] for _ in range(103)]
    assert answers == ["fired"] * 101 + ["skipped"] * 2
    assert q.events("schedule.skipped")[0]["reason"] == "100 jobs wait for each other already"


def test_replace(q):
    fire = Fire(q, rule={"overlap": "replace"})
    fire()
    assert fire()[1] == "default-2"
    assert [q.state(n) for n in (1, 2)] == ["cancelled", "queued"], "what did not run goes at once"
    claim = q.take()[0]
    assert fire()[1] == "default-3"
    assert (q.job(2)["stop"], q.state(3), q.job(3)["behind"]) == ("cancel", "waiting", "2")
    assert fire()[1] == "default-4"
    assert (q.state(3), q.state(4), q.job(4)["behind"]) == ("cancelled", "waiting", "2"), "the stopping one counts"
    q.hurry(4)
    assert q.state(4) == "waiting"
    assert q.end(claim, "cancelled") == ["ok", "cancelled"]
    q.hurry(4)
    assert q.state(4) == "queued"
    assert {e["actor"] for e in q.events("job.cancelled") if e["job"] != "default-2"} == {"schedule:nightly"}


def test_a_retry_is_for_the_same_due_time(q):
    fire = Fire(q)
    at = fire.at
    fire()
    q.end(q.take()[0], "permanent")
    assert q.retry(1, 1) == "default-2"
    assert (q.job(2)["schedule"], q.job(2)["scheduled_ms"]) == ("nightly", str(at))
    claim = q.take()[0]
    assert claim["scheduled_ms"] == str(at)
    assert fire()[0] == "skipped", "it counts as the last job"
    q.end(claim, "succeeded")
    assert fire()[0] == "fired"


# ---------------------------------------------------------------- pause, refuse

def test_pause_and_resume(q):
    fire = Fire(q)
    assert q.schedule_pause("nightly", "pause", "cli:ada") == "paused"
    before = q.snapshot()
    assert q.schedule_pause("nightly", "pause") == "paused"
    assert q.snapshot() == before
    assert fire()[0] == "stale" and due(q)[2] == []
    assert q.schedule(text(command=["false"])) == "changed" and due(q)[2] == [], "a change does not resume it"
    resumed = q.now()
    assert q.schedule_pause("nightly", "resume") == "resumed" == q.schedule_pause("nightly", "resume")
    s = of(q)
    assert s["next_ms"] == "0" and int(s["from_ms"]) >= resumed, "what was due meanwhile is not made up for"
    assert len(due(q)[2]) == 1
    assert [e["event"] for e in q.events("schedule.paused", "schedule.resumed")] == ["schedule.paused",
                                                                                     "schedule.resumed"]
    assert refused(q.schedule_pause, "nightly", "stop") == 'INVALID what: expected pause or resume, got "stop"'
    assert refused(q.schedule_pause, "nobody", "pause").startswith("NOTFOUND")


def test_one_that_no_scheduler_understands(q):
    q.schedule(text(rule={"cron": "61 * * * *"}))
    revision = of(q)["revision"]
    assert q.schedule_refuse("nightly", "1", "why") == "stale"
    assert q.schedule_refuse("nightly", revision, "schedule.cron: minute: expected 0 to 59, got 61") == "ok"
    before = q.snapshot()
    assert q.schedule_refuse("nightly", revision, "again") == "ok"
    assert q.snapshot() == before
    assert due(q)[2] == [] and of(q)["error"].startswith("schedule.cron: minute")
    assert q.events("schedule.refused")[0]["error"].startswith("schedule.cron: minute")
    assert refused(q.schedule_refuse, "nightly", revision, "").startswith("INVALID error")
    assert q.schedule(text()) == "changed"
    assert "error" not in of(q) and len(due(q)[2]) == 1


# ---------------------------------------------------------------- reading

def test_the_list_says_what_became_of_the_last_job(q):
    fire = Fire(q)
    q.schedule(text(rule={"name": "a", "cron": None, "every": 60}))
    fire()
    q.end(q.take()[0], "permanent", error="no data")
    listed = json.loads(q.schedules())
    assert [s["name"] for s in listed["schedules"]] == ["a", "nightly"] and listed["queue"] == "default"
    last = listed["schedules"][1]
    assert (last["last_id"], last["last_state"], last["last_error"]) == ("default-1", "failed", "no data")
    shown = json.loads(q.redis.fcall_ro("stoker_schedule_show", 1, q.key("meta"), "nightly"))
    assert shown["schedule"] == last and shown["spec"]["command"] == ["true"]
    assert refused(q.schedule_show, "nobody").startswith("NOTFOUND")
    assert json.loads(q.redis.fcall_ro("stoker_schedules", 1, q.key("meta"))) ["schedules"] == listed["schedules"]


# ---------------------------------------------------------------- strangers

@pytest.mark.parametrize("key", ["schedules", "schedule:nightly", "schedule-spec:nightly", "events"])
def test_a_strange_key_refuses_before_anything_is_written(q, key):
    fire = None if key == "events" else Fire(q)
    q.redis.delete(q.key(key))
    q.redis.lpush(q.key(key), "x")
    before = q.snapshot()
    for call, *args in [(q.schedule, text(command=["false"])), (q.unschedule, "nightly"),
                        (q.schedule_pause, "nightly", "pause"), (q.schedule_refuse, "nightly", "1", "x")]:
        assert refused(call, *args).startswith("WRONGTYPE"), call
    if fire:
        assert refused(fire).startswith("WRONGTYPE")
    assert q.snapshot() == before
    q.redis.delete(q.key("schedules"), q.key("schedule:nightly"), q.key("schedule-spec:nightly"), q.key("events"))


def test_a_strange_entry_of_the_index_is_nobody(q):
    q.redis.zadd(q.key("schedules"), {"x": 1, "nightly": 2})
    q.redis.lpush(q.key("schedule:x"), "x")
    assert due(q)[2] == [] and json.loads(q.schedules())["schedules"] == []
    q.redis.delete(q.key("schedules"), q.key("schedule:x"))


def test_a_lane_in_the_way_of_the_replaced_job(q):
    fire = Fire(q, rule={"overlap": "replace"})
    fire()
    lane = q.key("ready:" + q.job(1)["lane"])
    kept = q.redis.dump(lane)
    q.redis.set(lane, "x")
    before = q.snapshot()
    assert refused(fire).startswith("WRONGTYPE")
    assert q.snapshot() == before
    q.redis.restore(lane, 0, kept, replace=True)


def test_a_spec_that_is_gone(q):
    fire = Fire(q)
    spec = q.redis.get(q.key("schedule-spec:nightly"))
    q.redis.delete(q.key("schedule-spec:nightly"))
    assert refused(fire) == "INVALID the spec of schedule nightly is gone"
    q.redis.set(q.key("schedule-spec:nightly"), spec)


# ---------------------------------------------------------------- with limits and unique keys

def test_a_unique_key_that_another_job_has_leaves_the_due_time_out(q):
    fire = Fire(q, rule={"overlap": "queue"}, unique={"key": "report"})
    assert fire()[1] == "default-1"
    before = q.job(1)
    assert fire()[:2] == ["skipped", ""]
    assert q.events("schedule.skipped")[0]["reason"].startswith("unique.key: job default-1 (queued) has the key")
    assert q.job(1) == before
    q.cancel(1)
    assert fire()[1] == "default-2"


def test_a_replaced_job_gives_its_slot_back(q):
    fire = Fire(q, rule={"overlap": "replace"}, concurrency={"key": "gpu", "max": 1})
    fire()
    q.add(concurrency={"key": "gpu", "max": 1})
    assert q.state(2) == "waiting"
    assert fire()[1] == "default-3"
    assert [q.state(n) for n in (1, 2, 3)] == ["cancelled", "queued", "waiting"], "who stood in line goes first"
    assert q.job(3)["reason"] == "limit"


def test_what_waited_for_the_one_before_still_needs_a_slot(q):
    fire = Fire(q, rule={"overlap": "queue"}, concurrency={"key": "gpu", "max": 1})
    fire(), fire()
    assert q.job(2)["reason"] == "overlap"
    q.end(q.take()[0], "succeeded")
    claim = q.start(concurrency={"key": "gpu", "max": 1})
    q.hurry(2)
    assert (q.state(2), q.job(2)["reason"]) == ("waiting", "limit")
    q.end(claim, "succeeded")
    assert q.state(2) == "queued"


def spoiled_chain(q, spoil):
    """Three of a schedule that wait for each other, of which something is spoiled; what the next due time makes."""
    fire = Fire(q, rule={"overlap": "queue"})
    for _ in range(3):
        fire()
    spoil(q)
    return fire()


@pytest.mark.parametrize("spoil, what", [
    (lambda q: q.redis.delete(q.key("job:2")), "fired"), (lambda q: q.redis.hdel(q.key("job:3"), "behind"), "fired"),
    (lambda q: q.set_job(3, state="running"), "fired"),
    (lambda q: q.set_job(3, behind="3"), "skipped")])  # for ever
def test_a_chain_that_is_spoiled_ends_somewhere(spoiled, spoil, what):
    assert spoiled_chain(spoiled, spoil)[0] == what


def test_one_that_waits_for_nobody_goes(spoiled):
    q = spoiled
    spoiled_chain(q, lambda q: q.redis.hdel(q.key("job:3"), "behind"))
    q.hurry(3)
    assert q.state(3) == "queued"


def test_the_answer_says_when_the_next_one_is_due(q):
    for name, at in (("a", 20000), ("b", 10000)):
        q.schedule(text(rule={"name": name}))
        revision = of(q, name)["revision"]
        q.fire(name, revision, 0, 0, q.now() + at)
    assert 9000 < due(q)[1] <= 10000
