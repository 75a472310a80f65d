#!/usr/bin/env python3
"""The trainer that stoker ships: python3 train.py train.json

train.json holds {"train": {…}, "checkpoint": {"every_steps": n, "every_ms": n}}: the section `train` of a job spec
with every default in place (docs/spec.md). The rest is in the environment that every program gets: STOKER_RESUME,
STOKER_RESTORE_OPTIMIZER, STOKER_CHECKPOINT_DIR, STOKER_OUTPUT_DIR, STOKER_CONTROL_FD.

Exit codes: 0 done, 65 the data is bad, 75 stopped when asked, 78 tinygrad cannot run here."""
import json
import os
import shutil
import sys

from control import Preempted, Stop, say
from data import BadData

EXIT_BAD_DATA, EXIT_PREEMPTED, EXIT_CANNOT_RUN = 65, 75, 78


class CannotRun(Exception):
    """This machine cannot train; another one may."""


def settle_environment(settings):
    """What tinygrad reads when it is imported. One thread and no search by timing: the same bits every time."""
    if not os.environ.get("CUDA_VISIBLE_DEVICES") and not os.environ.get("ROCR_VISIBLE_DEVICES"):
        os.environ.setdefault("DEV", "CPU")  # otherwise tinygrad finds the GPU
    os.environ.setdefault("NUM_CPU_THREADS", "1")
    os.environ.setdefault("PARALLEL", "0")
    os.environ.setdefault("NOOPT", "0" if settings["optimize"] else "1")
    os.environ.update(TRAINING="1", BEAM="0")


def check_tinygrad():
    """Compiles and runs one kernel: whatever is missing shows here, before any data is read."""
    try:
        from tinygrad import Device, Tensor
    except ImportError as error:
        raise CannotRun(f"{sys.executable} has no tinygrad ({error}); scripts/bootstrap.sh installs it") from error
    wants_gpu = "DEV" not in os.environ
    try:
        if Device.DEFAULT == "CPU" and wants_gpu:
            raise CannotRun("the job has a GPU, and tinygrad finds none that it can use")
        compiler = os.environ.get("CC", "clang")
        if Device.DEFAULT == "CPU" and not shutil.which(compiler):
            raise CannotRun(f"tinygrad compiles for the CPU with {compiler}, which is not in PATH")
        if (Tensor([1.0]) + 1).item() != 2:
            raise CannotRun(f"tinygrad computes nonsense on {Device.DEFAULT}")
    except CannotRun:
        raise
    except Exception as error:  # whatever it is, nothing can be computed here
        raise CannotRun(f"tinygrad cannot compute on this machine: {error}") from error


def main(path):
    stop = Stop()
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    settings, every = config["train"], config["checkpoint"]
    settle_environment(settings)
    check_tinygrad()

    from loop import Trainer
    trainer = Trainer(settings, os.environ.get("STOKER_CHECKPOINT_DIR", "."), os.environ.get("STOKER_OUTPUT_DIR", "."))
    resume = os.environ.get("STOKER_RESUME")
    try:
        if resume:
            trainer.resume(resume, with_optimizer=os.environ.get("STOKER_RESTORE_OPTIMIZER", "1") != "0")
        trainer.run({"steps": every["every_steps"], "ms": every["every_ms"]}, stop)
    except Preempted:
        say("preempted", step=trainer.step)
        raise


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Preempted:
        print("stopped when asked", flush=True)
        sys.exit(EXIT_PREEMPTED)
    except BadData as error:
        print(f"bad data: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_DATA)
    except CannotRun as error:
        print(f"cannot train: {error}", file=sys.stderr)
        sys.exit(EXIT_CANNOT_RUN)
