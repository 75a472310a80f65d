"""Steering a queue and its jobs from outside, through HTTP and the command, while a real worker takes what it can."""
import json
import threading

import pytest

import fsck
from cluster import ApiError, Cluster
from harness import wait_until

QUEUED = {"command": ["true"], "resources": {"cpus": 1}}


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path, worker_options=("--cpus", 2, "--memory", "1GiB")) as cluster:
        yield cluster
        problems = fsck.check(cluster.redis.client())
        assert not problems, "\n".join(problems)


@pytest.fixture
def idle(tmp_path):
    """Without a worker: nothing moves by itself."""
    with Cluster(tmp_path, workers=0) as cluster:
        yield cluster
        problems = fsck.check(cluster.redis.client())
        assert not problems, "\n".join(problems)


def gate(path):
    """A program that runs until the file is there."""
    return {"command": ["sh", "-c", f"while [ ! -e {path} ]; do sleep 0.05; done"], "resources": {"cpus": 1}}


def states(cluster, jobs):
    return [cluster.job(job)["state"] for job in jobs]


class Monitor:
    """What clients send to Redis, as MONITOR shows it, without what functions do inside."""

    def __init__(self, redis):
        self.redis, self.lines = redis, []

    def __enter__(self):
        self.client = self.redis.client()
        self.monitor = self.client.monitor()
        self.monitor.__enter__()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        return self

    def read(self):
        while not self.is_over.is_set():
            command = self.monitor.next_command()
            if command["client_type"] != "lua":
                self.lines.append((float(command["time"]), f"{command['client_address']}:{command['client_port']}",
                                   command["command"]))

    def __exit__(self, *_):
        self.is_over.set()
        self.redis.client().ping()  # its last line
        self.thread.join(10)
        self.monitor.__exit__(None, None, None)


def test_pause_while_jobs_run_and_queue(cluster, tmp_path):
    go = tmp_path / "go"
    running = [cluster.submit(gate(go)) for _ in range(2)]
    for job in running:
        cluster.wait_state(job, "running")
    queued = [cluster.submit(QUEUED) for _ in range(3)]
    cluster.cli("queues", "pause", "default", "--reason", "new disks")
    go.touch()
    for job in running:
        assert cluster.wait_final(job)["state"] == "succeeded", "what runs goes on"
    late = cluster.submit(QUEUED)
    wait_until(lambda: cluster.api("GET", "/api/v1/queues")["queues"][0]["running"] == 0, what="nothing runs")
    wait_until(lambda: "paused by" in cluster.cli("queues").stdout, what="stoker queues says so")
    assert states(cluster, queued + [late]) == ["queued"] * 4
    why = cluster.show(queued[0])["why"]
    assert why.startswith("queue default is paused by ") and why.endswith(" UTC: new disks"), why
    assert why in cluster.cli("show", queued[0]).stdout
    assert "is paused by" in cluster.cli("ls").stdout
    assert cluster.cli("queues", "resume", "default").stdout == "default  open\n"
    for job in queued + [late]:
        assert cluster.wait_final(job)["state"] == "succeeded"


def test_an_idle_worker_of_a_paused_queue_hardly_asks(cluster):
    """Jobs wait, and more come in: none of it wakes a worker."""
    cluster.submit(QUEUED)
    cluster.wait_final("default-1")
    cluster.api("POST", "/api/v1/queues/default/pause")
    jobs = [cluster.submit(QUEUED) for _ in range(20)]
    wait_until(lambda: cluster.redis.client().zcard("stoker:{default}:wake:cpu1") == 0, what="the last bell is heard")
    seconds = 12
    with Monitor(cluster.redis) as monitor:
        more = threading.Event()
        for _ in range(seconds * 4):
            jobs.append(cluster.submit(QUEUED))
            more.wait(0.25)
    others = ("stoker_submit", "stoker_promote", "stoker_due", "stoker_reap", "stoker_prune", "stoker_inbox",
              "stoker_webhook_gather", "SMEMBERS", "ping", "PING")  # the test's and the scheduler's
    worker = [command for _, _, command in monitor.lines if not any(word in command for word in others)]
    assert worker, "it still says that it is there"
    assert len(worker) < seconds, "\n".join(sorted(worker))
    assert set(states(cluster, jobs)) == {"queued"}
    cluster.api("POST", "/api/v1/queues/default/resume")
    for job in jobs:
        assert cluster.wait_final(job)["state"] == "succeeded"


def test_a_paused_queue_does_not_hold_up_another(tmp_path):
    with Cluster(tmp_path, workers=0, worker_options=("--queues", "slow,fast", "--cpus", 2)) as cluster:
        for queue in ("slow", "fast"):
            cluster.api("POST", "/api/v1/queues", {"queue": queue})
        cluster.api("POST", "/api/v1/queues/slow/pause")
        stuck = [cluster.submit(QUEUED, queue="slow") for _ in range(10)]
        cluster.start_worker()
        done = [cluster.submit(QUEUED, queue="fast") for _ in range(20)]
        for job in done:
            assert cluster.wait_final(job)["state"] == "succeeded"
        assert set(states(cluster, stuck)) == {"queued"}


def test_drain(cluster, tmp_path):
    go = tmp_path / "go"
    jobs = [cluster.submit(gate(go)) for _ in range(4)]
    assert cluster.api("POST", "/api/v1/queues/default/drain", {"reason": "moving"}) == {"queue": "default",
                                                                                        "state": "draining"}
    refused = cluster.cli("submit", "-", check=False)
    assert refused.returncode != 0
    with pytest.raises(ApiError) as error:
        cluster.submit(QUEUED)
    assert error.value.status == 409 and "queue default is draining by http:local (moving)" in error.value.body
    go.touch()
    for job in jobs:
        assert cluster.wait_final(job)["state"] == "succeeded", "what is there is finished"
    cluster.api("POST", "/api/v1/queues/default/resume")
    assert cluster.wait_final(cluster.submit(QUEUED))["state"] == "succeeded"


def test_a_thousand_jobs_are_cancelled_while_workers_claim_them(cluster):
    cluster.start_worker(1)
    spec = {"command": ["sleep", "0.05"], "name": "sweep-7", "resources": {"cpus": 1}}
    client = cluster.redis.client()
    for _ in range(10):
        answers = client.fcall("stoker_bulk", 1, "stoker:{default}:meta", "ada", *[json.dumps(spec), ""] * 100)
        assert all(word == "ok" for word, _ in answers)
    other = cluster.submit({**QUEUED, "name": "another", "priority": 0})
    wait_until(lambda: client.zcard("stoker:{default}:jobs:succeeded") > 5, what="workers are at it")
    dry = cluster.cli("cancel", "--name", "sweep-*", "--queue", "default", "--dry-run")
    assert "job" in dry.stderr and dry.stderr.startswith("dry run: ")
    assert client.zcard("stoker:{default}:jobs:cancelled") == 0
    done = cluster.cli("cancel", "--name", "sweep-*", "--reason", "wrong seed")
    assert "cancelled or asked to stop" in done.stderr
    wait_until(lambda: client.hget("stoker:{default}:meta", "active") == "0", what="all have ended", timeout=60)
    assert cluster.wait_final(other)["state"] == "succeeded"
    succeeded = client.zcard("stoker:{default}:jobs:succeeded")
    cancelled = client.zcard("stoker:{default}:jobs:cancelled")
    assert succeeded + cancelled == 1001 and cancelled > 700, (succeeded, cancelled)
    again = cluster.cli("cancel", "--name", "sweep-*")
    assert again.stderr == "0 jobs cancelled or asked to stop\n"
    cluster.cli("rm", "--state", "cancelled")
    assert client.zcard("stoker:{default}:jobs:cancelled") == 0
    assert client.zcard("stoker:{default}:jobs:succeeded") == succeeded


def test_priority_changes_the_order_of_claims(tmp_path):
    with Cluster(tmp_path, workers=0, worker_options=("--cpus", 1)) as cluster:
        jobs = [cluster.submit(QUEUED) for _ in range(5)]
        assert cluster.cli("update", jobs[4], "--priority", 9).stdout == f"{jobs[4]}  queued\n"
        assert cluster.api("POST", f"/api/v1/jobs/{jobs[0]}/update", {"priority": 1})["state"] == "queued"
        cluster.start_worker()
        for job in jobs:
            assert cluster.wait_final(job)["state"] == "succeeded"
        claimed = sorted(jobs, key=lambda job: int(cluster.job(job)["token"]))
        assert claimed[0] == jobs[4] and claimed[-1] == jobs[0]


def test_update_reaches_the_program(cluster, tmp_path):
    job = cluster.submit({"command": ["sleep", "60"], "hold": True})
    assert "held by" in cluster.show(job)["why"]
    cluster.cli("update", job, "--set", "timeout=300ms", "--set", "retry.max_attempts=1")
    cluster.cli("release", job)
    ended = cluster.wait_final(job)
    assert (ended["state"], ended["cause"]) == ("failed", "timeout")


def test_hold_and_release_race_with_claims(cluster):
    """Whoever wins: a job is held or it runs, never both, and each runs once."""
    jobs = [cluster.submit({**QUEUED, "name": "race"}) for _ in range(60)]
    conflicts = 0
    for job in jobs:
        try:
            cluster.api("POST", f"/api/v1/jobs/{job}/hold")
        except ApiError as error:
            conflicts += 1
            assert error.status == 409 and "only a waiting or queued job can be held" in error.body
    held = [job for job in jobs if cluster.job(job).get("reason") == "held"]
    assert len(held) == 60 - conflicts
    cluster.cli("release", "--state", "held")
    for job in jobs:
        found = cluster.wait_final(job)
        assert (found["state"], found["attempt"]) == ("succeeded", "1"), json.dumps(cluster.show(job))


def test_the_command_steers_by_id_and_by_filter(idle):
    jobs = [idle.submit({**QUEUED, "name": f"train-{i}", "experiment": "e1" if i % 2 else "e2"}) for i in range(4)]
    assert idle.cli("hold", jobs[0], jobs[1], "-m", "not today").stdout == f"{jobs[0]}  waiting\n{jobs[1]}  waiting\n"
    assert "held by" in idle.cli("show", jobs[0]).stdout and "not today" in idle.cli("show", jobs[0]).stdout
    assert idle.cli("hold", "--experiment", "e2").stdout == f"{jobs[2]}  waiting\n"
    assert set(idle.cli("release", "--state", "held").stdout.split()) == {*jobs[:3], "queued"}
    assert idle.cli("update", "--name", "train-*", "--priority", "8", "--limit", "3").stderr == "3 jobs updated\n"
    assert idle.cli("cancel", *jobs[:2]).stdout == f"{jobs[0]}  cancelled\n{jobs[1]}  cancelled\n"
    assert idle.cli("cancel", "--older-than", "1h").stderr == "0 jobs cancelled or asked to stop\n"
    assert idle.cli("cancel", "--older-than", "0s").stderr == "2 jobs cancelled or asked to stop\n"
    assert idle.cli("retry", "--experiment", "e1", "--dry-run").stderr == "dry run: 2 jobs found\n"
    again = idle.cli("retry", "--experiment", "e1").stdout.split()
    assert set(again) == {jobs[1], jobs[3], "as", "default-5", "default-6"}
    assert idle.cli("rm", jobs[0]).stdout == f"{jobs[0]}  removed\n"
    assert idle.cli("show", jobs[0], check=False).returncode == 3
    assert idle.cli("rm", "--state", "cancelled", "--json").stdout.count('"removed"') == 3
    events = idle.cli("events").stdout
    for words in ("held by", "released by", "updated", "removed"):
        assert words in events, events


def test_jobs_are_found_by_their_tags(idle):
    words = (["nlp", "sweep/1"], ["nlp", "eu"], ["nlpx"], [], ["eu", "sweep/2"])
    jobs = [idle.submit({**QUEUED, "tags": tags}) for tags in words]
    other = idle.submit({**QUEUED, "tags": ["nlp"]}, queue="gpu")
    assert "tags          nlp sweep/1\n" in idle.cli("show", jobs[0]).stdout
    assert idle.cli("ls", "--ids", "--tag", "nlp").stdout.split() == [other, jobs[1], jobs[0]]
    assert idle.cli("ls", "--ids", "--tag", "nlp", "--limit", "2").stdout.split() == [other, jobs[1]]
    assert idle.cli("ls", "--ids", "--tag", "sweep/*", "--queue", "default").stdout.split() == [jobs[4], jobs[0]]
    page = idle.api("GET", "/api/v1/jobs?queue=default&tag=eu&limit=2")
    assert [j["id"] for j in page["jobs"]] == [jobs[4]], "a page is searched, and more pages are to come"
    rest = idle.api("GET", f"/api/v1/jobs?queue=default&tag=eu&limit=3&cursor={page['cursor']}")
    assert [j["id"] for j in rest["jobs"]] == [jobs[1]] and rest["cursor"] == ""
    assert idle.cli("update", "--tag", "nlpx", "--set", "tags=[nlp]").stderr == "1 job updated\n"
    assert idle.cli("hold", "--tag", "nlp", "--queue", "default").stdout.split()[::2] == [jobs[2], jobs[1], jobs[0]]
    assert idle.cli("release", "--tag", "sweep/*").stdout == f"{jobs[0]}  queued\n"
    assert idle.cli("cancel", "--tag", "eu", "--dry-run").stderr == "dry run: 2 jobs found\n"
    assert idle.cli("cancel", "--tag", "eu").stderr == "2 jobs cancelled or asked to stop\n"
    again = idle.cli("retry", "--tag", "sweep/2").stdout.split()
    assert again[:2] == [jobs[4], "as"] and idle.job(again[2])["tags"] == "eu sweep/2"
    assert idle.cli("rm", "--tag", "e?").stderr == "2 jobs removed\n"
    for job in (jobs[0], jobs[2], jobs[3], other):
        assert idle.job(job)["state"] in ("queued", "waiting")


def test_a_batch_is_found_in_whichever_queue_it_is(idle):
    idle.submit(QUEUED)
    only = [idle.submit({**QUEUED, "batch": "only"}, queue="gpu") for _ in range(3)]
    both = [idle.submit({**QUEUED, "batch": "both", "tags": [f"t{i}"]}, queue=("gpu", "cpu")[i % 2]) for i in range(4)]
    assert idle.cli("ls", "--ids", "--batch", "only").stdout.split() == only[::-1]
    assert idle.cli("ls", "--ids", "--batch", "only", "--limit", "2").stdout.split() == only[:0:-1]
    assert idle.cli("ls", "--ids", "--batch", "only", "--queue", "cpu", check=False).returncode == 3
    page = idle.api("GET", "/api/v1/jobs?batch=only&limit=2")
    assert (page["batch"]["id"], page["batch"]["queue"]) == ("only", "gpu") and page["cursor"]
    rest = idle.api("GET", f"/api/v1/jobs?batch=only&limit=2&cursor={page['cursor']}")
    assert [j["id"] for j in rest["jobs"]] == only[:1] and not rest["cursor"]
    found = idle.api("GET", "/api/v1/jobs?batch=both")
    assert [b["queue"] for b in found["batches"]] == ["cpu", "gpu"] and found["cursor"] == ""
    assert {j["id"] for j in found["jobs"]} == set(both)
    times = [j["submitted_ms"] for j in found["jobs"]]
    assert times == sorted(times, reverse=True)
    assert idle.cli("ls", "--ids", "--batch", "both", "--tag", "t[12]").stdout.split() in (both[2:0:-1], both[1:3])
    assert len(idle.api("GET", "/api/v1/jobs?batch=both&limit=3")["jobs"]) == 3
    client = idle.redis.client()
    for i, job in enumerate(both):
        queue, n = job.rsplit("-", 1)
        client.xadd(f"stoker:{{{queue}}}:metrics:{n}", {"time_ms": 1, "loss": (3, 1, 2, 4)[i]}, id="1-1")
    ranked = idle.cli("ls", "--ids", "--batch", "both", "--rank", "loss").stdout.split()
    assert ranked == [both[1], both[2], both[0], both[3]]
    none = idle.cli("ls", "--batch", "none", check=False)
    assert none.returncode == 3 and "no queue has a batch none" in none.stderr


def test_the_tags_of_a_batch(idle):
    specs = [{"command": "true", "name": f"j{i}", "tags": ["even"] if i % 2 == 0 else ["odd"]} for i in range(4)]
    ids = idle.api("POST", "/api/v1/jobs", {"jobs": specs, "batch": "b"})["ids"]
    assert idle.cli("ls", "--ids", "--batch", "b", "--tag", "odd").stdout.split() == [ids[3], ids[1]]


@pytest.mark.parametrize("args, code, sentence", [
    (("cancel",), 2, "it is not said which jobs"), (("rm",), 2, "it is not said which jobs"),
    (("hold", "default-1", "--state", "queued"), 2, "one or the other"),
    (("hold", "default-1", "--tag", "x"), 2, "one or the other"),
    (("rm", "--queue", "default"), 2, "it is not said which jobs"),
    (("rm", "default-1"), 5, "only a job that has ended can be removed"),
    (("rm", "--state", "queued"), 2, "state: remove is for jobs that are succeeded, failed, cancelled; got"),
    (("cancel", "--state", "runing"), 2, "state: cancel is for jobs that are waiting, queued, running, held"),
    (("cancel", "--older-than", "soon"), 2, "older_than: expected a duration"),
    (("update", "default-1"), 2, "it is not said what to change"),
    (("update", "default-1", "--priority", "12"), 2, "priority: expected an integer from 0 to 9, got 12"),
    (("update", "default-1", "--set", "command=ls"), 2, "command: it cannot be changed"),
    (("update", "--state", "queued", "--set", "env.A=1"), 2, "env: it cannot be changed"),
    (("release", "default-77"), 3, "no job default-77"), (("queues", "pause", "nope"), 3, "no queue nope"),
    (("queues", "pause", "Bad/../x"), 2, "a queue's name is"), (("queues", "stop", "default"), 2, "expected `queues`")])
def test_what_is_refused(idle, args, code, sentence):
    idle.submit(QUEUED)
    done = idle.cli(*args, check=False)
    assert (done.returncode, sentence in done.stderr) == (code, True), done


@pytest.mark.parametrize("body, sentence", [
    ({}, "queue: required"), ({"queue": "default"}, "the filter is empty"),
    ({"queue": "default", "name": "*", "action": "burn"}, "action: expected cancel"),
    ({"queue": "default", "tag": 3}, "tag: expected a text"),
    ({"queue": "default", "name": 3}, "name: expected a text"), ({"queue": "a b", "name": "x"}, "no name of a queue"),
    ({"queue": "default", "name": "x", "action": "cancel", "limit": 0}, "limit: expected an integer from 1"),
    ({"queue": "default", "name": "x", "action": "cancel", "cursor": "nowhere"}, "cursor: "),
    ({"queue": "default", "name": "x", "action": "cancel", "changes": {}}, "changes: expected"),
    ({"queue": "default", "name": "x", "action": "update"}, "changes: expected"),
    ({"queue": "default", "nam": "x", "action": "cancel"}, "nam: unknown key")])
def test_what_the_api_refuses(idle, body, sentence):
    status, text = idle.request("POST", "/api/v1/each", body)
    assert status == 400 and sentence in text, text


@pytest.mark.parametrize("query, sentence", [
    ("tag=x", "tag: pages that are searched are those of one queue"), ("queue=default&tag=" + 65 * "x", "tag: longer")])
def test_a_search_that_the_list_refuses(idle, query, sentence):
    status, text = idle.request("GET", "/api/v1/jobs?" + query)
    assert status == 400 and sentence in text, text


def test_pages_of_a_long_walk(idle):
    """More jobs than one request walks: the cursor goes on, and every job is met once."""
    client = idle.redis.client()
    idle.api("POST", "/api/v1/queues", {"queue": "default"})
    for _ in range(102):
        client.fcall("stoker_bulk", 1, "stoker:{default}:meta", "", *[json.dumps(QUEUED), ""] * 100)
    first = idle.api("POST", "/api/v1/each", {"action": "cancel", "queue": "default", "state": "queued"})
    assert first["done"] == 10000 and first["cursor"].startswith("queued/")
    rest = idle.api("POST", "/api/v1/each", {"action": "cancel", "queue": "default", "state": "queued",
                                             "cursor": first["cursor"]})
    assert rest["done"] == 200 and rest["cursor"] == ""
    assert client.zcard("stoker:{default}:jobs:cancelled") == 10200
    assert idle.cli("rm", "--state", "cancelled").stderr == "10200 jobs removed\n"
