"""The rows of a benchmark: one a figure and peer, judged, printed, written as JSON."""
import json
import operator
import os
import platform
import sys
import time

COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def rounded(value):
    """Four digits are more than the noise leaves true."""
    if value is None:
        return None
    return float(f"{value:.4g}") if abs(value) < 1000 else round(value)


def row(figure, value, unit, peer=None, peer_value=None, must=None, note=None):
    """must is "ratio >= 1.5" or "value < 10"; without a peer's value there is no ratio, and what could not be judged
    (holds is None) is no success."""
    ratio = value / peer_value if value is not None and peer_value else None
    holds = None
    if must:
        what, compare, bound = must.split()
        measured = {"ratio": ratio, "value": value}[what]
        if measured is not None:
            holds = COMPARE[compare](measured, float(bound))
    return {"figure": figure, "value": rounded(value), "unit": unit, "peer": peer, "peer_value": rounded(peer_value),
            "ratio": rounded(ratio), "must": must, "holds": holds, "note": note}


def line(one):
    def text(value):
        return "-" if value is None else f"{value:g}" if abs(value) < 1e6 else str(round(value))
    verdict = {True: "holds", False: "MISSED", None: "not measured" if one["must"] else ""}[one["holds"]]
    peer = f"{one['peer']} {text(one['peer_value'])}" if one["peer"] else ""
    ratio = f"x {text(one['ratio'])}" if one["ratio"] is not None else ""
    note = f"  ({one['note']})" if one["note"] else ""
    return (f"{one['figure']:52} {text(one['value']):>9} {one['unit']:9} {peer:32} {ratio:9} "
            f"{one['must'] or '':14} {verdict}{note}")


def write(path, rows):
    path.write_text(json.dumps(rows, indent=1) + "\n")


def report(bench, figures, path):
    """Measures those that are wanted (bench.only), prints and writes what is known after each; 1 if a bound is missed.
    """
    print(f"{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}, "
          f"load before: {os.getloadavg()[0]:.1f}", flush=True)
    rows = []
    for figure in figures:
        if bench.only and figure.__name__ not in bench.only:
            continue
        started = time.monotonic()
        found = figure(bench)
        for one in found:
            print(line(one), flush=True)
        print(f"    {figure.__name__}: {time.monotonic() - started:.0f} s, load {os.getloadavg()[0]:.1f}",
              file=sys.stderr, flush=True)
        rows += found
        write(path, rows)
    missed = [one["figure"] for one in rows if one["holds"] is False]
    print(f"{len(missed)} of {sum(one['must'] is not None for one in rows)} bounds missed")
    return 1 if missed else 0
