"""Code that gc condemns: who names it in time spares it, what is doomed is refused, and what any spec names is told."""
import json

import pytest
from redis.exceptions import ResponseError

A, B, C = "a" * 64, "b" * 64, "0c" * 32


def spec(code, **fields):
    return json.dumps({"command": ["x"], "code": code, **fields})


def uses(q):
    found, cursor = set(), ""
    while True:
        answer = json.loads(q.code_uses(cursor))
        found |= set(answer["code"])
        cursor = answer["cursor"]
        if not cursor:
            return found


WAYS = {
    "submit": lambda q, code: q.submit(spec(code)),
    "bulk": lambda q, code: q.bulk("", spec(code), "", spec(code), "")[0],
    "diff": lambda q, code: q.submit(spec(C, lineage={"git_diff": code})),
    "graph": lambda q, code: q.graph(json.dumps({"jobs": [json.loads(spec(code))]})),
    "stage": lambda q, code: q.stage("s", 1, 0, spec(code)),
    "schedule": lambda q, code: q.schedule(spec(code, schedule={"name": "s", "every": 60})),
    "then": lambda q, code: q.batch("b", json.dumps({"then": json.loads(spec(code))})),
    "sweep": lambda q, code: q.sweep(spec(code, sweep={"grid": {"x": [1]}})),
    "escaped": lambda q, code: q.submit(spec(code).replace(code, "\\u0061" + code[1:])),
}


@pytest.mark.parametrize("way", WAYS)
def test_who_names_it_spares_it(q, way):
    assert json.loads(q.condemn("mark", "run1", A, B)) == [A, B]
    WAYS[way](q, A)
    assert A in uses(q) and B not in uses(q)
    assert json.loads(q.condemn("doom", "run1", A, B)) == [B]
    assert q.redis.smembers(q.key("doomed")) == {B}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_doomed_is_refused(q, way):
    q.condemn("mark", "run1", A)
    q.condemn("doom", "run1", A)
    before = q.snapshot()
    if way == "bulk":
        assert WAYS[way](q, A)[0] == "error"
    else:
        with pytest.raises(ResponseError, match="^CONFLICT .*being deleted"):
            WAYS[way](q, A)
    assert q.snapshot() == before
    q.condemn("done", "run1", A)
    WAYS[way](q, A)


def test_a_retry_spares_it(q):
    claim = q.start(code=A)
    q.end(claim, "permanent")
    q.condemn("mark", "run1", A)
    q.retry(claim["n"], 1)
    assert json.loads(q.condemn("doom", "run1", A)) == []


def test_a_run_dooms_only_what_nobody_named_since_its_own_mark(q):
    """Another gc marks again what a submit had spared: the first must not take that for its own mark."""
    q.condemn("mark", "run1", A)
    q.add(code=A)
    q.condemn("mark", "run2", A)
    assert json.loads(q.condemn("doom", "run1", A)) == []
    q.condemn("doom", "run2", A)
    assert json.loads(q.condemn("mark", "run3", A)) == []  # somebody deletes it
    assert json.loads(q.condemn("ask", "-", A, B)) == [A]


def test_marks_of_a_gc_that_died_go_by_themselves(q):
    q.condemn("mark", "run1", A, B)
    q.condemn("doom", "run1", A)
    assert 0 < q.redis.ttl(q.key("condemned")) <= 86400 and 0 < q.redis.ttl(q.key("doomed")) <= 900


def test_jobs_are_walked_in_parts(q):
    """Those that have ended, and however many numbers stand between."""
    claim = q.start(code=B)
    q.end(claim, "succeeded")
    q.redis.hset(q.key("meta"), "next", 9999)
    q.add(code=A, name="x")
    assert uses(q) == {A, B}
    q.remove(claim["n"])
    assert uses(q) == {A}


@pytest.mark.parametrize("args", [("kill", "r", A), ("mark", "r"), ("mark", "", A), ("mark", "r", "A" * 63),
                                  ("mark", "r", *[A] * 101)])
def test_what_is_wrong_is_refused(q, args):
    with pytest.raises(ResponseError, match="^INVALID"):
        q.condemn(*args)
    with pytest.raises(ResponseError, match="^INVALID"):
        q.code_uses("jobs")


@pytest.mark.parametrize("cursor", ["jobs:" + "1" * 16, "9:0", "1:" + "1" * 21, "odd:1"])
def test_a_cursor_that_is_none(q, cursor):
    with pytest.raises(ResponseError, match="^INVALID cursor: not one of ours"):
        q.code_uses(cursor)


def test_a_diff_alone_and_both_at_once_spare_theirs(q):
    q.condemn("mark", "run1", A, B, C)
    q.submit(json.dumps({"command": ["x"], "lineage": {"git_diff": C}}))
    assert json.loads(q.condemn("doom", "run1", C)) == []
    q.submit(spec(A, lineage={"git_diff": B}))
    assert json.loads(q.condemn("doom", "run1", A, B)) == []


def test_however_many_there_are_all_uses_are_told(q):
    """Over many calls, and where a text is no JSON: what looks like a hash is one."""
    large = [word for i in range(100) for word in (spec(f"{i:064x}", env={"x": "y" * 11000}), "")]
    q.bulk("", *large[:100]), q.bulk("", *large[100:])
    q.add(code=A)
    q.redis.zadd(q.key("outbox"), {f"ask other-{i} 7": 1 for i in range(1, 300)})
    q.schedule(spec(B, schedule={"name": "s", "every": 60}))
    kept = q.redis.get(q.key("schedule-spec:s"))
    q.redis.set(q.key("schedule-spec:s"), "{\\u0061 " + C)
    assert uses(q) == {f"{i:064x}" for i in range(100)} | {A, C}
    q.redis.set(q.key("schedule-spec:s"), kept)
    q.redis.delete(q.key("outbox"))
