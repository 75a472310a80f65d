"""Where the code of a job comes from, what its attempts ran on, and what is different between two jobs."""
import json
import os
import subprocess

import pytest

import fsck
from code_harness import code_cluster, folder_of, job_of, submit
from harness import wait_until


@pytest.fixture
def cluster(tmp_path):
    with code_cluster(tmp_path) as one:
        yield one
        assert fsck.check(one.redis.client()) == []


def git(root, *args):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *args], cwd=root, check=True,
                   capture_output=True)


def committed(tmp_path, files, name="code"):
    root = folder_of(tmp_path, files, name)
    git(root, "init", "-q", "-b", "trunk")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
    return root, head


def test_where_it_comes_from_is_kept_and_shown(cluster, tmp_path):
    root, head = committed(tmp_path, {"main.py": "print(1)", "other.txt": "x\n", "job.yaml": json.dumps({
        "command": ["/usr/bin/python3", "main.py"], "workdir": ".", "lineage": {"dataset": "v7"}})})
    cluster.start_worker()
    clean = job_of(cluster.cli("submit", root / "job.yaml"))
    lineage = cluster.show(clean)["spec"]["lineage"]
    assert lineage["git_commit"] == head and lineage["git_branch"] == "trunk" and lineage["dataset"] == "v7"
    assert "git_dirty" not in lineage and "git_diff" not in lineage and lineage["folder"] == str(root)
    (root / "other.txt").write_text("changed\n")
    (root / "new.txt").write_text("new\n")
    dirty = job_of(cluster.cli("submit", root / "job.yaml"))
    assert cluster.show(dirty)["spec"]["lineage"]["git_dirty"] == "2 files"
    for job in (clean, dirty):
        assert cluster.wait_final(job)["state"] == "succeeded"
    code = cluster.show(dirty)["spec"]["code"]
    line = f"  code          {code[:12]}… · git {head[:7]} on trunk (dirty, 2 files)\n"
    assert line in cluster.cli("show", dirty).stdout
    patch = cluster.cli("lineage", dirty, "--patch").stdout
    assert "-x\n+changed\n" in patch and "diff --git a/other.txt b/other.txt" in patch
    refused = cluster.cli("lineage", clean, "--patch", check=False)
    assert refused.returncode != 0 and "without uncommitted changes" in refused.stderr
    shown = cluster.cli("lineage", dirty).stdout
    assert f"  code          {code} (4 files, " in shown and "  dataset       v7\n" in shown
    attempts = json.loads(cluster.cli("lineage", dirty, "--json").stdout)["attempts"]
    assert list(attempts) == ["1"]
    assert attempts["1"]["kernel"].startswith("Linux ") and attempts["1"]["host"] == os.uname().nodename
    assert attempts["1"]["python"].endswith(" /usr/bin/python3") and "pytest-" in attempts["1"]["packages"]


def test_a_job_without_code_has_no_lineage(cluster):
    cluster.start_worker()
    job = cluster.submit({"command": "true"})
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert cluster.redis.client().keys("*lineage*") == [] and "lineage" not in cluster.show(job)
    assert "was not submitted with code" in cluster.cli("lineage", job, check=False).stderr


def test_lineage_goes_with_the_job(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "exit $1"})
    cluster.start_worker()
    job = job_of(submit(cluster, {"command": ["sh", "main.sh", "1"], "workdir": ".", "retry": {
        "max_attempts": 13, "backoff": "1ms", "max_backoff": "1ms"}}, root))
    assert cluster.wait_final(job)["state"] == "failed"
    assert sorted(map(int, cluster.show(job)["lineage"])) == list(range(4, 14)), "the newest ten"
    told = [line.split()[1] for line in cluster.cli("lineage", job).stdout.splitlines() if line.startswith("attempt ")]
    assert told == [str(n) for n in range(4, 14)]
    cluster.cli("rm", job)
    assert cluster.redis.client().keys("*lineage*") == []


def test_lineage_is_found_in_the_archive(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "true"})
    cluster.start_worker()
    job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": "."}, root))
    assert cluster.wait_final(job)["state"] == "succeeded"
    was = cluster.show(job)["lineage"]
    cluster.redis.client().hset("stoker:{default}:meta", "max_finished", 0)
    wait_until(lambda: cluster.show(job).get("archived"), 30, "it is archived")
    assert cluster.show(job)["lineage"] == was and was["1"]["kernel"]


def test_diff_shows_only_what_differs(cluster, tmp_path):
    root, _ = committed(tmp_path, {"main.sh": 'echo "step=1 loss=$LR"; echo "step=2 loss=0.1"', "gone.txt": "x",
                                   "same/a": "x", "tool.sh": "x"})
    spec = tmp_path / "job.json"
    spec.write_text(json.dumps({"command": "sh main.sh", "workdir": "code", "env": {"LR": "0.5"}, "tags": ["t"]}))
    cluster.start_worker()
    first = job_of(cluster.cli("submit", spec))
    (root / "gone.txt").unlink()
    (root / "lib").mkdir()
    (root / "lib/new.py").write_text("new")
    (root / "main.sh").write_text((root / "main.sh").read_text() + "; exit 3")
    (root / "tool.sh").chmod(0o755)
    second = job_of(cluster.cli("submit", spec, "--set", "env.LR='0.9'", "--set", "retry.max_attempts=1"))
    for job in (first, second):
        cluster.wait_final(job)
    wait_until(lambda: "loss highest" in cluster.cli("diff", first, second).stdout, what="the points are there")
    found = json.loads(cluster.cli("diff", first, second, "--json").stdout)
    assert found["spec"]["env.LR"] == ["0.5", "0.9"] and found["spec"]["retry.max_attempts"] == [None, 1]
    assert set(found["spec"]) == {"env.LR", "retry.max_attempts", "code"}
    assert list(found["files"]) == ["gone.txt", "lib/new.py", "main.sh", "tool.sh"]
    assert found["lineage"]["git_dirty"] == [None, "4 files"] and "git_commit" not in found["lineage"]
    assert found["outcome"]["state"] == ["succeeded", "failed"]
    assert found["metrics"] == {"loss highest": [0.5, 0.9]}
    assert "machine" not in found and "packages" not in found
    text = cluster.cli("diff", first, second).stdout
    for line in ("  - gone.txt\n", "  + lib/new.py\n", "  ~ main.sh\n", "  ~ tool.sh\n", "0.5 → 0.9\n",
                 "succeeded → failed\n"):
        assert line in text, text
    assert "no difference is known" in cluster.cli("diff", first, first).stdout


def test_the_packages_are_those_of_the_environment(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.py": "print(1)"})
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv/lib").glob("python3*/site-packages")
    (site / "torch-2.9.0.dist-info").mkdir()
    cluster.start_worker()
    python = {"command": ["python3", "main.py"], "workdir": ".", "env": {"PATH": f"{tmp_path}/venv/bin:/usr/bin:/bin"}}
    first = job_of(submit(cluster, python, root))
    assert cluster.wait_final(first)["state"] == "succeeded"
    facts = cluster.show(first)["lineage"]["1"]
    assert facts["packages"] == "torch-2.9.0" and facts["python"].endswith(f" {tmp_path}/venv/bin/python3")
    (site / "torch-2.9.0.dist-info").rename(site / "torch-2.9.1.dist-info")
    (site / "extra_thing-1.dist-info").mkdir()
    second = job_of(submit(cluster, python, root))
    assert cluster.wait_final(second)["state"] == "succeeded"
    assert json.loads(cluster.cli("diff", first, second, "--json").stdout) == {
        "packages": {"extra_thing": [None, "1"], "torch": ["2.9.0", "2.9.1"]}}
