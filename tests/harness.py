"""What every test of real processes uses: servers of its own in a folder of its own, conditions instead of
sleeps, and the servers' logs when something fails."""
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / os.environ.get("STOKER_BUILD", "build")
COUNTS = (BUILD / "branches.json").exists()  # made by make COVERAGE=1
PATIENCE = float(os.environ.get("STOKER_TEST_PATIENCE", 1))  # where programs are slow: under valgrind


def wait_until(condition, timeout=15.0, what="the condition", every=0.01):
    """Calls condition until it answers something true and returns that; fails loudly in the end."""
    end = time.monotonic() + timeout * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(every)  # the pace of asking, not a guess at how long something takes


def events_each(entries):
    """Entries of the stream `events` as one event for each job: what happened to several at once is one entry."""
    for _, event in entries:
        if "jobs" not in event:
            yield event
            continue
        for job in event["jobs"].split(" "):
            name, attempt = job.rsplit(":", 1)
            yield {**{k: v for k, v in event.items() if k != "jobs"}, "job": name, "attempt": attempt}


class Process:
    """A child process in a group of its own whose output goes to a file."""

    def __init__(self, args, log, env=None, cwd=None, **popen):
        self.args, self.log = [str(a) for a in args], Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                                          env={**os.environ, **(env or {})}, start_new_session=True, **popen)
        self.pid = self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def end(self):
        """A kill -9 whose way nobody looks at; where branches are counted, the counters are written first."""
        if COUNTS:
            self.signal(signal.SIGRTMAX)  # tests/coverage/dump.c
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                pass  # it was stopped, say
        self.kill()

    def stop(self, timeout=15):
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.args[0]} ignored SIGTERM for {timeout} s\n{self.text()}") from None

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class RedisServer:
    """A real redis-server on a Unix socket, with the durable settings of `stoker up`."""

    def __init__(self, folder, *options, before=()):
        """before: the words of a command that is to start it, `nsenter …`."""
        self.folder, self.before = Path(folder), before
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket = self.folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.options = options
        self.process = None
        self.start()

    def start(self):
        self.process = Process(
            [*self.before, "redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.folder,
             "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction",
             "--stream-node-max-entries", "32", *self.options],
            self.folder / "redis.log")
        wait_until(self.answers, what=f"redis-server answers\n{self.process.text()}")

    def answers(self):
        if not self.process.alive():
            raise AssertionError(f"redis-server died\n{self.process.text()}")
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(1)
                s.connect(str(self.socket))
                s.sendall(b"PING\r\n")
                return s.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def client(self):
        import redis
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    def kill(self):
        self.process.kill()

    def stop(self):
        if self.process and self.process.alive():
            self.process.stop()
