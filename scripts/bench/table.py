"""The rows of a benchmark: one a figure and peer, judged, printed, written as JSON."""
import json
import operator

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
