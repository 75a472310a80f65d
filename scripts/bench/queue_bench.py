#!/usr/bin/env python3
"""The figures of the queue beside other queues, in one run on one machine: prints a table and writes
<build>/bench-queue.json, one row a figure and peer. Medians of five rounds; everybody has the same Redis, on a Unix
socket, with appendonly yes and appendfsync everysec where the figure does not say otherwise.

    make bench-queue                                   all of them: about ten minutes
    make bench-queue BENCH='--quick'                   a first look: one round of a fifth of the jobs
    make bench-queue BENCH='--only drain --rounds 3'
"""
import argparse
import os
import platform
import resource
import sys
import time

import table
from figures_cost import cost, memory, shapes
from figures_queue import bulk, drain, latency, single, waiting
from figures_run import logs, paused_worker, processes, start
from measure import BUILD

FIGURES = [drain, bulk, single, latency, processes, logs, cost, shapes, memory, waiting, paused_worker, start]


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is taken (default 5)")
    parser.add_argument("--jobs", type=int, default=1000000, help="in Redis, for what calls cost (default 1000000)")
    parser.add_argument("--only", nargs="+", choices=[f.__name__ for f in FIGURES], help="these figures")
    parser.add_argument("--quick", action="store_true", help="one round, a fifth of the jobs, --jobs 100000")
    bench = parser.parse_args()
    if bench.quick:
        bench.rounds, bench.jobs = 1, min(bench.jobs, 100000)
    bench.scaled = lambda jobs: jobs // 5 if bench.quick else jobs
    return bench


def main():
    bench = options()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a thousand workers at both ends
    print(f"{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}, "
          f"load before: {os.getloadavg()[0]:.1f}", flush=True)
    rows = []
    for figure in FIGURES:
        if bench.only and figure.__name__ not in bench.only:
            continue
        started = time.monotonic()
        found = figure(bench)
        for one in found:
            print(table.line(one), flush=True)
        print(f"    {figure.__name__}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        rows += found
        table.write(BUILD / "bench-queue.json", rows)
    missed = [one["figure"] for one in rows if one["holds"] is False]
    print(f"{len(missed)} of {sum(one['must'] is not None for one in rows)} bounds missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
