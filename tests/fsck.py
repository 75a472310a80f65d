#!/usr/bin/python3
"""Checks the invariants of the Redis contract (docs/protocol.md) on a live Redis, without changing anything.

    tests/fsck.py unix:///path/redis.sock [prefix]     prints what is wrong; exit 1 if anything is

fsck.check(client) answers a list of sentences, empty when all is well.
"""
import json
import re
import sys

import fsck_loans

FINAL = ("succeeded", "failed", "cancelled")
STATES = ("waiting", "queued", "running") + FINAL
RUN_FIELDS = ("uid", "class", "priority", "attempt", "lease_ms", "submitted_ms", "state")
SPECIAL = {"checkpoint", "links", "recover_step", "scheduled_ms", "slot", "stop", "unique"}
LOG_STREAMS = ("stdout", "stderr", "stoker", "gap")


class Queue:
    def __init__(self, client, base):
        self.client, self.base, self.problems = client, base, []
        self.read()

    def say(self, text, *args):
        self.problems.append(f"{self.base}: {text % args}")

    def read(self, tries=10):
        """What is needed of every key of the queue, as of one moment."""
        names = self.client.keys(self.base + "*")
        types = dict(zip(names, self.many([lambda p, name=name: p.type(name) for name in names])))
        wanted = {}
        for name, kind in types.items():
            short = name[len(self.base):]
            if kind == "hash" and not short.startswith("worker:"):
                wanted[short] = lambda p, name=name: p.hgetall(name)
            elif kind == "zset" and not short.startswith("wake:"):
                wanted[short] = lambda p, name=name: p.zrange(name, 0, -1, withscores=True)
            elif kind == "set":
                wanted[short] = lambda p, name=name: p.smembers(name)
            elif kind == "stream" and short != "events":
                wanted[short] = lambda p, name=name: p.xrange(name)
            elif kind == "list" and short.startswith("sizes:"):
                wanted[short] = lambda p, name=name: p.lrange(name, 0, -1)
            if kind == "stream" and short.startswith("ready:"):
                wanted["groups " + short] = lambda p, name=name: p.xinfo_groups(name)
                wanted["pending " + short] = lambda p, name=name: p.xpending_range(name, "workers", "-", "+", 1000000)
        self.types = {name[len(self.base):]: kind for name, kind in types.items()}
        self.data = dict(zip(wanted, self.many(wanted.values())))
        if tries and any(isinstance(value, Exception) for value in self.data.values()):
            self.read(tries - 1)  # a lane was emptied, and went, between the two looks
            return
        self.staged = set()  # numbers that nobody sees yet
        for short, stage in self.data.items():
            if short.startswith("stage:") and "done" not in stage and stage:
                first = int(stage["first"])
                self.staged.update(str(n) for n in range(first, first + int(stage["have"])))
        self.jobs = {short[4:]: fields for short, fields in self.data.items()
                     if short.startswith("job:") and short[4:] not in self.staged and fields}  # none: it went
        self.meta = self.data.get("meta", {})

    def many(self, commands):
        with self.client.pipeline(transaction=True) as pipe:
            for command in commands:
                command(pipe)
            return pipe.execute(raise_on_error=False)

    def index(self, name):
        return dict(self.data.get(name, []))

    def check(self):
        self.check_types()
        entries = self.check_lanes()
        for n, job in self.jobs.items():
            self.check_job(n, job, entries)
        self.check_indexes()
        self.check_slots()
        self.check_counts(entries)
        self.check_schedules()
        self.check_batches()
        self.check_inboxes()
        self.check_deliveries()
        fsck_loans.check(self)
        for n in self.jobs:
            self.check_streams(n)
            self.check_checkpoints(n)
            self.check_parents(n)
            self.check_children(n)
        return self.problems

    def check_types(self):
        expected = {"meta": "hash", "classes": "hash", "lanes": "zset", "waiting": "zset", "leases": "zset",
                    "events": "stream", "workers": "zset", "usage": "hash", "archiver": "string", "shares": "hash",
                    "schedules": "zset", "elsewhere": "zset", "recovering": "zset",
                    "goodput": "hash", "idle": "zset", "borrowers": "zset", "forgotten": "zset", "abroad": "zset",
                    "releases": "zset", "outbox": "zset", "batches": "zset", "fires": "zset",
                    "archived": "zset", "summaries": "hash", "condemned": "hash", "doomed": "set",
                    "submitters": "set", "webhooks": "hash", "webhooks:jobs": "set",
                    "webhooks:batches": "set", "deliveries": "zset"}
        parts = {"job": "hash", "spec": "string", "ready": "stream", "wake": "zset", "jobs": "zset", "log": "stream",
                 "metrics": "stream", "checkpoints": "hash", "history": "list", "key": "string", "worker": "hash",
                 "slots": "zset", "limited": "zset", "rate": "string", "unique": "string", "reserved": "string",
                 "schedule": "hash", "schedule-spec": "string", "result": "string", "retried": "string",
                 "parents": "hash", "told": "hash", "lineage": "hash", "sweep": "hash",
                 "children": "zset", "stage": "hash", "batch": "hash", "members": "zset",
                 "inbox": "stream", "reply": "stream", "delivery": "hash", "deliveries": "zset",
                 "sizes": "list"}
        for short, kind in self.types.items():
            wanted = expected.get(short) or parts.get(short.split(":", 1)[0])
            if wanted is None:
                self.say("unknown key %s", short)
            elif kind != wanted:
                self.say("%s is a %s, not a %s", short, kind, wanted)

    def check_lanes(self):
        """Entries of all lanes: (lane, id) → (n, consumer or None). Undelivered ones need their lane in `lanes`."""
        entries, lanes = {}, self.index("lanes")
        for short in [k for k in self.data if k.startswith("ready:")]:
            lane, groups = short[6:], self.data["groups " + short]
            if len(groups) != 1 or groups[0]["name"] != "workers":
                self.say("%s has the groups %s", short, groups)
                continue
            pending = {p["message_id"]: p["consumer"] for p in self.data["pending " + short]}
            found = dict(self.data[short])
            if not found:
                self.say("%s is empty and still there", short)
            for entry in pending.keys() - found.keys():
                self.say("%s: %s is pending but deleted", short, entry)
            undelivered = 0
            for entry, fields in found.items():
                entries[lane, entry] = (fields.get("n"), pending.get(entry))
                delivered = parse_id(entry) <= parse_id(groups[0]["last-delivered-id"])
                undelivered += not delivered
                if delivered != (entry in pending):
                    self.say("%s: %s is delivered but not pending, or the reverse", short, entry)
            if undelivered and lane not in lanes:
                self.say("%s has undelivered entries and is not in lanes", short)
            if undelivered and lane.split(":")[0] not in self.data.get("classes", {}):
                self.say("%s has work and its class is not in classes", short)
            if undelivered and lane.endswith((":!held", ":!given")):
                self.say("%s: nobody reads what is queued there", short)
        for lane in lanes:
            if "ready:" + lane not in self.data:
                self.say("lanes has %s, which has no stream", lane)
        return entries

    def check_slots(self):
        """A slot is held by what is queued or running; who waits in the line waits for nothing else."""
        held = {(key[6:], n) for key, index in self.data.items() if key.startswith("slots:") for n, _ in index}
        lined = {(key[8:], n) for key, index in self.data.items() if key.startswith("limited:") for n, _ in index}
        wants = {n: job["slot"] for n, job in self.jobs.items() if "slot" in job}
        active = {(slot, n) for n, slot in wants.items() if self.jobs[n]["state"] in ("queued", "running")}
        waits = {(slot, n) for n, slot in wants.items() if self.jobs[n]["state"] == "waiting"
                 and self.jobs[n].get("reason") == "limit" and "due_ms" not in self.jobs[n]}
        for what, found, wanted in (("holds a slot", held, active), ("is in the line", lined, waits)):
            for slot, n in found ^ wanted:
                self.say("job %s %s %s of %s", n, what, "wrongly" if (slot, n) in found else "not, but should,", slot)
        for slot in {slot for slot, _ in lined}:
            holders = sum(1 for s, _ in held if s == slot)
            first = min((score, n) for n, score in self.data["limited:" + slot])[1]
            if holders < int(self.jobs.get(first, {}).get("slot_max", 0)):
                self.say("job %s waits though %s has a free slot", first, slot)
        for n, job in self.jobs.items():
            name = "unique:" + job.get("unique", "")
            if job["state"] not in FINAL and "unique" in job and name not in self.types:
                spec = json.loads(self.client.get(f"{self.base}spec:{n}") or "{}")
                if spec.get("unique", {}).get("until") != "expired":
                    self.say("job %s has lost its key %s", n, job["unique"])

    def check_job(self, n, job, entries):
        state = job.get("state")
        if state not in STATES:
            return self.say("job %s has the state %s", n, state)
        for field in RUN_FIELDS:
            if field not in job:
                self.say("job %s has no %s", n, field)
        for field, value in job.items():
            if value == "":
                self.say("job %s: the field %s is empty", n, field)
        mine = [(place, consumer) for place, (owner, consumer) in entries.items() if owner == n]
        if state in ("queued", "running"):
            if [place for place, _ in mine] != [(job.get("lane"), job.get("entry"))]:
                self.say("%s job %s knows %s, but its ready entries are %s", state, n,
                         (job.get("lane"), job.get("entry")), mine)
            else:
                self.check_delivery(n, job, mine[0][1])
        elif mine:
            self.say("%s job %s has ready entries %s", state, n, mine)
        for name, wanted in [("leases", "running"), ("waiting", "waiting")] + [("jobs:" + s, s) for s in FINAL]:
            if (n in self.index(name)) != (state == wanted):
                self.say("%s job %s is %sin %s", state, n, "" if n in self.index(name) else "not ", name)
        goes_elsewhere = state == "queued" and ":!not@" in job.get("lane", "")
        if (n in self.index("elsewhere")) != goes_elsewhere:
            self.say("%s job %s in lane %s is %sin elsewhere", state, n, job.get("lane"),
                     "" if n in self.index("elsewhere") else "not ")
        if goes_elsewhere and not job["lane"].endswith(":!not@" + job.get("worker", "")):
            self.say("job %s of worker %s waits in lane %s", n, job.get("worker"), job["lane"])
        if state not in FINAL and "special" not in job and (SPECIAL & job.keys() or int(job["attempt"]) > 1):
            self.say("%s job %s has %s, attempt %s, and is not special", state, n, sorted(SPECIAL & job.keys()),
                     job["attempt"])
        if ("result:" + n in self.types) != ("result_bytes" in job) or "result_bytes" in job and state != "succeeded":
            self.say("%s job %s: result_bytes is %s, and its result is %sthere", state, n, job.get("result_bytes"),
                     "" if "result:" + n in self.types else "not ")
        if state in FINAL and "ended_ms" not in job:
            self.say("%s job %s has no ended_ms", state, n)
        if state == "waiting" and "reason" not in job:
            self.say("waiting job %s has no reason", n)
        self.check_held(n, job)
        if "spec:" + n not in self.types:
            self.say("job %s has no spec", n)

    def check_held(self, n, job):
        """A held job is in no ready stream (check_job sees to that for all that wait), and nothing makes it due."""
        held = sorted(field for field in job if field.startswith("held_"))
        if job.get("reason") != "held":
            if held:
                self.say("job %s is not held and has the fields %s", n, held)
            return
        if job["state"] != "waiting":
            self.say("%s job %s has the reason held", job["state"], n)
        if "held_ms" not in job:
            self.say("held job %s does not say since when", n)
        if {"due_ms", "lane", "entry"} & job.keys():
            self.say("held job %s has a due time or a lane", n)
        if self.index("waiting").get(n) != float("inf"):
            self.say("held job %s is due at %s", n, self.index("waiting").get(n))

    def check_delivery(self, n, job, consumer):
        if job["state"] == "queued" and consumer is not None:
            self.say("queued job %s is pending for %s", n, consumer)
        if job["state"] == "running":
            if consumer != job.get("worker"):
                self.say("running job %s of %s is pending for %s", n, job.get("worker"), consumer)
            if not job.get("token", "").isdigit() or int(job["attempt"]) < 1:
                self.say("running job %s has token %s, attempt %s", n, job.get("token"), job["attempt"])

    def check_indexes(self):
        for name in ["leases", "waiting", "elsewhere"] + ["jobs:" + s for s in FINAL]:
            for n in self.index(name):
                if n not in self.jobs:
                    self.say("%s has %s, which is no job", name, n)
        for short in self.types:
            kind, _, n = short.partition(":")
            if kind in ("spec", "log", "metrics", "checkpoints", "history", "result", "parents", "children",
                        "sizes", "lineage") and \
                    n not in self.jobs and n not in self.staged:
                self.say("%s belongs to no job", short)

    def check_counts(self, entries):
        active = sum(job.get("state") not in FINAL for job in self.jobs.values())
        if int(self.meta.get("active", 0)) != active:
            self.say("meta says %s active jobs, there are %d", self.meta.get("active"), active)
        if self.meta.get("paused", "paused") not in ("paused", "draining"):
            self.say("meta says paused = %s", self.meta["paused"])
        if ("paused" in self.meta) != ("paused_ms" in self.meta):
            self.say("meta says half of a pause: %s", self.meta)
        newest = max([int(n) for n in self.jobs] or [0])
        if int(self.meta.get("next", 0)) < newest:
            self.say("meta says the newest job is %s, it is %d", self.meta.get("next"), newest)
        for (lane, entry), (n, _) in entries.items():
            if n not in self.jobs:
                self.say("ready:%s %s names job %s, which is not there", lane, entry, n)

    def check_schedules(self):
        """Each has its rule, its spec and its place by the next due time; due times and jobs are used once."""
        index = self.index("schedules")
        for short in self.types:
            kind, _, name = short.partition(":")
            if kind in ("schedule", "schedule-spec") and name not in index:
                self.say("%s is not in schedules", short)
        for name, score in index.items():
            s = self.data.get("schedule:" + name)
            if not s or "schedule-spec:" + name not in self.types:
                self.say("schedule %s has no record or no spec", name)
                continue
            wanted = float("inf") if "paused_ms" in s or "error" in s else float(s["next_ms"])
            if score != wanted:
                self.say("schedule %s stands at %s, its next due time is %s", name, score, wanted)
            if ("cron" in s) == ("every_ms" in s):
                self.say("schedule %s has %s", name, sorted(s))
            if int(s.get("last_job", 0)) > int(self.meta.get("next", 0)):
                self.say("schedule %s made job %s, which is not there yet", name, s["last_job"])
            if s.get("last_ms") and int(s["next_ms"]) and int(s["next_ms"]) <= int(s["last_ms"]):
                self.say("schedule %s is due at %s again", name, s["next_ms"])
        fired = [(job["schedule"], job["scheduled_ms"]) for job in self.jobs.values()
                 if "schedule" in job and "retry_of" not in job]
        for one in {one for one in fired if fired.count(one) > 1}:
            self.say("schedule %s fired twice for %s", *one)
        for n, job in self.jobs.items():
            if job.get("reason") == "overlap" and ("behind" not in job or job["state"] != "waiting"):
                self.say("%s job %s waits for no job before it", job["state"], n)

    def check_parents(self, n):
        """A job that waits for others has exactly so many that have not ended, and those know of it."""
        job, parents = self.jobs[n], self.data.get("parents:" + n, {})
        open_ones = [p for p, entry in parents.items() if entry.endswith(" -")]
        if len(parents) != int(job.get("parents", 0)):
            self.say("job %s says %s parents, there are %d", n, job.get("parents"), len(parents))
        if ("p" in job.get("links", "")) != bool(parents):
            self.say("job %s has the links %s and %d parents", n, job.get("links"), len(parents))
        waits = job.get("state") == "waiting" and (bool(job.get("needs")) or bool(job.get("unmet")))
        if job.get("reason") == "dependency" and not waits:
            self.say("job %s waits for nobody", n)
        if not waits:
            if "needs" in job or "unmet" in job:
                self.say("%s job %s still needs %s, unmet %s", job.get("state"), n, job.get("needs"), job.get("unmet"))
            return
        if int(job.get("needs", 0)) != len(open_ones) + ("borrows" in job):
            self.say("job %s needs %s, open are %s, it borrows %s", n, job.get("needs"), open_ones, job.get("borrows"))
        for parent in open_ones:
            queue, _, p = parent.rpartition("-")
            if not self.base.endswith("{%s}:" % queue):
                if f"ask {parent} {n}" not in self.index("outbox"):
                    self.say("job %s waits for %s, and nobody asks there", n, parent)
                continue
            if n not in self.index("children:" + p):
                self.say("job %s waits for %s, which does not know", n, parent)
            if p not in self.jobs:
                self.say("job %s waits for %s, which is gone", n, parent)
            elif self.jobs[p].get("state") in FINAL and p not in self.index("releases"):
                self.say("job %s waits for %s, which has ended", n, parent)

    def check_children(self, n):
        """A parent that has ended has told all its children, or is in `releases`."""
        job, children = self.jobs[n], self.index("children:" + n)
        if children and "c" not in job.get("links", ""):
            self.say("job %s has children and the links %s", n, job.get("links"))
        if job.get("state") in FINAL and children and n not in self.index("releases"):
            self.say("%s job %s has children that were not told: %s", job["state"], n, sorted(children))

    def check_batches(self):
        """The counts of a batch are those of its jobs; what was dropped had ended."""
        of_batch = {}
        for n, job in self.jobs.items():
            if ("b" in job.get("links", "")) != ("batch" in job):
                self.say("job %s of batch %s has the links %s", n, job.get("batch"), job.get("links"))
            if "batch" in job:
                of_batch.setdefault(job["batch"], {})[n] = job["state"]
        for batch, states in of_batch.items():
            if set(self.index("members:" + batch)) != set(states):
                self.say("batch %s has the members %s, its jobs are %s", batch, self.index("members:" + batch), states)
            counts = self.data.get("batch:" + batch, {})
            for state in STATES:
                there, said = list(states.values()).count(state), int(counts.get(state, 0))
                if said != there if state not in FINAL else said < there:
                    self.say("batch %s counts %d %s jobs, there are %d", batch, said, state, there)
            if sum(int(counts.get(s, 0)) for s in STATES) != int(counts.get("total", 0)):
                self.say("batch %s counts %s", batch, counts)
            if batch not in self.index("batches"):
                self.say("batch %s is not in batches", batch)
        for short, batch in self.data.items():
            if not short.startswith("batch:"):
                continue
            ended = sum(int(batch.get(s, 0)) for s in FINAL)
            total = int(batch.get("total", 0))
            done = ended == total and total >= int(batch.get("size", 1))
            if done != ("done_ms" in batch):
                self.say("%s: %d of %d jobs have ended, done_ms is %s", short, ended, total, batch.get("done_ms"))

    def check_inboxes(self):
        """An inbox of a stranger is nobody's fault; what we answer goes to those who were let in."""
        for short in self.types:
            if short.startswith("reply:") and short[6:] not in self.data.get("submitters", ()):
                self.say("%s belongs to no submitter", short)

    def check_deliveries(self):
        """Each record is in one place: the lane of its target, whose first decides when, or among the dead."""
        places, due = {}, self.index("deliveries")
        for short in [name for name in self.data if name.startswith("deliveries:to:")]:
            target, lane = short[len("deliveries:to:"):], self.index(short)
            places.update(dict.fromkeys(lane, target))
            if due.get(target) != min(lane.values()):
                self.say("deliveries has %s at %s, its first is due at %s", target, due.get(target),
                         min(lane.values()))
        if int(self.meta.get("webhook_waiting", 0)) != len(places):
            self.say("meta counts %s deliveries, there are %d", self.meta.get("webhook_waiting"), len(places))
        for target in due:
            if "deliveries:to:" + target not in self.data:
                self.say("deliveries has %s, which has no lane", target)
        dead = self.index("deliveries:dead")
        records = {name[9:]: record for name, record in self.data.items() if name.startswith("delivery:")}
        for delivery in set(places) | set(dead) | set(records):
            target = records.get(delivery, {}).get("target")
            if (places.get(delivery) == target) == (delivery in dead) or not target:
                self.say("delivery %s to %s is in the lane of %s, dead at %s", delivery, target, places.get(delivery),
                         dead.get(delivery))
        summaries = self.data.get("summaries", {})
        if set(self.index("archived")) != set(summaries):
            self.say("archived and summaries do not have the same jobs")
        for n in set(summaries) & set(self.jobs):
            self.say("job %s is in Redis and listed as archived", n)
        for n in self.data.get("webhooks:jobs", ()):
            if n not in self.jobs:
                self.say("webhooks:jobs has %s, which is no job", n)
        for batch in self.data.get("webhooks:batches", ()):
            if "webhook" not in self.data.get("batch:" + batch, {"webhook": "gone by itself"}):
                self.say("webhooks:batches has %s, which has no webhook", batch)

    def check_streams(self, n):
        """Log lines are dense in each attempt, from the first that is kept; metric points likewise."""
        log, points = self.data.get("log:" + n, []), self.data.get("metrics:" + n, [])
        self.check_dense(n, "log", [(entry, int(fields["lines"])) for entry, fields in log], "log_next")
        bytes_of = [len("".join(fields.get(s, "") for s in LOG_STREAMS).encode()) for _, fields in log]
        sizes = [int(size) for size in self.data.get("sizes:" + n, [])]
        if sizes and sizes != bytes_of[-len(sizes):]:
            self.say("sizes of job %s are not those of its last entries", n)
        if sum(bytes_of) != int(self.jobs[n].get("log_bytes", 0)):
            self.say("log of job %s has %d bytes, its log_bytes is %s", n, sum(bytes_of), self.jobs[n].get("log_bytes"))
        self.check_dense(n, "metrics", [(e, 1) for e, _ in points if not e.endswith("-0")], "metric_next")

    def check_dense(self, n, what, entries, field):
        expected = {}
        for i, (entry, count) in enumerate(entries):
            attempt, first = parse_id(entry)
            wanted = expected.get(attempt, 1 if i > 0 else first)
            if first != wanted:
                self.say("%s of job %s has a hole before %s (expected %d)", what, n, entry, wanted)
            expected[attempt] = first + count
        attempt = int(self.jobs[n]["attempt"])
        if attempt in expected and self.jobs[n].get(field) != str(expected[attempt]):
            self.say("%s of job %s ends before %d, its %s is %s", what, n, expected[attempt], field,
                     self.jobs[n].get(field))

    def check_uses(self, n):
        """What others use files of is there, and counts them."""
        records = {id: json.loads(text) for id, text in self.data.get("checkpoints:" + n, {}).items()}
        uses = [f"{id.split('-')[0]}-{seq}" for id, record in records.items()
                if record.get("state") != "deleting" and not id.startswith("0-") for seq in record.get("uses", [])]
        for id in set(uses) - set(records):
            self.say("checkpoint %s of job %s is gone, and others use files of it", id, n)
        for id, record in records.items():
            if record.get("used", 0) != uses.count(id) or (record.get("state") == "deleting" and id in uses):
                self.say("checkpoint %s of job %s (%s) says that %s others use files of it, %d do", id, n,
                         record.get("state"), record.get("used"), uses.count(id))

    def check_checkpoints(self, n):
        good, job = [], self.jobs[n]
        for checkpoint, text in self.data.get("checkpoints:" + n, {}).items():
            if not re.fullmatch(r"\d+-\d+", checkpoint):
                self.say("job %s has a checkpoint called %s", n, checkpoint)
                continue
            record = json.loads(text)
            if record.get("state") not in ("committed", "quarantined", "rejected", "deleting"):
                self.say("checkpoint %s of job %s has the state %s", checkpoint, n, record.get("state"))
            if record.get("state") == "committed":
                good.append(checkpoint)
        newest = max(good, key=parse_id, default=None)
        self.check_uses(n)
        if job.get("checkpoint") != newest:
            self.say("job %s names checkpoint %s, the newest good one is %s", n, job.get("checkpoint"), newest)


def parse_id(entry):
    return tuple(int(part) for part in entry.split("-"))


def findings(client, queue_key, limit=100):
    """What stoker_fsck says of the queue with this `meta`, step by step."""
    cursor = ""
    while True:
        answer = json.loads(client.fcall_ro("stoker_fsck", 1, queue_key, cursor, limit))
        yield from answer["findings"]
        cursor = answer["cursor"]
        if not cursor:
            return


def check(client, prefix="stoker"):
    """What is wrong by both: by stoker_fsck, and as it is seen from outside."""
    said = [f"stoker_fsck: {f['where']}: {f['code']}: {f['detail']}"
            for key in sorted(client.keys(prefix + ":{*}:meta")) for f in findings(client, key)]
    return seen(client, prefix) + said


def seen(client, prefix="stoker"):
    """What is wrong in three readings: keys may come and go between the list of keys and the MULTI."""
    wrong = None
    for _ in range(3):
        found = []
        for key in sorted(client.keys(prefix + ":{*}:meta")):
            found += Queue(client, key[:-len("meta")]).check()
        wrong = found if wrong is None else [problem for problem in wrong if problem in found]
        if not wrong:
            break
    return wrong


def main():
    import redis
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    client = redis.Redis.from_url(sys.argv[1], decode_responses=True)
    problems = check(client, *sys.argv[2:3])
    print("\n".join(problems) or "all invariants hold")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
