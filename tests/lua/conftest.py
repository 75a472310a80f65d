"""A real Redis with the function library in place, and a queue on it. One server serves a whole file; every test gets
it empty, and what it leaves behind must satisfy fsck."""
import json

import pytest

import fsck
from harness import BUILD, RedisServer, events_each

FREE = {"cpus": 64, "gpus": 8, "memory": 1 << 40, "labels": {}}
SPEC = {"name": "t", "command": ["true"], "lease": "1s"}


def snapshot(client, keys):
    """What these keys hold. DUMP would tell a large hash or set in another order now and then."""
    keys = sorted(keys)
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.type(key)
        for key, kind in zip(keys, pipe.execute()):
            {"hash": pipe.hgetall, "set": pipe.smembers, b"hash": pipe.hgetall, b"set": pipe.smembers}.get(
                kind, pipe.dump)(key)
        return dict(zip(keys, pipe.execute()))


class Claim(dict):
    """One claimed attempt: the fields of the answer, and the three words that fence its writes."""

    @property
    def fence(self):
        return self["n"], self["uid"], self["token"]


class Queue:
    """stoker_<name> as methods: q.renew(*claim.fence)."""

    def __init__(self, redis, name="default"):
        self.redis, self.name, self.base = redis, name, f"stoker:{{{name}}}:"
        self.requests = {}

    def __getattr__(self, function):
        return lambda *args: self.redis.fcall(f"stoker_{function}", 1, self.base + "meta", *args)

    def key(self, name):
        return self.base + name

    def add(self, *args, **fields):
        """Submits SPEC with these fields; answers the number."""
        return self.submit(json.dumps({**SPEC, **fields}), *args).rsplit("-", 1)[1]

    def take(self, worker="w1", most=1, free=None, request=None):
        request = request or self.requests.get(worker, 0) + 1
        self.requests[worker] = max(request, self.requests.get(worker, 0))
        answer = self.claim(worker, json.dumps(free or FREE), most, request)
        claims = [Claim(zip(c[::2], c[1::2])) for c in answer]
        for claim in claims:
            claim.pop("age_ms", None)  # of one that was answered before: else the two are the same
        return claims

    def start(self, worker="w1", **fields):
        """Submits and claims one job."""
        self.add(**fields)
        return self.take(worker)[0]

    def end(self, claim, cause, **detail):
        return self.finish(*claim.fence, cause, json.dumps(detail))[0]

    def commit(self, claim, seq, step=None, **summary):
        body = {"size": 1, "sha256": f"{claim['attempt']}.{seq}", **summary}
        if step is not None:
            body["step"] = step
        return self.checkpoint(*claim.fence, f"{claim['attempt']}-{seq}", json.dumps(body))

    def job(self, n):
        return self.redis.hgetall(self.key(f"job:{n}"))

    def state(self, n):
        return self.redis.hget(self.key(f"job:{n}"), "state")

    def set_job(self, n, **fields):
        self.redis.hset(self.key(f"job:{n}"), mapping=fields)

    def hurry(self, n):
        """Makes a waiting job due, as if its time had passed."""
        self.redis.zadd(self.key("waiting"), {str(n): 1})
        return self.promote()

    def expire(self, n):
        """Ends the lease of a running job, as if its time had passed."""
        self.redis.zadd(self.key("leases"), {str(n): 1})

    def reap_now(self):
        """Reaps as one who was always there would: without a grace."""
        self.redis.hset(self.key("meta"), mapping={"last_reap_ms": self.now(), "no_reap_before_ms": 0,
                                                   "redis_run_id": self.redis.info("server")["run_id"]})
        return self.reap()

    def lose(self, n):
        self.expire(n)
        return self.reap_now()

    def now(self):
        seconds, micros = self.redis.time()
        return seconds * 1000 + micros // 1000

    def checkpoints(self, n):
        found = self.redis.hgetall(self.key(f"checkpoints:{n}"))
        return {k: json.loads(v)["state"] for k, v in found.items()}

    def history(self, n):
        return [json.loads(line) for line in self.redis.lrange(self.key(f"history:{n}"), 0, -1)]

    def events(self, *names):
        """Names of the events so far, or the events of these names."""
        entries = list(events_each(self.redis.xrange(self.key("events"))))
        if not names:
            return [e["event"] for e in entries]
        return [e for e in entries if e["event"] in names]

    def snapshot(self):
        """Everything that a refused call must not have changed."""
        return snapshot(self.redis, self.redis.keys("*"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"), "--appendfsync", "no")
    yield server
    server.stop()


@pytest.fixture
def redis(server):
    client = server.client()
    client.flushall()
    client.config_set("maxmemory", 0)
    client.function_load((BUILD / "stoker.lua").read_text(), replace=True)
    yield client
    client.close()


@pytest.fixture
def q(redis):
    queue = Queue(redis)
    queue.create("installation1")
    yield queue
    problems = fsck.check(redis)
    assert not problems, "\n".join(problems)


@pytest.fixture
def spoiled(redis):
    """A queue for a test that damages it for good: nobody looks at what it leaves behind."""
    queue = Queue(redis)
    queue.create("installation1")
    return queue
