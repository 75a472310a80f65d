"""Which branches of what claims, renews, finishes, commits and restores were taken in the programs, by gcov."""
import json
import subprocess

from paths_lua import Branch

# Whole files, a path each.
PATHS = {
    "claim": ("queue/jobs_worker.c", "worker/claims.c"),
    "renew, finish": ("queue/jobs_runner.c", "worker/runner_lease.c", "worker/runner_report.c", "worker/outcome.c"),
    "commit": ("worker/checkpoints.c", "worker/ship.c", "worker/runner_ship.c"),
    "restore": ("worker/restore.c", "worker/checkpoint_restore.c", "worker/runner_restore.c", "worker/unpack.c"),
}


def branches(build, root, files):
    for path in files:
        source = [" ".join(line.split()) for line in (root / path).read_text().splitlines()]
        said = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities",
                               build / path.replace(".c", ".gcno")], check=True, capture_output=True, text=True).stdout
        for file in json.loads(said)["files"]:
            if not file["file"].endswith(path):
                continue  # an inline function of a header
            for line in file["lines"]:
                many = len(line["branches"])
                for i, branch in enumerate(line["branches"], 1):
                    place = (path, line["function_name"], source[line["line_number"] - 1], f"{i} of {many}")
                    yield Branch(place, line["line_number"], branch["count"] > 0)
