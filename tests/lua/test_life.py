"""The straight way of a job: submit, claim, renew, finish, and each of them sent twice; stale tokens everywhere."""
import json

import pytest
from redis.exceptions import ResponseError

from conftest import Queue


def test_a_job_runs_and_succeeds(q):
    assert q.submit('{"command":["true"]}') == "default-1"
    assert q.state(1) == "queued"
    claim, = q.take()
    assert claim["id"] == "default-1" and claim["attempt"] == "1" and claim["installation"] == "installation1"
    assert json.loads(claim["spec"]) == {"command": ["true"]}
    assert "resume" not in claim
    assert q.renew(*claim.fence, "phase", "running", "step", "7") == ["ok", ""]
    assert q.job(1)["started_ms"] and q.job(1)["step"] == "7"
    assert q.end(claim, "succeeded", exit=0) == ["ok", "succeeded"]
    assert not {"cause", "phase", "special"} & set(q.job(1))
    assert q.events() == ["queue.created", "job.submitted", "job.claimed", "job.succeeded"]
    assert q.history(1) == []


def test_an_unknown_queue_says_how_to_make_it(redis):
    with pytest.raises(ResponseError, match=r"^NOQUEUE no queue gpu \| .*SADD stoker:queues gpu makes it"):
        Queue(redis, "gpu").submit('{"command":["true"]}')
    assert redis.keys("*") == []


@pytest.mark.parametrize("key", ["stoker:default:meta", "stoker:{Default}:meta", "stoker:{a}:job", "stoker:{-}:meta",
                                 "stoker:{" + "a" * 64 + "}:meta"])
def test_the_key_has_a_grammar(redis, key):
    with pytest.raises(ResponseError, match="^INVALID expected one key"):
        redis.fcall("stoker_stats", 1, key)


def test_the_oldest_that_is_queued(q):
    assert "oldest_ms" not in json.loads(q.stats())
    q.add()
    queued_ms = int(q.job(1)["entry"].split("-")[0])
    while json.loads(q.stats())["now_ms"] <= queued_ms:
        pass  # the next one is younger
    q.add(priority=9)
    assert json.loads(q.stats())["oldest_ms"] == queued_ms, "whichever lane it is in"
    q.take()
    assert json.loads(q.stats())["oldest_ms"] == queued_ms
    q.take()
    assert "oldest_ms" not in json.loads(q.stats())
    q.add()
    assert json.loads(q.stats())["oldest_ms"] > queued_ms


def test_create_sent_again_changes_nothing(q):
    q.add()
    before = q.snapshot()
    assert q.create("another") == "ok"
    assert q.snapshot() == before


def test_submit_with_a_key_makes_one_job(q):
    assert q.submit('{"command":["a"]}', "k", "cli:ada") == "default-1"
    before = q.snapshot()
    assert q.submit('{"command":["a"]}', "k", "cli:ada") == "default-1"
    with pytest.raises(ResponseError, match="^CONFLICT .*default-1"):
        q.submit('{"command":["b"]}', "k")
    assert q.snapshot() == before
    assert 0 < q.redis.pttl(q.key("key:k")) <= 86400000


def test_claim_sent_again_gives_the_same_claims(q):
    q.add(), q.add(), q.add()
    first = q.take(most=2)
    assert [c["n"] for c in first] == ["1", "2"]
    before = q.snapshot()
    assert q.take(most=2, request=1) == first
    assert q.snapshot() == before
    q.end(first[0], "succeeded")
    assert q.take(most=2, request=1) == [first[1]]
    assert [c["n"] for c in q.take(most=2, request=2)] == ["3"]
    with pytest.raises(ResponseError, match="^STALE .*older"):
        q.take(request=1)


def test_a_claim_whose_runner_lives_is_not_given_again(q):
    """Two machines with one worker id: the second asks for the last answer, too, when it starts."""
    q.add(), q.add()
    first, second = q.take(most=2)
    q.renew(*first.fence)
    assert q.take(most=2, request=1) == [second]


def test_finish_sent_again_gives_the_same_answer(q):
    claim = q.start()
    assert q.end(claim, "error", exit=3) == ["ok", "waiting"]
    before = q.snapshot()
    assert q.end(claim, "error", exit=3) == ["ok", "waiting"]
    assert q.snapshot() == before
    q.hurry(1)
    assert q.end(claim, "error", exit=3) == ["ok", "waiting"]
    assert q.state(1) == "queued"


def test_many_jobs_finish_in_one_call(q):
    for _ in range(5):
        q.add()
    claims = q.take(most=5)
    args = [a for c in claims for a in (*c.fence, "succeeded", "{}")]
    args[4 * 5 + 2] = "1"
    stale = f"job default-5: token 1 is not the current one, {claims[4]['token']}"
    assert q.finish(*args) == [["ok", "succeeded"]] * 4 + [["stale", stale]]
    assert q.finish(*args[:20]) == [["ok", "succeeded"]] * 4
    assert q.events().count("job.succeeded") == 4
    assert q.finish(*args[:20], *args[:20]) == [["ok", "succeeded"]] * 8
    assert q.events().count("job.succeeded") == 4


def test_tokens_rise_with_each_attempt(q):
    claim = q.start()
    ahead = str(int(claim["token"]) + 10**9)  # the clock of a Redis before this one was ahead
    q.set_job(1, token=ahead)
    claim["token"] = ahead
    q.end(claim, "preempted")
    again, = q.take()
    assert int(again["token"]) == int(ahead) + 1


STALE_CALLS = {
    "renew": (), "log": ("1", "0", "stdout", "1", "x"), "metric": ("1", '{"loss":1}'), "adopt": ("w1",),
    "checkpoint": ("1-1", '{"step":1}'), "reject": ("1-1", "why"), "drop": ("1-1",),
}


@pytest.mark.parametrize("function", STALE_CALLS)
@pytest.mark.parametrize("what", ["token", "uid", "gone"])
def test_a_stale_token_changes_nothing(q, function, what):
    claim = q.start()
    n, uid, token = claim.fence
    fence = {"token": (n, uid, str(int(token) - 1)), "uid": (n, "00" * 8, token), "gone": ("77", uid, token)}[what]
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^STALE "):
        getattr(q, function)(*fence, *STALE_CALLS[function])
    assert q.finish(*fence, "succeeded", "{}")[0][0] == "stale"
    assert q.snapshot() == before


@pytest.mark.parametrize("function", ["renew", "adopt", "checkpoint", "reject"])
def test_an_attempt_that_ended_is_stale(q, function):
    claim = q.start()
    q.end(claim, "succeeded")
    before = q.snapshot()
    with pytest.raises(ResponseError, match="^STALE .*has ended"):
        getattr(q, function)(*claim.fence, *STALE_CALLS[function])
    assert q.snapshot() == before
