"""An app that may only XADD, real schedulers: the job gets in once, whoever dies in between."""
import json
import time

import pytest

from harness import wait_until
from scheduler_harness import Scheduler

SPEC = json.dumps({"command": ["true"]})
INBOX, REPLY = "stoker:{default}:inbox:app", "stoker:{default}:reply:app"


def answers(client):
    return [fields for _, fields in client.xrange(REPLY)]


@pytest.fixture
def client(scheduler):
    scheduler.api("POST", "/submitters", {"name": "app"})
    return scheduler.redis_client()


def test_a_job_gets_in_and_a_rejection_is_readable(scheduler, client):
    first = client.xadd(INBOX, {"spec": SPEC, "key": "k"})
    second = client.xadd(INBOX, {"spec": '{"command":[]}'})
    wait_until(lambda: len(answers(client)) == 2, what="both are answered")
    good, bad = answers(client)
    assert good == {"entry": first, "job": "default-1"}
    assert bad == {"entry": second, "error": "INVALID command: expected a text, or a list of 1 to 1024 texts, got an "
                                             "empty list"}
    assert scheduler.job("default-1")["actor"] == "inbox:app"


def test_two_schedulers_and_one_that_is_killed_make_each_job_once(scheduler, client, tmp_path):
    other = Scheduler(tmp_path, scheduler.redis_url, "other")
    try:
        entries = []
        for i in range(2000):
            entries.append(client.xadd(INBOX, {"spec": json.dumps({"command": ["true", str(i)]})}))
            if i % 400 == 200:
                other.process.kill()
                other.start(wait=False)
        wait_until(lambda: not client.exists(INBOX), 30, "the inbox is empty")
        jobs = scheduler.api("GET", "/queues")["queues"][0]["submitted"]
        assert jobs == 2000
        said = answers(client)
        assert len({a["entry"] for a in said}) == len(said) and {a["entry"] for a in said} <= set(entries)
    finally:
        other.process.kill()


def test_an_entry_is_taken_at_once_and_one_of_any_size_hurts_only_its_own(scheduler, client):
    """The scheduler waits for entries; the tick, once a second, would be the slow way."""
    scheduler.api("POST", "/submitters", {"name": "calm"})
    wait_until(lambda: client.info("clients")["blocked_clients"] == 1, what="it listens")

    def took():
        before = client.xlen(REPLY)
        begun = time.monotonic()
        client.xadd(INBOX, {"spec": SPEC})
        wait_until(lambda: client.xlen(REPLY) > before, what="it is answered", every=0.001)
        return time.monotonic() - begun
    assert sorted(took() for _ in range(21))[10] < 0.3
    client.xadd(INBOX, {"spec": " " * 30_000_000})
    client.xadd("stoker:{default}:inbox:calm", {"spec": SPEC})
    wait_until(lambda: client.xlen("stoker:{default}:reply:calm") == 1, what="the calm one is answered")
    wait_until(lambda: answers(client)[-1].get("error", "").startswith("FULL all 1 entries"), what="it is refused")
    wait_until(lambda: client.info("clients")["blocked_clients"] == 1, what="it listens again")
    assert took() < 10


def test_a_flood_is_worked_off_in_turns(scheduler, client):
    scheduler.api("POST", "/submitters", {"name": "calm"})
    with client.pipeline(transaction=False) as pipe:
        for _ in range(9000):
            pipe.xadd(INBOX, {"spec": SPEC})
        pipe.execute()
    client.xadd("stoker:{default}:inbox:calm", {"spec": SPEC})
    begun = time.monotonic()
    wait_until(lambda: client.xlen("stoker:{default}:reply:calm"), what="the calm one is answered")
    assert client.xlen(INBOX) > 0, "in the middle of the flood"
    wait_until(lambda: not client.exists(INBOX), 60, "the flood is worked off")
    print(f"9000 entries in {time.monotonic() - begun:.2f} s")


def test_the_list_and_shutting_out(scheduler, client):
    assert scheduler.api("GET", "/submitters") == {"submitters": [{"name": "app", "waiting": 0, "replies": 0}]}
    assert scheduler.api("POST", "/submitters/app/remove") == {"queue": "default", "name": "app"}
    assert scheduler.api("GET", "/submitters") == {"submitters": []}


BAD_REQUESTS = [
    ("POST", "/submitters", {"name": "a b"}, 400, 'submitter: expected 1 to 64 letters'),
    ("POST", "/submitters", {}, 400, 'submitter: expected 1 to 64 letters, digits, hyphens, underscores, got ""'),
    ("POST", "/submitters", {"name": "a", "x": 1}, 400, "x: unknown key"),
    ("POST", "/submitters", {"name": "x" * 200}, 400, "name: longer than 64 characters"),
    ("POST", "/submitters", {"name": "a", "queue": "A"}, 400, 'queue: "A" is no name of a queue'),
    ("POST", "/submitters", {"name": "a", "queue": "none"}, 404, "no queue none"),
    ("POST", "/submitters/a!b/remove", None, 400, "submitter: expected 1 to 64 letters"),
    ("GET", "/submitters?queue=none", None, 404, "no queue none"),
]


def test_bad_requests(scheduler):
    for method, path, body, status, says in BAD_REQUESTS:
        answer = scheduler.local(method, "/api/v1" + path, body)
        assert answer.status == status, (method, path, body, answer.text)
        assert answer.json()["detail"].startswith(says), (method, path, body, answer.text)
