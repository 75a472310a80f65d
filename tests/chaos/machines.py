"""A cluster in which each worker and each scheduler is a machine of its own: it has a network namespace, from which it
reaches Redis over a link that can be cut in one direction or in both, and some have a clock that can be turned. Redis
and the store have disks of their own."""
import contextlib
import os
import re
import subprocess

from cluster import Cluster
from disk import Disk
from harness import BUILD, Process, RedisServer, wait_until

FAKETIME = "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1".format(os.uname().machine)
PORT = 6379


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.returncode} (the partitions "
                             "of this test need root, network namespaces and nft: run it where there are some)")
    return done.stdout


class Network:
    """A hub and machines around it, each in a network namespace of this process' own."""

    def __init__(self):
        self.prefix, self.members = f"stoker-{os.getpid()}-", {}
        self.sweep()
        self.add_namespace("hub")

    @staticmethod
    def sweep():
        """Takes away the namespaces of a test that was killed."""
        for name in run("ip", "netns", "list").split():
            of = re.fullmatch(r"stoker-(\d+)-\w+", name)
            if of and not os.path.exists(f"/proc/{of[1]}"):
                subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def add_namespace(self, name):
        run("ip", "netns", "add", self.prefix + name)
        self.members[name] = len(self.members)
        run("ip", "-n", self.prefix + name, "link", "set", "lo", "up")

    def add(self, name):
        if name in self.members:
            return
        self.add_namespace(name)
        k, hub, own = self.members[name], self.prefix + "hub", self.prefix + name
        run("ip", "-n", hub, "link", "add", f"to{k}", "type", "veth", "peer", "name", "eth0", "netns", own)
        for namespace, link, end in ((hub, f"to{k}", 1), (own, "eth0", 2)):
            run("ip", "-n", namespace, "addr", "add", f"10.0.{k}.{end}/30", "dev", link)
            run("ip", "-n", namespace, "link", "set", link, "up")
        self.nft(name, "add table inet cut; add chain inet cut in { type filter hook input priority 0; };"
                       "add chain inet cut out { type filter hook output priority 0; }")

    def inside(self, name):
        return ["nsenter", f"--net=/run/netns/{self.prefix}{name}"]

    def hub_address(self, name):
        return f"10.0.{self.members[name]}.1"

    def nft(self, name, rules):
        run(*self.inside(name), "nft", rules)

    def cut(self, name, *directions):
        """in: it hears nothing any more; out: nobody hears it."""
        for direction in directions:
            self.nft(name, f"add rule inet cut {direction} drop")

    def mend(self, name):
        self.nft(name, "flush table inet cut")

    def close(self):
        for name in self.members:
            subprocess.run(["ip", "netns", "del", self.prefix + name], capture_output=True)


class Machines(Cluster):
    """workers w0 … and schedulers; the last of each has a clock of its own."""

    def __init__(self, folder, workers=3, schedulers=2, **options):
        self.closing = contextlib.ExitStack()
        with contextlib.ExitStack() as started:  # what was made goes also when the rest cannot be
            folder.mkdir(parents=True)
            self.network = Network()
            started.callback(self.network.close)
            self.disks = {}
            for name, size in (("redis", "2g"), ("store", "2g")):
                self.disks[name] = Disk(folder / name, size)
                started.callback(self.disks[name].umount_all)
            self.turned = {("worker", workers - 1), ("scheduler", schedulers - 1)}
            super().__init__(folder, workers, schedulers, **options)
            self.closing = started.pop_all()

    def make_redis(self, options):
        return RedisServer(self.folder / "redis", "--port", PORT, "--bind", "0.0.0.0", "--protected-mode", "no",
                           *options, before=self.network.inside("hub"))

    def redis_url(self, kind, i):
        self.network.add(f"{kind}{i}")
        return f"redis://{self.network.hub_address(f'{kind}{i}')}:{PORT}"

    def launch(self, kind, i, args, log):
        return Process([*self.network.inside(f"{kind}{i}"), *args], log, env=self.clock_environment(kind, i))

    def clock(self, kind, i):
        return self.folder / f"clock-{kind}-{i}"

    def clock_environment(self, kind, i):
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
        environment = self.clock_environment(kind, i)
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

    def stop(self):
        super().stop()
        self.closing.close()
