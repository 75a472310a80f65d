"""Ends that nobody asked for are called by their names: real cgroups, real full disks."""
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from disk import small_disk
from harness import wait_until
from worker_harness import RETRY, job_of

ONCE = {**RETRY, "max_attempts": 1}


def python(script, **more):
    return {"command": [sys.executable, "-c", script], "lease": "2s", "retry": ONCE, **more}


# ---- memory ----

@contextmanager
def memory_group(limit):
    """A cgroup with a bound on memory: version 2 or 1, or the test is skipped."""
    v2 = Path("/sys/fs/cgroup/cgroup.controllers")
    root = Path("/sys/fs/cgroup" if v2.exists() else "/sys/fs/cgroup/memory")
    group = root / f"stoker-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        try:
            if v2.exists():
                (group / "memory.swap.max").write_text("0")
                (group / "memory.max").write_text(str(limit))
            else:
                (group / "memory.limit_in_bytes").write_text(str(limit))
        except OSError as error:
            pytest.skip(f"memory cannot be bounded here: {error}")
        yield group
    finally:
        wait_until(lambda: is_left(group, root), what="the cgroup is empty")
        group.rmdir()


def is_left(group, root):
    """Whoever is in it moves out."""
    left = (group / "cgroup.procs").read_text().split()
    for pid in left:
        try:
            (root / "cgroup.procs").write_text(pid)
        except ProcessLookupError:
            continue
    return not left


def children_of(parent):
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1]) == parent:
                    yield int(entry)
            except (FileNotFoundError, ProcessLookupError):
                continue


def confine(cluster, group):
    """The worker, and the spare runner that it may have forked before."""
    worker = cluster.workers[0].pid
    (group / "cgroup.procs").write_text(str(worker))
    for pid in children_of(worker):
        (group / "cgroup.procs").write_text(str(pid))


EATS = "import os; kept = [os.urandom(1 << 20) for _ in range(300)]"


def test_killed_by_the_kernel_for_want_of_memory(cluster):
    with memory_group(96 << 20) as group:
        confine(cluster, group)
        done = cluster.wait_final(cluster.submit(python(EATS, resources={"memory": "16MiB"})))
        assert (done["state"], done["cause"], done["signal"]) == ("failed", "error", "9")
        assert done["error"].startswith("out of memory: ") and " MiB of 16 MiB, what it may" in done["error"], done
        done = cluster.wait_final(cluster.submit(python(EATS)))
        assert " MiB of 96 MiB, all that its cgroup has" in done["error"], done
        # The program goes on when one of its processes is killed, and says so by its exit code.
        child = f"""
import subprocess, sys
subprocess.run([sys.executable, '-c', '''{EATS}'''])
sys.exit('my child died')
"""
        done = cluster.wait_final(cluster.submit(python(child)))
        assert done["error"] == ("exit 1: my child died; while it ran, the kernel killed 1 process in its cgroup for "
                                 "want of memory")


# ---- disks ----

def test_a_full_disk(cluster, tmp_path):
    with small_disk(tmp_path / "data", "64k") as one:
        disk = one.path
        write = f"open('{disk}/big', 'wb').write(bytes(1 << 20))"
        done = cluster.wait_final(cluster.submit(python(write)))
        assert done["state"] == "failed" and done["error"].startswith("disk full (exit 1): OSError: [Errno 28]"), done
        done = cluster.wait_final(cluster.submit(job_of(f"cp /dev/zero {disk}/small; exit 3", retry=ONCE)))
        assert done["error"].startswith(f"disk full: {disk}/small (exit 3): cp: error writing "), done
