"""A random walk: clients, workers and runners do what they like, late, twice and with old tokens, leases run out and
Redis is restarted; after every step every invariant holds. A failure names its seed: WALK_SEED=… repeats it."""
import json
import os
import random

import pytest
from redis.exceptions import ResponseError

import fsck
from conftest import Queue

STEPS = int(os.environ.get("WALK_STEPS", "600"))
SEEDS = [int(s) for s in os.environ["WALK_SEED"].split()]
FINAL = ("succeeded", "failed", "cancelled")
CAUSES = ["succeeded", "error", "permanent", "lost", "corrupted", "preempted", "timeout", "stalled", "cancelled"]
OPTIONS = [{}, {"priority": 9}, {"hold": True}, {"resources": {"cpus": 2}}, {"resources": {"gpus": 1}}, {"delay": "1h"},
           {"retry": {"max_attempts": 1, "max_lost": 2}}, {"recovery": {"enabled": False}},
           {"recovery": {"no_checkpoint": "fail", "max_attempts": 2}}, {"checkpoint": {"keep_last": 1}},
           {"batch": "b1"}, {"batch": "b2"},
           {"concurrency": {"key": "a", "max": 1}}, {"concurrency": {"key": "a", "max": 2}, "priority": 7},
           {"concurrency": {"key": "b", "max": 3}, "rate": {"key": "r", "max": 3, "per": "50ms"}},
           {"tenant": "ada"}, {"tenant": "bob", "resources": {"cpus": 2}}, {"unique": {"key": "u"}},
           {"unique": {"key": "s", "until": "started"}, "concurrency": {"key": "b", "max": 2}},
           {"retry": {"elsewhere": "1h", "max_lost": 9, "max_attempts": 9}},
           {"webhook": {"url": "http://y.org/"}}, {"webhook": {"url": "http://z.org/", "on": ["*"]}}]


class Walk:
    def __init__(self, queue, seed):
        self.q, self.random = queue, random.Random(seed)
        self.claims, self.ended, self.tokens, self.calls, self.final = [], {}, {}, [], {}
        self.seqs, self.lines, self.due = {}, {}, 0
        self.paused = "resume"
        self.archived = {}

    def pick(self, items):
        return self.random.choice(items)

    def any_claim(self):
        """Mostly a recent one, sometimes one that is long over."""
        if not self.claims:
            return None
        return self.pick(self.claims[-6:] if self.random.random() < 0.8 else self.claims)

    def any_number(self):
        return str(self.random.randrange(1, int(self.q.redis.hget(self.q.key("meta"), "next")) + 2))

    def step(self):
        """One call; sometimes it is sent twice."""
        name, weight = zip(*[(n, getattr(f, "weight", 1)) for n, f in ACTIONS.items()])
        action = self.random.choices(name, weight)[0]
        call = ACTIONS[action](self)
        if call is None:
            return
        function, args = call
        self.calls.append((function, *args))
        before = self.counts()
        answer = self.send(function, args)
        self.check_answer(function, args, answer, before)
        makes_new = ("submit", "graph", "inbox", "promote", "reap", "prune", "each")
        if self.random.random() < 0.2 and function not in makes_new:
            events = self.q.redis.xlen(self.q.key("events"))
            again = self.send(function, args)
            self.calls.append(("again", function))
            if function in ("finish", "checkpoint", "cancel", "corrupt", "claim", "pause", "hold", "release",
                            "remove") or (function == "fire" and args[3]):
                if function == "claim":
                    again = [claim[:claim.index("age_ms")] for claim in again]
                    answer = [claim[:claim.index("age_ms")] if "age_ms" in claim else claim for claim in answer]
                assert again == answer, "sent again: the same answer"
                assert self.q.redis.xlen(self.q.key("events")) == events, "sent again: nothing happens"

    def send(self, function, args):
        try:
            return getattr(self.q, function)(*args)
        except ResponseError as error:
            assert str(error).split()[0] in ("STALE", "CONFLICT", "NOTFOUND", "INVALID", "FULL"), error
            return str(error)

    def counts(self):
        return {n: self.q.state(n) for n in self.tokens}

    def check_answer(self, function, args, answer, before):
        if function == "claim" and isinstance(answer, list):
            assert not answer or self.paused != "pause", "nothing is claimed on a paused queue"
            for claim in answer:
                claim = type("Claim", (dict,), {})(zip(claim[::2], claim[1::2]))
                claim.fence = (claim["n"], claim["uid"], claim["token"])
                lane = self.q.job(claim["n"]).get("lane", "")
                assert not lane.endswith(":!not@" + args[0]), f"{args[0]} claimed from {lane}"
                assert int(claim["token"]) > self.tokens.get(claim["n"], 0), "tokens rise"
                assert before.get(claim["n"]) not in FINAL, "no claim of what is final"
                self.tokens[claim["n"]] = int(claim["token"])
                self.claims.append(claim)
        if function in ("renew", "log", "metric", "checkpoint", "adopt") and isinstance(answer, list):
            assert int(args[2]) == self.tokens[args[0]], f"{function} with an old token was taken"

    def check_order(self):
        """What runs has parents that have ended, unless somebody let it go by a retry."""
        for n in self.q.redis.zrange(self.q.key("leases"), 0, -1):
            open_ones = [p for p, e in self.q.redis.hgetall(self.q.key(f"parents:{n}")).items() if e.endswith(" -")]
            retried = [str(call[1]) for call in self.calls if call[0] == "retry"]
            assert not open_ones or n in retried, (n, open_ones)

    def check(self):
        problems = fsck.check(self.q.redis)
        assert not problems, problems
        for n in self.tokens:
            state = self.q.state(n)
            if n in self.final:
                assert state in (self.final[n], None), "final states absorb"
            if state in FINAL:
                self.final[n] = state


def action(weight):
    def mark(function):
        function.weight = weight
        return function
    return mark


@action(3)
def submit(walk):
    return "submit", (json.dumps({"command": ["x"], "lease": "1s", **walk.pick(OPTIONS)}),)


@action(3)
def submit_child(walk):
    """After some jobs of before, on some condition; sometimes after one that never was."""
    parents = {"default-" + walk.any_number(): walk.pick(["succeeded", "finished", "failed"])
               for _ in range(walk.pick([1, 1, 2, 3]))}
    more = {"on_unmet": walk.pick(["cancel", "cancel", "hold"]), **walk.pick([{}, {"batch": "b1"}]),
            **walk.pick([{}, {}, {"delay": "1h"}])}
    return "submit", (json.dumps({"command": ["x"], "lease": "1s", "after": parents, **more}),)


@action(1)
def graph(walk):
    """A few jobs, each after some of those before it, and after some that are there."""
    jobs = []
    for i in range(walk.pick([2, 3])):
        after = {f"j{k}": walk.pick(["succeeded", "finished", "failed"]) for k in range(i)
                 if walk.random.random() < 0.6}
        if walk.random.random() < 0.3:
            after["default-" + walk.any_number()] = "finished"
        jobs.append({"name": f"j{i}", "command": ["x"], "lease": "1s", "after": after})
    walk.random.shuffle(jobs)
    return "graph", (json.dumps({"jobs": jobs}),)


@action(1)
def batch(walk):
    following = walk.pick([{}, {"then": {"command": ["x"], "lease": "1s"}}])
    return "batch", (walk.pick(["b1", "b2"]), json.dumps({"size": walk.pick([1, 2, 5]), **following}))


@action(6)
def claim(walk):
    worker = walk.pick(["w1", "w2", "w3"])
    walk.q.requests[worker] = walk.q.requests.get(worker, 0) + 1
    free = {"cpus": walk.pick([1, 2, 5]), "gpus": walk.pick([0, 1])}
    return "claim", (worker, json.dumps(free), walk.pick([1, 2, 5]), walk.q.requests[worker])


@action(9)
def finish(walk):
    claim = walk.any_claim()
    detail = walk.pick([{}, {"exit": 1}, {"onset": walk.random.randrange(1000)},
                        {"result": '{"x":[]}', "step": 5, "total": 9}])
    return claim and ("finish", (*claim.fence, walk.pick(CAUSES), json.dumps(detail)))


@action(4)
def renew(walk):
    claim = walk.any_claim()
    extra = walk.pick([(), ("phase", "running"), ("total", "1000", "pace", "2.5"),
                       ("step", str(walk.random.randrange(1000))), ("resumed", "cold")])
    return claim and ("renew", (*claim.fence, *extra))


@action(4)
def checkpoint(walk):
    claim = walk.any_claim()
    if not claim:
        return None
    walk.seqs[claim["token"]] = seq = walk.seqs.get(claim["token"], 0) + 1
    return "checkpoint", (*claim.fence, f"{claim['attempt']}-{seq}",
                          json.dumps({"step": walk.random.randrange(1000), "sha256": str(seq)}))


@action(2)
def reject(walk):
    claim = walk.any_claim()
    return claim and ("reject", (*claim.fence, f"{walk.pick([0, 1, 2])}-{walk.pick([1, 2, 3])}", "torn"))


@action(2)
def drop(walk):
    claim = walk.any_claim()
    return claim and ("drop", (*claim.fence, *[f"{a}-{s}" for a in (1, 2) for s in (1, 2, 3)]))


@action(2)
def log(walk):
    claim = walk.any_claim()
    first, lines = walk.random.randrange(1, 8), walk.random.randrange(1, 4)
    return claim and ("log", (*claim.fence, first, 1, "stdout", lines, "\n".join("x" * lines)))


@action(2)
def metric(walk):
    claim = walk.any_claim()
    first, step = walk.random.randrange(1, 5), walk.random.randrange(1000)
    return claim and ("metric", (*claim.fence, first, '{"step":%d}' % step))


@action(2)
def adopt(walk):
    claim = walk.any_claim()
    return claim and ("adopt", (*claim.fence, walk.pick(["w1", "w2"])))


@action(2)
def cancel(walk):
    return "cancel", (walk.any_number(), "", walk.pick(["", "why"]))


@action(2)
def corrupt(walk):
    n = walk.any_number()
    return "corrupt", (n, walk.q.job(n).get("attempt", "1"), "x", walk.pick(["", "100", "500"]))


@action(2)
def retry(walk):
    n = walk.any_number()
    return "retry", (n, walk.q.job(n).get("attempt", "1"))


@action(3)
def promote(walk):
    for n in walk.q.redis.zrange(walk.q.key("waiting"), 0, -1):
        if walk.random.random() < 0.5:
            walk.q.redis.zadd(walk.q.key("waiting"), {n: 1})
    for n in walk.q.redis.zrange(walk.q.key("elsewhere"), 0, -1):
        if walk.random.random() < 0.2:
            walk.q.redis.zadd(walk.q.key("elsewhere"), {n: 1})
    return "promote", ()


@action(3)
def reap(walk):
    """Some leases have run out; the reaper was there all the time, or Redis was restarted, or nobody came for long."""
    q = walk.q
    for n in q.redis.zrange(q.key("leases"), 0, -1):
        if walk.random.random() < 0.4:
            q.redis.zadd(q.key("leases"), {n: 1})
    kind = walk.pick(["always there", "always there", "restarted", "late"])
    q.redis.hset(q.key("meta"), mapping={
        "last_reap_ms": q.now() - (5000 if kind == "late" else 0), "no_reap_before_ms": 0, "grace_since_ms": 0,
        "redis_run_id": "another" if kind == "restarted" else walk.run_id})
    return "reap", ()


@action(2)
def pause(walk):
    walk.paused = walk.pick(["pause", "drain", "resume", "resume", "resume", "resume"])
    return "pause", (walk.paused, "ada", walk.pick(["", "why"]))


@action(1)
def hold(walk):
    return "hold", (walk.any_number(), "ada", walk.pick(["", "why"]))


@action(4)
def release(walk):
    return "release", (walk.any_number(),)


CHANGES = [{"priority": 9}, {"priority": 1}, {"delay": "1h"}, {"delay": 0}, {"resources": {"cpus": 2}},
           {"timeout": "1h"}, {"priority": 10}, {"command": "x"}, {"lease": "2s"},
           {"retry": {"max_attempts": 5}, "name": "another"}]


@action(2)
def update(walk):
    return "update", (walk.any_number(), json.dumps(walk.pick(CHANGES)), "ada")


@action(1)
def remove(walk):
    return "remove", (walk.any_number(),)


@action(2)
def each(walk):
    name = walk.pick(["cancel", "retry", "hold", "release", "update", "remove"])
    extra = json.dumps(walk.pick(CHANGES)) if name == "update" else "all of them"
    numbers = [walk.any_number() for _ in range(4)]
    return "each", (name, walk.pick(["", "queued", "waiting,failed"]), "ada", extra, *numbers)


@action(2)
def schedule(walk):
    overlap, when = walk.pick(["skip", "queue", "replace"]), walk.pick([{"cron": "* * * * *"}, {"every": 60}])
    rule = {"name": walk.pick(["a", "b"]), "overlap": overlap, **when}
    return "schedule", (json.dumps({"command": ["x"], "lease": "1s", "schedule": rule}),)


@action(1)
def unschedule(walk):
    return "unschedule", (walk.pick(["a", "b"]),)


@action(2)
def schedule_pause(walk):
    return "schedule_pause", (walk.pick(["a", "b"]), walk.pick(["pause", "resume", "resume"]))


@action(1)
def schedule_refuse(walk):
    name = walk.pick(["a", "b"])
    return "schedule_refuse", (name, walk.q.redis.hget(walk.q.key("schedule:" + name), "revision") or "1", "why")


@action(6)
def fire(walk):
    """As a scheduler would, or as one that looked at it earlier: due times count up by the millisecond."""
    name = walk.pick(["a", "b"])
    s = walk.q.redis.hgetall(walk.q.key("schedule:" + name)) or {"revision": "1", "next_ms": "5"}
    expected = int(s["next_ms"]) - (walk.random.random() < 0.2)
    due = expected + walk.pick([0, 0, 3]) if expected > 0 and walk.random.random() < 0.9 else 0
    walk.due = following = max(expected, due, walk.due) + walk.random.randrange(1, 5)
    return "fire", (name, s["revision"], max(expected, 0), due, following)


@action(1)
def submitter(walk):
    return "submitter", (walk.pick(["add", "add", "remove"]), walk.pick(["a", "b"]))


@action(4)
def inbox(walk):
    """An app puts something in, sometimes garbage or at the largest id."""
    q, stream = walk.q, walk.q.key("inbox:" + walk.pick(["a", "b", "c"]))
    fields = walk.pick([{"spec": '{"command":"x","lease":"1s"}'}, {"spec": '{"command":"x"}', "key": "k"}, {"x": "y"}])
    try:
        q.redis.xadd(stream, fields, id=walk.pick(["*"] * 9 + ["18446744073709551615-18446744073709551615"]))
    except ResponseError:
        pass
    return "inbox", (walk.pick([1, 5]),)


@action(1)
def webhook_add(walk):
    return "webhook_add", ("http://x.org", walk.pick(["", '["*"]', '["job.*"]']), "0123456789abcdef")


@action(1)
def webhook_remove(walk):
    return "webhook_remove", (walk.pick(["h1", "h2", "h3"]),)


@action(5)
def webhook_gather(walk):
    return "webhook_gather", (walk.pick([1, 3, 100]),)


@action(5)
def webhook_take(walk):
    for lane in walk.q.redis.keys(walk.q.key("deliveries:to:*")):  # time passes
        if walk.random.random() < 0.3:
            walk.q.redis.zadd(lane, dict.fromkeys(walk.q.redis.zrange(lane, 0, -1), 1))
            walk.q.redis.zadd(walk.q.key("deliveries"), {lane.rsplit(":", 1)[1]: 1})
    return "webhook_take", (walk.pick([1, 50]), 1000)


@action(8)
def webhook_done(walk):
    records = [k.rsplit(":", 1)[1] for k in walk.q.redis.keys(walk.q.key("delivery:*"))]
    return records and ("webhook_done", (walk.pick(records), walk.pick([1, 2]), walk.pick(["ok", "failed", "refused"]),
                                         "", "x")) or None


@action(1)
def webhook_resend(walk):
    return "webhook_resend", ("all",)


@action(1)
def prune(walk):
    return "prune", ((), (100, "store"))[walk.random.random() < 0.2]


@action(2)
def archive(walk):
    """As a scheduler with a store: what was taken leaves. The fields of `taken` are n, version and record."""
    taken = walk.q.archive_take("s1")[2:]
    walk.archived.update({taken[i]: taken[i + 2] for i in range(0, len(taken), 3) if taken[i + 2]})
    pairs = [word for i in range(0, len(taken), 3) for word in taken[i:i + 2]]
    return ("archive", pairs) if pairs else ("prune", ())


@action(1)
def retry_archived(walk):
    if not walk.archived:
        return None
    n = walk.pick(sorted(walk.archived))
    return "retry", (n, json.loads(walk.archived[n])["job"]["attempt"], "", walk.archived[n])


ACTIONS = {f.__name__: f for f in (submit, submit_child, graph, batch, claim, finish, renew, checkpoint, reject, drop,
                                   log, metric, adopt, cancel,
                                   corrupt, retry, promote, reap, pause, hold, release, update, remove, each, prune,
                                   archive, retry_archived,
                                   submitter, inbox, webhook_add, webhook_remove, webhook_gather, webhook_take,
                                   webhook_done, webhook_resend,
                                   schedule, unschedule, schedule_pause, schedule_refuse, fire)}


@pytest.mark.parametrize("seed", SEEDS)
def test_invariants_hold_after_every_step(redis, seed):
    queue = Queue(redis)
    queue.create("installation1")
    redis.hset(queue.key("meta"), mapping={"max_finished": 3, "max_jobs": 6})
    walk = Walk(queue, seed)
    walk.run_id = redis.info("server")["run_id"]
    try:
        for _ in range(STEPS):
            walk.step()
            walk.check()
            walk.check_order()
    except AssertionError as error:
        raise AssertionError(f"WALK_SEED={seed}, step {len(walk.calls)}: {error}\n" +
                             "\n".join(map(str, walk.calls[-15:]))) from error
    ended = [e["job"] for e in queue.events("job.succeeded", "job.failed", "job.cancelled")]
    assert len(ended) == len(set(ended)), "nothing ends twice"
    assert ended, f"seed {seed}: the walk went nowhere"
