"""What every injected fault is tried on: a cluster in which one program at a time has calls that fail, and the jobs
that must outlive that."""
import json
import os
import signal
import subprocess
import time

import fsck
import stored
from cluster import FINAL, ApiError, Cluster, log_lines
from harness import BUILD, Process, wait_until
from inject import Injection
from receiver import Receiver

JOB = BUILD / "tests/tools/chaos_job"
STEPS = 4
OFTEN = {"max_attempts": 1000, "max_lost": 1000, "backoff": "20ms", "max_backoff": "50ms"}
FOR_S = 0.7  # what fails from then on does so for this time, or until the program has ended over it


class Stage(Cluster):
    """A worker and a scheduler, of which a trial takes the one that it starts with faults."""

    def __init__(self, folder):
        self.injection, self.trial = None, 0
        self.ledger = folder / "ledger"
        (self.ledger / "jobs").mkdir(parents=True)
        super().__init__(folder / "c", worker_options=["--cpus", "4", "--keep-runs", "3"],
                         scheduler_options=["--store", f"file://{folder}/c/store", "--webhook-allow", "127.0.0.0/8"])
        self.client = self.redis.client()
        self.client.hset("stoker:{default}:meta", mapping={"max_finished": 20, "webhook_backoff_ms": 50})
        self.receiver = Receiver()
        self.api("POST", "/api/v1/webhook-secret", {})

    def launch(self, kind, i, args, log):
        injected = self.injection and self.injection.program == f"stoker-{kind}"
        return Process(args, log, env=self.injection.environment() if injected else None)

    def stop(self):
        self.receiver.close()
        super().stop()

    # ---- a trial ----

    def try_fault(self, program, fault=None, at=0):
        """The injection of a trial that went well; without a fault it has only counted."""
        self.trial += 1
        self.injection = Injection(self.folder, program, fault, at)
        try:
            {"stoker-worker": self.try_worker, "stoker-scheduler": self.try_scheduler,
             "stoker": self.try_cli}[program]()
            self.check()
        except (AssertionError, subprocess.TimeoutExpired) as error:
            for process in (self.workers[0], self.schedulers[0]):
                process.kill()
            raise AssertionError(f"{self.injection}\n{error}\n{self.said()}") from None
        finally:
            ended, self.injection = self.injection, None
            ended.lift()
            self.client.hset("stoker:{default}:meta", "max_finished", 20)
            self.go_on()
        return ended

    def go_on(self):
        """Without faults, also after a trial that went wrong."""
        if not self.workers[0].alive():
            self.start_worker(0)
        if not self.schedulers[0].alive():
            self.start_scheduler(0)

    def try_worker(self):
        self.workers[0].stop()
        log = self.workers[0].log
        before = log.stat().st_size
        self.start_worker(0)
        jobs = [self.put(plan) for plan in ("retry", "ok")]
        self.wait_fault(self.workers[0], lambda: all(self.has_ended(job) for job in jobs))
        self.start_again(self.workers, lambda: self.start_worker(0), log, before)
        self.see_jobs(jobs)
        self.workers[0].stop()

    def try_scheduler(self):
        self.schedulers[0].stop()
        self.client.hset("stoker:{default}:meta", "max_finished", 1)  # the others are archived meanwhile
        self.client.delete("stoker:{default}:archiver")  # who was stopped over it would have a minute for itself
        log = self.schedulers[0].log
        before = log.stat().st_size
        self.launch_scheduler()
        name = f"hook-{self.trial}"
        jobs = [self.ask(lambda: self.put("retry", f"{name}-a", webhook={"url": self.receiver.url})),
                self.ask(lambda: self.put("ok", f"{name}-b"))]
        self.wait_fault(self.schedulers[0], lambda: self.is_archived() and all(
            self.ask(lambda: self.has_ended(job), True) for job in jobs))
        self.start_again(self.schedulers, self.launch_scheduler, log, before)
        wait_until(self.is_ready, what="the scheduler is ready")
        self.see_jobs(jobs)
        wait_until(lambda: any(got["body"].get("job") == jobs[0] for got in self.receiver.got),
                   what="its end is told to the receiver")
        self.receiver.got.clear()
        self.schedulers[0].stop()

    def is_archived(self):
        return sum(self.client.zcard(f"stoker:{{default}}:jobs:{state}") for state in FINAL) <= 1

    def launch_scheduler(self):
        """Without waiting for it: it may die of what it is to meet."""
        self.schedulers[0] = self.launch("scheduler", 0, [
            BUILD / "stoker-scheduler", "--redis-url", self.redis.url, "--listen", f"unix:{self.socket_of()}",
            *self.scheduler_options], self.folder / "scheduler-0.log")

    def ask(self, what, only_once=False):
        """An answer of a scheduler that may be dead, or refuse: the one that comes after it has it."""
        def answered():
            try:
                return (what(),)
            except (OSError, ApiError, ValueError) as error:
                if isinstance(error, ApiError) and error.status < 500:
                    raise AssertionError(str(error)) from None
            except Exception as error:  # http.client's own: an answer that was cut
                if type(error).__module__ != "http.client":
                    raise
            if self.injection and self.schedulers[0].popen.poll() is not None:
                self.injection.lift()
                self.launch_scheduler()
            elif self.injection and self.injection.hits and time.monotonic() - self.hit_since() > FOR_S:
                self.injection.lift()
            return None
        if only_once:
            found = answered()
            return found[0] if found else False
        return wait_until(answered, 20, "an answer of the scheduler")[0]

    def hit_since(self):
        self.since = getattr(self, "since", {})
        return self.since.setdefault(self.trial, time.monotonic())

    def wait_fault(self, process, is_done):
        """Until all is done in spite of it, the program has ended over it, or it lasted for long enough."""
        def over():
            on = self.injection.fault and self.injection.fault.on
            lasted = on and self.injection.hits and time.monotonic() - self.hit_since() > FOR_S
            return not process.alive() or lasted or is_done()
        wait_until(over, 30, "the jobs end, or the fault does")
        self.injection.lift()

    def start_again(self, processes, start, log, before):
        """One that has ended says why, on its log, and is started once more."""
        if processes[0].alive():
            return
        said = log.read_text(errors="replace")[before:]
        self.see_end(processes[0].popen.returncode, said)
        start()

    def see_end(self, status, said):
        fault = self.injection.fault
        assert fault, f"it ended with {status}, and nothing had failed\n{said[-3000:]}"
        assert fault.how != "short", f"it ended with {status}\n{said[-3000:]}"
        if status == -signal.SIGABRT:
            assert fault.call == "malloc" and "out of memory" in said, f"it was aborted\n{said[-3000:]}"
            return
        assert status > 0, f"it ended with {status}\n{said[-3000:]}"
        assert fault.said.lower() in said.lower(), \
            f"it ended with {status} and does not say that: {fault.said}\n{said[-3000:]}"

    # ---- jobs ----

    def put(self, plan, name="", **more):
        name = name or f"{plan}-{self.trial}"
        command = [str(word) for word in (JOB, self.ledger, STEPS, 5, 2, plan)]
        return self.submit({"name": name, "command": command, "lease": "2s", "grace": "1s", "retry": OFTEN,
                            "recovery": {"max_attempts": 1000, "backoff": "20ms"}, **more}, key=name)

    def has_ended(self, job):
        return self.job(job)["state"] in FINAL

    def see_jobs(self, jobs):
        for job in jobs:
            found = self.wait_final(job, 30)
            assert found["state"] == "succeeded", json.dumps(self.show(job), indent=1)
            entries = self.log_text(job)
            # Of any attempt: the last one may have begun at the last step.
            is_whole = any(line.startswith(f"step={STEPS} ") for attempt in range(1, int(found["attempt"]) + 1)
                           for line in log_lines(entries, attempt))
            is_told = any("gap" in entry or "cannot be read any more" in str(entry) for entry in entries)
            assert is_whole or is_told, f"the log of {job}: {entries}"
            self.see_checkpoints(job)

    def see_checkpoints(self, job):
        for i, text in self.client.hgetall(f"stoker:{{default}}:checkpoints:{job.split('-')[1]}").items():
            summary = json.loads(text)
            if summary["state"] != "committed":
                continue
            step = summary["step"]
            wanted = "".join(f"{job} {step} {line}\n" for line in range(200)).encode()
            wrong = stored.wrong_with(summary, [(f"checkpoint/step-{step}.bin", wanted)])
            assert not wrong, f"checkpoint {i} of {job}: {wrong}"

    def check(self):
        """Nobody crashed, no program resumed from what was not saved or beside another one, and Redis is in order."""
        crash = self.injection.crash()
        if crash and not (crash[1] == signal.SIGABRT and self.injection.fault.call == "malloc"):
            raise AssertionError(f"{crash[0]} died of {signal.Signals(crash[1]).name}\n{self.said()}")
        told = (self.ledger / "ledger").read_text() if (self.ledger / "ledger").exists() else ""
        bad = [line for line in told.splitlines() if '"wrong"' in line or '"overlap"' in line]
        assert not bad, bad
        (self.ledger / "ledger").unlink(missing_ok=True)
        problems = fsck.check(self.client)
        assert problems == [], problems

    def said(self):
        return "".join(f"---- {log.name}\n{log.read_text(errors='replace')[-4000:]}"
                       for log in sorted(self.folder.glob("*.log")))

    # ---- the command ----

    def try_cli(self):
        code = self.folder / "code"
        code.mkdir(exist_ok=True)
        (code / "hello.txt").write_text("hello\n")
        key, out = f"cli-{self.trial}", self.folder / f"out-{self.trial}"
        command = [str(word) for word in (JOB, self.ledger, STEPS, 5, 2, "ok")]
        (code / "job.json").write_text(json.dumps({"name": key, "command": command, "workdir": ".", "retry": OFTEN}))
        submit = ["submit", code / "job.json", "--key", key]
        first = self.run_cli(*submit)
        job = self.cli(*submit).stdout.strip()
        assert first is None or first == job, f"it said {first}, and {job} the second time"
        self.see_jobs([job])
        for words in (["show", job], ["logs", job], ["ls"], ["download", job, "--to", out]):
            self.run_cli(*words)

    def run_cli(self, *words):
        """What it printed; None: it failed, and said why."""
        done = subprocess.run([str(BUILD / "stoker"), *map(str, words)], capture_output=True, text=True, timeout=30,
                              env={**os.environ, "STOKER_URL": f"unix:{self.socket_of()}",
                                   **self.injection.environment()})
        if done.returncode == 0:
            return done.stdout.strip()
        self.see_end(done.returncode, done.stderr)
        return None
