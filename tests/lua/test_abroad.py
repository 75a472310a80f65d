"""A job that goes on from one of another queue, or of the archive: what it is lent, how long that is kept, and what is
said where there is nothing to lend."""
import json
import random

import pytest
from redis.exceptions import ResponseError

from conftest import Queue


@pytest.fixture
def other(q):
    other = Queue(q.redis, "other")
    other.create("installation1")
    return other


def letters(q):
    """What is handed out, as if all of it were due."""
    for letter, _ in q.redis.zrange(q.key("outbox"), 0, -1, withscores=True):
        q.redis.zadd(q.key("outbox"), {letter: 1})
    return (q.promote()[2:] or [[]])[0]


class Post:
    """What a scheduler does with letters, a step at a time, so that a test can lose any of them."""

    def __init__(self, *queues, archive=None):
        self.queues = {queue.name: queue for queue in queues}
        self.archive = archive or {}

    def find(self, job, wish, borrower):
        name, n = job.rsplit("-", 1)
        if name not in self.queues:
            raise ResponseError(f"NOQUEUE no queue {name}")
        args = n, wish["which"], borrower, wish["count"], wish["metric"], wish["mode"]
        try:
            return self.queues[name].lend(*args)
        except ResponseError as error:
            if not str(error).startswith("NOTFOUND") or job not in self.archive:
                raise
        return self.queues[name].lend(*args, self.archive[job])

    def borrow(self, q, letter):
        """The steps of one letter; each is done when it is asked for."""
        n = letter.split(" ")[2]
        wish = json.loads(q.borrow(n) or "null")
        if not wish:
            return
        yield
        answer, wrong = "", ""
        try:
            answer = self.find(wish["lender"], wish, q.name)
        except ResponseError as error:
            wrong = str(error).split(" ", 1)[1].split(" | ")[0]
            wrong = wrong if wrong.startswith("resume: ") else "resume: " + wrong
        yield
        q.borrow(n, f"{wish['lender']}@{wish['which']}", answer, wrong)

    def lent(self, q, letter):
        _, borrower, n, time = letter.split(" ")
        answer = self.queues[borrower].borrowing(f"{q.name}-{n}")
        yield
        q.returned(n, borrower, time, answer)

    def steps(self, q, letter):
        return self.borrow(q, letter) if letter.startswith("borrow ") else self.lent(q, letter)

    def carry(self):
        """All letters, until those that remain are the ones that ask what is still needed."""
        while True:
            found = [(q, letter) for q in self.queues.values() for letter in letters(q)]
            for q, letter in found:
                list(self.steps(q, letter))
            if not any(letter.startswith("borrow ") for _, letter in found):
                return


@pytest.fixture
def post(q, other):
    return Post(q, other)


def saved(q, *steps, keep=9, metrics=None, **spec):
    claim = q.start(checkpoint={"keep_last": keep}, **spec)
    for seq, step in enumerate(steps, 1):
        q.commit(claim, seq, step, uri=f"file:///s/{q.name}/{seq}",
                 **({"metrics": {"loss": metrics[seq - 1]}} if metrics else {}))
    return claim


def records(q, n):
    return {id: json.loads(text) for id, text in q.redis.hgetall(q.key(f"checkpoints:{n}")).items()}


def steps_of(q, n, state="committed"):
    return sorted(r["step"] for r in records(q, n).values() if r["state"] == state)


# ---------------------------------------------------------------- lending


@pytest.mark.parametrize("which, step, lent", [
    ("", 40, [20, 30, 40]), ("@latest", 40, [20, 30, 40]), ("@best", 20, [10, 20]), ("@30", 30, [10, 20, 30]),
    ("@1-1", 10, [10])])
def test_a_job_begins_where_one_of_another_queue_is(q, other, post, which, step, lent):
    lender = saved(other, 10, 20, 30, 40, metrics=[4, 1, 2, 3])
    n = q.add(resume="other-1" + which)
    assert (q.state(n), q.job(n)["reason"], q.take()) == ("waiting", "dependency", [])
    post.carry()
    job = q.job(n)
    assert (job["state"], job["checkpoint_step"], job["lender"]) == ("queued", str(step), "other-1")
    assert "borrows" not in job and "needs" not in job and not q.redis.exists(q.key("outbox"))
    assert steps_of(q, n) == lent and {r["from"] for r in records(q, n).values()} == {"other-1"}
    claim, = q.take()
    assert json.loads(claim["checkpoint"])["step"] == step
    q.end(claim, "succeeded"), other.end(lender, "succeeded")


@pytest.mark.parametrize("resume, says", [
    ("nowhere-1", "resume: no queue nowhere"), ("other-9", "resume: there is no job other-9"),
    ("other-2", 'resume: job other-2 has no good checkpoint "latest": it has no good checkpoint'),
    ("other-1@77", 'resume: job other-1 has no good checkpoint "77": it has 1-2 (step 20)'),
    ("other-1@1-1", 'resume: job other-1 has no good checkpoint "1-1": checkpoint 1-1 is quarantined; it has 1-2'),
    ("other-1@30", 'resume: job other-1 has no good checkpoint "30": checkpoint 1-3 is being deleted; it has 1-2')])
def test_where_there_is_nothing_to_lend(q, other, post, resume, says):
    claim = saved(other, 10, 20, 30)
    other.add()
    for id, state in (("1-1", "quarantined"), ("1-3", "deleting")):
        other.redis.hset(other.key("checkpoints:1"), id, json.dumps({**records(other, 1)[id], "state": state}))
    other.set_job(1, checkpoint="1-2", checkpoint_step=20)
    n = q.add(resume=resume)
    post.carry()
    assert q.state(n) == "cancelled" and q.job(n)["error"].startswith(says)
    assert not q.redis.exists(q.key("outbox"), other.key("outbox"))
    # Done again it asks again, and does not begin from nothing.
    again = q.retry(n, 0).rsplit("-", 1)[1]
    assert (q.state(again), q.job(again)["lender"]) == ("waiting", resume.split("@")[0])
    post.carry()
    assert q.state(again) == "cancelled"
    other.end(claim, "succeeded")


def test_one_that_the_archive_has(q, other):
    for queue in (q, other):
        claim = saved(queue, 10, 20)
        queue.end(claim, "succeeded")
        queue.redis.hset(queue.key("meta"), mapping={"archive": "on", "max_finished": 0})
    archive = {}
    for queue in (q, other):
        _, _, n, version, record = queue.archive_take("s1")
        archive[f"{queue.name}-{n}"] = record
        queue.archive(n, version)
    for queue, lender, step in ((q, "other-1", 20), (q, "default-1@1-1", 10), (other, "other-1@best", None)):
        n = queue.add(resume=lender)
        Post(q, other, archive=archive).carry()
        if step:
            assert queue.job(n)["checkpoint_step"] == str(step) and queue.state(n) == "queued"
        else:
            assert "no good checkpoint \"best\"" in queue.job(n)["error"]
    n = q.add(resume="default-1")
    Post(q, other).carry()  # the archive does not know it
    assert q.job(n)["error"] == "resume: there is no job default-1"


def test_no_archive_no_such_job(q):
    claim = saved(q, 10)
    q.end(claim, "succeeded"), q.remove(1)
    with pytest.raises(ResponseError, match="^INVALID resume: there is no job default-1"):
        q.add(resume="default-1")


def test_what_was_lent_is_lent_by_who_saved_it(q, other, post):
    third = Queue(q.redis, "third")
    third.create("installation1")
    post.queues["third"] = third
    lender = saved(other, 10, 20)
    n = q.add(resume="other-1@10")
    post.carry()
    m = third.add(resume=f"default-{n}")
    post.carry()
    assert (third.job(m)["lender"], third.job(m)["checkpoint_step"], third.state(m)) == ("other-1", "10", "queued")
    assert third.redis.zrange(third.key("abroad"), 0, -1) == [f"other-1:{m}"]
    held = records(other, 1)["1-1"]["lent"]
    assert [entry.split("@")[0] for entry in held] == ["default", "third"]
    # So it is in its own queue, by a retry: it waits for what its new job is lent anew.
    claim, = q.take()
    q.end(claim, "permanent")
    again = q.retry(n, 1).rsplit("-", 1)[1]
    assert (q.state(again), q.job(again)["borrows"]) == ("waiting", "1-1")
    post.carry()
    assert (q.state(again), q.job(again)["checkpoint_step"]) == ("queued", "10")
    other.end(lender, "succeeded")


def test_its_own_checkpoints_go_before_the_lent_ones(q, other, post):
    lender = saved(other, 10)
    n = q.add(resume="other-1", checkpoint={"keep_last": 5})
    post.carry()
    claim, = q.take()
    q.commit(claim, 1, 50)
    q.end(claim, "permanent")
    again = q.retry(n, 1).rsplit("-", 1)[1]
    assert q.state(again) == "queued" and steps_of(q, again) == [50], "what is another queue's is not lent on"
    other.end(lender, "succeeded")


def test_it_waits_for_others_and_its_time_too(q, other, post):
    lender = saved(other, 10)
    q.add()
    n = q.add(resume="other-1", after=["default-1"], delay="1h")
    assert q.job(n)["needs"] == "2"
    post.carry()
    assert (q.state(n), q.job(n)["needs"], q.job(n)["checkpoint_step"]) == ("waiting", "1", "10")
    claim, = q.take()
    q.end(claim, "succeeded")
    assert (q.state(n), q.job(n)["reason"]) == ("waiting", "delay")
    other.end(lender, "succeeded")


def test_a_held_one_is_lent_it_before_or_after_its_release(q, other, post):
    lender = saved(other, 10)
    n, m = q.add(resume="other-1", hold=True), q.add(resume="other-1", hold=True)
    q.release(n)
    assert (q.state(n), q.job(n)["reason"]) == ("waiting", "dependency")
    post.carry()
    assert q.state(n) == "queued" and q.job(m)["reason"] == "held"
    q.release(m)
    assert q.state(m) == "queued" and q.job(m)["checkpoint_step"] == "10"
    other.end(lender, "succeeded")


def test_a_cancelled_one_asks_no_more(q, other, post):
    lender = saved(other, 10)
    n = q.add(resume="other-1")
    q.cancel(n)
    assert not q.redis.exists(q.key("outbox")) and other.borrow(n) == ""
    assert json.loads(q.borrowing("other-1")) == {"ids": []}
    q.remove(n)
    assert not q.redis.exists(q.key("abroad"))
    other.end(lender, "succeeded")


def test_all_that_submits_can_borrow(q, other, post):
    lender = saved(other, 10)
    spec = json.dumps({"command": "x", "resume": "other-1"})
    q.bulk("", spec, "", spec, "")
    q.graph(json.dumps({"jobs": [{"command": "x", "name": "a", "resume": "other-1"},
                                 {"command": "x", "after": ["a"], "resume": "other-1"}]}))
    assert [q.state(n) for n in range(1, 5)] == ["waiting"] * 4
    post.carry()
    assert [q.state(n) for n in range(1, 5)] == ["queued", "queued", "queued", "waiting"]
    assert q.job(4)["needs"] == "1" and q.job(4)["checkpoint_step"] == "10"
    other.end(lender, "succeeded")


# ---------------------------------------------------------------- keeping


def test_what_is_lent_stays_until_the_borrower_is_done(q, other, post):
    lender = saved(other, 10, keep=1)
    n = q.add(resume="other-1")
    post.carry()
    for seq, step in ((2, 20), (3, 30)):
        other.commit(lender, seq, step)
    assert steps_of(other, 1) == [10, 30], "retention leaves it alone"
    with pytest.raises(ResponseError, match="CONFLICT checkpoint 1-1 of job other-1 stays: a job of queue default go"):
        other.discard(1, "", "1-1")
    claim, = q.take()
    post.carry()
    other.commit(lender, 4, 40)
    assert steps_of(other, 1) == [10, 40], "it runs"
    q.end(claim, "permanent")
    post.carry()
    other.commit(lender, 5, 50)
    assert steps_of(other, 1) == [10, 50], "it may be done again"
    again = q.retry(n, 1).rsplit("-", 1)[1]
    post.carry()
    claim, = q.take()
    assert claim["n"] == again
    q.end(claim, "succeeded")
    post.carry()
    assert not other.redis.exists(other.key("outbox")) and "lent" not in records(other, 1)["1-1"]
    other.commit(lender, 6, 60)
    assert steps_of(other, 1) == [60]
    other.end(lender, "succeeded")


def test_one_that_has_newer_ones_of_its_own_gives_them_back(q, other, post):
    lender = saved(other, 10, 20)
    n = q.add(resume="other-1", checkpoint={"keep_last": 2})
    post.carry()
    assert sorted(json.loads(q.borrowing("other-1"))["ids"]) == ["1-1", "1-2"]
    claim, = q.take()
    q.renew(*claim.fence, "phase", "running")
    q.commit(claim, 1, 30)
    post.carry()
    assert json.loads(q.borrowing("other-1")) == {"ids": ["1-2"]}
    assert ["lent" in records(other, 1)[id] for id in ("1-1", "1-2")] == [False, True]
    q.commit(claim, 2, 40)
    post.carry()
    assert json.loads(q.borrowing("other-1")) == {"ids": []} and not other.redis.exists(other.key("outbox"))
    assert steps_of(q, n) == [30, 40]
    q.end(claim, "succeeded"), other.end(lender, "succeeded")


def test_an_answer_from_before_the_last_lending_lets_nothing_go(q, other, post):
    lender = saved(other, 10)
    q.add(resume="other-1")
    post.carry()
    claim, = q.take()
    q.end(claim, "succeeded")
    old, = letters(other)
    late = post.lent(other, old)
    next(late)  # nothing is needed any more, was the answer
    n = q.add(resume="other-1")
    for letter in letters(q):
        list(post.steps(q, letter))
    assert list(late) == [] and records(other, 1)["1-1"]["lent"], "the new one has it"
    assert letters(other) != [old] and steps_of(q, n) == [10]
    other.end(lender, "succeeded")


def test_letters_that_are_lost_or_come_twice(q, other, post):
    lender = saved(other, 10)
    n = q.add(resume="other-1")
    letter, = letters(q)
    for stop_at in (1, 2):  # a scheduler that dies in between
        steps = post.borrow(q, letter)
        for _ in range(stop_at):
            next(steps)
        assert q.state(n) == "waiting" and letters(q) == [letter]
    list(steps)  # the one that only seemed dead goes on
    assert q.state(n) == "queued"
    list(post.borrow(q, letter))
    assert q.borrow(n, "other-1@latest", "", "resume: late") == "queued" and q.state(n) == "queued"
    assert q.borrow(99, "other-1@latest", "", "x") == "gone"
    ask, = letters(other)
    for _ in range(2):
        list(post.lent(other, ask))
    assert other.returned(1, "default", 1, '{"ids":[]}') == 0 and records(other, 1)["1-1"]["lent"], "no such letter"
    other.end(lender, "succeeded")


@pytest.mark.parametrize("seed", range(4))
def test_at_random(q, other, post, seed):
    """Lenders save, retention deletes, borrowers come, run, fail, are done again and go, and letters are carried in
    pieces that overlap: what an unfinished borrower has is never marked for deletion at the lender's."""
    rng = random.Random(seed)
    lender, seq, open_steps, running, ended = saved(other, 1, keep=1), 1, [], [], []
    for _ in range(150):
        act = rng.randrange(7)
        if act == 0:
            seq += 1
            other.commit(lender, seq, seq)
        elif act == 1:
            q.add(resume="other-1")
        elif act == 2:
            running += q.take()
        elif act == 3 and running:
            claim = running.pop(rng.randrange(len(running)))
            q.end(claim, rng.choice(["succeeded", "permanent"]))
            ended.append(claim["n"])
        elif act == 4 and ended:
            n = ended.pop()
            if q.state(n) == "failed":
                q.retry(n, 1)
            elif rng.random() < 0.5:
                q.remove(n)
        elif act == 5:
            for queue in (q, other):
                open_steps += [post.steps(queue, letter) for letter in letters(queue)]
        else:
            rng.shuffle(open_steps)
            for steps in open_steps[:3]:
                next(steps, None)
        deleted = {id for id, r in records(other, 1).items() if r["state"] == "deleting"}
        other.redis.hdel(other.key("checkpoints:1"), *deleted) if deleted and rng.random() < 0.3 else None
        there = {id for id, r in records(other, 1).items() if r["state"] == "committed"}
        for n in range(1, int(q.redis.hget(q.key("meta"), "next") or 0) + 1):
            if q.state(n) in ("queued", "running"):
                has = {f"{r['attempt']}-{r['seq']}" for id, r in records(q, n).items() if id.startswith("0-")}
                assert has and has <= there, (n, has, there)
    other.end(lender, "succeeded")
    for claim in running:
        q.end(claim, "succeeded")


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("call, args, says", [
    ("lend", (1, "worst", ""), "resume: expected latest, best"), ("lend", (1, "best", "X"), "queue: expected"),
    ("lend", (1, "best", "q", 99), "count: expected"), ("lend", (9, "best", "q", 1, "", "", "[]"), "archived record"),
    ("lend", (9, "best", "q", 1, "", "", '{"job":{}}'), "archived record: this is none of job other-9"),
    ("borrow", (1, "x-1@latest"), "expected <n> <job>@<which>"), ("borrow", (1, "x", "", "y"), "expected <n>"),
    ("borrow", (1, "x-1@best", "[]"), "answer: expected what stoker_lend"),
    ("borrow", (1, "x-1@best", '{"instead":"x"}'), "answer: expected"),
    ("borrow", (1, "x-1@best", '[{"uri":1}]'), "answer: expected"),
    ("borrowing", ("x",), "lender: expected a job id"),
    ("returned", (1, "x", "y", "{}"), "time: expected"), ("returned", (1, "x", 1, "[]"), "answer: expected")])
def test_letters_of_the_wrong_form(q, other, call, args, says):
    claim = saved(other, 10)
    before = other.snapshot()
    with pytest.raises(ResponseError, match="^INVALID " + says):
        getattr(other, call)(*args)
    assert other.snapshot() == before
    other.end(claim, "succeeded")


def test_looking_notes_nothing(q, other):
    claim = saved(other, 10)
    before = other.snapshot()
    assert [r["step"] for r in json.loads(other.lend(1, "latest", ""))] == [10]
    assert other.snapshot() == before
    other.end(claim, "succeeded")
