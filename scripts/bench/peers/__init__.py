"""How the other queues are driven. Each has the settings that were the fastest here (two processors), all of them over
a Unix socket."""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from measure import BUILD, TOO_LONG_S, Process, Unavailable, folder, last_json, percentile, run_json, wait_until

PEERS = Path(__file__).resolve().parent
PYTHON_PACKAGES = Path("/usr/lib/python3/dist-packages")  # Debian's
WARM = 50


def need(program):
    found = shutil.which(program)
    if not found:
        raise Unavailable(f"{program} is not here: scripts/bootstrap-bench.sh installs it")
    return found


def latency(start_worker, add, ready, jobs):
    """(median, p99) in microseconds; start_worker answers a Popen that prints them all, `ready` is the file that it
    makes once it listens."""
    ready.unlink(missing_ok=True)
    worker = start_worker()
    try:
        wait_until(ready.exists, 30, "the peer's worker is ready")
        time.sleep(0.5)  # no peer says when its first blocking command has arrived
        add()
        out, err = worker.communicate(timeout=TOO_LONG_S)
    finally:
        worker.kill()
        worker.wait()
    spans = last_json(worker.args, out, err)["spans_us"]
    assert len(spans) == jobs + WARM, f"{len(spans)} spans of {jobs + WARM}"
    return percentile(spans[WARM:], 0.5), percentile(spans[WARM:], 0.99)


class NodePeer:
    """BullMQ and bee-queue."""

    def __init__(self, name, script, concurrency):
        self.name, self.script, self.concurrency = name, PEERS / script, concurrency

    def command(self, mode, server, jobs):
        return [need("node"), str(self.script), mode, str(server.socket), str(jobs), str(self.concurrency)]

    def environment(self, server):
        if not (BUILD / "bench-peers" / ".package-lock.json").exists():
            raise Unavailable("its npm packages are not here: scripts/bootstrap-bench.sh installs them")
        return {**os.environ, "BENCH_PEERS": str((BUILD / "bench-peers").resolve()),
                "BENCH_READY": str(server.folder / "ready"), "NODE_ENV": "production"}

    def run(self, mode, server, jobs):
        return run_json(self.command(mode, server, jobs), env=self.environment(server))

    def rate(self, mode, server, jobs):
        return self.run(mode, server, jobs)["rate"]

    def drain(self, server, jobs):
        self.run("bulk", server, jobs)
        return self.rate("drain", server, jobs)

    def latency(self, server, jobs):
        jobs += WARM
        return latency(lambda: subprocess.Popen(self.command("work", server, jobs), env=self.environment(server),
                                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True),
                       lambda: self.run("add", server, jobs), server.folder / "ready", jobs - WARM)


class Sidekiq:
    name = "Sidekiq"
    script = PEERS / "sidekiq_peer.rb"
    THREADS = 5    # of a process: its interpreter runs one of them at a time, and 8 or 10 are slower
    PROCESSES = 2  # that drain: half as fast again as one
    # and the driver of hiredis, a fifth faster than that in Ruby

    def rate(self, mode, server, jobs):
        return self.send(mode, server, jobs)["rate"]

    def send(self, mode, server, jobs):
        need("sidekiq")
        return run_json([need("ruby"), self.script, mode, server.socket, jobs])

    def worker(self, mode, server, jobs):
        return subprocess.Popen(
            [need("sidekiq"), "-c", str(self.THREADS), "-r", str(self.script)], cwd=server.folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "BENCH_MODE": mode, "BENCH_SOCKET": str(server.socket), "BENCH_JOBS": str(jobs),
                 "BENCH_READY": str(server.folder / "ready")})

    def drain(self, server, jobs):
        self.send("bulk", server, jobs)
        redis = server.client()
        workers = [self.worker("drain", server, jobs) for _ in range(self.PROCESSES)]
        try:
            return queue_window(lambda: redis.llen("queue:default"))
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()

    def latency(self, server, jobs):
        jobs += WARM
        return latency(lambda: self.worker("work", server, jobs), lambda: self.send("add", server, jobs),
                       server.folder / "ready", jobs - WARM)


class CeleryPeer:
    """For information. One process that runs the tasks itself: for no-ops faster than its pools."""
    name = "Celery"

    def environment(self, server):
        return {**os.environ, "PYTHONPATH": str(PEERS), "BENCH_SOCKET": str(server.socket)}

    def rate(self, _, server, jobs):
        if not PYTHON_PACKAGES.joinpath("celery").exists():
            raise Unavailable("python3-celery is not here: scripts/bootstrap-bench.sh installs it")
        return run_json(["/usr/bin/python3", PEERS / "celery_peer.py", jobs], env=self.environment(server))["rate"]

    def drain(self, server, jobs):
        self.rate("single", server, jobs)
        redis = server.client()
        worker = Process(["/usr/bin/python3", "-m", "celery", "-A", "celery_peer", "worker", "-P", "solo",
                          "-l", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"],
                         server.folder / "celery.log",
                         env={**self.environment(server), "C_FORCE_ROOT": "1"}, cwd=server.folder)
        try:
            return queue_window(lambda: redis.llen("bench"))
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.kill()


class Beanstalkd:
    """For information: no Redis, no state of a job but ready, reserved, gone; in memory."""
    name = "beanstalkd"

    def rates(self, jobs):
        with folder() as path:
            socket = path / "beanstalkd.sock"
            server = Process([need("beanstalkd"), "-l", f"unix:{socket}"], path / "beanstalkd.log")
            try:
                wait_until(socket.exists, 10, "beanstalkd listens")
                return run_json([BUILD / "bench-beanstalk", socket, jobs])
            finally:
                server.kill()


# From 50 jobs at once on, more are no faster; their event loop is the limit.
BULLMQ = NodePeer("BullMQ", "bullmq.mjs", 100)
BEE = NodePeer("bee-queue", "bee.mjs", 100)
SIDEKIQ = Sidekiq()
CELERY = CeleryPeer()
BEANSTALKD = Beanstalkd()


def queue_window(length, most_s=120):
    """Jobs a second by the length of a queue that is being drained: from the first fifth done to all done, so that the
    start of the workers does not count. `length` answers how many jobs are left."""
    total = length()
    left = wait_until(lambda: 0 < length() <= total * 4 // 5 and length(), most_s, "a fifth is done", every=0.002)
    start = time.monotonic()
    wait_until(lambda: length() == 0, most_s, "the queue is empty", every=0.002)
    return left / (time.monotonic() - start)
