"""The commands about checkpoints in the small: by which names they take one, and what they say where there is none."""
import json

import pytest

from test_saved import begin


@pytest.fixture
def here(tmp_path):
    yield from begin(tmp_path, f"file://{tmp_path}/store", {})


def test_they_are_let_go_by_any_name(here):
    job = here.run()
    assert here.cli("checkpoints", "rm", job, "best") == f"{job}  1 checkpoint deleted\n"
    assert here.cli("checkpoints", "rm", job, "100") == f"{job}  1 checkpoint deleted\n"
    assert list(here.records(job)) == ["1-3"]
    assert f"job {job} has no checkpoint 77" in here.fails("checkpoints", "rm", job, "77")
    assert "it is the last good one" in here.fails("checkpoints", "rm", job, "latest")


def test_nothing_to_verify_is_said(here):
    job = here.cluster.submit({"command": ["true"]})
    here.cluster.wait_final(job)
    done = here.cli("checkpoints", "verify", job, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"{job} has no checkpoints that may be resumed from\n"


def test_a_download_of_what_is_not_there_writes_nothing(here, tmp_path):
    job = here.run()
    assert 'not "worst"' in here.fails("download", job, "--to", tmp_path / "x", "--checkpoints", "worst")
    assert "no checkpoint 77" in here.fails("download", job, "--to", tmp_path / "x", "--checkpoints", "77")
    assert not (tmp_path / "x").exists()
    here.cli("download", job, "--to", tmp_path / "x", "--checkpoints", "best")
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == ["checkpoint-1-2", "job.json", "log.txt",
                                                                  "metrics.ndjson"]


def test_a_submit_says_at_once_that_there_is_nothing_to_go_on_from(here, tmp_path):
    job = here.run()
    here.cluster.wait_final(here.cluster.submit({"command": ["true"]}))
    record = {**here.records(job)["1-2"], "state": "quarantined"}
    here.redis.hset("stoker:{default}:checkpoints:1", "1-2", json.dumps(record))
    (tmp_path / "job.yaml").write_text('command: ["true"]\nqueue: other\n')
    for resume, says in (("nowhere-1", "resume: no queue nowhere"), ("default-9", "resume: no job default-9"),
                         ("default-2", "resume: job default-2 has no checkpoint latest"),
                         ("default-1@77", "resume: job default-1 has no checkpoint 77"),
                         ("default-1@1-2", "resume: checkpoint 1-2 of job default-1 is quarantined")):
        assert says in here.fails("submit", tmp_path / "job.yaml", "--resume-from", resume)
    assert not here.redis.exists("stoker:{other}:meta"), "nothing was submitted"
    for good in ("default-1", "default-1@300", "default-1@1-1", "default-1@best"):
        assert here.cli("submit", tmp_path / "job.yaml", "--resume-from", good).startswith("other-")
