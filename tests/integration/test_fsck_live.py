"""stoker fsck as an operator has it: while jobs run, on what is broken, and as a user who may not SCAN."""
import json

import pytest

import fsck
from cluster import Cluster
from harness import wait_until

KEY = "stoker:{default}:"


@pytest.fixture
def idle(tmp_path):
    """Without a worker: nothing moves by itself."""
    with Cluster(tmp_path, workers=0) as cluster:
        yield cluster


def lines_of(cluster, *args, exit_code):
    done = cluster.cli("fsck", "--json", *args, check=False)
    assert done.returncode == exit_code, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[:-1], lines[-1]["sum"]


def test_what_is_broken_is_told_then_mended_then_gone(idle):
    client = idle.redis.client()
    job = idle.submit({"command": ["true"], "delay": "1h"})
    n = job.rsplit("-", 1)[1]
    client.delete(KEY + "waiting")
    client.set(KEY + "odd", "1")
    found, total = lines_of(idle, exit_code=12)
    assert {f["code"]: f["outcome"] for f in found} == {"index-missing": "found", "active": "found",
                                                        "key-unknown": "found"}
    assert total["left"] == 3 and total["repaired"] == 0
    assert all(f["risk"] and f["advice"] and f["queue"] == "default" for f in found)
    assert not client.exists(KEY + "waiting"), "without --repair nothing is touched"
    mended, total = lines_of(idle, "--repair", exit_code=12)
    assert total["left"] == 1 and total["repaired"] == 1, "what followed from it was right by then"
    assert [f["code"] for f in mended if f["outcome"] == "left"] == ["key-unknown"]
    assert client.zscore(KEY + "waiting", n)
    client.delete(KEY + "odd")
    assert lines_of(idle, exit_code=0)[1]["left"] == 0
    said = idle.cli("fsck", "-q", "default").stdout
    assert "nothing is wrong" in said
    assert fsck.check(client) == []


def test_a_queue_that_is_not_there_is_an_error(idle):
    done = idle.cli("fsck", "-q", "nowhere", check=False)
    assert done.returncode not in (0, 12) and "nowhere" in done.stderr


def test_what_runs_makes_no_false_finding(tmp_path):
    """Submits, claims, ends, retries and cancels all the time: fsck, once and again, finds nothing wrong."""
    with Cluster(tmp_path, worker_options=("--cpus", 4, "--memory", "1GiB")) as cluster:
        jobs = []
        for i in range(40):
            spec = {"command": ["sh", "-c", "echo loss=1; exit $((RANDOM % 2))"], "batch": f"b{i % 3}",
                    "resources": {"cpus": 1}, "retry": {"max_attempts": 2},
                    "concurrency": {"key": f"k{i % 2}", "max": 2}}
            jobs.append(cluster.submit({**spec, **({"after": [jobs[-1]]} if i % 5 == 4 else {})}))
            if i % 4 == 0:
                assert lines_of(cluster, exit_code=0)[0] == []
        cluster.cli("cancel", jobs[20], check=False)
        finals = ("succeeded", "failed", "cancelled")

        def look_while_they_run():
            assert lines_of(cluster, exit_code=0)[0] == []
            return all(cluster.job(job)["state"] in finals for job in jobs)

        wait_until(look_while_they_run, timeout=120, what="all jobs have ended")
        assert fsck.check(cluster.redis.client()) == []
