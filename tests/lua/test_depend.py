"""Dependencies: a job is queued when those that it waits for have ended as it needs, and never before."""
import json
import re

import pytest
from redis.exceptions import ResponseError

from conftest import Queue


def graph(q, *jobs, key="", actor=""):
    return [job.rsplit("-", 1)[1] for job in q.graph(json.dumps({"jobs": jobs}), key, actor)]


def node(name, *after, **more):
    return {"name": name, "command": ["true"], "lease": "1s", **({"after": list(after)} if after else {}), **more}


def run(q, cause="succeeded"):
    """Claims one job and ends it; answers its number."""
    claim = q.take()[0]
    q.end(claim, cause)
    return claim["n"]


def shown(q, n):
    return json.loads(q.show(n))


def test_a_child_waits_for_its_parent(q):
    parent = q.add()
    child = q.add(after=["default-" + parent])
    assert (q.state(child), q.job(child)["reason"], q.job(child)["needs"]) == ("waiting", "dependency", "1")
    assert json.loads(q.list("waiting"))["jobs"][0]["id"] == "default-" + child
    assert shown(q, parent)["children"] == ["default-" + child]
    assert run(q) == parent
    assert q.state(child) == "queued" and "needs" not in q.job(child)
    assert q.events("job.queued")[0]["job"] == "default-" + child
    assert run(q) == child
    assert not q.redis.exists(q.key("children:" + parent))


@pytest.mark.parametrize("condition, cause, state", [
    ("succeeded", "succeeded", "queued"), ("finished", "succeeded", "queued"), ("failed", "succeeded", "cancelled"),
    ("succeeded", "permanent", "cancelled"), ("finished", "permanent", "queued"), ("failed", "permanent", "queued"),
    ("succeeded", "cancelled", "cancelled"), ("finished", "cancelled", "queued"), ("failed", "cancelled", "cancelled")])
@pytest.mark.parametrize("is_late", [False, True], ids=["child first", "parent first"])
def test_conditions(q, condition, cause, state, is_late):
    claim = q.start()
    child = None if is_late else q.add(after={"default-1": condition})
    if cause == "cancelled":
        q.cancel(1)
    q.end(claim, cause)
    child = child or q.add(after={"default-1": condition})
    assert q.state(child) == state
    if state == "cancelled":
        word = {"succeeded": "succeeded", "permanent": "failed", "cancelled": "was cancelled"}[cause]
        which = "whose failure" if condition == "failed" else "which"
        assert q.job(child)["error"] == f"default-1, {which} it needs, {word}"
        assert q.history(child)[0]["event"] == "job.cancelled"
    assert shown(q, child)["parents"]["default-1"]["condition"] == condition


def test_every_way_to_an_end_tells_the_children(q):
    def child_of(n):
        return q.add(after={f"default-{n}": "finished"})
    ends = {
        "cancel while queued": lambda n: q.cancel(n),
        "finish plain": lambda n: q.end(q.take()[0], "succeeded"),
        "finish failed": lambda n: q.end(q.take()[0], "permanent"),
        "poison": lambda n: [q.take(), q.lose(n)],
        "flagged beyond recovery": lambda n: [q.end(q.take()[0], "lost"), q.set_job(n, corrupted=9), q.corrupt(n, 1)],
    }
    for name, end in ends.items():
        parent = q.add(retry={"max_lost": 1 if name == "poison" else 3})
        child = child_of(parent)
        end(parent)
        assert (q.state(parent) in ("succeeded", "failed", "cancelled"), q.state(child)) == (True, "queued"), name
        q.cancel(child)


def test_a_diamond(q):
    a, b, c, d = graph(q, node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c"))
    assert [q.state(n) for n in (a, b, c, d)] == ["queued", "waiting", "waiting", "waiting"]
    assert run(q) == a
    assert [q.state(n) for n in (b, c, d)] == ["queued", "queued", "waiting"]
    assert run(q) == b and q.job(d)["needs"] == "1" and q.state(d) == "waiting"
    assert run(q) == c and run(q) == d
    assert [e["job"] for e in q.events("job.succeeded")] == [f"default-{n}" for n in (a, b, c, d)]


def test_the_order_in_the_text_does_not_matter(q):
    d, b, a = graph(q, node("d", "b"), node("b", "a"), node("a"))
    assert [run(q), run(q), run(q)] == [a, b, d]


def test_specs_are_kept_as_they_were_written(q):
    texts = ['{"name": "a\\u0041[],{}\\"",  "command":"x","retry":{"jitter":0.10}}',
             '{"command":["b"], "env":{"jobs":"["}}']
    q.graph('{ "jobs" : [ %s ,%s ] }' % tuple(texts))
    assert [q.redis.get(q.key(f"spec:{n}")) for n in (1, 2)] == texts


def test_a_failure_cancels_all_that_need_it(q):
    a, b, c, d, e = graph(q, node("a"), node("b", "a"), node("c", "b"), node("d", after={"b": "finished"}),
                          node("e", "a", on_unmet="hold"))
    assert run(q, "permanent") == a
    assert [q.state(n) for n in (b, c, d, e)] == ["cancelled", "cancelled", "queued", "waiting"]
    assert q.job(c)["error"] == f"default-{b}, which it needs, was cancelled"
    assert q.job(e)["unmet"] == f"default-{a}, which it needs, failed" and "needs" not in q.job(e)
    assert q.promote()[0] == 0 and q.state(e) == "waiting"
    q.retry(e, 0)
    assert q.state(e) == "queued" and "unmet" not in q.job(e)


def test_a_held_one_is_not_let_go_by_others(q):
    a, b, c = graph(q, node("a"), node("b"), node("c", "a", "b", on_unmet="hold"))
    run(q, "permanent")
    assert run(q) == b
    assert q.state(c) == "waiting" and "unmet" in q.job(c)
    q.cancel(c)
    assert q.state(c) == "cancelled"


def test_a_delay_counts_too(q):
    a, b = graph(q, node("a"), node("b", "a", delay="1h"))
    run(q)
    assert (q.state(b), q.job(b)["reason"]) == ("waiting", "delay")
    q.hurry(b)
    assert q.state(b) == "queued"


def test_a_child_takes_its_slot_when_its_parents_have_ended(q):
    one = {"concurrency": {"key": "k", "max": 1}}
    a, b, c = graph(q, node("a", **one), node("b", "a", **one), node("c", "a", **one))
    assert q.redis.zrange(q.key("slots:k"), 0, -1) == [a]
    run(q)
    assert (q.state(b), q.state(c), q.job(c)["reason"]) == ("queued", "waiting", "limit")
    assert run(q) == b and run(q) == c


def test_a_child_takes_its_place_under_a_rate_when_its_parents_have_ended(q):
    rate = {"rate": {"key": "r", "max": 1, "per": "1h"}}
    a, b, c = graph(q, node("a"), node("b", "a", **rate), node("c", "a", **rate))
    assert not q.redis.exists(q.key("rate:r"))
    run(q)
    assert (q.state(b), q.state(c), q.job(c)["reason"]) == ("queued", "waiting", "limit")
    q.hurry(c)
    assert run(q) == b and run(q) == c


def test_a_unique_key_is_taken_while_it_waits(q):
    a, b = graph(q, node("a"), node("b", "a", unique={"key": "u"}))
    with pytest.raises(ResponseError, match="^CONFLICT unique.key: job default-2"):
        q.add(unique={"key": "u"})
    with pytest.raises(ResponseError, match="^INVALID jobs.1.: unique.key: another job of this graph"):
        graph(q, node("a", unique={"key": "v"}), node("b", unique={"key": "v"}))
    run(q, "permanent")
    assert q.state(b) == "cancelled" and q.add(unique={"key": "u"}) == "3"


def test_what_cannot_go_together(q):
    q.add()
    with pytest.raises(ResponseError, match="^INVALID hold: not of a job that waits for others"):
        q.add(after=["default-1"], hold=True)
    with pytest.raises(ResponseError, match="^INVALID jobs.1.: hold: not of a job that waits"):
        graph(q, node("a"), node("b", "a", hold=True))
    for more, key in ({"after": ["default-1"]}, "after"), ({"batch": "b"}, "batch"):
        spec = {"command": "x", "schedule": {"name": "s", "every": "1h"}, **more}
        with pytest.raises(ResponseError, match=f"^INVALID {key}: not in a recurring job"):
            q.schedule(json.dumps(spec))
    child = q.add(after=["default-1"])
    with pytest.raises(ResponseError, match="^CONFLICT job default-2 waits for something else already .dependency."):
        q.hold(child)
    with pytest.raises(ResponseError, match="^CONFLICT job default-2 waits for something else than time"):
        q.update(child, '{"delay":"1h"}')
    assert q.update(child, '{"priority":9}') == "waiting"
    run(q)
    assert q.state(child) == "queued" and q.job(child)["lane"] == "cpu1:9:-"


def test_a_held_parent_and_many_at_once(q):
    a, b, c = graph(q, node("a", hold=True), node("b", "a"), node("c", "b"))
    assert q.state(a) == "waiting" and q.job(b)["needs"] == "1"
    q.release(a)
    assert [x[0] for x in q.each("cancel", "", "", "", a, b)] == ["ok", "ok"]
    assert [q.state(n) for n in (a, b, c)] == ["cancelled"] * 3
    assert [x[0] for x in q.each("remove", "", "", "", a, b, c)] == ["ok"] * 3
    assert not q.redis.keys(q.key("*:1")) and not q.redis.exists(q.key("batch:graph-1"))


def test_a_draining_queue_takes_no_graphs(q):
    q.pause("drain")
    with pytest.raises(ResponseError, match="^CONFLICT queue default is draining"):
        graph(q, node("a"))
    with pytest.raises(ResponseError, match="^CONFLICT queue default is draining"):
        q.stage("s", 1, 0, json.dumps(node("a")))


def test_time_and_retry_do_not_let_a_child_go(q):
    a, b = graph(q, node("a"), node("b", "a"))
    q.hurry(b)
    assert q.state(b) == "waiting" and q.redis.zscore(q.key("waiting"), b) == float("inf")
    with pytest.raises(ResponseError, match="^CONFLICT job default-2 waits for others, 1 of them"):
        q.retry(b, 0)


def test_a_cancelled_child_is_not_told(q):
    a, b = graph(q, node("a"), node("b", "a"))
    q.cancel(b)
    assert q.redis.zcard(q.key("children:" + a)) == 0
    run(q)
    assert q.state(b) == "cancelled"


def test_many_children_are_told_in_pages(q):
    parent = q.add()
    children = []
    for _ in range(5):
        children += [n for n in graph(q, *[node(f"c{i}", "default-1") for i in range(50)])]
    assert run(q) == parent
    assert sum(q.state(n) == "queued" for n in children) == 100
    q.redis.hset(q.key("meta"), "max_finished", 0)
    assert q.prune() == [0, 1, 0], "a parent stays until all know"
    assert q.promote()[:2] == [100, 0] and q.promote()[:2] == [50, -1]
    assert all(q.state(n) == "queued" for n in children)
    assert q.prune()[0] == 1


def test_a_long_chain_falls_in_steps(q):
    first = q.add()
    graph(q, *[node(f"c{i}", f"c{i - 1}" if i else "default-1") for i in range(100)])
    graph(q, *[node(f"c{i}", f"c{i - 1}" if i else "default-101") for i in range(100)])
    q.end(q.take()[0], "permanent")
    for _ in range(3):
        q.promote()
    assert {q.state(n) for n in range(2, 202)} == {"cancelled"} and q.state(first) == "failed"


def test_the_results_of_parents_reach_the_child(q):
    claim = q.start(name="prepare")
    q.commit(claim, 1, 5, uri="file:///s/manifest.json")
    q.redis.set(q.key("result:1"), '{"rows":3}')
    child = q.add(after=["default-1"])
    q.end(claim, "succeeded")
    again = q.take(request=2)
    q.redis.delete(q.key("result:1"))
    parents = json.loads(again[0]["parents"])
    assert again[0]["n"] == child
    assert parents == {"default-1": {"condition": "succeeded", "state": "succeeded", "name": "prepare",
                                     "checkpoint": "1-1", "checkpoint_uri": "file:///s/manifest.json",
                                     "result": {"rows": 3}}}
    assert "parents" not in q.start()


def test_a_retry_waits_for_what_is_done_again(q):
    a, b = graph(q, node("a"), node("b", "a"))
    run(q, "permanent")
    assert q.state(b) == "cancelled"
    again = q.retry(a, 1)
    child = q.retry(b, 0).rsplit("-", 1)[1]
    assert q.state(child) == "waiting" and list(shown(q, child)["parents"]) == [again]
    assert run(q) == again.rsplit("-", 1)[1]
    assert q.state(child) == "queued"
    assert run(q, "permanent") == child
    third = q.retry(child, 1).rsplit("-", 1)[1]
    assert q.state(third) == "queued", "what has ended is not waited for again"


def test_the_same_graph_again_is_the_same_jobs(q):
    jobs = [node("a"), node("b", "a")]
    first = graph(q, *jobs, key="k")
    before = q.snapshot()
    assert graph(q, *jobs, key="k") == first and q.snapshot() == before
    with pytest.raises(ResponseError, match="^CONFLICT the idempotency key \"k\" was used .* job default-1"):
        graph(q, node("z"), key="k")


def test_bulk_takes_ids(q):
    q.add()
    spec = json.dumps(node("x", "default-1"))
    answers = q.bulk("", spec, "", json.dumps(node("y", "nobody")), "", json.dumps(node("z", "default-9")), "")
    assert [a[0] for a in answers] == ["ok", "error", "error"]
    assert q.state(2) == "waiting" and q.redis.hget(q.key("meta"), "active") == "2"


BAD = {
    "[]": 'graph: expected a JSON object, got "[]"',
    "{": 'graph: expected a JSON object, got "{"',
    "{}": "jobs: expected a list of 1 to 100 specs",
    '{"jobs":[]}': "jobs: expected a list of 1 to 100 specs",
    '{"jobs":{}}': "jobs: expected a list of 1 to 100 specs",
    '{"jobs":"x"}': "jobs: expected a list of 1 to 100 specs",
    '{"jobs":[{"command":"x"}],"job":1}': '"job": unknown key; known here: jobs, batch, then, webhook',
    '{"jobs":[3]}': "jobs[0]: spec: expected an object, got 3",
}
BAD_JOBS = [
    ([node("a"), node("a")], 'jobs[1]: name: jobs[0] has the name "a", too'),
    ([node("a", "a")], "jobs: a circle: a waits for a"),
    ([node("x"), node("a", "c"), node("b", "a", "x"), node("c", "b")],
     "jobs: a circle: a waits for c, c waits for b, b waits for a"),
    ([node("prepare"), node("b", "prepar")],
     'jobs[1]: after: "prepar" is no job of this graph, and no job id | did you mean prepare?'),
    ([node("a"), node("b", "default-9")], "jobs[1]: after: there is no job default-9 (the newest is default-1)"),
    ([node("a"), node("b", priority=10)], "jobs[1]: priority: expected an integer from 0 to 9, got 10"),
    ([node("a"), node("b", queue="gpu")], "jobs[1]: queue: the spec says gpu, but it was submitted to queue default"),
    ([node("a")] * 101, "jobs: expected a list of 1 to 100 specs | larger graphs are staged: stoker_stage"),
]


@pytest.mark.parametrize("text, says", [*BAD.items(), *[(json.dumps({"jobs": j}), s) for j, s in BAD_JOBS]],
                         ids=lambda text: text[:30])
def test_bad_graphs_change_nothing(q, text, says):
    q.add()
    before = q.snapshot()
    with pytest.raises(ResponseError) as error:
        q.graph(text)
    assert str(error.value) == "INVALID " + says
    assert q.snapshot() == before


def test_a_bound_refuses_the_whole_graph(q):
    q.redis.hset(q.key("meta"), "max_jobs", 2)
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^FULL queue default has 2 unfinished jobs"):
        graph(q, node("a"), node("b", "a"), node("c", "b"))
    assert q.snapshot() == before


@pytest.mark.parametrize("after, says", [
    (["nobody"], 'after: "nobody" is no job of this submit, and no job id | names in after mean jobs of the same '
                 'submit'),
    (["default-7"], "after: there is no job default-7 (the newest is default-1)")])
def test_bad_parents(q, after, says):
    q.add()
    with pytest.raises(ResponseError) as error:
        q.add(after=after)
    assert str(error.value) == "INVALID " + says


def test_strange_keys_are_refused_before_or_wait_after(q):
    a, b = graph(q, node("a"), node("b", "a"))
    q.redis.delete(q.key("children:" + a))
    q.redis.set(q.key("children:" + a), "x")
    claim = q.take()[0]
    with pytest.raises(ResponseError, match="^WRONGTYPE the key .*children:1"):
        q.end(claim, "succeeded")
    q.redis.delete(q.key("children:" + a))
    q.redis.zadd(q.key("children:" + a), {b: 2})
    q.redis.set(q.key("history:" + b), "x")  # the child cannot be told: the parent ends all the same
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]
    assert q.state(b) == "waiting" and q.redis.zrange(q.key("releases"), 0, -1) == [a]
    q.redis.delete(q.key("history:" + b))
    assert q.promote()[:2] == [1, -1] and q.state(b) == "queued"


@pytest.fixture
def other(q):
    other = Queue(q.redis, "other")
    other.create("installation1")
    return other


def carry(q, other):
    """What a scheduler does with what promote hands out: one round. Answers the letters."""
    queues, letters = {"default": q, "other": other}, []
    for queue in (q, other):
        for letter in (queue.promote()[2:] or [[]])[0]:
            kind, to, *rest = letter.split(" ")
            name, n = to.rsplit("-", 1)
            letters.append(letter)
            if kind == "ask":
                state = queues[name].watch(n, f"{queue.name}-{rest[0]}")
                if state in ("succeeded", "failed", "cancelled", "gone"):
                    queue.tell(rest[0], to, state)
            else:
                queues[name].tell(n, *rest)
                queue.sent(letter)
    return letters


def test_a_parent_in_another_queue(q, other):
    other.add()
    child = q.add(after=["other-1"])
    assert q.state(child) == "waiting" and q.job(child)["needs"] == "1"
    assert carry(q, other) == ["ask other-1 " + child] and q.state(child) == "waiting"
    assert carry(q, other) == [], "it is asked again later, not at once"
    assert run(other) == "1"
    assert carry(q, other) == [f"tell default-{child} other-1 succeeded"]
    assert q.state(child) == "queued"
    assert not q.redis.exists(q.key("outbox"), other.key("outbox"), other.key("children:1"))
    assert shown(q, child)["parents"]["other-1"] == {"condition": "succeeded", "state": "succeeded"}


def test_one_that_has_ended_answers_at_once(q, other):
    other.add()
    run(other, "permanent")
    child = q.add(after=["other-1"])
    carry(q, other)
    assert q.state(child) == "cancelled" and q.job(child)["error"] == "other-1, which it needs, failed"


def test_one_that_is_not_there(q, other):
    child = q.add(after={"other-7": "finished"})
    carry(q, other)
    assert q.state(child) == "cancelled" and q.job(child)["error"] == "other-7, which it needs, is not there"


def test_letters_that_are_lost_or_come_twice(q, other):
    other.add()
    child = q.add(after=["other-1"], on_unmet="hold")
    asked = q.promote()[2]
    q.redis.zadd(q.key("outbox"), {asked[0]: 1})  # nobody carried it
    assert carry(q, other) == asked
    q.redis.zadd(q.key("outbox"), {asked[0]: 1})
    assert carry(q, other) == asked  # asked twice
    run(other)
    told = other.promote()[2]
    other.redis.zadd(other.key("outbox"), {told[0]: 1})
    assert carry(q, other) == told and q.state(child) == "queued"
    assert q.tell(child, "other-1", "failed") == "queued", "told already"
    assert q.tell(99, "other-1", "failed") == "gone"


def test_one_parent_is_one_however_often_it_tells(q, other):
    child = q.add(after=[f"other-{other.add()}", f"other-{other.add()}"])
    assert [q.tell(child, "other-1", "succeeded") for _ in range(3)] == ["waiting"] * 3
    assert q.tell(child, "other-2", "succeeded") == "queued"


def test_a_cancelled_child_does_not_ask(q, other):
    other.add()
    child = q.add(after=["other-1"])
    q.cancel(child)
    assert not q.redis.exists(q.key("outbox"))
    run(other)
    assert carry(q, other) == []


@pytest.mark.parametrize("call, args, says", [
    ("watch", (1, "x"), "^INVALID child: expected a job id"),
    ("watch", (1, "other-1"), "^INVALID child: .* of another"),
    ("tell", (1, "x", "failed"), "^INVALID parent: expected a job id"),
    ("tell", (1, "other-1", "lost"), "^INVALID state: expected succeeded, failed, cancelled or gone"),
    ("sent", (), "^INVALID")])
def test_letters_of_the_wrong_form(q, other, call, args, says):
    with pytest.raises(ResponseError, match=says):
        getattr(other, call)(*args)


# ---------------------------------------------------------------- what a parent in another queue leaves


def leaves(q, result=None):
    claim = q.start(name="far")
    q.commit(claim, 1, 1, uri="file:///s/x.tar")
    q.end(claim, "succeeded", **({"result": result} if result else {}))
    return json.loads(q.about(claim["n"]))


def test_what_a_job_leaves_to_others(q):
    assert leaves(q, '{"a":[]}') == {"name": "far", "checkpoint": "1-1", "checkpoint_uri": "file:///s/x.tar",
                                     "result": {"a": []}}
    assert leaves(q, '"' + "x" * 5000 + '"')["result_bytes"] == 5002
    assert q.about(99) == "{}"


def test_a_child_has_what_its_parent_left(q):
    q.add(after=["other-7"])
    assert q.tell(1, "other-7", "succeeded", '{"name":"far","result":{"a":[]}}') == "queued"
    assert q.tell(1, "other-7", "succeeded", '{"name":"again"}') == "queued", "told once"
    claim, = q.take()
    assert json.loads(claim["parents"]) == {"other-7": {"condition": "succeeded", "state": "succeeded", "name": "far",
                                                        "result": {"a": []}}}
    assert '"a":[]' in claim["parents"], "byte for byte"
    q.end(claim, "permanent")
    assert q.retry(1, 1) == "default-2"
    claim, = q.take()
    assert json.loads(claim["parents"])["other-7"]["name"] == "far", "so has what does it again"
    q.end(claim, "succeeded")


@pytest.mark.parametrize("about, says", [
    ("x", "about: expected a JSON object"), ("[]", "about: expected a JSON object"),
    ('{"a":1}', "about.a: unknown key"),
    ('{"state":"x"}', "about.state: unknown key"), ('{"result":NaN}', "about: "), ('{"result":1}x', "about: "),
    ('{"name":"' + "x" * 9000 + '"}', "about: expected a JSON object of at most 8192 bytes"),
])
def test_what_no_job_leaves(q, about, says):
    q.add(after=["other-7"])
    with pytest.raises(ResponseError, match="^INVALID " + re.escape(says)):
        q.tell(1, "other-7", "succeeded", about)
    assert q.state(1) == "waiting"
    q.tell(1, "other-7", "succeeded", " {} ")
    assert q.state(1) == "queued" and not q.redis.exists(q.key("told:1"))
