"""The HTTP API of a real scheduler on a real Redis: every route, and everything that is refused."""
import json
import re
import shutil
import socket

import pytest

from harness import wait_until
from scheduler_harness import TOKEN, Runner, Scheduler

AUTH = {"Authorization": f"Bearer {TOKEN}"}


def test_every_route_answers(scheduler):
    job = scheduler.submit(name="first")
    assert job == "default-1"
    for path, key in [("/livez", "alive"), ("/readyz", "ready")]:
        assert scheduler.tcp("GET", path).json()[key] is True
    assert set(scheduler.api("GET", "/version")) == {"version", "library"}
    assert [j["id"] for j in scheduler.api("GET", "/jobs")["jobs"]] == [job]
    shown = scheduler.api("GET", f"/jobs/{job}")
    assert shown["job"]["state"] == "queued" and shown["spec"]["command"] == ["true"]
    assert shown["why"] == "no worker serves queue default"
    assert scheduler.api("GET", f"/jobs/{job}/logs") == {"entries": [], "next": ""}
    assert scheduler.api("GET", f"/jobs/{job}/metrics") == {"entries": [], "next": ""}
    assert scheduler.api("GET", f"/jobs/{job}/metrics?merged=1") == {"entries": [], "next": ""}
    assert scheduler.api("GET", f"/jobs/{job}/checkpoints") == {"checkpoints": [], "count": 0, "cursor": ""}
    events = scheduler.api("GET", "/events")["entries"]
    assert [e["event"] for e in events] == ["queue.created", "job.submitted"]
    assert scheduler.api("GET", f"/events?after={events[0]['id']}&limit=1")["entries"] == events[1:]
    assert scheduler.api("GET", "/workers") == {"workers": []}
    assert scheduler.local("POST", "/api/v1/queues", {"queue": "gpu"}).status == 201
    assert {q["queue"]: q["queued"] for q in scheduler.api("GET", "/queues")["queues"]} == {"default": 1, "gpu": 0}
    assert scheduler.api("POST", f"/jobs/{job}/cancel", {"reason": "enough"}) == {"id": job, "state": "cancelled"}
    assert "enough" in scheduler.api("GET", f"/jobs/{job}")["why"]
    assert scheduler.api("POST", f"/jobs/{job}/retry") == {"id": "default-2"}
    assert scheduler.api("POST", f"/jobs/{job}/retry", {"attempt": 0}) == {"id": "default-2"}
    runner = Runner(scheduler.redis_client())
    assert scheduler.api("POST", "/jobs/default-2/corrupt", {"reason": "nan", "onset": 3})["state"] == "running"
    assert runner.call("renew", *runner.fence)[0] == "corrupted"
    (worker,) = scheduler.api("GET", "/workers")["workers"]
    assert worker["queues"] == ["default"] and worker["capacity"] == {"cpus": 4}
    doctor = scheduler.api("GET", "/doctor")
    assert doctor["ok"] is True and {c["name"] for c in doctor["checks"]} >= {"fsync", "eviction", "role"}


def test_what_is_described_is_what_is_served(scheduler):
    described = scheduler.local("GET", "/api/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    examples = {name: shape.get("examples", ["x"])[0] for name, shape in described["components"]["schemas"].items()}
    for path, methods in described["paths"].items():
        at = re.sub(r"{(\w+)}", lambda name: examples[name[1]], path)
        answer = scheduler.local("PUT", at)
        assert answer.status == 405, path
        assert set(answer.headers["Allow"].split(", ")) >= {method.upper() for method in methods}, path
        for operation in methods.values():
            assert {str(status) for status in (400, 403, 503)} <= set(operation["responses"]), path


def test_jobs_of_all_queues_newest_first_and_pages_of_one(scheduler):
    jobs = [scheduler.submit(queue=q) for q in ("default", "gpu", "default", "gpu", "default")]
    assert jobs == ["default-1", "gpu-1", "default-2", "gpu-2", "default-3"]
    listed = [j["id"] for j in scheduler.api("GET", "/jobs?limit=4")["jobs"]]
    times = [int(scheduler.job(j)["submitted_ms"]) for j in listed]
    assert len(listed) == 4 and times == sorted(times, reverse=True)
    seen, cursor = [], ""
    for _ in range(3):
        page = scheduler.api("GET", f"/jobs?queue=default&limit=1&cursor={cursor}")
        seen += [j["id"] for j in page["jobs"]]
        cursor = page["cursor"]
    assert seen == ["default-3", "default-2", "default-1"]


def test_the_same_key_is_the_same_job(scheduler):
    spec, headers = {"command": ["true"]}, {"Idempotency-Key": "nightly"}
    first = scheduler.local("POST", "/api/v1/jobs", spec, headers)
    as_yaml = scheduler.local("POST", "/api/v1/jobs", "command: [ 'true' ]",
                              {**headers, "Content-Type": "application/yaml"})
    assert (first.status, as_yaml.status) == (201, 201)
    assert first.json() == as_yaml.json() == {"id": "default-1"}
    other = scheduler.local("POST", "/api/v1/jobs", {"command": ["false"]}, headers)
    assert other.status == 409 and other.json()["kind"] == "conflict"
    assert len(scheduler.api("GET", "/jobs")["jobs"]) == 1


def test_only_with_the_token(scheduler):
    for headers in [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"},
                    {"Authorization": f"Bearer {TOKEN}x"}]:
        answer = scheduler.tcp("GET", "/api/v1/jobs", headers=headers)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer", headers
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert scheduler.tcp("GET", "/nowhere", headers=headers).status == 401  # who has none learns nothing
        assert scheduler.tcp("POST", "/api/v1/jobs", {"command": ["true"]}, headers).status == 401
    assert scheduler.tcp("GET", "/api/v1/jobs", headers=AUTH).json() == {"jobs": [], "cursor": ""}
    assert scheduler.socket.stat().st_mode & 0o777 == 0o600


def test_a_web_page_cannot_call(scheduler):
    port = scheduler.port()
    for headers in [{"Host": "evil.example"}, {"Host": f"evil.example:{port}"}, {"Origin": "http://evil.example"},
                    {"Origin": "null"}, {"Origin": f"http://127.0.0.1:{port + 1}"},
                    {"Origin": f"http://localhost:{port}"}]:
        answer = scheduler.tcp("POST", "/api/v1/jobs", {"command": ["true"]}, {**AUTH, **headers})
        assert answer.status == 403, (headers, answer.text)
        assert not [h for h in answer.headers if h.lower().startswith("access-control")]
    assert scheduler.tcp("GET", "/api/v1/jobs", headers=AUTH).json()["jobs"] == []
    same = {**AUTH, "Origin": f"http://127.0.0.1:{port}"}
    assert scheduler.tcp("GET", "/api/v1/jobs", headers=same).status == 200
    preflight = scheduler.tcp("OPTIONS", "/api/v1/jobs", headers={**same, "Access-Control-Request-Method": "POST"})
    assert preflight.status == 405 and preflight.headers["Allow"] == "POST, GET, HEAD"
    assert not [h for h in preflight.headers if h.lower().startswith("access-control")]


@pytest.mark.parametrize("method,path,body,status,says", [
    ("GET", "/api/v1/nothing", None, 404, "there is no /api/v1/nothing"),
    ("DELETE", "/api/v1/jobs/default-1", None, 405, "GET, HEAD only"),
    ("PUT", "/livez", "", 405, "GET, HEAD only"),
    ("GET", "/api/v1/jobs/default-7", None, 404, "default-7"),
    ("GET", "/api/v1/jobs/default-7/logs", None, 404, "default-7"),
    ("GET", "/api/v1/jobs/default-7/follow?logs=1", None, 404, "default-7"),
    ("GET", "/api/v1/jobs/nowhere-7", None, 404, "nowhere"),
    ("GET", "/api/v1/jobs/UPPER", None, 400, "UPPER"),
    ("GET", "/api/v1/jobs?limit=0", None, 400, "limit"),
    ("GET", "/api/v1/jobs?limit=101", None, 400, "limit"),
    ("GET", "/api/v1/jobs?limit=ten", None, 400, "limit"),
    ("GET", "/api/v1/jobs?state=sleeping", None, 400, "sleeping"),
    ("GET", "/api/v1/jobs?queue=No", None, 400, "queue"),
    ("GET", "/api/v1/jobs?queue=nowhere", None, 404, "nowhere"),
    ("GET", "/api/v1/jobs?x", None, 400, "query"),
    ("GET", "/api/v1/events?after=%22", None, 400, "after"),
    ("GET", "/api/v1/events?after=-5-7", None, 400, "after"),
    ("GET", "/api/v1/events?after=5-", None, 400, "after"),
    ("GET", "/api/v1/events?after=99999999999999999999", None, 400, "after"),
    ("POST", "/api/v1/jobs", "{", 400, ""),
    ("POST", "/api/v1/jobs", "", 400, ""),
    ("POST", "/api/v1/jobs", {"command": ["true"], "resources": {"gpus": "two"}}, 400, "resources.gpus"),
    ("POST", "/api/v1/jobs", {"command": ["true"], "nmae": "x"}, 400, "nmae"),
    ("POST", "/api/v1/jobs?queue=gpu", {"command": ["true"], "queue": "cpu"}, 400, "queue"),
    ("POST", "/api/v1/queues", {"queue": "-bad"}, 400, "queue"),
    ("POST", "/api/v1/queues", {}, 400, "queue"),
    ("POST", "/api/v1/queues/default/shares", {"tenant": "a", "weight": -1e195}, 400, "weight"),
    ("POST", "/api/v1/jobs/default-1/cancel", "[]", 400, "object"),
    ("POST", "/api/v1/jobs/default-1/cancel", "{bad", 400, "JSON"),
    ("POST", "/api/v1/jobs/default-1/cancel", {"reason": 1}, 400, "reason"),
    ("POST", "/api/v1/jobs/default-1/cancel", {"why": "x"}, 400, "why"),
    ("POST", "/api/v1/jobs/default-1/corrupt", {"onset": -1}, 400, "onset"),
    ("POST", "/api/v1/jobs/default-1/corrupt", {"attempt": "1"}, 400, "attempt"),
])
def test_refused(scheduler, method, path, body, status, says):
    answer = scheduler.local(method, path, body)
    problem = answer.json()
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == status and says in problem["detail"], problem
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert scheduler.api("GET", "/jobs")["jobs"] == []


def test_a_form_is_no_spec(scheduler):
    for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""]:
        answer = scheduler.local("POST", "/api/v1/jobs", '{"command":["true"]}', {"Content-Type": kind})
        assert answer.status == 415 and "Content-Type" in answer.json()["hint"], kind


def test_what_is_too_large_is_refused(scheduler):
    assert scheduler.tcp("GET", "/livez", headers={"X-Big": "a" * 20000}).status == 400
    spec = json.dumps({"command": ["true"], "name": "a" * 300000})
    answer = scheduler.local("POST", "/api/v1/jobs", spec)
    assert answer.status == 400 and "262144" in answer.json()["detail"]
    assert scheduler.local("POST", "/api/v1/jobs", "a" * (8 * 1024 * 1024 + 1)).status == 413
    assert scheduler.tcp("GET", "/livez").status == 200


def test_a_full_queue_says_when_to_come_again(scheduler):
    scheduler.submit()
    scheduler.redis_client().hset("stoker:{default}:meta", "max_jobs", 1)
    answer = scheduler.local("POST", "/api/v1/jobs", {"command": ["true"]})
    assert answer.status == 429 and int(answer.headers["Retry-After"]) > 0
    assert answer.json()["kind"] == "full" and "max_jobs" in answer.json()["detail"]


def test_requests_that_contradict_themselves(scheduler):
    for head in [b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nContent-Length: 0\r\n",
                 b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                 b"Content-Length: 5\r\n",
                 b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n",
                 b"GET /livez HTTP/9.1\r\nHost localhost\r\n", b"\x00\x01\x02 / HTTP/1.1\r\n"]:
        with scheduler.raw() as connection:
            connection.sendall(head + b"\r\n0\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            said = connection.recv(65536)
            assert said == b"" or b" 400 " in said.split(b"\r\n")[0] or b" 403 " in said.split(b"\r\n")[0], said
    assert scheduler.tcp("GET", "/livez").status == 200


def test_connections_are_bounded(tmp_path, redis):
    scheduler = Scheduler(tmp_path, redis.url, options=["--max-connections", "3"])
    held = [scheduler.raw() for _ in range(3)]
    try:
        for connection in held:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in connection.recv(65536)
        with scheduler.raw() as one_more:
            assert scheduler.is_turned_away(one_more)
        held.pop().close()
        wait_until(lambda: livez(scheduler), what="room for one after another was closed")
    finally:
        for connection in held:
            connection.close()
        scheduler.stop()


def livez(scheduler):
    try:
        return scheduler.tcp("GET", "/livez").status == 200
    except OSError:
        return False


def test_why_a_job_waits_and_why_it_died(scheduler):
    client = scheduler.redis_client()
    large = scheduler.submit(resources={"gpus": 8}, queue="gpu")
    client.fcall("stoker_worker", 1, "stoker:{gpu}:meta", "node-7",
                 json.dumps({"state": "up", "capacity": {"cpus": 8, "gpus": 2, "memory": 0}}))
    assert scheduler.api("GET", f"/jobs/{large}")["why"] == "needs 8 GPUs; no worker has more than 2"
    assert scheduler.api("GET", "/jobs?queue=gpu")["jobs"][0]["why"] == "needs 8 GPUs; no worker has more than 2"
    failing = scheduler.submit(retry={"max_attempts": 2, "backoff": "42s", "jitter": 0})
    runner = Runner(client)
    runner.log("Traceback", "RuntimeError: out of luck", stream="stderr")
    runner.finish("error", exit=1, error="exit 1")
    shown = scheduler.api("GET", f"/jobs/{failing}")
    assert shown["why"] in ("retries in 42 s (2 of 2: exit 1)", "retries in 41 s (2 of 2: exit 1)")
    assert shown["last_lines"] == ["Traceback", "RuntimeError: out of luck"]
    scheduler.api("POST", f"/jobs/{failing}/retry")
    Runner(client, request=2).finish("error", signal=9)
    shown = scheduler.api("GET", f"/jobs/{failing}")
    assert shown["job"]["state"] == "failed" and "killed by SIGKILL" in shown["why"]


def test_merged_points_leave_out_what_a_resume_voided(scheduler):
    client = scheduler.redis_client()
    job = scheduler.submit()
    runner = Runner(client)
    for step in (100, 200, 300):
        runner.metric(step=step, loss=step / 1000)
    runner.finish("lost")
    runner = Runner(client, request=2)
    runner.metric(step=100, loss=0.5)
    raw = scheduler.api("GET", f"/jobs/{job}/metrics")["entries"]
    assert [e.get("step") for e in raw if "loss" in e] == ["100", "200", "300", "100"]
    merged = scheduler.api("GET", f"/jobs/{job}/metrics?merged=1")["entries"]
    assert [(e["id"].split("-")[0], e["step"]) for e in merged] == [("2", "100")]


def test_doctor_tries_the_store(tmp_path, redis):
    store = tmp_path / "store"
    store.mkdir()
    scheduler = Scheduler(tmp_path, redis.url, options=("--store", f"file://{store}"))
    try:
        said, = (c for c in scheduler.api("GET", "/doctor")["checks"] if c["name"] == "store")
        assert said["ok"] and "written, read, listed and removed, and none is replaced" in said["detail"]
        left = [f.name for f in store.rglob("*") if f.is_file()]
        assert left == ["mark"], "nothing stays there but what tells it from another store"
        shutil.rmtree(store)
        store.write_text("no folder any more")
        said, = (c for c in scheduler.api("GET", "/doctor")["checks"] if c["name"] == "store")
        assert not said["ok"] and str(store) in said["detail"] and said["hint"]
    finally:
        scheduler.stop()


def test_doctor_names_what_is_risky(tmp_path, redis):
    client = redis.client()
    client.config_set("appendfsync", "no")
    client.config_set("maxmemory-policy", "allkeys-lru")
    scheduler = Scheduler(tmp_path, redis.url)
    try:
        report = scheduler.api("GET", "/doctor")
        bad = {c["name"]: c["hint"] for c in report["checks"] if not c["ok"]}
        assert report["ok"] is False and set(bad) == {"fsync", "eviction"} and all(bad.values())
    finally:
        scheduler.stop()
