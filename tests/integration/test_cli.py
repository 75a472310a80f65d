"""The stoker command against a real scheduler, a real Redis and a real worker."""
import json
import os
import pty
import resource
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from cluster import Cluster
from harness import BUILD, wait_until

STOKER = str(BUILD / "stoker")
OK = 0
FAILED, CANCELLED, INTERRUPTED = 10, 11, 130


def environment(**more):
    plain = {k: v for k, v in os.environ.items() if not k.startswith("STOKER_") and k != "NO_COLOR"}
    return {**plain, **more}


def run(*args, url=None, stdin=None, **env):
    if url:
        env["STOKER_URL"] = url
    return subprocess.run([STOKER, *[str(a) for a in args]], input=stdin, capture_output=True, text=True, timeout=60,
                          env=environment(**env))


class Background:
    """A command that goes on while the test does."""

    def __init__(self, url, *args):
        self.popen = subprocess.Popen([STOKER, *[str(a) for a in args]], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, env=environment(STOKER_URL=url))
        self.out, self.err = [], []
        self.threads = [threading.Thread(target=self.read, args=pair, daemon=True)
                        for pair in ((self.popen.stdout, self.out), (self.popen.stderr, self.err))]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def read(stream, into):
        for line in stream:
            into.append(line.rstrip("\n"))

    def says(self, text):
        return wait_until(lambda: any(text in line for line in self.out + self.err), what=f"{text!r} in {self}")

    def end(self, timeout=30):
        code = self.popen.wait(timeout)
        for thread in self.threads:
            thread.join(timeout)
        return code

    def __str__(self):
        return f"{self.out} / {self.err}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cli"), worker_options=["--cpus", 16]) as c:
        c.url = f"unix:{c.socket_of()}"
        yield c


@pytest.fixture
def stoker(cluster):
    return lambda *args, **env: run(*args, url=cluster.url, **env)


@pytest.fixture
def spec(tmp_path):
    def write(file="job.yaml", **keys):
        path = tmp_path / file
        path.write_text(json.dumps(keys))
        return path
    return write


def submit(stoker, path, *args):
    done = stoker("submit", path, *args)
    assert done.returncode == OK, done.stderr
    return done.stdout.strip()


# ---- asking nobody ----

def test_version_and_help_need_no_scheduler():
    assert run("version").stdout.startswith("stoker ")
    assert run("--version").stdout == run("version").stdout
    listed = run("help").stdout
    for name in ("up", "submit", "ls", "show", "logs", "metrics", "cancel", "retry", "checkpoints", "workers", "events",
                 "corrupt", "queues", "config", "doctor", "version", "help"):
        assert f"\n  {name} " in listed
        explained = run(name, "--help")
        assert explained.returncode == OK and f"stoker {name}" in explained.stdout


def test_typing_mistakes_are_met_with_a_suggestion():
    done = run("sumbit", "x.yaml")
    assert done.returncode == 2
    assert done.stderr == 'stoker: there is no command "sumbit"\n  hint: did you mean stoker submit?\n'
    done = run("logs", "gpu-1", "--folow")
    assert (done.returncode, done.stderr) == (2, "stoker: there is no option --folow\n  hint: did you mean --follow?\n")
    assert "something is missing: stoker show ID" in run("show").stderr
    assert '"b" is one too many' in run("show", "a", "b").stderr


def test_a_scheduler_that_is_not_there(tmp_path):
    done = run("ls", url="http://127.0.0.1:1")
    assert done.returncode == 6
    assert done.stderr == ("stoker: cannot reach the scheduler at http://127.0.0.1:1: connection refused\n"
                           "  hint: is it running? STOKER_URL says where to look; stoker up starts one here\n")
    done = run("ls", "--dir", tmp_path)
    assert done.returncode == 6 and f"nothing runs in {tmp_path}" in done.stderr
    assert run("ls", "--url", "ftp://x").returncode == 2


@pytest.mark.skipif("asan" in BUILD.name, reason="the sanitizer itself takes longer")
def test_it_starts_quickly(cluster):
    """CPU time of the best of many starts: what the program needs, whatever else the machine does."""
    def cpu_ms(*args):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(*args, url=cluster.url)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    for args in (["version"], ["ls"]):
        assert min(cpu_ms(*args) for _ in range(20)) < 10, args


def test_config_show_names_the_origin(tmp_path):
    config = tmp_path / "stoker.yaml"
    config.write_text("dir: /from/file\n")
    done = run("--token", "secret", "config", "show", "--origin", "--config", config, url="http://h:1")
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "STOKER_URL" in lines["url"] and "http://h:1" in lines["url"]
    assert f"{config}:1" in lines["dir"]
    assert "secret" not in done.stdout and "flag --token" in lines["token"]
    assert "redis-url" in run("config", "show", "scheduler").stdout
    asked = json.loads(run("config", "show", "--json", "--config", config, url="http://h:1").stdout)
    assert asked["url"] == {"value": "http://h:1", "origin": "STOKER_URL"} and asked["token"]["value"] is None
    assert json.loads(run("config", "show", "worker", "--json").stdout)["queues"]["value"] == "default"
    assert run("config", "show", "sheduler").returncode == 2


# ---- submit ----

def test_a_job_from_submit_to_its_end(stoker, spec):
    path = spec(name="hello", command="for i in 1 2 3; do echo step=$i loss=0.$i; done; echo to-stderr >&2")
    done = stoker("submit", path, "--wait")
    assert done.returncode == OK, done.stderr
    job = done.stdout.strip()
    assert f"{job}  succeeded in " in done.stderr
    row = [line for line in stoker("ls").stdout.splitlines() if line.startswith(job + " ")][0].split()
    assert row[1:3] == ["hello", "succeeded"]
    shown = stoker("show", job).stdout
    assert shown.startswith(f"{job}  hello  ·  succeeded")
    logs = stoker("logs", job).stdout.splitlines()
    assert [line for line in logs if line.startswith("step")] == [f"step={i} loss=0.{i}" for i in (1, 2, 3)]
    assert "to-stderr" in logs
    metrics = stoker("metrics", job).stdout
    assert metrics.startswith("loss  0.1 ▁") and "0.3   (3 points, lowest 0.1)" in metrics
    points = [json.loads(line) for line in stoker("metrics", job, "--json").stdout.splitlines()]
    assert [p["step"] for p in points if "loss" in p] in (["1", "2", "3"], [1, 2, 3])
    assert f"{job}  " in stoker("events").stdout


def test_every_json_is_json(stoker, spec):
    job = submit(stoker, spec(command="true"), "--wait")
    for args in (["ls"], ["show", job], ["checkpoints", job], ["workers"], ["queues"], ["doctor"], ["version"]):
        json.loads(stoker(*args, "--json").stdout)
    for args in (["events"], ["logs", job], ["metrics", job]):
        for line in stoker(*args, "--json").stdout.splitlines():
            json.loads(line)
    assert json.loads(stoker("submit", spec(command="true"), "--json").stdout)["id"].startswith("default-")


def test_submit_reads_stdin_and_applies_set(stoker, cluster):
    done = stoker("submit", "-", "--set", "command=echo changed", "--set", "name=second", "--wait",
                  stdin="name: first\ncommand: echo first\n")
    job = done.stdout.strip()
    assert done.returncode == OK, done.stderr
    assert stoker("logs", job).stdout == "changed\n"
    assert cluster.job(job)["name"] == "second"


def test_a_mistake_in_a_file_names_its_line(stoker, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text('name: x\ncommand: "true"\n\nresources:\n  cpus: 1\n  gpus: "two"\n')
    sentence = 'resources.gpus: expected an integer from 0 to 1024, got "two"'
    done = stoker("submit", bad)
    assert (done.returncode, done.stdout, done.stderr.splitlines()[0]) == (2, "", f"stoker: {bad}:6: {sentence}")
    done = stoker("submit", bad, "--set", "resources.gpus=0", "--set", "priority=12")
    assert done.returncode == 2 and f"{bad} with --set: priority: " in done.stderr
    done = stoker("submit", tmp_path / "none.yaml")
    assert done.returncode == 2 and "cannot open" in done.stderr


def test_several_files_and_their_worst_end(stoker, spec):
    done = stoker("submit", spec("a.yaml", command="true"), spec("b.yaml", command="exit 78"), "--wait")
    assert done.returncode == FAILED
    assert len(done.stdout.split()) == 2


def test_the_same_key_is_the_same_job(stoker, spec):
    path = spec(command="true")
    first = submit(stoker, path, "--key", "night-1")
    assert submit(stoker, path, "--key", "night-1") == first
    assert submit(stoker, path) != first
    done = stoker("submit", path, "--key", "night-1", "--set", "name=other")
    assert done.returncode == 5 and "night-1" in done.stderr


def forward(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)


def test_a_lost_answer_makes_no_second_job(cluster, spec, tmp_path):
    """A proxy hands the first submit on, waits for its answer, and hangs up instead of delivering it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "p.sock"))
    listener.listen()
    lost = []

    def serve():
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(cluster.socket_of()))
            threading.Thread(target=forward, args=(client, server), daemon=True).start()
            answer = server.recv(65536)
            if not lost:
                lost.append(answer)
            else:
                client.sendall(answer)
            server.shutdown(socket.SHUT_RDWR)
            client.shutdown(socket.SHUT_RDWR)
            client.close()

    threading.Thread(target=serve, daemon=True).start()
    done = run("submit", spec(name="once", command="true"), url=f"unix:{tmp_path}/p.sock")
    listener.close()
    assert done.returncode == OK, done.stderr
    assert b"201" in lost[0] and done.stdout.strip().encode() in lost[0]
    named = [j for j in cluster.api("GET", "/api/v1/jobs?limit=100")["jobs"] if j.get("name") == "once"]
    assert len(named) == 1


def tls_proxy(cluster, folder):
    """https on loopback in front of the scheduler; answers its port. The certificate is its own authority."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out",
                    folder / "cert.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            client = listener.accept()[0]
            try:
                client = context.wrap_socket(client, server_side=True)
            except ssl.SSLError:
                continue  # it does not trust us
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(cluster.socket_of()))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=forward, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def test_https_wants_a_certificate_it_can_trust(cluster, spec, tmp_path):
    url = f"https://localhost:{tls_proxy(cluster, tmp_path)}"
    refused = run("ls", url=url)
    assert refused.returncode == 6 and "cannot reach the scheduler" in refused.stderr
    trusted = run("submit", spec(command="echo over tls"), "--follow", url=url, STOKER_CA=str(tmp_path / "cert.pem"))
    assert trusted.returncode == OK, trusted.stderr
    assert trusted.stdout == "over tls\n"
    wrong = run("show", "default-99999", "--ca", tmp_path / "cert.pem", url=url)
    assert wrong.returncode == 3


# ---- ends ----

def test_exit_codes_say_how_it_ended(stoker, spec, cluster):
    failing = spec("f.yaml", command="echo why >&2; exit 65")
    done = stoker("submit", failing, "--follow")
    assert done.returncode == FAILED
    assert "why" in done.stdout and "failed after" in done.stderr
    job = submit(stoker, spec("s.yaml", command="echo up; exec sleep 600"))
    follower = Background(cluster.url, "logs", job, "-f")
    follower.says("up")
    assert "stopping" in stoker("cancel", job, "--reason", "enough").stdout
    assert follower.end() == CANCELLED
    assert any(line.startswith(f"{job}  cancelled") for line in follower.err), str(follower)
    assert stoker("cancel", job).stdout == f"{job}  cancelled\n"
    done = stoker("retry", job)
    again = done.stdout.strip()
    assert again != job and cluster.job(again)["retry_of"] == job.rsplit("-", 1)[1]
    stoker("cancel", again)


def test_what_does_not_exist(stoker):
    done = stoker("logs", "default-99999")
    assert done.returncode == 3 and "default-99999" in done.stderr
    assert stoker("show", "nonsense").returncode == 2
    assert stoker("corrupt", "default-99999").returncode == 3


def test_ctrl_c_ends_the_following_not_the_job(stoker, spec, cluster):
    job = submit(stoker, spec(command="echo up; exec sleep 600"))
    follower = Background(cluster.url, "logs", job, "-f")
    follower.says("up")
    follower.popen.send_signal(signal.SIGINT)
    assert follower.end() == INTERRUPTED
    assert f"stoker logs {job} -f" in follower.err[-1]
    assert cluster.job(job)["state"] == "running"
    stoker("cancel", job)


# ---- following ----

def test_following_survives_the_scheduler(stoker, spec, cluster, tmp_path):
    gate = tmp_path / "gate"
    job = submit(stoker, spec(command=f"seq 1 500; until [ -e {gate} ]; do sleep 0.05; done; seq 501 1000"))
    follower = Background(cluster.url, "logs", job, "-f")
    follower.says("500")
    cluster.schedulers[0].kill()
    follower.says("waiting for it")
    gate.touch()
    cluster.start_scheduler(0)
    assert follower.end() == OK, str(follower)
    assert [line for line in follower.out if line.isdigit()] == [str(i) for i in range(1, 1001)]
    late = Background(cluster.url, "logs", job, "-f")
    assert late.end() == OK and late.out == follower.out


def test_tail_and_attempt(stoker, spec, tmp_path):
    mark = tmp_path / "mark"
    command = f"seq 1 3000; [ -e {mark} ] && exit 0; touch {mark}; exit 1"
    job = submit(stoker, spec(command=command, retry={"backoff": "100ms"}), "--wait")
    assert stoker("logs", job, "--tail", 7).stdout.splitlines() == [str(i) for i in range(2994, 3001)]
    first = stoker("logs", job, "--attempt", 1).stdout.splitlines()
    assert [x for x in first if x.isdigit()] == [str(i) for i in range(1, 3001)]
    both = stoker("logs", job).stdout.splitlines()
    assert len([x for x in both if x.isdigit()]) == 6000 and "[stoker] attempt 2" in both


def test_watch_prints_once_per_change(stoker, spec, cluster, tmp_path):
    gate = tmp_path / "gate"
    job = submit(stoker, spec(name="watched", command=f"until [ -e {gate} ]; do sleep 0.05; done"))
    cluster.wait_state(job, "running")
    watcher = Background(cluster.url, "show", job, "--watch")
    watcher.says(f"{job}  watched  ·  running")
    gate.touch()
    assert watcher.end() == OK
    assert len([line for line in watcher.out if "·  succeeded" in line]) == 1
    listing = Background(cluster.url, "ls", "--watch")
    listing.says(job)
    listing.popen.send_signal(signal.SIGINT)
    assert listing.end() == INTERRUPTED
    assert len([line for line in listing.out if line.startswith("ID ")]) == 1


@pytest.mark.parametrize("noun, change, word", [
    ("queues", ["queues", "create", "late"], "late"),
    ("batches", ["submit", "-"], "late"),
    ("schedules", ["schedules", "add", "late", "-", "--every", "1h"], "late"),
    ("workers", ["workers", "drain", "w0"], "draining"),
])
def test_a_list_is_watched(stoker, cluster, noun, change, word):
    listing = Background(cluster.url, noun, "--watch")
    wait_until(lambda: listing.out, what="the list as it is")
    assert not any(word in line for line in listing.out)
    done = stoker(*change, stdin="{command: sleep 0, batch: late}" if noun == "batches" else "command: sleep 0")
    assert done.returncode == OK, done.stderr
    wait_until(lambda: any(word in line for line in listing.out), what="the change is shown")
    listing.popen.send_signal(signal.SIGINT)
    assert listing.end() == INTERRUPTED
    if noun == "workers":
        stoker("workers", "resume", "w0")
    elif noun != "batches":
        refused = stoker(*change, "--watch")
        assert refused.returncode == 2 and "--watch is for the list" in refused.stderr


def test_events_live(stoker, spec, cluster):
    events = Background(cluster.url, "events", "-f")
    job = submit(stoker, spec(command="true"))
    wait_until(lambda: any(job in line and "succeeded" in line for line in events.out), what="the event of its end")
    cluster.schedulers[0].kill()
    cluster.start_scheduler(0)
    second = submit(stoker, spec(command="true"))
    wait_until(lambda: any(second in line and "submitted" in line for line in events.out), what="events go on")
    assert len([line for line in events.out if f"{job} " in line and "submitted" in line]) == 1
    events.popen.send_signal(signal.SIGINT)
    assert events.end() == INTERRUPTED


def test_watch_redraws_a_terminal(cluster, stoker, spec):
    job = submit(stoker, spec(command="true"), "--wait")
    drawn = on_terminal(cluster, "show", job, "--watch")
    assert drawn.startswith("\033[2J\033[H") and "succeeded" in drawn and drawn.rstrip().endswith("\033[J")


# ---- looking ----

def test_queues_and_workers(stoker, spec):
    assert stoker("queues", "create", "fresh").stdout == "fresh\n"
    table = stoker("queues").stdout.splitlines()
    assert table[0].split()[0] == "QUEUE" and any(line.startswith("fresh ") for line in table)
    assert stoker("queues", "create", "Bad!").returncode == 2
    workers = stoker("workers").stdout.splitlines()
    assert workers[0].split()[:3] == ["WORKER", "STATE", "CPUS"] and workers[1].split()[:2] == ["w0", "up"]
    waiting = submit(stoker, spec(command="true"), "--queue", "fresh")
    shown = stoker("show", waiting).stdout.splitlines()[0]
    assert shown.startswith(f"{waiting}  ·  queued: ") and len(shown) > len(f"{waiting}  ·  queued: ")
    assert stoker("ls", "--queue", "fresh", "--state", "queued").stdout.count("fresh-") == 1
    stoker("cancel", waiting)
    empty = stoker("ls", "--queue", "fresh", "--state", "running")
    assert empty.stdout == "" and "hint: stoker submit FILE" in empty.stderr


def on_terminal(cluster, *args, **env):
    """What the command prints when its stdout is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen([STOKER, *args], stdout=slave, stderr=subprocess.DEVNULL,
                               env=environment(STOKER_URL=cluster.url, TERM="xterm", **env))
    os.close(slave)
    text = b""
    try:
        while part := os.read(master, 65536):
            text += part
    except OSError:
        pass  # the other side is closed
    process.wait()
    os.close(master)
    return text.decode()


def test_colour_only_where_it_is_wanted(cluster, stoker, spec):
    submit(stoker, spec(command="true"), "--wait")
    assert "\033[" in on_terminal(cluster, "ls")
    assert "\033[" not in on_terminal(cluster, "ls", NO_COLOR="1")
    assert "\033[" not in stoker("ls").stdout
