"""What is done to the machines. A fault is a generator: it does its work, yields while it lasts, and then undoes it;
one that finds nothing to hit ends without yielding, and is tried again later. One fault of a lane is under way at a
time: machines are hurt while services are hurt, but no worker is stopped together with the runner that it watches
over."""
import os
import random
import signal
import threading
import traceback
from collections import Counter
from dataclasses import dataclass
from typing import Callable

import redis

from harness import wait_until

FAULTS = []


@dataclass
class Fault:
    name: str
    lane: str
    least: float  # seconds that it lasts
    most: float
    do: Callable
    what: str


def fault(lane, least, most):
    def add(function):
        FAULTS.append(Fault(function.__name__.replace("_", "-"), lane, least, most, function, function.__doc__))
        return function
    return add


def one_of(chance, find):
    """Somebody to hurt, as a pidfd: a number may be somebody else's by the time that it is to be woken again."""
    try:
        pids = wait_until(find, 3, "somebody is there")
        return os.pidfd_open(chance.choice(sorted(pids)))
    except (AssertionError, ProcessLookupError):
        return None


def send(pidfd, number):
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass


def killed(chance, find):
    pidfd = one_of(chance, find)
    if pidfd is not None:
        send(pidfd, signal.SIGKILL)
        yield
        os.close(pidfd)


def stopped(chance, find):
    pidfd = one_of(chance, find)
    if pidfd is not None:
        send(pidfd, signal.SIGSTOP)
        yield
        send(pidfd, signal.SIGCONT)
        os.close(pidfd)


def any_worker(machines, chance):
    return chance.choice(sorted(machines.workers))


def runners(machines):
    return [pid for i in machines.workers for pid in machines.runner_pids(i).values()]


def helpers(machines):
    return [pid for i in machines.workers for name in ("stoker-ship", "stoker-unpack", "stoker-restore")
            for pid in machines.helper_pids(name, i)]


# ---- machines: workers, and what runs on them ----

@fault("machines", 0, 1)
def worker_killed(machines, chance):
    """kill -9 of a worker, which is started again; its runners live on"""
    i = any_worker(machines, chance)
    machines.workers[i].kill()
    yield
    machines.start_worker(i)


@fault("machines", 0.5, 4)
def worker_stopped(machines, chance):
    """SIGSTOP of a worker"""
    yield from stopped(chance, lambda: [machines.workers[any_worker(machines, chance)].pid])


@fault("machines", 0, 2)
def machine_killed(machines, chance):
    """kill -9 of a worker, all its runners and all their programs at once"""
    i = any_worker(machines, chance)
    machines.kill_everything(i)
    yield
    machines.start_worker(i)


@fault("machines", 0, 0)
def runner_killed(machines, chance):
    """kill -9 of a runner"""
    yield from killed(chance, lambda: runners(machines))


@fault("machines", 0.5, 5)
def runner_stopped(machines, chance):
    """SIGSTOP of a runner, often for longer than its lease"""
    yield from stopped(chance, lambda: runners(machines))


@fault("machines", 0, 0)
def helper_killed(machines, chance):
    """kill -9 of what stores or restores a checkpoint"""
    yield from killed(chance, lambda: helpers(machines))


@fault("machines", 0.2, 2)
def helper_stopped(machines, chance):
    """SIGSTOP of what stores or restores a checkpoint"""
    yield from stopped(chance, lambda: helpers(machines))


@fault("machines", 0, 0)
def program_killed(machines, chance):
    """kill -9 of a program"""
    yield from killed(chance, machines.program_pids)


@fault("machines", 0.2, 3)
def program_stopped(machines, chance):
    """SIGSTOP of a program"""
    yield from stopped(chance, machines.program_pids)


def cut(machines, name, *directions):
    machines.network.cut(name, *directions)
    yield
    machines.network.mend(name)


@fault("machines", 0.5, 5)
def worker_deaf(machines, chance):
    """a worker's machine hears nothing any more: Redis gets its calls, the answers are lost"""
    yield from cut(machines, f"worker{any_worker(machines, chance)}", "in")


@fault("machines", 0.5, 5)
def worker_mute(machines, chance):
    """nobody hears a worker's machine any more"""
    yield from cut(machines, f"worker{any_worker(machines, chance)}", "out")


@fault("machines", 0.5, 5)
def worker_cut_off(machines, chance):
    """a worker's machine is cut off in both directions"""
    yield from cut(machines, f"worker{any_worker(machines, chance)}", "in", "out")


def turned(machines, chance, kind):
    i = next(i for k, i in machines.turned if k == kind)
    machines.turn_clock(kind, i, chance.choice([-3600, 3600]))
    yield
    machines.turn_clock(kind, i, 0)


@fault("machines", 0.5, 4)
def worker_clock(machines, chance):
    """the clock of a worker's machine jumps by an hour, and back"""
    yield from turned(machines, chance, "worker")


# ---- services: Redis, the schedulers, the store ----

@fault("services", 0, 1.5)
def redis_killed(machines, _chance):
    """kill -9 of redis-server, and its restart"""
    machines.redis.kill()
    yield
    machines.restart_redis_process()


@fault("services", 0.2, 3)
def redis_stopped(machines, chance):
    """SIGSTOP of redis-server"""
    yield from stopped(chance, lambda: [machines.redis.process.pid])


@fault("services", 0.5, 3)
def redis_slow(machines, _chance):
    """redis-server is stopped for five sixths of the time, 50 ms at a time"""
    end, pid = threading.Event(), machines.redis.process.pid

    def brake():
        while not end.wait(0.01):
            os.kill(pid, signal.SIGSTOP)
            end.wait(0.05)
            os.kill(pid, signal.SIGCONT)
    thread = threading.Thread(target=brake)
    thread.start()
    yield
    end.set()
    thread.join()


@fault("services", 0.3, 2)
def redis_full(machines, _chance):
    """Redis is out of memory (maxmemory)"""
    client = machines.redis.client()
    client.config_set("maxmemory", "1")
    yield
    client.config_set("maxmemory", "0")


@fault("services", 0.3, 2)
def redis_read_only(machines, _chance):
    """Redis becomes the replica of a server that is not there (READONLY)"""
    client = machines.redis.client()
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    yield
    client.execute_command("REPLICAOF", "NO", "ONE")


@fault("services", 0.3, 2)
def redis_misconf(machines, _chance):
    """Redis cannot save and therefore refuses writes (MISCONF)"""
    client, target = machines.redis.client(), machines.redis.folder / "dump.rdb"
    target.mkdir()
    client.config_set("save", "3600 1")

    def has_failed():
        try:
            client.execute_command("BGSAVE")
        except redis.exceptions.ResponseError:
            pass  # one is under way, or its end was not noticed yet
        return client.info("persistence")["rdb_last_bgsave_status"] == "err"
    wait_until(has_failed, what="a save has failed", every=0.05)
    yield
    client.config_set("save", "")
    target.rmdir()


@fault("services", 0.2, 1.5)
def redis_disk_full(machines, _chance):
    """no room on the disk of Redis: with appendfsync always it dies, until there is room again"""
    machines.disks["redis"].shrink()
    yield
    machines.disks["redis"].grow()
    machines.restart_redis_process()


@fault("services", 0, 1)
def scheduler_killed(machines, chance):
    """kill -9 of a scheduler"""
    i = chance.choice(sorted(machines.schedulers))
    machines.schedulers[i].kill()
    yield
    machines.start_scheduler(i)


@fault("services", 0.3, 3)
def scheduler_stopped(machines, chance):
    """SIGSTOP of a scheduler"""
    yield from stopped(chance, lambda: [chance.choice(list(machines.schedulers.values())).pid])


@fault("services", 0.3, 3)
def all_schedulers_stopped(machines, chance):
    """SIGSTOP of every scheduler: nothing is let go and nobody reaps"""
    parts = [stopped(chance, lambda p=p: [p.pid]) for p in machines.schedulers.values()]
    for part in parts:
        next(part)
    yield
    for part in parts:
        next(part, None)


@fault("services", 0.5, 4)
def scheduler_deaf(machines, chance):
    """a scheduler gets no answers from Redis any more"""
    yield from cut(machines, f"scheduler{chance.choice(sorted(machines.schedulers))}", "in")


@fault("services", 0.5, 4)
def scheduler_clock(machines, chance):
    """the clock of a scheduler's machine jumps by an hour, and back"""
    yield from turned(machines, chance, "scheduler")


@fault("services", 0.3, 2)
def store_read_only(machines, _chance):
    """the store can only be read"""
    machines.disks["store"].remount("ro")
    yield
    machines.disks["store"].remount("rw")


@fault("services", 0.3, 2)
def store_full(machines, _chance):
    """the store has no room"""
    machines.disks["store"].shrink()
    yield
    machines.disks["store"].grow()


@fault("services", 0.3, 2)
def store_away(machines, _chance):
    """an empty folder, which cannot be written to, stands where the store was"""
    machines.disks["store"].bind_away("ro")
    yield
    machines.disks["store"].umount()


class Nemesis:
    """Goes through the faults of one lane in rounds of random order until it is told to stop and has hit with each."""

    def __init__(self, machines, history, lane, seed, longest):
        self.machines, self.history, self.longest = machines, history, longest
        self.faults = [f for f in FAULTS if f.lane == lane]
        self.chance, self.hits, self.failure = random.Random(f"{seed} {lane}"), Counter(), None
        self.halt, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, name=lane)
        self.thread.start()

    def missing(self):
        return [f.name for f in self.faults if not self.hits[f.name]]

    def run(self):
        order = []
        try:
            while not self.over.is_set() and (self.missing() or not self.halt.is_set()):
                order = order or self.chance.sample(self.faults, len(self.faults))
                one = order.pop()
                if not self.halt.is_set() or one.name in self.missing():
                    self.hurt(one)
        except BaseException:
            self.failure = traceback.format_exc()

    def hurt(self, one):
        lasts = min(self.chance.uniform(one.least, one.most), self.longest)
        work = one.do(self.machines, self.chance)
        if next(work, self) is self:
            return  # nothing was there
        self.history.write("fault", f=one.name, what="done")
        self.hits[one.name] += 1
        self.over.wait(lasts)  # how long it lasts, not a wait for something
        next(work, None)
        self.history.write("fault", f=one.name, what="undone")
        self.over.wait(self.chance.uniform(0, min(self.longest, 1)))

    def join(self):
        """Ends it, what is under way undone."""
        self.over.set()
        self.thread.join()

    def stop(self, timeout=120):
        """Once each fault has hit; answers what went wrong in it."""
        self.halt.set()
        self.thread.join(timeout)
        self.join()
        return self.failure or (f"never hit: {self.missing()}" if self.missing() else "")
