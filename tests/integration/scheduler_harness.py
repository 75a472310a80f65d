"""A real stoker-scheduler on a Unix socket and on loopback TCP, and a runner that is nothing but calls to Redis."""
import http.client
import json
import os
import socket
import threading

from cluster import UnixConnection
from harness import BUILD, Process, wait_until

TOKEN = "0123456789abcdef0123456789abcdef"


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.text = response.status, response.headers, response.read().decode()

    def json(self):
        return json.loads(self.text)


class Scheduler:
    def __init__(self, folder, redis_url, name="scheduler", options=(), wait=True, env=None):
        self.folder, self.name, self.redis_url = folder, name, redis_url
        self.socket = folder / f"{name}.sock"
        self.token_file = folder / "token"
        self.token_file.write_text(TOKEN + "\n")
        self.token_file.chmod(0o600)
        self.options, self.env = [str(o) for o in options], env
        self.start(wait)

    def start(self, wait=True):
        reader, writer = os.pipe()
        self.process = Process(
            [BUILD / "stoker-scheduler", "--redis-url", self.redis_url, "--listen", f"unix:{self.socket},127.0.0.1:0",
             "--token-file", self.token_file, "--ready-fd", writer, *self.options],
            self.folder / f"{self.name}.log", env=self.env, pass_fds=[writer])
        os.close(writer)
        self.ready = os.fdopen(reader)
        self.url = None
        if wait:
            self.wait_ready()

    def wait_ready(self):
        with self.ready as lines:  # end of file comes when it is ready, or when it died
            said = dict(line.strip().split("=", 1) for line in lines)
        assert said.get("READY") == "1", self.process.text()
        assert said["SOCKET"] == str(self.socket)
        self.url = said["URL"]

    def redis_client(self):
        import redis
        return redis.Redis(unix_socket_path=self.redis_url.removeprefix("unix://"), decode_responses=True)

    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def tcp(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=20)
        return self.request(connection, method, path, body, headers)

    def local(self, method, path, body=None, headers=None):
        return self.request(UnixConnection(self.socket, timeout=20), method, path, body, headers)

    @staticmethod
    def request(connection, method, path, body=None, headers=None):
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        try:
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def api(self, method, path, body=None):
        answer = self.local(method, "/api/v1" + path, body)
        assert answer.status < 300, answer.text
        return answer.json()

    def submit(self, **spec):
        return self.api("POST", "/jobs", {"command": ["true"], **spec})["id"]

    def job(self, job):
        return self.api("GET", f"/jobs/{job}")["job"]

    def raw(self):
        """An open connection to the TCP port, for what no HTTP library would send."""
        return socket.create_connection(("127.0.0.1", self.port()), timeout=20)

    @staticmethod
    def is_turned_away(connection):
        """It is closed without an answer to what was asked: not only after a while, for being idle."""
        try:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection.recv(1) == b""
        except ConnectionError:
            return True

    def stop(self):
        if self.process.alive():
            self.process.stop()
        text = self.process.text()
        assert "Sanitizer" not in text and "runtime error" not in text, text
        assert "the table of routes does not know" not in text, text  # a status that is not documented


class Follower:
    """Reads a stream of the API in a thread of its own; lines are kept as they come."""

    def __init__(self, scheduler, path):
        self.lines, self.closed = [], False
        self.connection = UnixConnection(scheduler.socket, timeout=60)
        self.connection.request("GET", "/api/v1" + path)
        self.sock = self.connection.sock  # the response takes it out of the connection
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.thread = threading.Thread(target=self.read, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def read(self):
        try:
            for line in self.response:
                self.lines.append(json.loads(line))
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self.closed = True

    def of(self, kind):
        return [line for line in list(self.lines) if line["kind"] == kind]

    def wait(self, kind, count=1, timeout=15):
        return wait_until(lambda: len(self.of(kind)) >= count and self.of(kind), timeout,
                          f"{count} lines of kind {kind}")

    def leave(self):
        self.sock.shutdown(socket.SHUT_RDWR)

    def wait_closed(self, timeout=15):
        wait_until(lambda: self.closed, timeout, "the stream is closed")


class Runner:
    """One attempt of one job, as Redis sees it."""

    def __init__(self, redis, queue="default", worker="w1", request=1, free=None):
        self.redis, self.meta = redis, f"stoker:{{{queue}}}:meta"
        self.call("worker", worker, json.dumps({"state": "up", "host": "h", "capacity": free or {"cpus": 4}}))
        claims = self.call("claim", worker, json.dumps(free or {"cpus": 4, "gpus": 0, "memory": 0}), 1, request)
        assert claims, "there is nothing to claim"
        self.claim = dict(zip(claims[0][::2], claims[0][1::2]))
        self.fence = [self.claim["n"], self.claim["uid"], self.claim["token"]]
        self.line, self.point = 1, int(self.claim.get("metric_next", 1))

    def call(self, name, *args):
        return self.redis.fcall(f"stoker_{name}", 1, self.meta, *args)

    def log(self, *lines, stream="stdout"):
        ok, self.line = self.call("log", *self.fence, self.line, 1000, stream, len(lines), "\n".join(lines))
        assert ok == "ok"

    def metric(self, **point):
        ok, self.point = self.call("metric", *self.fence, self.point, json.dumps(point))
        assert ok == "ok"

    def finish(self, cause="succeeded", **detail):
        (answer,) = self.call("finish", *self.fence, cause, json.dumps(detail))
        assert answer[0] == "ok", answer
