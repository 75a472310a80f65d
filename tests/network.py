"""A cluster in which each worker and each scheduler is a machine of its own: it has a network namespace, from which it
reaches Redis over a link that can be cut in one direction or in both."""
import contextlib
import os
import re
import subprocess
from pathlib import Path

from cluster import Cluster
from harness import Process, RedisServer

PORT = 6379


def run(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.returncode} (this needs root, "
                             "network namespaces and nft: run it where there are some)")
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


class Networked(Cluster):
    """Each worker and each scheduler in a namespace of its own; Redis in that of the hub."""

    def __init__(self, folder, *args, **options):
        self.closing = contextlib.ExitStack()
        self.folder = Path(folder)
        with contextlib.ExitStack() as started:  # what was made goes also when the rest cannot be
            self.folder.mkdir(parents=True, exist_ok=True)
            self.network = Network()
            started.callback(self.network.close)
            self.prepare(started)
            super().__init__(folder, *args, **options)
            self.closing = started.pop_all()

    def prepare(self, started):
        """What has to be there before Redis is started."""

    def make_redis(self, options):
        return RedisServer(self.folder / "redis", "--port", PORT, "--bind", "0.0.0.0", "--protected-mode", "no",
                           *options, before=self.network.inside("hub"))

    def redis_url(self, kind, i):
        self.network.add(f"{kind}{i}")
        return f"redis://{self.network.hub_address(f'{kind}{i}')}:{PORT}"

    def environment(self, _kind, _i):
        return {}

    def launch(self, kind, i, args, log):
        return Process([*self.network.inside(f"{kind}{i}"), *args], log, env=self.environment(kind, i))

    def cut_power(self, i):
        """The machine of worker i is gone at once, and nobody is told: not even that its connections have ended."""
        self.network.cut(f"worker{i}", "in", "out")
        self.kill_everything(i)

    def power_on(self, i):
        self.network.mend(f"worker{i}")
        self.start_worker(i)

    def stop(self):
        super().stop()
        self.closing.close()
