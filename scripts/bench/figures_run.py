"""The figures of real processes: a scheduler, a worker and its runners; the command line."""
import json
import os
import shutil
import socket
import subprocess
import time

from cluster import Cluster
from measure import BUILD, EVERYSEC, Process, folder, medians, redis_server, spawn, wait_until
from peers import PEERS, need, queue_window
from peers.slurm_peer import Slurm
from table import row

IN_FLIGHT = 8    # runs at once, for everybody: more are no faster on two processors
LOG_BYTES = 200_000_000
LINE = "x" * 99  # and its newline
DEFAULT = "stoker:{default}:meta"


def submit_all(redis, specs):
    pipe = redis.pipeline(transaction=False)
    for spec in specs:
        pipe.execute_command("FCALL", "stoker_submit", 1, DEFAULT, json.dumps(spec))
    return pipe.execute()


def stoker_processes(jobs):
    """A second by what the queue says is over, while one worker has them all before it."""
    with folder() as path, Cluster(path, workers=0, redis_options=EVERYSEC,
                                   worker_options=("--cpus", IN_FLIGHT, "--log-level", "warn")) as cluster:
        redis = cluster.redis.client()
        wait_until(lambda: redis.exists(DEFAULT), 10, "the queue is made")
        submit_all(redis, [{"name": f"true-{i}", "command": ["/bin/true", str(i)]} for i in range(jobs)])
        cluster.start_worker()
        rate = queue_window(lambda: jobs - redis.zcard("stoker:{default}:jobs:succeeded"))
        assert redis.zcard("stoker:{default}:jobs:failed") == 0
        return rate


def rq_processes(jobs, workers=4):
    """Four workers: each waits while its child runs, and two are slower."""
    need("rq")
    environment = {**os.environ, "PYTHONPATH": str(PEERS)}
    with redis_server(*EVERYSEC) as server:
        subprocess.run(["/usr/bin/python3", PEERS / "rq_peer.py", server.socket, str(jobs)], check=True,
                       capture_output=True, env=environment)
        redis = server.client()
        started = [Process(["rq", "worker", "--quiet", "--url", server.url, "bench"], server.folder / f"rq-{i}.log",
                           env=environment, cwd=server.folder) for i in range(workers)]
        try:
            return queue_window(lambda: redis.llen("rq:queue:bench"))
        finally:
            for one in started:
                one.kill()


def parallel_processes(jobs):
    """Its own start, a third of a second of Perl, is not counted."""
    words = [need("parallel"), "--will-cite", "-j", str(IN_FLIGHT), "/bin/true"]

    def seconds(count):
        numbers = "".join(f"{i}\n" for i in range(count))
        start = time.monotonic()
        subprocess.run(words, input=numbers, text=True, check=True, capture_output=True)
        return time.monotonic() - start
    return (jobs - 1) / (seconds(jobs) - seconds(1))


def processes(bench):
    with folder() as path:
        slurm = []

        def slurm_processes():
            if not slurm:
                slurm.append(Slurm(path))
            return slurm[0].rate(bench.scaled(500))

        contenders = {"stoker": lambda: stoker_processes(bench.scaled(1000)),
                      "RQ, a fork a job": lambda: rq_processes(bench.scaled(1000)),
                      "Slurm": slurm_processes, "GNU parallel": lambda: parallel_processes(bench.scaled(1000))}
        contenders.update({f"posix_spawn {k}": lambda k=k: spawn("rate", 2, k, "/bin/true")["rate"] for k in (1, 2, 8)})
        try:
            values, missing = medians(bench.rounds, contenders)
        finally:
            for one in slurm:
                one.stop()
    limit = max(values[f"posix_spawn {k}"] for k in (1, 2, 8))
    figure, mine = "process a job, /bin/true, output captured", values["stoker"]
    musts = {"RQ, a fork a job": "ratio >= 2", "Slurm": "ratio >= 10", "GNU parallel": "ratio >= 1"}
    return [row(figure, mine, "jobs/s", peer, values[peer], must, missing.get(peer))
            for peer, must in musts.items()] + [
        row(figure, mine, "jobs/s", "posix_spawn, the limit", limit),
        row("process a job, share of the posix_spawn limit", 100 * mine / limit, "%")]


# ---- a worker with nothing to do

def paused_worker(_):
    """A worker of a paused queue with jobs in it: what it sends in a while, as MONITOR shows it. The scheduler is gone,
    so that nobody else sends anything."""
    seconds = 20
    with folder() as path, Cluster(path) as cluster:
        redis = cluster.redis.client()
        redis.execute_command("FCALL", "stoker_pause", 1, DEFAULT, "pause")
        submit_all(redis, [{"command": "true"}] * 20)
        wait_until(lambda: redis.info("clients")["blocked_clients"] == 1, 20, "its start is over: it waits for a bell")
        cluster.schedulers[0].kill()
        with redis.monitor() as monitor:
            end, sent = time.time() + seconds, 0
            while (command := monitor.next_command())["time"] < end:
                sent += command["client_type"] != "lua"
    return [row("idle worker of a paused queue", sent / seconds, "calls/s", must="value < 1")]


# ---- logs

class Follower:
    """GET …/follow?logs=1 on the scheduler's socket, read as fast as it comes; what it was is looked at afterwards."""

    def __init__(self, cluster, job):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(str(cluster.socket_of()))
        self.socket.sendall(f"GET /api/v1/jobs/{job}/follow?logs=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.pieces = [(time.monotonic(), self.socket.recv(1 << 20))]  # the job's own line: it follows

    def read_all(self):
        while self.pieces[-1][1] and b'{"kind":"end"' not in self.pieces[-1][1]:
            self.pieces.append((time.monotonic(), self.socket.recv(1 << 20)))
        self.socket.close()

    def lines(self):
        """The answer's JSON lines, out of its chunks."""
        rest = b"".join(piece for _, piece in self.pieces).split(b"\r\n\r\n", 1)[1]
        body, at = [], 0
        while at < len(rest):
            end = rest.index(b"\r\n", at)
            size = int(rest[at:end], 16)
            body.append(rest[end + 2:end + 2 + size])
            at = end + 2 + size + 2
            if not size:
                break
        return [json.loads(line) for line in b"".join(body).splitlines() if line]

    def delivered(self):
        """(bytes of text, lines that were skipped); every line is either here, in its place, or told as skipped."""
        text = lines = skipped = 0
        following = 1
        for one in self.lines():
            entry = one.get("entry", {})
            if one["kind"] == "gap":
                skipped += one["lines"]
                following += one["lines"]
            if one["kind"] != "log":
                continue
            assert entry["id"] == f"1-{following}", f"{entry['id']} came, expected was line {following}"
            following += int(entry["lines"])
            if "stdout" in entry:
                assert entry["stdout"] == "\n".join([LINE] * int(entry["lines"])), entry["id"]
                text += len(entry["stdout"]) + 1
                lines += int(entry["lines"])
            elif "gap" in entry:
                skipped += int(entry["lines"])
        expected = LOG_BYTES // (len(LINE) + 1)
        assert lines + skipped == expected, f"{lines} lines and {skipped} skipped, of {expected}"
        return text, skipped

    def seconds(self):
        first = next(at for at, piece in self.pieces if b'"stdout"' in piece)
        return self.pieces[-1][0] - first


def follow_once():
    """(MB/s to the follower, ms of Redis' processor a MB, percent of the lines skipped)"""
    with folder() as path, Cluster(path, workers=0, redis_options=EVERYSEC) as cluster:
        redis = cluster.redis.client()

        def redis_seconds():
            cpu = redis.info("cpu")
            return cpu["used_cpu_user"] + cpu["used_cpu_sys"]

        job = cluster.submit({"name": "log", "command": f"yes {LINE} | head -c {LOG_BYTES}"})
        follower = Follower(cluster, job)
        cluster.start_worker()
        wait_until(lambda: redis.zcard("stoker:{default}:workers"), 20, "the worker is there", every=0.002)
        spent = redis_seconds()
        follower.read_all()
        spent = redis_seconds() - spent
        text, skipped = follower.delivered()
        return text / 1e6 / follower.seconds(), spent * 1000 / (text / 1e6), 100 * skipped * 100 / LOG_BYTES


def logs(bench):
    values, _ = medians(bench.rounds, {"stoker": follow_once})
    rate, core_ms, skipped = values["stoker"]
    note = f"{skipped:.0f} % of the lines were skipped and told so" if skipped else None
    return [row("log lines, job to follower", rate, "MB/s", must="value >= 100", note=note),
            row("log lines, Redis' processor", core_ms, "ms/MB", must="value < 5")]


def start(bench):
    runs = bench.scaled(300)
    cli = shutil.which("redis-cli")
    values, _ = medians(bench.rounds, {
        "stoker": lambda: spawn("start", runs, BUILD / "stoker", "version")["median_us"] / 1000,
        "redis-cli": lambda: spawn("start", runs, cli, "--version")["median_us"] / 1000})
    return [row("start of the command line, stoker version", values["stoker"], "ms", must="value < 10"),
            row("start of the command line, stoker version", values["stoker"], "ms", "redis-cli --version",
                values["redis-cli"], "ratio < 3")]


