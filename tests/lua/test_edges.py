"""The edges of what functions take: each argument that is just too much, of another type, or said as null."""
import json

import pytest
from redis.exceptions import ResponseError

LARGE = 2 ** 53


def summary(**fields):
    return json.dumps({"size": 1, "sha256": "x", **fields})


def detail(**fields):
    return json.dumps(fields)


# What is refused: the call on a queue that has one running job `q.run`, and the words of the refusal.
REFUSED = {
    "no points": (lambda q: q.metric(*q.run.fence, 1), "1 to 100 points"),
    "too many points": (lambda q: q.metric(*q.run.fence, 1, *["{}"] * 101), "1 to 100 points"),
    "a list as a point": (lambda q: q.metric(*q.run.fence, 1, "[1]"), "point"),
    "a long name of a value": (lambda q: q.metric(*q.run.fence, 1, json.dumps({"x" * 65: 1})), "point"),
    "half an entry of a log": (lambda q: q.log(*q.run.fence, 1, 1, "stdout", 1, "x", 2), "<first> <time_ms>"),
    "too many entries of a log": (lambda q: q.log(*q.run.fence, *[1, 1, "stdout", 1, "x"] * 101), "<first> <time_ms>"),
    "uses with names": (lambda q: q.checkpoint(*q.run.fence, "1-1", summary(uses={"a": 1})), "summary.uses"),
    "a use beyond integers": (lambda q: q.checkpoint(*q.run.fence, "1-1", summary(uses=[LARGE * 4])), "summary.uses"),
    "half a step": (lambda q: q.checkpoint(*q.run.fence, "1-1", summary(step=1.5)), "summary.step"),
    "nothing to drop": (lambda q: q.drop(*q.run.fence), "1 to 100 checkpoint ids"),
    "too much to drop": (lambda q: q.drop(*q.run.fence, *["1-1"] * 101), "1 to 100 checkpoint ids"),
    "no reports": (lambda q: q.finish(), "1 to 100 times <n>"),
    "half a report": (lambda q: q.finish(*q.run.fence, "succeeded", "{}", "2"), "1 to 100 times <n>"),
    "a report of no number": (lambda q: q.finish("x", *q.run.fence[1:], "succeeded", "{}"), "INVALID"),
    "cut by a text": (lambda q: q.end(q.run, "succeeded", cut="yes"), "detail.cut: expected true or false"),
    "half a job to index": (lambda q: q.reindex("s1", "add", 7), "1 to 100 times <n> <fields>"),
    "a job and a half to index": (lambda q: q.reindex("s1", "add", 7, "{}", 8), "1 to 100 times <n> <fields>"),
    "time spent that is no text": (lambda q: q.end(q.run, "error", spent=True), "spent: expected"),
    "too many jobs to index": (lambda q: q.reindex("s1", "add", *[7, "{}"] * 101), "1 to 100 times <n> <fields>"),
    "an index of nothing": (lambda q: q.reindex("s1", "add"), "1 to 100 times <n> <fields>"),
    "a worker's long name of a field": (lambda q: q.worker("w1", json.dumps({"x" * 33: 1})), "is not a name"),
    "a worker's field that is no word": (lambda q: q.worker("w1", '{"A-B":1}'), "is not a name"),
    "no secret": (lambda q: q.webhook_secret(), "16 to 256 printable"),
    "a long secret": (lambda q: q.webhook_secret("x" * 257), "16 to 256 printable"),
    "half a batch": (lambda q: q.batch("c", '{"size":1.5}'), "size: expected an integer"),
    "a large batch": (lambda q: q.batch("c", '{"size":1000001}'), "size: expected an integer"),
    "a schedule behind a batch": (
        lambda q: q.batch("c", '{"then":{"command":"x","schedule":{"name":"s","every":60}}}'),
        "then: schedule: not of a job that follows a batch"),
    "a graph that follows a batch": (lambda q: q.batch("c", '{"then":{"jobs":[]}}'), "then"),
    "too many letters": (lambda q: q.sent(*["x"] * 101), "1 to 100 letters"),
    "an amount that is none": (lambda q: q.claim("w1", '{"cpus":"x"}', 1, 9), "free.cpus: expected a number"),
    "a long cursor of fsck": (lambda q: q.fsck("queue\n" * 200000), "cursor: not one of ours"),
    "a fsck of what is no step": (lambda q: q.repair("job", "next"), "INVALID"),
    "a fsck of too large a number": (lambda q: q.repair("job " + "9" * 16, "next"), "there is no step"),
    "a fsck of no number": (lambda q: q.repair("job x", "next"), "there is no step"),
    "states that are none": (lambda q: q.each("cancel", "queued,odd", "", "", 1), "expected names of states"),
}


@pytest.fixture
def running(q):
    q.run = q.start()
    q.redis.hset(q.key("meta"), "archive", "on")
    q.reindex("s1", "begin")
    return q


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_and_changes_nothing(running, what):
    call, words = REFUSED[what]
    before = running.snapshot()
    with pytest.raises(ResponseError) as refusal:
        call(running)
    assert str(refusal.value).startswith("INVALID "), refusal.value
    assert words in str(refusal.value)
    assert running.snapshot() == before


NOTHING = ["error", "trace", "exit", "signal", "onset", "good", "step", "total", "cut", "spent", "result"]


@pytest.mark.parametrize("cause", ["succeeded", "error"])
def test_null_in_a_detail_is_nothing(running, cause):
    assert running.end(running.run, cause, **dict.fromkeys(NOTHING))[0] == "ok"
    assert not {"result", "signal", "step", "trace"} & running.job(1).keys()


@pytest.mark.parametrize("more", [{"error": "", "trace": ""}, {"signal": 9}, {"total": 7}, {"cut": True}])
def test_what_a_success_may_say_besides(running, more):
    assert running.end(running.run, "succeeded", exit=0, **more) == ["ok", "succeeded"]


def test_null_in_a_summary_is_nothing(running):
    assert running.checkpoint(*running.run.fence, "1-1", summary(uses=None, step=None))[0] == "ok"
    kept = json.loads(running.redis.hget(running.key("checkpoints:1"), "1-1"))
    assert "uses" not in kept and "step" not in kept


def test_null_of_a_worker_is_an_empty_text(q):
    q.worker("w1", '{"state":"up","why":null}')
    assert q.redis.hget(q.key("worker:w1"), "why") == ""


def test_null_as_the_webhook_of_a_batch_is_none(q):
    q.batch("b", '{"webhook":null}')
    assert "webhook" not in q.redis.hgetall(q.key("batch:b"))


@pytest.mark.parametrize("given, kept", [("NaN", "NaN"), ("Infinity", "Infinity"), ("-Infinity", "-Infinity"),
                                         ("1e300", "1e+300"), ("-1e300", "-1e+300"), ("0.1", "0.1")])
def test_numbers_of_any_kind_are_kept_as_points(running, given, kept):
    running.metric(*running.run.fence, 1, '{"loss":%s}' % given)
    (_, fields), = running.redis.xrange(running.key("metrics:1"))
    assert fields["loss"] == kept


def test_a_weight_that_is_the_one_it_had_changes_nothing(q):
    q.share("ada", 2)
    before = q.snapshot()
    assert q.share("ada", 2) == "ok"
    assert q.share("eve", 1) == "ok"
    assert q.snapshot() == before


def test_so_many_tenants_have_a_weight(q):
    q.redis.hset(q.key("shares"), mapping={f"t{i}": "2" for i in range(10000)})
    with pytest.raises(ResponseError, match="^FULL queue default has 10000 tenants"):
        q.share("ada", 3)
    assert q.share("t7", 1) == "ok"
    assert q.share("ada", 3) == "ok"


def test_no_offer_for_a_worker_with_less_than_nothing(q):
    q.worker("w1", '{"state":"up"}')
    for i, free in enumerate(({"cpus": 1, "gpus": -1, "memory": 1}, {"cpus": 1, "gpus": 0, "memory": -1}), 1):
        assert q.claim("w1", json.dumps(free), 1, i, "c") == []
        assert not q.redis.hexists(q.key("worker:w1"), "offer")


def test_what_is_cut_is_cut_between_characters(running):
    running.end(running.run, "permanent", error="x" + "\u20ac" * 400)
    error = running.job(1)["error"]
    assert error.startswith("x\u20ac") and set(error.strip("x")) == {"\u20ac"}


def test_a_worker_of_many_classes_is_full(q):
    """A priority has lanes of several tenants and of one: each is walked until enough is taken."""
    for tenant in ("ada", "eve", ""):
        for priority in (5, 4):
            q.add(priority=priority, **({"tenant": tenant} if tenant else {}))
    taken = q.take("w1", 3)
    assert len(taken) == 3 and len(q.take("w2", 9)) == 3


def spec(**fields):
    return json.dumps({"command": "x", **fields})


def commit_stage(q, *args):
    return q.redis.fcall("stoker_commit", 1, q.key("meta"), *args)


def test_a_page_of_a_stage_has_a_bound(q):
    with pytest.raises(ResponseError, match="^INVALID expected 1 to 100 specs"):
        q.stage("s", 200, 0, *[spec()] * 101)


def test_a_stage_waits_for_so_many_outside_of_it(q):
    page = [spec(name=f"j{i}", after=[f"other-{60 * i + k + 1}" for k in range(50)]) for i in range(10)]
    assert q.stage("s", 30, 0, *page) == 10
    q.stage("s", 30, 10, *[one.replace('"name": "j', '"name": "k') for one in page])
    with pytest.raises(ResponseError, match="^FULL stage s waits for more than 1000 jobs"):
        q.stage("s", 30, 20, *[one.replace('"name": "j', '"name": "l') for one in page])


def test_a_name_stands_once_in_a_stage(q):
    q.stage("s", 2, 0, spec(name="a"))
    with pytest.raises(ResponseError, match="^INVALID"):
        q.stage("s", 2, 1, spec(name="a"))


def test_a_draining_queue_shows_no_stage(q):
    q.stage("s", 1, 0, spec())
    q.pause("drain")
    with pytest.raises(ResponseError, match="^CONFLICT queue default is draining"):
        commit_stage(q, "s")
    assert q.redis.zcard(q.key("waiting")) == 0


def test_a_staged_job_may_have_a_delay(q):
    q.stage("s", 2, 0, spec(name="a", delay="1h"), spec(after=["a"]))
    commit_stage(q, "s")
    assert q.job(1)["reason"] == "delay" and int(q.job(1)["due_ms"]) > q.now() + 3500000


def test_what_follows_a_batch_may_be_refused_by_then(q):
    q.batch("b", json.dumps({"size": 1, "then": {"command": "x"}}))
    q.redis.hset(q.key("batch:b"), "then", '{"comand":"x"}')
    q.end(q.start(batch="b"), "succeeded")
    q.promote()
    batch = q.redis.hgetall(q.key("batch:b"))
    assert "comand" in batch["then_error"] and "then_job" not in batch and not q.redis.exists(q.key("fires"))


def test_a_batch_that_is_there_gets_a_graph(q):
    q.batch("b", '{"size":5}')
    q.add(batch="b")
    q.graph(json.dumps({"jobs": [{"command": "x", "name": "a"}, {"command": "x"}], "batch": "b"}))
    batch = q.redis.hgetall(q.key("batch:b"))
    assert (batch["size"], batch["total"]) == ("5", "3")


def test_a_long_unknown_key_has_no_neighbour(q):
    with pytest.raises(ResponseError, match="^INVALID .*unknown key") as refusal:
        q.submit(json.dumps({"command": "x", "commandcommand" * 5: 1}))
    assert "did you mean" not in str(refusal.value)


def test_many_are_retried_where_there_is_room(q):
    q.end(q.start(), "permanent")
    q.redis.config_set("maxmemory", 1 << 20)
    with pytest.raises(ResponseError, match="^FULL Redis is full"):
        q.each("retry", "", "", "", 1)
    q.redis.config_set("maxmemory", 1 << 40)
    assert q.each("retry", "", "", "", 1) == [["ok", "default-2"]]


@pytest.mark.parametrize("bound", ["9" * 16, "many", "-1"])
def test_a_bound_that_is_none_stops_what_needs_it(q, bound):
    q.redis.hset(q.key("meta"), "max_jobs", bound)
    with pytest.raises(ResponseError, match="^INVALID queue default: the field max_jobs of meta must be an integer"):
        q.add()
    q.redis.hdel(q.key("meta"), "max_jobs")


def test_where_nobody_knows_the_goodput_the_rest_is_told(spoiled):
    spoiled.redis.set(spoiled.key("goodput"), "a stranger's")
    assert json.loads(spoiled.stats())["goodput"] == {}


def test_a_letter_of_no_kind_is_handed_out_again(q):
    q.redis.zadd(q.key("outbox"), {"odd x": 1})
    assert q.promote()[2] == ["odd x"]
    assert 4000 < q.redis.zscore(q.key("outbox"), "odd x") - q.now() <= 5000
    q.redis.delete(q.key("outbox"))


def test_so_many_leases_each_have_theirs(q):
    """Texts of numbers that are often used are kept, and not for ever."""
    for first in range(1000, 2100, 100):
        q.bulk("", *[word for ms in range(first, first + 100) for word in (spec(lease=f"{ms}ms"), "")])
    assert [q.job(n)["lease_ms"] for n in (1, 500, 1001, 1100)] == ["1000", "1499", "2000", "2099"]


def test_an_inbox_that_is_no_stream_has_nothing(q):
    q.submitter("add", "app"), q.submitter("add", "other")
    q.redis.set(q.key("inbox:app"), "a stranger's")
    q.redis.xadd(q.key("inbox:other"), {"spec": spec()})
    assert [s["waiting"] for s in json.loads(q.submitters())["submitters"]] == [0, 1]
    assert q.inbox()[0] == 1 and q.state(1) == "queued"
    q.redis.delete(q.key("inbox:app"))
