"""What an HTTP client may rely on, and what a bad one cannot do to the others: real sockets on a real scheduler."""
import gzip
import json
import socket
import time

import pytest

from harness import wait_until
from scheduler_harness import TOKEN, Follower, Runner, Scheduler

AUTH = {"Authorization": f"Bearer {TOKEN}"}


def started(tmp_path, redis, *options):
    return Scheduler(tmp_path, redis.url, options=options)


def answers(scheduler):
    try:
        return scheduler.tcp("GET", "/livez").status == 200
    except OSError:
        return False


# ---- names of requests ----

@pytest.mark.parametrize("name,is_taken", [
    ("nightly-7.x_Y", True), ("a" * 64, True), ("a" * 65, False), ("", False), ("two words", False), ('"', False),
])
def test_a_request_keeps_the_name_that_it_came_with(scheduler, name, is_taken):
    headers = {"X-Request-Id": name}
    good = scheduler.local("GET", "/livez", headers=headers)
    bad = scheduler.local("GET", "/api/v1/jobs/default-7", headers=headers)
    said = good.headers["X-Request-Id"]
    assert (said == name) == is_taken and said
    assert (bad.json()["request_id"] == name) == is_taken


def test_the_name_of_a_request_stands_in_the_log(tmp_path, redis):
    scheduler = started(tmp_path, redis, "--log-level", "debug")
    scheduler.local("GET", "/api/v1/jobs", headers={"X-Request-Id": "asked-by-me"})
    assert "request_id=asked-by-me" in scheduler.process.text()
    scheduler.stop()


# ---- problems ----

@pytest.mark.parametrize("path,body,error", [
    ("/jobs", {"command": ["true"], "resources": {"gpus": "two"}}, {"pointer": "#/resources/gpus"}),
    ("/jobs", {"jobs": [{"command": ["true"]}, {"command": ["true"], "priority": 77}]},
     {"pointer": "#/jobs/1/priority"}),
    ("/jobs?queue=No", {"command": ["true"]}, {"parameter": "queue"}),
    ("/jobs/default-1/cancel", {"reason": 7}, {"pointer": "#/reason"}),
])
def test_a_problem_names_the_field(scheduler, path, body, error):
    scheduler.submit()
    answer = scheduler.local("POST", "/api/v1" + path, body)
    (named,) = answer.json()["errors"]
    assert answer.status == 400 and named == {**error, "detail": answer.json()["detail"]}


def test_a_problem_about_no_field_names_none(scheduler):
    assert "errors" not in scheduler.local("GET", "/api/v1/jobs/default-7").json()
    assert "errors" not in scheduler.local("POST", "/api/v1/jobs", "{").json()


def test_types_that_are_not_read_or_not_answered(scheduler):
    job = scheduler.submit()
    cancel = f"/api/v1/jobs/{job}/cancel"
    assert scheduler.local("POST", cancel, '{"reason":"x"}', {"Content-Type": "text/plain"}).status == 415
    assert scheduler.local("GET", "/api/v1/jobs", headers={"Accept": "text/html"}).status == 406
    assert scheduler.local("GET", "/api/v1/jobs", headers={"Accept": "application/json;q=0"}).status == 406
    assert scheduler.job(job)["state"] == "queued"
    assert scheduler.local("GET", "/api/v1/jobs", headers={"Accept": "text/html, */*;q=0.1"}).status == 200
    assert scheduler.local("POST", cancel, "{}", {"Content-Type": "application/json; charset=utf-8"}).status == 200


# ---- answers ----

def test_where_what_was_made_is(scheduler):
    one = scheduler.local("POST", "/api/v1/jobs", {"command": ["true"]}, {"Idempotency-Key": "k"})
    again = scheduler.local("POST", "/api/v1/jobs", {"command": ["true"]}, {"Idempotency-Key": "k"})
    assert one.status == again.status == 201 and one.headers["Location"] == again.headers["Location"]
    assert scheduler.local("GET", one.headers["Location"]).json()["id"] == one.json()["id"]
    graph = scheduler.local("POST", "/api/v1/jobs", {"jobs": [{"command": ["true"]}] * 3})
    sweep = scheduler.local("POST", "/api/v1/jobs", {"command": ["true", "{{lr}}"], "sweep": {"grid": {"lr": [1, 2]}}})
    for many in (graph, sweep):
        listed = scheduler.local("GET", many.headers["Location"]).json()["jobs"]
        assert sorted(j["id"] for j in listed) == sorted(many.json()["ids"])
    spec = {"command": ["true"], "schedule": {"name": "nightly", "cron": "0 3 * * *"}}
    nightly = scheduler.local("POST", "/api/v1/schedules", spec)
    assert scheduler.local("GET", nightly.headers["Location"]).status == 200


def test_a_job_that_did_not_change_is_not_sent_again(scheduler):
    job = scheduler.submit()
    path = f"/api/v1/jobs/{job}"
    first = scheduler.local("GET", path)
    tag = {"If-None-Match": first.headers["ETag"]}
    same = scheduler.local("GET", path, headers=tag)
    assert same.status == 304 and same.text == "" and same.headers["ETag"] == first.headers["ETag"]
    scheduler.api("POST", f"/jobs/{job}/hold", {"reason": "wait"})
    changed = scheduler.local("GET", path, headers=tag)
    assert changed.status == 200 and changed.headers["ETag"] != first.headers["ETag"]
    head = scheduler.local("HEAD", path)
    assert head.status == 200 and head.text == "" and head.headers["ETag"] == changed.headers["ETag"]


def test_long_answers_are_packed_for_who_takes_them_so(scheduler):
    for n in range(5):
        scheduler.submit(name=f"job {n}")
    plain = scheduler.local("GET", "/api/v1/jobs")
    assert "Content-Encoding" not in plain.headers and plain.headers["Vary"] == "Accept-Encoding"
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(scheduler.socket))
        raw.sendall(b"GET /api/v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: br, gzip\r\n\r\n")
        head, _, body = b"".join(iter(lambda: raw.recv(65536), b"")).partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head and len(body) < len(plain.text)
    assert {j["id"] for j in json.loads(gzip.decompress(body))["jobs"]} == {j["id"] for j in plain.json()["jobs"]}
    assert "Content-Encoding" not in scheduler.local("GET", "/livez", headers={"Accept-Encoding": "gzip"}).headers


def test_redis_away_says_when_to_come_again(scheduler, redis):
    redis.kill()
    wait_until(lambda: scheduler.local("GET", "/readyz").status == 503, what="the scheduler notices")
    answer = scheduler.local("POST", "/api/v1/jobs", {"command": ["true"]})
    assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0 and answer.json()["kind"] == "unavailable"


def test_health_without_a_token(scheduler):
    wait_until(lambda: scheduler.tcp("GET", "/health").status == 200, what="it ticked")
    for path in ("/health", "/health/ready", "/health/live", "/livez", "/readyz"):
        assert scheduler.tcp("GET", path).status == 200, path
    assert scheduler.tcp("GET", "/health").json()["state"] == "ok"


# ---- bad clients ----

def closed_after(connection, patience=15):
    """Seconds until the other side closes it."""
    begun = time.monotonic()
    connection.settimeout(patience)
    while connection.recv(65536):
        pass
    return time.monotonic() - begun


def test_a_request_that_trickles_is_cut_off(tmp_path, redis):
    scheduler = started(tmp_path, redis, "--request-timeout", "1s")
    try:
        with scheduler.raw() as slow, scheduler.raw() as silent:
            slow.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n")
            slow.settimeout(0.05)
            begun, is_open = time.monotonic(), True
            while is_open:
                assert time.monotonic() - begun < 15, "a header a while keeps it open"
                try:
                    slow.sendall(b"X: y\r\n")
                    is_open = slow.recv(1) != b""
                except TimeoutError:
                    assert answers(scheduler)  # nobody else notices
                except OSError:
                    is_open = False
            assert time.monotonic() - begun > 0.5
            assert closed_after(silent) < 15
    finally:
        scheduler.stop()


def test_a_body_that_never_comes_is_not_waited_for(tmp_path, redis):
    scheduler = started(tmp_path, redis, "--request-timeout", "1s")
    try:
        with scheduler.raw() as half:
            half.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            assert closed_after(half) < 15
        assert answers(scheduler)
    finally:
        scheduler.stop()


def test_who_does_not_read_the_answer_is_cut_off(tmp_path, redis):
    scheduler = started(tmp_path, redis, "--request-timeout", "1s")
    try:
        for _ in range(3):
            scheduler.submit(name="x" * 64)
        ask = f"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.connect(("127.0.0.1", scheduler.port()))
            deaf.settimeout(0.2)
            begun = time.monotonic()
            with pytest.raises((ConnectionError, BrokenPipeError)):
                while time.monotonic() - begun < 30:
                    try:
                        deaf.sendall(ask)
                    except TimeoutError:
                        assert answers(scheduler)
        assert answers(scheduler)
    finally:
        scheduler.stop()


def test_a_stream_outlives_the_bound_on_requests(tmp_path, redis):
    scheduler = started(tmp_path, redis, "--request-timeout", "500ms")
    try:
        job = scheduler.submit()
        follower = Follower(scheduler, f"/jobs/{job}/follow?logs=1").start()
        follower.wait("job")
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() - begun > 1.2, what="more than twice the bound")
        runner = Runner(scheduler.redis_client())
        runner.log("late")
        assert follower.wait("log")[0]["entry"]["stdout"] == "late"
        follower.leave()
    finally:
        scheduler.stop()


def test_one_address_cannot_take_all_connections(tmp_path, redis):
    scheduler = started(tmp_path, redis, "--max-connections", "8", "--max-connections-each", "3")
    held = [scheduler.raw() for _ in range(3)]
    try:
        for connection in held:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in connection.recv(65536)
        with scheduler.raw() as one_more:
            assert scheduler.is_turned_away(one_more)
        with socket.create_connection(("127.0.0.1", scheduler.port()), 20, ("127.0.0.2", 0)) as elsewhere:
            elsewhere.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in elsewhere.recv(65536)
        assert scheduler.local("GET", "/livez").status == 200  # nor those of this machine
        held.pop().close()
        wait_until(lambda: answers(scheduler), what="room after one was closed")
    finally:
        for connection in held:
            connection.close()
        scheduler.stop()


def test_a_flood_of_connections_leaves_the_socket_of_this_machine(tmp_path, redis):
    scheduler = started(tmp_path, redis, "--max-connections-each", "20")
    flood = []
    try:
        for _ in range(300):
            flood.append(scheduler.raw())
        assert scheduler.submit() == "default-1"
    finally:
        for connection in flood:
            connection.close()
    wait_until(lambda: answers(scheduler), what="the flood is over")
    scheduler.stop()
