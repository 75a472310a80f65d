"""A small file system of a test's own: what happens when it is full, read-only or away."""
import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from harness import wait_until


class Disk:
    """A small file system of its own."""

    def __init__(self, path, size="8m"):
        self.path, self.size = Path(path), size
        self.path.mkdir()
        self.mount()

    def mount(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "stoker-test", self.path], check=True)

    def remount(self, how):
        done = wait_until(lambda: subprocess.run(["mount", "-o", f"remount,{how}", self.path],
                                                 capture_output=True).returncode == 0, what=f"remounted {how}")
        assert done

    def bind_away(self, *options):
        """As if it were not mounted: an empty folder stands there, `ro` if that is wanted."""
        empty = self.path.with_suffix(".empty")
        empty.mkdir(exist_ok=True)
        subprocess.run(["mount", "--bind", *[f"-o{o}" for o in options], empty, self.path], check=True)

    def is_mounted(self):
        """Also by a folder of the system below, which os.path.ismount does not see."""
        return any(line.split()[4] == str(self.path) for line in open("/proc/self/mountinfo"))

    def umount(self):
        subprocess.run(["umount", "-l", self.path], check=True)

    def umount_all(self):
        while self.is_mounted():
            self.umount()

    def shrink(self):
        """Full at once, however large it is: it has no room but for what is on it."""
        def to_what_is_used():
            now = os.statvfs(self.path)
            size = max((now.f_blocks - now.f_bfree) * now.f_frsize, 4096)
            return subprocess.run(["mount", "-o", f"remount,size={size}", self.path],
                                  capture_output=True).returncode == 0
        wait_until(to_what_is_used, what=f"{self.path} is as small as it can be")

    def grow(self):
        self.remount(f"size={self.size}")

    def fill(self):
        with open(self.path / "filler", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass


@contextlib.contextmanager
def small_disk(path, size="8m"):
    if os.geteuid():
        pytest.skip("mounting a disk needs root")
    one = Disk(path, size)
    try:
        yield one
    finally:
        one.umount_all()
