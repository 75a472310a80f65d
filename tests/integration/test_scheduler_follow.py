"""Following a job: everything from its first line, once each, to the end, whatever happens to reader and Redis."""
import signal

import pytest

from cluster import UnixConnection
from harness import BUILD, wait_until
from proxy import Proxy
from scheduler_harness import Follower, Runner, Scheduler

ALL = "follow?logs=1&metrics=1&events=1"


def texts(follower):
    return [line["entry"].get("stdout") for line in follower.of("log")]


def test_a_late_joiner_sees_all_and_then_what_is_new(scheduler):
    job = scheduler.submit(name="f", retry={"max_attempts": 2, "backoff": "0s", "jitter": 0})
    early = Follower(scheduler, f"/jobs/{job}/{ALL}").start()
    early.wait("job")
    client = scheduler.redis_client()
    first = Runner(client)
    first.log("one", "two")
    first.metric(step=1, loss=0.5)
    first.finish("error", exit=1)
    wait_until(lambda: scheduler.job(job)["state"] == "queued", what="the second attempt is queued")
    second = Runner(client, request=2)
    second.log("three")
    late = Follower(scheduler, f"/jobs/{job}/{ALL}").start()
    late.wait("log", 2)
    second.log("four")
    late.wait("log", 3)
    second.metric(step=2, loss=0.25)
    late.wait("metric", 2)
    second.finish("succeeded", exit=0)
    for follower in (early, late):
        follower.wait_closed()
        assert texts(follower) == ["one\ntwo", "three", "four"]
        assert [m["entry"]["loss"] for m in follower.of("metric") if "loss" in m["entry"]] == ["0.5", "0.25"]
        assert [e["entry"]["event"] for e in follower.of("event")] == ["job.retrying"]
        assert follower.lines[0]["kind"] == "job" and follower.lines[0]["job"]["id"] == job
        assert follower.lines[-1]["kind"] == "end" and follower.lines[-1]["job"]["state"] == "succeeded"
        assert len(follower.of("end")) == 1
    states = [line["job"]["state"] for line in early.of("job")]
    assert states[0] == "queued" and "running" in states and states[-1] == "succeeded"


def test_a_job_that_is_over_is_told_to_its_end(scheduler):
    job = scheduler.submit()
    runner = Runner(scheduler.redis_client())
    for i in range(250):  # more than one read of the stream
        runner.log(f"line {i}")
    runner.finish("permanent", exit=65, error="exit 65: bad data")
    follower = Follower(scheduler, f"/jobs/{job}/follow?logs=1").start()
    follower.wait_closed()
    assert texts(follower) == [f"line {i}" for i in range(250)]
    assert follower.of("metric") == follower.of("event") == []
    assert follower.lines[-1]["kind"] == "end" and "exit 65: bad data" in follower.lines[-1]["why"]


def test_entries_of_any_size_come_whole_and_in_order(scheduler):
    """Small ones are read by the hundred, large ones by a few: the page follows their size."""
    job = scheduler.submit()
    runner = Runner(scheduler.redis_client())
    early = Follower(scheduler, f"/jobs/{job}/follow?logs=1").start()
    written = [f"line {i}" for i in range(150)] + ['"é\\ \x1b\x7f\t\r' * 20000 + str(i) for i in range(10)]
    written += [f"line {i}" for i in range(150)]
    for text in written:
        runner.log(text)
    runner.finish()
    late = Follower(scheduler, f"/jobs/{job}/follow?logs=1").start()
    for follower in (early, late):
        follower.wait_closed()
        assert texts(follower) == written
        assert [line["entry"]["id"] for line in follower.of("log")] == [f"1-{i + 1}" for i in range(len(written))]


def test_many_follow_while_it_is_written(scheduler):
    job = scheduler.submit()
    runner = Runner(scheduler.redis_client())
    followers = [Follower(scheduler, f"/jobs/{job}/follow?logs=1").start() for _ in range(5)]
    for i in range(300):
        runner.log(f"line {i}")
        if i % 60 == 0:
            followers.append(Follower(scheduler, f"/jobs/{job}/follow?logs=1").start())
    runner.finish()
    for follower in followers:
        follower.wait_closed()
        assert texts(follower) == [f"line {i}" for i in range(300)]


def test_what_a_stranger_wrote_is_told_as_text(scheduler):
    job = scheduler.submit()
    client = scheduler.redis_client()
    runner = Runner(client)
    client.xadd("stoker:{default}:log:1", {"time_ms": "1", "stdout": b"a\xff\0b", b"\xfe": "x"}, id="1-1")
    runner.finish()
    follower = Follower(scheduler, f"/jobs/{job}/follow?logs=1").start()
    follower.wait_closed()
    assert [line["entry"] for line in follower.of("log")] == [
        {"id": "1-1", "time_ms": "1", "stdout": "a\ufffd\ufffdb"}]


def test_redis_dies_under_a_follower(scheduler, redis):
    job = scheduler.submit()
    runner = Runner(scheduler.redis_client())
    runner.log("before")
    follower = Follower(scheduler, f"/jobs/{job}/{ALL}").start()
    follower.wait("log")
    redis.kill()
    wait_until(lambda: scheduler.local("GET", "/readyz").status == 503, what="the scheduler noticed")
    redis.start()
    runner.redis = scheduler.redis_client()
    runner.log("after")
    follower.wait("log", 2)
    runner.finish()
    follower.wait_closed()
    assert texts(follower) == ["before", "after"] and follower.lines[-1]["kind"] == "end"


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_a_slow_reader_slows_only_itself_and_is_told_what_it_missed(scheduler):
    job = scheduler.submit()
    client = scheduler.redis_client()
    runner = Runner(client)
    before = rss_kib(scheduler.process.pid)
    slow = Follower(scheduler, f"/jobs/{job}/follow?logs=1")  # not read from yet
    fast = Follower(scheduler, f"/jobs/{job}/follow?logs=1").start()
    for i in range(150):
        runner.log(f"{i} " + "x" * 60000)
    fast.wait("log", 150, timeout=30)
    # 9 MB were written; pages are parsed, not kept (AddressSanitizer keeps what was freed).
    assert rss_kib(scheduler.process.pid) - before < (400 if "asan" in BUILD.name else 60) * 1024
    first = int(client.xrange("stoker:{default}:log:1", "1-140", "1-140")[0][0].split("-")[1])
    client.xtrim("stoker:{default}:log:1", minid=f"1-{first}", approximate=False)
    runner.finish()
    fast.wait_closed()
    slow.start().wait_closed()
    seen = [int(line["entry"]["id"].split("-")[1]) for line in slow.of("log")]
    (gap,) = slow.of("gap")
    assert seen[0] == 1 and seen[-1] == 150 and seen == sorted(set(seen))
    assert gap["lines"] == 150 - len(seen) > 0  # what is missing is said, to the line
    assert slow.lines[-1]["kind"] == "end"


def test_a_reader_that_leaves_is_forgotten(scheduler):
    job = scheduler.submit()
    client = scheduler.redis_client()
    followers = [Follower(scheduler, f"/jobs/{job}/{ALL}").start() for _ in range(3)]
    channel = "stoker:{default}:log:1"
    wait_until(lambda: client.pubsub_numsub(channel)[0][1] == 1, what="one subscription serves all of them")
    for follower in followers:
        follower.leave()
    wait_until(lambda: client.pubsub_numsub(channel)[0][1] == 0, what="nobody listens any more")
    assert scheduler.local("GET", "/readyz").status == 200


def test_head_of_a_stream_ends(scheduler):
    job = scheduler.submit()
    for path in (f"/api/v1/jobs/{job}/{ALL}", "/api/v1/events?follow=1"):
        answer = scheduler.local("HEAD", path)
        assert (answer.status, answer.text) == (200, "")


def test_events_of_a_queue_live(scheduler):
    scheduler.submit()
    follower = Follower(scheduler, "/events?follow=1").start()
    follower.wait("event", 2)
    scheduler.submit()
    follower.wait("event", 3)
    events = [line["entry"]["event"] for line in follower.of("event")]
    assert events == ["queue.created", "job.submitted", "job.submitted"]
    after = follower.of("event")[1]["entry"]["id"]
    rest = Follower(scheduler, f"/events?follow=1&after={after}").start()
    assert rest.wait("event")[0]["entry"]["job"] == "default-2"
    for f in (follower, rest):
        f.leave()


@pytest.mark.parametrize("path", ["/api/v1/jobs/default-1", "/api/v1/jobs/default-1/follow?logs=1", "/api/v1/jobs"])
def test_a_client_that_hangs_up_while_redis_thinks(scheduler, redis, path):
    scheduler.submit()
    redis.process.signal(signal.SIGSTOP)
    connections = [UnixConnection(scheduler.socket) for _ in range(5)]
    for connection in connections:
        connection.request("GET", path)
        connection.close()
    assert scheduler.local("GET", "/livez").status == 200
    redis.process.signal(signal.SIGCONT)
    assert scheduler.job("default-1")["state"] == "queued"


def test_nothing_is_missed_between_the_first_read_and_the_subscription(redis, tmp_path):
    """The channel is subscribed to on another connection than the stream is read on, and may come later."""
    proxy = Proxy(tmp_path / "proxy.sock", redis.socket)
    scheduler = Scheduler(tmp_path, proxy.url)
    try:
        proxy.hold(b"SUBSCRIBE")
        follower = Follower(scheduler, "/events?queue=default&follow=1").start()
        follower.wait("event")
        assert proxy.is_holding.wait(10)
        told = len(follower.of("event"))
        redis.client().fcall("stoker_submit", 1, "stoker:{default}:meta", '{"command":["true"]}')
        proxy.released.set()
        follower.wait("event", told + 1)
        assert follower.of("event")[-1]["entry"]["event"] == "job.submitted"
    finally:
        proxy.close()
        scheduler.stop()
