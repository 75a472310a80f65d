"""s3://bucket/prefix against a real server that checks every signature and hash, straight and through a proxy that
misbehaves; then whole runs whose checkpoints go there."""
import hashlib
import json
import os
import random
import subprocess
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from cluster import Cluster
from harness import BUILD, wait_until
from s3 import KEYS, Faults, S3Server

MIB = 1 << 20
PART = 8 * MIB
PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "STOKER_S3_"))}
PLAIN["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


class Store:
    def __init__(self, env, url):
        self.env, self.url = env, url

    def run(self, *args, data=None, env=None, check=True):
        done = subprocess.run([BUILD / "tests/tools/store", self.url, *args], input=data, capture_output=True,
                              env={**PLAIN, **self.env, **(env or {})}, timeout=120)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout if check else done.stderr.decode()

    def put(self, key, data):
        self.run("put", key, data=data)

    def get(self, key):
        return self.run("get", key)

    def stat(self, key):
        return self.run("stat", key).decode().split()[1:]

    def list(self, prefix=""):
        return sorted(line.split()[0] for line in self.run("list", prefix).decode().splitlines())

    def fails(self, *args, **more):
        return self.run(*args, check=False, **more)


@pytest.fixture
def store(server, request):
    return Store(server.env, f"s3://runs/{abs(hash(request.node.name)):x}")


@pytest.fixture
def faulty(server, request):
    faults = Faults(server)
    yield faults, Store(faults.env, f"s3://runs/{abs(hash(request.node.name)):x}")
    faults.stop()


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, PART - 1, PART, PART + 1, 5 * PART, 6 * PART + 12345])
def test_there_and_back(store, size):
    data = noise(size)
    store.put("a/b.bin", data)
    assert store.get("a/b.bin") == data
    stat = store.stat("a/b.bin")
    assert int(stat[0]) == size and abs(int(stat[1]) - time.time() * 1000) < 60000


def test_an_object_is_replaced_removed_and_missing(store):
    store.put("x", b"one")
    store.put("x", b"two")
    assert store.get("x") == b"two"
    store.run("remove", "x")
    store.run("remove", "x")
    for verb in ("get", "stat"):
        assert store.fails(verb, "x").startswith(f"not-found: store {store.url}: ")


def test_every_letter_that_a_key_may_have(store):
    keys = ["a=b/c+d", "x@y:z,w", "under_score-and.dots/A9"]
    for key in keys:
        store.put(key, key.encode())
    assert store.list() == sorted(keys)
    assert [store.get(key).decode() for key in keys] == keys


def test_a_listing_of_many_pages(server, store):
    folder = server.object(store.url.removeprefix("s3://runs/") + "/many")
    folder.mkdir(parents=True)
    for i in range(2345):
        (folder / f"{i:05d}").write_bytes(b"x")
    assert store.list("many/") == [f"many/{i:05d}" for i in range(2345)]
    assert store.list("man/") == []


def test_what_is_not_finished_is_not_there_and_is_swept(store):
    store.run("leave", "big", data=noise(3 * PART))
    store.run("leave", "other/big", data=noise(3 * PART))
    assert store.list() == []
    assert store.run("sweep", "other/").decode().split() == ["other/big"]
    assert store.run("sweep", "").decode().split() == ["big"]
    assert store.run("sweep", "").decode() == ""


@pytest.mark.parametrize("what", [(500, "InternalError"), (503, "SlowDown"), (500, ""), "cut", "lose"])
@pytest.mark.parametrize("size", [100, 2 * PART + 5])
def test_what_passes_is_tried_again(faulty, what, size):
    """Every third request fails, and no two in a row: each is repeated until it is done."""
    faults, store = faulty
    data = noise(size)
    faults.fault = lambda method, path, n: what if n % 3 == 1 else None
    store.put("k", data)
    assert store.get("k") == data
    assert store.list() == ["k"]


@pytest.mark.parametrize("what", ["lose", "complete-error", (500, "InternalError"), "cut"])
def test_the_completion_of_an_upload_whose_answer_says_little(faulty, what):
    faults, store = faulty
    data = noise(2 * PART)
    failed = []

    def fault(method, path, n):
        if method == "POST" and "uploadId" in path and not failed:
            failed.append(n)
            return what
        return None

    faults.fault = fault
    store.put("k", data)
    assert failed and store.get("k") == data
    if what == "lose":  # it had happened: seen by looking, not by doing it again
        assert faults.count("POST", "uploadId") == 1


def test_an_upload_that_cannot_be_completed_is_aborted(faulty):
    faults, store = faulty
    faults.fault = lambda method, path, n: "complete-error" if method == "POST" and "uploadId" in path else None
    said = store.fails("put", "k", data=noise(2 * PART))
    assert said.startswith("unavailable: ") and "InternalError" in said
    assert faults.count("DELETE", "uploadId") == 1
    faults.fault = lambda method, path, n: None
    assert store.run("sweep", "").decode() == "" and store.list() == []


@pytest.mark.parametrize("verb", ["put", "get", "stat", "remove"])
def test_a_404_of_somebody_elses_says_nothing_about_the_object(faulty, server, verb):
    faults, store = faulty
    Store(server.env, store.url).put("k", b"data")
    faults.fault = lambda method, path, n: (404, "")  # as a proxy answers that does not know the way
    assert store.fails(verb, "k", data=b"data").startswith("unavailable: ")
    faults.fault = lambda method, path, n: (404, "") if method == "HEAD" else None
    if verb in ("get", "stat"):
        assert "status 404, but it is there" in store.fails(verb, "k")


def test_a_listing_that_goes_round_in_circles_ends(faulty, server):
    faults, store = faulty
    page = ("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
            "<Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>")
    faults.fault = lambda method, path, n: (200, page)
    assert "a listing in a form that is not known" in store.fails("list", "")
    assert len(faults.seen) == 2


def test_a_part_that_always_fails_ends_the_upload(faulty):
    faults, store = faulty
    faults.fault = lambda method, path, n: (503, "SlowDown") if "partNumber=2" in path else None
    said = store.fails("put", "k", data=noise(3 * PART))
    assert said.startswith("unavailable: ") and "SlowDown (503) on purpose" in said
    assert store.run("sweep", "").decode() == "" and store.list() == []


@pytest.mark.parametrize("verb", ["put", "stat"])
def test_a_clock_that_is_wrong_is_put_right_once(faulty, server, verb):
    faults, store = faulty
    faults.fault = lambda method, path, n: "skew" if n == 0 else None
    Store(server.env, store.url).put("k", b"data")
    store.run(verb, "k", data=b"data")
    sent = [datetime.strptime(t, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp() for t in faults.times]
    assert len(sent) == 2 and 590 < sent[1] - sent[0] < 620
    faults.fault = lambda method, path, n: "skew"
    said = store.fails("list", "")
    assert said.startswith("forbidden: ") and "RequestTimeTooSkewed" in said and "set the clock of this machine" in said


@pytest.mark.parametrize("change, said", [
    ({"STOKER_S3_SECRET_ACCESS_KEY": "wrong"}, "forbidden: store {url}: PUT k: SignatureDoesNotMatch (403)"),
    ({"STOKER_S3_ACCESS_KEY_ID": "nobody"}, "forbidden: store {url}: PUT k: XAdminUserNotFound (404)"),
    ({"STOKER_S3_SECRET_ACCESS_KEY": ""},
     "forbidden: store {url}: STOKER_S3_ACCESS_KEY_ID is set, but not STOKER_S3_SECRET"),
    ({"STOKER_S3_SECRET_ACCESS_KEY": "", "AWS_SECRET_ACCESS_KEY": "of others"},
     "forbidden: store {url}: STOKER_S3_ACCESS_KEY_ID is set, but not STOKER_S3_SECRET"),
    ({"STOKER_S3_ACCESS_KEY_ID": "", "STOKER_S3_SECRET_ACCESS_KEY": "", "HOME": "/nowhere"},
     "forbidden: store {url}: no keys in the environment or in ~/.aws/credentials"),
    ({"STOKER_S3_ENDPOINT": "http://127.0.0.1:1"}, "unavailable: store {url}: PUT k: "),
    ({"STOKER_S3_ENDPOINT": "ftp://x"}, "invalid: STOKER_S3_ENDPOINT: expected http:// or https:// and a host"),
    ({"STOKER_S3_STYLE": "flat"}, "invalid: STOKER_S3_STYLE: expected path or virtual, got flat"),
])
def test_what_is_set_wrongly_is_said(store, change, said):
    assert store.fails("put", "k", data=b"x", env=change).startswith(said.format(url=store.url))


def test_a_bucket_that_is_not_there(server):
    store = Store(server.env, "s3://no-such-bucket/x")
    said = store.fails("put", "k", data=b"x")
    assert said.startswith("unavailable: ") and "NoSuchBucket" in said and "make the bucket" in said


@pytest.mark.parametrize("url", ["s3://", "s3://B/x", "s3://ab", "s3://a..b/x", "s3://-ab/x", "s3://bucket/a//b",
                                 "s3://bucket/.x", "s3://bucket/a b", "s3://bucket/a?b", "s3:/bucket"])
def test_urls_that_are_none(server, url):
    said = Store(server.env, url).fails("stat", "k")
    assert said.startswith(f"invalid: store {url}: ")


def test_keys_from_the_credentials_file(server, store, tmp_path):
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_access_key_id = nobody\naws_secret_access_key=x\n\n# a comment\n[ours]\n"
                    f"  aws_access_key_id={KEYS['STOKER_S3_ACCESS_KEY_ID']}\r\n"
                    f"aws_secret_access_key = {KEYS['STOKER_S3_SECRET_ACCESS_KEY']}  \n")
    env = {"STOKER_S3_ACCESS_KEY_ID": "", "STOKER_S3_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": str(path)}
    store.run("put", "k", data=b"x", env={**env, "AWS_PROFILE": "ours"})
    assert store.fails("put", "k", data=b"x", env=env).startswith("forbidden: ")
    said = store.fails("stat", "k", env={**env, "AWS_PROFILE": "nobody"})
    assert f"{path} has no keys of the profile nobody" in said


class Metadata:
    """The instance's metadata service, version 2."""

    def __init__(self, valid_s=3600):
        self.asked, service = [], self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def answer(self, status, text=""):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_PUT(self):
                service.asked.append(self.path)
                ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
                self.answer(200, "tok-en") if self.path == "/latest/api/token" and ttl else self.answer(400)

            def do_GET(self):
                service.asked.append(self.path)
                base = "/latest/meta-data/iam/security-credentials/"
                if self.headers.get("X-aws-ec2-metadata-token") != "tok-en":
                    return self.answer(401)
                if self.path == base:
                    return self.answer(200, "worker-role\n")
                if self.path != base + "worker-role":
                    return self.answer(404)
                until = datetime.fromtimestamp(time.time() + valid_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
                return self.answer(200, json.dumps({
                    "Code": "Success", "AccessKeyId": KEYS["STOKER_S3_ACCESS_KEY_ID"], "Token": "session",
                    "SecretAccessKey": KEYS["STOKER_S3_SECRET_ACCESS_KEY"], "Expiration": until}))

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.env = {"AWS_EC2_METADATA_DISABLED": "", "STOKER_S3_ACCESS_KEY_ID": "", "STOKER_S3_SECRET_ACCESS_KEY": "",
                    "HOME": "/nowhere",
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{self.http.server_port}"}
        Thread(target=self.http.serve_forever, daemon=True).start()


def test_keys_from_the_instance(store):
    metadata = Metadata()
    store.run("put", "k", data=b"x", env=metadata.env)
    assert len(metadata.asked) == 3 and metadata.asked[0] == "/latest/api/token"


def test_keys_that_are_about_to_expire_are_fetched_anew(store):
    metadata = Metadata(valid_s=299)
    store.run("put", "k", data=b"x", env=metadata.env)
    assert len(metadata.asked) == 6


def test_a_bucket_of_its_own_host(tmp_path):
    server = S3Server(tmp_path, "--virtual-domain", "localhost")
    try:
        env = {"STOKER_S3_STYLE": "virtual", "STOKER_S3_ENDPOINT": f"http://localhost:{server.port}"}
        store = Store({**server.env, **env}, "s3://runs/p")
        store.put("a=b", noise(PART + 1))
        assert store.get("a=b") == noise(PART + 1) and store.list() == ["a=b"]
        assert server.object("p/a=b").stat().st_size == PART + 1
    finally:
        server.stop()


def test_https_with_an_authority_of_its_own(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", tmp_path / "key", "-out", tmp_path / "cert", "-subj", "/CN=s3", "-days", "2", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    server = S3Server(tmp_path / "s3", "--cert", tmp_path / "cert", "--key", tmp_path / "key", scheme="https")
    try:
        store = Store(server.env, "s3://runs/p")
        said = store.fails("put", "k", data=b"x")
        assert said.startswith("unavailable: ") and "name the authority of its certificate: STOKER_S3_CA_FILE" in said
        store.env = {**server.env, "STOKER_S3_CA_FILE": str(tmp_path / "cert")}
        store.put("k", noise(PART + 1))
        assert store.get("k") == noise(PART + 1)
    finally:
        server.stop()


# ---------------------------------------------------------------- whole runs

TRAIN = """
import os, signal, struct, sys, json, time
folder, start = os.environ["STOKER_CHECKPOINT_DIR"], 0
if "STOKER_RESUME" in os.environ:
    data = open(os.environ["STOKER_RESUME"], "rb").read()
    start = int(json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]["step"])
    print(f"resumed at {start}", flush=True)
for step in range(start + 1, 7):
    header = json.dumps({"__metadata__": {"step": str(step)},
                         "w": {"dtype": "U8", "shape": [9000000], "data_offsets": [0, 9000000]}}).encode()
    with open(f"{folder}/tmp", "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + os.urandom(9000000))
    os.rename(f"{folder}/tmp", f"{folder}/model-{step}.safetensors")
    print(f"step={step}", flush=True)
    if step == 3 and not start:
        while not os.path.exists(sys.argv[1]):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def cluster(server, tmp_path, monkeypatch):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    url = f"s3://runs/{tmp_path.name}"
    with Cluster(tmp_path, scheduler_options=["--store", url],
                 worker_options=["--cpus", "2", "--store", url]) as cluster:
        yield cluster, url


def blocks_hash(data):
    hashes = [hashlib.sha256(data[at:at + PART]).hexdigest() + "\n" for at in range(0, len(data), PART)]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def said(cluster, job):
    return "\n".join(entry.get("stdout", "") for entry in cluster.log_text(job))


def stored(cluster, job):
    """The summaries of its checkpoints by their step."""
    found = cluster.redis.client().hvals(f"stoker:{{default}}:checkpoints:{job.rsplit('-', 1)[1]}")
    return {summary["step"]: summary for summary in map(json.loads, found)}


def train_until_stored(cluster, tmp_path):
    """A job whose program dies, when tmp_path/go is there, after what its step 3 saved was stored."""
    (tmp_path / "train.py").write_text(TRAIN)
    job = cluster.submit({"command": ["/usr/bin/python3", str(tmp_path / "train.py"), str(tmp_path / "go")],
                          "retry": {"max_attempts": 3, "backoff": "10ms"}})
    wait_until(lambda: 3 in stored(cluster, job), 30, "what step 3 saved is stored")
    return job


def test_a_run_goes_on_from_its_checkpoint_in_s3(cluster, server, tmp_path):
    cluster, url = cluster
    job = train_until_stored(cluster, tmp_path)
    (tmp_path / "go").touch()
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")
    assert "resumed at 3" in said(cluster, job)
    kept = stored(cluster, job)
    for summary in kept.values():
        assert summary["uri"].startswith(url + "/")
        data = server.object(summary["uri"].removeprefix("s3://runs/").replace("manifest.json", "data.tar"))
        assert blocks_hash(data.read_bytes()) == summary["sha256"]
    assert max(kept) == 6 and len(kept) <= 3


def test_a_spoiled_object_is_found_before_it_is_used(cluster, server, tmp_path):
    cluster, _ = cluster
    job = train_until_stored(cluster, tmp_path)
    before = stored(cluster, job)
    summary = before.pop(3)
    data = server.object(summary["uri"].removeprefix("s3://runs/").replace("manifest.json", "data.tar"))
    with open(data, "r+b") as f:
        f.seek(4000000)
        f.write(b"spoiled")
    (tmp_path / "go").touch()
    done = cluster.wait_final(job)
    assert done["state"] == "succeeded" and f"resumed at {max(before)}" in said(cluster, job)


def test_the_programs_of_a_worker_do_not_see_its_keys(cluster):
    cluster, _ = cluster
    job = cluster.submit({"command": ["env"]})
    cluster.wait_final(job)
    assert "STOKER_JOB=" in said(cluster, job) and KEYS["STOKER_S3_SECRET_ACCESS_KEY"] not in said(cluster, job)


def test_what_has_ended_is_shown_from_the_archive_in_s3(cluster):
    cluster, _ = cluster
    jobs = [cluster.submit({"command": ["echo", f"job {i}"], "name": f"n{i}"}) for i in range(3)]
    before = [(cluster.wait_final(job)["state"], said(cluster, job)) for job in jobs]
    redis = cluster.redis.client()
    redis.hset("stoker:{default}:meta", "max_finished", 0)
    wait_until(lambda: redis.exists(*[f"stoker:{{default}}:job:{job.rsplit('-', 1)[1]}" for job in jobs]) == 0, 30,
               "all of it is archived")
    assert [(cluster.show(job)["job"]["state"], said(cluster, job)) for job in jobs] == before
    listed = cluster.api("GET", "/api/v1/jobs?state=archived&limit=10&cursor=")["jobs"]
    assert sorted(one["id"] for one in listed) == sorted(jobs)
