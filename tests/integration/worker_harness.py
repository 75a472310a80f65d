"""What the tests of the worker share."""
import json
from pathlib import Path

from cluster import log_lines
from harness import events_each, wait_until

LEASE = "2s"
RETRY = {"backoff": "50ms", "max_backoff": "100ms", "max_attempts": 3}


def job_of(script, **more):
    return {"command": ["bash", "-c", script], "lease": LEASE, "retry": RETRY, **more}


def run_folder(cluster, job, i=0):
    return wait_until(lambda: next(iter(cluster.state_dir(i).glob(f"runs/{job}-*")), None), what=f"a run of {job}")


def pids(cluster, job, i=0):
    """(runner, program) of the running attempt."""
    def both():
        try:
            words = (run_folder(cluster, job, i) / "pid").read_text().split()
        except FileNotFoundError:
            return None
        return (int(words[0]), int(words[3])) if len(words) > 3 else None
    return wait_until(both, what=f"the program of {job} runs")


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def events(cluster, job, name=None):
    found = [e for e in events_each(cluster.redis.client().xrange("stoker:{default}:events")) if e.get("job") == job]
    return [e for e in found if name in (None, e["event"])]


def committed(cluster, job):
    """The records of its checkpoints, by id."""
    found = cluster.redis.client().hgetall(f"stoker:{{default}}:checkpoints:{job.split('-')[1]}")
    return {i: json.loads(c) for i, c in found.items()}


def wait_lines(cluster, job, attempt, count, timeout=20):
    return wait_until(lambda: (lambda lines: lines if len(lines) >= count else None)(
        log_lines(cluster.log_text(job), attempt)), timeout, f"{count} lines of {job}")
