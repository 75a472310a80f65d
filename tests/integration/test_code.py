"""The code of a job: a folder packed by `stoker submit` as git would take it, within bounds, kept once in the store."""
import hashlib
import io
import json
import os
import subprocess
import tarfile
from random import Random

import pytest

import fsck
from cluster import Cluster
from code_harness import code_cluster, folder_of, job_of, objects, said, submit
from harness import wait_until


@pytest.fixture
def cluster(tmp_path):
    with code_cluster(tmp_path) as one:
        yield one
        assert fsck.check(one.redis.client()) == []


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


def test_it_is_what_git_would_take(cluster, tmp_path):
    root = folder_of(tmp_path, {
        ".gitignore": "*.pyc\n/data/\n!keep.pyc\n", ".stokerignore": "secret.txt\nnotes/*\n!notes/a b\n",
        "main.sh": "find . -type f | LC_ALL=C sort", "a.pyc": "x", "keep.pyc": "x", "data/big": "x",
        "sub/data/small": "x", "secret.txt": "x", "notes/a b": "x", "notes/c": "x", ".git/config": "x", ".hidden": "x",
        "sub/.gitignore": "b*\n!bar\n", "sub/baz": "x", "sub/bar": "x", "größe/" + "lang/" * 25 + "wert": "x"})
    cluster.start_worker()
    job = job_of(submit(cluster, {"command": ["sh", "main.sh"], "workdir": "."}, root))
    assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)
    assert said(cluster, job) == ["./.gitignore", "./.hidden", "./.stokerignore", "./größe/" + "lang/" * 25 + "wert",
                                  "./job.yaml", "./keep.pyc", "./main.sh", "./notes/a b", "./sub/.gitignore",
                                  "./sub/bar", "./sub/data/small"]


def test_the_rules_of_the_repository_hold_in_a_folder_of_it(cluster, tmp_path):
    root = folder_of(tmp_path, {"repo/.git/info/exclude": "*.tmp\n", "repo/.gitignore": "/models/x/build\n*.o\n",
                                "repo/models/x/main.sh": "find . -type f | LC_ALL=C sort", "repo/models/x/build/a": "x",
                                "repo/models/x/a.o": "x", "repo/models/x/b.tmp": "x", "repo/models/x/c": "x"})
    cluster.start_worker()
    job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": "."}, root / "repo/models/x"))
    assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)
    assert said(cluster, job) == ["./c", "./job.yaml", "./main.sh"]


def test_the_same_contents_are_sent_once(cluster, tmp_path):
    first = submit(cluster, {"command": "true", "workdir": "."}, folder_of(tmp_path, {"a.txt": "one"}))
    there = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in objects(cluster)}
    assert len(there) == 2  # one block and the manifest
    again = submit(cluster, {"command": "true", "workdir": "."}, folder_of(tmp_path, {"a.txt": "one"}, "elsewhere"))
    assert first.stderr.startswith("packed 2 files") and "is there already (2 files" in again.stderr, again.stderr
    assert {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in objects(cluster)} == there
    other = submit(cluster, {"command": "true", "workdir": "."}, folder_of(tmp_path, {"a.txt": "two"}))
    assert other.stderr.startswith("packed 2 files")
    specs = [cluster.show(job_of(done))["spec"]["code"] for done in (first, again, other)]
    assert specs[0] == specs[1] != specs[2]


def test_what_was_sent_half_is_sent_again(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "cat a.txt", "a.txt": "whole"})
    first = submit(cluster, {"command": "sh main.sh", "workdir": "."}, root)
    (block,) = [p for p in objects(cluster) if p.name != "manifest.json"]
    block.unlink()  # as if the upload had died, or somebody had cleaned up
    again = submit(cluster, {"command": "sh main.sh", "workdir": "."}, root)
    assert again.stderr.startswith("packed 3 files"), again.stderr
    cluster.start_worker()
    for done in (first, again):
        assert cluster.wait_final(job_of(done))["state"] == "succeeded"


@pytest.mark.parametrize("what", ["size", "count"])
def test_too_much_is_refused_and_says_what(cluster, tmp_path, what):
    if what == "size":
        root = folder_of(tmp_path, {"a": "x", "deep/weights.bin": "x" * 3_000_000, "b.bin": "x" * 1_500_000})
        said_so = "the largest: deep/weights.bin (2.9 MiB), b.bin (1.4 MiB)"
    else:
        root = folder_of(tmp_path, {"a": "x", "z": "x"})
        (root / "data").mkdir()
        for i in range(10_001):
            (root / "data" / str(i)).touch()
        said_so = "has more than 10000 files, too many to be packed; of the first, 9999 are in data"
    done = submit(cluster, {"command": "true", "workdir": "."}, root, "--code-max", "4MiB", check=False)
    assert done.returncode == 2 and said_so in done.stderr and ".stokerignore" in done.stderr, done.stderr
    assert cluster.api("GET", "/api/v1/jobs")["jobs"] == [] and objects(cluster) == []


@pytest.mark.parametrize("link,why", [
    ("../outside.txt", "is a link out of the folder"), ("/etc/passwd", "is a link out of the folder"),
    ("nowhere", "is a link that leads nowhere"), ("lib", "which is no file")])
def test_a_link_that_leaves_the_folder_is_refused(cluster, tmp_path, link, why):
    (tmp_path / "outside.txt").write_text("secret")
    root = folder_of(tmp_path, {"main.sh": "true", "lib/a": "x"})
    (root / "link").symlink_to(link)
    done = submit(cluster, {"command": "true", "workdir": "."}, root, check=False)
    assert done.returncode == 2 and why in done.stderr and ".stokerignore" in done.stderr, done.stderr
    (root / ".stokerignore").write_text("/link\n")
    submit(cluster, {"command": "true", "workdir": "."}, root)


def test_a_link_to_a_file_inside_is_that_file(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "test ! -L lib/config && cat lib/config", "configs/a": "the config",
                                "lib/b": ""})
    (root / "lib/config").symlink_to("../configs/a")
    cluster.start_worker()
    job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": "."}, root))
    assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)
    assert said(cluster, job) == ["the config"]


def test_a_bad_spec_is_refused_before_anything_is_packed(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "true"})
    spec = root / "bad.yaml"
    spec.write_text("command: sh main.sh\nworkdir: .\nresources:\n  gpus: two\n")
    done = cluster.cli("submit", spec, check=False)
    assert done.returncode == 2
    assert 'bad.yaml:4: resources.gpus: expected an integer from 0 to 1024, got "two"' in done.stderr, done.stderr
    spec.write_text("command: sh main.sh\nworkdir: ./nothing\n")
    done = cluster.cli("submit", spec, check=False)
    assert done.returncode == 2 and "cannot open the folder" in done.stderr, done.stderr
    assert "bad.yaml:2: workdir:" in done.stderr, done.stderr
    assert objects(cluster) == []


def test_other_doors_say_who_packs(cluster):
    said_so = "workdir: expected an absolute path on the worker (stoker submit packs the folder of a relative one)"
    status, text = cluster.request("POST", "/api/v1/jobs", {"command": "true", "workdir": "."})
    assert status == 400 and said_so in text
    status, text = cluster.request("POST", "/api/v1/jobs", {"command": "true", "workdir": "/w", "code": "0" * 64})
    assert status == 400 and "code: not together with workdir" in text
    client = cluster.redis.client()
    with pytest.raises(Exception, match="not together with workdir"):
        client.fcall("stoker_submit", 1, "stoker:{default}:meta",
                     json.dumps({"command": "true", "workdir": "/w", "code": "0" * 64}))


def test_a_graph_and_a_sweep_pack_a_folder_once(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": 'echo "$1$lr"', "other/main.sh": "echo other"})
    cluster.start_worker()
    done = submit(cluster, {"jobs": [
        {"name": "a", "command": ["sh", "main.sh", "first"], "workdir": "."},
        {"name": "b", "command": ["sh", "main.sh", "second"], "workdir": "../code", "after": ["a"]},
        {"name": "c", "command": ["sh", "main.sh"], "workdir": "other", "after": ["b"]}]}, root)
    assert done.stderr.count("packed ") == 2, done.stderr
    ids = done.stdout.split()
    for job, line in zip(ids, ["first", "second", "other"]):
        assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)
        assert said(cluster, job) == [line]
    done = submit(cluster, {"command": ["sh", "main.sh"], "workdir": ".", "sweep": {"grid": {"lr": [1, 2, 3]}}}, root)
    assert done.stderr.count("packed ") == 1, done.stderr
    for job, line in zip(done.stdout.split(), "123"):
        assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)
        assert said(cluster, job) == [line]


def test_the_option_packs_a_folder_from_where_one_stands(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "echo packed"})
    spec = folder_of(tmp_path, {"job.json": json.dumps({"command": "sh main.sh"})}, "specs") / "job.json"
    cluster.start_worker()
    done = cluster.cli("submit", spec, "--workdir", os.path.relpath(root))
    assert cluster.wait_final(job_of(done))["state"] == "succeeded"
    dry = cluster.cli("submit", spec, "--workdir", root, "--dry-run")
    assert "nothing was uploaded" in dry.stderr, dry.stderr


def test_several_blocks(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "sha256sum big | cut -c1-64", "z": "end"})
    data = os.urandom(1 << 20) * 20
    (root / "big").write_bytes(data)
    cluster.start_worker()
    job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": "."}, root))
    assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)

    assert said(cluster, job) == [hashlib.sha256(data).hexdigest()]
    assert len(objects(cluster)) == 4


def test_a_block_that_is_another_is_refused(cluster):
    status, text = cluster.request("POST", f"/api/v1/code/{'0' * 64}/{'1' * 64}", "data",
                                   {"Content-Type": "application/octet-stream"})
    assert status == 400 and "its SHA-256 is another one" in text
    status, text = cluster.request("POST", f"/api/v1/code/{'0' * 64}", '{"version":1}')
    assert status == 400 and "manifest" in text
    status, text = cluster.request("GET", f"/api/v1/code/{'0' * 64}")
    assert status == 404
    assert objects(cluster) == []


def random_rules(random, names):
    rules = []
    for _ in range(random.randint(2, 8)):
        parts = [random.choice([*names, "*", "**", "?", "a*", "*b", "[ab]", "[!a]b"])
                 for _ in range(random.choice([1, 1, 1, 2, 3]))]
        rules.append(random.choice(["", "", "", "!"]) + random.choice(["", "", "/"]) + "/".join(parts) +
                     random.choice(["", "", "", "/"]))
    return "\n".join(rules) + "\n"


@pytest.mark.parametrize("seed", range(6))
def test_it_agrees_with_git(cluster, tmp_path, seed):
    """Random folders and rules: what is packed is what git would show, and any tar can read it."""
    random, names = Random(seed), ["a", "b", "ab", "ba", "c.o"]
    for n in range(8):
        root = tmp_path / f"folder-{n}"
        files = {"/".join(random.choice(names) for _ in range(random.randint(1, 4))) for _ in range(40)}
        files = {f for f in files if not any(other.startswith(f + "/") for other in files)}
        for path in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(path * random.randint(0, 300))
        for folder in [root, *(p for p in root.rglob("*") if p.is_dir() and random.random() < 0.3)]:
            (folder / ".gitignore").write_text(random_rules(random, names) + "!/.gitignore\n!/job.yaml\n")
        subprocess.run(["git", "init", "-q", root], check=True)
        (root / "job.yaml").write_text(json.dumps({"command": "true", "workdir": ".", "hold": True}))
        wanted = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, check=True,
                                capture_output=True).stdout.decode().strip("\0").split("\0")
        code = cluster.show(job_of(cluster.cli("submit", root / "job.yaml")))["spec"]["code"]
        manifest = cluster.api("GET", f"/api/v1/code/{code}")
        assert [f["path"] for f in manifest["files"]] == sorted(wanted)
        (blocks,) = cluster.store().glob(f"*/code/{code}")
        tar = b"".join((blocks / block).read_bytes() for block in manifest["blocks"])
        with tarfile.open(fileobj=io.BytesIO(tar)) as packed:
            members = packed.getmembers()
            assert [m.name for m in members] == sorted(wanted)
            for m in members:
                assert packed.extractfile(m).read() == (root / m.name).read_bytes()
                assert (m.mtime, m.uid, m.mode) == (0, 0, 0o644)


def test_through_s3(s3_server, tmp_path, monkeypatch):
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    store = ["--store", f"s3://runs/{tmp_path.name}"]
    root = folder_of(tmp_path, {"main.sh": "sha256sum big | cut -c1-64"})
    data = os.urandom(1 << 20) * 9
    (root / "big").write_bytes(data)
    with Cluster(tmp_path, scheduler_options=store, worker_options=["--cpus", "2", *store]) as cluster:
        done = submit(cluster, {"command": "sh main.sh", "workdir": "."}, root)
        assert cluster.wait_final(job_of(done))["state"] == "succeeded", cluster.log_text(job_of(done))
        assert said(cluster, job_of(done)) == [hashlib.sha256(data).hexdigest()]
        assert "is there already" in submit(cluster, {"command": "sh main.sh", "workdir": "."}, root).stderr


def test_a_schedule_has_code(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "echo fired"})
    cluster.start_worker()
    done = submit(cluster, {"command": "sh main.sh", "workdir": ".", "schedule": {"name": "n", "every": "1s"}}, root)
    assert done.stderr.startswith("packed 2 files"), done.stderr
    ended = wait_until(lambda: cluster.api("GET", "/api/v1/jobs?state=succeeded")["jobs"], 20, "one has run")
    assert said(cluster, ended[0]["id"]) == ["fired"]
    cluster.api("DELETE", "/api/v1/schedules/n")
    wait_until(lambda: all(
        job["state"] == "succeeded" for job in cluster.api("GET", "/api/v1/jobs")["jobs"]),
               what="the last one has ended")


def test_training_data_beside_the_spec_stays_relative_when_packed(cluster, tmp_path):
    root = folder_of(tmp_path, {"text.txt": "abc"})
    spec = {"backend": "tinygrad", "train": {"task": "language-model", "text": "text.txt"}, "hold": True}
    packed = cluster.show(job_of(submit(cluster, {**spec, "workdir": "."}, root)))["spec"]
    plain = cluster.show(job_of(submit(cluster, spec, root)))["spec"]
    assert packed["train"]["text"] == "text.txt" and plain["train"]["text"] == str(root / "text.txt")
