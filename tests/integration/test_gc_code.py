"""Code that no spec names goes from the store; never what one does, whoever submits or dies in the middle of it."""
import json
import os
import random
import threading
import time
from http.client import HTTPException

import pytest

import fsck
from code_harness import code_cluster, folder_of, job_of, objects, submit
from harness import wait_until

DAY = 86400
K = "stoker:{default}:"


@pytest.fixture
def cluster(tmp_path):
    with code_cluster(tmp_path) as one:
        yield one
        assert fsck.check(one.redis.client()) == []


def pack(cluster, tmp_path, name, **spec):
    """A held job with code of its own: its id, and the hash."""
    root = folder_of(tmp_path, {"main.sh": f"echo {name}", ".stokerignore": "job.yaml\n"}, name)
    job = job_of(submit(cluster, {"command": "sh main.sh", "workdir": ".", "hold": True, **spec}, root))
    return job, cluster.show(job)["spec"]["code"]


def end(cluster, job):
    cluster.cli("cancel", job)
    return job


def unused(cluster, tmp_path, name):
    job, code = pack(cluster, tmp_path, name)
    cluster.cli("rm", end(cluster, job))
    return code


def age(cluster, seconds=2 * DAY):
    past = time.time() - seconds
    for path in objects(cluster):
        os.utime(path, (past, past))


def there(cluster):
    """Hashes of which anything is left, and those that are whole."""
    left = {path.parent.name for path in objects(cluster)}
    whole = {code for code in left if cluster.request("GET", f"/api/v1/code/{code}?summary=1")[0] == 200}
    return left, whole


def gc(cluster, **body):
    status, text = cluster.request("POST", "/api/v1/gc", body, timeout=60)
    assert status == 200, text
    lines = [json.loads(line) for line in text.splitlines() if line]
    assert "sum" in lines[-1], lines[-1]
    return [line for line in lines[:-1] if line["job"] == "code"], lines[-1]["sum"]


def took(cluster, **body):
    lines, total = gc(cluster, **body)
    assert total["problems"] == 0, lines
    return {line["key"].split("/")[-2] for line in lines}


def archive(cluster, *jobs):
    redis = cluster.redis.client()
    redis.hset(K + "meta", "max_finished", 0)
    for job in jobs:
        wait_until(lambda job=job: not redis.exists(K + "job:" + job.rsplit("-", 1)[1]), 30, "it is archived")
    redis.hset(K + "meta", "max_finished", 1000)


def test_only_what_no_spec_names_goes(cluster, tmp_path):
    redis = cluster.redis.client()
    _, live = pack(cluster, tmp_path, "live")
    ended, of_ended = pack(cluster, tmp_path, "ended")
    archived, of_archived = pack(cluster, tmp_path, "archived")
    scheduled, followed, forgotten = (unused(cluster, tmp_path, name) for name in ("scheduled", "then", "forgotten"))
    cluster.api("POST", "/api/v1/schedules", {"command": "x", "code": scheduled,
                                              "schedule": {"name": "nightly", "cron": "0 3 * * *"}})
    redis.fcall("stoker_batch", 1, K + "meta", "b", json.dumps({"then": {"command": "x", "code": followed}}))
    archive(cluster, end(cluster, archived))
    end(cluster, ended)
    other = cluster.store() / "0123456789ab/code" / forgotten
    other.mkdir(parents=True)
    (other / "manifest.json").write_text("{}")
    age(cluster)
    young = unused(cluster, tmp_path, "young")
    assert took(cluster, dry_run=True) == {forgotten}
    assert not redis.exists(K + "condemned", K + "doomed") and forgotten in there(cluster)[0]
    age(cluster)  # who asks for a summary makes it young
    assert took(cluster, older_ms=3 * DAY * 1000) == set()
    assert took(cluster) == {forgotten, young}
    assert there(cluster)[1] == {live, of_ended, of_archived, scheduled, followed}
    assert (other / "manifest.json").exists()
    again = cluster.cli("retry", archived).stdout.split()[-1]
    cluster.start_worker()
    assert cluster.wait_final(again)["state"] == "succeeded"


def test_code_of_jobs_in_an_archive_that_does_not_tell_it(cluster, tmp_path):
    """Objects from before the index had it: their records are read."""
    jobs, codes = zip(*(pack(cluster, tmp_path, name) for name in ("one", "two")))
    archive(cluster, *[end(cluster, job) for job in jobs])
    for path in cluster.store().glob("*/archive/default/*/*"):
        index, rest = path.read_bytes().split(b"\n", 1)
        index = json.loads(index)
        for row in index["jobs"]:
            assert row.pop("code") in codes
        path.write_bytes(json.dumps(index).encode() + b"\n" + rest)
    gone = unused(cluster, tmp_path, "gone")
    age(cluster)
    assert took(cluster) == {gone} and there(cluster)[0] == set(codes)


def test_nothing_goes_where_redis_lost_something(cluster, tmp_path):
    redis = cluster.redis.client()
    code = unused(cluster, tmp_path, "x")
    unit = cluster.store() / redis.get("stoker:installation") / "checkpoints/lost-1-0123456789abcdef/9/1"
    unit.mkdir(parents=True)
    (unit / "manifest.json").write_text("{}")
    age(cluster)
    os.utime(unit / "manifest.json", (1, 1))
    lines, total = gc(cluster)
    assert total["problems"] == 2 and "lost jobs" in lines[0]["why"] and code in there(cluster)[0]


@pytest.mark.parametrize("left", ["marked", "doomed", "no manifest", "no blocks"])
def test_what_a_gc_that_died_left(cluster, tmp_path, left):
    """Each state between two of its steps: a submit gets its code there, at the latest when the mark has expired."""
    redis = cluster.redis.client()
    code = unused(cluster, tmp_path, "x")
    redis.fcall("stoker_condemn", 1, K + "meta", "mark", "r", code)
    if left != "marked":
        redis.fcall("stoker_condemn", 1, K + "meta", "doom", "r", code)
    for path in objects(cluster):
        if (path.name == "manifest.json") == (left == "no manifest") and left.startswith("no "):
            path.unlink()
    root = tmp_path / "x"
    (root / "job.yaml").write_text(json.dumps({"command": "sh main.sh", "workdir": "."}))
    if left != "marked":
        refused = cluster.cli("submit", root / "job.yaml", check=False)
        assert refused.returncode and "is being deleted" in refused.stderr and "again" in refused.stderr
        with pytest.raises(Exception, match="being deleted"):
            cluster.submit({"command": "sh main.sh", "code": code})
        redis.pexpire(K + "doomed", 1)
        wait_until(lambda: not redis.exists(K + "doomed"), what="the mark expires")
    age(cluster)
    if left != "marked":
        assert took(cluster) == {code} and not objects(cluster)
    job = cluster.cli("submit", root / "job.yaml").stdout.strip()
    cluster.start_worker()
    assert cluster.wait_final(job)["state"] == "succeeded"


def test_a_scheduler_is_killed_at_any_moment_of_it(cluster, tmp_path):
    redis, draw = cluster.redis.client(), random.Random(3)
    kept = {pack(cluster, tmp_path, f"kept-{i}")[1] for i in range(3)}
    reached = set()
    for _ in range(12):
        for i in range(6):
            unused(cluster, tmp_path, f"gone-{i}")
        age(cluster)
        process = cluster.schedulers[0]
        killer = threading.Timer(draw.uniform(0, 0.08), process.kill)
        killer.start()
        try:
            gc(cluster)
            reached.add("end")
        except (OSError, HTTPException):
            reached |= {name for name in ("condemned", "doomed") if redis.exists(K + name)}
        killer.join()
        cluster.start_scheduler()
        assert kept <= there(cluster)[1]
        redis.delete(K + "doomed")  # as if its time was over
    age(cluster)
    gc(cluster)
    assert there(cluster)[0] == kept and reached, reached


@pytest.mark.parametrize("asks", [True, False])
def test_a_submit_races_it(cluster, tmp_path, asks):
    """Whoever was told that it is there, or names it while it is, has it: for each moment of a gc."""
    draw, outcomes = random.Random(7), {"kept": 0, "deleted": 0}
    root = folder_of(tmp_path, {"main.sh": "echo x", ".stokerignore": "job.yaml\n"}, "x")
    (root / "job.yaml").write_text(json.dumps({"command": "sh main.sh", "workdir": ".", "hold": True}))
    for turn in range(300):
        if turn >= 50 and min(outcomes.values()) > 0:  # on a busy machine one of them may be rare
            break
        job = cluster.cli("submit", root / "job.yaml").stdout.strip()
        code = cluster.show(job)["spec"]["code"]
        cluster.cli("rm", end(cluster, job))
        age(cluster)
        thread = threading.Thread(target=gc, args=(cluster,))
        thread.start()
        time.sleep(draw.uniform(0, 0.15))
        is_there, status, text = True, 0, ""
        if asks:
            is_there = cluster.request("GET", f"/api/v1/code/{code}?summary=1")[0] == 200
        if is_there:
            status, text = cluster.request("POST", "/api/v1/jobs", {"command": "x", "code": code, "hold": True})
            is_there = asks or any(path.name == "manifest.json" for path in objects(cluster))
        thread.join()
        if 200 <= status < 300:
            assert not is_there or there(cluster)[1] == {code}, "a job was accepted whose code is gone"
            outcomes["kept"] += is_there
            cluster.cli("rm", end(cluster, json.loads(text)["id"]))
        outcomes["deleted"] += code not in there(cluster)[0]
    assert min(outcomes.values()) > 0, outcomes
