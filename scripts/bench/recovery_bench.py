#!/usr/bin/env python3
"""How fast stoker recovers and how little is lost: prints a table and writes <build>/bench-recovery.json. Real
processes and real kills; what runs is tests/tools/simulated_training.c.

    make bench-recovery                           all of them: about 20 minutes; needs root, network namespaces and nft
    make bench-recovery BENCH='--quick'           a first look: a fifth of the kills, Redis away for 15 s
    make bench-recovery BENCH='--only machine --seed 7'
"""
import argparse
import sys

import table
from measure import BUILD
from figures_kill import machine, outage, runner
from figures_lost import lost

FIGURES = [runner, machine, lost, outage]


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=20261127, help="of when what is killed (default 20261127)")
    parser.add_argument("--only", nargs="+", choices=[f.__name__ for f in FIGURES], help="these figures")
    parser.add_argument("--quick", action="store_true", help="a fifth of the kills, Redis away for 15 s")
    bench = parser.parse_args()
    bench.scaled = lambda count: max(count // 5, 1) if bench.quick else count
    bench.away_s = 15 if bench.quick else 60
    bench.machine_s = None  # until it was measured
    return bench


def main():
    bench = options()
    return table.report(bench, FIGURES, BUILD / "bench-recovery.json")


if __name__ == "__main__":
    sys.exit(main())
