"""What a job may ask for after a bad end: how long it waits, and that another worker takes it. What it may say of
itself: how far it is, and its result. And workers that are told to drain."""
import json

import pytest
from redis.exceptions import ResponseError

FAR = {"elsewhere": "1h", "backoff": "1s", "jitter": 0}


def lane(q, n):
    return q.job(n)["lane"]


def away(q):
    return {n: int(due) for n, due in q.redis.zrange(q.key("elsewhere"), 0, -1, withscores=True)}


# ---------------------------------------------------------------- how long it waits

@pytest.mark.parametrize("growth,waits", [
    ("constant", [2, 2, 2, 2]), ("linear", [2, 4, 6, 7]), ("exponential", [2, 4, 7, 7]), (None, [2, 4, 7, 7])])
@pytest.mark.parametrize("cause,section", [("error", "retry"), ("timeout", "retry"), ("corrupted", "recovery")])
def test_the_wait_grows(q, growth, waits, cause, section):
    rules = {"backoff": "2s", "max_backoff": "7s", "jitter": 0, "max_attempts": 9}
    if growth:
        rules["growth"] = growth
    claim = q.start(**{section: rules})
    for seconds in waits:
        before = q.now()
        assert q.end(claim, cause) == ["ok", "waiting"]
        due = int(q.job(1)["due_ms"])
        assert before + seconds * 1000 <= due <= q.now() + seconds * 1000
        q.hurry(1)
        claim, = q.take()


def test_the_jitter_spreads_it(q):
    due = []
    for n in range(1, 31):
        claim = q.start(retry={"backoff": "100s", "max_backoff": "100s", "jitter": 0.5, "growth": "constant"})
        now = q.now()
        q.end(claim, "error")
        due.append(int(q.job(n)["due_ms"]) - now)
    assert min(due) >= 50_000 and max(due) <= 150_010
    assert max(due) - min(due) > 40_000, "not all at once"


# ---------------------------------------------------------------- elsewhere

@pytest.mark.parametrize("cause", ["error", "timeout", "stalled", "corrupted", "lost"])
def test_it_goes_to_another_worker(q, cause):
    claim = q.start(retry=FAR)
    q.lose(1) if cause == "lost" else q.end(claim, cause)
    if cause != "lost":
        q.hurry(1)
    assert lane(q, 1) == "cpu1:5:!not@w1" and list(away(q)) == ["1"]
    assert q.take("w1") == []
    again, = q.take("w2")
    assert again["attempt"] == "2" and away(q) == {}
    assert q.end(again, "succeeded") == ["ok", "succeeded"]


@pytest.mark.parametrize("cause,where", [("preempted", "!front"), ("error", "-"), ("lost", "!front")])
def test_without_the_wish_it_goes_anywhere(q, cause, where):
    claim = q.start(retry=FAR if cause == "preempted" else {})
    q.lose(1) if cause == "lost" else q.end(claim, cause)
    if cause == "error":
        q.hurry(1)
    assert lane(q, 1).endswith(":" + where) and away(q) == {}
    assert len(q.take("w1")) == 1


def test_it_blocks_nobody(q):
    for _ in range(3):
        q.end(q.start(retry=FAR), "error")
    for n in (1, 2, 3):
        q.hurry(n)
    q.add(), q.add()
    assert [c["n"] for c in q.take("w1", 5)] == ["4", "5"], "its own worker passes them by"
    assert sorted(c["n"] for c in q.take("w2", 5)) == ["1", "2", "3"]


def test_others_are_rung_for(q):
    """The worker that is kept off heard the bell: it rings on."""
    q.end(q.start(retry=FAR), "error")
    q.redis.delete(q.key("wake:cpu1"))
    q.hurry(1)
    assert q.redis.zpopmin(q.key("wake:cpu1")), "the job rings"
    assert q.take("w1") == []
    assert q.redis.zcard(q.key("wake:cpu1")) == 1


def test_nobody_else_comes(q):
    q.end(q.start(retry=FAR), "error")
    moved, next_ms = q.hurry(1)
    assert moved == 1 and 3_500_000 < next_ms <= 3_600_000, "promote comes again when the time is over"
    q.redis.zadd(q.key("elsewhere"), {"1": 1})
    assert q.promote() == [0, -1]
    assert lane(q, 1) == "cpu1:5:-" and away(q) == {}
    assert q.events("job.queued")[-1]["reason"] == "no other worker took it"
    again, = q.take("w1")
    assert again["attempt"] == "2"
    q.end(again, "error")
    q.hurry(1)
    assert lane(q, 1) == "cpu1:5:!not@w1", "and elsewhere again"


def test_a_loss_that_nobody_else_takes_goes_to_the_front(q):
    q.start(retry=FAR)
    q.lose(1)
    q.redis.zadd(q.key("elsewhere"), {"1": 1})
    q.promote()
    assert lane(q, 1) == "cpu1:5:!front"
    assert q.take("w1")[0]["attempt"] == "2"


def test_a_loss_can_be_taken_back_from_there(q):
    claim = q.start(retry=FAR)
    q.lose(1)
    assert q.renew(*claim.fence)[0] == "ok"
    assert q.job(1)["state"] == "running" and away(q) == {}
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]


def test_a_tenant_goes_elsewhere_and_back_into_its_own_lane(q):
    q.end(q.start(retry=FAR, tenant="ada"), "error")
    q.hurry(1)
    assert lane(q, 1) == "cpu1:5:!not@w1"
    q.redis.zadd(q.key("elsewhere"), {"1": 1})
    q.promote()
    assert lane(q, 1) == "cpu1:5:ada" and len(q.take("w1")) == 1


def test_a_machine_is_not_emptied_for_what_is_not_to_go_there(q):
    q.end(q.start(retry=FAR), "error")
    q.hurry(1)
    q.redis.zadd(q.key("lanes"), {"cpu1:5:!not@w1": 8 * 10**13})  # its head has waited since 1970
    for _ in range(2):
        q.add()
    free = {"cpus": 1, "gpus": 0, "memory": 1 << 40, "labels": {}, "total": {"cpus": 4, "gpus": 0, "memory": 1 << 40}}
    assert len(q.take("w1", free=free)) == 1
    assert not q.redis.keys(q.key("reserved:*"))


def test_a_slot_is_waited_for_before_the_other_worker(q):
    rules = {"retry": FAR, "concurrency": {"key": "k", "max": 1}}
    claim = q.start(**rules)
    q.end(claim, "error")
    second = q.start("w2", **rules)
    q.hurry(1)
    assert q.job(1)["reason"] == "limit"
    q.end(second, "succeeded")
    assert lane(q, 1) == "cpu1:5:!not@w1" and list(away(q)) == ["1"]


def test_what_waits_elsewhere_can_be_cancelled(q):
    q.end(q.start(retry=FAR), "error")
    q.hurry(1)
    assert q.cancel(1) == "cancelled" and away(q) == {}


def test_only_the_last_worker_is_kept_off(q):
    q.end(q.start("w1", retry={**FAR, "max_attempts": 9}), "error")
    q.hurry(1)
    q.end(q.take("w2")[0], "error")
    q.hurry(1)
    assert lane(q, 1) == "cpu1:5:!not@w2"
    assert q.take("w2") == [] and len(q.take("w1")) == 1


def test_its_class_survives_the_pruning_of_classes(q):
    q.end(q.start(retry={**FAR, "max_lost": 9}, resources={"cpus": 3}), "error")
    for cpus in range(70, 150):
        q.add(resources={"cpus": cpus})
        q.cancel(cpus - 68)
    q.hurry(1)
    for _ in range(40):
        q.prune()
    assert q.redis.hlen(q.key("classes")) <= 64 + 8 and q.redis.hexists(q.key("classes"), "cpu3")
    claim, = q.take("w2")
    q.redis.hdel(q.key("classes"), "cpu3")  # while it runs, prune may not see that it is used
    q.lose(1)
    assert q.redis.hexists(q.key("classes"), "cpu3")
    assert [c["n"] for c in q.take("w1")] == [claim["n"]]


def test_show_says_until_when(q):
    q.end(q.start(retry=FAR), "error")
    q.hurry(1)
    shown = json.loads(q.show(1))
    assert 0 < shown["elsewhere_until_ms"] - shown["now_ms"] <= 3_600_000


def test_jobs_that_do_not_ask_cost_nothing(q):
    q.redis.config_resetstat()
    claim = q.start()
    q.end(claim, "succeeded")
    calls = {name: stat["calls"] for name, stat in q.redis.info("commandstats").items()}
    assert calls["cmdstat_zscore"] == 2 and "cmdstat_get" not in calls # of the lane and its bell
    assert "elsewhere_ms" not in q.job(1)


# ---------------------------------------------------------------- progress

def test_progress_stands_with_the_job(q):
    claim = q.start()
    q.renew(*claim.fence, "step", 10, "total", 200, "pace", "12.5")
    assert {k: q.job(1)[k] for k in ("step", "total", "pace")} == {"step": "10", "total": "200", "pace": "12.5"}
    q.renew(*claim.fence, "step", 11)
    assert q.job(1)["total"] == "200" and q.job(1)["pace"] == "12.5"
    q.end(claim, "error")
    q.hurry(1)
    claim, = q.take()
    assert "pace" not in q.job(1) and q.job(1)["total"] == "200", "each attempt has its own speed"
    q.end(claim, "succeeded", exit=0, step=200, total=200)
    assert q.job(1)["step"] == q.job(1)["total"] == "200"


@pytest.mark.parametrize("field,value", [("total", "-1"), ("total", "x"), ("total", "1.5"), ("pace", "-1"),
                                         ("pace", "nan"), ("pace", "1e3"), ("pace", ""), ("pace", "1" * 40)])
def test_wrong_progress(q, field, value):
    claim = q.start()
    with pytest.raises(ResponseError, match=f"^INVALID {field}: expected"):
        q.renew(*claim.fence, field, value)


# ---------------------------------------------------------------- result

RESULTS = ['{"accuracy":0.93,"confusion":[],"n":12345678901234567890}', "0.93", '"done"', "null", "[]", "true",
           '{\n "pretty": [1.5e-3, -2.0]\n}', '{"ä":"\\u00e4 \\"x\\""}', json.dumps("x" * 65534)]


@pytest.mark.parametrize("text", RESULTS)
def test_a_result_is_kept_as_it_is(q, text):
    claim = q.start()
    assert q.end(claim, "succeeded", exit=0, result=text) == ["ok", "succeeded"]
    assert q.redis.get(q.key("result:1")) == text
    assert q.job(1)["result_bytes"] == str(len(text.encode()))
    assert json.loads(q.show(1))["result"] == json.loads(text)
    assert q.end(claim, "succeeded", exit=0, result='"another"') == ["ok", "succeeded"], "sent again"
    assert q.redis.get(q.key("result:1")) == text
    q.redis.hset(q.key("meta"), "max_finished", 0)
    q.prune()
    assert not q.redis.exists(q.key("result:1"), q.key("job:1"))


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"a":NaN}', "1.", '{"a":1.}', "-.5", "01", "0x1", '{"a":1,"a":2}',
                                  '{"a":"\t"}', "{} {}", "'a'", "[1,]", json.dumps("x" * 65535)])
def test_what_is_no_result(q, text):
    claim = q.start()
    with pytest.raises(ResponseError, match="^INVALID detail.result: "):
        q.end(claim, "succeeded", result=text)
    assert q.job(1)["state"] == "running"


@pytest.mark.parametrize("value", [5, {"a": 1}, [], True])
def test_a_result_travels_as_text(q, value):
    with pytest.raises(ResponseError, match="^INVALID detail.result: expected a text"):
        q.end(q.start(), "succeeded", result=value)


@pytest.mark.parametrize("cause", ["error", "permanent", "preempted", "corrupted"])
def test_only_success_has_a_result(q, cause):
    q.end(q.start(), cause, result="{}")
    assert not q.redis.exists(q.key("result:1")) and "result_bytes" not in q.job(1)
    assert "result" not in json.loads(q.show(1))


def test_a_stale_token_has_no_result(q):
    old = q.start()
    q.lose(1)
    claim, = q.take("w2")
    assert q.end(old, "succeeded", result='"old"')[0] == "stale"
    q.end(claim, "succeeded", result='"new"')
    assert q.redis.get(q.key("result:1")) == '"new"'


# ---------------------------------------------------------------- workers that drain

def test_a_worker_that_drains_itself_says_so_once(q):
    q.worker("w1", json.dumps({"state": "up", "why": ""}))
    for _ in range(2):
        assert q.worker("w1", json.dumps({"state": "draining", "why": "3 died"})) == [0, 0, 0, ""]
    assert [e["reason"] for e in q.events("worker.drained")] == ["3 died"]
    q.worker("w1", json.dumps({"state": "up", "why": ""}))
    q.worker("w1", json.dumps({"state": "draining", "why": "3 died"}))
    assert len(q.events("worker.drained")) == 2


def test_an_operator_drains_and_resumes(q):
    q.worker("w1", json.dumps({"state": "up"}))
    assert q.worker_drain("w1", "disk", "ada") == "draining"
    assert q.worker_drain("w1", "disk", "ada") == "draining"
    event, = q.events("worker.drained")
    assert (event["worker"], event["reason"], event["actor"]) == ("w1", "disk", "ada")
    assert q.worker("w1", "{}")[1] == 1
    before = q.now()
    assert q.worker_resume("w1", "bob") == "up"
    _, drain, resumed_ms, _ = q.worker("w1", "{}")
    assert drain == 0 and before <= resumed_ms <= q.now()
    assert q.events("worker.resumed")[0]["actor"] == "bob"


def test_what_a_worker_cannot_say_of_itself(q):
    for name in ("resumed_ms", "drain", "drain_reason"):
        with pytest.raises(ResponseError, match="^INVALID worker: "):
            q.worker("w1", json.dumps({name: 1}))


@pytest.mark.parametrize("function", ["worker_drain", "worker_resume"])
def test_workers_that_are_not_there(q, function):
    with pytest.raises(ResponseError, match="^NOTFOUND no worker w9 serves queue default"):
        getattr(q, function)("w9")
    with pytest.raises(ResponseError, match="^INVALID worker: expected"):
        getattr(q, function)("w 9")
    assert not q.redis.exists(q.key("worker:w9"))


def test_an_entry_of_elsewhere_that_is_nobodys_goes(spoiled):
    """Of no job, of one that runs, of one that is queued for everybody, of one that does not know where it is."""
    q = spoiled
    q.start()
    q.add(retry={"elsewhere": "1h"}), q.add(retry={"elsewhere": "1h"})
    q.redis.hdel(q.key("job:3"), "lane")
    q.redis.zadd(q.key("elsewhere"), dict.fromkeys(("1", "2", "3", "99"), 1))
    lanes = q.redis.keys(q.key("ready:*"))
    q.promote()
    assert not q.redis.exists(q.key("elsewhere")) and q.redis.keys(q.key("ready:*")) == lanes
    assert q.state(2) == "queued" and "job.queued" not in q.events()


def test_the_tick_comes_again_for_what_is_due_first(q):
    q.add(delay="1h")
    q.end(q.start(retry={"elsewhere": "1m"}), "lost")
    assert 50000 < q.promote()[1] <= 60000
