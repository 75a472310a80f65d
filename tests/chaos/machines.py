"""Machines with a network of their own, of which some have a clock that can be turned; Redis and the store have disks
of their own."""
from clock import Clock
from disk import Disk
from harness import wait_until
from network import Networked


class Machines(Networked):
    """workers w0 … and schedulers; the last of each has a clock of its own."""

    def __init__(self, folder, workers=3, schedulers=2, **options):
        self.disks = {}
        self.turned, self.clocks = {("worker", workers - 1), ("scheduler", schedulers - 1)}, {}
        super().__init__(folder, workers, schedulers, **options)

    def prepare(self, started):
        for name, size in (("redis", "2g"), ("store", "2g")):
            self.disks[name] = Disk(self.folder / name, size)
            started.callback(self.disks[name].umount_all)

    def environment(self, kind, i):
        if (kind, i) not in self.turned:
            return {}
        if (kind, i) not in self.clocks:
            self.clocks[kind, i] = Clock(self.folder / f"clock-{kind}-{i}")
        return self.clocks[kind, i].environment

    def turn_clock(self, kind, i, seconds):
        self.clocks[kind, i].turn(seconds)

    def is_idle(self):
        """No run is left, nor a transcript that is to go to the store."""
        return not self.program_pids() and not any(self.runs(i) or any((self.state_dir(i) / "owed").glob("*"))
                                                   for i in self.workers)

    def restart_redis_process(self):
        if not self.redis.process.alive():
            self.redis.start()
        wait_until(self.redis.answers, 60, "redis-server answers")
