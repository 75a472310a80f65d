"""What is kept from one call to the next, as the names of keys, changes nothing, however much it is."""
import pytest

from conftest import Queue

QUEUES = 130  # more than the names of queues that are kept
JOBS = 1100   # more than the names of keys that are kept


def queue_named(redis, name):
    q = Queue(redis, name)
    q.create("installation1")
    return q


def test_many_queues_in_turn_keep_to_themselves(q):
    queues = [queue_named(q.redis, f"q{i}") for i in range(QUEUES)]
    for one in queues + queues:
        one.add()
    for one in queues:
        first, second = one.take(most=2)
        assert (first["id"], second["id"]) == (f"{one.name}-1", f"{one.name}-2")
        assert one.end(first, "succeeded") == ["ok", "succeeded"]
        assert (one.state(1), one.state(2)) == ("succeeded", "running")


def test_a_key_of_another_shape_names_no_queue_after_a_good_one_did(q):
    q.add()
    for keys in ([q.key("meta"), q.key("meta")], [q.key("met")], []):
        with pytest.raises(Exception, match="INVALID expected one key"):
            q.redis.fcall("stoker_submit", len(keys), *keys, '{"command":["true"]}')


def test_more_names_than_are_kept(q):
    for i in range(JOBS):
        n = q.add(tenant=f"t{i}", resources={"cpus": 1 + i % 60, "memory": f"{1 + i % 50}GiB"})
        claim, = q.take(most=1)
        assert (claim["n"], claim["cpus"]) == (n, q.redis.hget(q.key(f"job:{n}"), "class").split("-")[0][3:])
        assert q.end(claim, "error" if i % 3 else "succeeded")[0] == "ok"
