#!/usr/bin/python3
"""Jobs of every kind for an hour, with leases and timers ten times as fast as they are by default: what the daemons
hold (memory, descriptors, threads), what is in Redis and in a worker's folder must stay the same. `make soak` runs it,
test_soak.py a few seconds of it.

Leases, graces and waits are in the specs. The timers of the daemons have no option: their clock runs ten times as fast
(libfaketime), Redis' does not. SOAK_SECONDS (3600), SOAK_RATE (jobs a second, 3) and SOAK_SEED change a run."""
import itertools
import json
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent),
                str(Path(__file__).resolve().parent.parent.parent / "scripts/bench")]

import flat
import fsck
import table
from cluster import FINAL, ApiError, Cluster, UnixConnection
from harness import BUILD, Process, events_each, wait_until
from receiver import Receiver

FAKETIME = "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1".format(os.uname().machine)
FASTER = 10
BASE = "stoker:{default}:"
JOB = BUILD / "tests/tools/chaos_job"
# Each a tenth of its default, where there is one.
QUICK = {"lease": "1s", "grace": "3s", "retry": {"max_attempts": 50, "max_lost": 50, "backoff": "500ms"},
         "recovery": {"max_attempts": 50, "backoff": "500ms"}, "checkpoint": {"keep_last": 2}}
BOUNDS = {"max_finished": 300, "key_ttl_ms": 60000, "webhook_backoff_ms": 500}
# Of what Redis holds these may grow for longer than the run: 10,000 events, 100,000 jobs in the archive's index, and
# what the long run prints (8 MiB of lines, 100,000 points).
GROWING = ("events", "archived", "summaries", "log:{n}", "sizes:{n}", "metrics:{n}")


class Machine(Cluster):
    """One scheduler and two workers whose clocks run fast."""

    def launch(self, kind, i, args, log):
        fast = {} if BUILD.name.endswith("-asan") else {  # which must be the first library
            "LD_PRELOAD": FAKETIME, "FAKETIME": f"+0 x{FASTER}", "NO_FAKE_STAT": "1"}
        return Process(args, log, env=fast)

    def api(self, *args, **more):
        """Sent again while its connections to Redis are being cut: every call of a soak may be."""
        def answered():
            try:
                return (super(Machine, self).api(*args, **more),)
            except ApiError as error:
                if error.status != 503:
                    raise
                return None
        return wait_until(answered, 60, f"an answer to {args[:2]}", every=0.05)[0]


class Soak:
    def __init__(self, folder, seconds, rate, seed, every=10.0):
        self.folder, self.seconds, self.rate, self.every = Path(folder), seconds, rate, every
        self.chance = random.Random(f"{seed} soak")
        self.ledger = self.folder / "ledger"
        (self.ledger / "jobs").mkdir(parents=True)
        self.over, self.lock, self.failures = threading.Event(), threading.Lock(), []
        self.wanted, self.ends, self.done = {}, defaultdict(list), Counter()
        self.samples = defaultdict(list)
        self.kinds = []  # (seconds, keys of each kind)

    def run(self):
        """The rows of the verdict; raises only where the test itself could not do its work."""
        options = ["--store", f"file://{self.folder}/c/store", "--webhook-allow", "127.0.0.0/8"]
        with Machine(self.folder / "c", workers=2, worker_options=["--cpus", "4", "--keep-runs", "20"],
                     scheduler_options=options, redis_options=["--busy-reply-threshold", "60000"]) as self.machine:
            self.receiver = Receiver(answer=lambda n: 500 if n % 5 == 4 else 200)
            self.redis = self.machine.redis.client()
            self.redis.hset(BASE + "meta", mapping=BOUNDS)
            self.began = time.monotonic()
            try:
                self.soak()
            finally:
                self.receiver.close()
            problems = fsck.check(self.redis)
        return self.rows(problems)

    def soak(self):
        self.set_up()
        work = [(self.submit, 1 / self.rate), (self.cancel_and_flag, 1), (self.hurt, 5), (self.ask, 2),
                (self.follow, 0.2), (self.reschedule, 7), (self.read_events, 0.2),
                (self.resend, 19)]
        threads = [threading.Thread(target=self.again, args=one) for one in work]
        for thread in threads:
            thread.start()
        try:
            while time.monotonic() - self.began < self.seconds and not self.failures:
                self.sample()
                self.over.wait(self.every)
        finally:
            self.over.set()
            for thread in threads:
                thread.join()
        assert not self.failures, "\n".join(self.failures)
        self.end()

    def again(self, step, every):
        name = step.__name__
        while not self.over.is_set():
            began = time.monotonic()
            try:
                step()
                self.done[name] += 1
            except BaseException as error:
                self.failures.append(f"{name}: {error!r}")
                raise
            self.over.wait(max(0.0, began + every - time.monotonic()))

    # ---- what is done ----

    def set_up(self):
        self.numbers, self.cursor, self.running = itertools.count(), "-", []
        self.machine.api("POST", "/api/v1/webhooks", {"url": self.receiver.url, "on": ["job.failed", "job.cancelled"]})
        for name, every in (("often", "1s"), ("seldom", "6s")):
            self.machine.api("POST", "/api/v1/schedules", {**self.spec("schedule", 2, 5), "schedule": {
                "name": name, "every": every}})
        # One that lasts for all of it: what its runner holds is looked at, too.
        self.long = self.machine.submit({**QUICK, "lease": "10s", "name": "long",
                                         "command": self.command(10**9, 100, 50, "ok")})
        self.runner = wait_until(self.runner_of_long, what="the long run has begun")

    def runner_of_long(self):
        for i in self.machine.workers:
            for run, pid in self.machine.runner_pids(i).items():
                if run.startswith(self.long + "-"):
                    return pid
        return None

    def command(self, steps, step_ms, every, plan):
        return [str(word) for word in (JOB, self.ledger, steps, step_ms, every, plan)]

    def spec(self, name, steps, step_ms, every=0, plan="ok", **more):
        return {**QUICK, "name": name, "command": self.command(steps, step_ms, every, plan), **more}

    def submit(self):
        i = next(self.numbers)
        kind = self.chance.choices(["plain", "saves", "retry", "refuse", "tear", "long", "hook", "graph", "slow"],
                                   [30, 25, 10, 5, 5, 10, 5, 5, 5])[0]
        spec = {
            "plain": lambda: self.spec("plain", 3, 10), "saves": lambda: self.spec("saves", 8, 30, 2),
            "retry": lambda: self.spec("retry", 6, 10, 2, "retry"),
            "refuse": lambda: self.spec("refuse", 2, 10, 0, "refuse"),
            "tear": lambda: self.spec("tear", 4, 20, 2, "tear"), "long": lambda: self.spec("long", 100000, 50, 20),
            "hook": lambda: self.spec("hook", 2, 10, webhook={"url": self.receiver.url}),
            "graph": lambda: self.spec("child", 2, 10, after=[self.latest], on_unmet="hold") if self.wanted else
            self.spec("plain", 2, 10),
            "slow": lambda: self.spec("slow", 2, 10, delay="2s", tags=[f"t/{i % 7}"], tenant=f"u{i % 5}"),
        }[kind]()
        job = self.machine.submit(spec, key=f"soak-{i}")
        assert self.machine.submit(spec, key=f"soak-{i}") == job
        with self.lock:
            self.wanted[job] = {"refuse": "failed", "long": "cancelled"}.get(kind, "succeeded")
            if kind == "long":
                self.running.append((time.monotonic() + self.chance.uniform(0.5, 4), job))
            elif kind in ("plain", "saves"):
                self.latest = job

    def cancel_and_flag(self):
        with self.lock:
            due = [job for at, job in self.running if at < time.monotonic()]
            self.running = [one for one in self.running if one[1] not in due]
        for job in due:
            if self.chance.random() < 0.3:
                self.machine.request("POST", f"/api/v1/jobs/{job}/corrupt", {"reason": "the soak says so"})
            self.machine.api("POST", f"/api/v1/jobs/{job}/cancel", {"reason": "the soak says so"})

    def hurt(self):
        """A runner is killed, or stands still for longer than its lease; all connections to Redis are closed."""
        how = self.chance.choice(["kill", "kill", "stop", "cut"])
        pids = [pid for i in self.machine.workers for pid in self.machine.runner_pids(i).values() if pid != self.runner]
        if how == "cut":
            for client in self.redis.client_list():
                if client["name"].startswith("stoker"):
                    self.redis.client_kill_filter(_id=client["id"])
        elif pids:
            self.send(self.chance.choice(pids), how)
        self.done["hurt " + how] += 1

    def send(self, pid, how):
        try:
            if how == "kill":
                return os.kill(pid, signal.SIGKILL)
            os.kill(pid, signal.SIGSTOP)
            self.over.wait(1.5)
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def ask(self):
        """What people look at."""
        for path in ("jobs?limit=50", "workers", "queues", "schedules", "batches", "deliveries", "doctor",
                     "jobs?state=archived&limit=20", f"jobs/{self.long}/checkpoints"):
            self.machine.request("GET", "/api/v1/" + path)
        with self.lock:
            some = self.chance.sample(sorted(self.wanted), min(3, len(self.wanted)))
        for job in some:
            for what in ("", "/logs", "/metrics?merged=1"):
                self.machine.request("GET", f"/api/v1/jobs/{job}{what}")

    def follow(self):
        """A follower that comes, reads a little and goes away in the middle."""
        with self.lock:
            job = self.chance.choice([*sorted(self.wanted)[-20:], self.long])
        connection = UnixConnection(self.machine.socket_of(), timeout=10)
        try:
            connection.request("GET", f"/api/v1/jobs/{job}/follow?logs=1&metrics=1&events=1")
            answer = connection.getresponse()
            for _ in range(self.chance.randrange(1, 30)):
                if self.over.is_set() or not answer.readline():
                    break
        except TimeoutError:
            pass  # one that stands still says nothing
        finally:
            connection.close()

    def reschedule(self):
        name = f"now-and-then-{self.chance.randrange(3)}"
        self.machine.api("POST", "/api/v1/schedules", {**self.spec("schedule", 2, 5), "schedule": {
            "name": name, "every": f"{self.chance.randrange(1, 9)}s"}})
        if self.chance.random() < 0.5:
            self.forget(name)

    def resend(self):
        """What was refused too often is sent again; else 1,000 of them would be kept."""
        self.machine.api("POST", "/api/v1/deliveries/all/resend", {})

    def forget(self, schedule):
        """The answer to an earlier try may have been lost: then it is gone already."""
        try:
            self.machine.api("DELETE", f"/api/v1/schedules/{schedule}")
        except ApiError as error:
            if error.status != 404:
                raise

    def read_events(self):
        entries = self.redis.xrange(BASE + "events", self.cursor if self.cursor == "-" else "(" + self.cursor,
                                    count=1000)
        for event in events_each(entries):
            kind, _, what = event["event"].partition(".")
            if kind == "job" and what in FINAL:
                self.ends[event["job"]].append(what)
        self.cursor = entries[-1][0] if entries else self.cursor
        return bool(entries)

    # ---- what is looked at ----

    def sample(self):
        at = time.monotonic() - self.began
        if not Path(f"/proc/{self.runner}").exists():  # lost: another one begins anew
            self.runner = wait_until(self.runner_of_long, 60, "the long run goes on")
            for what in ("memory", "descriptors", "threads"):
                self.samples.pop(f"{what} of the runner of a long job", None)
        daemons = {"scheduler": self.machine.schedulers[0].pid, "runner of a long job": self.runner,
                   **{f"worker {i}": worker.pid for i, worker in self.machine.workers.items()}}
        for name, pid in daemons.items():
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            self.samples[f"memory of the {name}"].append((at, int(status["RssAnon"].split()[0]) / 1024))
            self.samples[f"descriptors of the {name}"].append((at, len(os.listdir(f"/proc/{pid}/fd"))))
            self.samples[f"threads of the {name}"].append((at, int(status["Threads"])))
        growing = sum(self.redis.memory_usage(BASE + key.replace("{n}", self.long.split("-")[1]), samples=20) or 0
                      for key in GROWING)
        self.samples["Redis memory"].append((at, (self.redis.info("memory")["used_memory"] - growing) / 2**20))
        self.samples["Redis keys"].append((at, self.redis.dbsize()))
        kinds = Counter(re.sub(r"\d.*", "", key.removeprefix(BASE)) for key in self.redis.scan_iter(count=1000))
        self.kinds.append((at, kinds))
        self.samples["Redis clients"].append((at, self.redis.info("clients")["connected_clients"]))
        files = sum(len(names) for i in self.machine.workers for path, _, names in os.walk(self.machine.state_dir(i))
                    if Path(path).name != "checkpoints")  # those are the programs' own
        self.samples["files of the workers"].append((at, files))

    def end(self):
        """Nothing new comes, and everything ends."""
        for one in self.machine.api("GET", "/api/v1/schedules")["schedules"]:
            self.forget(one["name"])
        self.wanted[self.long] = "cancelled"
        for job in [*(job for _, job in self.running), self.long]:
            self.machine.api("POST", f"/api/v1/jobs/{job}/cancel", {})

        def all_ended():
            self.read_events()
            return all(self.ends.get(job) for job in self.wanted)
        try:
            wait_until(all_ended, 120, "every job ends", every=0.2)
            wait_until(lambda: not any(self.machine.runs(i) for i in self.machine.workers), 60, "no run is left",
                       every=0.2)
        except AssertionError as error:
            print(error)  # the rows say of how many jobs

    def print_kinds(self):
        """Which keys grew in the second half."""
        for kind in sorted({kind for _, kinds in self.kinds for kind in kinds}):
            counts = [(at, kinds[kind]) for at, kinds in self.kinds]
            if flat.growth(counts) > 1:
                print(f"keys {kind}…: {flat.level(counts):.0f}, {flat.growth(counts):+.1f}")

    def rows(self, problems):
        """Growth over the second half, however long that was."""
        bounds = {"memory of": ("MiB", 1.0), "descriptors of": ("", 1.0), "threads of": ("", 0.0),
                  "Redis memory": ("%", 5.0), "Redis keys": ("%", 5.0), "Redis clients": ("", 1.0),
                  "files of": ("%", 5.0)}
        rows = [table.row("soak: jobs that ended", sum(bool(self.ends[job]) for job in self.wanted), "jobs"),
                table.row("soak: time", round(time.monotonic() - self.began), "s")]
        for name, samples in self.samples.items():
            unit, most = next(bound for start, bound in bounds.items() if name.startswith(start))
            level, more = flat.level(samples), flat.growth(samples)
            more = 100 * more / max(level, 1) if unit == "%" else more
            rows.append(table.row(f"soak: {name}, growth in the second half", more, unit, must=f"value <= {most}",
                                  note=f"level {level:.4g}"))
        self.print_kinds()
        wrong = {job: self.ends[job] for job, end in self.wanted.items() if self.ends[job] != [end]}
        for text in [*(f"{job} should have {self.wanted[job]}: {ends}" for job, ends in wrong.items()), *problems][:50]:
            print(text)
        rows.append(table.row("soak: jobs that ended otherwise than once as they should", len(wrong), "jobs",
                              must="value <= 0"))
        rows.append(table.row("soak: findings of fsck", len(problems), "", must="value <= 0"))
        return rows


def main():
    seconds, rate = float(os.environ.get("SOAK_SECONDS", 3600)), float(os.environ.get("SOAK_RATE", 3))
    seed = os.environ.get("SOAK_SEED") or str(random.SystemRandom().randrange(10**6))
    # In memory: a second in which a busy disk lets Redis wait would be ten for those who wait for Redis.
    with tempfile.TemporaryDirectory(prefix="stoker-soak-", dir="/dev/shm") as made:
        folder = Path(os.environ.get("SOAK_FOLDER") or made) / f"run-{seed}"
        folder.mkdir(parents=True)
        print(f"SOAK_SEED={seed}: {seconds:.0f} s in {folder}", flush=True)
        soak = Soak(folder, seconds, rate, seed)
        rows = soak.run()
    table.write(BUILD / "bench-soak.json", rows)
    for row in rows:
        print(table.line(row))
    print(json.dumps(soak.done))
    sys.exit(0 if all(row["holds"] is not False for row in rows) else 1)


if __name__ == "__main__":
    main()
