"""Jobs that keep very many checkpoints: what a commit does does not grow with their number, and the rules hold."""
import json
import random


def records(q, n=1):
    return {id: json.loads(text) for id, text in q.redis.hgetall(q.key(f"checkpoints:{n}")).items()}


def kept(q):
    return sorted(int(id.split("-")[1]) for id, c in records(q).items() if c["state"] != "deleting")


def seed(q, claim, count):
    """As if so many had been committed one after the other; then one that is."""
    q.commit(claim, 1, 1)
    text = q.redis.hget(q.key("checkpoints:1"), "1-1")
    pipe = q.redis.pipeline()
    for seq in range(2, count + 1):
        pipe.hset(q.key("checkpoints:1"), f"1-{seq}", json.dumps({**json.loads(text), "seq": seq, "step": seq}))
    pipe.hset(q.key("job:1"), "checkpoint_seq", f"1-{count}")
    pipe.execute()


def cost(q, claim, first, count, **more):
    """How often a whole hash was read, and how many commands, for so many commits."""
    before = q.redis.info("commandstats")
    for seq in range(first, first + count):
        assert q.commit(claim, seq, seq, **more) == ["ok"]
    after = q.redis.info("commandstats")
    calls = {name: stats["calls"] - before.get(name, {"calls": 0})["calls"] for name, stats in after.items()}
    return calls["cmdstat_hgetall"], sum(calls.values())


def test_a_commit_costs_the_same_among_ten_thousand(q):
    costs = {}
    for n, count in (("few", 200), ("many", 10000)):
        claim = q.start(checkpoint={"keep_for": "365d", "keep_last": 1})
        seed(q, claim, count)
        q.commit(claim, count + 1, count + 1)  # looks at all of them, and says when to do so again
        costs[n] = cost(q, claim, count + 2, 20, uses=[count])
        assert records(q)[f"1-{count}"]["used"] == 20
        assert q.job(1)["checkpoint"] == f"1-{count + 21}" and q.job(1)["checkpoint_step"] == str(count + 21)
        q.end(claim, "succeeded")
        q.remove(1)
        q.redis.hset(q.key("meta"), "next", 0)
    assert costs["many"] == costs["few"] and costs["many"][0] == 20, "the record of the job alone"


def test_few_are_always_looked_at(q):
    claim = q.start(checkpoint={"keep_last": 40})
    for seq in range(1, 100):
        gone = q.commit(claim, seq, seq)[1:]
        assert kept(q) == list(range(max(1, seq - 39), seq + 1))
        if gone:
            q.drop(*claim.fence, *gone)
    assert "keep_next" not in q.job(1)


def test_of_many_at_most_an_eighth_more_stays(q):
    claim, most, passes = q.start(checkpoint={"keep_last": 160}), 0, 0
    for seq in range(1, 600):
        gone = q.commit(claim, seq, seq)[1:]
        left = kept(q)
        assert left[-160:] == list(range(max(1, seq - 159), seq + 1))
        most, passes = max(most, len(left)), passes + bool(gone)
        if gone:
            assert len(left) == 160
            q.drop(*claim.fence, *gone)
    assert 170 < most <= 180 and passes < 600 / 15


def test_what_was_not_dropped_is_answered_again(q):
    claim = q.start(checkpoint={"keep_last": 80})
    for seq in range(1, 81):
        q.commit(claim, seq, seq)
    gone = []
    for seq in range(81, 120):
        gone = q.commit(claim, seq, seq)[1:]
        if gone:
            break
    assert gone == [f"1-{i}" for i in range(1, seq - 79)]
    assert q.commit(claim, seq, seq)[1:] == gone, "its answer was lost"
    q.end(claim, "preempted")
    claim, = q.take()
    assert q.commit(claim, 1, 1000)[1:] == gone + [f"1-{seq - 79}"], "the next attempt takes care of it"


def test_somebody_lets_most_of_them_go(q):
    claim = q.start(checkpoint={"keep_last": 100})
    for seq in range(1, 131):
        gone = q.commit(claim, seq, seq)[1:]
        if gone:
            q.drop(*claim.fence, *gone)
    q.discard(1, "", "last", 70)
    q.drop(*claim.fence, *[id for id, c in records(q).items() if c["state"] == "deleting"])
    q.commit(claim, 131, 131)
    assert len(kept(q)) == 71 and int(q.job(1)["keep_next"]) == 71 + 8


def test_users_are_counted_right_whoever_looks(q):
    """At random, among many: `used` is always the number of those, not to be deleted, that use it."""
    draw = random.Random(20261127)
    claim = q.start(checkpoint={"keep_last": 90})
    for seq in range(1, 400):
        alive = kept(q)[-8:]
        uses = sorted(draw.sample(alive, min(len(alive), draw.choice([0, 0, 1, 3]))))
        gone = q.commit(claim, seq, seq, **({"uses": uses} if uses else {}))[1:]
        found, count = records(q), {}
        for id, c in found.items():
            for one in c.get("uses", []) if c["state"] != "deleting" else []:
                count[f"1-{one}"] = count.get(f"1-{one}", 0) + 1
        assert {id: c["used"] for id, c in found.items() if c.get("used")} == count
        assert all(found[id]["state"] != "deleting" for id in count)
        if gone and draw.random() < 0.7:
            q.drop(*claim.fence, *gone)
