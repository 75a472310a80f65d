"""Thousands of jobs in one request: a spec a line, an answer a line, over HTTP and with stoker submit."""
import json
import os
import re
import signal
import subprocess

from harness import BUILD, events_each, wait_until

NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(count, **more):
    return "".join(json.dumps({"name": f"j{i}", "command": ["true", str(i)], **more}) + "\n" for i in range(count))


def post(scheduler, body, query="", **headers):
    answer = scheduler.local("POST", "/api/v1/jobs" + query, body, {**NDJSON, **headers})
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_every_line_is_a_job(scheduler):
    answers = post(scheduler, lines(2500))
    assert answers == [{"line": i, "id": f"default-{i}"} for i in range(1, 2501)]
    assert scheduler.api("GET", "/queues")["queues"][0]["queued"] == 2500
    assert scheduler.job("default-2345")["name"] == "j2344"


def test_what_is_wrong_is_told_by_its_line(scheduler):
    good = '{"command":["true"]}'
    body = "\n".join([good, "", "{", good, '{"command":["true"],"resources":{"gpus":"two"}}', "\x00", good])
    answers = post(scheduler, body)
    assert [(a["line"], a.get("id")) for a in answers] == [
        (1, "default-1"), (3, None), (4, "default-2"), (5, None), (6, None), (7, "default-3")]
    assert answers[3] == {"line": 5, "kind": "invalid", "hint": "",
                          "detail": 'resources.gpus: expected an integer from 0 to 1024, got "two"'}
    assert "not valid JSON" in answers[1]["detail"]


def test_the_first_bulk_of_a_queue_makes_it(scheduler):
    answers = post(scheduler, lines(250), "?queue=fresh")
    assert answers == [{"line": i, "id": f"fresh-{i}"} for i in range(1, 251)]


def test_each_line_may_name_its_batch(scheduler):
    """More lines than one call takes, so that one batch comes in by several; sent again nothing counts twice."""
    body = "".join(json.dumps({"command": ["true"], "batch": f"b{i % 2}"} if i % 3 else {"command": ["true"]}) + "\n"
                   for i in range(600))
    scheduler.api("POST", "/batches", {"batch": "b0", "size": 1000})
    for _ in range(2):
        assert all("id" in a for a in post(scheduler, body, **{"Idempotency-Key": "mine"}))
    found = {b["id"]: (b["total"], b["queued"], b.get("size")) for b in scheduler.api("GET", "/batches")["batches"]}
    assert found == {"b0": ("200", "200", "1000"), "b1": ("200", "200", None)}
    (refused,) = post(scheduler, '{"command":["true"],"batch":"a b"}\n')
    assert refused["detail"].startswith("batch: expected a batch id")
    assert {b["id"] for b in scheduler.api("GET", "/batches")["batches"]} == {"b0", "b1"}


def test_sent_again_with_its_key_nothing_is_made_twice(scheduler):
    first = post(scheduler, lines(150), **{"Idempotency-Key": "mine"})
    assert post(scheduler, lines(150), **{"Idempotency-Key": "mine"}) == first
    again = post(scheduler, lines(151).replace('"j3"', '"other"'), **{"Idempotency-Key": "mine"})
    assert again[3]["kind"] == "conflict" and "mine:4" in again[3]["detail"]
    assert again[150] == {"line": 151, "id": "default-151"}
    assert [a for a in again[:150] if "id" in a] == [a for a in first if a["line"] != 4]


def test_a_request_that_says_nothing(scheduler):
    for body, headers in (("", {}), ("x", {"Idempotency-Key": "k" * 101})):
        answer = scheduler.local("POST", "/api/v1/jobs", body, {**NDJSON, **headers})
        assert answer.status == 400, answer.text
    assert post(scheduler, "\n \n\n") == []
    assert scheduler.local("POST", "/api/v1/jobs?queue=-", lines(1), NDJSON).status == 400


def test_redis_goes_away_in_the_middle(scheduler, redis):
    """What is not known to be there is said so; with the key it can be sent again."""
    os.kill(redis.process.pid, signal.SIGSTOP)
    try:
        answers = post(scheduler, lines(300), **{"Idempotency-Key": "again"})
    finally:
        os.kill(redis.process.pid, signal.SIGCONT)
    assert {a["line"] for a in answers} == set(range(1, 301)) and not any("id" in a for a in answers)
    assert all(a["detail"] and a["kind"] for a in answers)
    wait_until(lambda: scheduler.local("GET", "/readyz").status == 200, what="Redis is back")
    answers = post(scheduler, lines(300), **{"Idempotency-Key": "again"})
    assert sorted(a["id"] for a in answers) == sorted(f"default-{i}" for i in range(1, 301))


def test_a_reader_that_goes_away(scheduler):
    body = lines(5000)
    with scheduler.raw() as connection:
        head = (f"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:{scheduler.port()}\r\nAuthorization: Bearer "
                f"{scheduler.token_file.read_text().strip()}\r\nContent-Type: application/x-ndjson\r\n"
                f"Content-Length: {len(body)}\r\n\r\n")
        connection.sendall(head.encode() + body.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    wait_until(lambda: scheduler.local("GET", "/livez").status == 200, what="it lives")
    assert post(scheduler, lines(1))[0]["id"]


# ---- the command ----

def stoker(cluster, *args, stdin=None):
    return subprocess.run([BUILD / "stoker", *args], input=stdin, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "STOKER_URL": f"unix:{cluster.socket_of()}"})


def test_submit_a_file_of_many(cluster, tmp_path):
    jobs = tmp_path / "jobs.ndjson"
    jobs.write_text(lines(60) + '{"command":[]}\n' + lines(1, priority=11) + lines(3))
    done = stoker(cluster, "submit", jobs)
    assert done.stdout.split() == [f"default-{i}" for i in range(1, 64)]
    assert f"{jobs}:61: command: expected" in done.stderr and f"{jobs}:62: priority: expected" in done.stderr
    assert done.returncode == 2 and "2 of 65 specs were refused" in done.stderr
    for job in done.stdout.split():
        assert cluster.wait_final(job)["state"] == "succeeded"
    client = cluster.redis.client()
    ended = [e["job"] for e in events_each(client.xrange("stoker:{default}:events")) if e["event"] == "job.succeeded"]
    assert sorted(ended) == sorted(done.stdout.split())


def test_more_shapes_than_a_queue_has_classes(cluster, tmp_path):
    """Each of 400 jobs asks for something else; all of them run, and never more at once than there is room for."""
    jobs = tmp_path / "jobs.ndjson"
    shapes = [{"cpus": i % 5, "gpus": i // 5 % 3, "memory": f"{16 * 1.19 ** (i // 15):.0f}MiB"} for i in range(400)]
    jobs.write_text("".join(json.dumps({"command": ["true"], "resources": shape}) + "\n" for shape in shapes))
    done = stoker(cluster, "submit", jobs, "--wait")
    assert done.returncode == 0, done.stderr
    client = cluster.redis.client()
    assert client.zcard("stoker:{default}:jobs:succeeded") == 400
    assert client.hlen("stoker:{default}:classes") <= 256
    shown = json.loads(stoker(cluster, "show", "default-399", "--json").stdout)
    assert shown["requirement"]["cpus"] == 4 and shown["spec"]["resources"]["cpus"] == 3, shown


def test_submit_many_from_stdin_and_wait(cluster):
    done = stoker(cluster, "submit", "-", "--ndjson", "--wait", "--key", "k1", stdin=lines(10))
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.split() if re.fullmatch(r"default-\d+", line)][:10] == [
        f"default-{i}" for i in range(1, 11)]
    again = stoker(cluster, "submit", "-", "--ndjson", "--key", "k1", stdin=lines(10))
    assert again.stdout.split() == [f"default-{i}" for i in range(1, 11)]
    for words in (["--follow"], ["--set", "name=x"]):
        refused = stoker(cluster, "submit", "-", "--ndjson", *words, stdin=lines(1))
        assert refused.returncode == 2 and "one spec" in refused.stderr


def test_submit_more_than_one_request_holds(scheduler, tmp_path):
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text(lines(4100) + "{\n")
    done = subprocess.run([BUILD / "stoker", "submit", jobs, "--json"], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "STOKER_URL": f"unix:{scheduler.socket}"})
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [a["line"] for a in answers] == list(range(1, 4102))
    assert [a["id"] for a in answers[:-1]] == [f"default-{i}" for i in range(1, 4101)]
    assert "4101" in done.stderr and done.returncode == 2
