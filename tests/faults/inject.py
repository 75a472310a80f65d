"""The other end of tests/tools/inject.c: which call of a program fails, how often they were made, what came of it."""
import ctypes
import errno
import mmap
import os
import subprocess
from dataclasses import dataclass

from harness import BUILD

CALLS = ("malloc", "read", "write", "connect", "fsync")
LIBRARY = BUILD / "tests/tools/inject.so"


class Shared(ctypes.Structure):
    _fields_ = [("counts", ctypes.c_uint64 * len(CALLS)), ("hits", ctypes.c_uint64), ("at", ctypes.c_uint64),
                ("call", ctypes.c_uint32), ("how", ctypes.c_uint32), ("is_on", ctypes.c_uint32),
                ("is_over", ctypes.c_uint32), ("died_of", ctypes.c_uint32), ("died", ctypes.c_char * 32),
                ("first", ctypes.c_char * 216)]


@dataclass(frozen=True)
class Fault:
    call: str
    how: str  # the name of an errno, or short
    on: bool  # from then on

    def __str__(self):
        return f"{self.call}-{self.how}-{'on' if self.on else 'once'}"

    @property
    def said(self):
        """What a message says of it."""
        return "out of memory" if self.call == "malloc" else os.strerror(getattr(errno, self.how))


class Injection:
    """Faults of one program and of what it forks, from its start to its end."""

    def __init__(self, folder, program, fault=None, at=0):
        """Without a fault it only counts."""
        assert LIBRARY.exists(), f"{LIBRARY} is not there: make unit-tests"
        self.path, self.program, self.fault, self.at = folder / "injection", program, fault, at
        self.path.write_bytes(bytes(ctypes.sizeof(Shared)))
        with open(self.path, "r+b") as file:
            self.shared = Shared.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(Shared)))
        if fault:
            self.shared.call = CALLS.index(fault.call)
            self.shared.how = 0 if fault.how == "short" else getattr(errno, fault.how)
            self.shared.is_on, self.shared.at = fault.on, at

    def __str__(self):
        return (f"{self.program}: {self.fault} at {self.at}, {self.shared.hits} hits, the first: "
                f"{self.shared.first.decode(errors='replace') or 'none'}")

    def environment(self):
        return {"LD_PRELOAD": ":".join([*sanitizer(), str(LIBRARY)]), "INJECT_FILE": str(self.path),
                "INJECT_PROGRAM": self.program}

    def count(self, call):
        return self.shared.counts[CALLS.index(call)]

    @property
    def hits(self):
        return self.shared.hits

    def lift(self):
        self.shared.is_over = 1

    def crash(self):
        """Which process died of which signal; None: none did."""
        return (self.shared.died.decode(), self.shared.died_of) if self.shared.died_of else None


def has_sanitizer():
    return BUILD.name.endswith("-asan")


def sanitizer():
    """It has to be the first library; it has allocators of its own, so that memory does not fail there."""
    if not has_sanitizer():
        return []
    return [subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True,
                           check=True).stdout.strip()]
