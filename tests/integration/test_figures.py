"""/metrics of a real scheduler, as promtool and a reader of the format see it."""
import os
import re
import subprocess
from pathlib import Path

from harness import wait_until
from scheduler_harness import Runner

PROMTOOL = (Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stoker/prometheus/usr/bin/promtool")


def figures(scheduler):
    """{"name{labels}": value}, after promtool had nothing to say against it."""
    answer = scheduler.local("GET", "/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=answer.text, capture_output=True, text=True)
    assert checked.returncode == 0 and not checked.stdout + checked.stderr, checked.stdout + checked.stderr
    samples = (line.rsplit(" ", 1) for line in answer.text.splitlines() if line and line[0] != "#")
    return {name: float(value) for name, value in samples}


def test_figures_follow_what_happens(scheduler):
    first = figures(scheduler)
    assert first['stoker_jobs{queue="default",state="queued"}'] == 0
    assert first['stoker_queue_oldest_seconds{queue="default"}'] == 0
    scheduler.submit(retry={"max_attempts": 2, "backoff": "1ms", "jitter": 0})
    oldest = 'stoker_queue_oldest_seconds{queue="default"}'
    waiting = wait_until(lambda: (now := figures(scheduler))[oldest] > 0 and now, what="it is queued for a while")
    assert waiting['stoker_jobs{queue="default",state="queued"}'] == 1
    client = scheduler.redis_client()
    Runner(client).finish("error", exit=1)
    wait_until(lambda: scheduler.job("default-1")["state"] == "queued", what="it is tried again")
    Runner(client, request=2).finish("succeeded")
    scheduler.submit()
    scheduler.api("POST", "/jobs/default-2/cancel")
    now = figures(scheduler)
    assert now['stoker_jobs{queue="default",state="succeeded"}'] == 1
    assert now['stoker_jobs_submitted_total{queue="default"}'] == 2
    for event, count in {"job.submitted": 2, "job.claimed": 2, "job.retrying": 1, "job.succeeded": 1,
                         "job.cancelled": 1}.items():
        assert now[f'stoker_job_transitions_total{{queue="default",event="{event}"}}'] == count, event
    assert now['stoker_queue_wait_seconds_count{queue="default"}'] == 1, "of the first claim alone"
    assert now['stoker_queue_wait_seconds_bucket{queue="default",le="+Inf"}'] == 1
    assert now['stoker_run_seconds_count{queue="default"}'] == 2
    assert now['stoker_leases_lost_total{queue="default"}'] == 0
    assert now['stoker_goodput_seconds_total{queue="default",phase="lost"}'] >= 0
    assert now["stoker_redis_up"] == 1 and now["stoker_tick_age_seconds"] < 60
    assert now["stoker_redis_roundtrip_seconds_count"] > first["stoker_redis_roundtrip_seconds_count"]
    assert figures(scheduler)['stoker_job_transitions_total{queue="default",event="job.claimed"}'] == 2, "counted once"
    assert not [name for name in now if re.search(r"default-\d", name)], "jobs are no labels"


def test_a_lost_lease_counts(scheduler):
    figures(scheduler)
    scheduler.submit(lease="1s")
    Runner(scheduler.redis_client())
    wait_until(lambda: figures(scheduler)['stoker_leases_lost_total{queue="default"}'] == 1, what="it was taken back")


def test_without_redis_the_rest_is_told(scheduler, redis):
    figures(scheduler)
    redis.kill()
    wait_until(lambda: figures(scheduler)["stoker_redis_up"] == 0, what="it noticed")
    assert not [name for name in figures(scheduler) if name.startswith("stoker_jobs")]
    assert scheduler.tcp("GET", "/metrics").status == 401, "who has no token learns nothing"
