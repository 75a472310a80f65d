"""The function library against a model of it: what a queue of jobs is meant to do, in a page of Python. Hypothesis
makes up sequences of calls, late, with old tokens and sent twice, and cuts one that goes wrong down to its shortest
form. After each call every job must be as the model has it, and every invariant hold. Time is moved by hand.
MODEL_EXAMPLES=10000 looks longer."""
import json
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule,
                                 run_state_machine_as_test)
from redis.exceptions import ResponseError

import fsck
from conftest import Queue
from harness import BUILD

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "40"))
FINAL = ("succeeded", "failed", "cancelled")
ERRORS = ("error", "timeout", "stalled")
CAUSES = ERRORS + ("succeeded", "permanent", "lost", "corrupted", "preempted", "cancelled")
WAIT = {"backoff": "1h", "max_backoff": "1h"}


class Job:
    def __init__(self, n, priority, max_errors, max_lost, max_corrupted, delay):
        self.n, self.priority = n, priority
        self.budgets = self.max_errors, self.max_lost, self.max_corrupted = max_errors, max_lost, max_corrupted
        self.state, self.reason = ("waiting", "delay") if delay else ("queued", None)
        self.attempt = self.errors = self.lost = self.corrupted = self.preempted = 0
        self.is_front, self.order, self.stop, self.was = False, 0, None, None
        self.token = self.answer = self.flagged = self.retried_as = None

    def end(self, state):
        self.state, self.reason, self.stop = state, None, None

    def queue(self, model, is_front=False, reason=None):
        self.state, self.reason, self.is_front, self.order = "queued", reason, is_front, model.tick()

    def wait(self, reason):
        self.state, self.reason = "waiting", reason


class Model:
    """What is written in docs/protocol.md, for one class of resources, without checkpoints that go bad."""

    def __init__(self):
        self.jobs, self.time = {}, 0

    def tick(self):
        self.time += 1
        return self.time

    def submit(self, *args):
        job = Job(len(self.jobs) + 1, *args)
        self.jobs[job.n] = job
        if job.state == "queued":
            job.queue(self)
        return job

    def claimable(self):
        """Higher priority first; what was preempted or lost before the rest; then who waits longest."""
        return sorted((j for j in self.jobs.values() if j.state == "queued"),
                      key=lambda j: (-j.priority, not j.is_front, j.order))

    def claim(self, job, token):
        job.state, job.reason, job.token, job.answer, job.stop = "running", None, token, None, None
        job.attempt += 1

    def can_return(self, job):
        """Reaped, and nobody claimed it since; nor did its worker say itself that it is lost, nor was it flagged."""
        return job.state == "queued" and job.reason == "lost" and not job.answer and job.flagged != job.attempt

    def holds(self, job, token):
        """Whether the token writes; one that was given up in vain takes its job back."""
        if job.token != token or not (job.state == "running" or self.can_return(job)):
            return False
        if job.state != "running":
            job.state, job.reason, job.lost = "running", None, 0
        return True

    def finish(self, job, token, cause, by_worker=True):
        if job.token == token and job.answer and by_worker:
            return job.answer
        if by_worker and cause == "lost" and job.token == token and self.can_return(job):
            job.answer = job.state  # the reaper was faster: nothing comes back to take it back
            return job.state
        if not (by_worker and self.holds(job, token) or not by_worker and job.state == "running"):
            return None
        if job.stop == "cancel" and cause != "succeeded":
            cause = "cancelled"
        elif cause == "cancelled" and job.stop != "cancel":
            cause = "preempted"
        job.stop = None
        if cause in ("succeeded", "cancelled"):
            job.end(cause)
        elif cause == "preempted":
            job.preempted += 1
            job.queue(self, True, "preempted")
        elif cause == "lost":
            job.lost += 1
            if job.lost >= job.max_lost:
                job.end("failed")
            else:
                job.queue(self, True, "lost")
        elif cause == "permanent":
            job.end("failed")
        elif cause == "corrupted":
            job.flagged = job.attempt
            job.corrupted += 1
            if job.corrupted > job.max_corrupted:
                job.end("failed")
            else:
                job.wait("retry")
        else:
            job.errors += 1
            if job.errors >= job.max_errors:
                job.end("failed")
            else:
                job.wait("retry")
        if by_worker:
            job.answer = job.state
        return job.state


class Machine(RuleBasedStateMachine):
    client = None
    claims = Bundle("claims")
    any_job = st.integers(1, 6)
    twice = st.booleans()

    @initialize()
    def begin(self):
        self.client.flushdb()
        self.q, self.model, self.seq = Queue(self.client), Model(), {}
        self.q.create("installation1")
        self.run_id = self.client.info("server")["run_id"]

    def call(self, twice, function, *args):
        """The answer, or the code of the refusal; the same once more when it is sent again."""
        def once():
            try:
                return getattr(self.q, function)(*args)
            except ResponseError as error:
                return str(error).split()[0]
        answer = once()
        if twice:
            assert once() == answer, f"{function} sent again"
        return answer

    def job(self, n):
        return self.model.jobs.get(n)

    @rule(priority=st.sampled_from([1, 5, 9]), budgets=st.tuples(*[st.integers(1, 2)] * 3), delay=st.booleans(),
          twice=twice)
    def submit(self, priority, budgets, delay, twice):
        if len(self.model.jobs) >= 6:
            return
        errors, lost, corrupted = budgets
        spec = {"command": ["x"], "lease": "10m", "priority": priority, **({"delay": "1h"} if delay else {}),
                "recovery": {"max_attempts": corrupted, **WAIT},
                "retry": {"max_attempts": errors, "max_lost": lost, **WAIT}}
        job = self.model.submit(priority, *budgets, delay)
        assert self.call(twice, "submit", json.dumps(spec), f"k{job.n}") == f"default-{job.n}"

    @rule(target=claims, worker=st.sampled_from(["w1", "w2"]), most=st.integers(1, 3), twice=twice)
    def claim(self, worker, most, twice):
        wanted = self.model.claimable()[:most]
        request = self.q.requests.get(worker, 0) + 1
        taken = self.q.take(worker, most, request=request)
        assert [int(claim["n"]) for claim in taken] == [job.n for job in wanted]
        for job, claim in zip(wanted, taken):
            assert int(claim["token"]) > int(job.token or 0), "tokens rise"
            self.model.claim(job, claim["token"])
            assert int(claim["attempt"]) == job.attempt
        if twice:
            assert self.q.take(worker, most, request=request) == taken
        return multiple(*taken)

    @rule(claim=claims, cause=st.sampled_from(CAUSES), twice=twice)
    def finish(self, claim, cause, twice):
        job = self.job(int(claim["n"]))
        wanted = self.model.finish(job, claim["token"], cause)
        (answer,) = self.call(twice, "finish", *claim.fence, cause, "{}")
        assert answer[0] == ("ok" if wanted else "stale") and (not wanted or answer[1] == wanted)

    @rule(claim=claims, twice=twice)
    def renew(self, claim, twice):
        job = self.job(int(claim["n"]))
        holds = self.model.holds(job, claim["token"])
        answer = self.call(twice, "renew", *claim.fence, "phase", "running")
        assert answer == "STALE" if not holds else answer[0] == (job.stop or "ok")

    @rule(claim=claims, worker=st.sampled_from(["w1", "w2"]), twice=twice)
    def adopt(self, claim, worker, twice):
        job = self.job(int(claim["n"]))
        other = job.state == "running" and self.q.job(job.n)["worker"] != worker
        holds = self.model.holds(job, claim["token"])
        if holds and other:
            job.lost = 0
        answer = self.call(twice, "adopt", *claim.fence, worker)
        assert answer == "STALE" if not holds else answer[:2] == ["ok", job.stop or "ok"]

    @rule(claim=claims, twice=twice)
    def checkpoint(self, claim, twice):
        job = self.job(int(claim["n"]))
        holds = self.model.holds(job, claim["token"])
        seq = self.seq[claim["token"]] = self.seq.get(claim["token"], 0) + 1
        answer = self.call(twice, "checkpoint", *claim.fence, f"{claim['attempt']}-{seq}", '{"sha256":"x"}')
        assert answer == "STALE" if not holds else answer[0] == "ok"
        if holds:
            job.lost = 0

    @rule(n=any_job)
    def lose(self, n):
        """Its lease runs out, and the reaper was there all the time."""
        job = self.job(n)
        if job and job.state == "running":
            self.model.finish(job, job.token, "lost", by_worker=False)
            self.q.lose(n)

    @rule(n=any_job)
    def come_due(self, n):
        job = self.job(n)
        if job and job.reason in ("delay", "retry"):
            job.queue(self.model)
            self.q.hurry(n)

    @rule(n=any_job, twice=twice)
    def cancel(self, n, twice):
        job = self.job(n)
        answer = self.call(twice, "cancel", n)
        if not job:
            assert answer == "NOTFOUND"
        elif job.state in ("succeeded", "failed"):
            assert answer == "CONFLICT"
        elif job.state == "running":
            job.stop = "cancel"
            assert answer == "running"
        else:
            job.end("cancelled")
            assert answer == "cancelled"

    @rule(n=any_job, twice=twice)
    def hold(self, n, twice):
        job = self.job(n)
        answer = self.call(twice, "hold", n)
        if not job:
            assert answer == "NOTFOUND"
        elif job.state not in ("waiting", "queued"):
            assert answer == "CONFLICT"
        else:
            if job.reason != "held":
                job.was = job.reason
                job.wait("held")
            assert answer == "waiting"

    @rule(n=any_job, twice=twice)
    def release(self, n, twice):
        job = self.job(n)
        answer = self.call(twice, "release", n)
        if not job:
            assert answer == "NOTFOUND"
        elif job.state in FINAL:
            assert answer == "CONFLICT"
        else:
            if job.reason == "held" and job.was in ("delay", "retry"):
                job.wait(job.was)
            elif job.reason == "held":
                job.queue(self.model, bool(job.was), job.was)
            assert answer == job.state

    @rule(n=any_job, twice=twice)
    def retry(self, n, twice):
        job = self.job(n)
        attempt = job.attempt if job else 0
        if job and job.state in ("failed", "cancelled") and not job.retried_as and len(self.model.jobs) >= 6:
            return
        answer = self.call(twice, "retry", n, attempt)
        if not job:
            assert answer == "NOTFOUND"
        elif job.state in ("succeeded", "running") or job.reason == "held":
            assert answer == "CONFLICT"
        elif job.state in ("failed", "cancelled"):
            if not job.retried_as:
                job.retried_as = self.model.submit(job.priority, *job.budgets, False).n
            assert answer == f"default-{job.retried_as}"
        else:
            if job.state == "waiting":
                job.queue(self.model)
            assert answer == f"default-{n}"

    @invariant()
    def every_job_is_as_the_model_has_it(self):
        for job in self.model.jobs.values():
            is_ = self.q.job(job.n)
            counts = [int(is_.get(name, 0)) for name in ("attempt", "errors", "lost", "corrupted", "preempted")]
            assert (is_["state"], is_.get("reason"), is_.get("token"), *counts) == (
                job.state, job.reason, job.token, job.attempt, job.errors, job.lost, job.corrupted,
                job.preempted), f"job {job.n}"

    @invariant()
    def every_invariant_holds(self):
        assert list(fsck.findings(self.client, self.q.key("meta"), 1000)) == []


def test_the_library_does_what_the_model_says(server):
    client = server.client()
    client.flushall()
    client.function_load((BUILD / "stoker.lua").read_text(), replace=True)
    Machine.client = client
    run_state_machine_as_test(Machine, settings=settings(
        max_examples=EXAMPLES, stateful_step_count=40, deadline=None, database=None, print_blob=True,
        suppress_health_check=list(HealthCheck)))
    assert fsck.check(client) == []
