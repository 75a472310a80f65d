"""What need not be stored: frozen weights beside a small adapter, which did not change since the last checkpoint of the
attempt; and what compresses well, which is stored smaller. All else goes on as before. Over file:/// and over S3."""
import hashlib
import json
import os
import signal
import tarfile

import pytest

import fsck
from cluster import Cluster, log_lines
from harness import wait_until
from s3 import Store

MIB = 1 << 20

# Saves base.bin (once, or again when told so) and adapter.bin into one folder, and announces it; goes on when its gate
# is there. A gate's content says what is done to base.bin before the next save.
TRAINER = """
import hashlib, os, random, sys, time
gates, folder = sys.argv[1], os.environ["STOKER_CHECKPOINT_DIR"] + "/all"
resume, begin = os.environ.get("STOKER_RESUME"), int(os.environ.get("STOKER_RESUME_STEP", 0))
if resume:
    for name in ("base.bin", "adapter.bin"):
        print(name, hashlib.sha256(open(f"{resume}/{name}", "rb").read()).hexdigest(), flush=True)
os.makedirs(folder, exist_ok=True)

def write(name, data):
    with open(f"{folder}/{name}", "wb") as f:
        f.write(data)

def base(seed):
    write("base.bin", random.Random(seed).randbytes(20 << 20))
    time.sleep(0.2)  # older than any clock's step when it is read

if not resume:
    base(0)
for step in range(begin + 100, 700, 100):
    write("adapter.bin", b"%d " % step * int(os.environ.get("TIMES", 1000)))
    print(f"step={step}", flush=True)
    said = '{"t":"checkpoint","path":"%s","step":%d}\\n' % (folder, step)
    os.write(int(os.environ["STOKER_CONTROL_FD"]), said.encode())
    while not os.path.exists(f"{gates}/{step}"):
        time.sleep(0.02)
    if open(f"{gates}/{step}").read() == "rewrite":
        base(step)
"""


class Frozen:
    def __init__(self, cluster, url, tmp_path, env):
        self.cluster, self.url, self.tmp_path, self.store = cluster, url, tmp_path, Store(env, url)
        self.redis = cluster.redis.client()
        (tmp_path / "train.py").write_text(TRAINER)
        self.gates = tmp_path / "gates"
        self.gates.mkdir()

    def submit(self, times=1000, **checkpoint):
        return self.cluster.submit({"command": ["/usr/bin/python3", str(self.tmp_path / "train.py"), str(self.gates)],
                                    "env": {"TIMES": str(times)}, "checkpoint": {"keep_last": 9, **checkpoint}})

    def records(self, job):
        found = self.redis.hgetall(f"stoker:{{default}}:checkpoints:{job.rsplit('-', 1)[1]}")
        return {id: json.loads(text) for id, text in found.items()}

    def saved(self, job, step):
        wait_until(lambda: any(r["step"] == step and r["state"] == "committed" for r in self.records(job).values()),
                   30, f"{job} has saved step {step}")

    def go(self, job, step, what=""):
        (self.gates / f"{step}.part").write_text(what)
        (self.gates / f"{step}.part").rename(self.gates / str(step))
        if step < 600:
            self.saved(job, step + 100)

    def key(self, job, id):
        return self.records(job)[id]["uri"].removeprefix(self.url + "/").removesuffix("manifest.json") + "data.tar"

    def verify(self, job):
        done = self.cluster.cli("checkpoints", "verify", job, check=False)
        return [line.split() for line in done.stdout.splitlines()]

    def kill(self, job):
        """The runner, and everything it knows."""
        folder, = self.cluster.state_dir().glob(f"runs/{job}-*")
        os.kill(int((folder / "pid").read_text().split()[0]), signal.SIGKILL)

    def resumed(self, job, attempt):
        """The hashes of what the program found, by name."""
        def lines():
            return [line.split() for line in log_lines(self.cluster.log_text(job), attempt) if ".bin " in line]
        wait_until(lambda: len(lines()) == 2, 30, f"{job} goes on")
        return dict(lines())


@pytest.fixture(params=["file", "s3"])
def frozen(request, tmp_path, monkeypatch):
    env = request.getfixturevalue("s3_server").env if request.param == "s3" else {}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    url = f"s3://runs/{tmp_path.name}" if env else f"file://{tmp_path}/store"
    with Cluster(tmp_path, scheduler_options=["--store", url],
                 worker_options=["--cpus", "2", "--store", url, "--checkpoint-cache", "0"]) as cluster:
        yield Frozen(cluster, url, tmp_path, env)
        assert fsck.check(cluster.redis.client()) == []


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_is_stored_once_and_comes_back(frozen):
    job = frozen.submit()
    frozen.saved(job, 100)
    frozen.go(job, 100)
    frozen.go(job, 200)
    records = frozen.records(job)
    assert records["1-1"]["size"] > 20 * MIB and records["1-1"]["used"] == 2
    assert records["1-2"]["size"] < MIB and records["1-3"]["size"] < MIB
    assert records["1-2"]["uses"] == records["1-3"]["uses"] == [1]
    assert "1 of the files as in an earlier" in records["1-2"]["verified"]
    text = frozen.cluster.cli("checkpoints", "show", job, "1-3").stdout
    assert "base.bin  unchanged since 1-1" in text
    assert "those that use files of it: 2" in frozen.cluster.cli("checkpoints", "show", job, "1-1").stdout
    assert [words[1] for words in frozen.verify(job)] == ["good"] * 3
    folder, = frozen.cluster.state_dir().glob(f"runs/{job}-*")
    wanted = {name: sha256(folder / "checkpoints/all" / name) for name in ("base.bin", "adapter.bin")}
    to = frozen.tmp_path / "out"
    frozen.cluster.cli("checkpoints", "get", job, "1-3", "--to", to)
    assert {p.name: sha256(p) for p in (to / "all").iterdir()} == wanted and [p.name for p in to.iterdir()] == ["all"]
    frozen.kill(job)
    assert frozen.resumed(job, 2) == wanted
    # Another attempt begins with all of it: nothing of a dead one is relied on.
    frozen.saved(job, 400)
    assert frozen.records(job)["2-1"]["size"] > 20 * MIB and "uses" not in frozen.records(job)["2-1"]
    for step in (400, 500, 600):
        frozen.go(job, step)
    frozen.cluster.wait_final(job)
    # (The second one need not use the first: what was younger than a clock's step when it was read is not known.)
    assert frozen.records(job)["2-3"]["uses"] in ([1], [2])


def test_what_changed_is_stored_again(frozen):
    job = frozen.submit()
    frozen.saved(job, 100)
    frozen.go(job, 100)
    frozen.go(job, 200, "rewrite")
    frozen.go(job, 300)
    records = frozen.records(job)
    assert [records[f"1-{i}"].get("uses") for i in (1, 2, 3, 4)] == [None, [1], None, [3]]
    assert records["1-3"]["size"] > 20 * MIB
    folder, = frozen.cluster.state_dir().glob(f"runs/{job}-*")
    wanted = sha256(folder / "checkpoints/all/base.bin")
    frozen.kill(job)
    assert frozen.resumed(job, 2)["base.bin"] == wanted


def test_damage_of_what_is_shared_is_found(frozen):
    job = frozen.submit()
    frozen.saved(job, 100)
    frozen.go(job, 100, "rewrite")
    frozen.go(job, 200)
    key = frozen.key(job, "1-2")
    data = bytearray(frozen.store.get(key))
    data[12 * MIB] ^= 1
    frozen.store.put(key, bytes(data))
    assert [words[:2] for words in frozen.verify(job)] == [["1-3", "damaged"], ["1-2", "damaged"], ["1-1", "good"]]
    assert frozen.cluster.cli("verify", check=False).stdout.splitlines()[-1].endswith("; 2 damaged")
    frozen.kill(job)
    frozen.resumed(job, 2)
    assert {id: r["state"] for id, r in frozen.records(job).items() if id.startswith("1-")} == {
        "1-1": "committed", "1-2": "rejected", "1-3": "rejected"}


def test_it_stays_while_it_is_used_and_goes_with_its_last_user(frozen):
    job = frozen.submit(keep_last=1)
    frozen.saved(job, 100)
    for step in (100, 200):
        frozen.go(job, step)
    wait_until(lambda: set(frozen.records(job)) == {"1-1", "1-3"}, 30, "what nothing needs is deleted")
    done = frozen.cluster.cli("checkpoints", "rm", job, "1-1", check=False)
    assert done.returncode and "1 later ones use files of it" in done.stderr
    frozen.cluster.cli("gc", "--older-than", "0s")
    assert frozen.cluster.cli("checkpoints", "verify", job, "1-3").stdout.split()[1] == "good"
    gone = [frozen.key(job, id) for id in ("1-1", "1-3")]
    frozen.go(job, 300, "rewrite")
    wait_until(lambda: set(frozen.records(job)) == {"1-4"}, 30, "both are deleted")
    wait_until(lambda: not set(gone) & set(frozen.store.list()), 30, "and their objects")


# Writes numbers as text, once, and then waits; goes on only with all of them.
NUMBERS = """
import os, sys, time
resume, text = os.environ.get("STOKER_RESUME"), "".join(f"{i * i}\\n" for i in range(600000))
if resume:
    print("same", open(resume).read() == text, flush=True)
    sys.exit(0)
path = os.environ["STOKER_CHECKPOINT_DIR"] + "/step-7.txt"
open(path + ".part", "w").write(text)
os.rename(path + ".part", path)
time.sleep(600)
"""


def test_what_gets_smaller_is_stored_compressed(frozen):
    (frozen.tmp_path / "numbers.py").write_text(NUMBERS)
    job = frozen.cluster.submit({"command": ["/usr/bin/python3", str(frozen.tmp_path / "numbers.py")]})
    frozen.saved(job, 7)
    whole = sum(len(str(i * i)) + 1 for i in range(600000))
    record = frozen.records(job)["1-1"]
    assert record["compression"] == "zstd" and record["size"] < 0.6 * whole
    assert record["size"] == len(frozen.store.get(frozen.key(job, "1-1")))
    assert [words[1] for words in frozen.verify(job)] == ["good"]
    to = frozen.tmp_path / "out"
    frozen.cluster.cli("checkpoints", "get", job, "--to", to)
    assert [p.name for p in to.iterdir()] == ["step-7.txt"] and (to / "step-7.txt").stat().st_size == whole
    frozen.cluster.cli("checkpoints", "get", job, "--tar", "--to", to)
    with tarfile.open(to / f"{job}-checkpoint-1-1.tar") as tar:
        assert [(m.name, m.size) for m in tar] == [("checkpoint/step-7.txt", whole)]
    assert sorted(p.name for p in to.iterdir()) == [f"{job}-checkpoint-1-1.tar", "step-7.txt"]
    link = frozen.cluster.api("GET", f"/api/v1/jobs/{job}/checkpoints/latest/link")
    assert link["size"] == record["size"] and (not link["url"].startswith("/") or ".tar.zst&" in link["url"])
    frozen.kill(job)
    frozen.cluster.wait_final(job)
    assert log_lines(frozen.cluster.log_text(job), 2)[-1] == "same True"


def test_what_is_beside_frozen_weights_is_stored_compressed(frozen):
    """Weights of noise, once; beside them 4 MB that get smaller."""
    job = frozen.submit(times=1000000)
    frozen.saved(job, 100)
    frozen.go(job, 100)
    frozen.go(job, 200)
    records = frozen.records(job)
    assert "compression" not in records["1-1"] and records["1-1"]["size"] > 24 * 10**6
    for id in ("1-2", "1-3"):
        assert (records[id]["compression"], records[id]["uses"]) == ("zstd", [1]) and records[id]["size"] < 10**5
    assert [words[1] for words in frozen.verify(job)] == ["good"] * 3
    folder, = frozen.cluster.state_dir().glob(f"runs/{job}-*")
    wanted = {name: sha256(folder / "checkpoints/all" / name) for name in ("base.bin", "adapter.bin")}
    frozen.kill(job)
    assert frozen.resumed(job, 2) == wanted
