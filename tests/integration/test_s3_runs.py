"""Whole runs whose checkpoints, and whose archive, are in S3."""
import ctypes
import hashlib
import json
import os
import shutil
import signal

import pytest

from cluster import Cluster
from harness import wait_until
from s3 import KEYS, PART, Faults, https_server

TRAIN = """
import os, signal, struct, sys, json, time
folder, start = os.environ["STOKER_CHECKPOINT_DIR"], 0
if "STOKER_RESUME" in os.environ:
    data = open(os.environ["STOKER_RESUME"], "rb").read()
    start = int(json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]["step"])
    print(f"resumed at {start}", flush=True)
for step in range(start + 1, 7):
    header = json.dumps({"__metadata__": {"step": str(step)},
                         "w": {"dtype": "U8", "shape": [9000000], "data_offsets": [0, 9000000]}}).encode()
    with open(f"{folder}/tmp", "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + os.urandom(9000000))
    os.rename(f"{folder}/tmp", f"{folder}/model-{step}.safetensors")
    print(f"step={step}", flush=True)
    if step <= 3 and not start:
        while not os.path.exists(sys.argv[1] if step == 3 else f"{sys.argv[1]}-{step}"):
            time.sleep(0.05)
    if step == 3 and not start:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def cluster(s3_server, tmp_path, monkeypatch):
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    url = f"s3://runs/{tmp_path.name}"
    with Cluster(tmp_path, scheduler_options=["--store", url],
                 worker_options=["--cpus", "2", "--store", url]) as cluster:
        yield cluster, url


def blocks_hash(data):
    hashes = [hashlib.sha256(data[at:at + PART]).hexdigest() + "\n" for at in range(0, len(data), PART)]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def said(cluster, job):
    return "\n".join(entry.get("stdout", "") for entry in cluster.log_text(job))


def stored(cluster, job):
    """The summaries of its checkpoints by their step."""
    found = cluster.redis.client().hvals(f"stoker:{{default}}:checkpoints:{job.rsplit('-', 1)[1]}")
    return {summary["step"]: summary for summary in map(json.loads, found)}


def train_until_stored(cluster, tmp_path, **spec):
    """A job whose program dies, when tmp_path/go is there, after what its first three steps saved was stored."""
    (tmp_path / "train.py").write_text(TRAIN)
    job = cluster.submit({"command": ["/usr/bin/python3", str(tmp_path / "train.py"), str(tmp_path / "go")],
                          "retry": {"max_attempts": 3, "backoff": "10ms"}, **spec})
    for step in (1, 2, 3):
        wait_until(lambda: step in stored(cluster, job), 30, f"what step {step} saved is stored")
        if step < 3:
            (tmp_path / f"go-{step}").touch()
    return job


def test_a_run_goes_on_from_its_checkpoint_in_s3(cluster, s3_server, tmp_path):
    cluster, url = cluster
    job = train_until_stored(cluster, tmp_path)
    (tmp_path / "go").touch()
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")
    assert "resumed at 3" in said(cluster, job)
    kept = stored(cluster, job)
    for summary in kept.values():
        assert summary["uri"].startswith(url + "/")
        data = s3_server.object(summary["uri"].removeprefix("s3://runs/").replace("manifest.json", "data.tar"))
        assert blocks_hash(data.read_bytes()) == summary["sha256"]
    assert max(kept) == 6 and len(kept) <= 3


def test_a_confined_unpacker_resolves_names_and_checks_certificates(tmp_path, monkeypatch):
    """Everything that it needs for https is within what it may read (lib/store_s3.c)."""
    server = https_server(tmp_path)
    env = {**server.env, "STOKER_S3_CA_FILE": str(tmp_path / "cert"),
           "STOKER_S3_ENDPOINT": f"https://localhost:{server.port}"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    try:
        options = ["--store", "s3://runs/https"]
        with Cluster(tmp_path / "c", scheduler_options=options,
                     worker_options=["--cpus", "2", *options, "--log-level", "debug"]) as cluster:
            job = train_until_stored(cluster, tmp_path)
            (tmp_path / "go").touch()
            assert cluster.wait_final(job)["state"] == "succeeded"
            assert "resumed at 3" in said(cluster, job)
            log = cluster.workers[0].text()
            if ctypes.CDLL(None).syscall(444, None, 0, 1) < 1:
                assert "what unpacks a checkpoint is not confined" in log
                pytest.skip("unproved: this kernel has no Landlock")
            assert "what unpacks a checkpoint is confined" in log
    finally:
        server.stop()


def near_cluster(tmp_path, monkeypatch, faults, *options):
    """Whose worker, but not whose scheduler, asks the store through a proxy that counts."""
    for name, value in faults.env.items():
        monkeypatch.setenv(name, value)
    url = ["--store", f"s3://runs/{tmp_path.name}"]
    return Cluster(tmp_path, scheduler_options=url, worker_options=["--cpus", "2", *url, *options])


@pytest.mark.parametrize("size, asked", [("10GiB", 0), ("0", 1), ("1MiB", 1)])
def test_a_run_that_starts_again_here_downloads_nothing(s3_server, tmp_path, monkeypatch, size, asked):
    faults = Faults(s3_server)
    try:
        with near_cluster(tmp_path, monkeypatch, faults, "--checkpoint-cache", size) as cluster:
            # All are kept: nothing is looked for to be deleted.
            job = train_until_stored(cluster, tmp_path, checkpoint={"keep_last": 9})
            (tmp_path / "go").touch()
            assert cluster.wait_final(job)["state"] == "succeeded" and "resumed at 3" in said(cluster, job)
            assert min(faults.count("GET", "data.tar"), 1) == asked
            # one that could not fit has driven nothing out: its manifest, which does, is there
            assert faults.count("GET", "manifest.json") == (1 if size == "0" else 0)
    finally:
        faults.stop()


def test_a_copy_that_was_spoilt_is_not_used(s3_server, tmp_path, monkeypatch):
    faults = Faults(s3_server)
    try:
        with near_cluster(tmp_path, monkeypatch, faults) as cluster:
            job = train_until_stored(cluster, tmp_path)
            copies = [p for p in (cluster.state_dir() / "checkpoint-cache").iterdir() if p.stat().st_size > 9000000]
            assert copies
            for copy in copies:
                data = bytearray(copy.read_bytes())
                data[8500000] ^= 1
                copy.write_bytes(data)
            (tmp_path / "go").touch()
            assert cluster.wait_final(job)["state"] == "succeeded" and "resumed at 3" in said(cluster, job)
            assert faults.count("GET", "data.tar") > 0
            log = "\n".join(e.get("stoker", "") for e in cluster.log_text(job))
            assert "the copy of it on this machine, which is forgotten now" in log and "cannot be used" not in log
    finally:
        faults.stop()


def unpackers(cluster):
    """Processes below this cluster's worker that unpack a checkpoint."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            is_one = open(f"/proc/{entry}/comm").read() == "stoker-unpack\n"
            found += [int(entry)] if is_one and below(int(entry), cluster.workers[0].pid) else []
        except OSError:
            continue
    return found


def below(pid, ancestor):
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
    return False


def test_a_checkpoint_on_which_every_reader_dies_is_given_up(s3_server, tmp_path, monkeypatch):
    faults = Faults(s3_server)
    try:
        with near_cluster(tmp_path, monkeypatch, faults, "--checkpoint-cache", "0") as cluster:
            job = train_until_stored(cluster, tmp_path)
            before = stored(cluster, job)
            newest = before.pop(3)["uri"].removeprefix("s3://").replace("manifest.json", "data.tar")
            faults.fault = lambda method, path, n: "stall" if method == "GET" and newest in path else None
            (tmp_path / "go").touch()
            for _ in range(3):
                wait_until(lambda: unpackers(cluster), 30, "somebody reads it")
                for pid in unpackers(cluster):
                    os.kill(pid, signal.SIGSEGV)
                wait_until(lambda: not unpackers(cluster), 30, "it is dead")
            done = cluster.wait_final(job)
            assert done["state"] == "succeeded"
            if before:
                assert f"resumed at {max(before)}" in said(cluster, job)
            log = "\n".join(e.get("stoker", "") for e in cluster.log_text(job))
            assert "cannot be used: the helper process stoker-unpack died: signal 11" in log
    finally:
        faults.stop()


def test_a_spoiled_object_is_found_before_it_is_used(cluster, s3_server, tmp_path):
    cluster, _ = cluster
    job = train_until_stored(cluster, tmp_path)
    before = stored(cluster, job)
    summary = before.pop(3)
    data = s3_server.object(summary["uri"].removeprefix("s3://runs/").replace("manifest.json", "data.tar"))
    with open(data, "r+b") as f:
        f.seek(4000000)
        f.write(b"spoiled")
    shutil.rmtree(cluster.state_dir() / "checkpoint-cache")  # else that is used, and all is well
    (tmp_path / "go").touch()
    done = cluster.wait_final(job)
    assert done["state"] == "succeeded" and f"resumed at {max(before)}" in said(cluster, job)


def test_the_programs_of_a_worker_do_not_see_its_keys(cluster):
    cluster, _ = cluster
    job = cluster.submit({"command": ["env"]})
    cluster.wait_final(job)
    assert "STOKER_JOB=" in said(cluster, job) and KEYS["STOKER_S3_SECRET_ACCESS_KEY"] not in said(cluster, job)


def test_what_has_ended_is_shown_from_the_archive_in_s3(cluster):
    cluster, _ = cluster
    jobs = [cluster.submit({"command": ["echo", f"job {i}"], "name": f"n{i}"}) for i in range(3)]
    before = [(cluster.wait_final(job)["state"], said(cluster, job)) for job in jobs]
    redis = cluster.redis.client()
    redis.hset("stoker:{default}:meta", "max_finished", 0)
    wait_until(lambda: redis.exists(*[f"stoker:{{default}}:job:{job.rsplit('-', 1)[1]}" for job in jobs]) == 0, 30,
               "all of it is archived")
    assert [(cluster.show(job)["job"]["state"], said(cluster, job)) for job in jobs] == before
    listed = cluster.api("GET", "/api/v1/jobs?state=archived&limit=10&cursor=")["jobs"]
    assert sorted(one["id"] for one in listed) == sorted(jobs)
