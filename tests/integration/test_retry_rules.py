"""When a program is tried again, and where: the rules of `retry`, with real programs and workers."""
import json

import pytest

from cluster import Cluster
from harness import wait_until
from worker_harness import RETRY, events, job_of

OOM = "for i in $(seq 1 {n}); do echo line $i; done; echo 'RuntimeError: CUDA Out Of Memory.' >&2; exit 1"


# ---- exit codes ----

@pytest.mark.parametrize("rules,script,attempts,error", [
    ({"on_exit": [7]}, "exit 7", 3, "exit 7, without a word"),
    ({"on_exit": [7]}, "exit 8", 1, "exit 8, without a word; not tried again: retry.on_exit does not have it"),
    ({"never_on_exit": [2, 7]}, "exit 7", 1, "exit 7, without a word; not tried again: retry.never_on_exit names it"),
    ({"never_on_exit": [2, 7]}, "exit 8", 3, "exit 8, without a word"),
    ({"on_exit": [7], "never_on_exit": [7]}, "exit 7", 1,
     "exit 7, without a word; not tried again: retry.never_on_exit names it"),
    ({"on_exit": ["SIGSEGV"]}, "kill -SEGV $$", 3, "killed by SIGSEGV, without a word"),
    ({"on_exit": [139]}, "kill -SEGV $$", 3, "killed by SIGSEGV, without a word"),
    ({"on_exit": ["SIGSEGV"]}, "exit 139", 3, "exit 139, as of SIGSEGV, without a word"),
    ({"never_on_exit": ["SIGABRT"]}, "kill -ABRT $$", 1,
     "killed by SIGABRT, without a word; not tried again: retry.never_on_exit names it"),
    ({"on_exit": [65]}, "exit 65", 3, "exit 65: the program says that its input is wrong"),
    ({"on_exit": [1]}, "exit 78", 1, "exit 78: the program says that it cannot run like this; "
                                     "not tried again: retry.on_exit does not have it"),
])
def test_exit_codes(cluster, rules, script, attempts, error):
    done = cluster.wait_final(cluster.submit(job_of(script, retry={**RETRY, **rules})))
    assert (done["state"], done["attempt"], done["error"]) == ("failed", str(attempts), error)


def test_exit_codes_do_not_judge_a_timeout(cluster):
    job = cluster.submit(job_of("[ $STOKER_ATTEMPT = 2 ] || exec sleep 600", timeout="300ms",
                                retry={**RETRY, "on_exit": [1]}))
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")


# ---- output ----

@pytest.mark.parametrize("rules,script,attempts,why", [
    ({"never_on_output": ["out of memory"]}, OOM.format(n=0), 1,
     '"out of memory" of retry.never_on_output stands in its last lines'),
    ({"never_on_output": ["cuda*memory", "x"]}, OOM.format(n=300), 1, '"cuda*memory" of retry.never_on_output'),
    ({"never_on_output": ["memory*cuda"]}, OOM.format(n=0), 3, None),
    ({"on_output": ["out of memory"]}, OOM.format(n=0), 3, None),
    ({"on_output": ["connection reset"]}, OOM.format(n=0), 1, "retry.on_output does not have it"),
    ({"on_output": ["connection reset"], "on_exit": [1]}, OOM.format(n=0), 3, None),
    ({"on_output": ["connection reset"], "on_exit": [2]}, OOM.format(n=0), 1,
     "neither retry.on_exit nor retry.on_output has it"),
    ({"never_on_output": ["early"]}, "echo early; seq 1 100; exit 1", 3, None),
    ({"never_on_output": ["early"]}, "echo early; seq 1 99; exit 1", 1, '"early" of retry.never_on_output'),
    ({"never_on_output": ["no newline"]}, "printf 'no newline'; exit 1", 1, '"no newline"'),
])
def test_output(cluster, rules, script, attempts, why):
    done = cluster.wait_final(cluster.submit(job_of(script, retry={**RETRY, **rules})))
    assert (done["state"], done["attempt"]) == ("failed", str(attempts))
    assert (why is None) == ("not tried again" not in done["error"])
    assert why is None or f"; not tried again: {why}" in done["error"]


def test_what_failed_is_kept_with_its_history(cluster):
    job = cluster.submit(job_of("exit $((10 + STOKER_ATTEMPT))", retry={**RETRY, "never_on_exit": [13]}))
    cluster.wait_final(job)
    shown = cluster.show(job)
    assert [(e["event"], e["attempt"], e["error"].split(",")[0]) for e in shown["history"]
            if e["event"].startswith("job.")] == [
        ("job.retrying", "1", "exit 11"), ("job.retrying", "2", "exit 12"), ("job.failed", "3", "exit 13")]
    assert "exit 13, without a word; not tried again: retry.never_on_exit names it" in shown["why"]
    assert "retry.never_on_exit names it" in cluster.cli("show", job).stdout


# ---- the wait between two attempts ----

@pytest.mark.parametrize("growth,waits", [("constant", [200, 200, 200]), ("linear", [200, 400, 500]),
                                          ("exponential", [200, 400, 500])])
def test_the_wait(cluster, growth, waits):
    """Measured by the clock of Redis, from the end of an attempt to the claim of the next."""
    job = cluster.submit(job_of("exit 1", retry={"backoff": "200ms", "max_backoff": "500ms", "jitter": 0,
                                                 "growth": growth, "max_attempts": 4}))
    cluster.wait_final(job)
    ends = [int(e["time_ms"]) for e in cluster.show(job)["history"] if e["event"] == "job.retrying"]
    entries = cluster.redis.client().xrange("stoker:{default}:events")
    claims = [int(i.split("-")[0]) for i, e in entries
              if e["event"] == "job.claimed" and job in (e.get("job"), *[j.rsplit(":", 1)[0]
                                                                        for j in e.get("jobs", "").split()])]
    found = [claim - end for end, claim in zip(ends, claims[1:])]
    assert len(found) == 3 and all(f >= w for f, w in zip(found, waits)), found
    assert sum(found) < sum(waits) + 3000, found


# ---- elsewhere ----

def test_it_goes_to_the_other_worker(tmp_path):
    with Cluster(tmp_path, workers=2) as cluster:
        where = []
        for _ in range(4):
            job = cluster.submit(job_of("exit $((STOKER_ATTEMPT == 1))", retry={**RETRY, "elsewhere": "1h"}))
            done = cluster.wait_final(job)
            first = next(e["worker"] for e in events(cluster, job, "job.retrying"))
            where.append((first, done["worker"]))
            assert (done["state"], done["attempt"]) == ("succeeded", "2")
        assert all(first != last for first, last in where), where


def test_alone_it_waits_for_the_stated_time(tmp_path):
    with Cluster(tmp_path, workers=1) as cluster:
        job = cluster.submit(job_of("exit $((STOKER_ATTEMPT == 1))", retry={**RETRY, "elsewhere": "2s"}))
        sentence = "not on w0, where it ended badly, for another "
        shown = wait_until(lambda: (lambda s: s if sentence in s["why"] else None)(cluster.show(job)),
                           what="it waits for another worker")
        assert shown["job"]["state"] == "queued" and shown["why"].endswith("; no other worker fits")
        assert "not on w0, where it ended badly" in cluster.cli("ls").stdout
        others = [cluster.submit(job_of("true")) for _ in range(3)]
        assert all(cluster.wait_final(o)["state"] == "succeeded" for o in others), "others pass it"
        done = cluster.wait_final(job)
        assert (done["state"], done["attempt"], done["worker"]) == ("succeeded", "2", "w0")
        event, = [e for e in events(cluster, job, "job.queued") if "reason" in e]
        assert event["reason"] == "no other worker took it"
        assert int(done["queued_ms"]) - int(shown["job"]["queued_ms"]) >= 2000


def test_a_worker_that_comes_later_takes_it(tmp_path):
    with Cluster(tmp_path, workers=1) as cluster:
        job = cluster.submit(job_of("exit $((STOKER_ATTEMPT == 1))", retry={**RETRY, "elsewhere": "1h"}))
        wait_until(lambda: cluster.job(job).get("lane", "").endswith(":!not@w0"), what="it waits")
        cluster.start_worker(1)
        done = cluster.wait_final(job)
        assert (done["state"], done["worker"]) == ("succeeded", "w1")


def test_a_loss_goes_elsewhere_as_well(tmp_path):
    with Cluster(tmp_path, workers=2) as cluster:
        job = cluster.submit(job_of("[ $STOKER_ATTEMPT = 2 ] || exec sleep 600", retry={"elsewhere": "1h"}))
        first = int(cluster.wait_state(job, "running")["worker"][1:])
        wait_until(lambda: cluster.runner_pids(first) and cluster.program_pids(), what="its program runs")
        cluster.kill_everything(first)
        done = cluster.wait_final(job)
        assert (done["state"], done["worker"]) == ("succeeded", f"w{1 - first}")


def test_pages_of_what_waits_elsewhere(tmp_path):
    """The cursor names the lane, and the lane the worker, whatever letters it has."""
    with Cluster(tmp_path, workers=0) as cluster:
        client = cluster.redis.client()
        jobs = [cluster.submit(job_of("true", retry={**RETRY, "elsewhere": "1h"})) for _ in range(5)]
        for request, job in enumerate(jobs):
            claim, = client.fcall("stoker_claim", 1, "stoker:{default}:meta", "Node_A.1", '{"cpus":1}', 1, request + 1)
            claim = dict(zip(claim[::2], claim[1::2]))
            client.fcall("stoker_finish", 1, "stoker:{default}:meta", claim["n"], claim["uid"], claim["token"], "lost",
                         "{}")
        found, cursor = [], ""
        while True:
            page = cluster.api("GET", f"/api/v1/jobs?queue=default&state=queued&limit=2&cursor={cursor}")
            found += [j["id"] for j in page["jobs"]]
            cursor = page["cursor"]
            if not cursor:
                break
            assert "!not@Node_A.1" in cursor
        assert sorted(found) == sorted(jobs)


# ---- the doors ----

def test_wrong_rules_are_refused_by_the_command(cluster, tmp_path):
    spec = tmp_path / "bad.yaml"
    spec.write_text("command: a\nretry:\n  on_exit: [1, SIGFOO]\n")
    done = cluster.cli("submit", spec, check=False)
    assert done.returncode and "bad.yaml:3: retry.on_exit[1]: expected an exit code from 1 to 255 or a signal like " \
        "SIGKILL, got \"SIGFOO\"" in done.stderr


def test_rules_through_redis_alone(cluster):
    client = cluster.redis.client()
    spec = {"command": ["sh", "-c", "exit 3"], "retry": {"never_on_exit": [3]}}
    job = client.fcall("stoker_submit", 1, "stoker:{default}:meta", json.dumps(spec))
    assert cluster.wait_final(job)["attempt"] == "1"
