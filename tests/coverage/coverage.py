"""coverage.py BUILD: which branches the tests that ran against this build (make COVERAGE=1) did not reach.

Of the function library every branch counts (instrument.py says what a branch is), of the programs those of the files
that claim, renew, finish, commit and restore, as gcov counts them. unreached.txt names each that is not reached and
says why. What is missing in it fails, and so does what cannot be reached by what it says there, and is.

    coverage.py BUILD list     prints what unreached.txt lacks, as it is written there"""
import sys
from collections import Counter
from pathlib import Path

import paths_c
import paths_lua

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "scripts/bench"))
import table  # noqa: E402

NOT_YET = "not yet reached"  # the one reason that is none


def listed():
    """place → reason. A reason stands at the start of a line, above the places that it is of."""
    found, reason = {}, None
    for line in (HERE / "unreached.txt").read_text().splitlines():
        if line.startswith(" "):
            found[tuple(line.strip().split(" | "))] = reason
        elif line and not line.startswith("#"):
            reason = line
    return found


def named(branches):
    """place → branch; what is written alike in one function is numbered."""
    found, count = {}, Counter()
    for branch in branches:
        count[branch.place] += 1
        n = count[branch.place]
        found[branch.place if n == 1 else (*branch.place[:-1], f"{branch.place[-1]} ({n})")] = branch
    return found


def judge(name, branches, known, rows):
    """Prints what is wrong with the list; answers whether nothing is."""
    found = named(branches)
    missing = [place for place, branch in found.items() if not branch.is_reached and place not in known]
    reached = [place for place in known if place in found and found[place].is_reached]
    wrong = [place for place in reached if known[place] != NOT_YET]
    for place in missing:
        print(f"{place[0]}:{found[place].line}: not reached, and not in unreached.txt: {' | '.join(place)}")
    for place in wrong:
        print(f"{place[0]}:{found[place].line}: reached, and unreached.txt says: {known[place]}: {' | '.join(place)}")
    if len(reached) > len(wrong):
        print(f"{name}: {len(reached) - len(wrong)} of what unreached.txt has as {NOT_YET} were reached: take them out")
    why = Counter(known.get(place, NOT_YET) for place, branch in found.items() if not branch.is_reached)
    not_yet = why.pop(NOT_YET, 0)
    rows += [table.row(f"branches of {name}", len(found), "branches"),
             table.row(f"branches of {name} that tests reach", len(found) - not_yet - sum(why.values()), "branches"),
             table.row(f"branches of {name} that nothing can reach, named", sum(why.values()), "branches"),
             table.row(f"branches of {name} that tests do not reach", not_yet, "branches", must="value <= 0")]
    return not missing and not wrong


def main():
    build = ROOT / sys.argv[1]
    known, rows = listed(), []
    lua = list(paths_lua.branches(build, build / "coverage"))
    parts = {path: list(paths_c.branches(build, ROOT, files)) for path, files in paths_c.PATHS.items()}
    everything = named(lua + [b for part in parts.values() for b in part])
    if sys.argv[2:] == ["list"]:
        for place, branch in everything.items():
            if not branch.is_reached and place not in known:
                print("    " + " | ".join(place))
        return
    is_true = judge("the function library", lua, known, rows)
    for path, part in parts.items():
        is_true = judge(f"C, {path}", part, known, rows) and is_true
    for place, reason in known.items():
        if place not in everything:
            print(f"unreached.txt: there is no such branch: {' | '.join(place)}")
            is_true = is_true and reason == NOT_YET
    for row in rows:
        print(table.line(row))
    table.write(build / "bench-coverage.json", rows)
    sys.exit(not is_true)


if __name__ == "__main__":
    main()
