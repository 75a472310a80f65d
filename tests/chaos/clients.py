"""Who uses the queue while it is being hurt: clients that submit (over Redis and over HTTP in turn) and repeat what
they have no answer to with the same key, one that cancels and flags, and a ghost who holds the tokens of attempts that
are over and tries each call with them."""
import heapq
import http.client
import json
import random
import threading
import time
from dataclasses import dataclass

import redis
from redis.exceptions import ConnectionError as Away
from redis.exceptions import ResponseError

from harness import BUILD

BASE = "stoker:{default}:"
JOB = BUILD / "tests/tools/chaos_job"
DEFINITE = {400, 404, 409, 429}  # whatever else HTTP says, the call may have been done
FINAL = ("succeeded", "failed", "cancelled")
OFTEN = {"max_attempts": 1000, "backoff": "50ms", "max_backoff": "100ms"}


class Connection(redis.connection.UnixDomainSocketConnection):
    """What redis-py says of a connection that was reset names these, also where there are none."""
    host = port = None


@dataclass
class Plan:
    """What one job is to do, by its number and the seed alone."""
    name: str
    steps: int
    step_ms: int
    every: int
    program: str
    policy: str
    meddle: str
    after: float

    @property
    def end(self):
        return "failed" if self.program == "refuse" else "succeeded"

    def spec(self, ledger):
        command = [JOB, ledger, self.steps, self.step_ms, self.every, self.program]
        return json.dumps({
            "name": self.name, "command": [str(word) for word in command], "on_partition": self.policy,
            "lease": "3s" if self.policy == "stop" else "2s", "grace": "1s", "checkpoint": {"keep_last": 2},
            "retry": {**OFTEN, "max_lost": 1000}, "recovery": OFTEN})


def plan(seed, i):
    chance = random.Random(f"{seed} {i}")
    saves = chance.random() < 0.4
    return Plan(
        name=f"chaos-{i}", steps=chance.randrange(4, 10), step_ms=chance.choice([10, 30, 60, 120]),
        every=2 if saves else 0,
        program=chance.choices(["ok", "retry", "refuse", "tear" if saves else "ok"], [86, 5, 3, 6])[0],
        policy=chance.choice(["stop", "continue"]),
        meddle=chance.choices(["", "cancel", "corrupt"], [80, 10, 10])[0], after=chance.uniform(0, 0.6))


class Client:
    """One that speaks to the queue and writes down what it said and heard."""

    def __init__(self, machines, history, name, over):
        self.machines, self.history, self.name, self.over = machines, history, name, over
        assert JOB.exists(), f"{JOB} is not there: make unit-tests"
        self.redis = redis.Redis(connection_pool=redis.ConnectionPool(
            connection_class=Connection, path=str(machines.redis.socket), decode_responses=True, socket_timeout=2))

    def call(self, f, send, **what):
        """The outcome of one call (ok, fail, info) and its answer."""
        tell = self.history.call(self.name, f, over=self.over, **what)
        outcome, answer = self.outcome(send)
        tell(outcome, answer=answer)
        return outcome, answer

    def outcome(self, send):
        try:
            return ("ok", send()) if self.over == "redis" else self.http_outcome(*send())
        except Away as error:  # before ResponseError: LOADING is both, and nobody knows what became of it
            return "info", str(error)
        except ResponseError as error:
            return "fail", f"{type(error).__name__}: {error}"
        except (redis.exceptions.RedisError, OSError, http.client.HTTPException) as error:
            return "info", f"{type(error).__name__}: {error}"

    @staticmethod
    def http_outcome(status, text):
        if status < 300:
            return "ok", json.loads(text)
        return ("fail" if status in DEFINITE else "info"), f"{status} {text}"

    def fcall(self, function, *args):
        return self.redis.fcall("stoker_" + function, 1, BASE + "meta", *args)

    def request(self, path, body, headers=None):
        scheduler = random.choice(list(self.machines.schedulers))
        return self.machines.request("POST", path, body, headers, scheduler, timeout=3)


class Submitter(Client):
    def submit(self, one, ledger):
        """One try: the id of the job, or None. The idempotency key of every try is the job's name."""
        spec, key = one.spec(ledger), one.name
        if self.over == "redis":
            outcome, answer = self.call("submit", lambda: self.fcall("submit", spec, key, self.name), key=key)
        else:
            outcome, answer = self.call("submit", lambda: self.request("/api/v1/jobs", spec, {"Idempotency-Key": key}),
                                        key=key)
            answer = answer["id"] if outcome == "ok" else answer
        return answer if outcome == "ok" else None


class Meddler(Client):
    """Cancels some jobs, flags some attempts as corrupted: when it is due, and until there is an answer."""

    def __init__(self, *args):
        super().__init__(*args)
        self.due, self.lock = [], threading.Lock()

    def ask(self, what, job, after):
        with self.lock:
            heapq.heappush(self.due, (time.monotonic() + after, job, what))

    def step(self):
        with self.lock:
            if not self.due or self.due[0][0] > time.monotonic():
                return False
            _, job, what = heapq.heappop(self.due)
        if self.do(what, job) == "info":
            self.ask(what, job, 0.2)
        return True

    def do(self, what, job):
        n = job.rsplit("-", 1)[1]
        if what == "cancel":
            send = ((lambda: self.fcall("cancel", n, self.name)) if self.over == "redis" else
                    (lambda: self.request(f"/api/v1/jobs/{job}/cancel", "{}")))
            return self.settled(*self.call("cancel", send, job=job))
        try:
            attempt = int(self.redis.hget(f"{BASE}job:{n}", "attempt") or 0)
        except redis.exceptions.RedisError:
            return "info"
        if not attempt:
            return "info"  # not begun yet: there is nothing to flag
        send = ((lambda: self.fcall("corrupt", n, attempt, "the test says so")) if self.over == "redis" else
                (lambda: self.request(f"/api/v1/jobs/{job}/corrupt",
                                      {"attempt": attempt, "reason": "the test says so"})))
        return self.settled(*self.call("corrupt", send, job=job, attempt=attempt))

    @staticmethod
    def settled(outcome, answer):
        """A refusal for the moment (OOM, READONLY, MISCONF) is no answer."""
        refused = outcome == "fail" and not any(word in answer for word in ("CONFLICT", "STALE", "409", "NOTFOUND"))
        return "info" if refused else outcome


class Ghost(Client):
    """Sees attempts begin, and when a job has another one it uses what it knows of those before."""

    def __init__(self, *args):
        super().__init__(*args)
        self.seen, self.random = {}, random.Random(1)

    def step(self):
        try:
            running = self.redis.zrange(BASE + "leases", 0, -1)
            pipe = self.redis.pipeline(transaction=False)
            for n in running:
                pipe.hmget(f"{BASE}job:{n}", "uid", "attempt", "token", "state")
            found = pipe.execute()
        except redis.exceptions.RedisError:
            return
        for n, (uid, attempt, token, state) in zip(running, found):
            if token and state == "running":
                self.note(n, uid, int(attempt), token)
        old = [(n, known) for n, known in self.seen.items() if len(known) > 1]
        for n, known in self.random.sample(old, min(len(old), 2)):
            self.haunt(n, *self.random.choice(sorted(known.items())[:-1])[1])

    def note(self, n, uid, attempt, token):
        known = self.seen.setdefault(n, {})
        if known.get(attempt) != (uid, token):
            known[attempt] = (uid, token)
            self.history.write("seen", job=f"default-{n}", attempt=attempt, token=token, uid=uid)

    def haunt(self, n, uid, token):
        now = str(int(time.time() * 1000))
        function, args = self.random.choice([
            ("renew", ["phase", "running"]), ("log", [1, now, "stdout", 1, "a ghost"]),
            ("metric", [1, '{"step":99,"ghost":1}']), ("checkpoint", ["1-99", '{"step":99,"uri":"file:///ghost"}']),
            ("finish", ["succeeded", "{}"])])
        tell = self.history.call(self.name, "stale " + function, job=f"default-{n}", token=token)
        outcome, answer = self.outcome(lambda: self.fcall(function, n, uid, token, *args))
        if outcome == "ok" and function == "finish" and answer[0][0] == "stale":
            outcome = "fail"
        tell(outcome, answer=answer)


class Follower(Client):
    """Takes over every event of the queue, each once and in order."""

    def __init__(self, *args):
        super().__init__(*args)
        self.last = "-"

    def step(self):
        try:
            entries = self.redis.xrange(BASE + "events", self.last if self.last == "-" else "(" + self.last, count=1000)
        except redis.exceptions.RedisError:
            return False
        for entry, event in entries:
            self.last = entry
            self.history.write("event", id=entry, **{k: v for k, v in event.items() if k not in ("type", "at", "id")})
        return bool(entries)
