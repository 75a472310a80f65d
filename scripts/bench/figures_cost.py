"""What calls cost Redis when much is in it, and what a job keeps of its memory."""
import json

from measure import EVERYSEC, META, NO_FILE, add_queue, load, medians, redis_server, stoker_server
from table import row

FEW = 100
CALLS = 200
CLAIMS = 50  # of the 100 that there are
SHAPES = {"few": 10, "many": 1000}  # of resources
ANYTHING = '{"cpus":1000000,"gpus":1000,"memory":1000000000000}'


def fcall_us(redis, command, calls):
    """Microseconds of Redis' processor a call, by its own account (INFO commandstats)."""
    redis.config_resetstat()
    pipe = redis.pipeline(transaction=False)
    for words in calls:
        pipe.execute_command(*words)
    for answer in pipe.execute():
        assert answer, "a call that answered nothing"
    stats = redis.info("commandstats")[f"cmdstat_{command}"]
    assert stats["calls"] == len(calls) and not stats["failed_calls"], stats
    return stats["usec_per_call"]


def claims(worker, count, first):
    return [("FCALL", "stoker_claim", 1, META, worker, ANYTHING, 1, first + i) for i in range(count)]


def load_shapes(server, shapes):
    """The same number of jobs, of so many shapes of resources."""
    specs = [json.dumps({"command": ["true"], "resources": {"cpus": 1 + i % 25, "memory": f"{1 + i // 25 % 40}GiB"}})
             for i in range(shapes)] * (max(SHAPES.values()) // shapes)
    for i in range(0, len(specs), 100):
        words = [word for spec in specs[i:i + 100] for word in (spec, "")]
        answers = server.client().execute_command("FCALL", "stoker_bulk", 1, META, "", *words)
        assert all(answer[0] == "ok" for answer in answers), answers


class Filled:
    """A queue with so many jobs, and what is asked of it."""

    def __init__(self, redis):
        self.redis, self.request = redis, 0

    def page(self, state):
        return fcall_us(self.redis, "fcall_ro", [("FCALL_RO", "stoker_list", 1, META, state, 100)] * CALLS)

    def stats(self):
        return fcall_us(self.redis, "fcall_ro", [("FCALL_RO", "stoker_stats", 1, META)] * CALLS)

    def claim(self):
        """What was claimed is given back as it was: preempted jobs are queued again."""
        first, self.request = self.request + 1, self.request + CLAIMS
        spent = fcall_us(self.redis, "fcall", claims("cost", CLAIMS, first))
        for n, _ in self.redis.zrange("stoker:{bench}:leases", 0, -1, withscores=True):
            uid, token = self.redis.hmget(f"stoker:{{bench}}:job:{n}", "uid", "token")
            answer = self.redis.execute_command("FCALL", "stoker_finish", 1, META, n, uid, token, "preempted", "{}")
            assert answer[0] == ["ok", "queued"], answer
        return spent


def cost(bench):
    rows = []
    with stoker_server(*EVERYSEC) as small, stoker_server(*EVERYSEC) as large:
        load(small, "bulk", jobs=FEW, depth=4, batch=100)
        load(large, "bulk", jobs=bench.jobs, depth=4, batch=100)
        few, many = Filled(small.client()), Filled(large.client())
        asked = {"a page of all": lambda q: q.page("all"), "a page of queued": lambda q: q.page("queued"),
                 "stats": Filled.stats, "claim of one": Filled.claim}
        for figure, measure in asked.items():
            values, _ = medians(bench.rounds, {"few": lambda m=measure: m(few), "many": lambda m=measure: m(many)})
            rows.append(row(f"Redis' processor, {figure}, {bench.jobs:,} jobs", values["many"], "us", f"{FEW} jobs",
                            values["few"], "ratio <= 1.2"))
    return rows


def shapes(bench):
    with stoker_server(*EVERYSEC) as plain, stoker_server(*EVERYSEC) as mixed:
        load_shapes(plain, SHAPES["few"]), load_shapes(mixed, SHAPES["many"])
        few, many = Filled(plain.client()), Filled(mixed.client())
        values, _ = medians(bench.rounds, {"few": few.claim, "many": many.claim})
        return [row(f"Redis' processor, claim of one, {SHAPES['many']:,} shapes", values["many"], "us",
                    f"{SHAPES['few']} shapes", values["few"], "ratio <= 1.2")]


def memory(bench):
    """By used_memory, without an append-only file, whose buffers are no job's."""
    jobs = bench.scaled(50000)

    def turn():
        with redis_server(*NO_FILE) as server:
            redis = add_queue(server)
            before = redis.info("memory")["used_memory"]
            load(server, "bulk", jobs=jobs, depth=4, batch=100, spec_bytes=300)
            queued = redis.info("memory")["used_memory"]
            load(server, "drain", jobs=jobs)
            finished = redis.info("memory")["used_memory"]
            return (queued - before) / jobs / 1024, (finished - before) / jobs / 1024

    values, _ = medians(min(bench.rounds, 3), {"stoker": turn})  # it hardly varies
    queued, finished = values["stoker"]
    return [row("memory of a queued job, 300-byte spec", queued, "KiB", must="value < 1.4"),
            row("memory of a finished job, kept", finished, "KiB")]
