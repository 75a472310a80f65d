"""What the figures share: servers of their own, the load generator, and rounds in which every contender has its turn
before any has its next, so that what else happens on the machine meets them all."""
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from harness import BUILD, Process, RedisServer, wait_until  # noqa: E402

EVERYSEC = ("--appendfsync", "everysec")
NO_FILE = ("--appendonly", "no")
META = "stoker:{bench}:meta"
WAKE = "stoker:{bench}:wake:cpu1"
TOO_LONG_S = 600


class Unavailable(Exception):
    """A peer that is not here, or does not run here: its row says so."""


def run_json(command, **options):
    """Runs it and reads the last line that it prints."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TOO_LONG_S, **options)
    return last_json(done.args, done.stdout, done.stderr)


def last_json(command, out, err):
    lines = out.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        raise AssertionError(f"{' '.join(command)}: no figure\n{out[-2000:]}{err[-2000:]}")
    return json.loads(lines[-1])


@contextmanager
def folder():
    path = Path(tempfile.mkdtemp(prefix="stoker-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def redis_server(*options):
    with folder() as path:
        server = RedisServer(path, *options)
        try:
            yield server
        finally:
            server.kill()


def add_queue(server, name="bench"):
    """The function library and a queue, as a scheduler makes them, with room for as many jobs as anybody asks for."""
    redis = server.client()
    meta = f"stoker:{{{name}}}:meta"
    redis.execute_command("FUNCTION", "LOAD", "REPLACE", (BUILD / "stoker.lua").read_text())
    redis.execute_command("FCALL", "stoker_create", 1, meta, "0123456789ab")
    redis.hset(meta, "max_jobs", 100000000)
    return redis


@contextmanager
def stoker_server(*options):
    with redis_server(*options) as server:
        add_queue(server)
        yield server


def load(server, mode, meta=META, **options):
    return run_json([BUILD / "bench-load", mode, f"socket={server.socket}", f"meta={meta}", f"wake={WAKE}",
                     *[f"{name}={value}" for name, value in options.items()]])


def spawn(*words):
    return run_json([BUILD / "bench-spawn", *words])


def medians(rounds, contenders):
    """{name: median of what its function answered}; functions that answer a tuple get one of each. A contender that is
    not available has None, and why."""
    got, missing = {name: [] for name in contenders}, {}
    for _ in range(rounds):
        for name, measure in contenders.items():
            if name in missing:
                continue
            try:
                got[name].append(measure())
            except Unavailable as error:
                missing[name] = str(error)
    return {name: None if name in missing else middle(values) for name, values in got.items()}, missing


def middle(values):
    if isinstance(values[0], tuple):
        return tuple(statistics.median(column) for column in zip(*values))
    return statistics.median(values)


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


__all__ = ["BUILD", "EVERYSEC", "META", "NO_FILE", "Process", "ROOT", "Unavailable", "add_queue", "folder", "last_json",
           "load", "medians", "percentile", "redis_server", "run_json", "spawn", "stoker_server", "wait_until"]
