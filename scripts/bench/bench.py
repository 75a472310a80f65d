#!/usr/bin/env python3
"""The figures of the first run, measured on real processes: prints a table and writes <build>/bench-run.json.

    make bench          needs what `make check` needs

 - submit to the program's first instruction, at low load, with the durable settings of `stoker up`
 - an idle worker's memory and processor time
 - what one submit costs Redis
"""
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from cluster import Cluster, UnixConnection  # noqa: E402
from harness import BUILD, wait_until  # noqa: E402

PROGRAM = BUILD / "bench-first-instruction"


def stamps(path):
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def submit_to_start(cluster, folder, runs=100):
    """Milliseconds from before the request is sent to the clock that the program reads first."""
    out, spans = folder / "starts", []
    connection = UnixConnection(cluster.socket_of())
    spec = json.dumps({"name": "latency", "command": [str(PROGRAM), str(out)]})
    for i in range(runs):
        sent = time.monotonic_ns()
        connection.request("POST", "/api/v1/jobs", spec, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        job = json.loads(answer.read())["id"]
        wait_until(lambda: len(stamps(out)) > i, 20, f"{job} has started", every=0.002)
        spans.append((stamps(out)[i] - sent) / 1e6)
        cluster.wait_final(job)
        time.sleep(0.3)  # low load: what the run before left to do is done
    return spans


def idle(cluster, seconds=30):
    """(MB resident, percent of a core) of the worker with nothing to do."""
    pid = cluster.workers[0].pid

    def ticks():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    before = ticks()
    time.sleep(seconds)  # what is measured is this very span
    used = (ticks() - before) / os.sysconf("SC_CLK_TCK")
    status = Path(f"/proc/{pid}/status").read_text()
    resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    return resident / 1024, 100 * used / seconds


def submit_cost(cluster, calls=2000):
    """Microseconds of Redis' processor in one stoker_submit, by Redis' own account."""
    redis = cluster.redis.client()
    redis.sadd("stoker:queues", "cost")
    wait_until(lambda: redis.exists("stoker:{cost}:meta"), 10, "the queue is made")
    redis.config_resetstat()
    pipe = redis.pipeline(transaction=False)
    for _ in range(calls):
        pipe.execute_command("FCALL", "stoker_submit", 1, "stoker:{cost}:meta", '{"name":"cost","command":["true"]}')
    pipe.execute()
    return redis.info("commandstats")["cmdstat_fcall"]["usec_per_call"]


def median(values):
    return round(statistics.median(values), 3)


def main():
    subprocess.run(["cc", "-O2", "-o", PROGRAM, ROOT / "scripts/bench/first_instruction.c"], check=True)
    folder = Path(tempfile.mkdtemp(prefix="stoker-bench-"))
    try:
        with Cluster(folder / "c") as cluster:
            wait_until(lambda: cluster.api("GET", "/api/v1/workers")["workers"], 20, "the worker is there")
            submit_to_start(cluster, folder / "c", runs=3)
            (folder / "c" / "starts").unlink()
            starts = submit_to_start(cluster, folder / "c")
            resident, percent = idle(cluster)
            cost = submit_cost(cluster)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [
        ("submit sent to first instruction, median", median(starts), "ms", 5),
        ("submit sent to first instruction, worst of %d" % len(starts), round(max(starts), 3), "ms", None),
        ("idle worker, resident", round(resident, 2), "MB", 15),
        ("idle worker, processor", round(percent, 3), "% of a core", 0.1),
        ("stoker_submit, processor of Redis", round(cost, 1), "us a call", None),
    ]
    figures = [{"figure": f, "value": v, "unit": u, "peer": None, "peer_value": None, "ratio": None, "must": m,
                "holds": m is None or v < m} for f, v, u, m in rows]
    print(f"{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}")
    for row in figures:
        must = f"under {row['must']}" if row["must"] else ""
        print(f"{row['figure']:45} {row['value']:>10} {row['unit']:12} {must:12} {'' if row['holds'] else 'MISSED'}")
    (BUILD / "bench-run.json").write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if all(row["holds"] for row in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
