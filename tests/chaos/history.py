"""The history of a run: what was called and what was answered, what was done to the machines, and how all ended, as
JSON lines. Every call is an `invoke` and, with the same `op`, an `ok`, a `fail` (nothing was done) or an `info`
(nobody knows). Times are of the machine's monotonic clock."""
import itertools
import json
import threading
import time


class History:
    def __init__(self, path):
        self.file, self.lock, self.ops = open(path, "a", buffering=1), threading.Lock(), itertools.count(1)

    def write(self, kind, **what):
        with self.lock:
            self.file.write(json.dumps({"type": kind, "at": round(time.monotonic(), 6), **what}) + "\n")

    def call(self, client, f, **what):
        """The start of a call; its end is told to what this returns."""
        op = next(self.ops)
        self.write("invoke", op=op, client=client, f=f, **what)
        return lambda outcome, **answer: self.write(outcome, op=op, client=client, f=f, **answer)

    def add_lines(self, path):
        """Takes over what a program of ours has written of itself: JSON lines, too."""
        with self.lock:
            self.file.write(path.read_text() if path.exists() else "")


def load(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines]
