"""What has ended and is beyond max_finished: handed to the archive first, out of Redis then, retried from there."""
import json

import pytest
from redis.exceptions import ResponseError

from harness import wait_until


def bound(q, most, archive="store"):
    q.redis.hset(q.key("meta"), "max_finished", most)
    return q.prune(100, archive)


def ended(q, cause="succeeded", detail=None, **spec):
    claim = q.start(**spec)
    q.log(*claim.fence, "1", "1", "stdout", "1", "said")
    q.metric(*claim.fence, 1, '{"loss":1}')
    q.commit(claim, 1, 1)
    q.end(claim, cause, **(detail or {}))
    at = q.now()
    wait_until(lambda: q.now() > at, what="a millisecond has passed: the oldest goes first")
    return claim["n"]


def taken(q, who="s1", *limit):
    now, over, *rest = q.archive_take(who, *limit)
    assert abs(int(now) - q.now()) < 5000
    return over, [(rest[i], rest[i + 1], json.loads(rest[i + 2])) for i in range(0, len(rest), 3)]


def archive(q, who="s1"):
    """All that is over the bound, as a scheduler does it; the records by number, as texts."""
    kept = {}
    while True:
        _, _, *rest = q.archive_take(who)
        if not rest:
            return kept
        kept.update({rest[i]: rest[i + 2] for i in range(0, len(rest), 3)})
        pairs = [word for i in range(0, len(rest), 3) for word in rest[i:i + 2]]
        assert q.archive(*pairs) == len(pairs) // 2


def keys_of(q, n):
    return [k for k in q.redis.keys(q.key("*")) if k.endswith(f":{n}")]


def test_nothing_is_dropped_that_is_to_be_archived(q):
    ended(q), ended(q), ended(q)
    assert bound(q, 1) == [0, 3, 2]
    assert q.prune() == [0, 3, 2], "one without a store drops nothing either"
    assert q.redis.hget(q.key("meta"), "archive") == "on"
    assert q.events("retention.dropped") == []


def test_without_a_store_the_bound_is_kept(q):
    ended(q), ended(q)
    assert bound(q, 1, "none") == [1, 1, 0]
    assert q.redis.hget(q.key("meta"), "archive") is None


def test_an_operator_may_want_no_archive(q):
    ended(q), ended(q)
    q.redis.hset(q.key("meta"), "archive", "off")
    assert bound(q, 1) == [1, 1, 0]
    assert q.archive_take("s1")[1:] == [0]


def test_the_oldest_are_handed_out_with_all_that_is_known(q):
    ended(q, "permanent", {"error": "no"}, name="first")
    ended(q, detail={"result": '{"loss":[]}'}, command=["true", "x"])
    ended(q)
    bound(q, 1)
    over, ((n, _, first), (m, _, second)) = taken(q)
    assert (over, n, m) == (2, "1", "2")
    assert first["job"] == q.job(1) and first["job"]["state"] == "failed"
    assert first["spec"] == q.redis.get(q.key("spec:1")) and json.loads(first["spec"])["name"] == "first"
    assert first["checkpoints"] == q.redis.hgetall(q.key("checkpoints:1"))
    assert second["result"] == '{"loss":[]}', "byte for byte"
    assert taken(q, "s1", 1)[1][0][0] == "1" and len(taken(q, "s1", 1)[1]) == 1


def test_history_and_parents_are_handed_out(q):
    ended(q)
    q.add(after=["default-1"])
    claim, = q.take()
    q.end(claim, "error")
    q.hurry(2)
    claim, = q.take()
    q.end(claim, "permanent")
    bound(q, 0)
    _, records = taken(q)
    second = records[1][2]
    assert second["history"] == q.redis.lrange(q.key("history:2"), 0, -1) and len(second["history"]) == 2
    assert second["parents"] == {"default-1": "succeeded succeeded"}


def test_one_archives_at_a_time(q):
    ended(q), ended(q)
    bound(q, 0)
    assert len(taken(q)[1]) == 2
    assert q.archive_take("s2")[1:] == [0]
    assert 0 < q.redis.pttl(q.key("archiver")) <= 60000, "until it is heard of no more"
    assert len(taken(q)[1]) == 2, "the same one may ask again"
    q.redis.delete(q.key("archiver"))
    assert len(taken(q, "s2")[1]) == 2


def test_what_was_archived_leaves_redis(q):
    q.batch("b", '{"size":2}')
    ended(q, batch="b"), ended(q, webhook={"url": "http://y.org/"}), ended(q)
    bound(q, 1)
    kept = archive(q)
    assert sorted(kept) == ["1", "2"] and keys_of(q, 1) == keys_of(q, 2) == []
    event, = q.events("retention.archived")
    assert event["ids"] == "default-1 default-2" and event["count"] == "2"
    assert q.redis.exists(q.key("archiver")) == 0, "the next may come"
    assert q.redis.smembers(q.key("webhooks:jobs")) == set()
    assert q.prune(100, "store") == [0, 1, 0]
    with pytest.raises(ResponseError, match="^NOTFOUND no job default-1 "):
        q.show(1)


@pytest.mark.parametrize("change", [
    lambda q, claim: q.log(*claim.fence, "1", "1", "stdout", "1", "late"),
    lambda q, claim: q.metric(*claim.fence, 1, '{"loss":2}'),
    lambda q, claim: q.redis.hset(q.key("checkpoints:1"), "1-1", '{"state":"quarantined"}'),
    lambda q, claim: q.retry(1, 1),
])
def test_what_has_changed_since_stays(q, change):
    claim = q.start()
    q.commit(claim, 1, 1), q.commit(claim, 2, 2)
    q.end(claim, "permanent")
    bound(q, 0)
    _, ((n, version, _),) = taken(q)
    change(q, claim)
    assert q.archive(n, version) == 0 and q.state(1) == "failed"
    assert taken(q)[1][0][1] != version, "it is handed out as it is now"


def test_what_is_not_final_or_made_up_stays(q):
    running = q.start()
    ended(q)
    bound(q, 0)
    assert q.archive("1", "0" * 40, "2", "f" * 40, "77", "0" * 40) == 0
    assert q.state(1) == "running" and q.state(2) == "succeeded"
    q.end(running, "succeeded")


def test_a_number_without_its_job_goes(q):
    ended(q)
    q.redis.delete(*keys_of(q, 1))
    bound(q, 0)
    n, version, record = q.archive_take("s1")[2:]
    assert record == "" and q.archive(n, version) == 1
    assert q.redis.zcard(q.key("jobs:succeeded")) == 0


def test_a_parent_stays_until_all_know(q):
    ended(q)
    q.redis.zadd(q.key("releases"), {"1": 1})
    bound(q, 0)
    assert q.archive_take("s1")[1:] == [0]
    q.redis.delete(q.key("releases"))


def test_admission_closes_when_the_archive_is_far_behind(q):
    bound(q, 0)
    q.redis.zadd(q.key("jobs:succeeded"), {str(1000 + n): n for n in range(101)})
    q.redis.hset(q.key("meta"), "next", 2000)
    assert q.prune(100, "store") == [0, 101, 101]
    with pytest.raises(ResponseError, match="^FULL queue default: too many jobs have ended that are not in the arch"):
        q.add()
    assert [e["count"] for e in q.events("archive.behind")] == ["101"]
    archive_some = q.archive_take("s1", 60)[2:]
    q.archive(*[word for i in range(0, len(archive_some), 3) for word in archive_some[i:i + 2]])
    assert q.prune()[2] == 41
    q.add()
    assert [e["count"] for e in q.events("archive.caught_up")] == ["41"]
    q.redis.delete(q.key("jobs:succeeded"))
    q.cancel(2001)


def test_a_full_redis_is_archived(q):
    ended(q)
    bound(q, 0)
    q.redis.config_set("maxmemory", 1)
    try:
        assert len(archive(q)) == 1
    finally:
        q.redis.config_set("maxmemory", 0)


# ---------------------------------------------------------------- retry


def test_an_archived_job_is_retried(q):
    ended(q, "permanent", name="n", retry={"max_attempts": 7})
    bound(q, 0)
    record, = archive(q).values()
    assert q.retry(1, 1, "ada", record) == "default-2"
    new = q.job(2)
    assert (new["state"], new["retry_of"], new["name"], new["actor"]) == ("queued", "1", "n", "ada")
    lent = {name: json.loads(text) for name, text in q.redis.hgetall(q.key("checkpoints:2")).items()}
    assert {name: c["from"] for name, c in lent.items()} == {"0-1": "default-1"} and new["checkpoint"] == "0-1"
    assert keys_of(q, 1) == [q.key("retried:1")], "it is in the archive, and nowhere else"
    assert q.retry(1, 1, "ada", record) == "default-2", "sent again: the same job"
    claim, = q.take()
    assert claim["n"] == "2"
    q.end(claim, "succeeded")


def test_the_archive_is_not_needed_for_what_is_in_redis(q):
    ended(q, "permanent")
    assert q.retry(1, 1, "", '{"job":"nonsense"}') == "default-2"


@pytest.mark.parametrize("change, says", [
    (lambda r: {**r, "job": {**r["job"], "state": "running"}}, "this is none of job default-1"),
    (lambda r: {**r, "job": {**r["job"], "attempt": 3}}, "job: expected texts"),
    (lambda r: {**r, "spec": {}}, "expected a spec"),
    (lambda r: {k: v for k, v in r.items() if k != "job"}, "this is none of job default-1"),
    (lambda r: {**r, "checkpoints": "x"}, "checkpoints: expected texts"),
    (lambda r: {**r, "spec": "[]"}, "command: required"),
])
def test_a_record_that_is_none_changes_nothing(q, change, says):
    ended(q, "permanent")
    bound(q, 0)
    record, = archive(q).values()
    before = {k for k in q.redis.keys("*")}
    with pytest.raises(ResponseError, match="^INVALID .*" + says):
        q.retry(1, 1, "", json.dumps(change(json.loads(record))))
    assert {k for k in q.redis.keys("*")} == before and q.redis.hget(q.key("meta"), "next") == "1"


def test_what_cannot_be_retried_leaves_nothing(q):
    ended(q)
    ended(q, "permanent")
    bound(q, 0)
    kept = archive(q)
    with pytest.raises(ResponseError, match="^CONFLICT job default-1 has succeeded"):
        q.retry(1, 1, "", kept["1"])
    q.redis.hset(q.key("meta"), "max_jobs", 0)
    with pytest.raises(ResponseError, match="^FULL"):
        q.retry(2, 1, "", kept["2"])
    assert keys_of(q, 1) == keys_of(q, 2) == []
    with pytest.raises(ResponseError, match="this is none of job default-3"):
        q.retry(3, 1, "", kept["2"])


@pytest.mark.parametrize("args, says", [
    ((), "expected 1 to 100 times <n> <version>"), (("1",), "expected 1 to 100 times"),
    (("x", "0" * 40), "job number"), (("1", "0") * 101, "expected 1 to 100 times"),
])
def test_wrong_calls(q, args, says):
    with pytest.raises(ResponseError, match="^INVALID .*" + says):
        q.archive(*args)


@pytest.mark.parametrize("args, says", [
    ((), "who"), (("a b",), "who"), (("s1", "0"), "limit"), (("s1", "101"), "limit"), (("s1", "1", "x"), "too many"),
])
def test_wrong_takes(q, args, says):
    with pytest.raises(ResponseError, match="^INVALID .*" + says):
        q.archive_take(*args)


def reindex(q, who, verb, jobs=()):
    return q.reindex(who, verb, *[word for n, fields in jobs for word in (n, json.dumps(fields))])


def listed(q, limit=100, cursor=""):
    page = json.loads(q.list("archived", limit, cursor))
    return [job["id"] for job in page["jobs"]], page


def test_what_leaves_is_listed(q):
    numbers = [ended(q, name=f"n{i}", tags=["t"]) for i in range(4)]
    bound(q, 1)
    archive(q)
    ids, page = listed(q)
    assert ids == [f"default-{n}" for n in reversed(numbers[:3])] and page["index"] == "whole" and page["past"] == 0
    job = page["jobs"][0]
    assert (job["name"], job["state"], job["loss"], job["tags"]) == ("n2", "succeeded", "1", "t")
    assert "token" not in job and "spec" not in job
    first, page = listed(q, 2)
    rest, last = listed(q, 2, page["cursor"])
    assert first + rest == ids and last["cursor"] == ""


FIELDS = {"state": "failed", "ended_ms": "5", "name": "old", "uid": "u", "token": "1"}


def test_the_index_is_made_anew(q):
    for _ in range(2):
        ended(q)
    bound(q, 1)
    archive(q)
    assert reindex(q, "a", "begin") == 0
    assert listed(q)[0] == [] and listed(q)[1]["index"] == "by:a"
    assert reindex(q, "a", "add", [(1, FIELDS), (2, FIELDS), (1, {**FIELDS, "name": "x"}), (9, FIELDS)]) == 2, \
        "each once, and none that Redis has"
    assert reindex(q, "a", "add", [(9, FIELDS)]) == 0, "the same again"
    assert reindex(q, "a", "end") == 2
    ids, page = listed(q)
    assert sorted(ids) == ["default-1", "default-9"] and {job["name"] for job in page["jobs"]} == {"old"}
    assert q.add() == "10", "no number is given out twice"
    assert json.loads(q.stats())["lost"] == 9


def test_who_began_later_goes_on(q):
    reindex(q, "a", "begin"), reindex(q, "b", "begin")
    for verb, jobs in (("add", [(1, FIELDS)]), ("end", [])):
        with pytest.raises(ResponseError, match="CONFLICT.*anew by somebody else"):
            reindex(q, "a", verb, jobs)
    assert reindex(q, "b", "add", [(1, FIELDS)]) == 1 and reindex(q, "b", "end") == 1
    with pytest.raises(ResponseError, match="CONFLICT"):
        reindex(q, "b", "end")


@pytest.mark.parametrize("args, what", [
    (["a", "stop"], "expected begin, add or end"), (["", "begin"], "who"), (["a", "add"], "expected <who> add"),
    (["a", "add", 0, "{}"], "fields"), (["a", "add", 1, '{"state":"running","ended_ms":"1"}'], "none that has ended"),
    (["a", "add", 1, '{"state":"failed"}'], "none that has ended"), (["a", "begin", 1], "too many arguments"),
    (["a", "add", "x", json.dumps(FIELDS)], "n: expected"), (["a", "add", 1, "[]"], "JSON object")])
def test_wrong_steps_change_nothing(q, args, what):
    reindex(q, "a", "begin")
    before = q.redis.hgetall(q.key("meta"))
    with pytest.raises(ResponseError, match=what):
        q.reindex(*args)
    assert q.redis.hgetall(q.key("meta")) == before and not q.redis.exists(q.key("archived"))


def test_the_index_keeps_the_newest(q):
    reindex(q, "a", "begin")
    for first in range(1, 100001, 5000):
        with q.redis.pipeline() as many:
            many.zadd(q.key("archived"), {n: n * 10 for n in range(first, first + 5000)})
            many.hset(q.key("summaries"), mapping={n: "{}" for n in range(first, first + 5000)})
            many.execute()
    assert reindex(q, "a", "add", [(200001, {**FIELDS, "ended_ms": "2000000"}), (200002, {**FIELDS, "ended_ms": "5"})])
    assert q.redis.zcard(q.key("archived")) == 100000 and q.redis.zrange(q.key("archived"), 0, 0) == ["2"]
    reindex(q, "a", "end")
    ids, page = listed(q, 1)
    assert ids == ["default-200001"] and page["past"] == 11


def test_a_large_page_ends_early(q):
    for _ in range(6):
        q.end(q.start(env={"x": "y" * 125000, "z": "y" * 125000}), "succeeded")
    bound(q, 0)
    assert len(taken(q)[1]) == 5, "a megabyte is enough for one call"


def test_of_a_job_that_lost_its_parts_the_rest_is_kept(spoiled):
    q = spoiled
    n = ended(q, detail={"result": "[1]"})
    bound(q, 0)
    q.redis.delete(q.key("spec:1"), q.key("result:1"))
    (_, _, kept), = taken(q)[1]
    assert (kept["job"]["state"], kept["spec"], kept["result"]) == ("succeeded", "{}", "null") and n == "1"


def test_a_record_with_many_checkpoints_comes_back_whole(q):
    n = ended(q, "permanent")
    bound(q, 0)
    record = json.loads(archive(q)[n])
    one = record["checkpoints"]["1-1"]
    record["checkpoints"] = {f"1-{i}": one.replace('"seq":1', f'"seq":{i}') for i in range(1, 700)}
    assert q.retry(n, 1, "", json.dumps(record), "1-650") == "default-2"
    assert json.loads(q.redis.hget(q.key("checkpoints:2"), q.job(2)["checkpoint"]))["seq"] == 650


@pytest.mark.parametrize("job", [{"state": "failed"}, {"state": "running", "uid": "a"}, {}])
def test_what_is_no_record_of_a_job(q, job):
    n = ended(q, "permanent")
    bound(q, 0)
    archive(q)
    with pytest.raises(ResponseError, match="^INVALID archived record: this is none of job default-1"):
        q.retry(n, 1, "", json.dumps({"job": job, "spec": "{}"}))
