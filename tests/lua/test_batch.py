"""Batches: counted as their jobs move, done when all have ended, and followed by a job."""
import hashlib
import json

import pytest
from redis.exceptions import ResponseError

from test_depend import graph, node, run


def batch(q, name):
    return next((b for b in json.loads(q.batches())["batches"] if b["id"] == name), None)


def counts(q, name):
    b = batch(q, name)
    return {s: int(b[s]) for s in ("waiting", "queued", "running", "succeeded", "failed", "cancelled") if b[s] != "0"}


def members(q, name, *args):
    return json.loads(q.members(name, *args))


def test_every_move_is_counted(q):
    for _ in range(4):
        q.add(batch="b")
    q.add(batch="b", delay="1h")
    assert counts(q, "b") == {"queued": 4, "waiting": 1} and batch(q, "b")["total"] == "5"
    one, two, three = q.take(most=3)
    assert counts(q, "b") == {"running": 3, "queued": 1, "waiting": 1}
    q.end(one, "succeeded")
    q.end(two, "error")
    q.lose(three["n"])
    assert counts(q, "b") == {"succeeded": 1, "waiting": 2, "queued": 2}
    q.renew(*three.fence)
    assert counts(q, "b") == {"succeeded": 1, "waiting": 2, "queued": 1, "running": 1}
    q.end(three, "permanent")
    q.cancel(4)
    q.cancel(5)
    q.hurry(2)
    assert counts(q, "b") == {"succeeded": 1, "failed": 1, "cancelled": 2, "queued": 1}
    assert "done_ms" not in batch(q, "b")
    run(q)
    assert "done_ms" in batch(q, "b")
    done = q.events("batch.done")
    assert [(e["batch"], e["count"], e["reason"]) for e in done] == [("b", "5", "2 succeeded, 1 failed, 2 cancelled")]


def test_many_at_once_count_as_one_by_one(q):
    q.bulk("", *[part for i in range(100) for part in (json.dumps(node(f"j{i}", batch="ab"[i % 2])), "")])
    assert counts(q, "a") == counts(q, "b") == {"queued": 50}
    claims = q.take(most=30)
    q.finish(*[part for c in claims for part in (*c.fence, "succeeded", "")])
    assert counts(q, "a") == {"queued": 35, "succeeded": 15}


def test_a_graph_is_a_batch(q):
    a, b = graph(q, node("a"), node("b", "a"))
    assert counts(q, "graph-1") == {"queued": 1, "waiting": 1} and batch(q, "graph-1")["size"] == "2"
    run(q, "permanent")
    assert counts(q, "graph-1") == {"failed": 1, "cancelled": 1} and "done_ms" in batch(q, "graph-1")
    again = q.retry(a, 1).rsplit("-", 1)[1]
    assert q.job(again)["batch"] == "graph-1" and "done_ms" not in batch(q, "graph-1")
    assert run(q) == again and "done_ms" in batch(q, "graph-1")


def test_a_job_when_all_are_done(q):
    q.graph(json.dumps({"jobs": [node("a"), node("b")], "batch": "train", "then": node("report")}), "", "me")
    run(q)
    q.promote()
    assert q.redis.hget(q.key("meta"), "next") == "2"
    run(q, "permanent")
    assert q.promote()[0] == 1
    assert (batch(q, "train")["then_job"], q.job(3)["name"], q.job(3)["actor"]) == ("default-3", "report", "me")
    assert "batch" not in q.job(3)
    q.promote()
    assert q.redis.hget(q.key("meta"), "next") == "3", "once"
    run(q)
    again = q.retry(2, 1).rsplit("-", 1)[1]
    assert run(q) == again
    q.promote()
    assert q.redis.hget(q.key("meta"), "next") == "4", "not again when a retry makes it done again"


def test_what_follows_waits_while_the_queue_is_full(q):
    q.batch("b", json.dumps({"size": 1, "then": node("report")}))
    q.add(batch="b")
    run(q)
    q.redis.hset(q.key("meta"), "max_jobs", 0)
    q.promote()
    assert "then_job" not in batch(q, "b") and q.redis.zcard(q.key("fires")) == 1
    q.redis.hset(q.key("meta"), "max_jobs", 10)
    q.redis.zadd(q.key("fires"), {"b": 1})
    q.promote()
    assert batch(q, "b")["then_job"] == "default-2" and not q.redis.exists(q.key("fires"))


def test_a_size_keeps_it_open(q):
    assert q.batch("b", '{"size":2}') == "b" and q.redis.ttl(q.key("batch:b")) > 0
    q.add(batch="b")
    run(q)
    assert "done_ms" not in batch(q, "b") and q.redis.ttl(q.key("batch:b")) == -1
    q.batch("b", json.dumps({"size": 1}))
    assert "done_ms" in batch(q, "b")
    q.add(batch="b")
    assert "done_ms" not in batch(q, "b")


def test_a_staged_graph_is_a_batch(q):
    q.stage("s", 2, 0, json.dumps(node("a")), json.dumps(node("b", "a")))
    assert batch(q, "mine") is None
    q.redis.fcall("stoker_commit", 1, q.key("meta"), "s", "", "", "mine", json.dumps(node("report")))
    assert counts(q, "mine") == {"waiting": 2} and q.job(2)["links"] in ("pb", "bp")
    q.promote()
    run(q), run(q)
    q.promote()
    assert batch(q, "mine")["then_job"] == "default-3"


def test_pages(q):
    for i in range(5):
        q.add(batch=f"b{i}")
    for _ in range(4):
        q.add(batch="b2")
    first = json.loads(q.batches(3))
    second = json.loads(q.batches(3, first["cursor"]))
    assert sorted(b["id"] for b in first["batches"] + second["batches"]) == [f"b{i}" for i in range(5)]
    found, cursor = [], ""
    while True:
        page = members(q, "b2", "all", 2, cursor)
        found += [job["id"] for job in page["jobs"]]
        if not (cursor := page["cursor"]):
            break
    assert found == [f"default-{n}" for n in (9, 8, 7, 6, 3)] and page["batch"]["total"] == "5"
    run(q)
    assert members(q, "b0", "succeeded")["jobs"][0]["id"] == "default-1" and members(q, "b0", "queued")["jobs"] == []


def test_the_last_value_of_a_metric(q):
    claim = q.start(batch="b")
    q.metric(*claim.fence, 1, '{"step":1,"loss":2.5,"acc":0.5}', '{"step":2,"loss":1.5}')
    q.add(batch="b")
    ranks = [[job.get("rank") for job in members(q, "b", "all", 10, "", metric)["jobs"]]
             for metric in ("loss", "acc", "x")]
    assert ranks == [[None, "1.5"], [None, "0.5"], [None, None]]


def test_it_goes_with_its_last_job(q):
    q.redis.hset(q.key("meta"), "max_finished", 1)
    q.add(batch="b"), q.add(batch="b")
    run(q), run(q)
    q.prune()
    assert counts(q, "b") == {"succeeded": 2} and len(members(q, "b")["jobs"]) == 1
    q.add()
    run(q)
    q.prune()
    assert batch(q, "b") is None and not q.redis.keys(q.key("*b*:b"))
    assert not q.redis.exists(q.key("batches"))


def test_names_of_what_went_by_itself_go(q):
    q.batch("empty", "")
    q.redis.delete(q.key("batch:empty"))
    q.prune()
    assert not q.redis.exists(q.key("batches"))


@pytest.mark.parametrize("args, says", [
    (("",), "INVALID batch: expected a batch id (letters, digits, . _ -, at most 64), got \"\""),
    (("a b",), "INVALID batch: expected a batch id (letters, digits, . _ -, at most 64), got \"a b\""),
    (("b", "[]"), "INVALID batch: expected a JSON object, got \"[]\""),
    (("b", '{"siz":1}'), "INVALID batch: \"siz\": unknown key; known here: size, then, webhook"),
    (("b", '{"size":0}'), "INVALID size: expected an integer from 1 to 1000000, got \"0\""),
    (("b", '{"size":"2"}'), "INVALID size: expected an integer from 1 to 1000000, got \"2\""),
    (("b", '{"webhook":3}'), "INVALID webhook: expected an object, got 3"),
    (("b", '{"webhook":{"url":"x"}}'), "INVALID webhook.url: expected a URL of http or https, without user, password "
     'and fragment, at most 2048 characters, got "x"'),
    (("b", '{"webhook":{"url":"http://x","on":["*"]}}'), 'INVALID webhook: "on": unknown key; known here: url'),
    (("b", '{"then":"x"}'), "INVALID then: expected a spec, got \"x\""),
    (("b", '{"then":{"name":"x"}}'), "INVALID then: command: required when backend is command"),
    (("b", '{"then":{"command":"x","after":["default-1"]}}'),
     "INVALID then: after: it waits for the batch, and for nothing else")])
def test_bad_batches(q, args, says):
    before = q.snapshot()
    with pytest.raises(ResponseError) as error:
        q.batch(*args)
    assert str(error.value) == says and q.snapshot() == before


def test_bad_questions(q):
    with pytest.raises(ResponseError, match="^NOTFOUND no batch b in queue default"):
        q.members("b")
    q.add(batch="b")
    for args in (("b", "odd"), ("b", "all", 101), ("b", "all", 10, "x")):
        with pytest.raises(ResponseError, match="^INVALID"):
            q.members(*args)
    with pytest.raises(ResponseError, match="^CONFLICT batch b has 2 jobs already"):
        q.add(batch="b")
        q.batch("b", '{"size":1}')
    with pytest.raises(ResponseError, match="^INVALID cursor"):
        q.batches(10, "x")


def test_a_strange_key_in_the_way(q):
    q.redis.set(q.key("batch:b"), "x")
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^WRONGTYPE the key .*batch:b"):
        q.add(batch="b")
    assert q.snapshot() == before
    q.redis.delete(q.key("batch:b"))


def then(**more):
    return json.dumps({"then": {"command": "x", **more}})


def test_a_batch_whose_last_job_is_removed_still_does_what_follows(q):
    q.batch("b", then())
    q.end(q.start(batch="b"), "succeeded")
    q.remove(1)
    q.promote()
    assert q.state(2) == "queued" and batch(q, "b")["then_job"] == "default-2"


def test_what_followed_is_not_changed_any_more(q):
    q.batch("b", then())
    q.end(q.start(batch="b"), "succeeded")
    q.promote()
    with pytest.raises(ResponseError, match="^CONFLICT"):
        q.batch("b", then(name="late"))


def test_a_fire_of_what_has_nothing_to_follow_goes_out(q):
    q.batch("a", then())
    q.end(q.start(batch="a"), "succeeded")
    q.promote()
    q.batch("b", "{}")
    q.redis.zadd(q.key("fires"), {"a": 1, "b": 1})
    q.promote()
    assert not q.redis.exists(q.key("fires")) and q.redis.hget(q.key("meta"), "next") == "2"


def test_a_batch_that_does_not_know_when_it_began_is_none(spoiled):
    q = spoiled
    claim = q.start(batch="b")
    q.redis.hdel(q.key("batch:b"), "created_ms")
    q.end(claim, "succeeded")
    assert "done_ms" not in q.redis.hgetall(q.key("batch:b")) and q.state(1) == "succeeded"


@pytest.mark.parametrize("text, says", [
    ('{"jobs":[{"command":"x"}],"jobs":[]}', "graph: a name stands twice"),
    ('{"jobs":[{"command":"x"}],"then":[]}', r"then: expected a spec, got \"\[\]\"")])
def test_a_graph_of_the_wrong_form(q, text, says):
    with pytest.raises(ResponseError, match="^INVALID " + says):
        q.graph(text)


@pytest.mark.parametrize("call, text", [
    (lambda q: q.graph("{}", "k"), b"{}"),
    (lambda q: q.redis.fcall("stoker_commit", 1, q.key("meta"), "s", "k"), b"s")])
def test_a_key_that_does_not_say_how_many_names_one(q, call, text):
    q.add()
    q.redis.set(q.key("key:k"), "1 " + hashlib.sha1(text).hexdigest(), px=100000)
    assert call(q) == ["default-1"]


def test_what_follows_meets_a_stranger(q):
    q.batch("b", then(resources={"cpus": 2}))
    q.end(q.start(batch="b"), "succeeded")
    q.redis.set(q.key("ready:cpu2:5:-"), "a stranger's")
    q.promote()
    assert "WRONGTYPE" in batch(q, "b")["then_error"] and "then_job" not in batch(q, "b")
    q.redis.delete(q.key("ready:cpu2:5:-"))
