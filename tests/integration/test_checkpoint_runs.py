"""Programs that know nothing of stoker: their files are found, stored, and put back where they were, and a kill in the
middle of a save never leads to a resume from half of it."""
import json
import os
import signal
import time
from pathlib import Path

import pytest

import fsck
from cluster import Cluster, log_lines
from harness import wait_until

# Rewrites out/model.pt and out/optim.pt in place, slowly; says TORN if it ever meets halves or a pair that does not
# match.
IN_PLACE = """
import os, sys, time

def load(name):
    lines = open(name).read().split()
    return lines[0] if len(lines) == 40 and set(lines) == {lines[0]} else None

def save(step):
    print(f"saving {step}", flush=True)
    for name in ("out/model.pt", "out/optim.pt"):
        with open(name, "w") as f:
            for _ in range(40):
                f.write(f"{step}\\n")
                f.flush()
                time.sleep(0.002)

os.makedirs("out", exist_ok=True)
step = 0
resume = "".join(sys.argv[1:])  # {{resume}} is nothing on a cold start
if resume:
    pair = [load(resume + "/model.pt"), load(resume + "/optim.pt")]
    if None in pair or pair[0] != pair[1]:
        print("TORN", flush=True)
        sys.exit(65)
    step = int(pair[0])
    print(f"resumed {step}", flush=True)
while step < 60:
    step += 1
    print(f"step={step} loss={1 / step}", flush=True)
    time.sleep(0.05)
    if step % 12 == 0:
        save(step)
print("done", flush=True)
"""


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path, worker_options=["--cpus", "2"]) as one:
        yield one
        assert fsck.check(one.redis.client()) == []


def script_job(tmp_path, text, paths, **more):
    script = tmp_path / "train.py"
    script.write_text(text)
    return {"command": ["/usr/bin/python3", str(script), "{{resume}}"], "checkpoint": {"paths": paths, "keep_last": 2},
            "retry": {"max_attempts": 50, "backoff": "50ms", "max_backoff": "50ms"}, **more}


def program(cluster, job):
    """pid of the running program; None while there is none."""
    for folder in cluster.state_dir().glob(f"runs/{job}-*"):
        try:
            return int((folder / "pid").read_text().split()[3])
        except (FileNotFoundError, IndexError):
            return None
    return None


def lines_of(cluster, job):
    entries = cluster.log_text(job)
    attempts = {int(e["id"].split("-")[0]) for e in entries}
    return {a: log_lines(entries, a) for a in sorted(attempts)}


def committed(cluster, job):
    found = cluster.redis.client().hgetall(f"stoker:{{default}}:checkpoints:{job.split('-')[1]}")
    return {i: json.loads(c) for i, c in found.items()}


def test_killed_in_the_middle_of_saves(cluster, tmp_path):
    job = cluster.submit(script_job(tmp_path, IN_PLACE, ["out/*.pt"]))
    for attempt in range(1, 7):
        def at_second_save(attempt=attempt):
            lines = lines_of(cluster, job).get(attempt, [])
            saves = [line for line in lines if line.startswith("saving")]
            return "over" if "done" in lines else len(saves) >= 2
        if wait_until(at_second_save, 30, f"attempt {attempt} saves twice") == "over":
            break
        os.kill(program(cluster, job), signal.SIGKILL)
        wait_until(lambda attempt=attempt: int(cluster.job(job)["attempt"]) > attempt, 30, "the next attempt")
    done = cluster.wait_final(job, timeout=120)
    assert done["state"] == "succeeded"
    said = [line for lines in lines_of(cluster, job).values() for line in lines]
    assert "TORN" not in said
    assert any(line.startswith("resumed") for line in said)
    kept = [c for c in committed(cluster, job).values() if c["state"] == "committed"]
    assert 1 <= len(kept) <= 2
    assert {c["files"] for c in kept} == {2}
    assert max(c["step"] for c in kept) == 60


def test_only_what_is_kept_stays_in_the_store(cluster, tmp_path):
    text = """
import os, time
for step in range(1, 9):
    print(f"step={step}", flush=True)
    os.makedirs(f"tmp-ckpt-{step}", exist_ok=True)
    open(f"tmp-ckpt-{step}/weights.bin", "w").write(str(step))
    os.rename(f"tmp-ckpt-{step}", f"ckpt-{step}")
    while not os.path.exists(f"{os.environ['MARK']}-{step}"):
        time.sleep(0.01)
"""
    job = cluster.submit(script_job(tmp_path, text, ["ckpt-*"], env={"MARK": str(tmp_path / "go")}))
    for step in range(1, 9):
        wait_until(lambda step=step: any(c.get("step") == step for c in committed(cluster, job).values()), 30,
                   f"step {step} is committed")
        Path(f"{tmp_path}/go-{step}").touch()
    assert cluster.wait_final(job)["state"] == "succeeded"
    wait_until(lambda: sorted(c["step"] for c in committed(cluster, job).values()) == [7, 8], what="only two are left")
    manifests = sorted(json.loads(p.read_text())["step"] for p in cluster.store().rglob("manifest.json"))
    assert manifests == [7, 8]
    assert len(list(cluster.store().rglob("*.*"))) == 4


# Saves model-step-N.pt and optim-step-N.pt, each by a rename, N up to what `goal` says; between the two of 2 it waits.
PAIR = """
import os, sys, time
told, out, resume = sys.argv[1], os.environ["STOKER_CHECKPOINT_DIR"], os.environ.get("STOKER_RESUME")
print("begin", sorted(os.listdir(resume)) if resume else None, flush=True)

def put(name):
    with open(f"{out}/{name}.tmp", "w") as f:
        f.write(name * 100)
    os.rename(f"{out}/{name}.tmp", f"{out}/{name}")

for n in (1, 2):
    while not os.path.exists(f"{told}/{n}"):
        time.sleep(0.01)
    put(f"model-step-{n}.pt")
    while n == 2 and not os.path.exists(f"{told}/more"):
        time.sleep(0.01)
    put(f"optim-step-{n}.pt")
"""


def test_a_kill_between_the_files_of_a_save(cluster, tmp_path):
    """The first file is whole, renamed into place, and quiet for long. It is no checkpoint without the other."""
    redis = cluster.redis.client()
    (tmp_path / "train.py").write_text(PAIR)
    job = cluster.submit({"command": ["/usr/bin/python3", str(tmp_path / "train.py"), str(tmp_path)],
                          "retry": {"max_attempts": 9, "backoff": "50ms", "max_backoff": "50ms"}})

    def stored():
        found = redis.hgetall("stoker:{default}:checkpoints:1")
        return [(json.loads(one)["step"], json.loads(one)["files"]) for one in found.values()]
    pid = wait_until(lambda: program(cluster, job), 30, "the program runs")
    (tmp_path / "1").touch()
    wait_until(lambda: stored() == [(1, 2)], 30, "the first pair is stored")
    (tmp_path / "2").touch()
    wait_until(lambda: list(cluster.state_dir().glob("runs/*/checkpoints/model-step-2.pt")), 30, "half of the second")
    quiet = cluster.state_dir().glob("runs/*/checkpoints/model-step-2.pt").__next__().stat().st_mtime + 3
    wait_until(lambda: time.time() > quiet, 30, "it was quiet for longer than is waited for a file")
    assert stored() == [(1, 2)]
    os.kill(pid, signal.SIGKILL)
    lines = wait_until(lambda: log_lines(cluster.log_text(job), 2), 30, "the next attempt begins")
    assert lines == ["begin ['model-step-1.pt', 'optim-step-1.pt']"]
    assert "the save before had more" in "\n".join(log_lines(cluster.log_text(job), 1, "stoker"))
    (tmp_path / "more").touch()
    assert cluster.wait_final(job)["state"] == "succeeded" and (2, 2) in stored()


# Saves twice, says it, and ends badly; what it began with is its first line.
TWICE = """
n=0
echo "begin ${STOKER_RESUME##*/}"
if [ "$STOKER_ATTEMPT" != 1 ]; then exit 0; fi
for n in 1 2; do
    echo $n > save-$n.tmp; mv save-$n.tmp save-$n.txt
    echo "{\\"t\\":\\"checkpoint\\",\\"path\\":\\"save-$n.txt\\",\\"step\\":$n}" >&3
done
while [ ! -e %s/go ]; do sleep 0.05; done
exit 1
"""


@pytest.mark.parametrize("damaged, no_checkpoint, begins, state", [
    ([2], "fail", "begin save-1.txt", "succeeded"), ([1, 2], "restart", "begin ", "succeeded"),
    ([1, 2], "fail", None, "failed")])
def test_what_is_damaged_in_the_store(tmp_path, damaged, no_checkpoint, begins, state):
    """The next older one is taken, and never a cold start without a word, nor against the wish."""
    with Cluster(tmp_path, worker_options=["--cpus", "2", "--checkpoint-cache", "0"]) as cluster:
        job = cluster.submit({"command": ["bash", "-c", TWICE % tmp_path], "recovery": {"no_checkpoint": no_checkpoint},
                              "checkpoint": {"keep_last": 2},
                              "retry": {"max_attempts": 2, "backoff": "50ms", "max_backoff": "50ms"}})
        wait_until(lambda: sorted(c["step"] for c in committed(cluster, job).values()) == [1, 2], 30, "both are stored")
        for step in damaged:
            (folder,) = [Path(c["uri"].removeprefix("file://")).parent for c in committed(cluster, job).values()
                         if c["step"] == step]
            (folder / "data.tar").write_text("rot")
        (tmp_path / "go").touch()
        done = cluster.wait_final(job)
        assert done["state"] == state
        said = "\n".join(log_lines(cluster.log_text(job), 2, "stoker"))
        assert said.count("cannot be used: ") == len(damaged)
        if begins:
            assert log_lines(cluster.log_text(job), 2) == [begins]
        if len(damaged) == 2 and begins:
            assert "no checkpoint can be used: starting from the beginning" in said
        if not begins:
            assert "no checkpoint can be used, and recovery.no_checkpoint is fail" in done["error"], done
        assert fsck.check(cluster.redis.client()) == []


# Saves as DeepSpeed does, with two ranks: step 1 wholly; of step 2 all but the share of the second rank, which nobody
# waits for before `latest` is written. Then it waits.
DEEPSPEED = """
import os, pickle, sys, time, zipfile
out, resume = os.environ["STOKER_CHECKPOINT_DIR"], os.environ.get("STOKER_RESUME")
if resume:
    print("resume", open(f"{resume}/latest").read(), sorted(os.listdir(resume)), flush=True)
    sys.exit(0)

def put(path, thing):
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", pickle.dumps(thing, 2))
        z.writestr("archive/data/0", bytes(4096))

def save(step, shares):
    tag = f"{out}/global_step{step}"
    os.mkdir(tag)
    put(f"{tag}/mp_rank_00_model_states.pt", {"global_steps": step, "dp_world_size": 2, "mp_world_size": 1})
    for rank in range(shares):
        put(f"{tag}/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt", {"optimizer_state_dict": {"rank": rank}})
    for name, text in (("zero_to_fp32.py", "pass"), ("latest", f"global_step{step}")):
        with open(f"{out}/{name}", "w") as f:
            f.write(text)

save(1, 2)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
save(2, 1)
while True:
    time.sleep(1)
"""


def test_a_rank_that_has_not_saved_yet(cluster, tmp_path):
    (tmp_path / "train.py").write_text(DEEPSPEED)
    job = cluster.submit({"command": ["/usr/bin/python3", str(tmp_path / "train.py"), str(tmp_path / "go")],
                          "retry": {"max_attempts": 2, "backoff": "50ms", "max_backoff": "50ms"}})
    first = wait_until(lambda: committed(cluster, job), 30, "the first is stored")
    said, = first.values()
    assert said["step"] == 1 and "named by latest" in said["verified"], said
    (tmp_path / "go").touch()
    wait_until(lambda: "of some ranks" in "\n".join(log_lines(cluster.log_text(job), 1, "stoker")), 30,
               "the second is refused although `latest` names it")
    os.kill(program(cluster, job), signal.SIGKILL)
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert log_lines(cluster.log_text(job), 2) == [
        "resume global_step1 ['global_step1', 'latest']"]
    assert [c["step"] for c in committed(cluster, job).values()] == [1]
