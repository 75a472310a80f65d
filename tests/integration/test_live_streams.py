"""Server-sent events: one stream a client, that goes on where it was whatever dies in between."""
import http.client
import json
import signal
import socket
import threading

import pytest

from cluster import UnixConnection
from harness import wait_until
from scheduler_harness import Runner
from test_archive import Archiving
from worker_harness import job_of

SSE = {"Accept": "text/event-stream"}
ALL = "logs=1&metrics=1&events=1"


class Events:
    """Reads a stream in a thread of its own; events are kept as they come."""

    def __init__(self, where, path, last_id=None, start=True):
        self.events, self.comments, self.retry, self.closed = [], [], [], False
        self.connection = UnixConnection(where, timeout=60)
        headers = {**SSE, **({"Last-Event-ID": last_id} if last_id else {})}
        self.connection.request("GET", "/api/v1" + path, headers=headers)
        self.sock = self.connection.sock
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.thread = threading.Thread(target=self.read, daemon=True)
        if start:
            assert self.status == 200, self.response.read()
            assert self.response.headers["Content-Type"] == "text/event-stream"
            self.thread.start()

    def read(self):
        fields = {}
        try:
            for line in self.response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "data":
                    fields["data"] = json.loads(value)
                elif name == "retry":
                    self.retry.append(int(value))
                elif name:
                    fields[name] = value
                elif line.startswith(b":"):
                    self.comments.append(value)
                if line == b"\n":
                    if "data" in fields:
                        self.events.append(fields)
                    fields = {}
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self.closed = True

    def of(self, kind, source=None):
        return [e for e in list(self.events) if e["event"] == kind and source in (None, e["data"]["source"])]

    def wait(self, kind, count=1, timeout=20):
        return wait_until(lambda: len(self.of(kind)) >= count and self.of(kind), timeout, f"{count} events {kind}")

    def wait_closed(self, timeout=20):
        wait_until(lambda: self.closed, timeout, "the stream is closed")
        return self

    def leave(self):
        self.sock.shutdown(socket.SHUT_RDWR)


def texts(events, source=None):
    return [e["data"]["entry"]["stdout"] for e in events if e["event"] == "log"
            and source in (None, e["data"]["source"])]


def told(events):
    """What must come once: entries, not the state of a job, which is told again to whoever comes back."""
    return [json.dumps(e["data"], sort_keys=True) for e in events if e["event"] in ("log", "metric", "event", "end")]


def test_several_jobs_and_a_queue_in_one_stream(scheduler):
    first, second = (scheduler.submit(name=name) for name in "ab")
    client = scheduler.redis_client()
    one, two = Runner(client), Runner(client, request=2)
    live = Events(scheduler.socket, f"/stream?jobs={first},{second}&queues=default&{ALL}")
    one.log("from one")
    two.log("from two", "and more")
    one.metric(step=1, loss=0.5)
    one.finish()
    two.finish("permanent", exit=65, error="exit 65: bad data")
    live.wait("end", 2)
    assert texts(live.events, first) == ["from one"] and texts(live.events, second) == ["from two\nand more"]
    assert [e["data"]["entry"]["loss"] for e in live.of("metric", first)] == ["0.5"] and not live.of("metric", second)
    assert {e["data"]["source"]: e["data"]["job"]["state"] for e in live.of("end")} == {
        first: "succeeded", second: "failed"}
    live_events = [e["data"]["entry"]["event"] for e in live.wait("event", 5) if e["data"]["source"] == "default"]
    assert live_events[:3] == ["queue.created", "job.submitted", "job.submitted"]
    assert not live.closed and live.retry == [2000], "a queue has no end"
    live.leave()
    jobs = Events(scheduler.socket, f"/stream?jobs={first},{second}&{ALL}").wait_closed()
    assert len(jobs.of("end")) == 2
    over = Events(scheduler.socket, f"/stream?jobs={first},{second}&{ALL}", jobs.events[-1]["id"], start=False)
    assert (over.status, over.response.read()) == (204, b""), "a browser comes back until it is told so"


def test_any_event_is_a_place_to_go_on_from(scheduler):
    first, second = (scheduler.submit(retry={"max_attempts": 2, "backoff": "0s", "jitter": 0}) for _ in range(2))
    client = scheduler.redis_client()
    one, two = Runner(client), Runner(client, request=2)
    for i in range(6):
        one.log(f"one {i}", "and a second line")
        two.log(f"two {i}")
        one.metric(step=i, loss=i)
    one.finish("error", exit=1)
    wait_until(lambda: scheduler.job(first)["state"] == "queued", what="the second attempt is queued")
    two.finish()
    again = Runner(client, request=3)
    again.log("again")
    again.finish()
    path = f"/stream?jobs={first},{second}&{ALL}"
    whole = Events(scheduler.socket, path).wait_closed().events
    assert len(told(whole)) == 6 * 3 + 1 + 1 + 2 + len([e for e in whole if e["data"].get("entry", {}).get(
        "resumed_at")]), told(whole)
    for i, event in enumerate(whole[:-1]):
        rest = Events(scheduler.socket, path, event["id"]).wait_closed().events
        assert sorted(told(whole[:i + 1]) + told(rest)) == sorted(told(whole)), (i, event)


def test_a_job_that_writes_much_does_not_hold_up_the_others(scheduler):
    """All that a client asks for is read by few reads at a time, which go round."""
    loud, *quiet = (scheduler.submit() for _ in range(32))
    client = scheduler.redis_client()
    runners = [Runner(client, request=i + 1, worker=f"w{i}") for i in range(32)]
    for i in range(2000):
        runners[0].log(f"{i} " + "x" * 1000)
    for runner in runners[1:]:
        runner.log("quiet")
    live = Events(scheduler.socket, f"/stream?jobs={','.join([loud, *quiet])}&{ALL}")
    live.wait("log", 2000 + 31)
    kept = list(live.events)
    assert [text.split()[0] for text in texts(kept, loud)] == [str(i) for i in range(2000)]
    assert all(texts(kept, job) == ["quiet"] for job in quiet)
    loud_before = [i for i, e in enumerate(kept) if e["event"] == "log" and e["data"]["source"] == loud]
    last_quiet = max(i for i, e in enumerate(kept) if e["event"] == "log" and e["data"]["source"] != loud)
    assert last_quiet < loud_before[-500], "they came in between"
    for runner in runners:
        runner.finish()
    live.wait_closed()
    assert len(live.of("end")) == 32 and len(live.of("log")) == 2031


def test_kill_9_makes_no_hole_and_no_repeat(scheduler):
    job = scheduler.submit()
    runner = Runner(scheduler.redis_client())
    seen, last, written = [], None, 0
    for turn in range(4):
        live = Events(scheduler.socket, f"/stream?jobs={job}&queues=default&{ALL}", last)
        for _ in range(200):
            runner.log(f"line {written}")
            written += 1
        live.wait("log", 20 if turn else 100)  # wherever it is by then
        scheduler.process.signal(signal.SIGKILL)
        live.wait_closed()
        for _ in range(50):  # nobody is there to tell of these
            runner.log(f"line {written}")
            written += 1
        seen += live.events
        last = live.events[-1]["id"]
        wait_until(lambda: not scheduler.process.alive(), what="it is dead")
        scheduler.start()
    runner.finish()
    live = Events(scheduler.socket, f"/stream?jobs={job}&queues=default&{ALL}", last)
    live.wait("end")
    seen += live.events
    live.leave()
    assert texts(seen) == [f"line {i}" for i in range(written)]
    queue = [e["data"]["entry"]["id"] for e in seen if e["event"] == "event" and e["data"]["source"] == "default"]
    stored = [id for id, _ in scheduler.redis_client().xrange("stoker:{default}:events")]
    assert queue == stored[:len(queue)] and len(queue) >= 2
    assert not [e for e in seen if e["event"] == "gap"]


def test_who_stops_reading_is_cut_off_and_loses_nothing(scheduler):
    job, idle = scheduler.submit(), scheduler.submit(resources={"gpus": 64})
    runner = Runner(scheduler.redis_client())
    slow = Events(scheduler.socket, f"/stream?jobs={job}&logs=1", start=False)
    fast = Events(scheduler.socket, f"/stream?jobs={job}&logs=1")
    quiet = Events(scheduler.socket, f"/stream?jobs={idle}&logs=1")
    for i in range(100):
        runner.log(f"{i} " + "x" * 60000)
    fast.wait("log", 100, timeout=30)
    wait_until(lambda: "a reader that takes nothing was cut off" in scheduler.process.text(), 40, "it is cut off")
    wait_until(lambda: quiet.comments, 30, "a stream without news says that it is there")
    assert not fast.closed and not quiet.closed
    slow.thread.start()
    slow.wait_closed()
    assert 0 < len(slow.events) < 100, "it got what was on its way"
    runner.log("the last")
    runner.finish()
    fast.wait_closed()
    rest = Events(scheduler.socket, f"/stream?jobs={job}&logs=1", slow.events[-1]["id"]).wait_closed()
    assert not [e for e in slow.events + rest.events if e["event"] == "gap"]
    assert texts(slow.events) + texts(rest.events) == texts(fast.events)
    assert len(texts(fast.events)) == 101 and texts(fast.events)[-1] == "the last"
    quiet.leave()


def test_what_was_trimmed_meanwhile_is_said(scheduler):
    job = scheduler.submit()
    client = scheduler.redis_client()
    runner = Runner(client)
    live = Events(scheduler.socket, f"/stream?jobs={job}&queues=default&{ALL}")
    for i in range(10):
        runner.log(f"line {i}")
        runner.metric(step=i, loss=i)
    live.wait("log", 10)
    live.wait("metric", 10)
    early = next(e for e in live.events if e["event"] == "log" and e["data"]["entry"]["id"] == "1-3")["id"]
    live.leave()
    for _ in range(3):
        scheduler.submit()
    client.xtrim("stoker:{default}:log:1", minid="1-8", approximate=False)
    client.xtrim("stoker:{default}:metrics:1", maxlen=1, approximate=False)
    client.xtrim("stoker:{default}:events", maxlen=1, approximate=False)
    back = Events(scheduler.socket, f"/stream?jobs={job}&queues=default&{ALL}",
                  early.replace(early.split(",")[1], "1-1"))
    back.wait("gap", 3)
    gaps = {e["data"]["stream"]: e for e in back.of("gap")}
    assert gaps["log"]["data"]["lines"] == 4 and set(gaps) == {"log", "metrics", "events"}
    assert texts(back.wait("log", 3)) == ["line 7", "line 8", "line 9"]
    back.leave()
    again = Events(scheduler.socket, f"/stream?jobs={job}&queues=default&{ALL}", gaps["log"]["id"])
    assert texts(again.wait("log", 3)) == ["line 7", "line 8", "line 9"]
    assert not [e for e in again.of("gap") if e["data"]["stream"] == "log"], "it was told of that"
    again.leave()


def test_sigterm_says_when_to_come_back(scheduler):
    job = scheduler.submit()
    Runner(scheduler.redis_client()).log("one")
    live = Events(scheduler.socket, f"/stream?jobs={job}&logs=1")
    live.wait("log")
    scheduler.process.signal(signal.SIGTERM)
    live.wait_closed()
    assert live.retry == [2000, 1000] and live.events[-1]["event"] == "bye" and not live.of("end")


def test_following_answers_events_to_who_asks_for_them(scheduler):
    job = scheduler.submit()
    runner = Runner(scheduler.redis_client())
    runner.log("one")
    runner.finish()
    live = Events(scheduler.socket, f"/jobs/{job}/follow?logs=1").wait_closed()
    assert [e["event"] for e in live.events] == ["job", "log", "end"]
    over = Events(scheduler.socket, f"/jobs/{job}/follow?logs=1", live.events[-1]["id"], start=False)
    assert over.status == 204
    queue = Events(scheduler.socket, "/events?follow=1")
    (first, *_) = queue.wait("event", 2)
    queue.leave()
    rest = Events(scheduler.socket, "/events?follow=1", first["id"])
    assert rest.wait("event")[0]["data"]["entry"]["event"] == "job.submitted"
    rest.leave()


@pytest.mark.parametrize("path, last_id, status", [
    ("/stream", None, 400), ("/stream?jobs=x", None, 400), ("/stream?queues=A", None, 400),
    ("/stream?jobs=default-9&logs=1", None, 404), ("/stream?jobs=default-1,default-9&logs=1", None, 404),
    ("/stream?jobs=" + ",".join(f"default-{i + 1}" for i in range(33)), None, 400),
    ("/stream?jobs=default-1&logs=1", "x", 400), ("/stream?jobs=default-1&logs=1", "00000000.1-1,,0-0", 400)])
def test_what_cannot_be_streamed_is_refused(scheduler, path, last_id, status):
    scheduler.submit()
    answer = scheduler.local("GET", "/api/v1" + path, headers={"Last-Event-ID": last_id} if last_id else None)
    assert answer.status == status and answer.json()["detail"], answer.text


def test_an_id_of_another_stream_is_refused(scheduler):
    job = scheduler.submit()
    Runner(scheduler.redis_client()).log("one")
    live = Events(scheduler.socket, f"/stream?jobs={job}&logs=1")
    last = live.wait("log")[0]["id"]
    live.leave()
    for query, status in ((f"jobs={job}&metrics=1", 400), ("queues=default", 400)):
        answer = scheduler.local("GET", f"/api/v1/stream?{query}", headers={"Last-Event-ID": last})
        assert answer.status == status and "no id of this stream" in answer.text


def test_what_left_redis_is_streamed_from_the_archive(tmp_path):
    with Archiving(tmp_path) as cluster:
        job = cluster.submit(job_of("for i in 1 2 3; do seq 300; sleep 0.3; done"))
        cluster.wait_final(job)
        path, where = f"/stream?jobs={job}&{ALL}", cluster.socket_of()
        before = Events(where, path).wait_closed().events
        cluster.archive_all()
        after = Events(where, path).wait_closed().events
        lines = "\n".join(texts(before)).split("\n")
        assert lines == [str(i + 1) for i in range(300)] * 3 and len(texts(before)) > 1
        assert "\n".join(texts(after)).split("\n") == lines
        assert [e["event"] for e in after][0] == "job" and after[-1]["event"] == "end"
        assert after[-1]["data"]["job"]["state"] == "succeeded"
        middle = next(e for e in before if e["event"] == "log")["id"]
        rest = texts(Events(where, path, middle).wait_closed().events)
        assert "\n".join(texts(before)[:1] + rest).split("\n") == lines


def test_a_job_that_is_archived_under_its_reader_is_told_to_the_end(tmp_path):
    with Archiving(tmp_path) as cluster:
        text = "x" * 100
        job = cluster.submit(job_of(f"i=0; while [ $i -lt 60000 ]; do echo {text} $i; i=$((i+1)); done"))
        cluster.wait_final(job)
        slow = Events(cluster.socket_of(), f"/stream?jobs={job}&logs=1", start=False)
        cluster.archive_all()
        slow.thread.start()
        slow.wait_closed()
        lines = [int(line.split()[1]) for line in "\n".join(texts(slow.events)).split("\n")]
        gaps = sum(e["data"]["lines"] for e in slow.of("gap"))
        assert lines == sorted(set(lines)) and len(lines) + gaps == 60000, (len(lines), gaps)
        assert slow.events[-1]["event"] == "end" and not gaps
