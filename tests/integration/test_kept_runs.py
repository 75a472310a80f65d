"""What ended runs leave in the store, over file:/// and over S3: a log larger than Redis keeps, metrics and the record,
read back over the command line and HTTP; uploads in parts that fail or whose worker dies; and stoker verify, which
reads all of it and finds what was damaged."""
import base64
import gzip
import json
import random

import pytest

import fsck
from cluster import Cluster
from harness import wait_until
from s3 import Faults, Store

LINES = 130000  # of 100 characters that do not get smaller: more than Redis keeps, and more than one part
SAYS = """
import base64, os, random
rng = random.Random(7)
for i in range(%d):
    print("%%06d " %% i + base64.b64encode(rng.randbytes(69)).decode())
    if i %% 1000 == 0:
        print("step=%%d loss=%%.3f" %% (i // 1000, 1 / (1 + i)), flush=True)
"""


def said(count=LINES):
    rng = random.Random(7)
    lines = []
    for i in range(count):
        lines.append("%06d " % i + base64.b64encode(rng.randbytes(69)).decode())
        if i % 1000 == 0:
            lines.append("step=%d loss=%.3f" % (i // 1000, 1 / (1 + i)))
    return lines


class Kept:
    def __init__(self, cluster, store):
        self.cluster, self.store, self.redis = cluster, store, cluster.redis.client()
        self.installation = self.redis.get("stoker:installation")
        self.program = cluster.folder / "says.py"

    def submit(self, count=LINES, **spec):
        self.program.write_text(SAYS % count)
        return self.cluster.submit({"command": ["/usr/bin/python3", str(self.program)],
                                    "retry": {"max_attempts": 1}, **spec})

    def keys(self, part):
        return [key for key in self.store.list(self.installation + "/") if part in key]

    def wait_transcript(self, timeout=60):
        return wait_until(lambda: self.keys("/transcript.json"), timeout, "the transcript is there", every=0.2)[0]

    def archive_all(self):
        self.redis.hset("stoker:{default}:meta", "max_finished", 0)
        wait_until(lambda: not self.redis.keys("stoker:{default}:job:*"), timeout=30, what="all of it is archived")

    def lines(self, job, *options):
        text = self.cluster.cli("logs", job, *options).stdout
        return [line for line in text.splitlines() if not line.startswith("[stoker]")]

    def verify(self):
        done = self.cluster.cli("verify", check=False)
        return done.returncode, done.stdout.splitlines()


def begin(tmp_path, url, env):
    with Cluster(tmp_path, scheduler_options=["--store", url],
                 worker_options=["--cpus", "2", "--store", url]) as cluster:
        yield Kept(cluster, Store(env, url))
        assert fsck.check(cluster.redis.client()) == []


LONG = pytest.mark.long


@pytest.fixture(params=[pytest.param("file", marks=LONG), "s3"])
def kept(request, tmp_path, monkeypatch):
    env = request.getfixturevalue("s3_server").env if request.param == "s3" else {}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    yield from begin(tmp_path, f"s3://runs/{tmp_path.name}" if env else f"file://{tmp_path}/store", env)


@pytest.fixture
def faulty(tmp_path, monkeypatch, s3_server):
    """Everything but what the test itself asks goes through the faults."""
    faults = Faults(s3_server)
    for name, value in faults.env.items():
        monkeypatch.setenv(name, value)
    for kept in begin(tmp_path, f"s3://runs/{tmp_path.name}", faults.env):
        kept.store = Store(s3_server.env, kept.store.url)
        yield kept, faults
    faults.stop()


# ---------------------------------------------------------------- reading it back


def test_all_that_a_run_said_comes_back(kept, tmp_path):
    job = kept.submit()
    kept.cluster.wait_final(job)
    kept.wait_transcript()
    lines = said()
    first = kept.redis.xrange("stoker:{default}:log:1", count=1)[0][0]
    assert int(first.split("-")[1]) > 10000, "Redis has let go of the beginning"
    assert len(kept.store.get(kept.keys("/log.gz")[0])) > 8 << 20, "more than one part"
    assert kept.lines(job) == lines
    kept.archive_all()
    assert kept.lines(job) == lines and kept.lines(job, "--tail", "500") == lines[-500:]
    page = kept.cluster.api("GET", f"/api/v1/jobs/{job}/logs?after=1-100&limit=1")["entries"][0]
    assert page["id"] == "1-101" and page["stdout"].startswith(lines[100])
    points = kept.cluster.api("GET", f"/api/v1/jobs/{job}/metrics?limit=1000")["entries"]
    assert [int(p["step"]) for p in points] == list(range(LINES // 1000))
    assert "loss" in kept.cluster.cli("metrics", job).stdout
    kept.cluster.cli("download", job, "--to", tmp_path / "here")
    log, = [p for p in (tmp_path / "here").rglob("*log*") if p.is_file()]
    text = (gzip.open(log, "rt") if log.suffix == ".gz" else open(log, encoding="utf-8")).read()
    assert [l for l in text.splitlines() if not l.startswith("[stoker]")] == lines
    metrics, = (tmp_path / "here").rglob("*metrics*")
    assert metrics.read_text().count("\n") >= LINES // 1000


# ---------------------------------------------------------------- writing it, with faults


@pytest.mark.parametrize("what", [pytest.param(what, marks=[] if what == "lose" else LONG) for what in (
    (503, "SlowDown"), (500, "InternalError"), "cut", "lose", "half", "complete-error")])
def test_an_upload_that_fails_is_done_again(faulty, what):
    kept, faults = faulty
    failed = []

    def fault(method, path, _n):
        is_upload = method in ("PUT", "POST") and "/runs/" in path and len(failed) < 4
        if is_upload and (what != "complete-error" or (method == "POST" and "uploadId" in path)):
            failed.append(path)
            return what
        return None
    faults.fault = fault
    job = kept.submit()
    kept.cluster.wait_final(job)
    kept.wait_transcript(90)
    assert len(failed) == (4 if what != "complete-error" else len(failed)) and failed
    assert kept.lines(job) == said()
    assert kept.verify()[0] == 0


def test_a_worker_dies_in_the_middle_of_the_upload(faulty):
    """The second part is on its way when the machine loses its power: the next worker begins anew, and what the first
    one left is not there for ever."""
    kept, faults = faulty
    faults.fault = lambda method, path, n: \
        "stall" if method == "PUT" and "log.gz" in path and "partNumber=2" in path else None
    job = kept.submit()
    wait_until(lambda: faults.count("PUT", "log.gz?partNumber=2") or
               any("partNumber=2" in path and "log.gz" in path for _, path in faults.seen), 60, "it is being sent")
    assert not kept.keys("/transcript.json")
    kept.cluster.kill_everything()
    faults.fault = lambda method, path, n: None
    kept.cluster.start_worker()
    kept.wait_transcript()
    assert kept.cluster.job(job)["state"] == "succeeded" and kept.lines(job) == said()
    listed = kept.cluster.request("POST", "/api/v1/gc", {"older_ms": 0})[1]
    assert "log.gz" not in listed, "no upload is left that was never finished"


def test_the_store_is_away_when_the_log_is_read(faulty):
    kept, faults = faulty
    job = kept.submit()
    kept.cluster.wait_final(job)
    kept.wait_transcript()
    faults.fault = lambda method, path, n: (403, "AccessDenied") if "/runs/" in path else None
    done = kept.cluster.cli("logs", job, check=False)
    assert said()[-1] in done.stdout, "what Redis has is there"
    assert "AccessDenied" in done.stdout + done.stderr or "missing" in done.stdout + done.stderr
    faults.fault = lambda method, path, n: "half" if method == "GET" and "log.gz" in path and n % 3 == 0 else None
    assert kept.lines(job) == said(), "an answer that is cut off is asked for again"


# ---------------------------------------------------------------- verify


@pytest.fixture
def whole(kept):
    """One of each in the store: a checkpoint, a transcript, an object of the archive."""
    saves = """import os
name = os.environ["STOKER_CHECKPOINT_DIR"] + "/a"
open(name + ".part", "wb").write(b"x" * 100000)
os.rename(name + ".part", name)
os.write(int(os.environ["STOKER_CONTROL_FD"]), b'{"t":"checkpoint","path":"%s","step":1}\\n' % name.encode())
"""
    kept.program.write_text(saves)
    job = kept.cluster.submit({"command": ["/usr/bin/python3", str(kept.program)]})
    kept.cluster.wait_final(job)
    job = kept.submit(90000)
    kept.cluster.wait_final(job)
    kept.wait_transcript()
    kept.archive_all()
    return kept


def flip(data, at):
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def without_hashes(data):
    """As an older version wrote it."""
    line, rest = data.split(b"\n", 1)
    index = json.loads(line)
    for row in index["jobs"]:
        for part in ("record", "log", "metrics"):
            row[part] = row[part][:2] if part in row else None
    index["jobs"] = [{k: v for k, v in row.items() if v} for row in index["jobs"]]
    return json.dumps(index).encode() + b"\n" + rest


def other_index(data):
    index = json.loads(data)
    index["log"]["pieces"][1][0] += 1
    return json.dumps(index).encode()


DAMAGES = [
    ("/manifest.json", lambda d: flip(d, len(d) // 2), ""),
    ("/log.gz", lambda d: flip(d, len(d) // 2), "log.gz: from entry"),
    ("/log.gz", lambda d: d[:-20], "log.gz: it has"), ("/log.gz", None, "log.gz"),
    ("/metrics.gz", lambda d: flip(d, 20), "metrics.gz: from entry 1 on"),
    ("/transcript.json", lambda d: d[:-20], "it is no transcript"),
    ("/transcript.json", other_index, "stands where its index has entry"),
    ("/archive/", lambda d: flip(d, len(d) - 100), "its SHA-256 is not the one in the index"),
    ("/archive/", lambda d: without_hashes(d)[:-100] + d[-99:], "it is not where the index has it"),
    ("/archive/", lambda d: without_hashes(d).replace(b'"record":', b'"rocerd":', 1), "it is not where the index has"),
    ("/archive/", lambda d: d[:-50], "it is cut off"), ("/archive/", lambda d: d + b"x\n", "there is more in it"),
    ("/archive/", lambda d: d[30:], "it has no index"), ("/archive/", lambda d: b"", "it has no index"),
]


def test_everything_in_the_store_is_verified(whole):
    code, lines = whole.verify()
    assert code == 0 and len(lines) == 1, lines
    archives = len(whole.keys("/archive/"))
    objects = "1 object of the archive" if archives == 1 else f"{archives} objects of the archive"
    assert lines[0].startswith(f"1 checkpoint, 1 transcript, {objects} read, ")
    status, text = whole.cluster.request("POST", "/api/v1/verify", {})
    told = [json.loads(line) for line in text.splitlines() if line]
    assert status == 200 and told[-2]["read"] == told[-2]["of"] == told[-1]["sum"]["bytes"]
    for part, damage, says in DAMAGES:
        key = whole.keys(part)[-1]
        data = whole.store.get(key)
        if damage:
            whole.store.put(key, damage(data))
        else:
            whole.store.run("remove", key)
        code, lines = whole.verify()
        assert code == 12 and lines[-1].endswith("; 1 damaged"), (part, lines)
        found, = lines[:-1]
        assert found.startswith("damaged ") and says in found and key.rsplit("/", 1)[0] in found, (part, found)
        whole.store.put(key, data)
    key = whole.keys("/archive/")[-1]
    data = whole.store.get(key)
    whole.store.put(key, without_hashes(data))
    assert whole.verify()[0] == 0, "what an older version wrote has no hashes"
    whole.store.put(key, data)
    index = whole.keys("/transcript.json")[0]
    data = whole.store.get(index)
    whole.store.run("remove", index)
    code, lines = whole.verify()
    assert code == 0 and "loose" in lines[0] and "it has no transcript.json: nobody reads it" in lines[0]
    whole.store.put(index, data)
