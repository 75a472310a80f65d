"""Packed code on the worker: verified, cached within a bound, and copied for each attempt."""
import fcntl
import hashlib

import pytest

import fsck
from code_harness import code_cluster, folder_of, job_of, objects, said, submit
from disk import small_disk
from harness import wait_until
from worker_harness import events


@pytest.fixture
def cluster(tmp_path):
    with code_cluster(tmp_path) as one:
        yield one
        assert fsck.check(one.redis.client()) == []


def test_each_attempt_has_a_copy_that_it_may_change(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "cat state; rm other/b; echo changed > state; exit $1",
                                "state": "original\n", "other/b": "x"})
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


@pytest.mark.parametrize("how", ["flipped", "forged", "short", "manifest", "gone"])
def test_what_does_not_verify_is_never_run(cluster, tmp_path, how):
    root = folder_of(tmp_path, {"main.sh": "echo ran"})
    job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": ".", "retry": {
        "max_attempts": 2, "backoff": "10ms"}}, root))
    (manifest,) = [p for p in objects(cluster) if p.name == "manifest.json"]
    (block,) = [p for p in objects(cluster) if p.name != "manifest.json"]
    data = block.read_bytes()
    if how == "flipped":
        block.write_bytes(data.replace(b"echo ran", b"echo RAN"))
    elif how == "forged":  # the manifest names the forged file, too: what gives it away is the hash of the block
        block.write_bytes(data.replace(b"echo ran", b"echo RAN"))
        manifest.write_text(manifest.read_text().replace(hashlib.sha256(b"echo ran").hexdigest(),
                                                         hashlib.sha256(b"echo RAN").hexdigest()))
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
    again = job_of(submit(cluster, {"command": "sh main.sh", "workdir": ".", "retry": {
        "max_attempts": 2, "backoff": "10ms"}}, root, "--upload"))  # it is whole again
    assert cluster.wait_final(again)["state"] == "succeeded"
    assert objects(cluster) and block.read_bytes() == data


def test_what_somebody_copies_is_not_evicted(cluster, tmp_path):
    cluster.start_worker(options=["--code-cache", "1"])
    codes = []
    for i in range(3):
        root = folder_of(tmp_path, {"main.sh": "echo ok", "data": str(i) * 1000}, f"code-{i}")
        job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": "."}, root))
        assert cluster.wait_final(job)["state"] == "succeeded"
        codes.append(cluster.show(job)["spec"]["code"])
        if i == 0:
            copying = open(cluster.state_dir() / "code" / f"{codes[0]}.lock")
            fcntl.flock(copying, fcntl.LOCK_SH)
    assert cached(cluster) == {codes[0][:8], codes[2][:8]}
    copying.close()
    root = folder_of(tmp_path, {"main.sh": "echo last"}, "last")
    job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": "."}, root))
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert cached(cluster) == {cluster.show(job)["spec"]["code"][:8]}


def test_the_cache_is_bounded_and_the_oldest_goes(cluster, tmp_path):
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
    root = folder_of(tmp_path, {"main.sh": "cat data | wc -c", "data": "x" * 40_000_000})
    spec = cluster.show(job_of(submit(cluster, {"command": "sh main.sh", "workdir": ".", "hold": True}, root)))["spec"]
    del spec["hold"]
    jobs = [cluster.submit({**spec, "resources": {"cpus": 0}}) for _ in range(4)]
    cluster.start_worker()
    for job in jobs:
        assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)
        assert said(cluster, job) == ["40000000"]
    told = [line for job in jobs for line in said(cluster, job, 1, "stoker")]
    assert sum("from the store" in line for line in told) == 1 and not any("cannot" in line for line in told), told


def test_a_store_that_is_not_there_is_waited_for(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "echo ran"})
    job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": "."}, root))
    away = cluster.store().rename(tmp_path / "away")
    cluster.start_worker()
    wait_until(lambda: any("cannot be fetched yet" in line for line in said(cluster, job, 1, "stoker")), 20, "it waits")
    assert cluster.job(job)["state"] == "running"
    if cluster.store().exists():
        cluster.store().rmdir()  # the worker has made an empty one
    away.rename(cluster.store())
    assert cluster.wait_final(job)["state"] == "succeeded" and said(cluster, job) == ["ran"]
    assert cluster.job(job)["attempt"] == "1"


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


def test_what_a_dead_helper_left_does_no_harm(cluster, tmp_path):
    root = folder_of(tmp_path, {"main.sh": "ls"})
    job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": "."}, root))
    code = cluster.show(job)["spec"]["code"]
    left = cluster.state_dir() / "code" / f"{code}.new"
    left.mkdir(parents=True)
    (left / "junk").write_text("half")
    (cluster.state_dir() / "code" / f"{code}.lock").touch()
    other = left.with_name("0" * 64 + ".new")
    (other / "half").mkdir(parents=True)
    other.with_suffix(".lock").touch()
    cluster.start_worker()
    assert cluster.wait_final(job)["state"] == "succeeded" and said(cluster, job) == ["job.yaml", "main.sh"]
    assert not left.exists()
    wait_until(lambda: not other.exists() and not other.with_suffix(".lock").exists(), what="nor that of another code")


def bulky(tmp_path, name, size=6_000_000):
    return folder_of(tmp_path, {"main.sh": "wc -c < data", "data": name[-1] * size}, name)


def test_a_full_disk_takes_the_code_that_nobody_uses(cluster, tmp_path):
    """A quarter of the disk each, in the cache and again in the working folder: the oldest make room."""
    spec = {"command": "sh main.sh", "workdir": ".", "resources": {"cpus": 2}}
    codes = []
    with small_disk(cluster.state_dir(), "26m"):
        cluster.start_worker()
        for i in range(5):
            job = job_of(submit(cluster, spec, bulky(tmp_path, f"code-{i}")))
            assert cluster.wait_final(job)["state"] == "succeeded", cluster.log_text(job)
            assert said(cluster, job) == ["6000000"] and cluster.job(job)["attempt"] == "1"
            assert not any("cannot" in line for line in said(cluster, job, 1, "stoker"))
            codes.append(cluster.show(job)["spec"]["code"][:8])
        assert codes[0] not in cached(cluster) and codes[4] in cached(cluster)


def test_a_worker_without_room_gives_the_job_back(cluster, tmp_path):
    """What could not make room takes nothing from others, leaves nothing half, and the job nothing to answer for."""
    spec = {"command": "sh main.sh", "workdir": ".", "resources": {"cpus": 2}, "retry": {"max_attempts": 1}}
    code = cluster.state_dir() / "code"
    cluster.state_dir().mkdir()
    with small_disk(code) as disk:
        cluster.start_worker()
        before = job_of(submit(cluster, spec, bulky(tmp_path, "before", 1000)))
        assert cluster.wait_final(before)["state"] == "succeeded"
        disk.fill()
        job = job_of(submit(cluster, spec, bulky(tmp_path, "large")))
        wait_until(lambda: any("No space left on device; make room on that disk" in line
                               for line in said(cluster, job, 1, "stoker")), 30, "the log says what is wrong")
        cluster.start_worker(1)
        end = cluster.wait_final(job, 120)
        assert end["state"] == "succeeded" and end["worker"] == "w1" and "errors" not in end, end
        given = events(cluster, job, "job.preempted")
        assert given and all("no room on this worker: " in e["reason"] and e["worker"] == "w0" for e in given), given
        mine = cluster.show(job)["spec"]["code"]
        assert not (code / f"{mine}.new").exists() and not (code / mine).exists()
        assert cached(cluster) == {cluster.show(before)["spec"]["code"][:8]}, "all of it would not have been enough"
