"""Which stores of files have a mark: the field `store` of meta, a URL a line. One that is named there and has none is
not mounted; what was never named may be new."""
import json

HERE, THERE = "file:///data/store", "file:///mnt/other store"


def beat(q, worker, **fields):
    """What the worker is told: the installation, if its store must have a mark."""
    return q.worker(worker, json.dumps({"host": "h", "pid": 1, "state": "up", **fields}))[3]


def named(q):
    return (q.redis.hget(q.key("meta"), "store") or "").split("\n")


def commit(q, claim, seq, store):
    q.commit(claim, seq, seq, uri=f"{store}/{installation(q)}/checkpoints/default-1-x/1/1/manifest.json")


def installation(q):
    return q.redis.hget(q.key("meta"), "installation")


def test_a_commit_names_the_store_that_its_worker_was_given(q):
    claim = q.start()
    worker = q.job(1)["worker"]
    commit(q, claim, 1, HERE)
    assert named(q) == [""], "nothing is known of that worker"
    assert beat(q, worker, store=THERE) == ""
    commit(q, claim, 2, HERE)
    assert named(q) == [""], "it was given another: this one is in its own state folder"
    assert beat(q, worker, store=HERE + "//") == ""
    commit(q, claim, 3, HERE)
    assert named(q) == [HERE]
    assert beat(q, worker, store=HERE) == beat(q, worker, store=HERE + "/") == installation(q)
    assert beat(q, "w2", store=THERE) == beat(q, "w3", store="") == ""
    assert beat(q, "w4") == installation(q), "an older worker does not say which is its own"
    before = q.snapshot()
    commit(q, claim, 3, HERE)
    assert q.snapshot() == before


def test_s3_needs_no_mark(q):
    claim = q.start()
    beat(q, q.job(1)["worker"], store="s3://bucket/x", stored="1")
    commit(q, claim, 1, "s3://bucket/x")
    assert named(q) == [""]


def test_a_daemon_says_that_it_left_a_mark(q):
    q.start()
    beat(q, "w1", store=HERE, stored="")
    q.prune(100, "store", "")
    assert named(q) == [""]
    beat(q, "w1", store=HERE, stored="1")
    q.prune(100, "store", THERE)
    q.prune(100, "store", THERE)
    assert named(q) == [HERE, THERE]
    assert beat(q, "w2", store=THERE) == installation(q)
    for i in range(20):
        q.prune(100, "store", f"file:///{i}")
    assert len(named(q)) == 8
    q.prune(100, "store", "file:///a\nfile:///b")
    assert len(named(q)) == 8


def test_what_an_older_library_wrote(q):
    claim = q.start()
    q.redis.hset(q.key("meta"), "store", "marked")
    assert beat(q, "w1", store=HERE) == installation(q), "it did not say which"
    beat(q, q.job(1)["worker"], store=THERE)
    commit(q, claim, 1, THERE)
    assert named(q) == [THERE]
    assert beat(q, "w1", store=HERE) == ""
