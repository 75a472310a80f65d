"""Who we are at an S3 store, where it is, and what is said when that is wrong."""
import ctypes
import json
import os
import subprocess
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from s3 import KEYS, PART, PLAIN, S3Server, Store, https_server, noise


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


def test_a_bucket_that_is_not_there(s3_server):
    store = Store(s3_server.env, "s3://no-such-bucket/x")
    said = store.fails("put", "k", data=b"x")
    assert said.startswith("unavailable: ") and "NoSuchBucket" in said and "make the bucket" in said


@pytest.mark.parametrize("url", ["s3://", "s3://B/x", "s3://ab", "s3://a..b/x", "s3://-ab/x", "s3://bucket/a//b",
                                 "s3://bucket/.x", "s3://bucket/a b", "s3://bucket/a?b", "s3:/bucket"])
def test_urls_that_are_none(s3_server, url):
    said = Store(s3_server.env, url).fails("stat", "k")
    assert said.startswith(f"invalid: store {url}: ")


def test_keys_from_the_credentials_file(s3_server, store, tmp_path):
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

    def __init__(self, valid_s=3600, address=("127.0.0.1", 0)):
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

        self.http = ThreadingHTTPServer(address, Handler)
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


class Alone(Thread):
    """Does something in a network namespace of its own, and so does all that is started there: nothing is outside."""

    def __init__(self, what):
        super().__init__()
        self.what, self.failed = what, None

    def run(self):
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET, of this thread alone
                raise OSError(ctypes.get_errno(), "no network namespace")
            subprocess.run("ip link set lo up && ip address add 169.254.169.254/32 dev lo", shell=True, check=True)
            self.what()
        except BaseException as error:  # pylint: disable=broad-except
            self.failed = error

    def join_well(self):
        self.start()
        self.join()
        if self.failed:
            raise self.failed


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_keys_from_the_instance_at_its_address(tmp_path):
    """The one that a real instance has: nobody says here where it is."""
    def alone():
        metadata = Metadata(address=("169.254.169.254", 80))
        server = S3Server(tmp_path)
        try:
            env = {k: v for k, v in metadata.env.items() if k != "AWS_EC2_METADATA_SERVICE_ENDPOINT"}
            Store({**server.env, **env}, "s3://runs/p").put("k", b"x")
            assert metadata.asked == ["/latest/api/token"] + [
                "/latest/meta-data/iam/security-credentials/" + role for role in ("", "worker-role")]
            disabled = {**server.env, **env, "AWS_EC2_METADATA_DISABLED": "true"}
            assert "AWS_EC2_METADATA_DISABLED is set" in Store(disabled, "s3://runs/p").fails("put", "k", data=b"x")
            assert len(metadata.asked) == 3
        finally:
            server.stop()
            metadata.http.shutdown()
    Alone(alone).join_well()


def test_no_test_asks_the_machine_that_it_runs_on():
    """Also one that forgot to give keys: what is started by a test has inherited that."""
    assert os.environ["AWS_EC2_METADATA_DISABLED"] == PLAIN["AWS_EC2_METADATA_DISABLED"] == "true"
    said = Store({"HOME": "/nowhere"}, "s3://runs/p").fails("stat", "k")
    assert "AWS_EC2_METADATA_DISABLED is set" in said, said


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
    server = https_server(tmp_path)
    try:
        store = Store(server.env, "s3://runs/p")
        said = store.fails("put", "k", data=b"x")
        assert said.startswith("unavailable: ") and "name the authority of its certificate: STOKER_S3_CA_FILE" in said
        store.env = {**server.env, "STOKER_S3_CA_FILE": str(tmp_path / "cert")}
        store.put("k", noise(PART + 1))
        assert store.get("k") == noise(PART + 1)
    finally:
        server.stop()
