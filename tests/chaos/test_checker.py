"""The checker against histories that are bad in one way each: one that cannot fail would prove nothing."""
import pytest

import checker


def good():
    """A job that was lost once, resumed, and succeeded; a cancel, a flag and a ghost, all as they should be."""
    def log(attempt, first, text):
        return {"attempt": attempt, "first": first, "lines": text.count("\n") + 1, "stream": "stdout", "text": text}

    def ledger(f, attempt, step, folder="/w0/runs/a"):
        return {"type": "ledger", "f": f, "job": "default-1", "attempt": attempt, "step": step, "at": 1.0,
                "folder": folder}
    names = [("job.submitted", 0), ("job.claimed", 1), ("job.lost", 1), ("job.claimed", 2), ("job.succeeded", 2)]
    return [
        {"type": "plan", "key": "k1", "steps": 3, "program": "ok", "policy": "stop", "end": "succeeded"},
        {"type": "plan", "key": "k2", "steps": 3, "program": "ok", "policy": "continue", "end": "succeeded"},
        {"type": "invoke", "op": 1, "f": "submit", "key": "k1"}, {"type": "info", "op": 1, "answer": "timed out"},
        {"type": "invoke", "op": 2, "f": "submit", "key": "k1"}, {"type": "ok", "op": 2, "answer": "default-1"},
        {"type": "invoke", "op": 3, "f": "submit", "key": "k2"}, {"type": "ok", "op": 3, "answer": "default-2"},
        {"type": "invoke", "op": 4, "f": "corrupt", "job": "default-1", "attempt": 1},
        {"type": "ok", "op": 4, "answer": {"state": "running"}},
        {"type": "invoke", "op": 5, "f": "cancel", "job": "default-2"}, {"type": "ok", "op": 5, "answer": "cancelled"},
        {"type": "invoke", "op": 6, "f": "stale finish", "job": "default-1", "token": "5"},
        {"type": "fail", "op": 6, "answer": "STALE"},
        {"type": "seen", "job": "default-1", "attempt": 1, "token": "5"},
        {"type": "seen", "job": "default-1", "attempt": 2, "token": "6"},
        ledger("begin", 1, 0), ledger("begin", 2, 2), ledger("end", 2, 3),
        *[{"type": "event", "event": name, "job": "default-1", "attempt": attempt} for name, attempt in names],
        {"type": "event", "event": "job.cancelled", "jobs": "default-2:0"},
        {"type": "final", "job": "default-1", "name": "k1", "state": "succeeded", "attempt": 2, "token": "6",
         "checkpoints": {"1-1": ""}, "log": [log(1, 1, "step=1 loss=1\nstep=2 loss=1"), log(2, 1, "step=3 loss=1")]},
        {"type": "final", "job": "default-2", "name": "k2", "state": "cancelled", "attempt": 0, "token": "",
         "checkpoints": {}, "log": []},
    ]


def entry(history, **fields):
    return next(e for e in history if all(e.get(name) == value for name, value in fields.items()))


def final(history, job="default-1"):
    return entry(history, type="final", job=job)


BAD = {}


def bad(name):
    def add(function):
        BAD[f"{name}: {function.__name__}"] = (name, function)
        return function
    return add


@bad("lost")
def gone(h):
    h.remove(final(h, "default-2"))


@bad("lost")
def still_running(h):
    final(h, "default-2")["state"] = "running"


@bad("unexpected")
def never_acknowledged(h):
    h.append({**final(h, "default-2"), "job": "default-3", "name": "k3"})


@bad("unexpected")
def ran_unasked(h):
    h.append({**entry(h, f="begin"), "job": "default-9"})


@bad("duplicated")
def two_answers(h):
    h += [{"type": "invoke", "op": 7, "f": "submit", "key": "k1"}, {"type": "ok", "op": 7, "answer": "default-2"}]


@bad("duplicated")
def two_jobs(h):
    h.append({**final(h, "default-2"), "job": "default-3", "name": "k1"})


@bad("finished-twice")
def two_ends(h):
    h.append({"type": "event", "event": "job.succeeded", "job": "default-1", "attempt": 2})


@bad("finished-twice")
def another_end(h):
    entry(h, event="job.succeeded")["event"] = "job.failed"


@bad("finished-twice")
def goes_on(h):
    h.append({"type": "event", "event": "job.claimed", "job": "default-1", "attempt": 3})


@bad("wrong-end")
def failed(h):
    final(h)["state"] = "failed"


@bad("wrong-end")
def cancelled_by_nobody(h):
    final(h)["state"] = "cancelled"


@bad("unearned")
def never_ended(h):
    h.remove(entry(h, f="end"))


@bad("stale-accepted")
def said_yes(h):
    entry(h, type="fail", op=6)["type"] = "ok"


@bad("stale-accepted")
def ghost_in_the_log(h):
    final(h)["log"][0]["text"] = "a ghost"


@bad("stale-accepted")
def ghost_among_the_checkpoints(h):
    final(h)["checkpoints"]["1-99"] = ""


@bad("token-order")
def falls(h):
    entry(h, type="seen", attempt=1)["token"] = "7"


@bad("token-order")
def two_of_one_attempt(h):
    entry(h, type="seen", attempt=1)["attempt"] = 2


@bad("log-hole")
def missing_line(h):
    final(h)["log"][0].update(lines=1, first=2, text="step=2 loss=1")


@bad("log-hole")
def missing_tail(h):
    entry(h, type="plan", key="k1")["steps"] = 4


@bad("torn-checkpoint")
def not_whole(h):
    final(h)["checkpoints"]["1-1"] = "the hash of a block"


@bad("torn-checkpoint")
def resumed_from_rubbish(h):
    h.append({**entry(h, f="begin"), "f": "wrong"})


@bad("cancel-ignored")
def succeeded_all_the_same(h):
    final(h, "default-2")["state"] = "succeeded"


@bad("cancel-ignored")
def claimed_all_the_same(h):
    h.append({"type": "event", "event": "job.claimed", "job": "default-2", "attempt": 1})


@bad("flag-ignored")
def flagged_and_succeeded(h):
    entry(h, f="corrupt")["attempt"] = 2


@bad("overlap")
def between_machines(h):
    h.append({**entry(h, f="begin"), "f": "overlap", "folder": "/w1/runs/b"})


@bad("overlap")
def on_one_machine(h):
    entry(h, type="plan", key="k1")["policy"] = "continue"
    h.append({**entry(h, f="begin"), "f": "overlap"})


def test_a_good_history_has_no_violation():
    assert {k: v for k, v in checker.check(good()).items() if v} == {}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_told(name):
    expected, spoil = BAD[name]
    history = good()
    spoil(history)
    assert checker.check(history)[expected]


def test_every_kind_can_be_told():
    assert {kind for kind, _ in BAD.values()} == set(checker.KINDS)


def test_an_explicit_gap_is_no_hole():
    history = good()
    final(history)["log"][0].update(stream="gap", text="2 lines were skipped")
    assert not checker.check(history)["log-hole"]


def test_two_machines_may_overlap_where_nobody_asked_for_less():
    history = good()
    entry(history, type="plan", key="k1")["policy"] = "continue"
    history.append({**entry(history, f="begin"), "f": "overlap", "folder": "/w1/runs/b"})
    assert not checker.check(history)["overlap"]
