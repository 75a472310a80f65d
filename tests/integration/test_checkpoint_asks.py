"""checkpoint.every of programs of any kind: they are asked, by a line or a signal, and what they save is stored."""
import json

import pytest

from harness import wait_until
from worker_harness import events

READER = """
import os, select, sys, time
fd, folder, step = int(os.environ["STOKER_ASK_FD"]), os.environ["STOKER_CHECKPOINT_DIR"], int(sys.argv[2])
while step < int(sys.argv[3]):
    step += 1
    print(f"step={step} loss=1", flush=True)
    if select.select([fd], [], [], 0.05)[0]:
        print("asked", os.read(fd, 4096).decode().strip(), flush=True)
        with open(f"{folder}/model-{step}.tmp", "w") as f:
            f.write("x" * 1000)
        os.rename(f"{folder}/model-{step}.tmp", f"{folder}/model-{step}.bin")
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
"""

HANDLER = """
import os, signal, subprocess, sys, time
helper = subprocess.Popen(["sleep", "1000"])  # dies of the signal, should it get it
asked = []
signal.signal(getattr(signal, sys.argv[2]), lambda *_: asked.append(1))
print("ready", flush=True)
while len(asked) < 2:
    time.sleep(0.01)
print("asked twice; helper", helper.poll(), flush=True)
"""


def start(cluster, tmp_path, text, *args, **checkpoint):
    (tmp_path / "program.py").write_text(text)
    return cluster.submit({"command": ["/usr/bin/python3", str(tmp_path / "program.py"), str(tmp_path / "go"),
                                       *[str(a) for a in args]], "checkpoint": checkpoint})


def said(cluster, job):
    return [line for e in cluster.log_text(job) for line in e.get("stdout", "").splitlines()]


def saved(cluster, job):
    records = cluster.redis.client().hvals(f"stoker:{{default}}:checkpoints:{job.rsplit('-', 1)[1]}")
    return sorted(json.loads(r)["step"] for r in records)


@pytest.mark.parametrize("begin", [0, 13])
def test_asked_by_steps(cluster, tmp_path, begin):
    """At each ten steps once, wherever it begins."""
    job = start(cluster, tmp_path, READER, begin, 35, every="10 steps", keep_last=9)
    wait_until(lambda: len([l for l in said(cluster, job) if l.startswith("asked")]) == 3,
               30, "it was asked")
    wait_until(lambda: saved(cluster, job), 30, "what it saved is stored")
    (tmp_path / "go").touch()
    assert cluster.wait_final(job)["state"] == "succeeded"
    asked = [l for l in said(cluster, job) if l.startswith("asked")]
    assert asked == ['asked {"t":"checkpoint"}'] * 3
    assert events(cluster, job, "checkpoint.committed")


def test_asked_by_time(cluster, tmp_path):
    job = start(cluster, tmp_path, READER, 0, 60, every="1s")
    wait_until(lambda: len([l for l in said(cluster, job) if l.startswith("asked")]) >= 2, 30, "it was asked twice")
    (tmp_path / "go").touch()
    assert cluster.wait_final(job)["state"] == "succeeded" and events(cluster, job, "checkpoint.committed")


@pytest.mark.parametrize("name", ["SIGUSR1", pytest.param("SIGUSR2", marks=pytest.mark.long),
                                  pytest.param("SIGHUP", marks=pytest.mark.long)])
def test_asked_by_a_signal(cluster, tmp_path, name):
    job = start(cluster, tmp_path, HANDLER, name, every="2s", ask=name)
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert said(cluster, job) == ["ready", "asked twice; helper None"]


def test_who_does_not_listen_is_not_hurt(cluster, tmp_path):
    """A pipe that nobody reads fills up; one that is closed is given up."""
    text = """
import os, sys
os.close(int(os.environ["STOKER_ASK_FD"])) if sys.argv[2] == "close" else None
for step in range(6000):
    print(f"step={step}")
"""
    for how in ("close", "ignore"):
        job = start(cluster, tmp_path, text, how, every="1 steps")
        assert cluster.wait_final(job)["state"] == "succeeded"


# Asked at its last step, when it has no handler any more: Python takes them away before it exits. And before it has
# one.
NO_HANDLER = """
import os, signal, sys, time
print("step=10", flush=True)
time.sleep(0.3)
signal.signal(signal.SIGUSR1, lambda *_: print("asked", flush=True))
print("step=20", flush=True)
time.sleep(0.3)
signal.signal(signal.SIGUSR1, signal.SIG_DFL)
print("step=30", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
"""


def test_who_has_no_handler_is_not_killed(cluster, tmp_path):
    job = start(cluster, tmp_path, NO_HANDLER, every="10 steps", ask="SIGUSR1")
    wait_until(lambda: cluster.job(job).get("step") == "30" or cluster.job(job)["state"] in ("failed", "waiting"), 30,
               "all steps are told")
    (tmp_path / "go").touch()
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "1") and said(cluster, job).count("asked") == 1
    told = [line for e in cluster.log_text(job) for line in e.get("stoker", "").splitlines() if "SIGUSR1" in line]
    assert told == ["it is not asked for a checkpoint: it has no handler for SIGUSR1 now"]


def test_nobody_is_asked_without_every(cluster, tmp_path):
    job = start(cluster, tmp_path, 'import os; print(os.environ.get("STOKER_ASK_FD"))')
    cluster.wait_final(job)
    assert said(cluster, job) == ["None"]
