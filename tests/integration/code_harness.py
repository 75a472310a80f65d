"""What the tests of packed code share."""
import json

from cluster import Cluster, log_lines


def code_cluster(tmp_path):
    """A scheduler with a store, and no worker yet."""
    store = ["--store", f"file://{tmp_path}/store"]
    return Cluster(tmp_path, workers=0, worker_options=["--cpus", "2"], scheduler_options=store)


def folder_of(tmp_path, files, name="code"):
    root = tmp_path / name
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def submit(cluster, spec, root, *options, check=True):
    """A spec file in the folder itself, as people have it."""
    path = root / "job.yaml"
    path.write_text(json.dumps(spec))
    return cluster.cli("submit", path, *options, check=check)


def job_of(done):
    return done.stdout.strip()


def objects(cluster):
    return sorted(p for p in cluster.store().glob("*/code/*/*") if p.is_file())


def said(cluster, job, attempt=1, stream="stdout"):
    return log_lines(cluster.log_text(job), attempt, stream)
