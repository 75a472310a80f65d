"""What a job wrote is whole in the store, however little of it Redis keeps, and is read from there."""
import gzip
import json
import os
import signal

import pytest

from cluster import Cluster
from harness import wait_until
from worker_harness import RETRY, job_of

ONCE = {"max_attempts": 1}
SAVED = """echo '{"t":"checkpoint","path":"'$STOKER_CHECKPOINT_DIR/a.bin'","step":2}' >&$STOKER_CONTROL_FD"""


def many_lines(count, size, more=""):
    """A program that prints so many lines of that size, each with its number."""
    return ["python3", "-c", f"import os, time\nfor i in range({count}): print(f'{{i:08}} ' + 'x' * {size})\n{more}"]


def has_said(run, end):
    try:
        with open(run / "spool.log", "rb") as spool:
            spool.seek(-len(end), os.SEEK_END)
            return spool.read() == end
    except OSError:  # it is not there yet, or is shorter
        return False


def expected(count, size):
    return [f"{i:08} " + "x" * size for i in range(count)]


class Stored(Cluster):
    def __init__(self, folder, store=None, **options):
        self.url = f"file://{store or folder / 'store'}"
        super().__init__(folder, scheduler_options=["--store", self.url],
                         worker_options=["--cpus", "8", "--log-level", "warn", "--store", self.url], **options)
        self.kept = store or self.store()

    def transcripts(self, job):
        """The folders of those that are complete, by attempt."""
        found = {}
        for done in self.kept.glob(f"*/runs/{job}-*/*/transcript.json"):
            found[int(done.parent.name.split("-")[0])] = done.parent
        return found

    def wait_transcript(self, job, attempt=1, timeout=60):
        return wait_until(lambda: self.transcripts(job).get(attempt), timeout, f"the transcript {attempt} of {job}")

    def waiting(self, place="owed", i=0):
        return sorted(p.name for p in (self.state_dir(i) / place).iterdir())

    def lines(self, job, *options):
        """What the program said."""
        text = self.cli("logs", job, *options).stdout
        return [line for line in text.splitlines() if not line.startswith("[stoker]")]

    def first_in_redis(self, stream):
        (first, _), = self.redis.client().xrange(f"stoker:{{default}}:{stream}", count=1)
        return tuple(int(number) for number in first.split("-"))

    def archive_all(self):
        client = self.redis.client()
        client.hset("stoker:{default}:meta", "max_finished", 0)
        wait_until(lambda: not client.keys("stoker:{default}:job:*"), timeout=30, what="all of it is archived")

    def entries(self, job, path, limit=1000):
        """All pages."""
        found, after = [], ""
        while True:
            page = self.api("GET", f"/api/v1/jobs/{job}/{path}?limit={limit}&after={after}")
            if not page["entries"]:
                return found
            found += page["entries"]
            assert page["next"] != after
            after = page["next"]


@pytest.fixture
def stored(tmp_path):
    with Stored(tmp_path) as cluster:
        yield cluster


def test_a_long_log_is_whole(stored):
    job = stored.submit({"command": many_lines(150000, 100), "retry": ONCE})
    stored.wait_final(job, timeout=60)
    folder = stored.wait_transcript(job)
    assert stored.first_in_redis("log:1")[1] > 10000, "Redis has let go of the beginning"
    assert stored.lines(job) == expected(150000, 100)
    entries = [json.loads(line) for line in gzip.open(folder / "log.gz", "rt")]
    assert entries[0]["id"] == "1-1" and sum(int(e["lines"]) for e in entries) >= 150000
    stored.archive_all()
    assert stored.lines(job) == expected(150000, 100)
    assert stored.lines(job, "-f") == expected(150000, 100)
    assert stored.lines(job, "--tail", "30000") == expected(150000, 100)[-30000:]
    page = stored.api("GET", f"/api/v1/jobs/{job}/logs?after=1-777&limit=1")["entries"]
    assert page[0]["id"] == "1-778" and page[0]["stdout"].startswith("00000777 x"), "cut inside of an entry"


def test_a_short_run_owes_nothing(stored):
    job = stored.submit(job_of("echo hello; echo loss=1"))
    stored.wait_final(job)
    wait_until(lambda: stored.waiting("finished"), what="its folder is put away")
    assert not stored.waiting() and not list(stored.kept.glob("*/runs/*"))
    assert stored.lines(job) == ["hello", "loss=1"]


def test_earlier_attempts_are_whole_with_their_points(stored):
    """What one attempt leaves, later ones may push out of Redis."""
    script = ("for i in 1 2 3; do echo step=$i loss=0.$i; done; "
              f'[ -n "$STOKER_RESUME" ] && exit 0; echo x > $STOKER_CHECKPOINT_DIR/a.bin; {SAVED}; '
              "until [ -e ../saved ]; do sleep 0.05; done; echo step=4 loss=NaN; printf 'ö\\000\\377\\n'; exit 3")
    job = stored.submit(job_of(script))
    wait_until(lambda: stored.api("GET", f"/api/v1/jobs/{job}/checkpoints")["checkpoints"], what="it is committed")
    (run,) = stored.runs()
    (run / "saved").touch()
    stored.wait_final(job)
    stored.wait_transcript(job)
    merged = f"/api/v1/jobs/{job}/metrics?merged=1"
    before = stored.lines(job), stored.entries(job, "metrics"), stored.api("GET", merged)
    assert before[1][4]["resumed_at"] == "2" and before[1][3]["loss"] == "NaN" and len(before[1]) == 8
    client = stored.redis.client()
    said = sum(int(e["lines"]) for id, e in client.xrange("stoker:{default}:log:1") if id.startswith("1-"))
    for stream, kept in (("log:1", "2-1"), ("metrics:1", "2-0")):
        client.xtrim(f"stoker:{{default}}:{stream}", minid=kept, approximate=False)
    after = stored.lines(job), stored.entries(job, "metrics"), stored.api("GET", merged)
    assert after == before
    client.xtrim("stoker:{default}:metrics:1", minid="2-2", approximate=False)
    assert stored.entries(job, "metrics", limit=1)[:4] == before[1][:4], "pages of the first attempt"
    client.xtrim("stoker:{default}:metrics:1", minid="2-0", approximate=False)
    log = client.xrange("stoker:{default}:log:1")
    client.delete("stoker:{default}:log:1")
    skipped = {"time_ms": 1, "gap": "redis was slower", "lines": said - 1}
    for at, entry in [("1-1", {"time_ms": 1, "stdout": before[0][0], "lines": 1}), ("1-2", skipped), *log]:
        client.xadd("stoker:{default}:log:1", entry, id=at)
    assert stored.lines(job) == before[0], "the transcript has what Redis was too slow for"
    stored.archive_all()
    assert stored.lines(job) == before[0]


def test_everything_dies_and_the_log_is_whole(stored):
    more = "if os.environ['STOKER_ATTEMPT'] == '1':\n print('stays', flush=True)\n time.sleep(3600)"
    job = stored.submit({"command": many_lines(100000, 100, more), "lease": "2s", "retry": RETRY})
    (run,) = wait_until(stored.runs, what="it runs")
    wait_until(lambda: has_said(run, b" stays\n"), timeout=60, what="all of it is said")
    stored.kill_everything()
    stored.start_worker()
    stored.wait_final(job, timeout=60)
    for attempt in (1, 2):
        stored.wait_transcript(job, attempt)
    assert stored.first_in_redis("log:1")[0] == 2, "Redis has nothing of the first attempt any more"
    assert stored.lines(job, "--attempt", "1") == expected(100000, 100) + ["stays"]
    assert stored.lines(job) == expected(100000, 100) + ["stays"] + expected(100000, 100)
    wait_until(lambda: not stored.waiting(), what="nothing is owed any more")


def test_the_store_is_away_and_back(tmp_path):
    (tmp_path / "c").mkdir()
    with Stored(tmp_path / "c", store=tmp_path / "later" / "store") as cluster:
        job = cluster.submit({"command": many_lines(100000, 100), "retry": ONCE})
        cluster.wait_final(job, timeout=60)
        wait_until(lambda: "transcripts of ended runs wait for the store" in cluster.workers[0].text(),
                   what="it says that it waits")
        (folder,) = cluster.waiting()
        text = cluster.cli("logs", job).stdout.splitlines()
        assert text[0].startswith("[gap] they are in the store, which cannot be read now: ")
        assert text[-1].startswith("00099999 "), "what Redis has is shown"
        for _ in range(2):  # a worker dies and one drains, and the folder stays
            cluster.workers[0].signal(signal.SIGKILL)
            cluster.workers[0].popen.wait()
            cluster.start_worker()
            cluster.workers[0].stop()
            assert cluster.waiting() == [folder]
            cluster.start_worker()
        (tmp_path / "later").mkdir()
        cluster.wait_transcript(job)
        wait_until(lambda: folder in cluster.waiting("finished"), what="it is put away")
        assert cluster.lines(job) == expected(100000, 100)


def test_a_worker_dies_while_it_writes(stored):
    """At whatever point: the next one writes the same again."""
    job = stored.submit({"command": many_lines(300000, 100), "retry": ONCE})
    (run,) = wait_until(stored.runs, what="it runs")
    for _ in range(5):
        wait_until(lambda: not stored.runs() and (stored.transcripts(job) or list(
            stored.kept.glob(f"*/runs/{job}-*/*/.put-*"))), timeout=60, what="it is being written")
        stored.workers[0].signal(signal.SIGKILL)
        stored.workers[0].popen.wait()
        stored.start_worker()
    folder = stored.wait_transcript(job)
    wait_until(lambda: not stored.waiting(), what="nothing is owed any more")
    assert sorted(os.listdir(folder)) == ["log.gz", "transcript.json"], "nothing is left over"
    stored.schedulers[0].signal(signal.SIGKILL)
    stored.schedulers[0].popen.wait()
    stored.start_scheduler()
    assert stored.lines(job) == expected(300000, 100)


def test_what_redis_was_too_slow_for_is_read_from_the_store(stored):
    more = "print('waits', flush=True)\nwhile not os.path.exists('../go'): time.sleep(0.05)"
    job = stored.submit({"command": many_lines(80000, 1000, more), "retry": ONCE})
    (run,) = wait_until(stored.runs, what="it runs")
    stored.redis.process.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: has_said(run, b" waits\n"), timeout=60, what="all of it is said")
    finally:
        stored.redis.process.signal(signal.SIGCONT)
    wait_until(stored.is_ready, what="Redis is found again")
    (run / "go").touch()
    stored.wait_final(job, timeout=60)
    stored.wait_transcript(job)
    assert stored.lines(job) == expected(80000, 1000) + ["waits"]


def test_a_damaged_transcript_costs_only_what_it_had(stored):
    job = stored.submit({"command": many_lines(100000, 100), "retry": ONCE})
    stored.wait_final(job, timeout=60)
    folder = stored.wait_transcript(job)
    first = stored.first_in_redis("log:1")[1]
    whole, index = (folder / "log.gz").read_bytes(), (folder / "transcript.json").read_bytes()
    for turn in ("in Redis", "in the archive"):
        for name, text in [("log.gz", b"x" * len(whole)), ("log.gz", b""), ("transcript.json", index[:-3]),
                           ("transcript.json", index.replace(b'"size":', b'"size":-'))]:
            (folder / name).write_bytes(text)
            lines = stored.cli("logs", job).stdout.splitlines()
            assert lines[0].startswith("[gap] they are in the store, which cannot be read now: "), (turn, name)
            assert lines[1:] == expected(100000, 100)[first - 1:]
            (folder / "log.gz").write_bytes(whole), (folder / "transcript.json").write_bytes(index)
        (folder / "log.gz").write_bytes(whole[:len(whole) // 8])  # cut off: what stands before is there
        lines = stored.cli("logs", job).stdout.splitlines()
        assert lines[0] == expected(1, 100)[0] and any("cannot be read now" in line for line in lines)
        assert lines[-1] == expected(100000, 100)[-1]
        (folder / "log.gz").write_bytes(whole)
        assert stored.lines(job) == expected(100000, 100)
        if turn == "in Redis":
            stored.archive_all()


def test_gc_takes_the_transcripts_of_removed_jobs_only(stored):
    kept, gone, archived = (stored.submit(job_of("echo said; exit 3", retry={**RETRY, "max_attempts": 2}))
                            for _ in range(3))
    for job in (kept, gone, archived):
        stored.wait_final(job)
        stored.wait_transcript(job)
    client = stored.redis.client()
    client.zadd("stoker:{default}:jobs:failed", {archived.split("-")[1]: 1})  # the oldest
    client.hset("stoker:{default}:meta", "max_finished", 2)
    wait_until(lambda: not client.exists(f"stoker:{{default}}:job:{archived.split('-')[1]}"), what="it is archived")
    stored.cli("rm", gone)
    assert stored.cli("gc").stdout == "0 leftovers, 0 B\n", "what is younger than a day stays"
    said = stored.cli("gc", "--older-than", "0s", "--dry-run").stdout
    assert f"/runs/{gone}-" in said and "its job was removed" in said and "1 leftovers" in said, said
    assert stored.transcripts(gone)
    assert "1 leftovers" in stored.cli("gc", "--older-than", "0s").stdout
    assert not list(stored.kept.glob(f"*/runs/{gone}-*/*/*"))
    assert stored.transcripts(kept) and stored.transcripts(archived)
    assert "0 leftovers" in stored.cli("gc", "--older-than", "0s").stdout
    assert "0 checkpoints, 2 transcripts," in stored.cli("verify").stdout


def test_every_point_of_the_metrics_is_kept(stored, tmp_path):
    count = 104000  # Redis keeps 100,000
    points = f"for i in range({count}): print(f'step={{i}} loss={{i / 8}}')"
    job = stored.submit({"command": ["python3", "-c", points], "retry": ONCE})
    stored.wait_final(job, timeout=120)
    stored.wait_transcript(job)
    assert stored.first_in_redis("metrics:1")[1] > 1000, "Redis has let go of the beginning"
    said = stored.cli("download", job, "--to", tmp_path / "there").stdout
    assert f"metrics.ndjson  {count} points" in said
    downloaded = [json.loads(line) for line in open(tmp_path / "there" / "metrics.ndjson")]
    assert [point["id"] for point in downloaded] == [f"1-{i + 1}" for i in range(count)]
    assert all(float(point["loss"]) == i / 8 and point["step"] == str(i) for i, point in enumerate(downloaded))
    assert stored.lines(job, "--tail", "1") == [f"step={count - 1} loss={(count - 1) / 8}"]
    assert f"({count} points" in stored.cli("metrics", job).stdout
    page = stored.api("GET", f"/api/v1/jobs/{job}/metrics?merged=1")["entries"]
    assert len(page) == count


def test_the_end_that_redis_refused_is_read_from_the_store(stored):
    job = stored.submit(job_of("echo first; until [ -e ../go ]; do sleep 0.05; done; echo second; echo third",
                               retry=ONCE, lease="10s"))
    wait_until(lambda: stored.lines(job) == ["first"], what="it has begun")
    client = stored.redis.client()
    client.config_set("maxmemory", "1mb")  # full: log is refused, the end is not
    (run,) = stored.runs()
    (run / "go").touch()
    stored.wait_final(job, timeout=60)
    client.config_set("maxmemory", "0")
    stored.wait_transcript(job)
    assert [entry.get("stdout") for _, entry in client.xrange("stoker:{default}:log:1")] == ["first"]
    assert stored.lines(job) == ["first", "second", "third"]
    stored.archive_all()
    assert stored.lines(job) == ["first", "second", "third"]
    page = stored.api("GET", f"/api/v1/jobs/{job}/logs")
    assert [e.get("stdout") for e in page["entries"]] == ["first"] and page["next"] == "1-1"
