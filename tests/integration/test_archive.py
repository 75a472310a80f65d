"""What has ended leaves Redis for the store, through real schedulers, and is shown, listed and retried from there."""
import json
import signal

import pytest

from cluster import ApiError, Cluster
from harness import ROOT, wait_until
from worker_harness import job_of

ONCE = {"max_attempts": 1}
SAVED = """echo '{"t":"checkpoint","path":"'$STOKER_CHECKPOINT_DIR/a.bin'","step":1}' >&$STOKER_CONTROL_FD; """


class Archiving(Cluster):
    def __init__(self, folder, **options):
        super().__init__(folder, scheduler_options=["--store", f"file://{folder}/store"],
                         worker_options=["--cpus", "8", "--log-level", "warn"], **options)
        self.keep(100000)

    def keep(self, count, queue="default"):
        self.redis.client().hset(f"stoker:{{{queue}}}:meta", "max_finished", count)

    def final_in_redis(self):
        client = self.redis.client()
        return [n for state in ("succeeded", "failed", "cancelled")
                for n in client.zrange(f"stoker:{{default}}:jobs:{state}", 0, -1)]

    def archive_all(self, left=0):
        self.keep(left)
        wait_until(lambda: len(self.final_in_redis()) == left, what="all of it is archived")

    def objects(self):
        return sorted(p for p in self.store().glob("*/archive/default/*/*") if p.name[0] != ".")

    def archived(self, limit=100):
        """Every job of the archive, as the pages of the API have it."""
        jobs, cursor = [], ""
        while True:
            page = self.api("GET", f"/api/v1/jobs?state=archived&limit={limit}&cursor={cursor}")
            jobs += page["jobs"]
            cursor = page["cursor"]
            if not cursor:
                return jobs

    def many(self, count):
        body = "\n".join(json.dumps({"command": ["true"], "name": f"n{i}"}) for i in range(count))
        self.request("POST", "/api/v1/jobs", body, {"Content-Type": "application/x-ndjson"})


@pytest.fixture
def archiving(tmp_path):
    with Archiving(tmp_path) as cluster:
        yield cluster


def documents(cluster, job):
    """All that the API knows of a job, but for what tells how long ago it was."""
    shown = cluster.show(job)
    shown.pop("now_ms"), shown.pop("archived", None)
    live = {name: shown.pop(name, None) for name in ("ahead", "holders", "reserved", "max_running", "running",
                                                     "requirement")}
    assert not live["ahead"] and not live["holders"]
    for parent in shown.get("parents", {}).values():  # of a parent, what it was is known, not what it is now
        parent.pop("checkpoint", None), parent.pop("name", None)
    paths = ("logs", "metrics", "metrics?merged=1", "checkpoints")
    return shown, [cluster.api("GET", f"/api/v1/jobs/{job}/{path}") for path in paths]


def test_an_archived_job_is_shown_as_before(archiving):
    program = ("for i in 1 2 3; do echo step=$i loss=0.$i; done; echo ö 1>&2; "
               "echo x > $STOKER_CHECKPOINT_DIR/a.bin; " + SAVED +
               "echo '{\"loss\":[]}' > $STOKER_RESULT")
    rich = archiving.submit(job_of(program, name="rich"))
    archiving.wait_final(rich)
    bad = archiving.submit(job_of("echo no; exit 3", retry={"max_attempts": 2, "backoff": "0s"}, after=[rich]))
    archiving.wait_final(bad)
    before = [documents(archiving, job) for job in (rich, bad)]
    result = archiving.request("GET", f"/api/v1/jobs/{rich}/result")
    shown = [archiving.cli("show", job).stdout.splitlines() for job in (rich, bad)]
    assert result[0] == 200 and before[0][1][1]["entries"] and before[0][1][3]["checkpoints"]
    assert before[1][0]["history"] and before[1][0]["last_lines"] == ["no"]
    archiving.archive_all()
    assert archiving.redis.client().keys("stoker:{default}:job:*") == []
    assert [documents(archiving, job) for job in (rich, bad)] == before
    assert archiving.request("GET", f"/api/v1/jobs/{rich}/result") == result
    assert archiving.show(rich)["archived"] is True
    for job, lines in zip((rich, bad), shown):
        now = archiving.cli("show", job).stdout.splitlines()
        assert "  archived      it has left Redis and is read from the store" in now
        assert now[0] == lines[0] and set(lines[2:]) - set(now) == set()
    log = archiving.cli("logs", rich).stdout
    followed = archiving.cli("logs", "-f", rich)
    assert log.startswith("step=1 loss=0.1\n") and followed.stdout == log and "succeeded in" in followed.stderr
    followed = archiving.cli("logs", "-f", bad, check=False)
    assert followed.returncode == 10 and "no\n" in followed.stdout, "as if it had been followed to its end"
    refused = archiving.cli("rm", rich, check=False)
    assert refused.returncode == 5 and "is in the archive" in refused.stderr
    assert archiving.request("GET", f"/api/v1/jobs/{bad}/result")[0] == 404
    assert archiving.api("GET", f"/api/v1/jobs/{rich}/metrics?after=1-1&limit=1")["entries"] == \
        before[0][1][1]["entries"][1:2]


def test_what_is_nowhere_is_not_found(archiving):
    archiving.wait_final(archiving.submit(job_of("true")))
    archiving.archive_all()
    for path in ("", "/logs", "/metrics", "/metrics?merged=1", "/checkpoints", "/result"):
        with pytest.raises(ApiError) as refused:
            archiving.api("GET", f"/api/v1/jobs/default-9{path}")
        assert refused.value.status == 404 and "no job default-9 (the newest is default-1)" in refused.value.body
    assert archiving.cli("retry", "default-9", check=False).returncode == 3


def test_pages_have_each_job_once_newest_first(archiving):
    archiving.many(250)
    wait_until(lambda: len(archiving.final_in_redis()) == 250, timeout=60, what="all have ended")
    archiving.archive_all(left=20)
    assert 3 <= len(archiving.objects()) <= 5, "a hundred jobs an object"
    kept = {f"default-{n}" for n in archiving.final_in_redis()}
    expected = [f"default-{n}" for n in range(250, 0, -1) if f"default-{n}" not in kept]
    client, meta = archiving.redis.client(), "stoker:{default}:meta"
    for turn in ("as they came", "not indexed", "indexed anew"):
        if turn == "not indexed":  # as what an older stoker archived
            client.hdel(meta, "index")
        elif turn == "indexed anew":
            assert archiving.cli("reindex").stdout == "default  230 archived jobs are listed\n"
        for limit in (7, 100):
            found = archiving.archived(limit)
            assert sorted(job["id"] for job in found) == sorted(expected), turn
            ended = [int(job["ended_ms"]) for job in found]
            assert turn == "not indexed" or ended == sorted(ended, reverse=True)
            assert turn != "not indexed" or [job["id"] for job in found] == expected, "the largest number first"
            assert {job["state"] for job in found} == {"succeeded"} and all(job["name"][0] == "n" for job in found)
        said = archiving.cli("ls", "--state", "archived", "--limit", "3", "--ids").stdout.split()
        assert said == [job["id"] for job in found[:3]]
    assert "succeeded" in archiving.cli("ls", "--state", "archived").stdout
    assert archiving.api("GET", "/api/v1/jobs?state=succeeded&limit=100")["cursor"] == ""


def test_the_archive_is_searched_by_tag(archiving):
    jobs = [archiving.submit(job_of("true", tags=[tag])) for tag in ("red", "blue", "red")]
    for job in jobs:
        archiving.wait_final(job)
    archiving.archive_all()
    page = archiving.api("GET", "/api/v1/jobs?state=archived&queue=default&tag=red")
    assert sorted(job["id"] for job in page["jobs"]) == [jobs[0], jobs[2]]


def test_what_the_index_cannot_hold_is_listed_from_the_store(archiving):
    archiving.many(5)
    wait_until(lambda: len(archiving.final_in_redis()) == 5, what="all have ended")
    archiving.archive_all()
    before = archiving.archived()
    client = archiving.redis.client()
    oldest = client.zrange("stoker:{default}:archived", 0, 1, withscores=True)
    with client.pipeline() as all:  # as the index does when it is full
        all.zrem("stoker:{default}:archived", *[n for n, _ in oldest])
        all.hdel("stoker:{default}:summaries", *[n for n, _ in oldest])
        all.hset("stoker:{default}:meta", "index_past", int(oldest[1][1]) + 1)
        all.execute()
    for limit in (1, 3, 100):
        ids = [job["id"] for job in archiving.archived(limit)]
        assert ids[:3] == [job["id"] for job in before[:3]]
        assert {f"default-{n}" for n, _ in oldest} <= set(ids) and len(set(ids)) == 5


def test_a_lost_index_is_made_anew(archiving):
    """Of Redis everything is lost; the store has it all."""
    archiving.many(350)
    rich = archiving.submit(job_of("echo hello", name="rich"))
    wait_until(lambda: len(archiving.final_in_redis()) == 351, timeout=60, what="all have ended")
    archiving.archive_all()
    before, installation = archiving.archived(), archiving.redis.client().get("stoker:installation")
    archiving.redis.client().flushall()
    wait_until(lambda: archiving.redis.client().exists("stoker:{default}:meta"), what="the queue is made anew")
    assert archiving.archived() == [], "nobody knows of them"
    assert archiving.cli("reindex").stdout == "default  351 archived jobs are listed\n"
    assert archiving.archived() == before
    assert archiving.cli("logs", rich).stdout == "hello\n"
    assert archiving.redis.client().get("stoker:installation") == installation, "the store is still its own"
    new = archiving.submit(job_of("true"))
    assert new == "default-352", "no number is given out twice"
    archiving.wait_final(new)
    archiving.archive_all()
    assert [job["id"] for job in archiving.archived()] == [new, *[job["id"] for job in before]]


@pytest.mark.long  # tests/lua/test_archive.py: test_who_began_later_goes_on
def test_of_two_that_reindex_the_later_goes_on(archiving):
    archiving.many(30)
    wait_until(lambda: len(archiving.final_in_redis()) == 30, what="all have ended")
    for left in range(29, -1, -1):  # an object each
        archiving.archive_all(left)
    before = archiving.archived()

    def step(cursor):
        return archiving.api("POST", "/api/v1/queues/default/reindex", {"cursor": cursor})
    first = step("")
    assert first["read"] == first["added"] == 10 and first["cursor"]
    archiving.schedulers[0].signal(signal.SIGKILL)
    archiving.schedulers[0].popen.wait()
    archiving.start_scheduler()
    assert len(archiving.archived()) == 30, "until it is whole, the store is listed"
    assert step(first["cursor"])["added"] == 10 and step(first["cursor"])["added"] == 0, "the same again"
    second = step("")
    with pytest.raises(ApiError) as refused:
        step(first["cursor"])
    assert refused.value.status == 409 and "anew by somebody else" in refused.value.body
    while second["cursor"]:
        second = step(second["cursor"])
    assert archiving.archived() == before
    for cursor in ("x", "x/y", second["cursor"] + "/"):
        with pytest.raises(ApiError) as refused:
            step(cursor)
        assert refused.value.status in (400, 409)


def test_of_two_objects_the_later_counts(archiving):
    """A scheduler died between writing and letting go, and the job had changed when it was written again."""
    archiving.many(3)
    wait_until(lambda: len(archiving.final_in_redis()) == 3, what="all have ended")
    archiving.archive_all()
    (first, *_) = archiving.objects()
    text, (least, most, rest) = first.read_bytes(), first.name.split("-")
    made_ms, name = rest.split(".")
    for ms, more, called in ((-5, 7, b"older"), (5, 3, b"later")):  # the older one is read first
        whole = text.replace(b'"n1"', b'"' + called + b'"', 1)
        (first.parent / f"{least}-{int(most) + more}-{int(made_ms) + ms}.{name}").write_bytes(whole)
    archiving.cli("reindex")
    for turn in ("indexed", "not indexed"):
        for limit in (1, 2, 100):
            names = {job["id"]: job["name"] for job in archiving.archived(limit)}
            assert names == {"default-1": "n0", "default-2": "later", "default-3": "n2"}, limit
        archiving.redis.client().hdel("stoker:{default}:meta", "index")


def test_a_retry_from_the_archive_resumes(archiving):
    script = '[ -n "$STOKER_RESUME" ] && exec cat $STOKER_RESUME; echo 42 > $STOKER_CHECKPOINT_DIR/a.bin; '
    script += SAVED + "exit 3"
    failed = archiving.submit(job_of(script, retry=ONCE))
    assert archiving.wait_final(failed)["state"] == "failed"
    assert archiving.api("GET", f"/api/v1/jobs/{failed}/checkpoints")["checkpoints"]
    archiving.archive_all()
    archiving.keep(100)
    again = archiving.cli("retry", failed).stdout.split()[-1]
    done = archiving.wait_final(again)
    assert (done["state"], done["retry_of"]) == ("succeeded", failed.rsplit("-", 1)[1])
    assert "42" in archiving.cli("logs", again).stdout
    assert archiving.api("POST", f"/api/v1/jobs/{failed}/retry", {"attempt": 1})["id"] == again, "asked again"
    assert archiving.show(failed)["archived"] is True, "it stays what it was"
    with pytest.raises(ApiError) as refused:
        archiving.archive_all()
        archiving.api("POST", f"/api/v1/jobs/{again}/retry")
    assert refused.value.status == 409 and "nothing to retry" in refused.value.body


def test_schedulers_die_and_nothing_is_lost(tmp_path):
    with Archiving(tmp_path, schedulers=2) as cluster:
        cluster.many(400)
        wait_until(lambda: len(cluster.final_in_redis()) == 400, timeout=60, what="all have ended")
        cluster.keep(0)
        for turn in range(12):  # at whatever point of a batch it is
            count = len(cluster.objects())
            wait_until(lambda: len(cluster.objects()) > count or not cluster.final_in_redis(), what="one more object")
            cluster.schedulers[turn % 2].signal(signal.SIGKILL)
            cluster.schedulers[turn % 2].popen.wait()
            cluster.redis.client().delete("stoker:{default}:archiver")  # a minute has passed
            cluster.start_scheduler(turn % 2)
        wait_until(lambda: not cluster.final_in_redis(), what="all of it is archived")
        assert sorted(job["id"] for job in cluster.archived()) == sorted(f"default-{n}" for n in range(1, 401))
        assert cluster.redis.client().keys("stoker:{default}:job:*") == []


def test_queues_take_turns(tmp_path):
    with Archiving(tmp_path, workers=0) as cluster:
        client = cluster.redis.client()
        cluster.api("POST", "/api/v1/queues", {"queue": "gpu"})
        for queue, count in (("default", 600), ("gpu", 100)):
            meta = f"stoker:{{{queue}}}:meta"
            for first in range(1, count, 100):
                client.fcall("stoker_bulk", 1, meta, "", *['{"command":"true"}', ""] * 100)
                client.fcall("stoker_each", 1, meta, "cancel", "", "", "", *range(first, first + 100))
        with client.pipeline() as both:  # seen by one tick
            for queue in ("default", "gpu"):
                both.hset(f"stoker:{{{queue}}}:meta", "max_finished", 0)
            both.execute()
        cluster.archive_all()
        wait_until(lambda: not client.zcard("stoker:{gpu}:jobs:cancelled"), what="the other queue is done, too")
        ended = {queue: [id for id, e in client.xrange(f"stoker:{{{queue}}}:events")
                         if e["event"] == "retention.archived"] for queue in ("default", "gpu")}
        assert len(ended["default"]) == 6 and len(ended["gpu"]) == 1
        assert int(ended["gpu"][0].split("-")[0]) < int(ended["default"][-1].split("-")[0])


def test_without_the_store_nothing_leaves_and_admission_closes(tmp_path):
    with Archiving(tmp_path / "c") as cluster:
        # The store is the folder that does not exist yet, below one that does not either.
        cluster.schedulers[0].stop()
        cluster.scheduler_options = ["--store", f"file://{tmp_path}/later/store"]
        cluster.start_scheduler()
        cluster.many(120)
        wait_until(lambda: len(cluster.final_in_redis()) == 120, timeout=60, what="all have ended")
        cluster.keep(5)
        client = cluster.redis.client()
        wait_until(lambda: client.hget("stoker:{default}:meta", "archive") == "behind", what="it is behind")
        assert len(cluster.final_in_redis()) == 120
        refused = cluster.cli("submit", ROOT / "examples/shell.yaml", check=False)
        assert refused.returncode == 6 and "not in the archive yet" in refused.stderr, refused.stderr
        assert cluster.request("POST", "/api/v1/jobs", {"command": "true"})[0] == 429
        wait_until(lambda: "what has ended cannot be archived, and stays in Redis" in cluster.schedulers[0].text(),
                   what="it says why")
        assert "the folder above it must exist" in cluster.schedulers[0].text()
        (tmp_path / "later").mkdir()
        wait_until(lambda: len(cluster.final_in_redis()) == 5, timeout=30, what="it is there, and all goes on")
        wait_until(lambda: client.hget("stoker:{default}:meta", "archive") == "on", what="it has caught up")
        cluster.wait_final(cluster.submit(job_of("true")))


def test_a_damaged_object_is_told(archiving):
    first = archiving.submit(job_of("echo hello"))
    archiving.wait_final(first)
    archiving.archive_all()
    whole, = archiving.objects()
    second = archiving.submit(job_of("true"))
    archiving.wait_final(second)
    wait_until(lambda: not archiving.final_in_redis(), what="the second is archived, too")
    text = whole.read_bytes()
    for damaged in (text[:40], text.split(b"\n", 1)[0] + b"\n", b"", b"{}\n"):
        whole.write_bytes(damaged)
        with pytest.raises(ApiError) as refused:
            archiving.show(first)
        assert refused.value.status == 500 and whole.name in refused.value.body and "damaged" in refused.value.body
    assert archiving.show(second)["archived"] is True
    index, rest = text.split(b"\n", 1)
    whole.write_bytes(index + b"\n" + b"x" * len(rest))  # as long as it was
    for path in ("", "/logs", "/checkpoints", "/result"):
        status, said = archiving.request("GET", f"/api/v1/jobs/{first}{path}")
        assert status == 500 and f"what the archive has of job {first} is no JSON" in said, path
    assert "is no JSON" in archiving.cli("retry", first, check=False).stderr
    whole.write_bytes(text[:40])
    indexed = archiving.cli("reindex", check=False)
    assert indexed.returncode == 12 and f"damaged: {'/'.join(whole.parts[-5:])}" in indexed.stdout
    assert [job["id"] for job in archiving.archived()] == [second]
    whole.write_bytes(text)
    assert "hello" in archiving.cli("logs", first).stdout


def test_a_scheduler_without_a_store_drops_and_says_so(tmp_path):
    with Cluster(tmp_path) as cluster:
        cluster.wait_final(cluster.submit(job_of("true")))
        cluster.redis.client().hset("stoker:{default}:meta", "max_finished", 0)
        wait_until(lambda: not cluster.redis.client().exists("stoker:{default}:job:1"), what="it is dropped")
        with pytest.raises(ApiError) as refused:
            cluster.show("default-1")
        assert refused.value.status == 404
        refused = cluster.cli("ls", "--state", "archived", check=False)
        assert refused.returncode == 3 and "this scheduler has no archive" in refused.stderr
        assert "--store" in refused.stderr


@pytest.mark.parametrize("query", ["cursor=x", "cursor=1-1", "cursor=" + "1" * 16, "batch=b"])
def test_wrong_questions(archiving, query):
    with pytest.raises(ApiError) as refused:
        archiving.api("GET", f"/api/v1/jobs?state=archived&{query}")
    assert refused.value.status == 400
