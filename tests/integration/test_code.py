"""The code of a run: a folder packed by `stoker submit`, kept once in the store, cached by workers, and copied for each
attempt."""
import json
import os
from pathlib import Path

import pytest

import fsck
from cluster import Cluster, log_lines
from harness import wait_until


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path, workers=0, schedulers=0, worker_options=["--cpus", "2"],
                 scheduler_options=["--store", f"file://{tmp_path}/store"]) as one:
        one.start_scheduler()
        yield one
        assert fsck.check(one.redis.client()) == []


def folder_of(tmp_path, files, name="code"):
    root = tmp_path / name
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def submit(cluster, spec, root, *options, check=True):
    """A spec file in the folder itself, as people have it."""
    path = root / "job.yaml"
    path.write_text(json.dumps({"retry": {"backoff": "50ms"}, **spec}))
    return cluster.cli("submit", path, *options, check=check)


def job_of(done):
    return done.stdout.strip()


def objects(cluster):
    return sorted(p for p in cluster.store().glob("*/code/*/*") if p.is_file())


def said(cluster, job, attempt=1, stream="stdout"):
    return log_lines(cluster.log_text(job), attempt, stream)


def test_a_folder_is_packed_and_run(cluster, tmp_path):
    root = folder_of(tmp_path, {"train.py": "import lib.net; print(lib.net.NAME)", "lib/net.py": "NAME = 'resnet'",
                                "lib/__init__.py": "", "run.sh": "#!/bin/sh\nexec python3 train.py\n"})
    (root / "run.sh").chmod(0o755)
    cluster.start_worker()
    done = submit(cluster, {"command": ["./run.sh"], "workdir": "."}, root)
    assert done.stderr.startswith("packed 5 files, "), done.stderr
    job = job_of(done)
    assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)
    assert said(cluster, job) == ["resnet"]
    spec = cluster.show(job)["spec"]
    assert "workdir" not in spec and len(spec["code"]) == 64
    assert f"code {spec['code'][:12]}…" in done.stderr
