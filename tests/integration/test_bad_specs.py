"""Every bad spec of tests/specs/bad.yaml gets its own sentence at every door, and no key of Redis changes."""
import http.client
import json
import os
import random
import socket
import subprocess

import pytest
import redis
import yaml

from harness import BUILD, ROOT, Process, RedisServer, wait_until

META = "stoker:{default}:meta"
# What a scheduler notes by itself.
TICKING = ["last_reap_ms", "no_reap_before_ms", "grace_since_ms", "redis_run_id", "resumed_ms"]

with open(ROOT / "tests/specs/bad.yaml", encoding="utf-8") as f:
    CASES = yaml.safe_load(f)


def text_of(case):
    if "latin1" in case:
        text = case["latin1"].encode("latin-1")
    elif "spec" in case:
        text = json.dumps(case["spec"], ensure_ascii=False).encode()
    else:
        text = case.get("json", case.get("yaml")).encode()
    return text + b" " * case.get("pad", 0)


def snapshot(client):
    """Every key with its content; without the marks of a scheduler's own ticking."""
    content = {}
    for key in client.scan_iter(count=1000):
        if key == META.encode():
            content[key] = {k: v for k, v in client.hgetall(key).items() if k.decode() not in TICKING}
        else:
            content[key] = client.dump(key)
    return content


class Fcall:
    """Plain FCALL: nothing of ours but the function library."""

    name = "fcall"

    def __init__(self, folder):
        self.server = RedisServer(folder / "redis")
        self.redis = redis.Redis(unix_socket_path=str(self.server.socket))
        self.redis.execute_command("FUNCTION", "LOAD", (BUILD / "stoker.lua").read_bytes())
        self.redis.fcall("stoker_create", 1, META, "0123456789ab")

    def submit(self, text):
        """None when it was taken, else the error."""
        try:
            self.redis.fcall("stoker_submit", 1, META, text)
        except redis.ResponseError as e:
            code, _, sentence = str(e).partition(" ")
            assert code == "INVALID"
            return sentence.partition(" | ")[0]
        return None

    def stop(self):
        self.server.stop()


class Scheduler:
    """A scheduler on a Unix socket, with a Redis of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.server = RedisServer(folder / "redis")
        self.redis = redis.Redis(unix_socket_path=str(self.server.socket))
        self.socket = folder / "scheduler.sock"
        self.process = Process([BUILD / "stoker-scheduler", "--redis-url", self.server.url,
                                "--listen", f"unix:{self.socket}"], folder / "scheduler.log")
        wait_until(self.is_ready, what="the scheduler is ready")
        # its first ticks make the default queue; a job makes the rest
        assert self.post(b'{"command":"true","delay":"300d"}')[0] == 201
        wait_until(lambda: self.redis.hget(META, "last_reap_ms"), what="the scheduler has ticked")

    def ask(self, method, path, text=None, kind=None):
        connection = http.client.HTTPConnection("localhost", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        with connection.sock as s:
            s.connect(str(self.socket))
            connection.request(method, path, text, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def is_ready(self):
        assert self.process.alive(), self.process.text()
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def post(self, text, kind="application/json"):
        return self.ask("POST", "/api/v1/jobs", text, kind)

    def stop(self):
        self.process.stop()
        self.server.stop()


class Http(Scheduler):
    """POST /api/v1/jobs."""

    name = "http"

    def submit(self, text):
        status, body = self.post(text, "application/yaml")
        if status == 201:
            return None
        answer = json.loads(body)
        assert (status, answer["kind"]) == (400, "invalid")
        return answer["detail"]


class Cli(Scheduler):
    """stoker submit FILE."""

    name = "cli"

    def submit(self, text):
        (self.folder / "bad.yaml").write_bytes(text)
        done = subprocess.run([BUILD / "stoker", "submit", "bad.yaml"], cwd=self.folder, capture_output=True,
                              text=True, timeout=20, env={**os.environ, "STOKER_URL": f"unix:{self.socket}"})
        if done.returncode == 0:
            return None
        assert done.returncode == 2 and done.stdout == ""
        line = done.stderr.splitlines()[0]
        assert line.startswith("stoker: bad.yaml:")
        return line[len("stoker: "):]


@pytest.fixture(scope="module", params=[Fcall, Http, Cli], ids=lambda door: door.name)
def door(request, tmp_path_factory):
    opened = request.param(tmp_path_factory.mktemp(request.param.name))
    yield opened
    opened.stop()


def without_place(sentence):
    """Without "bad.yaml:6: " or "line 6: " in front."""
    place, _, rest = sentence.partition(": ")
    return rest if place.startswith("bad.yaml") or place.startswith("line ") else sentence


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["says"][:40])
def test_bad_spec(door, case):
    before = snapshot(door.redis)
    said = door.submit(text_of(case))
    expected = case.get(door.name, case["says"])
    assert said is not None, "it was accepted"
    if door.name == "fcall" and "yaml" in case:
        assert said.startswith("spec: not valid JSON: ")
    elif door.name == "cli" and expected.startswith("bad.yaml:"):
        assert said == expected
    else:
        assert without_place(said) == without_place(expected)
    assert snapshot(door.redis) == before


def test_there_are_enough():
    sentences = [case["says"] for case in CASES]
    assert len(sentences) >= 60 and len(set(sentences)) == len(sentences)


GOOD = [
    b'{"command":["a","\\u00e9 b"],"env":{"A":"1","B_c":"x"},"retry":{"jitter":0.5,"backoff":"5s","max_backoff":60},'
    b'"tags":["x","y"],"priority":9,"delay":1.5e1}',
    b'{"backend":"tinygrad","train":{"task":"language-model","text":"docs/","lr":3e-3},"checkpoint":{"every":"200 '
    b'steps","paths":["a/*"],"keep_last":3},"resources":{"cpus":2.0,"memory":"2GiB","labels":{"gpu":"a100"}}}',
]
DAMAGE = [b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"0", b"-", b".", b"e", b" ", b"\0", b"\x80", b"\xc3",
          b"null", b"true", b"0x1", b"nan", b"[]", b"{}", b"\\ud800", b"/", b"..", b"99999999999999999999", b"STOKER_"]


def damaged(random):
    text = bytearray(random.choice(GOOD))
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(text))
        if random.random() < 0.4:
            del text[at:at + random.choice([1, 1, 2, 5])]
        else:
            text[at:at + random.choice([0, 1])] = random.choice(DAMAGE)
    return bytes(text)


@pytest.fixture
def two_doors(tmp_path):
    doors = []
    try:
        doors.append(Fcall(tmp_path / "fcall"))
        doors.append(Http(tmp_path / "http"))
        yield doors
    finally:
        for opened in doors:
            opened.stop()


def test_the_doors_agree_on_damaged_specs(two_doors):
    """What FCALL takes, the strict reader of the C programs takes; and about a value both say the same."""
    fcall, api = two_doors
    chance = random.Random(20261122)
    compared = 0
    for _ in range(250):
        text = damaged(chance)
        by_fcall, by_api = fcall.submit(text), api.submit(text)
        if by_fcall is None:
            assert by_api is None, text
        elif "not valid" not in by_fcall and not (by_api or "").startswith("line "):  # "line 1: " is about the text
            assert by_api == by_fcall, text
            compared += 1
    assert compared > 50
