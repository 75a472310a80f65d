"""A stranger spoils one thing, whatever it is. fsck answers; a repair that it offers mends that for good, or is refused
and changes nothing."""
import pytest
from redis import Redis
from redis.exceptions import ResponseError

import fsck
from conftest import Queue
from test_faults import scenario

META = "stoker:{default}:meta"
ODD = ["", "x", "-1", "9" * 20]
REFUSED = ("WRONGTYPE ", "INVALID queue default: ", "NOQUEUE ")


def hash_damages(redis, key):
    for field, value in redis.hgetall(key).items():
        yield f"HDEL {key} {field}", lambda r, f=field: r.hdel(key, f)
        for odd in ("x", "{}", value + "0"):
            yield f"HSET {key} {field} {odd}", lambda r, f=field, o=odd: r.hset(key, f, o)


def zset_damages(redis, key):
    for member, score in redis.zrange(key, 0, -1, withscores=True):
        yield f"ZREM {key} {member}", lambda r, m=member: r.zrem(key, m)
        for odd in (score + 1, -1, "+inf"):
            yield f"ZADD {key} {odd} {member}", lambda r, m=member, o=odd: r.zadd(key, {m: o})
    for odd in ("", "x", "1.5", "99", "x y", "9" * 20):
        yield f"ZADD {key} 1 '{odd}'", lambda r, o=odd: r.zadd(key, {o: 1})


def stream_damages(redis, key):
    for entry, fields in redis.xrange(key):
        yield f"XDEL {key} {entry}", lambda r, e=entry: r.xdel(key, e)
    for fields in ({"n": "x"}, {"n": "1"}, {"x": "1"}, {"n": "99", "attempt": "0"}):
        yield f"XADD {key} {fields}", lambda r, f=fields: r.xadd(key, f)
    for group in redis.xinfo_groups(key):
        yield f"XGROUP DESTROY {key} {group['name']}", lambda r, g=group["name"]: r.xgroup_destroy(key, g)
    yield f"XGROUP CREATE {key} other", lambda r: r.xgroup_create(key, "other")


def list_damages(_, key):
    yield f"LPOP {key}", lambda r: r.lpop(key)
    yield f"RPUSH {key} x", lambda r: r.rpush(key, "x")


def set_damages(redis, key):
    for member in redis.smembers(key):
        yield f"SREM {key} {member}", lambda r, m=member: r.srem(key, m)
    yield f"SADD {key} x", lambda r: r.sadd(key, "x")


def string_damages(_, key):
    for odd in ODD:
        yield f"SET {key} {odd}", lambda r, o=odd: r.set(key, o)


KINDS = {"hash": hash_damages, "zset": zset_damages, "stream": stream_damages, "list": list_damages,
         "set": set_damages, "string": string_damages}
OTHER = {"string": lambda r, key: r.rpush(key, "x"), "list": lambda r, key: r.set(key, "x")}


def damages(redis, kind):
    """(what it is called, function that does it), for every key of this type."""
    for key in sorted(key for key in redis.keys("*") if redis.type(key) == kind):
        yield f"DEL {key}", lambda r, k=key: r.delete(k)
        other = OTHER.get(kind, OTHER["list"])
        yield f"{key} of another type", lambda r, k=key, o=other: (r.delete(k), o(r, k))
        yield from KINDS[kind](redis, key)


def restore(raw, kept):
    """Everything as it was."""
    with raw.pipeline(transaction=False) as pipe:
        for key in set(raw.keys("*")) - kept.keys():
            pipe.delete(key)
        for key, dump in kept.items():
            pipe.restore(key, 0, dump, replace=True)
        pipe.execute()


def mend(q, finding, spoil_anew):
    """Was it mended? What is refused changes nothing."""
    try:
        return q.repair(finding["where"], finding["code"], "test") == "repaired"
    except ResponseError as e:
        assert str(e).startswith(REFUSED), e
    spoil_anew()
    before = q.snapshot()
    with pytest.raises(ResponseError):
        q.repair(finding["where"], finding["code"], "test")
    assert q.snapshot() == before, "refused, and something changed"
    return False


def check(q, name, spoil_anew):
    """What is wrong with how fsck takes it."""
    spoil_anew()
    try:
        found = list(fsck.findings(q.redis, META))
    except ResponseError as e:
        return [] if "meta" in name and str(e).startswith(REFUSED) else [f"{name}: {e}"]
    mended = []
    for finding in found:
        try:
            if finding["repair"] and mend(q, finding, spoil_anew):
                mended.append(finding)
        except (AssertionError, ResponseError) as e:
            return [f"{name}: {finding}: {e}"]
    again = list(fsck.findings(q.redis, META)) if mended else []
    return [f"{name}: mended, and found again: {finding}" for finding in mended if finding in again]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_fsck_takes_whatever_is_spoiled(server, redis, kind):
    q = Queue(redis)
    scenario(q)
    raw = Redis(unix_socket_path=str(server.socket))
    kept = {key: raw.dump(key) for key in raw.keys("*")}
    wrong = []
    for name, spoil in list(damages(redis, kind)):
        def spoil_anew(spoil=spoil):
            restore(raw, kept)
            spoil(redis)
        wrong += check(q, name, spoil_anew)
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:40])
