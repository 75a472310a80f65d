"""How fast what was killed runs again: a runner, a whole machine, Redis for a minute."""
import json
import os
import random
import signal
import statistics
import time

from cluster import Cluster, log_lines
from measure import folder, percentile, wait_until
from network import Networked
from table import row
from training import MIB, Training, now, wait_checkpoints

RUNNERS = 4       # jobs beside each other on the worker of which one is hit
RUNNER_MIB = 4    # a checkpoint
MACHINE_JOBS = 20
META = "stoker:{default}:meta"
POLL_S = 0.002    # the figures are the programs' own clocks: this is only when the next kill may come


def spread(figure, spans, p50, p99, note):
    """Median, 99th percentile, and the worst of so many seconds."""
    note = f"{len(spans)} of them, {note}"
    rows = [row(f"{figure}, p50", percentile(spans, 0.5), "s", must=p50 and f"value <= {p50}", note=note)]
    return rows + [row(f"{figure}, p99", percentile(spans, 0.99), "s", must=f"value <= {p99}"),
                   row(f"{figure}, worst", max(spans), "s")]


def runner(bench):
    spans, draw = [], random.Random(bench.seed)
    with folder() as path, Cluster(path, worker_options=["--cpus", RUNNERS]) as cluster:
        trainings = [Training(cluster, size=RUNNER_MIB * MIB) for _ in range(RUNNERS)]
        wait_checkpoints(trainings)
        for _ in range(bench.scaled(250)):
            one = draw.choice(trainings)
            time.sleep(draw.uniform(0, 0.2))  # anywhere between two steps, two renewals, two saves
            pid = wait_until(one.runner_pid, what=f"{one.id} has a runner")
            killed = now()
            os.kill(pid, signal.SIGKILL)
            began = wait_until(lambda: one.began_after(killed), 60, f"{one.id} runs again", every=POLL_S)
            spans.append(began - killed)
    return spread("runner killed to program running again", spans, 1, 2, f"checkpoints of {RUNNER_MIB} MiB on the "
                  f"machine, {RUNNERS} jobs on the worker")


def machine_spans(bench, lease, kills):
    """Two machines; the one with most jobs loses power, when it has all of its jobs running for some time."""
    spans, draw = [], random.Random(bench.seed)
    with folder() as path, Networked(path, workers=2, worker_options=["--cpus", MACHINE_JOBS]) as cluster:
        redis = cluster.redis.client()
        trainings = [Training(cluster, step_ms=250, save_every=20, **lease) for _ in range(MACHINE_JOBS)]
        wait_checkpoints(trainings)
        for _ in range(kills):
            holders = [cluster.job(one.id)["worker"] for one in trainings]
            victim = max(range(2), key=lambda i: holders.count(f"w{i}"))
            hit = [one for one, holder in zip(trainings, holders) if holder == f"w{victim}"]
            time.sleep(draw.uniform(0, 4))  # anywhere between two renewals
            killed = now()
            cluster.cut_power(victim)
            for one in hit:
                wait_until(lambda one=one: one.began_after(killed), 90, f"{one.id} runs elsewhere", every=0.01)
            spans += [one.began_after(killed) - killed for one in hit]
            cluster.power_on(victim)
            wait_until(lambda: redis.hget(f"stoker:{{default}}:worker:w{victim}", "pid") ==
                       str(cluster.workers[victim].pid), 30, "the machine is back")
    return spans


def machine(bench):
    kills = bench.scaled(10)
    note = f"{kills} losses of power of one of two machines with up to {MACHINE_JOBS} jobs"
    spans = machine_spans(bench, {}, kills)
    bench.machine_s = statistics.mean(spans)
    rows = spread("machine gone to running elsewhere, default lease (10 s)", spans, 12, 14, note)
    return rows + spread("machine gone to running elsewhere, lease 3 s", machine_spans(bench, {"lease": "3s"}, kills),
                         None, 5, note)


# ---- Redis away

def submit_at_once(cluster):
    """Not over a scheduler, which has yet to find Redis again."""
    answer = cluster.redis.client().fcall("stoker_submit", 1, META, json.dumps({"name": "new", "command": ["true"]}))
    return answer if isinstance(answer, str) else answer[0]


def seconds_to_claim(cluster, job, back):
    """By the clock of Redis, which is this machine's."""
    key = "stoker:{default}:job:" + job.rsplit("-", 1)[1]
    at_ms = wait_until(lambda: cluster.redis.client().hget(key, "claimed_ms"), 60, f"{job} is claimed")
    return int(at_ms) / 1000 - back


def missing_lines(cluster, training):
    """Of the steps that the program has said it took; a line that is told as left out is missing, too."""
    steps = [line.step for line in training.read() if line.what == "step"]
    said = log_lines(cluster.log_text(training.id), 1, "stdout")
    assert len(said) <= len(steps), f"{training.id} printed {len(said)} lines in {len(steps)} steps"
    return len({f"step={step} loss={1 / step:.4f}" for step in steps} - set(said))


def outage(bench):
    """Three jobs can go as soon as Redis is back: one whose time came meanwhile, one behind a run that ended meanwhile,
    and one that is submitted then."""
    away_s, what = bench.away_s, f"Redis away for {bench.away_s} s"
    with folder() as path, Cluster(path, worker_options=["--cpus", 10]) as cluster:
        runs = [Training(cluster, step_ms=20, save_every=250) for _ in range(4)]
        ends = Training(cluster, resources={"cpus": 4})
        wait_checkpoints([*runs, ends])
        behind = Training(cluster, resources={"cpus": 4})
        due = Training(cluster, delay=f"{away_s / 2:g}s")
        cluster.redis.kill()
        ends.finish()
        time.sleep(away_s)  # what is measured is this very span
        cluster.redis.start()
        back = now()
        jobs = {"new": submit_at_once(cluster), "due meanwhile": due.id, "behind a run that ended": behind.id}
        waits = {name: seconds_to_claim(cluster, job, back) for name, job in jobs.items()}
        for one in runs:
            one.finish()
        ended = [cluster.wait_final(one.id) for one in [*runs, ends]]
        stopped = sum((end["state"], end["attempt"]) != ("succeeded", "1") for end in ended)
        missing = sum(missing_lines(cluster, one) for one in runs)
    note = ", ".join(f"{name} {span:.2f} s" for name, span in waits.items())
    return [row(f"{what}: runs stopped", stopped, "runs", must="value <= 0", note=f"of {len(ended)}"),
            row(f"{what}: lines missing in logs", missing, "lines", must="value <= 0"),
            row(f"{what}: back to first claim", min(waits.values()), "s", must="value <= 2", note=note),
            row(f"{what}: back to the last of these", max(waits.values()), "s")]
