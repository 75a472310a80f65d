"""Which branches of the function library tests took: the numbers that it wrote into the logs of their Redis servers."""
import json
import re
from collections import namedtuple

# place: file, function, code, outcome: what names a branch, however lines move.
Branch = namedtuple("Branch", "place line is_reached")
OUTCOMES = {("operand", True): "true", ("operand", False): "false", ("function", True): "called",
            ("loop", True): "entered", ("loop", False): "passed by"}


def numbers_of(folder):
    """Of every log below: what the library said of itself there."""
    found = set()
    for path in folder.rglob("*redis*.log"):
        with open(path, "rb") as log:
            for line in log:
                said = re.search(rb" # stoker-branch (-?\d+)$", line)
                if said:
                    found.add(int(said[1]))
    return found


def branches(build, folder):
    reached = numbers_of(folder)
    for number, branch in enumerate(json.loads((build / "branches.json").read_text()), 1):
        for outcome in branch["outcomes"]:
            place = (branch["file"], branch["function"], branch["text"], OUTCOMES[branch["kind"], outcome])
            yield Branch(place, branch["line"], (number if outcome else -number) in reached)
