"""What attempts say of their machines: kept with the job, within bounds, and gone with it."""
import json

import pytest
from redis.exceptions import ResponseError


def test_each_attempt_has_its_own(q):
    claim = q.start(retry={"backoff": 0, "max_backoff": 0, "max_attempts": 3})
    q.renew(*claim.fence, "phase", "running", "lineage", '{"host":"a"}')
    q.renew(*claim.fence, "lineage", '{"host":"a2"}')
    q.end(claim, "error")
    q.promote(100)
    (second,) = q.take()
    assert json.loads(q.show(1))["lineage"] == {"1": {"host": "a2"}}
    q.renew(*second.fence, "lineage", '{"host":"b"}')
    assert json.loads(q.show(1))["lineage"] == {"1": {"host": "a2"}, "2": {"host": "b"}}
    assert q.job(1)["lineage"] == "2"


@pytest.mark.parametrize("bad", ["", "[1]", "3", "nonsense", '{"a":"' + "x" * 16384 + '"}'])
def test_what_is_no_object_or_too_large_changes_nothing(q, bad):
    claim = q.start()
    before = q.snapshot()
    with pytest.raises(ResponseError, match="lineage"):
        q.renew(*claim.fence, "lineage", bad)
    assert q.snapshot() == before


def test_of_a_token_that_is_stale_nothing_is_kept(q):
    claim = q.start()
    with pytest.raises(ResponseError, match="STALE"):
        q.renew(claim["n"], claim["uid"], str(int(claim["token"]) - 1), "lineage", "{}")
    assert not q.redis.exists(q.key("lineage:1"))


def test_it_is_in_the_archive_and_goes_with_the_job(q):
    claim = q.start()
    q.renew(*claim.fence, "lineage", '{"host":"a"}')
    q.end(claim, "succeeded")
    q.redis.hset(q.key("meta"), mapping={"max_finished": 0, "archive": "on"})
    _, _, n, version, record = q.archive_take("me")
    assert json.loads(json.loads(record)["lineage"]["1"]) == {"host": "a"}
    assert q.archive(n, version) == 1
    assert not q.redis.exists(q.key("lineage:1"))
