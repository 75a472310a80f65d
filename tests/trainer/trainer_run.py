"""The shipped trainer as its runner starts it, without a runner: real tinygrad, models so small that a run is mostly
start-up, compiled kernels shared by all tests."""
import json
import os
from pathlib import Path

from harness import BUILD, ROOT, Process, wait_until

TRAINER = ROOT / "worker/trainer/train.py"
SYSTEM, OWN = Path("/var/lib/stoker/venv/bin/python"), Path.home() / ".local/share/stoker/venv/bin/python"
PYTHON = os.environ.get("STOKER_PYTHON") or str(OWN if os.geteuid() and OWN.exists() else SYSTEM)

STEPS = 24
LANGUAGE = {"task": "language-model", "steps": STEPS, "batch": 4, "lr": 0.01, "seed": 7, "context": 8, "layers": 1,
            "width": 8, "heads": 2, "optimize": False}
CLASSIFIER = {"task": "classifier", "steps": STEPS, "batch": 16, "lr": 0.01, "seed": 7, "layers": 1, "width": 8,
              "optimize": False}


class Run:
    """One process of the trainer in a folder of its own."""

    def __init__(self, folder, train, every_steps=0, every_ms=0, resume=None, python=PYTHON, **env):
        self.folder, self.checkpoints, self.output = folder, folder / "checkpoints", folder / "output"
        for path in (self.checkpoints, self.output):
            path.mkdir(parents=True, exist_ok=True)
        config = folder / "train.json"
        config.write_text(json.dumps({"train": train,
                                      "checkpoint": {"every_steps": every_steps, "every_ms": every_ms}}))
        control = os.open(folder / "control", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self.process = Process(
                [python, TRAINER, config], folder / "log", cwd=ROOT, pass_fds=[control],
                env={"STOKER_CONTROL_FD": str(control), "STOKER_CHECKPOINT_DIR": str(self.checkpoints),
                     "STOKER_OUTPUT_DIR": str(self.output), "CACHEDB": str(BUILD / "tests/tinygrad.db"),
                     "PYTHONHASHSEED": "0", **({"STOKER_RESUME": str(resume)} if resume else {}), **env})
        finally:
            os.close(control)

    def said(self, t):
        """The control lines of this kind, so far."""
        text = (self.folder / "control").read_text()
        return [line for line in map(json.loads, text[:text.rfind("\n") + 1].splitlines()) if line["t"] == t]

    def step(self):
        return max((line["step"] for line in self.said("metric")), default=0)

    def wait(self):
        """Its exit status."""
        wait_until(lambda: not self.process.alive(), timeout=100, what=f"the trainer ends\n{self.process.text()}")
        return self.process.popen.returncode

    def finish(self):
        """Waits for a good end; returns the bytes of the final model."""
        assert self.wait() == 0, self.process.text()
        return (self.output / "model.safetensors").read_bytes()

    def reach(self, step):
        """Waits until it has done so many steps."""
        wait_until(lambda: self.step() >= step or not self.process.alive(), timeout=100,
                   what=f"step {step}\n{self.process.text()}")
        return self

    def newest(self):
        return max(self.checkpoints.glob("step-*.safetensors"), default=None)
