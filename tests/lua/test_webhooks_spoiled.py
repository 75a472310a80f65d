"""Webhooks of which something was deleted or overwritten: those are passed by, and the others are told as ever."""
import json

import pytest
from redis.exceptions import ResponseError

import test_webhooks
from test_webhooks import SECRET, URL, bodies, gather, take, take_all

hook = test_webhooks.hook  # the fixture

OWN = {"webhook": {"url": "https://own.example/x"}}


def listed(q):
    return json.loads(q.webhooks())


def dead(q, *args):
    return [d["delivery"] for d in json.loads(q.webhook_dead(*args))["deliveries"]]


def waiting(q, count):
    """So many deliveries; their ids."""
    ids = []
    while len(ids) < count:  # the id of a test is the time
        ids += {q.webhook_test("h1")} - set(ids)
    return ids


def bury(q, count=1):
    """So many dead deliveries; their ids, the newest first."""
    ids = waiting(q, count)
    for one in take_all(q):
        q.webhook_done(one["id"], one["try"], "refused", "", "no")
    assert sorted(dead(q)) == sorted(ids)
    return dead(q)


@pytest.mark.parametrize("odd", ["x", "3", "{}", '{"url":"http://x"}', '{"on":["*"]}', '{"url":1,"on":["*"]}',
                                 '{"url":"http://x","on":"*"}'])
def test_a_webhook_that_nobody_can_read_wants_nothing(q, hook, odd):
    q.redis.hset(q.key("webhooks"), "h2", odd)
    q.start()
    assert {b["event"] for b in bodies(q)} == {"job.submitted", "job.claimed"}
    assert [h["id"] for h in listed(q)["webhooks"]] == ["h1", "h2"] and listed(q)["webhooks"][1]["on"] == []
    q.redis.hdel(q.key("webhooks"), "h2")


def test_they_are_listed_in_the_order_in_which_they_came(q):
    for _ in range(11):
        q.webhook_add(URL, "", SECRET)
    assert [h["id"] for h in listed(q)["webhooks"]] == [f"h{i}" for i in range(1, 12)]
    assert listed(q)["secret_ms"] == ""
    q.webhook_secret(SECRET)
    assert int(listed(q)["secret_ms"]) >= q.now() - 5000


def test_a_count_that_is_no_number_is_none(q, hook):
    q.redis.hset(q.key("webhooks"), "h1", '{"url":"http://x","on":["*"]}')
    q.redis.hset(q.key("meta"), "webhook_waiting", "many")
    assert (listed(q)["waiting"], listed(q)["webhooks"][0]["added_ms"]) == (0, "0")
    with pytest.raises(ResponseError, match="^INVALID webhook_waiting of meta: expected an integer"):
        q.webhook_gather()
    q.redis.hset(q.key("meta"), "webhook_waiting", "0")


@pytest.mark.parametrize("spoil", [
    lambda q, key: q.redis.delete(key),
    lambda q, key: q.redis.delete(key) and q.redis.rpush(key, "a stranger's"),
    *(lambda q, key, odd=odd: q.redis.set(key, odd) for odd in (
        "x", "3", "{}", '{"webhook":3}', '{"webhook":{"url":3}}', '{"webhook":{"url":"ftp:x","on":["job.held"]}}'))])
def test_a_job_whose_spec_nobody_can_read_holds_no_other_up(spoiled, spoil):
    q = spoiled
    q.webhook_secret(SECRET)
    q.end(q.start(**OWN), "succeeded")
    spoil(q, q.key("spec:1"))
    q.end(q.start(**OWN), "succeeded")
    assert [b["job"] for b in bodies(q)] == ["default-2"]
    assert q.webhook_gather()[0] == 0


def test_an_empty_list_wants_how_it_ends(q):
    q.webhook_secret(SECRET)
    q.end(q.start(**OWN), "succeeded")
    q.redis.set(q.key("spec:1"), '{"command":"x","webhook":{"url":"odd","on":[]}}')
    one, = (gather(q), take_all(q))[1]
    assert one["url"] == "odd" and json.loads(one["body"])["event"] == "job.succeeded"


def test_many_with_a_webhook_of_their_own_in_one_call(q):
    """Of a queue in which nothing has happened yet."""
    q.redis.delete(q.key("events"))
    q.webhook_secret(SECRET)
    spec = json.dumps({"command": "x", **OWN, "webhook": {**OWN["webhook"], "on": ["job.submitted"]}})
    q.bulk("", spec, "", spec, "")
    assert [b["job"] for b in bodies(q)] == ["default-1", "default-2"]


def test_a_number_that_is_none_is_told_as_a_text_and_what_is_no_text_not_at_all(q, hook):
    q.end(q.start(), "error", exit=1)
    q.set_job(1, submitted_ms="soon")
    q.redis.xadd(q.key("events"), {"event": "job.held", "job": "default-1", "reason": b"\xff"})
    told = bodies(q)
    assert {b["submitted_ms"] for b in told} == {"soon"}
    assert told[-1]["event"] == "job.held" and "reason" not in told[-1]
    q.set_job(1, submitted_ms=q.now())


def test_a_batch_that_nobody_can_name_is_told_to_nobody(q, hook):
    q.webhook_add(URL, '["batch.done"]', SECRET)
    for fields in ({}, {"batch": b"\xff"}, {"batch": "b"}):
        q.redis.xadd(q.key("events"), {"event": "batch.done", **fields})
    assert [sorted(b) for b in bodies(q)] == [["batch", "event", "id", "queue", "time_ms"]], "only what was said"


def test_the_webhook_of_a_batch_that_is_gone(q):
    q.webhook_secret(SECRET)
    q.batch("b", json.dumps({"webhook": {"url": "https://c.example/done"}}))
    q.end(q.start(batch="b"), "succeeded")
    q.redis.hdel(q.key("batch:b"), "webhook")
    assert bodies(q) == [] and not q.redis.exists(q.key("webhooks:batches"))


def test_where_nobody_knows_how_far_it_was_read_all_is_told_again(q, hook):
    """And what waits already waits once."""
    q.start()
    gather(q)
    q.redis.hset(q.key("meta"), "webhook_cursor", "odd")
    gather(q)
    assert q.redis.hget(q.key("meta"), "webhook_waiting") == "2"
    assert [b["event"] for b in bodies(q)] == ["job.submitted", "job.claimed"]
    assert q.redis.hget(q.key("meta"), "webhook_cursor") != "odd"


# ---------------------------------------------------------------- deliveries

def test_a_delivery_whose_record_is_gone_goes(q, hook):
    first, second = waiting(q, 2)
    q.redis.delete(q.key("delivery:" + first))
    assert [one["id"] for one in take(q)] == [second]
    assert q.redis.hget(q.key("meta"), "webhook_waiting") == "1"


def test_one_that_is_in_no_lane_is_done_all_the_same(q, hook):
    id = q.webhook_test("h1")
    one, = take(q)
    q.redis.zrem(q.key("deliveries:to:h1"), id)
    q.redis.hset(q.key("meta"), "webhook_waiting", "0")
    assert q.webhook_done(id, one["try"], "ok") == "ok"
    assert q.redis.hget(q.key("meta"), "webhook_waiting") == "0" and not q.redis.exists(q.key("delivery:" + id))


def test_so_many_deliveries_wait_in_all(q, hook):
    q.redis.hset(q.key("meta"), "webhook_waiting", "100000")
    q.add()
    gather(q)
    assert take(q) == [] and len(dead(q)) == 1
    assert "100000 in all: no more are taken" in json.loads(q.webhook_dead())["deliveries"][0]["error"]
    q.redis.hset(q.key("meta"), "webhook_waiting", "0")


def test_settings_that_are_no_numbers_are_the_defaults(q, hook):
    q.redis.hset(q.key("meta"), mapping={"webhook_tries": "x", "webhook_backoff_ms": "y"})
    id = q.webhook_test("h1")
    one, = take(q)
    assert q.webhook_done(id, one["try"], "failed") == "failed"
    assert 4000 < q.redis.zscore(q.key("deliveries:to:h1"), id) - q.now() <= 5000
    kept = json.loads(q.webhook_delivery(id))
    assert kept["error"] == "no answer" and "status" not in kept


def test_the_dead_are_listed_in_pages(q, hook):
    newest, middle, oldest = bury(q, 3)
    page = json.loads(q.webhook_dead(2))
    assert ([d["delivery"] for d in page["deliveries"]], page["cursor"]) == ([newest, middle], "2")
    assert dead(q, 2, page["cursor"]) == [oldest]


def test_a_dead_one_without_its_record_is_not_sent_again(q, hook):
    first, second = bury(q, 2)
    q.redis.delete(q.key("delivery:" + first))
    with pytest.raises(ResponseError, match="^CONFLICT delivery .* was for a webhook that is no more"):
        q.webhook_resend(first)
    assert q.webhook_resend("all") == [1, 0] and [one["id"] for one in take(q)] == [second]


def test_a_dead_one_without_its_body_is_no_longer_dead(q, hook):
    id, = bury(q)
    q.redis.hdel(q.key("delivery:" + id), "body")
    q.webhook_resend(id)
    assert take(q) == [] and dead(q) == []
    q.redis.delete(q.key("delivery:" + id))


def test_a_lane_that_stands_before_its_time_finds_its_place_again(q, hook):
    id = q.webhook_test("h1")
    q.redis.zadd(q.key("deliveries:to:h1"), {id: q.now() + 60000})
    q.redis.zadd(q.key("deliveries"), {"h1": 1})
    assert take(q) == []
    assert q.redis.zscore(q.key("deliveries"), "h1") == q.redis.zscore(q.key("deliveries:to:h1"), id)
