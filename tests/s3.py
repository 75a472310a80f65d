"""A real S3 server (versitygw, over a folder), and a proxy before it that does what servers and networks do."""
import http.client
import os
import random
import socket
import subprocess
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import BUILD, Process, wait_until

VERSITYGW = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stoker" / "versitygw-v1.7.0"
KEYS = {"STOKER_S3_ACCESS_KEY_ID": "stoker-test", "STOKER_S3_SECRET_ACCESS_KEY": "secret/of+the=test"}
REGION = "eu-test-1"
MIB = 1 << 20
PART = 8 * MIB
PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "STOKER_S3_"))}
PLAIN["AWS_EC2_METADATA_DISABLED"] = "true"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class S3Server:
    """Its buckets are folders below `root`: what is stored can be looked at, and spoiled, behind its back."""

    def __init__(self, folder, *options, scheme="http"):
        self.folder = Path(folder)
        self.root, self.port = self.folder / "buckets", free_port()
        (self.root / "runs").mkdir(parents=True)
        self.endpoint = f"{scheme}://127.0.0.1:{self.port}"
        self.env = {**KEYS, "STOKER_S3_REGION": REGION, "STOKER_S3_ENDPOINT": self.endpoint}
        self.process = Process(
            [VERSITYGW, "--port", f"127.0.0.1:{self.port}", "--access", KEYS["STOKER_S3_ACCESS_KEY_ID"], "--secret",
             KEYS["STOKER_S3_SECRET_ACCESS_KEY"], "--region", REGION, *options, "posix", "--sidecar",
             self.sidecar(), self.root], self.folder / "s3.log")
        wait_until(self.answers, what=f"versitygw answers\n{self.process.text()}")

    def sidecar(self):
        path = self.folder / "sidecar"
        path.mkdir()
        return path

    def answers(self):
        assert self.process.alive(), self.process.text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def object(self, key):
        return self.root / "runs" / key

    def stop(self):
        self.process.kill()


def https_server(folder):
    """One with a certificate of its own, folder/cert."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key", "-out", folder / "cert", "-subj", "/CN=s3", "-days", "2", "-addext",
                    "subjectAltName=IP:127.0.0.1,DNS:localhost"], check=True, capture_output=True)
    return S3Server(folder / "s3", "--cert", folder / "cert", "--key", folder / "key", scheme="https")


class Faults:
    """Passes requests on to the server; `fault(method, path, n)` says what becomes of the n-th: None, or one of
    (status, code or whole answer), "cut" (of the request, half of it sent), "lose" (the answer, after it happened),
    "half" (of the answer), "stall", "skew", "complete-error" (200 with an error in it)."""

    def __init__(self, server, fault=lambda method, path, n: None):
        self.fault, self.seen, self.times, self.sent, self.lock = fault, [], [], [], threading.Lock()
        faults = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def answer(self, status, body=b"", headers=()):
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def refuse(self, status, code, date=None):
                body = f"<Error><Code>{code}</Code><Message>on purpose</Message></Error>".encode()
                if not code or code.startswith("<"):
                    body = code.encode()
                length = str(len(body))
                self.answer(status, b"" if self.command == "HEAD" else body,
                            [("Content-Length", length), ("Date", date or formatdate(usegmt=True))])

            def hang_up(self):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

            def serve(self):
                with faults.lock:
                    n = len(faults.seen)
                    faults.seen.append((self.command, self.path))
                    faults.times.append(self.headers.get("x-amz-date"))
                    faults.sent.append(self.headers)
                what = faults.fault(self.command, self.path, n)
                length = int(self.headers.get("Content-Length") or 0)
                if what == "cut":
                    self.rfile.read(length // 2)
                    return self.hang_up()
                body = self.rfile.read(length)
                if what == "stall":
                    faults.stalled.wait(60)
                    return self.hang_up()
                if what == "skew":
                    return self.refuse(403, "RequestTimeTooSkewed", formatdate(time.time() + 600, usegmt=True))
                if what == "complete-error":
                    return self.refuse(200, "InternalError")
                if isinstance(what, tuple):
                    return self.refuse(*what)
                upstream = http.client.HTTPConnection("127.0.0.1", server.port)
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    upstream.putheader(name, value)
                upstream.endheaders(body)
                answer = upstream.getresponse()
                data = answer.read()
                upstream.close()
                if what == "lose":
                    return self.hang_up()
                keep = [(k, v) for k, v in answer.getheaders()
                        if k.lower() not in ("transfer-encoding", "connection", "content-length")]
                if what == "half":
                    self.answer(answer.status, data[:len(data) // 2], [*keep, ("Content-Length", str(len(data)))])
                    return self.hang_up()
                size = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
                return self.answer(answer.status, data, [*keep, ("Content-Length", size or "0")])

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

        self.stalled = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.http.server_port}"
        self.env = {**server.env, "STOKER_S3_ENDPOINT": self.endpoint}
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def count(self, method, part=""):
        return sum(1 for m, path in self.seen if m == method and part in path)

    def stop(self):
        self.stalled.set()
        self.http.shutdown()
        self.http.server_close()


class Store:
    """A store of our own, by its command for tests."""

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


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)
