"""The code of a run: a folder packed by `stoker submit`, kept once in the store, cached by workers, and copied for each
attempt."""
import hashlib
import io
import json
import os
import subprocess
import tarfile
from random import Random

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
    path.write_text(json.dumps(spec))
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


def test_it_is_what_git_would_take(cluster, tmp_path):
    root = folder_of(tmp_path, {
        ".gitignore": "*.pyc\n/data/\n!keep.pyc\n", ".stokerignore": "secret.txt\nnotes/*\n!notes/a b\n",
        "main.sh": "find . -type f | LC_ALL=C sort", "a.pyc": "x", "keep.pyc": "x", "data/big": "x", "sub/data/small": "x",
        "secret.txt": "x", "notes/a b": "x", "notes/c": "x", ".git/config": "x", ".hidden": "x",
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
    root = folder_of(tmp_path, {"main.sh": "test ! -L lib/config && cat lib/config", "configs/a": "the config", "lib/b": ""})
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


# ---- on the worker

def test_each_attempt_has_a_copy_that_it_may_change(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "cat state; rm other/b; echo changed > state; exit $1", "state": "original\n",
                                "other/b": "x"})
    cluster.start_worker()
    failing = job_of(submit(cluster, {"command": ["sh", "main.sh", "1"], "workdir": ".", "retry": {
        "max_attempts": 2, "backoff": "10ms"}}, root))
    assert cluster.wait_final(failing)["state"] == "failed"
    fine = job_of(submit(cluster, {"command": ["sh", "main.sh", "0"], "workdir": "."}, root))
    assert cluster.wait_final(fine)["state"] == "succeeded"
    assert said(cluster, failing, 1) == said(cluster, failing, 2) == said(cluster, fine) == ["original"]
    assert any("from the store" in line for line in said(cluster, failing, 1, "stoker"))
    assert any("from the cache" in line for line in said(cluster, failing, 2, "stoker"))
    # the spec of the second one differs, so its code does: it stands in the folder
    assert any("from the store" in line for line in said(cluster, fine, 1, "stoker"))


def cached(cluster):
    folder = cluster.state_dir() / "code"
    return {p.name[:8] for p in folder.iterdir() if p.is_dir()} if folder.exists() else set()


def test_a_warm_worker_needs_no_store(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "echo ran"})
    spec = {"command": "sh main.sh", "workdir": "."}
    cluster.start_worker()
    first = job_of(submit(cluster, spec, root))
    assert cluster.wait_final(first)["state"] == "succeeded"
    second = cluster.show(first)["spec"]
    for path in objects(cluster):
        path.unlink()
    again = cluster.submit(second)
    assert cluster.wait_final(again)["state"] == "succeeded" and said(cluster, again) == ["ran"]


@pytest.mark.parametrize("how", ["flipped", "short", "manifest", "gone"])
def test_what_does_not_verify_is_never_run(cluster, tmp_path, how):
    root = folder_of(tmp_path, {"main.sh": "echo ran"})
    job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": ".", "retry": {
        "max_attempts": 2, "backoff": "10ms"}}, root))
    (manifest,) = [p for p in objects(cluster) if p.name == "manifest.json"]
    (block,) = [p for p in objects(cluster) if p.name != "manifest.json"]
    data = block.read_bytes()
    if how == "flipped":
        block.write_bytes(data.replace(b"echo ran", b"echo RAN"))
    elif how == "short":
        block.write_bytes(data[:-512])
    elif how == "manifest":
        manifest.write_text(manifest.read_text().replace("main.sh", "../n.sh"))
    else:
        manifest.unlink()
    cluster.start_worker()
    end = cluster.wait_final(job)
    assert end["state"] == "failed" and end["attempt"] == "2", end
    assert said(cluster, job, 2) == []
    assert "cannot be used" in end["error"], end
    assert cached(cluster) == set()
    submit(cluster, {"command": "sh main.sh", "workdir": ".", "retry": {
        "max_attempts": 2, "backoff": "10ms"}}, root, "--upload")  # it is whole again
    assert objects(cluster) and block.read_bytes() == data


def test_the_cache_is_bounded_and_spares_what_is_used(cluster, tmp_path):
    cluster.start_worker(options=["--code-cache", "2500000"])
    roots = [folder_of(tmp_path, {"main.sh": "echo ok; while test -e hold; do sleep 0.05; done",
                                  "data": str(i) * 1_000_000}, f"code-{i}") for i in range(4)]
    spec = {"command": "sh main.sh", "workdir": "."}
    codes = []
    for root in roots[:3]:
        job = job_of(submit(cluster, spec, root))
        assert cluster.wait_final(job)["state"] == "succeeded"
        codes.append(cluster.show(job)["spec"]["code"][:8])
    wait_until(lambda: cached(cluster) == set(codes[1:3]), what=f"the oldest of {codes} is gone")
    # used again, the older one of the two is the younger
    job = job_of(submit(cluster, spec, roots[1]))
    assert cluster.wait_final(job)["state"] == "succeeded"
    job = job_of(submit(cluster, spec, roots[3]))
    assert cluster.wait_final(job)["state"] == "succeeded"
    wait_until(lambda: cached(cluster) == {codes[1], cluster.show(job)["spec"]["code"][:8]}, what="one more is gone")


def test_many_at_once_fetch_it_once(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "cat data | wc -c", "data": "x" * 3_000_000})
    spec = cluster.show(job_of(submit(cluster, {"command": "sh main.sh", "workdir": ".", "hold": True}, root)))["spec"]
    del spec["hold"]
    jobs = [cluster.submit({**spec, "resources": {"cpus": 0}}) for _ in range(12)]
    cluster.start_worker()
    for job in jobs:
        assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)
        assert said(cluster, job) == ["3000000"]
    fetched = [job for job in jobs if any("from the store" in line for line in said(cluster, job, 1, "stoker"))]
    assert len(fetched) == 1


TRAIN = """
import os, sys, time
open("state.txt").read() == "original" or sys.exit("not the original")
folder = os.environ["STOKER_CHECKPOINT_DIR"]
step = 0
resume = os.environ.get("STOKER_RESUME")
if resume:
    step = int(open(resume).read())
    print(f"resumed {step}", flush=True)
open("state.txt", "w").write("changed")
while step < 40:
    step += 1
    print(f"step={step} loss=1", flush=True)
    if step % 5 == 0:
        with open(f"{folder}/.new", "w") as f:
            f.write(str(step))
        os.rename(f"{folder}/.new", f"{folder}/step-{step}.txt")
    if step == 12 and not resume:
        time.sleep(60)
    time.sleep(0.01)
"""


def test_a_resume_has_the_code_and_the_checkpoint(cluster, tmp_path):
    root = folder_of(tmp_path, {"train.py": TRAIN, "state.txt": "original"})
    cluster.start_worker()
    job = job_of(submit(cluster, {"command": "python3 train.py", "workdir": ".", "lease": "2s"}, root))
    wait_until(lambda: cluster.job(job).get("checkpoint"), 30, "a checkpoint is committed")
    cluster.kill_everything()
    cluster.start_worker()
    assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)
    assert any(line.startswith("resumed ") for line in said(cluster, job, 2))


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
    status, text = cluster.request("POST", f"/api/v1/code/{'0' * 64}/{'1' * 64}", "data")
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


# ---- where it comes from

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
    assert f"  code          {code[:12]}… · git {head[:7]} on trunk (dirty, 2 files)\n" in cluster.cli("show", dirty).stdout
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
