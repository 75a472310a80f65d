#!/usr/bin/env python3
"""The figures of the queue beside other queues, in one run on one machine: prints a table and writes
<build>/bench-queue.json, one row a figure and peer. Medians of five rounds; everybody has the same Redis, on a Unix
socket, with appendonly yes and appendfsync everysec where the figure does not say otherwise.

    make bench-queue                                   all of them: about ten minutes
    make bench-queue BENCH='--quick'                   a first look: one round of a fifth of the jobs
    make bench-queue BENCH='--only drain --rounds 3'
"""
import argparse
import resource
import sys

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
    return table.report(bench, FIGURES, BUILD / "bench-queue.json")


if __name__ == "__main__":
    sys.exit(main())
