"""A clock that can be put wrong, for the processes that are given its environment (libfaketime)."""
import os
import subprocess
from pathlib import Path

from harness import BUILD

FAKETIME = "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1".format(os.uname().machine)


class Clock:
    """Only what people call the time is turned: no machine's monotonic clock ever jumps."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.write_text("+0")
        self.environment = {} if BUILD.name.endswith("-asan") else {  # whose library must be the first
            "LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def turn(self, seconds):
        """Puts it wrong by so much, and makes sure that a program sees that."""
        self.path.write_text(f"{seconds:+d}")
        if self.environment:
            def now(more):
                return int(subprocess.run(["date", "+%s"], env={**os.environ, **more}, capture_output=True).stdout)
            wrong = now(self.environment) - now({})
            assert abs(wrong - seconds) < 5, f"{self.path.name} is wrong by {wrong} s, not by {seconds}: faketime?"
