"""Recurring jobs with real schedulers: each due time once, whatever is killed meanwhile."""
import json
import signal
import time

import pytest

import fsck
from cluster import ApiError, Cluster
from harness import wait_until

META = "stoker:{default}:meta"
HOUR = 3600000


def spec(name="nightly", command="true", **rule):
    return {"command": command, "schedule": {"name": name, **rule}}


def record(redis, name="nightly"):
    return redis.hgetall("stoker:{default}:schedule:" + name)


def due_times(redis, name="nightly"):
    """Of every job that the schedule has made, in their order."""
    count = int(redis.hget(META, "next"))
    jobs = [redis.hgetall(f"stoker:{{default}}:job:{n}") for n in range(1, count + 1)]
    return [int(job["scheduled_ms"]) for job in jobs if job.get("schedule") == name]


def now_ms(redis):
    seconds, micros = redis.time()
    return seconds * 1000 + micros // 1000


@pytest.fixture
def two(tmp_path):
    with Cluster(tmp_path, schedulers=2, worker_options=["--cpus", "8"]) as cluster:
        wait_until(lambda: cluster.redis.client().exists(META), what="the queue is made")
        yield cluster
        assert fsck.check(cluster.redis.client()) == []


def test_each_due_time_once_while_schedulers_and_redis_die(two):
    names = [f"tick-{overlap}" for overlap in ("queue", "queue2", "replace")]
    for name in names:
        overlap = name.split("-")[1].rstrip("2")
        two.api("POST", "/api/v1/schedules", spec(name, every="1s", overlap=overlap, missed="all"))
    redis = two.redis.client()

    def fired(least):
        return all(int(record(redis, name).get("fired", 0)) >= least for name in names)

    wait_until(lambda: fired(2), what="they fire")
    for i in (0, 1, 0):
        two.schedulers[i].kill()
        least = int(record(redis, names[0])["fired"]) + 1
        wait_until(lambda least=least: fired(least), what="the other one goes on")
        two.start_scheduler(i)
    two.schedulers[1].signal(signal.SIGSTOP)  # what it knows gets old
    least = int(record(redis, names[0])["fired"]) + 2
    wait_until(lambda: fired(least), what="the other one goes on")
    two.schedulers[1].signal(signal.SIGCONT)
    for i in (0, 1):  # for some due times there is nobody
        two.schedulers[i].kill()
    stopped = now_ms(redis)
    wait_until(lambda: now_ms(redis) > stopped + 2500, what="due times pass")
    for i in (0, 1):
        two.start_scheduler(i)
    wait_until(lambda: all(due_times(redis, n)[-1] > stopped + 2500 for n in names), what="they are made up for")
    two.redis.kill()
    died = time.monotonic()
    wait_until(lambda: time.monotonic() > died + 1.2, what="a due time passes without Redis")
    two.restart_redis()
    restarted = now_ms(redis)
    wait_until(lambda: all(due_times(redis, n)[-1] > restarted + 1000 for n in names), what="it goes on")
    for name in names:
        two.api("POST", f"/api/v1/schedules/{name}/pause")
        times, anchor = due_times(redis, name), int(record(redis, name)["anchor_ms"])
        assert times == [anchor + 1000 * k for k in range(1, len(times) + 1)], name
        assert len(times) >= 8


def prepared(cluster, past_ms, **rule):
    """A schedule that has not been looked at for so long: made while no scheduler runs."""
    redis = cluster.redis.client()
    cluster.schedulers[0].kill()
    redis.fcall("stoker_schedule", 1, META, json.dumps(spec(**rule)))
    back = now_ms(redis) - past_ms
    redis.hset("stoker:{default}:schedule:nightly", mapping={"from_ms": back, "anchor_ms": back})
    return redis


def settled(redis):
    return int(record(redis)["next_ms"]) > now_ms(redis)


@pytest.fixture
def one(tmp_path):
    with Cluster(tmp_path, workers=0) as cluster:
        wait_until(lambda: cluster.redis.client().exists(META), what="the queue is made")
        yield cluster
        assert fsck.check(cluster.redis.client()) == []


@pytest.mark.parametrize("missed, expected", [("skip", 0), ("once", 1), ("all", 72)])
def test_missed_due_times(one, missed, expected):
    redis = prepared(one, 72 * HOUR, cron="30 * * * *", missed=missed, overlap="queue", zone="Asia/Kolkata")
    began = now_ms(redis)
    one.start_scheduler()
    wait_until(lambda: settled(redis), what="the schedule has caught up")
    times = due_times(redis)
    if missed == "skip":
        assert times == [] or began - times[0] < 60000, "only what is due this minute"
        return
    # half past in India is the full hour in UTC; one more may have come meanwhile
    assert times[0] % HOUR == 0 and times == [times[0] + HOUR * k for k in range(len(times))]
    assert len(times) in (expected, expected + 1) and times[-1] in (began // HOUR * HOUR, now_ms(redis) // HOUR * HOUR)
    assert len(one.api("GET", "/api/v1/schedules")["schedules"]) == 1


def test_what_was_missed_is_made_up_for_at_most_a_hundred_times(one):
    redis = prepared(one, 90 * 24 * HOUR, cron="* * * * *", missed="all", overlap="queue")
    one.start_scheduler()
    wait_until(lambda: settled(redis), what="the schedule has caught up")
    times = due_times(redis)
    assert 100 <= len(times) <= 102
    assert [b - a for a, b in zip(times, times[1:])] == [60000] * (len(times) - 1)
    missed = [e for _, e in redis.xrange("stoker:{default}:events") if e["event"] == "schedule.missed"]
    assert len(missed) == 1 and int(missed[0]["to_ms"]) == times[0]


def test_every_counts_on_from_where_it_was(one):
    redis = prepared(one, 25 * HOUR, every="10h", missed="all", overlap="queue")
    anchor = int(record(redis)["anchor_ms"])
    one.start_scheduler()
    wait_until(lambda: settled(redis), what="the schedule has caught up")
    assert due_times(redis) == [anchor + 10 * HOUR, anchor + 20 * HOUR]
    assert int(record(redis)["next_ms"]) == anchor + 30 * HOUR


def test_a_full_queue_does_not_keep_a_scheduler_from_starting(one):
    redis = prepared(one, 2 * HOUR, every="1h")
    redis.hset(META, "max_jobs", 0)
    one.start_scheduler()
    wait_until(lambda: "has 0 unfinished jobs" in one.schedulers[0].text(), what="it says so")
    assert due_times(redis) == []
    redis.hset(META, "max_jobs", 10)
    wait_until(lambda: len(due_times(redis)) == 1, what="it fires when there is room")


# ---------------------------------------------------------------- overlap, with real programs

def test_replace_starts_when_the_old_one_has_ended(two):
    """Never two at a time: each holds a folder as long as it runs, on SIGTERM for half a second more."""
    lock = two.folder / "lock"
    command = ["sh", "-c", f"mkdir {lock} || exit 1; trap 'sleep 0.5; rmdir {lock}; exit 0' TERM; sleep 60 & wait"]
    two.api("POST", "/api/v1/schedules", spec(command=command, every="1s", overlap="replace"))
    redis = two.redis.client()
    wait_until(lambda: len(due_times(redis)) >= 5, what="it fires")
    two.api("POST", "/api/v1/schedules/nightly/pause")
    last = two.wait_state(f"default-{len(due_times(redis))}", "running")
    assert last["schedule"] == "nightly"
    states = [two.job(f"default-{n}") for n in range(1, len(due_times(redis)))]
    assert {job["state"] for job in states} <= {"cancelled", "succeeded"}, states
    assert {job["attempt"] for job in states} <= {"0", "1"}, "none had to try twice"


def test_queue_says_what_it_waits_for(two):
    two.api("POST", "/api/v1/schedules", spec(command="sleep 600", every="1s", overlap="queue"))
    wait_until(lambda: len(due_times(two.redis.client())) >= 2, what="it fires twice")
    shown = two.show("default-2")
    assert (shown["job"]["state"], shown["why"]) == (
        "waiting", "waits for default-1 to end: the one before it of schedule nightly")
    two.api("DELETE", "/api/v1/schedules/nightly")
    two.api("POST", "/api/v1/jobs/default-1/cancel")
    two.wait_state("default-2", "running")


# ---------------------------------------------------------------- the doors

def test_the_command_line(two, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("name: report\ncommand: 'echo $STOKER_SCHEDULE $STOKER_DUE_MS'\n")
    assert two.cli("schedules").stdout == ""
    said = two.cli("schedules", "add", "tick", file, "--every", "1s").stdout
    assert said.startswith("tick  created, next ")
    assert two.cli("schedules", "add", "tick", file, "--every", "1s").stdout.startswith("tick  unchanged, next ")
    job = two.wait_final("default-1") if wait_until(lambda: due_times(two.redis.client(), "tick")) else None
    due = int(job["scheduled_ms"])
    stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(due // 1000))
    assert f"fired by      schedule tick, due {stamp}" in two.cli("show", "default-1").stdout
    assert two.cli("logs", "default-1").stdout.strip() == f"tick {due}"
    assert two.cli("schedules", "pause", "tick").stdout == "tick  paused\n"
    listed = two.cli("schedules").stdout.splitlines()
    assert listed[0].split() == "NAME QUEUE WHEN NEXT LAST LAST JOB FIRED STATE".split()
    assert "every 1s" in listed[1] and "succeeded" in listed[1] and listed[1].endswith("paused")
    assert two.cli("schedules", "next", "tick").stdout == ""
    assert two.cli("schedules", "resume", "tick").stdout == "tick  resumed\n"
    assert len(two.cli("schedules", "next", "tick").stdout.splitlines()) == 5
    assert two.cli("schedules", "rm", "tick").stdout == "tick  deleted\n"
    gone = two.cli("schedules", "rm", "tick", check=False)
    assert gone.returncode == 3 and "no schedule tick in queue default" in gone.stderr


def test_a_file_with_a_schedule(two, tmp_path):
    file = tmp_path / "nightly.yaml"
    file.write_text("command: 'true'\nqueue: gpu\n"
                    "schedule: {name: nightly, cron: '30 2 * * *', zone: Europe/Berlin}\n")
    assert "nightly  created, next 20" in two.cli("submit", file).stdout
    for line in two.cli("schedules", "next", "nightly", "--queue", "gpu", "--count", "20").stdout.splitlines():
        assert line[11:] in ("02:30:00+01:00", "02:30:00+02:00", "03:00:00+02:00")
    shown = json.loads(two.cli("schedules", "show", "nightly", "--queue", "gpu", "--json").stdout)
    assert shown["spec"]["schedule"]["zone"] == "Europe/Berlin" and len(shown["next"]) == 5
    refused = two.cli("submit", file, "--wait", check=False)
    assert refused.returncode == 2 and "--wait is for one job" in refused.stderr


BAD = [
    ({"name": "x", "cron": "61 * * * *"}, "schedule.cron: minute: expected 0 to 59, got 61 (character 1)"),
    ({"name": "x", "cron": "* * * *"}, "schedule.cron: "),
    ({"name": "x", "cron": "0 0 30 2 *"}, "schedule.cron: "),
    ({"name": "x", "cron": "@reboot"}, "schedule.cron: "),
    ({"name": "x", "cron": "@daily", "zone": "Europe/Berlim"},
     'schedule.zone: there is no time zone "Europe/Berlim"'),
    ({"name": "x", "cron": "@daily", "zone": "localtime"}, "schedule.zone: "),
]


def test_what_only_a_scheduler_can_judge(one):
    redis = one.redis.client()
    for rule, sentence in BAD:
        body = {"command": "true", "schedule": rule}
        with pytest.raises(ApiError) as error:
            one.api("POST", "/api/v1/schedules", body)
        assert error.value.status == 400 and json.loads(str(error.value)[5:])["detail"].startswith(sentence)
        assert not redis.exists("stoker:{default}:schedules")
    for rule, sentence in BAD:
        body = {"command": "true", "schedule": rule}
        assert redis.fcall("stoker_schedule", 1, META, json.dumps(body)) in ("created", "changed")
        wait_until(lambda: "error" in record(redis, "x"), what=f"{rule} is refused")
        (listed,) = one.api("GET", "/api/v1/schedules")["schedules"]
        assert listed["error"].startswith(sentence)
        assert one.api("GET", "/api/v1/schedules/x")["next"] == []
    assert redis.fcall("stoker_schedule", 1, META, json.dumps(spec("x", cron="@daily"))) == "changed"
    wait_until(lambda: int(record(redis, "x")["next_ms"]) > 0, what="it is planned")


def test_http(one):
    with pytest.raises(ApiError) as error:
        one.api("POST", "/api/v1/schedules", {"command": "true"})
    assert "schedule: required" in str(error.value)
    made = one.api("POST", "/api/v1/schedules?queue=gpu", spec(cron="@daily", zone="America/New_York"))
    assert (made["name"], made["queue"], made["result"], len(made["next"])) == ("nightly", "gpu", "created", 5)
    assert made["next"][0]["local"][10:19] == "T00:00:00"
    assert [s["queue"] for s in one.api("GET", "/api/v1/schedules")["schedules"]] == ["gpu"]
    assert one.api("GET", "/api/v1/schedules?queue=default")["schedules"] == []
    assert len(one.api("GET", "/api/v1/schedules/nightly?queue=gpu&limit=30")["next"]) == 30
    for method, path, status in [("GET", "nightly", 404), ("DELETE", "nightly", 404), ("POST", "x/pause", 404),
                                 ("DELETE", "a%20b?queue=gpu", 400), ("GET", "nightly?limit=101", 400),
                                 ("PUT", "nightly", 405), ("DELETE", "nightly?queue=A", 400)]:
        assert one.request(method, "/api/v1/schedules/" + path)[0] == status, (method, path)
    assert one.api("POST", "/api/v1/schedules/nightly/pause?queue=gpu")["result"] == "paused"
    assert one.api("DELETE", "/api/v1/schedules/nightly?queue=gpu")["result"] == "deleted"


def test_many_are_due_at_once(one):
    """Several pages of them, half of which are only to be planned."""
    redis = one.redis.client()
    one.schedulers[0].kill()
    for i in range(350):
        redis.fcall("stoker_schedule", 1, META, json.dumps(spec(f"s{i}", every="1h", overlap="queue")))
        if i % 2:
            back = now_ms(redis) - 3 * HOUR // 2
            redis.hset(f"stoker:{{default}}:schedule:s{i}", mapping={"from_ms": back, "anchor_ms": back})
    one.start_scheduler()
    wait_until(lambda: int(redis.hget(META, "next")) == 175, what="those that are late have fired")
    wait_until(lambda: redis.zcount("stoker:{default}:schedules", "-inf", now_ms(redis)) == 0, what="all are planned")
    assert {record(redis, f"s{i}").get("fired") for i in range(1, 350, 2)} == {"1"}
