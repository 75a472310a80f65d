"""Real frameworks, killed for real in the middle of their saves: what is accepted afterwards loads, and is a save that
came to its end."""
import os
import signal
import subprocess
import time

import pytest

from conftest import SAVERS
from savers import step_of

KILLS = int(os.environ.get("STOKER_KILLS", "20"))
KILLED = ["torch", "lightning", "huggingface", "huggingface-over", "dcp", "dcp-old", "deepspeed"]


class Saver:
    """Forks of one process that has the framework loaded."""

    def __init__(self, python, layout, scratch):
        self.process = subprocess.Popen([python, SAVERS, layout, "--serve", scratch], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1",
                                                                                "SAVE_SIDE": "256"})
        assert self.process.stdout.readline() == "ready\n"
        self.child = None

    def start(self, folder, first, last):
        self.process.stdin.write(f"{folder} {first} {last}\n")
        self.process.stdin.flush()
        self.child = int(self.process.stdout.readline())
        return self.child

    def wait(self, word):
        while (line := self.process.stdout.readline().strip()) != word:
            assert line == "saved", line

    def kill(self, pid):
        os.kill(pid, signal.SIGKILL)
        self.child = None
        self.wait("dead")

    def stop(self):
        if self.child:
            os.kill(self.child, signal.SIGKILL)
        self.process.stdin.close()
        self.process.wait(timeout=30)


@pytest.fixture
def saver(tmp_path, python_of):
    made = []

    def make(layout):
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        made.append(Saver(python_of(layout), layout, scratch))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def tries(is_met):
    """As many as are asked for, and more until one of them has met a save in the middle."""
    number = 0
    while number < KILLS or (not is_met() and number < 10 * KILLS):
        yield number
        number += 1


def killed(saver, folder, first, dice):
    """One that saves without end, killed at some time after its first file is there."""
    pid = saver.start(folder, first, first + 100000)
    while not any(folder.iterdir()):
        time.sleep(0.0005)
    end = time.monotonic() + dice.random() * 0.06
    while time.monotonic() < end:
        time.sleep(0.0005)
    saver.kill(pid)


@pytest.mark.parametrize("layout", KILLED)
def test_killed_while_it_saves(tmp_path, ask, saver, dice, monkeypatch, layout):
    monkeypatch.setattr("savers.SIDE", 256)
    process, refused = saver(layout), 0
    for number in tries(lambda: refused):
        folder = tmp_path / f"kill-{number}"
        folder.mkdir()
        killed(process, folder, 20, dice)
        for path in folder.iterdir():
            said = ask(path)
            refused += said.answer == "refused"
            if said.answer == "accepted":
                assert step_of(layout, path) >= 20
                assert said.step in (-1, step_of(layout, path))
    assert refused > 0, "not one of them was killed in the middle of a save"
    folder = tmp_path / "once"
    folder.mkdir()
    pid = process.start(folder, 20, 20)
    process.wait("saved")
    process.kill(pid)
    path, = [path for path in folder.iterdir() if ask(path).answer != "ignored"]
    assert ask(path).answer == "accepted" and step_of(layout, path) == 20


def test_tinygrad_killed_while_it_saves(tmp_path, ask, saver, dice):
    """In place and through a mapping: nothing proves the end of such a file, so nothing of a killed one is accepted."""
    process, torn = saver("tinygrad"), 0
    for number in tries(lambda: torn):
        folder = tmp_path / f"kill-{number}"
        folder.mkdir()
        killed(process, folder, 20, dice)
        for path in folder.iterdir():
            assert ask(path).answer == "refused"
            torn += ask(path, "settled").answer == "refused" or "holes" in ask(path, "settled").words
    folder = tmp_path / "once"
    folder.mkdir()
    pid = process.start(folder, 20, 20)
    process.wait("saved")
    process.kill(pid)
    assert ask(folder / "model.safetensors", "settled").step == 20
    assert torn > 0, "not one of them was killed in the middle of a save"
