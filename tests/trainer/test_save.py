"""A kill at any point of a save leaves the old file or the new one, never part of one."""
import subprocess

import pytest

from trainer_run import PYTHON, TRAINER

# Saves twice; the second save is killed at the point that argv[2] names.
SAVER = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
import checkpoint
from tinygrad import dtypes
class Piece:
    dtype, shape = dtypes.float32, (4,)
    def __init__(self, byte, deadly=False): self.byte, self.deadly = byte, deadly
    def nbytes(self): return 16
    def data(self):
        if self.deadly: die()
        return self.byte * 16
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
path, point = sys.argv[1:3]
checkpoint.save(path, {"a": Piece(b"1"), "b": Piece(b"1")}, {"step": "1"})
if point in ("fsync", "rename"): setattr(os, point, die)
checkpoint.save(path, {"a": Piece(b"2", point == "first"), "b": Piece(b"2", point == "second")}, {"step": "2"})
"""


@pytest.mark.parametrize("point", ["first", "second", "fsync", "rename", "nowhere"])
def test_killed_while_saving(tmp_path, point):
    path = tmp_path / "step-1.safetensors"
    status = subprocess.run([PYTHON, "-c", SAVER, path, point, TRAINER.parent], timeout=60).returncode
    expected = b"1" if point != "nowhere" else b"2"
    assert status == (-9 if point != "nowhere" else 0)
    assert path.read_bytes().endswith(expected * 32)
    others = [other.name for other in tmp_path.iterdir() if other != path]
    assert all(name.startswith(".") and name.endswith(".tmp") for name in others), others
