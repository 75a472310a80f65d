"""Jobs that run tests/tools/simulated_training.c, and what it has written down of itself."""
import time
from collections import namedtuple

from harness import BUILD, wait_until

PROGRAM = BUILD / "tests" / "tools" / "simulated_training"
MIB = 1 << 20

Line = namedtuple("Line", "what at step attempt")  # at: seconds since 1970


def now():
    return time.time_ns() / 1e9


class Training:
    """One job; nobody but its program writes its record."""

    def __init__(self, cluster, step_ms=50, save_every=20, size=MIB, name="training", **spec):
        self.cluster, folder = cluster, cluster.folder / "records"
        folder.mkdir(exist_ok=True)
        path = folder / f"{len(list(folder.iterdir()))}"
        path.touch()
        self.record, self.until, self.lines, self.read_to = path, path.with_suffix(".until"), [], 0
        self.id = cluster.submit({
            "name": name, "grace": "5s", "retry": {"max_lost": 1000}, **spec,
            "command": [str(w) for w in (PROGRAM, self.record, step_ms, save_every, size, self.until)]})

    def read(self):
        """All lines so far."""
        with open(self.record, "rb") as record:
            record.seek(self.read_to)
            text = record.read()
        whole = text[:text.rfind(b"\n") + 1]
        self.read_to += len(whole)
        for line in whole.decode().splitlines():
            what, at, step, attempt = line.split()
            self.lines.append(Line(what, int(at) / 1e9, int(step), int(attempt)))
        return self.lines

    def begins(self):
        return [line for line in self.read() if line.what == "begin"]

    def began_after(self, killed):
        return next((line.at for line in self.begins() if line.at > killed), None)

    def has_checkpoint(self):
        return self.cluster.job(self.id).get("checkpoint")

    def runner_pid(self, i=0):
        """Of the attempt that runs; None while there is none."""
        token = self.cluster.redis.client().hget("stoker:{default}:job:" + self.id.rsplit("-", 1)[1], "token")
        return self.cluster.runner_pids(i).get(f"{self.id}-{token}")

    def finish(self):
        self.until.touch()


def wait_checkpoints(trainings, timeout=120):
    for training in trainings:
        wait_until(training.has_checkpoint, timeout, f"{training.id} has a checkpoint", every=0.05)

