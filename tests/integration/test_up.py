"""stoker up: a private Redis, a scheduler and a worker, through deaths of every one of them."""
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import redis

from harness import BUILD, Process, wait_until

STOKER = BUILD / "stoker"


class Up:
    """One `stoker up` on a folder of its own, with a path short enough for Unix sockets."""

    def __init__(self, folder, *options, path=None):
        self.folder, self.options = Path(folder), options
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("STOKER_")}
        if path:
            self.env["PATH"] = f"{path}:{self.env['PATH']}"
        self.starts = 0
        self.process = None

    def start(self, wait=True):
        self.starts += 1
        self.process = Process([STOKER, "up", "--dir", self.folder, "--port", "0", *self.options],
                               self.folder.parent / f"up-{self.starts}.log", env=self.env)
        if wait:
            wait_until(lambda: "ready in " in self.text() or not self.process.alive(), 30, "it is ready")
            assert self.process.alive(), self.text()
        return self

    def text(self):
        return self.process.text()

    def says(self, text, timeout=30):
        return wait_until(lambda: text in self.text(), timeout, f"it says {text!r}:\n{self.text()}")

    def state(self):
        return json.loads((self.folder / "stoker.json").read_text())

    def stoker(self, *args, stdin=None):
        return subprocess.run([STOKER, *args, "--dir", self.folder], input=stdin, capture_output=True, text=True,
                              timeout=60, env=self.env)

    def submit(self, command, *options, **spec):
        done = self.stoker("submit", "-", *options, stdin=json.dumps({"command": command, **spec}))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def job(self, job):
        done = self.stoker("show", job, "--json")
        return json.loads(done.stdout)["job"] if done.returncode == 0 else {}

    def wait_state(self, job, state, timeout=60):
        wait_until(lambda: self.job(job).get("state") == state, timeout, f"{job} is {state}", every=0.05)
        return self.job(job)

    def pid_of(self, program):
        """The child of this stoker up that runs program, if it lives."""
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                name = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[0].split(b" ")[0]
                parent = int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if parent == self.process.pid and name.endswith(program.encode()):
                return int(entry)
        return None

    def left(self):
        """Processes that name the folder in their command line or environment."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes() + Path(f"/proc/{entry}/environ").read_bytes()
            except OSError:
                continue
            if str(self.folder).encode() in words:
                found.append(int(entry))
        return found

    def clean(self):
        if self.process and self.process.alive():
            self.process.kill()
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="up-", ignore_cleanup_errors=True) as name:
        yield Path(name) / "d"


@pytest.fixture
def up(folder):
    u = Up(folder)
    yield u
    print("".join(f"---- {log}\n{log.read_text(errors='replace')[-3000:]}"
                  for log in [*folder.parent.glob("*.log"), *folder.glob("*.log")]))
    u.clean()


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_it_starts_runs_a_job_and_drains(up):
    up.start()
    text = up.text()
    assert text.startswith("stoker ") and f"data in {up.folder} · Ctrl-C drains" in text
    assert "append-only, fsync always" in text and "http://127.0.0.1:" in text and "cpu" in text
    with redis.Redis(unix_socket_path=str(up.folder / "redis/redis.sock"), decode_responses=True) as client:
        told = client.config_get("append*")
    assert (told["appendonly"], told["appendfsync"]) == ("yes", "always"), "it answers when its file is on disk"
    state = up.state()
    assert state["pid"] == up.process.pid and state["url"] in text
    assert mode(up.folder / "stoker.json") == mode(up.folder / "token") == 0o600
    assert mode(up.folder) == 0o700
    token = (up.folder / "token").read_text().strip()
    over_tcp = subprocess.run([STOKER, "ls"], capture_output=True, text=True, timeout=20,
                              env={**up.env, "STOKER_URL": state["url"], "STOKER_TOKEN": token})
    assert over_tcp.returncode == 0, over_tcp.stderr
    refused = subprocess.run([STOKER, "ls"], capture_output=True, text=True, timeout=20,
                             env={**up.env, "STOKER_URL": state["url"], "STOKER_TOKEN": "mistaken"})
    assert refused.returncode == 4 and "mistaken" not in refused.stderr and "STOKER_TOKEN" in refused.stderr
    done = up.stoker("submit", "-", "--wait", stdin="command: echo hello\n")
    assert done.returncode == 0, done.stderr
    assert up.stoker("logs", done.stdout.strip()).stdout == "hello\n"
    assert up.stoker("doctor").returncode == 0
    assert up.process.stop() == 0
    assert not (up.folder / "stoker.json").exists()
    assert up.left() == []
    up.start()
    assert up.stoker("logs", done.stdout.strip()).stdout == "hello\n"
    assert (up.folder / "token").read_text().strip() == token


def test_a_second_one_is_refused(up):
    up.start()
    done = up.stoker("up")
    assert done.returncode == 5
    assert f"stoker up (pid {up.process.pid}) runs on {up.folder} already" in done.stderr
    assert up.process.alive() and up.stoker("ls").returncode == 0


def test_draining_gives_a_run_back(up):
    up.start()
    job = up.submit("trap 'exit 75' TERM; echo up; while :; do sleep 0.1; done", grace="20s")
    wait_until(lambda: up.stoker("logs", job).stdout == "up\n", what="it runs")
    assert up.process.stop(60) == 0
    assert "draining" in up.text() and up.left() == []
    assert up.text().endswith("stoker: stopped; the next stoker up on this folder goes on\n")
    up.start()
    again = up.wait_state(job, "running")
    assert again["attempt"] == "2" and again.get("errors", "0") == again.get("lost", "0") == "0"


def test_a_second_signal_stops_at_once_and_leaves_the_run(up, tmp_path):
    gate = tmp_path / "gate"
    up.start()
    job = up.submit(f"trap '' TERM; echo up; until [ -e {gate} ]; do sleep 0.05; done", grace="300s")
    wait_until(lambda: up.stoker("logs", job).stdout == "up\n", what="it runs")
    up.process.signal(signal.SIGINT)
    up.says("draining")
    up.process.signal(signal.SIGINT)
    assert up.process.popen.wait(30) == 0
    assert "stopping at once" in up.text()
    assert up.left(), "the run goes on"
    up.start()
    gate.touch()  # its program ends only now; it had been asked to stop, so it was preempted, never lost
    assert up.wait_state(job, "succeeded").get("lost", "0") == "0"


@pytest.mark.parametrize("program", ["redis-server", "stoker-scheduler", "stoker-worker"])
def test_what_dies_is_started_again(up, tmp_path, program):
    gate = tmp_path / "gate"
    up.start()
    state = up.state()
    job = up.submit(f"seq 1 100; until [ -e {gate} ]; do sleep 0.05; done; seq 101 200")
    up.wait_state(job, "running")
    old = up.pid_of(program)
    os.kill(old, signal.SIGKILL)
    up.says("ended (signal 9 (SIGKILL)); it is started again")
    wait_until(lambda: up.pid_of(program) not in (None, old), what=f"{program} is back")
    wait_until(lambda: up.stoker("ls").returncode == 0, what="it answers")
    gate.touch()
    done = up.wait_state(job, "succeeded")
    assert done["attempt"] == "1"
    assert up.stoker("logs", job).stdout.split() == [str(i) for i in range(1, 201)]
    assert up.state() == state and up.state()["url"] == state["url"]
    assert up.process.stop() == 0


def test_killed_it_leaves_only_runs_which_the_next_one_adopts(up, tmp_path):
    gate = tmp_path / "gate"
    up.start()
    job = up.submit(f"seq 1 100; until [ -e {gate} ]; do sleep 0.05; done; seq 101 200")
    up.wait_state(job, "running")
    daemons = [up.pid_of(p) for p in ("redis-server", "stoker-scheduler", "stoker-worker")]
    up.process.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in daemons), what="nothing is left but the run")
    assert up.left(), "the run goes on"
    up.start()
    gate.touch()
    assert up.wait_state(job, "succeeded")["attempt"] == "1"
    assert up.stoker("logs", job).stdout.split() == [str(i) for i in range(1, 201)]


def test_a_full_disk_is_named_and_waited_for(folder, tmp_path):
    """A redis-server that finds no room while the mark is there, as the real one does with appendfsync always."""
    programs = tmp_path / "bin"
    programs.mkdir()
    mark = tmp_path / "full"
    wrapper = programs / "redis-server"
    wrapper.write_text(f"""#!/bin/sh
if [ -e {mark} ]; then
    echo "1:M # Can't persist AOF for fsync error: No space left on device. Exiting..."
    exit 1
fi
exec {shutil.which('redis-server')} "$@"
""")
    wrapper.chmod(0o755)
    up = Up(folder, path=programs).start()
    try:
        mark.touch()
        os.kill(up.pid_of("redis-server"), signal.SIGKILL)
        up.says("Redis stopped because the disk is full")
        mark.unlink()
        wait_until(lambda: up.stoker("ls").returncode == 0, 30, "it works again")
        assert up.process.stop() == 0
    finally:
        up.clean()


def test_a_port_that_is_taken(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run([STOKER, "up", "--dir", folder, "--port", str(port)], capture_output=True, text=True,
                              timeout=60)
    assert done.returncode not in (0, 1), done.stderr
    assert "the scheduler did not start" in done.stderr and "in use" in done.stderr
    assert "--port 0 takes any free port" in done.stderr
    assert not (folder / "stoker.json").exists()
    assert not [p for p in Up(folder).left()]


def test_programs_that_are_missing(folder, tmp_path):
    alone = tmp_path / "stoker"
    shutil.copy(STOKER, alone)
    nowhere = {**os.environ, "PATH": str(tmp_path / "none")}
    done = subprocess.run([alone, "up", "--dir", folder], capture_output=True, text=True, timeout=60, env=nowhere)
    assert done.returncode == 3 and "cannot start Redis" in done.stderr
    assert "apt-get install redis-server" in done.stderr
    only_redis = tmp_path / "some"
    only_redis.mkdir()
    (only_redis / "redis-server").symlink_to(shutil.which("redis-server"))
    done = subprocess.run([alone, "up", "--dir", folder], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": str(only_redis)})
    assert done.returncode == 3 and "cannot start the scheduler" in done.stderr
    assert not Up(folder).left()


def test_folders_that_cannot_be(folder):
    long = folder / ("x" * 120)
    done = subprocess.run([STOKER, "up", "--dir", long], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and "too long for a Unix socket" in done.stderr
    folder.mkdir()
    (folder / "file").write_text("")
    done = subprocess.run([STOKER, "up", "--dir", folder / "file"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "cannot" in done.stderr


def test_a_wrong_worker_option_is_told(folder):
    done = subprocess.run([STOKER, "up", "--dir", folder, "--port", "0", "--cpus", "many"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode != 0
    assert "the worker did not start" in done.stderr and "cpus" in done.stderr
    assert not Up(folder).left()


def test_it_is_ready_in_under_two_seconds(up):
    began = time.monotonic()
    up.start()
    assert time.monotonic() - began < 2
