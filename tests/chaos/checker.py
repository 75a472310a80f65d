#!/usr/bin/python3
"""Says of a history what it has of what must never be: a pure function of its entries.

    tests/chaos/checker.py history.jsonl      prints the violations; exit 1 if there are any

Its words are those of Jepsen's total-queue (lost, unexpected, duplicated) and of docs/reliability.md. Each kind is a
function that yields sentences, and has a bad history of its own in test_checker.py.
"""
import re
import sys
from collections import defaultdict

import history as stories

FINAL = ("succeeded", "failed", "cancelled")
ENDS = tuple("job." + state for state in FINAL)
KINDS = {}


def kind(function):
    KINDS[function.__name__.replace("_", "-")] = function
    return function


class Story:
    """A history, by what is asked of it."""

    def __init__(self, entries):
        self.plans, self.final = {}, {}
        self.acked, self.done, self.ledger, self.seen = defaultdict(set), [], defaultdict(list), defaultdict(list)
        self.events = defaultdict(list)
        calls = {}
        for entry in entries:
            what = entry["type"]
            if what == "invoke":
                calls[entry["op"]] = entry
            elif what in ("ok", "fail", "info"):
                self.note_answer(what, calls[entry["op"]], entry.get("answer"))
            elif what == "plan":
                self.plans[entry["key"]] = entry
            elif what == "final":
                self.final[entry["job"]] = entry
            elif what == "ledger":
                self.ledger[entry["job"]].append(entry)
            elif what == "seen":
                self.seen[entry["job"]].append((entry["attempt"], int(entry["token"])))
            elif what == "event":
                self.note_event(entry)

    def note_answer(self, outcome, call, answer):
        if call["f"] == "submit" and outcome == "ok":
            self.acked[call["key"]].add(answer["id"] if isinstance(answer, dict) else answer)
        self.done.append((outcome, call, answer))

    def note_event(self, event):
        jobs = event["jobs"].split() if "jobs" in event else [f"{event.get('job')}:{event.get('attempt')}"]
        for one in jobs:
            job, attempt = one.rsplit(":", 1)
            self.events[job].append((event["event"], attempt))

    def ids(self):
        return {job for jobs in self.acked.values() for job in jobs}

    def plan_of(self, job):
        return self.plans.get(self.final[job]["name"]) if job in self.final else None

    def answered(self, f):
        """What was answered with yes to calls of this name: (call, state that was answered)."""
        for outcome, call, answer in self.done:
            if call["f"] == f and outcome == "ok":
                yield call, answer["state"] if isinstance(answer, dict) else answer

    def steps_printed(self, job, attempt):
        """The steps in the log of an attempt; None if a gap says that there were more."""
        steps = []
        for entry in self.final[job]["log"]:
            if entry["attempt"] == attempt and entry["stream"] == "gap":
                return None
            if entry["attempt"] == attempt and entry["stream"] == "stdout":
                steps += [int(n) for n in re.findall(r"^step=(\d+) ", entry["text"], re.MULTILINE)]
        return steps


@kind
def lost(story):
    """a submit was acknowledged, and its job is not there, or never ended"""
    for job in story.ids():
        if job not in story.final:
            yield f"{job} is gone"
        elif story.final[job]["state"] not in FINAL:
            yield f"{job} is {story.final[job]['state']} after everything has healed"


@kind
def unexpected(story):
    """a job is there, or ran, that nobody was told of"""
    ids = story.ids()
    for job in story.final:
        if job not in ids:
            yield f"{job} ({story.final[job]['name']}) was never acknowledged"
    for job in story.ledger:
        if job not in ids:
            yield f"{job} ran and was never acknowledged"


@kind
def duplicated(story):
    """one idempotency key, two jobs"""
    named = defaultdict(set)
    for job, final in story.final.items():
        named[final["name"]].add(job)
    for key, jobs in story.acked.items():
        both = jobs | named[key]
        if len(both) > 1:
            yield f"{key} is {', '.join(sorted(both))}"


@kind
def finished_twice(story):
    """a job ended other than once, or went on after its end"""
    for job, final in story.final.items():
        events = [name for name, _ in story.events[job]]
        ends = [name for name in events if name in ENDS]
        if final["state"] in FINAL and ends != ["job." + final["state"]]:
            yield f"{job} is {final['state']}, its ends are {ends}"
        elif ends and "job.claimed" in events[events.index(ends[0]):]:
            yield f"{job} was claimed after its end"


@kind
def wrong_end(story):
    """a job ended otherwise than its program does"""
    cancelled = {call["job"] for _, call, _ in story.done if call["f"] == "cancel"}
    for job, final in story.final.items():
        plan = story.plan_of(job)
        if plan and final["state"] in FINAL and final["state"] != plan["end"]:
            if final["state"] != "cancelled" or job not in cancelled:
                yield f"{job} ({plan['program']}) is {final['state']}: {final.get('error')}"


@kind
def unearned(story):
    """a job is succeeded, and its program never came to its end"""
    for job, final in story.final.items():
        if final["state"] == "succeeded" and not [e for e in story.ledger[job] if e["f"] == "end"]:
            yield job


@kind
def stale_accepted(story):
    """a call with the token of an attempt that was over had an effect"""
    for outcome, call, answer in story.done:
        if call["f"].startswith("stale ") and outcome == "ok":
            yield f"{call['f']} of {call['job']} with {call['token']} was answered {answer}"
    for job, final in story.final.items():
        if [e for e in final["log"] if "a ghost" in e["text"]] or "1-99" in final["checkpoints"]:
            yield f"{job} has what a ghost said"


@kind
def token_order(story):
    """a later attempt has no larger token, or one attempt two"""
    for job, final in story.final.items():
        known = sorted({*story.seen[job], *([(final["attempt"], int(final["token"]))] if final.get("token") else [])})
        for (a, low), (b, high) in zip(known, known[1:]):
            if a == b or low >= high:
                yield f"{job} has token {low} in attempt {a}, {high} in attempt {b}"


@kind
def log_hole(story):
    """lines of an attempt are not dense, and no gap says so; or a success has not all of them"""
    for job, final in story.final.items():
        expected = {}
        for entry in final["log"]:
            attempt, first = entry["attempt"], entry["first"]
            if first != expected.get(attempt, 1):
                yield f"{job}: line {expected.get(attempt, 1)} of attempt {attempt} is missing"
            expected[attempt] = first + entry["lines"]
        plan, steps = story.plan_of(job), story.steps_printed(job, final["attempt"])
        if plan and final["state"] == "succeeded" and steps is not None:
            began = [e["step"] for e in story.ledger[job] if e["f"] == "begin" and e["attempt"] == final["attempt"]]
            if began and steps != list(range(began[-1] + 1, plan["steps"] + 1)):
                yield f"{job}: attempt {final['attempt']} went from {began[-1]} to {plan['steps']}, its log has {steps}"


@kind
def torn_checkpoint(story):
    """a committed checkpoint is not whole in the store, or a program resumed from something else"""
    for job, final in story.final.items():
        for checkpoint, wrong in final["checkpoints"].items():
            if wrong:
                yield f"{checkpoint} of {job}: {wrong}"
    for job, lines in story.ledger.items():
        for line in lines:
            if line["f"] == "wrong":
                yield f"attempt {line['attempt']} of {job} resumed from what was not saved"


@kind
def cancel_ignored(story):
    """a cancel was acknowledged, and the job was begun again or ended otherwise"""
    for call, state in story.answered("cancel"):
        final = story.final.get(call["job"], {"state": "gone"})
        allowed = ("cancelled", "succeeded") if state == "running" else ("cancelled",)
        if final["state"] not in allowed:
            yield f"{call['job']} was {state} at its cancel, and is {final['state']}"
    for job, events in story.events.items():
        names = [name for name, _ in events]
        asked = [i for i, name in enumerate(names) if name in ("job.cancel_asked", "job.cancelled")]
        if asked and "job.claimed" in names[asked[0]:]:
            yield f"{job} was claimed after its cancel"


@kind
def flag_ignored(story):
    """an attempt was flagged as corrupted, and succeeded"""
    for call, _ in story.answered("corrupt"):
        final = story.final.get(call["job"])
        if final and final["state"] == "succeeded" and final["attempt"] == call["attempt"]:
            yield f"attempt {call['attempt']} of {call['job']}"


@kind
def overlap(story):
    """two copies of a program were alive at once: of on_partition: stop, or on one machine"""
    for job, lines in story.ledger.items():
        plan = story.plan_of(job)
        places = set()
        for line in lines:
            if line["f"] == "begin":
                places.add(line["folder"].split("/runs/")[0])
            elif line["f"] == "overlap":
                places.add(line["folder"].split("/runs/")[0])
                if len(places) == 1 or (plan and plan["policy"] == "stop"):
                    yield f"attempt {line['attempt']} of {job} at {line['at']}"


def check(entries):
    """Every violation, by its kind: {kind: [sentence]}."""
    story = Story(entries)
    return {name: list(function(story)) for name, function in KINDS.items()}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found = check(stories.load(sys.argv[1]))
    for name, sentences in found.items():
        for sentence in sentences:
            print(f"{name}: {sentence}")
    sys.exit(1 if any(found.values()) else print("no violation"))


if __name__ == "__main__":
    main()
