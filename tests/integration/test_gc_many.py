"""Cleaning a large store, and what is needed by jobs that are in the archive."""
import json

import pytest

from cluster import Cluster
from harness import wait_until

GONE, EACH = 400, 25


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path, workers=0, scheduler_options=["--store", f"file://{tmp_path}/store"]) as one:
        yield one


def put(folder, key):
    unit = folder / key
    unit.mkdir(parents=True)
    (unit / "manifest.json").write_bytes(b"{}")
    (unit / "data.tar").write_bytes(b"x")


def test_many_jobs_that_are_gone(cluster, tmp_path):
    """20,000 objects of 400 jobs that were removed, while one job was lent something: the queue is asked once for its
    own jobs, and once more when all of those that are gone are known."""
    redis = cluster.redis.client()
    installation = redis.get("stoker:installation")
    redis.hset("stoker:{default}:meta", "next", 2 * GONE)
    lent = f"{installation}/checkpoints/default-7-0000000000000007/9/3/"
    job = cluster.submit({"command": "true", "hold": True})
    redis.hset("stoker:{default}:checkpoints:" + job.rsplit("-", 1)[1], "0-1", json.dumps(
        {"state": "committed", "from": "default-7", "attempt": 9, "seq": 3, "uri": f"s3://x/{lent}manifest.json"}))
    redis.zadd("stoker:{default}:borrowers", {job.rsplit("-", 1)[1]: 1})
    for n in range(1, GONE + 1):
        for seq in range(EACH):
            put(tmp_path / "store", f"{installation}/checkpoints/default-{n}-{n:016x}/9/{seq}")
    redis.config_set("slowlog-max-len", 100000)
    redis.config_set("slowlog-log-slower-than", 0)
    status, text = cluster.request("POST", "/api/v1/gc", {"older_ms": 0, "dry_run": True})
    asked = [one["command"].split()[:2] for one in redis.slowlog_get(100000)]
    redis.config_set("slowlog-log-slower-than", -1)
    lines = [json.loads(line) for line in text.splitlines() if line]
    took = [line for line in lines if line.get("action") == "would delete"]
    assert status == 200 and len(took) == GONE * EACH - 1, lines[-1]
    assert lent not in [line["key"] for line in took]
    count = {name: sum(command[1:] == [name.encode()] for command in asked) for name in ("stoker_lent", "stoker_show")}
    assert count == {"stoker_lent": 2, "stoker_show": GONE}, count


def test_what_a_job_in_the_archive_was_lent_stays(cluster, tmp_path):
    """Its lender was removed; it is archived, and may be done again from there."""
    redis = cluster.redis.client()
    installation = redis.get("stoker:installation")
    lender = cluster.submit({"command": "true", "hold": True})
    unit = "%s/checkpoints/%s-%s/9/%%d/" % (installation, lender, cluster.job(lender)["uid"])
    for seq in (1, 2, 3):
        put(tmp_path / "store", unit % seq)
    redis.hset("stoker:{default}:checkpoints:1", "1-3", json.dumps(
        {"state": "committed", "attempt": 1, "seq": 3, "step": 3, "uses": [1],
         "uri": f"s3://x/{unit % 3}manifest.json"}))
    borrower = cluster.submit({"command": "true", "hold": True, "resume": lender})
    for job in (borrower, lender):
        cluster.cli("cancel", job)
    cluster.cli("rm", lender)
    redis.hset("stoker:{default}:meta", "max_finished", 0)
    wait_until(lambda: not redis.exists("stoker:{default}:job:2"), 30, "the borrower is archived")
    redis.hset("stoker:{default}:meta", "max_finished", 1000)

    def gc():
        status, text = cluster.request("POST", "/api/v1/gc", {"older_ms": 0})
        assert status == 200 and json.loads(text.splitlines()[-1])["sum"]["problems"] == 0, text
        return sorted(int(path.name) for path in (tmp_path / "store").glob(f"{installation}/checkpoints/*/9/*"))
    assert gc() == [1, 3]
    again = cluster.cli("retry", borrower).stdout.split()[-1]
    assert redis.hexists("stoker:{default}:checkpoints:" + again.rsplit("-", 1)[1], "0-1")
    assert gc() == [1, 3]
