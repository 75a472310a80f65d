"""Log lines and metric points: dense, never twice, capped, live."""
import json

import pytest
from redis.exceptions import ResponseError

from harness import wait_until


def entries(q, name):
    return [(i, f) for i, f in q.redis.xrange(q.key(name))]


def say(first, text, stream="stdout", time_ms=5):
    return str(first), str(time_ms), stream, str(text.count("\n") + 1), text


def test_lines_are_numbered_in_each_attempt(q):
    claim = q.start()
    assert q.log(*claim.fence, *say(1, "a\nb"), *say(3, "c", "stderr")) == ["ok", 4]
    assert entries(q, "log:1") == [("1-1", {"time_ms": "5", "stdout": "a\nb", "lines": "2"}),
                                   ("1-3", {"time_ms": "5", "stderr": "c", "lines": "1"})]
    q.end(claim, "preempted")
    claim, = q.take()
    assert "log_next" not in claim, "it counts from 1 again"
    assert q.log(*claim.fence, *say(1, "again", "stoker")) == ["ok", 2]
    assert [i for i, _ in entries(q, "log:1")] == ["1-1", "1-3", "2-1"]


def test_lines_that_are_there_are_skipped(q):
    claim = q.start()
    q.log(*claim.fence, *say(1, "a\nb\nc"))
    before = q.snapshot()
    assert q.log(*claim.fence, *say(1, "a\nb\nc")) == ["ok", 4]
    assert q.snapshot() == before
    assert q.log(*claim.fence, *say(1, "a\nb"), *say(3, "c\nd\n\ne"), *say(7, "")) == ["ok", 8]
    assert [f["stdout"] for _, f in entries(q, "log:1")] == ["a\nb\nc", "d\n\ne", ""]


def test_a_jump_is_asked_back(q):
    claim = q.start()
    q.log(*claim.fence, *say(1, "a"))
    assert q.log(*claim.fence, *say(2, "b"), *say(5, "e")) == ["want", 3]
    assert [i for i, _ in entries(q, "log:1")] == ["1-1", "1-2"]


def test_a_gap_counts_its_lines(q):
    claim = q.start()
    q.log(*claim.fence, "1", "5", "gap", "1000", "the backlog was full")
    assert q.log(*claim.fence, *say(1001, "x")) == ["ok", 1002]
    assert q.log(*claim.fence, "1001", "5", "gap", "10", "again") == ["ok", 1011]
    assert entries(q, "log:1")[-1] == ("1-1002", {"time_ms": "5", "gap": "again", "lines": "9"})


def test_lines_may_come_after_the_end_but_not_of_an_older_attempt(q):
    claim = q.start()
    q.end(claim, "preempted")
    assert q.log(*claim.fence, *say(1, "last words")) == ["ok", 2]
    later, = q.take()
    with pytest.raises(ResponseError, match="^STALE"):
        q.log(*claim.fence, *say(2, "too late"))
    q.end(later, "succeeded")
    assert q.log(*later.fence, *say(1, "last words")) == ["ok", 2]


@pytest.mark.parametrize("args,sentence", [
    (("0", "5", "stdout", "1", "x"), "first: expected"), (("1", "x", "stdout", "1", "x"), "time_ms: expected"),
    (("1", "5", "stdlog", "1", "x"), "stream: expected"), (("1", "5", "stdout", "2", "x"), "lines: the text of"),
    (("1", "5", "stdout", "0", "x"), "lines: expected"), (("1", "5", "stdout", "1"), "expected <n> <uid> <token>"),
    (("1", "5", "stdout", "1", "x" * 1048577), "log: 1048577 bytes of text"),
])
def test_bad_lines(q, args, sentence):
    claim = q.start()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.log(*claim.fence, *args)
    assert q.snapshot() == before


def test_the_log_is_capped_in_bytes(q):
    claim = q.start()
    for i in range(20):
        q.log(*claim.fence, *say(i + 1, "x" * 1000000))
    kept = entries(q, "log:1")
    assert [i for i, _ in kept] == [f"1-{n}" for n in range(13, 21)]
    assert q.job(1)["log_bytes"] == "8000000"


def test_the_log_is_capped_in_entries(q):
    claim = q.start()
    for i in range(0, 20300, 100):
        q.log(*claim.fence, *[a for k in range(100) for a in say(i + k + 1, "x")])
    assert q.redis.xlen(q.key("log:1")) == 20000
    assert q.job(1)["log_bytes"] == "20000"


def test_the_cap_drops_texts_of_any_size(q):
    """The sizes of a long log are noted from its first megabyte on: what is older is read when it goes."""
    claim, sizes, line = q.start(), [], 1
    for i in range(1200):
        sizes.append((i * 7919) % 40000 if i % 3 else i % 50)
        q.log(*claim.fence, *say(line, "x" * sizes[-1]))
        line += 1
    kept = [len(f["stdout"]) for _, f in entries(q, "log:1")]
    assert kept == sizes[-len(kept):]
    assert sum(kept) <= 8388608 < sum(kept) + sizes[-len(kept) - 1], "within an entry of the cap"
    assert q.job(1)["log_bytes"] == str(sum(kept))
    assert q.redis.lrange(q.key("sizes:1"), 0, -1) == [str(size) for size in kept]


def test_the_cap_holds_when_somebody_else_deletes(q):
    claim = q.start()
    for i in range(20):
        q.log(*claim.fence, *say(i + 1, "x" * 900000))
    q.redis.xdel(q.key("log:1"), *[f"1-{n}" for n in range(12, 17)])
    for i in range(20, 40):
        q.log(*claim.fence, *say(i + 1, "x" * 900000))
    assert [i for i, _ in entries(q, "log:1")] == [f"1-{n}" for n in range(32, 41)]
    q.redis.delete(q.key("log:1"))
    q.log(*claim.fence, *say(41, "x" * 900000))
    assert [i for i, _ in entries(q, "log:1")] == ["1-41"]
    assert q.job(1)["log_bytes"] == "900000"


def test_sizes_once_noted_are_noted_on(q):
    """Also when the log is short again, because small entries have driven the large ones out."""
    claim = q.start()
    q.log(*claim.fence, *say(1, "x" * 600000))
    q.log(*claim.fence, *say(2, "x" * 400000), *say(3, "x" * 200000))
    for i in range(3, 20303, 100):
        q.log(*claim.fence, *[a for k in range(100) for a in say(i + k + 1, "x" * ((i + k) % 47))])
    assert int(q.job(1)["log_bytes"]) < 1000000
    q.log(*claim.fence, *say(20304, "x" * 1048576))
    sizes = [str(len(f["stdout"])) for _, f in entries(q, "log:1")]
    assert q.redis.lrange(q.key("sizes:1"), 0, -1) == sizes and len(sizes) == 20000


def test_the_sizes_go_with_the_job(q):
    claim = q.start()
    q.log(*claim.fence, *say(1, "x" * 1000000), *say(2, "x" * 48576))
    assert not q.redis.exists(q.key("sizes:1")), "a short log needs none"
    q.log(*claim.fence, *say(3, "x"))
    assert q.redis.lrange(q.key("sizes:1"), 0, -1) == ["1"]
    q.end(claim, "succeeded")
    assert q.remove(1) == "removed"
    assert not q.redis.keys(q.key("*:1"))


def test_a_long_text_is_hinted_at(q):
    claim = q.start()
    with q.redis.pubsub() as heard:
        heard.subscribe(q.key("log:1"))
        wait_until(lambda: heard.get_message(), what="subscribed")
        q.log(*claim.fence, *say(1, "x" * 4096), *say(2, "é\n" + "x" * 4096, "stderr", 6))
        texts = [json.loads(wait_until(lambda: heard.get_message(), what="a message")["data"]) for _ in range(2)]
    assert texts == [{"id": "1-1", "time_ms": "5", "stdout": "x" * 4096, "lines": "1"},
                     {"id": "1-2", "time_ms": "6", "bytes": "4099", "lines": "2"}]


def test_entries_are_live(q):
    claim = q.start()
    with q.redis.pubsub() as heard:
        heard.subscribe(q.key("log:1"), q.key("metrics:1"), q.key("events"))
        for _ in range(3):
            wait_until(lambda: heard.get_message(), what="subscribed")
        q.log(*claim.fence, *say(1, 'say "é"'))
        q.metric(*claim.fence, 1, '{"step":1,"loss":0.5,"time_ms":7}')
        q.end(claim, "succeeded")
        texts = [wait_until(lambda: heard.get_message(), what="a message") for _ in range(3)]
    assert [json.loads(t["data"]) for t in texts[:2]] == [
        {"id": "1-1", "time_ms": "5", "stdout": 'say "é"', "lines": "1"},
        {"id": "1-1", "time_ms": "7", "step": "1", "loss": "0.5"}]
    event = json.loads(texts[2]["data"])
    assert (event["event"], event["job"]) == ("job.succeeded", "default-1")
    stream_id, fields = q.redis.xrevrange(q.key("events"), count=1)[0]
    assert event == {"id": stream_id, **fields}


# ---------------------------------------------------------------- metrics

def test_points_are_dense(q):
    claim = q.start()
    first, second = '{"step":1,"loss":2.3,"time_ms":1}', '{"step":2,"loss":"NaN","time_ms":1}'
    assert q.metric(*claim.fence, 1, first, second) == ["ok", 3]
    before = q.snapshot()
    assert q.metric(*claim.fence, 1, '{"step":1,"loss":9}', '{"step":2,"loss":9}') == ["ok", 3]
    assert q.metric(*claim.fence, 5, '{"step":5,"loss":9}') == ["want", 3]
    assert q.snapshot() == before
    assert q.metric(*claim.fence, 2, '{"loss":9}', '{"step":3,"z":1,"a":1e-9,"epoch":0.1,"time_ms":1}') == ["ok", 4]
    assert [list(f.items()) for _, f in entries(q, "metrics:1")] == [
        [("time_ms", "1"), ("step", "1"), ("loss", "2.3")], [("time_ms", "1"), ("step", "2"), ("loss", "NaN")],
        [("time_ms", "1"), ("step", "3"), ("epoch", "0.1"), ("a", "1e-09"), ("z", "1")]]
    assert (q.job(1)["step"], q.job(1)["loss"]) == ("3", "NaN")


def test_a_point_without_a_time_gets_one(q):
    claim = q.start()
    q.metric(*claim.fence, 1, '{"loss":1}')
    assert abs(int(entries(q, "metrics:1")[0][1]["time_ms"]) - q.now()) < 5000


@pytest.mark.parametrize("number", ["0.1", "1e-300", "123456789012345678", "-0.0", "3.14159265358979312"])
def test_numbers_keep_their_value(q, number):
    claim = q.start()
    q.metric(*claim.fence, 1, '{"x":%s}' % number)
    assert float(entries(q, "metrics:1")[0][1]["x"]) == float(number)


def test_a_resume_supersedes(q):
    claim = q.start()
    q.metric(*claim.fence, 1, '{"step":300,"loss":1,"time_ms":1}')
    q.commit(claim, 1, 200)
    q.end(claim, "preempted")
    claim, = q.take()
    q.metric(*claim.fence, 1, '{"step":201,"loss":1,"time_ms":1}')
    q.metric(*claim.fence, 2, '{"step":202,"loss":1,"time_ms":1}')
    assert [i for i, _ in entries(q, "metrics:1")] == ["1-1", "2-0", "2-1", "2-2"]
    assert entries(q, "metrics:1")[1][1]["resumed_at"] == "200"
    q.end(claim, "preempted")
    claim, = q.take()
    assert q.reject(*claim.fence, "1-1", "torn") == []
    q.metric(*claim.fence, 1, '{"step":1,"loss":1}')
    assert dict(entries(q, "metrics:1"))["3-0"]["resumed_at"] == "0", "a cold start supersedes everything"


@pytest.mark.parametrize("point,sentence", [
    ("[]", "point: expected a JSON object"), ('{"a b":1}', 'point: "a b" is not a name'),
    ('{"loss":"low"}', "point.loss: expected a number"), ('{"loss":null}', "point.loss: expected"),
    ('{"loss":{}}', "point.loss: expected"), ("{" + ",".join(f'"v{i}":1' for i in range(68)) + "}", "point: 68 values"),
])
def test_bad_points(q, point, sentence):
    claim = q.start()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + sentence):
        q.metric(*claim.fence, 1, '{"loss":1}', point)
    assert q.snapshot() == before


def test_no_stream_before_the_first_line(q):
    claim = q.start()
    q.renew(*claim.fence, "phase", "running")
    q.end(claim, "succeeded")
    assert not q.redis.exists(q.key("log:1"), q.key("metrics:1"), q.key("history:1"), q.key("checkpoints:1"))


# ---------------------------------------------------------------- what strangers did to it

def test_nothing_new_of_a_long_log_is_not_noted(q):
    claim = q.start()
    q.log(*claim.fence, *say(1, "a"))
    q.set_job(1, log_bytes=2 << 20)
    assert q.log(*claim.fence, *say(1, "a")) == ["ok", 2] and not q.redis.exists(q.key("sizes:1"))
    q.set_job(1, log_bytes=1)


def test_sizes_and_entries_that_nobody_can_read_count_nothing(q):
    claim = q.start()
    q.redis.xadd(q.key("log:1"), {"odd": "1"}, id="0-1")
    q.log(*claim.fence, *say(1, "aa"))
    q.set_job(1, log_bytes=9 << 20)
    q.log(*claim.fence, *say(2, "bbb"))
    assert [i for i, _ in entries(q, "log:1")] == [], "all of it, as far as anybody knows"
    q.log(*claim.fence, *say(3, "c"), *say(4, "d"), *say(5, "e"))
    q.set_job(1, log_bytes=2 << 20)
    q.log(*claim.fence, *say(6, "f"), *say(7, "gg"))
    assert q.redis.lrange(q.key("sizes:1"), 0, -1) == ["1", "2"]
    q.set_job(1, log_bytes=6)


def test_a_size_that_is_no_number_is_none(q):
    claim = q.start()
    q.set_job(1, log_bytes=2 << 20)
    q.log(*claim.fence, *say(1, "aa"), *say(2, "bbb"), *say(3, "c"))
    q.redis.lset(q.key("sizes:1"), 0, "x")
    q.redis.xdel(q.key("log:1"), "1-1")
    q.log(*claim.fence, *say(4, "d"))
    assert q.job(1)["log_bytes"] == str((2 << 20) + 7), "it is not taken off"
    q.redis.lset(q.key("sizes:1"), 0, "x")
    q.set_job(1, log_bytes=9 << 20)
    q.log(*claim.fence, *say(5, "e"))
    assert [i for i, _ in entries(q, "log:1")] == []


def test_a_first_attempt_that_was_lent_its_beginning_marks_its_points_off(q):
    first = q.start()
    q.commit(first, 1, 5)
    q.end(first, "permanent")
    claim = q.start(resume="default-1@latest")
    q.metric(*claim.fence, 1, '{"loss":1}')
    mark, point = entries(q, "metrics:2")
    assert (mark[0], mark[1]["resumed_at"], point[0]) == ("1-0", "5", "1-1")
    q.redis.hdel(q.key("job:2"), "resumed_at")
    q.end(claim, "preempted")


def test_without_a_place_to_resume_at_it_is_the_beginning(q):
    q.end(q.start(), "preempted")
    claim, = q.take()
    q.redis.hdel(q.key("job:1"), "resumed_at")
    q.metric(*claim.fence, 1, '{"loss":1}')
    assert entries(q, "metrics:1")[0][1]["resumed_at"] == "0"
