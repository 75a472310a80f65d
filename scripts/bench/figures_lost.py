"""What a failure costs a training: the work since its last checkpoint, and the time until it runs again.

The clock of the programs is scaled: a second of theirs is a minute of training, so that a checkpoint is due every two
minutes, and a failure (kill -9 of the runner) comes once an hour to each of JOBS jobs beside each other, exponentially.
What stoker does is not scaled: in a real hour it takes as long as here. So a failure costs

    the training that is lost, on the scaled clock  +  the seconds from the kill to the next begin, on the real one

and goodput is what is kept of all the training, of the sum of all of it and of those seconds. One thing cannot be told
apart: a kill while a checkpoint is on its way to the store costs one interval more, and to the programs that way is
SCALE times as long as it is. The bound on lost work has it at that length.
"""
import heapq
import os
import random
import signal
import statistics
import time
from collections import namedtuple

from cluster import Cluster
from harness import events_each
from measure import folder
from table import row
from training import MIB, Training, now, wait_checkpoints

SCALE = 60        # seconds of training in a second
INTERVAL_S = 120  # of training, between two checkpoints
FAILURE_S = 3600  # of training, between two failures of a job
JOBS = 16
STEP_MS = 50
STEP_S = SCALE * STEP_MS / 1000

# lost, since_save: of training, since_save the part of it that no storing could have kept; again_s: until it ran again
Cost = namedtuple("Cost", "lost_s since_save_s again_s")


class Failures:
    """Kills runners, each job's by an exponential clock of its own."""

    def __init__(self, draw, trainings):
        self.draw, self.due, self.kills = draw, [], {training: [] for training in trainings}
        for i, training in enumerate(trainings):
            self.plan(i, training)

    def plan(self, i, training):
        heapq.heappush(self.due, (now() + self.draw.expovariate(SCALE / FAILURE_S), i, training))

    def strike(self, training):
        """Not what has not begun again since the last time: nothing is lost there."""
        kills = self.kills[training]
        pid = training.runner_pid() if not kills or training.began_after(kills[-1]) else None
        if pid:
            kills.append(now())
            os.kill(pid, signal.SIGKILL)

    def run(self, seconds):
        until = now() + seconds
        while self.due[0][0] < until:
            at, i, training = heapq.heappop(self.due)
            time.sleep(max(at - now(), 0))
            self.strike(training)
            self.plan(i, training)


def cost_of(lines, killed):
    """By the program's own record."""
    before = [line for line in lines if line.at <= killed]
    attempt = max(line.attempt for line in before)
    last = [line for line in lines if line.attempt == attempt][-1]
    again = next(line for line in lines if line.attempt > attempt and line.what == "begin")
    saved = [line.step for line in before if line.attempt == attempt and line.what in ("begin", "save")][-1]
    under_way_s = (killed - last.at) * SCALE  # of a step that was not over
    return Cost((last.step - again.step) * STEP_S + under_way_s, (last.step - saved) * STEP_S + under_way_s,
                again.at - killed)


def kept_and_all(lines):
    """Seconds of training: what is in the result, and what was done for it."""
    all_s = 0
    for attempt in {line.attempt for line in lines}:
        steps = [line.step for line in lines if line.attempt == attempt]
        all_s += (steps[-1] - steps[0]) * STEP_S
    return lines[-1].step * STEP_S, all_s


def saving_s(lines):
    """The program's own part of it."""
    return sum(line.at - before.at for before, line in zip(lines, lines[1:]) if line.what == "save")


def uploads(cluster, trainings):
    """Seconds from each save to its commit."""
    entries = cluster.redis.client().xrange("stoker:{default}:events")
    committed = {(event["job"], event["attempt"], event["step"]): int(entry.split("-")[0]) / 1000
                 for entry, fields in entries for event in events_each([(entry, fields)])
                 if event["event"] == "checkpoint.committed"}
    saves = [((one.id, str(line.attempt), str(line.step)), line.at)
             for one in trainings for line in one.lines if line.what == "save"]
    return [committed[key] - at for key, at in saves if key in committed]


def goodput_of_stoker(times, stood_s):
    """The same sum, by the times of `stoker show` without the programs' loading. What it does not count as kept is on
    the scaled clock but for the seconds from the kills to the next begins, which it counts as lost, queued or setup."""
    def total(*names):
        return sum(time[f"{name}_ms"] for time in times for name in names) / 1000
    kept_s = total("training") * SCALE
    other_s = total("lost", "queued", "setup", "restore", "saving") - total("loading") - stood_s
    return kept_s / (kept_s + other_s * SCALE + stood_s)


def train(bench):
    """(trainings, kills of each, seconds to store each checkpoint, times by stoker show)"""
    with folder() as path, Cluster(path, worker_options=["--cpus", JOBS, "--log-level", "warn"]) as cluster:
        trainings = [Training(cluster, STEP_MS, int(INTERVAL_S / STEP_S), MIB) for _ in range(JOBS)]
        wait_checkpoints(trainings)
        failures = Failures(random.Random(bench.seed), trainings)
        failures.run(bench.scaled(480))
        for one in trainings:
            one.finish()
        ended = [cluster.wait_final(one.id, timeout=120) for one in trainings]
        assert all(end["state"] == "succeeded" for end in ended), ended
        for one in trainings:
            one.read()
        return trainings, failures.kills, uploads(cluster, trainings), [cluster.show(t.id)["time"] for t in trainings]


def lost(bench):
    trainings, kills, stored, times = train(bench)
    costs = [cost_of(one.lines, killed) for one in trainings for killed in kills[one]]
    mean = {field: statistics.mean(getattr(cost, field) for cost in costs) for field in Cost._fields}
    error = statistics.stdev(cost.lost_s for cost in costs) / len(costs) ** 0.5
    upload_s = statistics.mean(stored)
    bound = INTERVAL_S / 2 + upload_s * SCALE
    kept, done = (sum(column) for column in zip(*(kept_and_all(one.lines) for one in trainings)))
    stood_s = sum(cost.again_s for cost in costs)
    saving = sum(saving_s(one.lines) for one in trainings)
    raw = sum(one["training_ms"] for one in times) / sum(
        sum(ms for name, ms in one.items() if name.endswith("_ms") and name != "loading_ms") for one in times)
    rows = [
        row("work lost per kill, mean", mean["lost_s"], "s", must=f"value <= {bound + 2 * error:.1f}",
            note=f"{len(costs)} kills of {JOBS} jobs; half an interval is {INTERVAL_S / 2:g} s, storing {upload_s:.3f} "
                 f"s, which is {upload_s * SCALE:.1f} s to the programs; two standard errors {2 * error:.1f} s; since "
                 f"the last save, as the kills fell: {mean['since_save_s']:.1f} s"),
        row("of it by kills while a checkpoint was stored", mean["lost_s"] - mean["since_save_s"], "s"),
        row("save to stored and committed, mean", upload_s, "s", note=f"{len(stored)} checkpoints of 1 MiB"),
        row("kill to program running again, mean", mean["again_s"], "s"),
        row("goodput, by the programs' record", 100 * kept / (done + stood_s + saving), "%", must="value >= 97"),
        row("goodput, by stoker show", 100 * goodput_of_stoker(times, stood_s), "%", must="value >= 97"),
        row("productive of all time, as it was here", 100 * raw, "%",
            note=f"nothing scaled back: a failure every {FAILURE_S // SCALE} s of each job"),
    ]
    if bench.machine_s:
        cost = mean["lost_s"] + bench.machine_s
        rows.append(row("goodput, were it the machine each time", 100 * (1 - cost / FAILURE_S), "%",
                        must="value >= 97", note=f"{mean['lost_s']:.1f} s lost, {bench.machine_s:.1f} s until it ran "
                                                 "elsewhere (mean), once an hour"))
    return rows
