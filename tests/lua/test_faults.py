"""Redis rolls no function back. So in each of them, whatever goes wrong before its first write must leave everything as
it was; and what a stranger put in the place of any key that it touches must be met before that.

The library is built anew for this, with redis.call and redis.pcall wrapped: they note what they were asked, and the
n-th can be made to fail, and with it all that follows on the same key. Nothing else of it changes."""
import json

import pytest
import redis as redis_py
from redis.exceptions import ResponseError

import fsck
from conftest import Queue, snapshot
from harness import BUILD

# One local more, since a chunk may have 200 of them.
PRELUDE = """
local watch = {count = 0, at = 0, trace = {}, any_type = {DEL = true, UNLINK = true, EXISTS = true, TYPE = true,
               EXPIRE = true, PEXPIRE = true, PERSIST = true}}
function watch.wrap(real)
    local function fails(command, key)
        watch.count = watch.count + 1
        watch.trace[watch.count] = command .. ' ' .. tostring(key)
        if watch.count == watch.at then
            watch.bad = key or command
            return true
        end
        return watch.bad ~= nil and watch.bad == key and not watch.any_type[command]
    end
    watch.real = real
    return setmetatable({
        call = function(command, ...)
            if fails(command, ...) then
                error({err = 'ERR injected'})
            end
            return real.call(command, ...)
        end,
        pcall = function(command, ...)
            if fails(command, ...) then
                return {err = 'ERR injected'}
            end
            return real.pcall(command, ...)
        end,
    }, {__index = real})
end
function watch.begin()
    watch.count, watch.trace, watch.bad = 0, {}, nil
    watch.at = tonumber(watch.real.call('GET', 'fault') or 0)
end
function watch.note()
    watch.real.pcall('SET', 'trace', table.concat(watch.trace, '\\n'))
end
"""


def replaced(text, old, new):
    assert text.count(old) == 1, old
    return text.replace(old, new)


def instrumented():
    first, rest = (BUILD / "stoker.lua").read_text().split("\n", 1)
    rest = replaced(rest, "    return redis.call, redis, cjson,",
                    "    local redis = watch.wrap(redis)\n    return redis.call, redis, cjson,")
    rest = replaced(rest, "            local ok, answer = pcall(callback, keys, args)\n",
                    "            watch.begin()\n            local ok, answer = pcall(callback, keys, args)\n"
                    "            watch.note()\n")
    return first + "\n" + PRELUDE + rest


CODE = "c0de" * 16
SCHEDULE = json.dumps({"command": "x", "schedule": {"name": "s", "every": 60}})


def scenario(q):
    """Something of everything: what each call below acts on."""
    q.create("installation1")
    q.worker("w1", '{"state":"up"}')
    q.ended = q.start(unique={"key": "u"}, webhook={"url": "http://y.org/"})
    q.end(q.ended, "permanent")
    q.run = q.start(retry={"elsewhere": "1h"}, concurrency={"key": "k", "max": 1}, batch="b")
    q.renew(*q.run.fence, "phase", "running", "step", "3")
    q.commit(q.run, 1, 1), q.commit(q.run, 2, 2, uses=[1])
    q.log(*q.run.fence, 1, 1, "stdout", 1, "x")
    q.lost = q.start(batch="b")
    q.lose(q.lost["n"])
    q.queued, q.waiting = q.add(batch="b"), q.add(delay="1h")
    q.held = q.add()
    q.hold(q.held)
    q.line = q.add(concurrency={"key": "k", "max": 1})
    q.child = q.add(after=["default-" + q.run["n"]])
    q.abroad = q.add(after=["other-1"])
    q.borrower = q.add(resume="other-1@best")
    q.lend(q.run["n"], "1-2", "third"), q.lend(q.run["n"], "1-2", "fourth")
    q.loan, = [letter for letter in q.redis.zrange(q.key("outbox"), 0, -1) if letter.startswith("lent third ")]
    q.record = json.dumps([{"uri": "file:///s/x", "attempt": 1, "seq": 2, "state": "committed", "from": "other-1"}])
    q.schedule(SCHEDULE)
    s = q.redis.hgetall(q.key("schedule:s"))
    q.revision = s["revision"]
    q.submitter("add", "app")
    q.redis.xadd(q.key("inbox:app"), {"spec": '{"command":"x"}'})
    q.webhook_add("http://x.org", "", "x" * 16), q.webhook_secret("x" * 16)
    q.delivery = q.webhook_test("h1")
    q.stage("s", 3, 0, '{"command":"x","name":"a"}', '{"command":"x","after":["a"]}', '{"command":"x"}')
    q.redis.hset(q.key("meta"), mapping={"last_reap_ms": q.now(), "no_reap_before_ms": 0, "max_finished": 0,
                                        "redis_run_id": q.redis.info("server")["run_id"]})
    q.condemn("mark", "r1", CODE)
    q.redis.hset(q.key("meta"), "archive", "on")
    q.version = q.archive_take("s1")[3]
    q.redis.delete(q.key("archiver"))
    q.redis.zadd(q.key("waiting"), {q.waiting: 1})
    q.redis.zadd(q.key("leases"), {q.run["n"]: 1})


# Every function that writes, as it is called on that: a new one needs its row.
CALLS = {
    "submit": lambda q: q.submit('{"command":"x","unique":{"key":"v"},"concurrency":{"key":"k","max":1}}', "key"),
    "submit to a batch": lambda q: q.submit('{"command":"x","batch":"b","resources":{"cpus":3}}'),
    "submit a child": lambda q: q.submit(json.dumps({"command": "x", "after": ["default-" + q.queued]})),
    "submit on from": lambda q: q.submit(json.dumps({"command": "x", "resume": "default-%s@latest" % q.run["n"]})),
    "bulk": lambda q: q.bulk("ada", '{"command":"x"}', "k1", '{"command":"x","batch":"c"}', ""),
    "graph": lambda q: q.graph('{"jobs":[{"command":"x","name":"a"},{"command":"x","after":["a"]}]}', "g"),
    "stage": lambda q: q.stage("t", 2, 0, '{"command":"x"}', '{"command":"x"}'),
    "commit": lambda q: q.commit_stage("s", "c"),
    "batch": lambda q: q.batch("b", '{"size":9,"webhook":{"url":"http://z.org/"}}'),
    "sweep": lambda q: q.sweep('{"sweep":{}}', "k2"), "swept": lambda q: q.swept("0", ""),
    "create": lambda q: q.create("i"), "worker": lambda q: q.worker("w2", '{"state":"up"}'),
    "worker gone": lambda q: q.worker("w1", '{"state":"gone"}'),
    "worker_drain": lambda q: q.worker_drain("w1"), "worker_resume": lambda q: q.worker_resume("w1"),
    "claim": lambda q: q.claim("w1", '{"cpus":9}', 9, 9),
    "renew": lambda q: q.renew(*q.run.fence, "step", 9, "lineage", "{}"),
    "renew a lost one": lambda q: q.renew(*q.lost.fence, "step", 9),
    "adopt": lambda q: q.adopt(*q.lost.fence, "w2"),
    "adopt a forgotten claim": lambda q: q.adopt(
        q.queued, q.job(q.queued)["uid"], "9999999999999", "w2", 1, "installation1", "", '{"command":"x","batch":"b"}',
        "1-1", '{"step":1}'),
    "adopt a forgotten job": lambda q: q.adopt(
        int(q.redis.hget(q.key("meta"), "next")) + 2, "ab", "9999999999999", "w2", 2, "installation1", "1-1",
        '{"command":"x","batch":"b","concurrency":{"key":"k","max":1}}', "1-1", '{"step":1}'),
    "log": lambda q: q.log(*q.run.fence, 2, 1, "stdout", 1, "y"),
    "metric": lambda q: q.metric(*q.run.fence, 1, '{"loss":1}'),
    "checkpoint": lambda q: q.commit(q.run, 3, 3, uses=[2]), "drop": lambda q: q.drop(*q.run.fence, "1-1"),
    "reject": lambda q: q.reject(*q.run.fence, "1-2", "torn"),
    "discard": lambda q: q.discard(q.run["n"], "", "last", 1),
    **{"finish " + cause: lambda q, cause=cause: q.end(q.run, cause, exit=1, result="{}")
       for cause in ("succeeded", "error", "permanent", "lost", "corrupted", "preempted", "timeout")},
    "cancel queued": lambda q: q.cancel(q.queued, "ada", "why"), "cancel running": lambda q: q.cancel(q.run["n"]),
    "cancel waiting": lambda q: q.cancel(q.child), "corrupt": lambda q: q.corrupt(q.run["n"], 1, "x", 1),
    "retry": lambda q: q.retry(q.ended["n"], 1), "retry waiting": lambda q: q.retry(q.waiting, 0),
    "hold": lambda q: q.hold(q.queued), "release": lambda q: q.release(q.held),
    "update": lambda q: q.update(q.queued, '{"priority":9,"resources":{"cpus":2}}'),
    "remove": lambda q: q.remove(q.ended["n"]),
    "each": lambda q: q.each("cancel", "", "", "", q.queued, q.waiting, q.child),
    "pause": lambda q: q.pause("pause"), "limit": lambda q: q.limit(1, 2, 1000), "share": lambda q: q.share("ada", 2),
    "schedule": lambda q: q.schedule(SCHEDULE.replace("60", "90")), "unschedule": lambda q: q.unschedule("s"),
    "schedule_pause": lambda q: q.schedule_pause("s", "pause"),
    "schedule_refuse": lambda q: q.schedule_refuse("s", q.revision, "why"),
    "fire": lambda q: q.fire("s", q.revision, 0, 0, q.now() + 60000),
    "promote": lambda q: q.promote(), "reap": lambda q: q.reap(),
    "reap and tell": lambda q: q.reap("1", "999"), "prune": lambda q: q.prune(),
    "watch": lambda q: q.watch(q.queued, "other-1"), "tell": lambda q: q.tell(q.abroad, "other-1", "succeeded"),
    "sent": lambda q: q.sent(f"ask other-1 {q.abroad}"),
    "submit from abroad": lambda q: q.submit('{"command":"x","resume":"other-1@best","delay":9}'),
    "lend": lambda q: q.lend(q.run["n"], "latest", "third", 3), "lend again": lambda q: q.lend(q.run["n"], 1, "other"),
    "borrow": lambda q: q.borrow(q.borrower, "other-1@best", q.record),
    "borrow nothing": lambda q: q.borrow(q.borrower, "other-1@best", "", "resume: why"),
    "borrow instead": lambda q: q.borrow(q.borrower, "other-1@best", '{"instead":"more-1@1-1"}'),
    "returned": lambda q: q.returned(q.run["n"], "third", q.loan.split(" ")[3], '{"ids":[]}'),
    "archive_take": lambda q: q.archive_take("s1"), "reindex": lambda q: q.reindex("s1", "begin"),
    "archive": lambda q: q.archive(q.ended["n"], q.version),
    "submitter": lambda q: q.submitter("remove", "app"), "inbox": lambda q: q.inbox(),
    "webhook_add": lambda q: q.webhook_add("http://v.org", "", "x" * 16),
    "webhook_remove": lambda q: q.webhook_remove("h1"), "webhook_secret": lambda q: q.webhook_secret("y" * 16),
    "webhook_test": lambda q: q.webhook_test("h1"), "webhook_gather": lambda q: q.webhook_gather(),
    "webhook_take": lambda q: q.webhook_take(9, 1000), "webhook_done": lambda q: q.webhook_done(q.delivery, 1, "ok"),
    "webhook_resend": lambda q: q.webhook_resend("all"),
    "condemn": lambda q: q.condemn("doom", "r1", CODE), "condemn mark": lambda q: q.condemn("mark", "r2", CODE),
    "submit condemned code": lambda q: q.submit(json.dumps({"command": "x", "code": CODE})),
    "stage condemned code": lambda q: q.stage("t", 1, 0, json.dumps({"command": "x", "code": CODE})),
    "schedule condemned code": lambda q: q.schedule(json.dumps({**json.loads(SCHEDULE), "code": CODE})),
    "batch condemned code": lambda q: q.batch("b", json.dumps({"then": {"command": "x", "code": CODE}})),
    "sweep condemned code": lambda q: q.sweep(json.dumps({"sweep": {}, "code": CODE})),
    "repair": lambda q: q.repair("job " + q.run["n"], "index-missing"),
}


class Stage(Queue):
    """stoker_commit is what the other methods call a checkpoint's commit."""

    def commit_stage(self, *args):
        return self.redis.fcall("stoker_commit", 1, self.base + "meta", *args)


class Case:
    """A queue that is put back as it was before each try."""

    def __init__(self, server):
        self.redis = server.client()
        self.raw = redis_py.Redis(unix_socket_path=str(server.socket))  # what DUMP says is no text
        self.redis.flushall()
        self.redis.function_load(instrumented(), replace=True)
        self.q = Stage(self.redis)
        scenario(self.q)
        self.redis.delete("trace")
        self.saved = {key: (self.raw.dump(key), self.redis.pttl(key)) for key in self.redis.keys("*")}
        self.writes = {name.upper() for name, about in self.redis.command().items() if "write" in about["flags"]}

    def reset(self):
        with self.raw.pipeline(transaction=False) as pipe:
            pipe.flushdb()
            for key, (value, ttl) in self.saved.items():
                pipe.restore(key, max(ttl, 0), value)
            pipe.execute()

    def now(self):
        return snapshot(self.raw, self.redis.keys("stoker*"))

    def run(self, name):
        """None, or what it was refused with."""
        try:
            CALLS[name](self.q)
        except ResponseError as error:
            return str(error)
        return None

    def trace(self):
        return [line.split(" ", 1) for line in self.redis.get("trace").split("\n")]

    def undisturbed(self, name):
        """What it asked of Redis, and which of these was the first write."""
        self.reset()
        refused = self.run(name)
        assert refused is None or refused.split()[0] in ("NOTFOUND", "CONFLICT"), refused
        trace = self.trace()
        writes = [i for i, (command, _) in enumerate(trace, 1) if command in self.writes]
        return trace, writes[0] if writes else len(trace)


@pytest.fixture(scope="module")
def case(server):
    return Case(server)


def test_every_function_that_writes_has_its_call(case):
    (library,) = case.redis.function_list("stoker", withcode=False)
    functions = [dict(zip(f[::2], f[1::2])) for f in library[library.index("functions") + 1]]
    names = {f["name"].removeprefix("stoker_") for f in functions if "no-writes" not in f["flags"]}
    assert names == {name.split(" ")[0] for name in CALLS}


@pytest.mark.parametrize("name", CALLS)
def test_what_fails_before_the_first_write_changes_nothing(case, name):
    """Each command up to the first write, and that write itself, as if Redis had refused it."""
    trace, first_write = case.undisturbed(name)
    after = fsck.check(case.redis)
    for n in range(1, first_write + 1):
        if trace[n - 1][0] == "XREADGROUP":
            continue  # it fails where a lane has lost its group, which fsck finds and mends
        case.reset()
        before = case.now()
        case.redis.set("fault", n)
        if case.run(name) is not None:
            assert case.now() == before, f"command {n} failed: {case.trace()[-1]}"
        else:
            case.redis.delete("fault")
            assert fsck.check(case.redis) == after, f"command {n} was done without: {case.trace()[n - 1]}"


@pytest.mark.parametrize("name", CALLS)
def test_a_stranger_in_the_place_of_any_key_is_met_before_the_first_write(case, name):
    trace, _ = case.undisturbed(name)
    for key in sorted({key for _, key in trace if key.startswith(case.q.base)} - {case.q.base + "meta"}):
        case.reset()
        kind = case.redis.type(key)
        case.redis.delete(key)
        if kind == "string":
            case.redis.rpush(key, "strange")
        else:
            case.redis.set(key, "strange")
        before = case.now()
        refused = case.run(name)
        if refused is not None:
            assert case.now() == before, f"{key} was strange, and it failed halfway: {refused}"
