"""Machines with a network of their own, of which some have a clock that can be turned, and Redis and the store have disks of their own."""
import os
import subprocess

from disk import Disk
from harness import BUILD, wait_until
from network import Networked

FAKETIME = "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1".format(os.uname().machine)


class Machines(Networked):
    """workers w0 … and schedulers; the last of each has a clock of its own."""

    def __init__(self, folder, workers=3, schedulers=2, **options):
        self.disks = {}
        self.turned = {("worker", workers - 1), ("scheduler", schedulers - 1)}
        super().__init__(folder, workers, schedulers, **options)

    def prepare(self, started):
        for name, size in (("redis", "2g"), ("store", "2g")):
            self.disks[name] = Disk(self.folder / name, size)
            started.callback(self.disks[name].umount_all)

    def clock(self, kind, i):
        return self.folder / f"clock-{kind}-{i}"

    def environment(self, kind, i):
        """Only what people call the time is turned: no machine's monotonic clock ever jumps."""
        if (kind, i) not in self.turned or BUILD.name.endswith("-asan"):  # which must be the first library
            return {}
        if not self.clock(kind, i).exists():
            self.clock(kind, i).write_text("+0")
        return {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(self.clock(kind, i)),
                "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def turn_clock(self, kind, i, seconds):
        """Puts it wrong by so much, and makes sure that a program there sees that."""
        self.clock(kind, i).write_text(f"{seconds:+d}")
        environment = self.environment(kind, i)
        if environment:
            def now(more):
                return int(subprocess.run(["date", "+%s"], env={**os.environ, **more}, capture_output=True).stdout)
            wrong = now(environment) - now({})
            assert abs(wrong - seconds) < 5, f"{kind} {i} is wrong by {wrong} s, not by {seconds}: faketime?"

    def is_idle(self):
        """No run is left, nor a transcript that is to go to the store."""
        return not self.program_pids() and not any(self.runs(i) or any((self.state_dir(i) / "owed").glob("*"))
                                                   for i in self.workers)

    def restart_redis_process(self):
        if not self.redis.process.alive():
            self.redis.start()
        wait_until(self.redis.answers, 60, "redis-server answers")
