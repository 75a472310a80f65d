#!/usr/bin/python3
"""Jobs by the thousand while everything below them is killed, stopped, cut off, filled up and turned back; then all
heals, and the checker looks at the whole history. `make chaos` runs it at full length, test_chaos.py a short form.

CHAOS_SEED repeats a run's jobs and the order of its faults; CHAOS_JOBS and CHAOS_SECONDS (over which they are
submitted) lengthen it. CHAOS_FOLDER keeps its files there: history.jsonl is what the checker reads."""
import itertools
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import checker
import fsck
import stored
from clients import BASE, FINAL, Follower, Ghost, Meddler, Submitter, plan
from harness import BUILD, wait_until
from history import History, load
from machines import Machines
from nemesis import FAULTS, Nemesis

BACKLOG = 400  # jobs that have not ended; more are not submitted before some have


class Chaos:
    def __init__(self, folder, jobs, seconds, seed):
        self.folder, self.jobs, self.seconds, self.seed = Path(folder), jobs, seconds, seed
        self.ledger = self.folder / "ledger"
        (self.ledger / "jobs").mkdir(parents=True)
        self.history = History(self.folder / "history.jsonl")
        self.over, self.failures, self.acked, self.left = threading.Event(), [], {}, []

    def run(self):
        """The report of a run; raises only where the test itself could not do its work."""
        began = time.monotonic()
        with Machines(self.folder / "c", worker_options=["--cpus", "4", "--keep-runs", "10"],
                      scheduler_options=["--store", f"file://{self.folder}/c/store"]) as self.machines:
            self.follower = Follower(self.machines, self.history, "follower", "redis")
            self.nemeses = [Nemesis(self.machines, self.history, lane, self.seed, min(5, self.seconds / 15))
                            for lane in ("machines", "services")]
            threads = self.start_clients()
            try:
                wait_until(lambda: not self.submitting or self.failures, self.seconds * 4 + 120,
                           "every submit is acknowledged", every=0.1)
                self.failures += [failure for failure in (n.stop() for n in self.nemeses) if failure]
                self.drain()
            finally:
                self.over.set()
                for one in (*self.nemeses, *threads):
                    one.join()
            assert not self.failures, "\n".join(self.failures)
            while self.follower.step():
                pass
            self.write_ends()
            problems = fsck.check(self.machines.redis.client())
            if problems or self.left:
                self.machines.print_logs()
        faults = sum((n.hits for n in self.nemeses), Counter())
        return self.report(load(self.folder / "history.jsonl"), faults, problems, time.monotonic() - began)

    def start_clients(self):
        self.meddlers = [Meddler(self.machines, self.history, f"meddler-{over}", over) for over in ("redis", "http")]
        ghost = Ghost(self.machines, self.history, "ghost", "redis")
        self.numbers, self.numbers_lock, self.submitting = itertools.count(), threading.Lock(), 2
        self.start, self.chance = time.monotonic(), random.Random(f"{self.seed} order")
        work = [lambda over=over: self.submit_all(Submitter(self.machines, self.history, f"submitter-{over}", over))
                for over in ("redis", "http")]
        work += [lambda one=one: self.again(one.step, 0.05) for one in (*self.meddlers, self.follower, ghost)]
        threads = [threading.Thread(target=self.guarded, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        return threads

    def guarded(self, work):
        try:
            work()
        except BaseException as error:
            self.failures.append(f"{threading.current_thread().name}: {error!r}")
            raise

    def again(self, step, every):
        while not self.over.is_set():
            step()
            self.over.wait(every)  # the pace of asking

    def next_number(self):
        """Of the next job; None when there were enough, and each fault has hit."""
        with self.numbers_lock:
            i = next(self.numbers)
            if i < self.jobs or any(n.missing() and not n.failure for n in self.nemeses):
                return i
            self.submitting -= 1
            return None

    def submit_all(self, client):
        while not self.over.is_set() and (i := self.next_number()) is not None:
            one = plan(self.seed, i)
            self.history.write("plan", key=one.name, steps=one.steps, program=one.program, policy=one.policy,
                               end=one.end)
            self.over.wait(max(0.0, self.start + i * self.seconds / self.jobs - time.monotonic()))
            while not self.over.is_set():
                job = client.submit(one, self.ledger) if len(self.acked) - self.ended() < BACKLOG else None
                if job:
                    break
                self.over.wait(0.1)
            self.acked[one.name] = job
            if one.meddle:
                self.meddlers[i % 2].ask(one.meddle, job, one.after)

    def ended(self):
        """As far as one can tell while Redis may be away: what was true stays true."""
        try:
            self.known_ended = sum(self.machines.redis.client().zcard(f"{BASE}jobs:{state}") for state in FINAL)
        except Exception:
            pass
        return getattr(self, "known_ended", 0)

    def drain(self):
        """Everything is well again: all jobs end, and nothing is left running. What is, is one of the findings."""
        for condition, what in ((lambda: self.ended() >= len(self.acked), "every job ends"),
                                (self.machines.is_idle, "no run is left")):
            try:
                wait_until(lambda: condition() or self.failures, 120, what, every=0.1)
            except AssertionError as error:
                self.left.append(str(error))  # the checker says of which job

    def write_ends(self):
        """What Redis, the store and the programs say in the end. What Redis would not take of a log is in the store."""
        redis = self.machines.redis.client()
        for n in range(1, int(redis.hget(BASE + "meta", "next") or 0) + 1):
            pipe = redis.pipeline(transaction=False)
            pipe.hgetall(f"{BASE}job:{n}")
            pipe.hgetall(f"{BASE}checkpoints:{n}")
            job, checkpoints = pipe.execute()
            if job:
                self.history.write("final", job=f"default-{n}", name=job["name"], state=job["state"],
                                   attempt=int(job["attempt"]), token=job.get("token", ""), error=job.get("error"),
                                   log=[log_entry(one) for one in self.machines.log_text(f"default-{n}")],
                                   checkpoints={i: wrong_with(f"default-{n}", json.loads(text))
                                                for i, text in checkpoints.items()})
        self.history.add_lines(self.ledger / "ledger")

    def executed(self):
        """Steps that programs went, in all attempts."""
        return sum(int.from_bytes(path.read_bytes()[:8], sys.byteorder) for path in (self.ledger / "jobs").iterdir())

    def report(self, entries, faults, problems, took):
        violations = checker.check(entries)
        done = [e for e in entries if e["type"] == "final" and e["state"] in ("succeeded", "failed")]
        begun = Counter(e["job"] for e in entries if e["type"] == "ledger" and e["f"] == "begin")
        plans = {e["key"]: e["steps"] for e in entries if e["type"] == "plan"}
        needed, executed = sum(plans[e["name"]] for e in done), self.executed()
        calls = Counter((e["f"].split()[0] if e["f"].startswith("stale") else e["f"], e["type"])
                        for e in entries if e["type"] in ("ok", "fail", "info"))
        return {
            "seed": self.seed, "jobs": len(self.acked), "seconds": round(took, 1),
            "states": Counter(e["state"] for e in entries if e["type"] == "final"),
            "executions_per_job": round(sum(begun.values()) / max(1, len(begun)), 3),
            "steps_needed": needed, "steps_executed": executed,
            "wasted": round(max(0.0, executed / max(1, needed) - 1), 4),
            "calls": {f"{f} {outcome}": count for (f, outcome), count in sorted(calls.items())},
            "faults": {f.name: faults[f.name] for f in FAULTS},
            "violations": {name: len(found) for name, found in violations.items()},
            "sentences": [f"{name}: {text}" for name, found in violations.items() for text in found[:20]],
            "left": self.left, "fsck": problems}


def log_entry(fields):
    attempt, first = fields["id"].split("-")
    stream = next(name for name in ("stdout", "stderr", "stoker", "gap") if name in fields)
    return {"attempt": int(attempt), "first": int(first), "lines": int(fields["lines"]), "stream": stream,
            "text": fields[stream]}


def wrong_with(job, summary):
    if summary["state"] != "committed":
        return ""
    step = summary["step"]
    text = "".join(f"{job} {step} {i}\n" for i in range(200))
    return stored.wrong_with(summary, [(f"checkpoint/step-{step}.bin", text.encode())])


def show(report):
    """The report as a person reads it."""
    print(f"CHAOS_SEED={report['seed']}: {report['jobs']} jobs in {report['seconds']} s, {dict(report['states'])}; "
          f"{report['executions_per_job']} executions a job, {report['wasted']:.1%} of the steps more than needed")
    for title, rows in (("call", "calls"), ("fault", "faults"), ("violation", "violations")):
        print(f"\n{title:>24}  count")
        for name, count in report[rows].items():
            print(f"{name:>24}  {count}")
    print(f"{'fsck':>24}  {len(report['fsck'])}\n")
    print("\n".join([*report["left"], *report["sentences"], *report["fsck"]]) or "nothing was violated")


def is_clean(report):
    return not report["left"] and not report["sentences"] and not report["fsck"]


def main():
    seed = os.environ.get("CHAOS_SEED") or str(random.SystemRandom().randrange(10**6))
    jobs, seconds = int(os.environ.get("CHAOS_JOBS", 10000)), float(os.environ.get("CHAOS_SECONDS", 600))
    with tempfile.TemporaryDirectory(prefix="stoker-chaos-") as made:
        folder = Path(os.environ.get("CHAOS_FOLDER") or made) / f"run-{seed}"
        folder.mkdir(parents=True)
        print(f"CHAOS_SEED={seed}: {jobs} jobs over {seconds:.0f} s in {folder}", flush=True)
        report = Chaos(folder, jobs, seconds, seed).run()
    (BUILD / "bench-chaos.json").write_text(json.dumps(report, indent=1) + "\n")
    show(report)
    sys.exit(0 if is_clean(report) else 1)


if __name__ == "__main__":
    main()
