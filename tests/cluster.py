"""A whole stoker of real processes on one machine: Redis, schedulers, workers, each of which a test may kill and start
again. Speaks HTTP on the scheduler's Unix socket, as the stoker command does."""
import http.client
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

from harness import BUILD, Process, RedisServer, wait_until

FINAL = ("succeeded", "failed", "cancelled")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=15):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class ApiError(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


class Cluster:
    def __init__(self, folder, workers=1, schedulers=1, worker_options=(), redis_options=(),
                 scheduler_options=()):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.redis = self.make_redis(redis_options)
        self.worker_options = [str(o) for o in worker_options]
        self.scheduler_options = [str(o) for o in scheduler_options]
        self.schedulers, self.workers = {}, {}
        for i in range(schedulers):
            self.start_scheduler(i)
        for i in range(workers):
            self.start_worker(i)
        if workers:
            wait_until(lambda: self.redis.client().scard("stoker:queues"), what="a worker serves a queue")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.print_logs()
        self.stop()

    # ---- processes ----

    def make_redis(self, options):
        return RedisServer(self.folder / "redis", *options)

    def redis_url(self, _kind, _i):
        return self.redis.url

    def launch(self, _kind, _i, args, log):
        """Starts a worker or a scheduler: where, is for others to say."""
        return Process(args, log)

    def socket_of(self, i=0):
        return self.folder / f"scheduler-{i}.sock"

    def start_scheduler(self, i=0):
        self.schedulers[i] = self.launch(
            "scheduler", i,
            [BUILD / "stoker-scheduler", "--redis-url", self.redis_url("scheduler", i),
             "--listen", f"unix:{self.socket_of(i)}", *self.scheduler_options],
            self.folder / f"scheduler-{i}.log")
        wait_until(lambda: self.is_ready(i), what=f"scheduler {i} is ready\n{self.schedulers[i].text()}")

    def restart_redis(self):
        """Starts it again after a kill, and waits until the schedulers have found it."""
        self.redis.start()
        for i in self.schedulers:
            wait_until(lambda i=i: self.is_ready(i), what=f"scheduler {i} is ready again")

    def is_ready(self, i=0):
        try:
            return self.request("GET", "/readyz", scheduler=i)[0] == 200
        except OSError:
            return False

    def state_dir(self, i=0):
        return self.folder / f"worker-{i}"

    def store(self):
        return self.folder / "store"

    def start_worker(self, i=0, options=()):
        """Starts worker i; its state folder survives its death, tinygrad's compiled kernels all tests."""
        cache = BUILD / "test-kernels"
        cache.mkdir(exist_ok=True)
        self.state_dir(i).mkdir(exist_ok=True)
        if not (self.state_dir(i) / "cache").exists():
            (self.state_dir(i) / "cache").symlink_to(cache)
        self.workers[i] = self.launch(
            "worker", i,
            [BUILD / "stoker-worker", "--redis-url", self.redis_url("worker", i), "--id", f"w{i}",
             "--state-dir", self.state_dir(i), "--store", f"file://{self.store()}", "--breaker", "0",
             *self.worker_options, *[str(o) for o in options]],
            self.folder / f"worker-{i}.log")
        return self.workers[i]

    def runner_pids(self, i=0):
        """pid of each live runner by its run folder's name."""
        pids = {}
        for run in self.runs(i):
            try:
                pids[run.name] = int((run / "pid").read_text().split()[0])
            except (OSError, ValueError, IndexError):
                continue
        return pids

    def runs(self, i=0):
        folder = self.state_dir(i) / "runs"
        return sorted(p for p in folder.iterdir() if p.name[0] != ".") if folder.exists() else []

    def helper_pids(self, name, i=0):
        """pids of the helpers of this name below the runners of worker i, at any depth."""
        found, look = [], list(self.runner_pids(i).values())
        while look:
            pid = look.pop()
            try:
                look += [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    found.append(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def program_pids(self, below=None):
        """Every process that carries the mark of a run of this cluster's workers, or of one whose folder is below."""
        found, folder = [], str(below or self.folder)
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                environ = Path(f"/proc/{entry}/environ").read_bytes()
            except OSError:
                continue
            if b"STOKER_RUN=" in environ and folder.encode() in environ:
                found.append(int(entry))
        return found

    def kill_everything(self, i=0):
        """What a machine does that loses power: worker, runners and programs die at once."""
        pids = list(self.runner_pids(i).values())
        self.workers[i].kill()
        for pid in pids + self.program_pids(self.state_dir(i)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def stop(self):
        for process in [*self.workers.values(), *self.schedulers.values()]:
            process.end()
        for i in self.workers:
            self.kill_everything(i)
        self.redis.stop()

    def print_logs(self):
        for log in sorted(self.folder.glob("*.log")):
            print(f"---- {log.name}\n{log.read_text(errors='replace')[-6000:]}")

    # ---- the API ----

    def request(self, method, path, body=None, headers=None, scheduler=0, timeout=15):
        connection = UnixConnection(self.socket_of(scheduler), timeout)
        try:
            data = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def api(self, method, path, body=None, headers=None):
        status, text = self.request(method, path, body, headers)
        if status >= 400:
            raise ApiError(status, text)
        return json.loads(text) if text else None

    def submit(self, spec, queue=None, key=None):
        path = "/api/v1/jobs" + (f"?queue={queue}" if queue else "")
        return self.api("POST", path, spec, {"Idempotency-Key": key} if key else None)["id"]

    def show(self, job):
        return self.api("GET", f"/api/v1/jobs/{job}")

    def job(self, job):
        return self.show(job)["job"]

    def wait_state(self, job, *states, timeout=60):
        def there():
            found = self.job(job)
            return found if found["state"] in states else None
        try:
            return wait_until(there, timeout, f"{job} is {' or '.join(states)}", every=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.show(job), indent=1)}") from None

    def wait_final(self, job, timeout=60):
        return self.wait_state(job, *FINAL, timeout=timeout)

    def log_text(self, job):
        entries, after = [], ""
        while True:
            page = self.api("GET", f"/api/v1/jobs/{job}/logs?limit=1000&after={after}")
            if not page["entries"]:
                return entries
            entries += page["entries"]
            after = page["next"]

    def cli(self, *args, timeout=60, check=True):
        done = subprocess.run([str(BUILD / "stoker"), *[str(a) for a in args]], capture_output=True, text=True,
                              timeout=timeout, env={**os.environ, "STOKER_URL": f"unix:{self.socket_of()}"})
        if check and done.returncode:
            raise AssertionError(f"stoker {args}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done


def log_lines(entries, attempt, *streams):
    """The lines of one attempt, checked to be dense: each entry starts where the one before ended."""
    lines, expected = [], 1
    for entry in entries:
        a, first = (int(x) for x in entry["id"].split("-"))
        if a != attempt:
            continue
        assert first == expected, f"a hole in the log: expected line {expected}, got {entry}"
        expected = first + int(entry["lines"])
        for stream in streams or ("stdout",):
            if stream in entry:
                lines += entry[stream].split("\n")
    return lines
