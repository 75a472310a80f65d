"""Which checkpoints are kept, lent to another job, and let go when somebody asks for it."""
import json

import pytest
from redis.exceptions import ResponseError

AT_ONCE = {"retry": {"backoff": 0, "max_backoff": 0}, "recovery": {"backoff": 0, "max_backoff": 0}}


def many(q, steps, keep, metrics=None, **spec):
    """A running job that saved at these steps, in this order."""
    claim = q.start(checkpoint=keep, **spec)
    q.renew(*claim.fence, "phase", "running")
    for seq, step in enumerate(steps, 1):
        q.commit(claim, seq, step, **({"metrics": metrics[seq - 1]} if metrics else {}))
    return claim


def kept(q, n=1):
    """The steps of what is not being deleted."""
    records = [json.loads(text) for text in q.redis.hvals(q.key(f"checkpoints:{n}"))]
    return sorted(r["step"] for r in records if r["state"] == "committed")


# ---------------------------------------------------------------- rules

@pytest.mark.parametrize("mode,steps", [("min", [2, 5, 6]), ("max", [1, 5, 6]), (None, [2, 5, 6])])
def test_the_best_is_kept(q, mode, steps):
    losses = [{"acc": 9}, {"acc": 1}, {"acc": 5}, {}, {"acc": 3}, {"acc": 2}]
    many(q, range(1, 7), {"keep_last": 2, "keep_best": {"metric": "acc", "mode": mode}}, losses)
    assert kept(q) == steps


def test_several_best_and_of_equals_the_newer(q):
    many(q, range(1, 7), {"keep_last": 1, "keep_best": {"metric": "loss", "count": 2}},
         [{"loss": value} for value in (1, 2, 1, 3, 4, 5)])
    assert kept(q) == [1, 3, 6]
    claim = many(q, range(1, 5), {"keep_last": 1, "keep_best": {"metric": "loss"}},
                 [{"loss": value} for value in (7, 1, 1, 4)])
    assert kept(q, claim["n"]) == [3, 4]


def test_loss_is_known_without_metrics(q):
    claim = q.start(checkpoint={"keep_last": 1, "keep_best": {"metric": "loss"}})
    for seq, loss in enumerate([3, 1, 2, 5], 1):
        q.commit(claim, seq, seq, loss=loss)
    assert kept(q) == [2, 4]


def test_one_of_each_so_many_steps(q):
    many(q, [50, 90, 100, 150, 201, 250, 299, 420, 430], {"keep_last": 1, "keep_every": "100 steps"})
    assert kept(q) == [100, 201, 420, 430]


def test_one_of_each_so_long_a_time(q):
    claim = q.start(checkpoint={"keep_last": 1, "keep_every": "1h"})
    begun = int(q.job(1)["submitted_ms"])
    for seq, minutes in enumerate([10, 50, 61, 90, 125, 130], 1):
        q.commit(claim, seq, minutes, time_ms=begun + minutes * 60000)
    assert kept(q) == [61, 125, 130]


def test_what_is_young_is_kept(q):
    claim = q.start(checkpoint={"keep_last": 1, "keep_for": "1h"})
    for seq, minutes in enumerate([90, 61, 59, 5, 0], 1):
        q.commit(claim, seq, seq, time_ms=q.now() - minutes * 60000)
    assert kept(q) == [3, 4, 5]


def test_quarantined_ones_have_a_term(q):
    claim = q.start(recovery={"quarantine": "1h", **AT_ONCE["recovery"]})
    old = q.now() - 2 * 3600000
    q.commit(claim, 1, 100)
    q.commit(claim, 2, 200, time_ms=old)
    q.commit(claim, 3, 300)
    q.corrupt(1, 1, "nan", 200)
    assert q.checkpoints(1) == {"1-1": "committed", "1-2": "quarantined", "1-3": "quarantined"}
    q.end(claim, "corrupted")
    q.promote()
    claim, = q.take()
    assert q.commit(claim, 1, 150) == ["ok", "1-2"]
    assert q.checkpoints(1)["1-3"] == "quarantined"


@pytest.mark.parametrize("rule,got", [
    ({"metric": "loss", "mode": "low"}, "an object of 2"), ({"mode": "min"}, "an object of 1"), ("loss", '"loss"'),
    ({"metric": "loss", "count": 0}, "an object of 2"), ({"metric": "loss", "best": 1}, "an object of 2"),
    ({"metric": "9"}, "an object of 1"), ([], "an empty list"), (["loss"], "a list of 1"),
])
def test_bad_rules(q, rule, got):
    with pytest.raises(ResponseError) as refused:
        q.add(checkpoint={"keep_best": rule})
    assert str(refused.value) == ("INVALID checkpoint.keep_best: expected an object like "
                                  "{metric: loss, mode: min, count: 1}, got " + got)


# ---------------------------------------------------------------- where to go on

def again(q, claim, cause="preempted"):
    q.end(claim, cause)
    q.promote()
    return q.take()[0]


@pytest.mark.parametrize("recovery,resumed", [
    ({"checkpoint": "latest"}, "1-4"), ({"checkpoint": "best"}, "1-2"), ({"checkpoint": "best_loss"}, "1-2"),
    ({"checkpoint": "best", "best_metric": "acc", "best_mode": "max"}, "1-3"), ({"checkpoint": "1-1"}, "1-1"),
    ({"checkpoint": "best", "best_metric": "none"}, "1-4"),
])
def test_recovery_from_the_best(q, recovery, resumed):
    metrics = [{"loss": 4, "acc": 1}, {"loss": 1, "acc": 2}, {"loss": 2, "acc": 9}, {"loss": 3, "acc": 3}]
    claim = many(q, [10, 20, 30, 40], {"keep_last": 9}, metrics, recovery={**AT_ONCE["recovery"], **recovery})
    assert again(q, claim, "corrupted").get("resume") == resumed


def test_each_attempt_goes_on_from_the_best(q):
    claim = many(q, [10, 20, 30], {"keep_last": 9}, [{"loss": 3}, {"loss": 1}, {"loss": 2}], resume="best")
    claim = again(q, claim)
    assert claim["resume"] == "1-2" and json.loads(claim["checkpoint"])["step"] == 20
    q.commit(claim, 1, 25, metrics={"loss": 0.5})
    assert again(q, claim)["resume"] == "2-1"


def test_the_best_is_that_of_keep_best(q):
    claim = many(q, [1, 2, 3], {"keep_last": 9, "keep_best": {"metric": "acc", "mode": "max"}},
                 [{"acc": 1}, {"acc": 7}, {"acc": 3}], resume="best")
    assert again(q, claim)["resume"] == "1-2"


# ---------------------------------------------------------------- from another job

@pytest.mark.parametrize("which,step", [("", 40), ("@latest", 40), ("@best", 20), ("@30", 30), ("@1-1", 10)])
def test_a_job_begins_where_another_is(q, which, step):
    claim = many(q, [10, 20, 30, 40], {"keep_last": 9}, [{"loss": 4}, {"loss": 1}, {"loss": 2}, {"loss": 3}])
    assert q.add(resume="default-1" + which) == "2"
    assert q.job(2)["checkpoint_step"] == str(step)
    other, = q.take()
    summary = json.loads(other["checkpoint"])
    assert (summary["step"], summary["from"]) == (step, "default-1") and "lent" not in summary
    assert other["resume"].startswith("0-") and q.redis.zrange(q.key("borrowers"), 0, -1) == ["2"]
    assert q.reject(*other.fence, other["resume"], "damaged") == [] if step == 10 else \
        json.loads(q.reject(*other.fence, other["resume"], "damaged")[1])["step"] == step - 10
    q.end(claim, "succeeded")


@pytest.mark.parametrize("resume,sentence", [
    ("800", 'resume: a new job has no checkpoint "800"'), (800, 'resume: a new job has no checkpoint "800"'),
    ("2-1", 'resume: a new job has no checkpoint "2-1"'), ("default-9", "resume: there is no job default-9"),
    ("default-1@worst", "resume: expected latest, best, a step or a checkpoint id behind the @"),
    ("default-1@77", 'resume: job default-1 has no good checkpoint "77": it has 1-1 \\(step 10\\)'),
    ("default-1@best", 'resume: job default-1 has no good checkpoint "best"'),
    ("Best", "resume: expected latest, best,"),
    (0, "resume: expected latest"), (1.5, "resume: expected latest"), ([], "resume: expected latest"),
    ("none-of-it", 'resume: a new job has no checkpoint "none-of-it"'),
])
def test_bad_places_to_begin(q, resume, sentence):
    many(q, [10], {})
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.add(resume=resume)
    assert q.snapshot() == before


def test_two_of_one_call_are_lent_the_same(q):
    many(q, [10], {})
    spec = json.dumps({"command": "x", "resume": "default-1"})
    assert [a[0] for a in q.bulk("", spec, "", spec, "")] == ["ok", "ok"]
    assert json.loads(q.redis.hget(q.key("checkpoints:1"), "1-1"))["lent"] == ["2:0-1", "3:0-1"]


def test_a_graph_and_a_schedule_may_begin_there_too(q):
    many(q, [10], {})
    q.graph(json.dumps({"jobs": [{"command": "x", "resume": "default-1"}]}))
    assert q.job(2)["checkpoint_step"] == "10"


def test_what_is_lent_stays_until_the_borrower_has_its_own(q):
    claim = many(q, [10], {"keep_last": 1})
    q.add(resume="default-1", checkpoint={"keep_last": 1}, **AT_ONCE)
    assert q.commit(claim, 2, 20) == ["ok"], "job 2 has not begun yet"
    other, = q.take("w2")
    q.renew(*other.fence, "phase", "running")
    assert q.commit(claim, 3, 30) == ["ok", "1-2"], "job 2 may be lost, and begin there again"
    q.commit(other, 1, 11)
    assert q.commit(claim, 4, 40) == ["ok", "1-1", "1-2", "1-3"]


def test_what_is_lent_stays_until_the_borrower_has_ended(q):
    claim = many(q, [10], {"keep_last": 1})
    q.add(resume="default-1")
    assert q.commit(claim, 2, 20) == ["ok"]
    q.cancel(2)
    assert q.commit(claim, 3, 30) == ["ok", "1-1", "1-2"]


def test_what_is_lent_on_is_known_to_its_origin(q):
    """Job 1 lends to job 2, whose retry, job 3, has it from there: the objects are those of job 1 all the same."""
    claim = many(q, [10], {"keep_last": 1})
    q.add(resume="default-1")
    q.cancel(2)
    assert q.retry(2, 0) == "default-3"
    assert q.commit(claim, 2, 20) == ["ok"], "job 3 may begin with it"
    with pytest.raises(ResponseError, match="^CONFLICT checkpoint 1-1 of job default-1 stays: job default-3 goes on"):
        q.discard(1, "", "1-1")
    q.cancel(3)
    assert q.commit(claim, 3, 30) == ["ok", "1-1", "1-2"]


def test_who_is_done_with_it_is_forgotten(q):
    many(q, [10], {})
    for n in range(2, 6):
        q.add(resume="default-1")
        q.cancel(n)
    q.add(resume="default-1")
    assert json.loads(q.redis.hget(q.key("checkpoints:1"), "1-1"))["lent"] == ["6:0-1"]


def lent(q, id="1-1"):
    return json.loads(q.redis.hget(q.key("checkpoints:1"), id))["lent"]


def test_those_who_are_done_do_not_pile_up(q):
    """A thousand borrowers, one after the other, and many at once: what is noted is of the size of those who are left,
    and nobody looks at all of them each time."""
    many(q, [10], {"keep_last": 1})
    for n in range(2, 302):
        q.add(resume="default-1")
        q.cancel(n)
    assert len(lent(q)) < 16
    for n in range(302, 402):
        q.add(resume="default-1")
    assert len(lent(q)) <= 100 + 16
    before = q.redis.info("commandstats")["cmdstat_hexists"]["calls"]
    for n in range(402, 412):
        q.add(resume="default-1")
    assert q.redis.info("commandstats")["cmdstat_hexists"]["calls"] - before <= 10 * 3
    for n in range(302, 412):
        q.cancel(n)
        q.remove(n)
    for n in range(412, 550):
        q.add(resume="default-1")
        q.cancel(n)
    assert len(lent(q)) < 16


def test_a_commit_forgets_who_came_last_and_is_done(q):
    claim = many(q, [10], {"keep_last": 1})
    for n in range(2, 8):
        q.add(resume="default-1", **AT_ONCE)
    for n in range(4, 8):
        q.cancel(n)
    assert q.commit(claim, 2, 20) == ["ok"] and lent(q) == ["2:0-1", "3:0-1"]


def test_who_has_its_own_is_no_borrower(q):
    many(q, [10, 20], {"keep_last": 9})
    q.add(resume="default-1", checkpoint={"keep_last": 1}, **AT_ONCE)
    other, = q.take("w2")
    q.renew(*other.fence, "phase", "running")
    assert q.redis.zrange(q.key("borrowers"), 0, -1) == ["2"]
    assert q.commit(other, 1, 30) == ["ok"]
    assert q.checkpoints(2) == {"1-1": "committed"} and not q.redis.exists(q.key("borrowers"))


def test_a_claim_does_not_carry_who_was_lent_it(q):
    claim = many(q, [10], {})
    q.add(resume="default-1", hold=True)
    assert "lent" not in again(q, claim)["checkpoint"]


def test_a_job_that_is_not_there_yet_lends_nothing(q):
    """What an earlier queue of this name left under a number that is about to be given out."""
    q.redis.hset(q.key("job:1"), mapping={"state": "failed", "uid": "0123456789abcdef"})
    q.redis.hset(q.key("checkpoints:1"), "1-1", json.dumps({"state": "committed", "step": 1}))
    with pytest.raises(ResponseError, match="^INVALID resume: there is no job default-1"):
        q.add(resume="default-1")
    q.redis.set(q.key("checkpoints:3"), "a stranger's")
    q.redis.delete(q.key("job:1"), q.key("checkpoints:1"))
    many(q, [10], {})
    q.add()
    assert q.add(resume="default-1") == "3" and q.checkpoints(3) == {"0-1": "committed"}


def test_the_best_does_not_verify(q):
    """Then the next best, and the newest when nothing is older."""
    losses = [{"loss": 1}, {"loss": 3}, {"loss": 2}]
    claim = many(q, [10, 20, 30], {"keep_last": 9}, losses, resume="best")
    claim = again(q, claim)
    assert claim["resume"] == "1-1"
    assert q.reject(*claim.fence, "1-1", "damaged")[0] == "1-3"
    assert q.reject(*claim.fence, "1-3", "damaged")[0] == "1-2"
    assert q.reject(*claim.fence, "1-2", "damaged") == []


def test_the_oldest_was_asked_for_and_does_not_verify(q):
    claim = many(q, [10, 20, 30], {"keep_last": 9}, retry={"backoff": "1h", "max_backoff": "1h"})
    q.end(claim, "error")
    q.retry(1, 1, "", "", "10")
    claim, = q.take()
    assert claim["resume"] == "1-1" and q.reject(*claim.fence, "1-1", "damaged")[0] == "1-3"


@pytest.mark.parametrize("summary", ['{"step":1e999}', '{"step":1e300}', '{"loss":1e999}', '{"step":1,"x":[1e999]}'])
def test_numbers_that_no_reader_takes(q, summary):
    claim = q.start()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID summary"):
        q.checkpoint(*claim.fence, "1-1", summary)
    assert q.snapshot() == before


def test_what_is_ours_in_a_summary_is_not_a_clients(q):
    claim = q.start(checkpoint={"keep_last": 1})
    q.commit(claim, 1, 10, lent=[1, "x", "2:0-1"], **{"from": "default-9"})
    assert q.commit(claim, 2, 20) == ["ok", "1-1"]
    record = json.loads(q.redis.hget(q.key("checkpoints:1"), "1-1"))
    assert "lent" not in record and "from" not in record


# ---------------------------------------------------------------- retry

@pytest.mark.parametrize("which,step", [("", 30), ("latest", 30), ("20", 20), ("1-1", 10), ("best", 20)])
def test_a_retry_from_where_it_is_told(q, which, step):
    claim = many(q, [10, 20, 30], {"keep_last": 9}, [{"loss": 4}, {"loss": 1}, {"loss": 2}])
    q.end(claim, "permanent")
    assert q.retry(1, 1, "", "", which) == "default-2"
    assert json.loads(q.take()[0]["checkpoint"])["step"] == step


def test_a_retry_from_the_beginning(q):
    q.end(many(q, [10], {}), "permanent")
    q.retry(1, 1, "", "", "none")
    assert "resume" not in q.take()[0] and q.checkpoints(2) == {}


@pytest.mark.parametrize("which,resume", [("20", "1-2"), ("1-1", "1-1"), ("none", None), ("", "1-3")])
def test_a_waiting_job_goes_on_where_it_is_told(q, which, resume):
    claim = many(q, [10, 20, 30], {"keep_last": 9}, retry={"backoff": "1h", "max_backoff": "1h"})
    q.end(claim, "error")
    assert q.retry(1, 1, "", "", which) == "default-1"
    assert q.take()[0].get("resume") == resume


@pytest.mark.parametrize("which,sentence", [("77", 'resume: job default-1 has no good checkpoint "77"'),
                                            ("gpu-1", "resume: expected latest, best, none,")])
def test_a_retry_from_nowhere(q, which, sentence):
    q.end(many(q, [10], {}), "permanent")
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.retry(1, 1, "", "", which)
    assert q.snapshot() == before


# ---------------------------------------------------------------- discarded

def discarded(q, *args):
    return [c["id"] for c in json.loads(q.discard(*args))["checkpoints"]]


def test_discarding(q):
    claim = many(q, [10, 20, 30], {"keep_last": 9})
    q.end(claim, "succeeded")
    answer = json.loads(q.discard(1, "cli:ada", "1-1", "1-2"))
    assert (answer["job"], answer["uid"], answer["token"]) == ("default-1", claim["uid"], claim["token"])
    assert [(c["id"], c["summary"]["step"]) for c in answer["checkpoints"]] == [("1-1", 10), ("1-2", 20)]
    assert q.checkpoints(1) == {"1-1": "deleting", "1-2": "deleting", "1-3": "committed"}
    assert discarded(q, 1, "cli:ada", "1-1") == ["1-1"], "until it is dropped"
    said = q.events("checkpoint.discarded")
    assert [(e["checkpoint"], e["actor"]) for e in said] == [("1-1", "cli:ada"), ("1-2", "cli:ada")]
    assert q.drop(*claim.fence, "1-1", "1-2") == 2
    with pytest.raises(ResponseError, match="^NOTFOUND job default-1 has no checkpoint 1-1"):
        q.discard(1, "", "1-1")
    with pytest.raises(ResponseError, match="^CONFLICT checkpoint 1-3 of job default-1 stays: it is the last good"):
        q.discard(1, "", "1-3")


def test_not_all_at_once_either(q):
    q.end(many(q, [10, 20, 30], {"keep_last": 9}), "succeeded")
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^CONFLICT checkpoint 1-3 of job default-1 stays: it is the last good"):
        q.discard(1, "", "1-3", "1-1", "1-2")
    assert q.snapshot() == before


def test_many_are_let_go_a_hundred_at_a_time(q):
    q.end(many(q, range(1, 251), {"keep_last": 1000}), "succeeded")
    counts = []
    while not counts or counts[-1] == 100:
        answer = json.loads(q.discard(1, "", "last", 1))
        counts.append(answer["count"])
        q.drop(1, answer["uid"], answer["token"], *[c["id"] for c in answer["checkpoints"]])
    assert counts == [100, 100, 49] and q.checkpoints(1) == {"1-250": "committed"}


def test_all_but_the_last(q):
    claim = many(q, [10, 20, 30, 40], {"keep_last": 9})
    q.end(claim, "permanent")
    q.retry(1, 1, "", "", "20")
    assert discarded(q, 1, "", "last", 1) == ["1-3"], "job 2 may need the first two"
    q.cancel(2)
    assert discarded(q, 1, "", "last", 1) == ["1-1", "1-2", "1-3"]
    assert discarded(q, 1, "", "last", 1) == ["1-1", "1-2", "1-3"]


def test_what_somebody_needs_is_not_discarded(q):
    claim = many(q, [10, 20, 30], {"keep_last": 9}, retry={"backoff": "1h", "max_backoff": "1h"})
    q.add(resume="default-1@10")
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^CONFLICT checkpoint 1-1 of job default-1 stays: job default-2 goes on"):
        q.discard(1, "", "1-2", "1-1")
    assert q.snapshot() == before
    q.end(claim, "error")
    q.retry(1, 1, "", "", "20")
    with pytest.raises(ResponseError, match="^CONFLICT checkpoint 1-2 .* stays: the next attempt goes on from it"):
        q.discard(1, "", "1-2")
    q.take(most=2)
    with pytest.raises(ResponseError, match="^CONFLICT checkpoint 1-2 .* stays: it is being restored"):
        q.discard(1, "", "1-2")


def test_what_was_lent_is_forgotten_and_not_deleted(q):
    many(q, [10, 20], {"keep_last": 9})
    q.add(resume="default-1")
    assert json.loads(q.discard(2, "", "0-1")) == {**json.loads(q.discard(2, "", "last", 1)), "count": 1}
    assert q.checkpoints(2) == {"0-2": "committed"}
    assert q.checkpoints(1) == {"1-1": "committed", "1-2": "committed"}


@pytest.mark.parametrize("args", [(), ("last",), ("last", 0), ("x",), ("1-1",) * 101])
def test_bad_discards(q, args):
    many(q, [10], {})
    with pytest.raises(ResponseError, match="^INVALID"):
        q.discard(1, "", *args)


def test_what_is_lent_is_known(q):
    claim = q.start()
    q.commit(claim, 1, 10, uri="file:///store/a")
    q.end(claim, "permanent")
    assert json.loads(q.lent()) == []
    q.retry(1, 1)
    q.remove(1)
    assert json.loads(q.lent()) == ["file:///store/a"], "although the lender is gone"
    q.cancel(2)
    assert json.loads(q.lent()) == ["file:///store/a"], "it may be retried"
    q.remove(2)
    assert json.loads(q.lent()) == []
    assert not q.redis.exists(q.key("borrowers"))


# ---------------------------------------------------------------- listed

def test_pages(q):
    claim = many(q, range(1, 8), {"keep_last": 99})
    claim = again(q, claim)
    q.commit(claim, 1, 3)
    first = json.loads(q.redis.fcall_ro("stoker_checkpoints", 1, q.key("meta"), 1, 3))
    assert [c["id"] for c in first["checkpoints"]] == ["2-1", "1-7", "1-6"]
    assert (first["count"], first["cursor"], first["checkpoints"][1]["summary"]["step"]) == (8, "1-6", 7)
    rest = json.loads(q.redis.fcall_ro("stoker_checkpoints", 1, q.key("meta"), 1, 100, first["cursor"]))
    assert [c["id"] for c in rest["checkpoints"]] == ["1-5", "1-4", "1-3", "1-2", "1-1"] and rest["cursor"] == ""
    for args in ((1, 0), (1, 1001), (1, 5, "x"), (9,)):
        with pytest.raises(ResponseError, match="^(INVALID|NOTFOUND)"):
            q.redis.fcall_ro("stoker_checkpoints", 1, q.key("meta"), *args)
