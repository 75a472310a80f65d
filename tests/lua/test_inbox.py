"""Inboxes: an app that may only XADD gets its job in or a readable answer, and can hurt only itself."""
import json

import pytest
from redis.exceptions import ResponseError

from harness import wait_until

GOOD = json.dumps({"command": ["true"], "lease": "1s"})
LARGEST = "18446744073709551615-18446744073709551615"


class App:
    """All that the app has: its two streams."""

    def __init__(self, q, name="app"):
        self.q, self.inbox, self.reply = q, q.key("inbox:" + name), q.key("reply:" + name)

    def put(self, spec=GOOD, entry="*", **fields):
        return self.q.redis.xadd(self.inbox, {"spec": spec, **fields}, id=entry)

    def answers(self):
        return [fields for _, fields in self.q.redis.xrange(self.reply)]

    def last(self):
        return self.answers()[-1]


@pytest.fixture
def app(q):
    assert q.submitter("add", "app", "ada") == "added"
    return App(q)


def test_an_entry_becomes_a_job_and_is_answered(q, app):
    entry = app.put()
    assert q.inbox() == [1, -1]
    assert app.answers() == [{"entry": entry, "job": "default-1"}]
    assert q.job(1)["actor"] == "inbox:app" and q.job(1)["state"] == "queued"
    assert q.inbox() == [0, -1]
    assert len(app.answers()) == 1
    assert q.redis.exists(app.inbox), "its ids must not come twice"
    wait_until(lambda: q.inbox() == [0, -1] and not q.redis.exists(app.inbox), what="an empty inbox goes")


BAD = [
    ({"spec": "{"}, "INVALID spec: not valid JSON"),
    ({"spec": '{"command":[]}'}, "INVALID command: expected a text, or a list of 1 to 1024 texts, got an empty list"),
    ({"spec": '{"command":"x","queue":"gpu"}'},
     "INVALID queue: the spec says gpu, but it was submitted to queue default"),
    ({"spec": "[" * 5000}, "INVALID spec: not valid JSON"),
    ({"spec": b"\xff\xfe"}, "INVALID spec: expected UTF-8 text"),
    ({"spec": " " * 1000000}, "INVALID spec: expected at most 262144 bytes, got 1000000"),
    ({"spec": GOOD, "key": "a b"}, "INVALID idempotency key: expected 1 to 128 printable ASCII"),
    ({"spec": GOOD, "key": "x" * 129}, "INVALID idempotency key: expected 1 to 128 printable ASCII"),
    ({"x": "y"}, 'INVALID inbox: unknown field "x"; known here: spec, key'),
    ({"spec": GOOD, b"\xff": "y"}, "INVALID inbox: unknown field a name that is not UTF-8"),
    ({"key": "k"}, "INVALID inbox: the field spec is missing"),
    ({str(i): "x" for i in range(2000)}, "INVALID inbox: expected the fields spec and key, got 2000 fields"),
]


@pytest.mark.parametrize("fields, says", BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_said_and_gone(q, app, fields, says):
    entry = q.redis.xadd(app.inbox, fields)
    app.put()
    q.inbox()
    first, second = app.answers()
    assert first["entry"] == entry and first["error"].startswith(says), first
    assert second["job"] == "default-1", "the entry behind it is not touched"
    assert q.redis.xlen(app.inbox) == 0


def test_a_field_that_stands_twice(q, app):
    q.redis.execute_command("XADD", app.inbox, "*", "spec", GOOD, "spec", GOOD)
    q.inbox()
    assert app.last()["error"] == "INVALID inbox: the field spec stands twice"


def test_a_key_makes_one_job_of_two_entries(q, app):
    app.put(key="k1")
    app.put(key="k1")
    q.inbox()
    app.put(key="k1")
    q.inbox()
    app.put('{"command":"other"}', key="k1")
    q.inbox()
    assert [a.get("job") for a in app.answers()[:3]] == ["default-1"] * 3
    assert app.last()["error"].startswith('CONFLICT the idempotency key "k1" was used for another spec')


def test_keys_of_two_submitters_do_not_meet(q, app):
    """Nor those of everybody else: one cannot learn another's job by guessing its key."""
    q.submitter("add", "b")
    other = App(q, "b")
    assert q.add("k") == "1"
    app.put(key="k")
    other.put(key="k")
    q.inbox()
    q.inbox()
    assert (app.last()["job"], other.last()["job"]) == ("default-2", "default-3")


def test_nobody_reads_for_who_was_not_let_in(q):
    stranger = App(q, "stranger")
    stranger.put()
    assert q.inbox() == [0, -1]
    assert q.redis.xlen(stranger.inbox) == 1
    q.redis.delete(stranger.inbox)


def test_the_largest_id_closes_nothing(q, app):
    app.put(entry=LARGEST)
    with pytest.raises(ResponseError):
        app.put()
    q.inbox()
    assert app.last() == {"entry": LARGEST, "job": "default-1"}
    app.put()
    q.inbox()
    assert app.last()["job"] == "default-2"


def test_nor_does_trimming_at_the_largest_id(q, app):
    q.redis.execute_command("XADD", app.inbox, "MAXLEN", 0, LARGEST, "spec", GOOD)
    assert q.redis.xlen(app.inbox) == 0 and q.redis.exists(app.inbox)
    q.inbox()
    app.put()
    q.inbox()
    assert app.last()["job"] == "default-1"


def test_a_flood_is_cut_and_others_get_their_turn(q, app):
    q.submitter("add", "calm")
    calm = App(q, "calm")
    with q.redis.pipeline(transaction=False) as pipe:
        for _ in range(10500):
            pipe.xadd(app.inbox, {"spec": GOOD})
        pipe.execute()
    calm.put()
    assert q.inbox() == [100, 0]
    assert app.answers()[0]["error"].startswith("FULL 500 entries were dropped unread, the oldest")
    assert q.inbox() == [1, 0], "the other one has its turn"
    assert calm.last()["job"] == "default-101"
    assert q.inbox() == [100, 0]
    assert q.redis.xlen(app.inbox) == 9800
    assert q.redis.xlen(app.reply) < 1200, "answers are capped"
    q.redis.delete(app.inbox)


def test_a_mountain_is_dropped_before_it_is_read(q, app):
    for _ in range(17):
        app.put(" " * 1000000)
    assert q.inbox() == [0, -1]
    (said,) = app.answers()
    assert said["error"].startswith("FULL all 17 entries were dropped unread: the inbox held 17")
    assert not q.redis.exists(app.inbox)


def test_large_entries_are_few_a_call(q, app):
    for _ in range(10):
        app.put(" " * 1000000)
    assert q.inbox()[0] in (2, 3)
    q.redis.delete(app.inbox)


def test_a_full_queue_is_an_answer(q, app):
    q.redis.hset(q.key("meta"), "max_jobs", 1)
    app.put()
    app.put()
    q.inbox()
    assert app.answers()[0]["job"] == "default-1"
    assert app.last()["error"].startswith("FULL queue default has 1 unfinished jobs")


def test_a_spoiled_reply_stream_begins_again(q, app):
    q.redis.xadd(app.reply, {"a": "b"}, id=LARGEST)
    app.put()
    q.inbox()
    assert app.last()["job"] == "default-1"


def test_letting_in_and_shutting_out(q, app):
    assert q.submitter("add", "app") == "added"
    q.submitter("add", "B-2_x")
    app.put()
    assert json.loads(q.submitters()) == {"submitters": [{"name": "B-2_x", "waiting": 0, "replies": 0},
                                                         {"name": "app", "waiting": 1, "replies": 0}]}
    assert q.submitter("remove", "app") == "removed"
    assert q.submitter("remove", "app") == "removed"
    assert not q.redis.exists(app.inbox)
    assert [(e["event"], e["submitter"], e.get("actor")) for e in q.events("submitter.added", "submitter.removed")] == [
        ("submitter.added", "app", "ada"), ("submitter.added", "B-2_x", None), ("submitter.removed", "app", None)]


@pytest.mark.parametrize("args, says", [
    (("add", ""), 'submitter: expected 1 to 64 letters, digits, hyphens, underscores, got ""'),
    (("add", "a:b"), 'submitter: expected 1 to 64 letters, digits, hyphens, underscores, got "a:b"'),
    (("add", "x" * 65), "submitter: expected 1 to 64 letters"),
    (("add", "a}b"), "submitter: expected 1 to 64 letters"),
    (("drop", "app"), 'expected add or remove, got "drop"'),
    (("add", "app", "a\nb"), "actor: expected 1 to 128 bytes without control characters"),
    (("add", "app", "ada", "x"), "too many arguments: expected at most 3, got 4"),
])
def test_bad_words(q, args, says):
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID ") as error:
        q.submitter(*args)
    assert str(error.value).startswith("INVALID " + says)
    assert q.snapshot() == before


def test_at_most_a_thousand_submitters(q):
    q.redis.sadd(q.key("submitters"), *[f"s{i}" for i in range(1000)])
    with pytest.raises(ResponseError, match="^FULL queue default has 1000 submitters"):
        q.submitter("add", "one-more")
    App(q, "s77").put()
    App(q, "s999").put()
    assert q.inbox() == [1, 0] and q.inbox() == [1, -1]
