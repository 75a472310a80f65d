"""A run that was interrupted ends with the same bits as one that was left alone."""
import hashlib
import json
import signal

import pytest

from harness import wait_until

TASKS = ["language-model", "classifier"]


def header_of(path):
    """The head of a safetensors file, checked against its length."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    head = json.loads(data[8:end])
    assert max(field["data_offsets"][1] for name, field in head.items() if name != "__metadata__") == len(data) - end
    return head


@pytest.mark.parametrize("task", TASKS)
def test_resumed_is_bit_for_bit_the_straight_run(task, straight, start, train_of):
    reference = straight[task]
    checkpoint = reference.checkpoints / "step-0000000008.safetensors"
    resumed = start(train_of[task], resume=checkpoint, every_steps=5)  # where the saves fall changes nothing
    assert resumed.finish() == reference.finish()
    assert resumed.said("resumed") == [{"t": "resumed", "step": 8}]
    assert [line["step"] for line in resumed.said("metric")] == list(range(9, 25))
    assert resumed.said("metric") == reference.said("metric")[8:]


@pytest.mark.parametrize("task", TASKS)
def test_without_the_optimizer_it_ends_elsewhere(task, straight, start, train_of):
    reference = straight[task]
    checkpoint = reference.checkpoints / "step-0000000008.safetensors"
    weights_only = start(train_of[task], resume=checkpoint, STOKER_RESTORE_OPTIMIZER="0")
    assert weights_only.finish() != reference.finish()
    assert weights_only.said("metric")[0] == reference.said("metric")[8], "the weights were not restored"


def test_killed_at_random_steps_and_resumed(straight, start, train_of, dice):
    train, resume, kills = train_of["language-model"], None, 0
    for _ in range(2):
        run = start(train, resume=resume, every_steps=dice.randint(1, 4)).reach(dice.randint(1, 11) + 11 * kills)
        if run.process.alive():
            run.process.kill()
            kills += 1
        resume = run.newest() or resume
        if resume:
            header_of(resume)
    assert kills, "nothing was killed"
    assert start(train, resume=resume).finish() == straight["language-model"].finish()


def test_sigterm_saves_and_another_run_goes_on(straight, start, train_of):
    run = start({**train_of["classifier"], "steps": 100000}, every_ms=3600_000).reach(3)
    run.process.signal(signal.SIGTERM)
    assert run.wait() == 75, run.process.text()
    stopped_at = run.said("preempted")[-1]["step"]
    saved = run.said("checkpoint")[-1]
    assert saved["step"] == stopped_at == run.step() and stopped_at >= 3
    assert saved["optimizer"] is True and saved["path"] == str(run.newest())
    assert hashlib.sha256(run.newest().read_bytes()).hexdigest() == saved["sha256"]

    steps = stopped_at + 4
    resumed = start({**train_of["classifier"], "steps": steps}, resume=run.checkpoints)
    assert resumed.finish() == start({**train_of["classifier"], "steps": steps}, every_ms=1).finish()


def test_sigterm_before_the_first_step_ends_at_once(start, train_of):
    run = start({**train_of["language-model"], "width": 64, "layers": 4, "optimize": True})  # minutes of compiling
    wait_until(lambda: catches_sigterm(run.process.pid), what="the handler is in place")
    run.process.signal(signal.SIGTERM)
    assert run.wait() == 75
    assert run.said("checkpoint") == []


def catches_sigterm(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
    return caught >> (signal.SIGTERM - 1) & 1


def test_saves_by_the_clock_keep_only_the_newest_files(straight, start, train_of):
    run = start(train_of["classifier"], every_ms=1)
    assert run.finish() == straight["classifier"].finish()
    assert len(run.said("checkpoint")) == 23, "the clock starts with the first step"
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [
        f"step-00000000{step}.safetensors" for step in (22, 23, 24)]


def test_a_checkpoint_says_what_it_holds(straight):
    run = straight["language-model"]
    head = header_of(run.newest())
    assert head["__metadata__"]["step"] == "24"
    weights = {name[6:] for name in head if name.startswith("model.")}
    assert {"optimizer.b1_t", "optimizer.b2_t"} <= head.keys()
    assert sum(name.startswith("optimizer.m.") for name in head) == len(weights)
    assert sum(name.startswith("optimizer.v.") for name in head) == len(weights)
    model = header_of(run.output / "model.safetensors")
    assert weights == model.keys() - {"__metadata__"}
