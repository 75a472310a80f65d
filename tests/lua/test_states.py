"""Every move of the table in queue/state.c happens, no other does, and the printed page is up to date."""
import re
import subprocess

import pytest
from redis.exceptions import ResponseError

from harness import BUILD, ROOT

PAGE = (ROOT / "docs/states.md").read_text()
MOVES = {(m[0] or "new", m[1], m[2])
         for m in re.findall(r"^\| (\w*) ?\| ([\w-]+) \| (\w+) \|", PAGE.split("| from | event |")[1], re.M)}
STATES = ("waiting", "queued", "running", "succeeded", "failed", "cancelled")
FINAL = STATES[3:]


def test_the_page_is_printed_from_the_table():
    printed = subprocess.run([BUILD / "gen-lua", "--states"], capture_output=True, text=True, check=True).stdout
    assert printed == PAGE, "run make docs"
    assert len(MOVES) == printed.count("\n| ") - 2 - len(STATES), "every row was read"


def test_final_states_absorb():
    assert not [m for m in MOVES if m[0] in FINAL]


def bring(q, state):
    """A job in this state that has run once; answers its claim."""
    claim = q.start()
    if state == "waiting":
        q.end(claim, "error")
    elif state == "queued":
        q.lose(1)
    elif state == "cancelled":
        q.cancel(1)
        q.end(claim, "cancelled")
    elif state in FINAL:
        q.end(claim, {"succeeded": "succeeded", "failed": "permanent"}[state])
    assert q.state(1) == state
    return claim


def succeed_a_parent(q):
    """Of the last job, which is new and waits for it."""
    parent = q.start()
    q.add(after=[parent["id"]])
    q.end(parent, "succeeded")


def offer_next(q, claim, n=1):
    """A runner brings the attempt after this one, which Redis has forgotten."""
    q.adopt(n, claim["uid"], int(claim["token"]) + 1000, "w2", int(claim["attempt"]) + 1, "installation1", "",
            claim["spec"])


# operation → what it does, and the events of the table that it may stand for
OPERATIONS = {
    "promote": (lambda q, c: q.promote(), {"promote"}),
    "promote when due": (lambda q, c: q.state(1) == "waiting" and q.hurry(1), {"promote"}),
    "retry": (lambda q, c: q.retry(1, 1), {"hurry"}),
    "cancel": (lambda q, c: q.cancel(1), {"cancel"}),
    "cancel and end": (lambda q, c: [q.cancel(1), q.end(c, "cancelled")], {"cancel"}),
    "corrupt": (lambda q, c: q.corrupt(1, 1), {"flag"}),
    "corrupt beyond recovery": (lambda q, c: [q.set_job(1, corrupted=9), q.corrupt(1, 1)], {"fail", "flag"}),
    "claim": (lambda q, c: q.take("w2"), {"claim"}),
    "adopt": (lambda q, c: q.adopt(*c.fence, "w2"), {"adopt"}),
    "adopt a later attempt": (offer_next, {"adopt"}),
    "renew": (lambda q, c: q.renew(*c.fence), {"adopt"}),
    "reap": (lambda q, c: q.reap_now(), {"lose"}),
    "reap when expired": (lambda q, c: q.state(1) == "running" and q.lose(1), {"lose"}),
    "checkpoint": (lambda q, c: q.commit(c, 1, 1), {"adopt"}),
    "log": (lambda q, c: q.log(*c.fence, "1", "1", "stdout", "1", "x"), set()),
    "metric": (lambda q, c: q.metric(*c.fence, 1, '{"loss":1}'), set()),
    "prune": (lambda q, c: q.prune(), set()),
    "archive": (lambda q, c: q.archive("99", "0" * 40), set()),
    "archive_take": (lambda q, c: q.archive_take("s1"), set()),
    "hold": (lambda q, c: q.hold(1), {"hold"}),
    "hold and release": (lambda q, c: [q.hold(1), q.release(1)], {"hold", "release", "wait"}),
    "release": (lambda q, c: q.release(1), set()),
    "update the priority": (lambda q, c: q.update(1, '{"priority":9}'), {"requeue"}),
    "update the delay": (lambda q, c: q.update(1, '{"delay":"1h"}'), {"wait"}),
    "take the delay away": (lambda q, c: q.update(1, '{"delay":0}'), {"hurry"}),
    "remove": (lambda q, c: q.remove(1), set()),
    "pause and claim": (lambda q, c: [q.pause("pause"), q.take("w2"), q.pause("resume")], set()),
    **{"finish " + cause: (lambda q, c, cause=cause: q.end(c, cause), {event, "adopt"}) for cause, event in {
        "succeeded": "succeed", "error": "retry", "timeout": "retry", "stalled": "retry", "permanent": "fail",
        "lost": "lose", "preempted": "preempt", "corrupted": "recover", "cancelled": "preempt"}.items()},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_only_the_moves_of_the_table(q, state, operation):
    claim = bring(q, state)
    events = len(q.events())
    function, allowed = OPERATIONS[operation]
    try:
        function(q, claim)
    except ResponseError as error:
        assert re.match("STALE|CONFLICT", str(error))
        assert q.state(1) == state
        return
    after = q.state(1)
    if operation == "remove":
        assert state in FINAL and after is None
        return
    via = {state} | {to for frm, event, to in MOVES if frm == state and event in allowed}
    reachable = via | {to for frm, event, to in MOVES if frm in via and event in allowed}
    assert after in reachable
    if state in FINAL:
        assert after == state
        assert not [e for e in q.events()[events:] if e in ("job.succeeded", "job.failed", "job.cancelled")]


def test_every_move_happens(q):
    seen = set()

    def see(frm, event):
        seen.add((frm, event, q.state(q.redis.hget(q.key("meta"), "next"))))

    def fresh(state):
        q.redis.flushdb()
        q.requests = {}
        q.create("installation1")
        return bring(q, state)
    fresh("failed")
    q.add()
    see("new", "submit")
    q.add(delay="1h")
    see("new", "submit-later")
    offer_next(q, fresh("failed"), 2)
    see("new", "adopt")
    fresh("succeeded")
    succeed_a_parent(q)
    see("waiting", "meet")
    for state, event, operation in [
            ("waiting", "promote", "promote when due"), ("waiting", "hurry", "retry"), ("waiting", "cancel", "cancel"),
            ("waiting", "hold", "hold"), ("waiting", "wait", "update the delay"),
            ("waiting", "adopt", "adopt a later attempt"), ("running", "adopt", "adopt a later attempt"),
            ("waiting", "flag", "corrupt"), ("waiting", "fail", "corrupt beyond recovery"),
            ("queued", "claim", "claim"), ("queued", "adopt", "adopt"), ("queued", "cancel", "cancel"),
            ("queued", "hold", "hold"), ("queued", "wait", "update the delay"),
            ("queued", "requeue", "update the priority"),
            ("queued", "flag", "corrupt"), ("queued", "fail", "corrupt beyond recovery"),
            ("running", "succeed", "finish succeeded"), ("running", "retry", "finish error"),
            ("running", "recover", "finish corrupted"), ("running", "lose", "reap when expired"),
            ("running", "preempt", "finish preempted"), ("running", "cancel", "cancel and end"),
            ("running", "fail", "finish permanent")]:
        claim = fresh(state)
        OPERATIONS[operation][0](q, claim)
        see(state, event)
    fresh("queued")
    q.hold(1)
    q.release(1)
    see("waiting", "release")
    assert seen == MOVES
