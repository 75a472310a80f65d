"""Webhooks inside Redis: from events to deliveries, who may send which, and what becomes of those that fail."""
import json
import re

import pytest
from redis.exceptions import ResponseError

from conftest import BUILD

SECRET = "whsec_0123456789abcdef"
URL = "https://example.org/hook"


def pairs(reply):
    return dict(zip(reply[::2], reply[1::2]))


def gather(q):
    while q.webhook_gather()[0]:
        pass


def take(q, limit=100, lease=20000, *busy):
    return [pairs(one) for one in q.webhook_take(limit, lease, *busy)]


def bodies(q):
    gather(q)
    return [json.loads(one["body"]) for one in take_all(q)]


def take_all(q):
    found = []
    while more := take(q):
        found += more
    return found


@pytest.fixture
def hook(q):
    return q.webhook_add(URL, json.dumps(["*"]), SECRET, "ada")


def test_nothing_is_read_without_webhooks(q):
    q.add()
    assert q.webhook_gather() == [0, -1]
    assert not q.redis.hexists(q.key("meta"), "webhook_cursor")
    assert q.redis.keys(q.key("deliver*")) == []


def test_a_whole_life_is_told_in_order_from_the_moment_it_was_added(q):
    q.end(q.start(name="before"), "succeeded")
    q.webhook_add(URL, '["job.*"]', SECRET)
    claim = q.start(name="it", experiment="e")
    q.end(claim, "succeeded", exit=0)
    told = bodies(q)
    assert [(b["event"], b["job"], b["attempt"], b["state"]) for b in told[:1]] == [
        ("job.submitted", "default-2", 0, "queued")]
    assert [b["event"] for b in told] == ["job.submitted", "job.claimed", "job.succeeded"]
    last = told[-1]
    assert last["name"] == "it" and last["experiment"] == "e" and last["exit"] == 0 and last["queue"] == "default"
    assert last["ended_ms"] >= last["submitted_ms"] > 1600000000000 and last["time_ms"] >= last["submitted_ms"]
    assert len({b["id"] for b in told}) == 3


def test_many_jobs_in_one_event_are_a_delivery_each_and_calls_are_bounded(q):
    q.webhook_add(URL, '["job.submitted"]', SECRET)
    q.webhook_add(URL, '["job.submitted"]', SECRET)
    args = [part for _ in range(100) for part in (json.dumps({"command": ["x"]}), "")]
    q.bulk("", *args)
    assert q.webhook_gather(10)[0] == 1
    assert q.redis.hget(q.key("meta"), "webhook_waiting") == "10"
    gather(q)
    assert q.redis.hget(q.key("meta"), "webhook_waiting") == "200"
    told = [json.loads(one["body"])["job"] for one in take_all(q)]
    assert sorted(told) == sorted([f"default-{n}" for n in range(1, 101)] * 2)
    assert q.webhook_gather() == [0, pytest.approx(20000, abs=2000)]


def test_only_what_was_asked_for(q):
    q.webhook_add(URL, "", SECRET)
    q.webhook_add(URL, '["checkpoint.*","job.failed"]', SECRET)
    claim = q.start(retry={"max_attempts": 1})
    q.commit(claim, 1, 5)
    q.end(claim, "error", error="boom", exit=3)
    gather(q)
    told = [(one["target"], json.loads(one["body"])) for one in take_all(q)]
    assert sorted((t, b["event"]) for t, b in told) == [("h1", "job.failed"), ("h2", "checkpoint.committed"),
                                                       ("h2", "job.failed")]
    failed = next(b for _, b in told if b["event"] == "job.failed")
    assert (failed["error"], failed["exit"], failed["cause"], failed["state"]) == ("boom", 3, "error", "failed")


def test_a_job_brings_its_own(q):
    q.webhook_secret(SECRET)
    q.add()
    q.add(webhook={"url": "http://a.example:8080/x?y"})
    q.add(webhook={"url": "http://a.example:8080/z", "on": ["job.claimed"]})
    q.add(webhook={"url": "http://b.example/"})
    for claim in q.take(most=4):
        q.end(claim, "succeeded")
    gather(q)
    told = [(one["url"], json.loads(one["body"])["event"], one["secret"]) for one in take_all(q)]
    assert sorted(told) == [("http://a.example:8080/x?y", "job.succeeded", SECRET),
                            ("http://a.example:8080/z", "job.claimed", SECRET),
                            ("http://b.example/", "job.succeeded", SECRET)]
    assert q.redis.zcard(q.key("deliveries")) == 2, "one lane an origin"
    assert not q.redis.exists(q.key("webhooks:jobs")), "all have ended"
    q.webhook_gather()
    assert not q.redis.hexists(q.key("meta"), "webhook_cursor"), "nothing is read any more"


def test_a_retried_job_still_has_its_webhook(q):
    q.webhook_secret(SECRET)
    claim = q.start(webhook={"url": URL}, retry={"max_attempts": 1})
    q.end(claim, "error")
    again = q.retry(1, 1)
    q.end(q.take()[0], "succeeded")
    assert [(b["job"], b["event"]) for b in bodies(q)] == [("default-1", "job.failed"), (again, "job.succeeded")]


def test_without_a_secret_a_jobs_webhook_is_dead_and_can_go_again(q):
    claim = q.start(webhook={"url": URL})
    q.end(claim, "succeeded")
    gather(q)
    assert take(q) == []
    (dead,) = json.loads(q.webhook_dead())["deliveries"]
    assert dead["error"].startswith("the queue has no secret to sign the webhooks of jobs with")
    assert dead["body"]["job"] == "default-1"
    q.webhook_secret(SECRET)
    assert q.webhook_resend(dead["delivery"]) == [1, 0]
    assert len(take(q)) == 1
    assert q.events("webhook.dead")[0]["about"] == "default-1"


def test_one_scheduler_has_it_at_a_time(q, hook):
    q.add()
    gather(q)
    (one,) = take(q)
    assert take(q) == []
    assert q.webhook_done(one["id"], one["try"], "ok", "200") == "ok"
    assert q.webhook_done(one["id"], one["try"], "ok", "200") == "gone"
    assert q.webhook_gather() == [0, -1]
    assert q.redis.keys(q.key("deliver*")) == []


def test_who_dies_with_it_leaves_it_to_others(q, hook):
    q.add()
    gather(q)
    (lost,) = take(q, 10, 100)
    (again,) = wait_take(q)
    assert (again["id"], lost["try"], again["try"]) == (lost["id"], 1, 2)
    assert q.webhook_done(lost["id"], lost["try"], "failed", "500", "late") == "stale"
    assert q.webhook_done(lost["id"], lost["try"], "ok", "200") == "ok", "delivered is delivered"


def wait_take(q):
    from harness import wait_until
    return wait_until(lambda: take(q), what="it is due")


def test_failures_come_again_later_and_later_and_then_are_dead(q, hook):
    q.redis.hset(q.key("meta"), mapping={"webhook_tries": 4, "webhook_backoff_ms": 1000})
    q.add()
    gather(q)
    waits = []
    for _ in range(3):
        (one,) = take(q)
        assert q.webhook_done(one["id"], one["try"], "failed", "500", "it answered 500") == "failed"
        due = q.redis.zscore(q.key("deliveries:to:h1"), one["id"])
        waits.append(round((due - q.now()) / 1000))
        q.redis.zadd(q.key("deliveries:to:h1"), {one["id"]: 1})
        q.redis.zadd(q.key("deliveries"), {"h1": 1})
    assert waits == [1, 2, 4]
    (one,) = take(q)
    assert q.webhook_done(one["id"], one["try"], "failed", "500", "it answered 500") == "dead"
    page = json.loads(q.webhook_dead())
    (dead,) = page["deliveries"]
    assert page["cursor"] == ""
    assert (dead["tries"], dead["status"], dead["error"], dead["webhook"]) == ("4", "500", "it answered 500", "h1")
    assert json.loads(q.webhook_delivery(dead["delivery"])) == dead
    assert q.webhook_resend("all") == [1, 0]
    (again,) = take(q)
    assert again["try"] == 1 and again["message"] == one["message"], "the same message, as good as new"


def test_a_refused_one_is_dead_at_once(q, hook):
    q.add()
    gather(q)
    (one,) = take(q)
    assert q.webhook_done(one["id"], one["try"], "refused", "", "127.0.0.1 is a private address") == "dead"
    assert take(q) == []


def test_one_receiver_gets_four_at_a_time_and_a_busy_one_none(q):
    q.webhook_add("https://slow.example/", '["job.submitted"]', SECRET)
    q.webhook_add("https://fast.example/", '["job.submitted"]', SECRET)
    for _ in range(10):
        q.add()
    gather(q)
    first = take(q, 100)
    assert sorted(one["target"] for one in first) == ["h1"] * 4 + ["h2"] * 4
    assert {one["target"] for one in take(q, 100, 20000, "h1")} == {"h2"}
    assert len(take(q, 1)) == 1


def test_a_removed_webhook_takes_what_waits_with_it(q, hook):
    for _ in range(30):
        q.add()
    gather(q)
    assert q.webhook_remove(hook) == "removed"
    assert q.redis.keys(q.key("deliver*")) == [] and q.redis.hget(q.key("meta"), "webhook_waiting") == "0"
    assert q.redis.hgetall("stoker-secret:{default}:webhooks") == {}
    q.add()
    assert q.webhook_gather() == [0, -1]
    assert q.webhook_add(URL, "", SECRET) == "h2", "an id is used once"


def test_a_dead_one_of_a_removed_webhook_cannot_go_again(q, hook):
    q.add()
    gather(q)
    (one,) = take(q)
    q.webhook_done(one["id"], one["try"], "refused", "", "no")
    q.webhook_remove(hook)
    with pytest.raises(ResponseError, match="^CONFLICT delivery .* was for a webhook that is no more"):
        q.webhook_resend(one["id"])
    assert q.webhook_resend("all") == [0, 0]
    assert q.redis.keys(q.key("deliver*")) == []


def test_the_dead_and_the_waiting_are_bounded(q, hook):
    for i in range(1001):
        q.redis.zadd(q.key("deliveries:dead"), {f"x{i}": i})
        q.redis.hset(q.key(f"delivery:x{i}"), mapping={"hook": "h1", "target": "h1", "body": "{}"})
    q.redis.zadd(q.key("deliveries:to:h1"), {f"y{i}": 9e12 for i in range(10000)})
    q.add()
    gather(q)
    assert q.redis.zcard(q.key("deliveries:dead")) == 1001
    assert q.redis.zscore(q.key("deliveries:dead"), "x0") is None, "the oldest went for the newest"
    newest = json.loads(q.webhook_dead(1))["deliveries"][0]
    assert newest["error"].startswith("10000 deliveries wait for this receiver")
    q.redis.flushall()


def test_what_was_trimmed_before_it_was_read_is_counted(q, hook):
    for _ in range(10):
        q.add()
    gather(q)
    take_all(q)
    for _ in range(10):
        q.add()
    q.redis.xtrim(q.key("events"), maxlen=4, approximate=False)
    gather(q)
    assert len(take_all(q)) == 4
    assert [e["count"] for e in q.events("webhook.missed")] == ["6"]
    q.add()
    gather(q)
    assert len(q.events("webhook.missed")) == 1


def test_what_strangers_write_there_harms_nothing(q, hook):
    q.redis.xadd(q.key("events"), {"event": "job.failed", "job": "other-7", "attempt": "1"})
    q.redis.xadd(q.key("events"), {"event": "job.failed", "job": "default-x", "attempt": "1"})
    q.redis.xadd(q.key("events"), {"event": "job.failed", "jobs": "garbage : :: default-99:1"})
    q.redis.xadd(q.key("events"), {"x": "y"})
    q.redis.hset(q.key("webhooks"), "h9", "no json")
    told = bodies(q)
    assert [b["job"] for b in told] == ["default-99"]
    q.redis.hdel(q.key("webhooks"), "h9")


def test_the_list_and_a_test(q, hook):
    listed = json.loads(q.webhooks())
    (one,) = listed["webhooks"]
    assert (one["id"], one["url"], one["on"], one["actor"], one["waiting"]) == ("h1", URL, ["*"], "ada", "0")
    assert SECRET not in json.dumps(listed) and listed["secret_ms"] == ""
    delivery = q.webhook_test(hook)
    (sent,) = take(q)
    assert sent["id"] == delivery
    assert json.loads(sent["body"])["event"] == "webhook.test"
    q.webhook_done(delivery, 1, "ok")
    with pytest.raises(ResponseError, match="^NOTFOUND no delivery"):
        q.webhook_delivery(delivery)
    assert SECRET not in "".join(map(str, q.redis.xrange(q.key("events"))))


BAD = [
    ("webhook_add", ("ftp://x", "", SECRET), "INVALID webhook.url: expected a URL of http or https"),
    ("webhook_add", ("", "", SECRET), "INVALID webhook.url: expected a URL of http or https"),
    ("webhook_add", (URL, "x", SECRET), 'INVALID webhook.on: expected a JSON list of texts, got "x"'),
    ("webhook_add", (URL, "null", SECRET), 'INVALID webhook.on: expected a JSON list of texts, got "null"'),
    ("webhook_add", (URL, '{"a":1}', SECRET), "INVALID webhook.on: expected a list of at most 32 texts"),
    ("webhook_add", (URL, '["job.fail"]', SECRET), "INVALID webhook.on[0]: expected the name of an event"),
    ("webhook_add", (URL, '["worker.up"]', SECRET), "INVALID webhook.on[0]: expected the name of an event"),
    ("webhook_add", (URL, "", ""), "INVALID secret: expected 16 to 256 printable ASCII characters without space"),
    ("webhook_add", (URL, "", "my own pass word!"), "INVALID secret: expected 16 to 256 printable ASCII characters"),
    ("webhook_add", (URL, "", SECRET, "a\nb"), "INVALID actor"),
    ("webhook_secret", ("short",), "INVALID secret: expected 16 to 256 printable ASCII characters"),
    ("webhook_remove", ("7",), 'INVALID webhook: expected the id of a webhook, like h1, got "7"'),
    ("webhook_remove", ("h7",), "NOTFOUND queue default has no webhook h7"),
    ("webhook_test", ("h7",), "NOTFOUND queue default has no webhook h7"),
    ("webhook_delivery", ("x y",), "INVALID delivery: expected the id of a delivery"),
    ("webhook_resend", ("1-0-1-h1",), "NOTFOUND no dead delivery 1-0-1-h1"),
    ("webhook_resend", ("all", "101"), "INVALID limit: expected an integer from 1 to 100"),
    ("webhook_take", ("0", "1000"), "INVALID limit: expected an integer from 1 to 100"),
    ("webhook_take", ("1", "1"), "INVALID lease: expected an integer from 100 to 600000"),
    ("webhook_done", ("x", "1", "maybe"), 'INVALID verdict: expected ok, failed or refused, got "maybe"'),
    ("webhook_done", ("x", "0", "ok"), "INVALID try: expected an integer from 1"),
    ("webhook_dead", ("101",), "INVALID limit: expected an integer from 1 to 100"),
    ("webhook_gather", ("101",), "INVALID limit: expected an integer from 1 to 100"),
]


@pytest.mark.parametrize("name, args, says", BAD, ids=range(len(BAD)))
def test_bad_words(q, name, args, says):
    before = q.snapshot()
    with pytest.raises(ResponseError) as error:
        getattr(q, name)(*args)
    assert str(error.value).startswith(says), error.value
    assert SECRET not in str(error.value) and "my own" not in str(error.value)
    assert q.snapshot() == before


def test_a_batch_tells_its_own_when_it_is_done(q):
    q.webhook_secret(SECRET)
    q.batch("b", json.dumps({"webhook": {"url": "https://c.example/done"}}))
    q.add(), q.add(batch="b"), q.add(batch="b")
    one, two, three = q.take(most=3)
    q.end(one, "succeeded"), q.end(two, "succeeded")
    assert bodies(q) == []
    q.end(three, "permanent")
    gather(q)
    told, = take(q)
    assert (told["url"], told["secret"]) == ("https://c.example/done", SECRET)
    body = json.loads(told["body"])
    assert body.pop("time_ms") > 0 and body.pop("id").startswith("default-")
    assert body == {"event": "batch.done", "queue": "default", "batch": "b", "count": 2, "succeeded": 1, "failed": 1,
                    "cancelled": 0, "reason": "1 succeeded, 1 failed, 0 cancelled"}
    assert q.webhook_done(told["id"], told["try"], "ok") == "ok"
    gather(q)
    assert not q.redis.hexists(q.key("meta"), "webhook_cursor"), "nothing is read any more"
    assert q.redis.hget(q.key("batch:b"), "webhook") == "https://c.example/done"
    again = q.retry(3, 1).rsplit("-", 1)[1]
    q.end(q.take()[0], "succeeded")
    assert [(b["count"], b["succeeded"]) for b in bodies(q)] == [(3, 2)], f"done again, with {again}"


def test_a_graph_brings_one_staged_or_not(q):
    q.webhook_secret(SECRET)
    hook = {"url": "https://c.example/done"}
    q.graph(json.dumps({"jobs": [{"command": "x"}], "batch": "g", "webhook": hook}))
    q.stage("s", 1, 0, '{"command":"x"}')
    q.commit_stage = lambda *args: q.redis.fcall("stoker_commit", 1, q.key("meta"), *args)
    q.commit_stage("s", "", "", "h", "", json.dumps(hook))
    q.promote()
    for claim in q.take(most=2):
        q.end(claim, "succeeded")
    assert sorted((b["event"], b["batch"]) for b in bodies(q)) == [("batch.done", "g"), ("batch.done", "h")]
    for words in ('3', '{"url":"x"}', '{"on":[]}'):
        q.stage("t", 1, 0, '{"command":"x"}')
        with pytest.raises(ResponseError, match="^INVALID webhook"):
            q.commit_stage("t", "", "", "", "", words)
    q.commit_stage("t")


def test_who_asks_for_batches_by_name_is_told_of_them(q):
    q.webhook_add(URL, '["batch.done"]', SECRET)
    q.webhook_add(URL, '["batch.done","job.failed","batch.done"]', SECRET)
    q.webhook_add(URL, '["*"]', SECRET)
    q.add(batch="b")
    q.end(q.take()[0], "permanent")
    gather(q)
    told = [(one["target"], json.loads(one["body"])["event"]) for one in take_all(q)]
    assert sorted(t for t in told if t[0] != "h3") == [("h1", "batch.done"), ("h2", "batch.done"), ("h2", "job.failed")]
    assert ("h3", "batch.done") not in told and len(told) == 6, "* is all that jobs do"
    listed = json.loads(q.webhooks())["webhooks"]
    assert [w["on"] for w in listed] == [["batch.done"], ["job.failed", "batch.done"], ["*"]]


def test_a_batch_without_the_secret_is_told_to_nobody(q):
    q.batch("b", json.dumps({"webhook": {"url": "https://c.example/done"}}))
    q.add(batch="b")
    q.end(q.take()[0], "succeeded")
    assert bodies(q) == [] and q.events("webhook.dead")[0]["about"] == "b"
    lost, = json.loads(q.webhook_dead())["deliveries"]
    assert lost["batch"] == "b" and "secret" in lost["error"]


def test_a_batch_that_is_gone_is_forgotten(q):
    q.redis.hset(q.key("meta"), "max_finished", 0)
    q.batch("b", json.dumps({"webhook": {"url": "https://c.example/done"}}))
    q.batch("empty", json.dumps({"webhook": {"url": "https://c.example/done"}}))
    q.add(batch="b")
    q.end(q.take()[0], "succeeded")
    assert q.redis.smembers(q.key("webhooks:batches")) == {"b", "empty"}
    q.redis.delete(q.key("batch:empty"))
    q.prune()
    assert not q.redis.exists(q.key("webhooks:batches"), q.key("batch:b"))
    assert bodies(q) == []


def test_a_strange_key_in_the_place_of_the_watched_batches(q):
    q.redis.set(q.key("webhooks:batches"), "mine")
    before = q.snapshot()
    for call in (lambda: q.batch("b", '{"webhook":{"url":"http://x"}}'),
                 lambda: q.graph('{"jobs":[{"command":"x"}],"webhook":{"url":"http://x"}}')):
        with pytest.raises(ResponseError, match="^WRONGTYPE"):
            call()
    assert q.snapshot() == before
    q.redis.delete(q.key("webhooks:batches"))


def test_at_most_twenty(q):
    for _ in range(20):
        q.webhook_add(URL, "", SECRET)
    with pytest.raises(ResponseError, match="^FULL queue default has 20 webhooks"):
        q.webhook_add(URL, "", SECRET)


def test_every_event_about_jobs_can_be_asked_for():
    """What is said in the functions and the names that `on` takes are one list."""
    code = (BUILD / "stoker.lua").read_text()
    said = set(re.findall(r"(?<!values\[)(?<!values, )'((?:job|checkpoint|recovery)\.[a-z_]+)'", code))
    taken = set(re.findall(r'\["((?:job|checkpoint|recovery)\.[a-z_]+)"\] = true', code))
    assert said - taken == set(), "missing in spec_event of queue/spec_table.c"
