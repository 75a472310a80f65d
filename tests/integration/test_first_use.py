"""What somebody reads who uses the stoker command for the first time: sentences that fit the job, tables without ragged
ends, numbers that are not old."""
import re
import subprocess
import time

import pytest

from cluster import Cluster
from harness import BUILD, Process, RedisServer, wait_until
from test_cli import FAILED, OK, STOKER, Background, environment, run

QUICK = {"backoff": "50ms", "max_backoff": "50ms", "jitter": 0}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("first"), worker_options=["--cpus", 2, "--gpus", 2, "--memory", "8GiB"]) as c:
        c.url = f"unix:{c.socket_of()}"
        yield c


@pytest.fixture
def stoker(cluster):
    return lambda *args, **env: run(*args, url=cluster.url, **env)


def submit(cluster, command, **more):
    return cluster.submit({"command": command, "retry": QUICK, **more})


def shown(stoker, job):
    done = stoker("show", job)
    assert done.returncode == OK, done.stderr
    assert not [line for line in done.stdout.splitlines() if line != line.rstrip()]
    return done.stdout


def row(stoker, job):
    lines = stoker("ls").stdout.splitlines()
    assert not [line for line in lines if line != line.rstrip()], "blanks at the end of a line"
    return next(line for line in lines if line.startswith(job + " "))


def test_a_failed_job_is_explained_by_its_last_attempt(cluster, stoker):
    job = submit(cluster, "echo attempt $STOKER_ATTEMPT began >&2; exit 3")
    cluster.wait_final(job)
    text = shown(stoker, job)
    assert re.match(rf"{job}  ·  failed: attempt 3 failed after \d+ ms: exit 3: attempt 3 began", text)
    assert text.split("  last lines\n")[1].splitlines()[0] == "    attempt 3 began"
    assert "attempt 1 began" not in text.split("  last lines\n")[1]
    assert f"next          stoker logs {job} · stoker retry {job}" in text
    assert re.search(r" \d+(ms|\.\ds) +3 +w0 +attempt 3 failed", row(stoker, job)), "it ran, however short"


def test_a_signal_is_named_once(cluster, stoker):
    job = submit(cluster, "kill -SEGV $$", name="crash")
    cluster.wait_final(job)
    assert row(stoker, job).count("SIGSEGV") == 1


def test_ls_knows_as_much_as_show(cluster, stoker):
    labels = submit(cluster, "true", resources={"labels": {"gpu": "a100"}})
    memory = submit(cluster, "true", resources={"memory": "15GiB"})
    gpus = submit(cluster, "true", resources={"gpus": 3})
    assert "needs a worker labelled gpu=a100; there is none" in row(stoker, labels)
    assert "needs a worker labelled gpu=a100; there is none" in shown(stoker, labels)
    assert "needs 16 GiB of memory; no worker has more than 8 GiB" in row(stoker, memory)
    assert "needs 16 GiB (15GiB, rounded up) of memory" in shown(stoker, memory)
    assert "needs 3 GPUs; no worker has more than 2" in row(stoker, gpus)
    for job in (labels, memory, gpus):
        assert stoker("cancel", job).returncode == OK
        assert "cancelled before it began" in row(stoker, job)


def test_who_asked_is_noted(cluster, stoker, tmp_path):
    spec = tmp_path / "job.yaml"
    spec.write_text("command: exec sleep 600\n")
    job = stoker("submit", spec, USER="ada").stdout.strip()
    assert cluster.job(job)["actor"] == "cli:ada"
    cluster.wait_state(job, "running")
    stoker("cancel", job, "--reason", "too slow", USER="bob")
    cluster.wait_final(job)
    assert "stopped on request: too slow" in shown(stoker, job)
    assert "attempt 1 asked to stop by cli:bob: too slow" in shown(stoker, job)


def test_a_corrupted_run_says_so_while_it_waits(cluster, stoker):
    job = submit(cluster, "echo step=1 loss=0.5; exec sleep 600", recovery={"backoff": "1h"})
    wait_until(lambda: cluster.job(job).get("loss"), what="its first step")
    assert stoker("corrupt", job, "--reason", "bad data").returncode == OK
    cluster.wait_state(job, "waiting")
    assert re.search(r"waiting: retries in .* \(recovery 1 of 3: corrupted: bad data\)", shown(stoker, job))
    assert "attempt 1 goes back to the beginning: no good checkpoint is left" in stoker("events").stdout
    stoker("cancel", job)


def test_the_commands_after_a_following_are_worth_typing(stoker, tmp_path):
    spec = tmp_path / "job.yaml"
    spec.write_text("command: exit 65\n")
    done = stoker("submit", spec, "--follow")
    assert done.returncode == FAILED
    last = done.stderr.splitlines()[-1].split(" · ")
    assert [command.split()[1] for command in last] == ["show", "retry"]


def test_a_following_says_how_long_an_attempt_was_away(cluster, tmp_path):
    spec, seen = tmp_path / "job.yaml", tmp_path / "seen"
    spec.write_text(f"""
name: again
command: '[ $STOKER_ATTEMPT = 2 ] || exit 1; until [ -e {seen} ]; do sleep 0.02; done'
retry: {{backoff: 300ms, jitter: 0}}
""")
    following = Background(cluster.url, "submit", spec, "--follow")
    following.says("(attempt 2) after ")
    seen.touch()
    assert following.end() == OK
    lines = following.err
    job = lines[0].split()[0]
    assert f"{job}  again  waiting" in lines
    ended = next(line for line in lines if line.startswith("        attempt 1 ended"))
    assert ended == ("        attempt 1 ended on w0, to be tried again: exit 1, without a word: "
                     "failed 1 of 3 (retry.max_attempts); again in 0.3 s")
    assert any(re.fullmatch(rf"{job}  (running|shipping) on w0 \(attempt 2\) after [0-9.]+ s", line) for line in lines)
    assert re.fullmatch(rf"{job}  succeeded in .* · 2 attempts", lines[-2])


def test_a_checkpoint_is_said_once(cluster, stoker, tmp_path):
    """The onset of a corruption brings an older checkpoint back: that one is not saved again."""
    script = tmp_path / "train.sh"
    script.write_text(f'look="{STOKER} --url {cluster.url}"' + """
        for step in 5 10; do
            echo $step > "$STOKER_CHECKPOINT_DIR/$step.bin"
            echo '{"t":"checkpoint","path":"'$STOKER_CHECKPOINT_DIR/$step.bin'","step":'$step'}' >&$STOKER_CONTROL_FD
            while [ "$STOKER_ATTEMPT" = 1 ] && ! $look show $STOKER_JOB | grep -q "at step $step"; do sleep 0.1; done
        done
        [ "$STOKER_ATTEMPT" = 2 ] && exit 0
        echo '{"t":"corrupted","reason":"it exploded","onset":8}' >&$STOKER_CONTROL_FD
        exec sleep 600
    """)
    spec = tmp_path / "job.yaml"
    spec.write_text(f"{{command: [bash, {script}], recovery: {{backoff: 0s}}}}\n")
    done = stoker("submit", spec, "--follow")
    assert done.returncode == OK, done.stderr
    assert done.stderr.count("checkpoint 1-1 saved at step 5") == 1, done.stderr
    assert "attempt 1 quarantined checkpoint 1-2 at step 10" in done.stderr
    assert "attempt 2 resumed from checkpoint 1-1 at step 5" in done.stderr


def test_who_waits_is_told_why_it_failed(stoker, tmp_path):
    spec = tmp_path / "job.yaml"
    spec.write_text("command: echo the disk is full >&2; exit 65\n")
    waited = stoker("submit", spec, "--wait")
    assert waited.returncode == FAILED and waited.stderr.endswith("  last lines\n    the disk is full\n")
    spec.write_text("{backend: tinygrad, train: {task: classifier, data: /none.csv}}\n")
    trained = stoker("submit", spec, "--follow")
    assert trained.returncode == FAILED
    assert "exit 65: the program says that its input is wrong" in trained.stderr
    assert "    bad data: /none.csv: No such file or directory\n" in trained.stderr


def test_a_final_job_cannot_be_changed(cluster, stoker):
    job = submit(cluster, "true")
    cluster.wait_final(job)
    assert stoker("cancel", job).stderr == f"stoker: job {job} has succeeded already\n"
    assert stoker("retry", job).stderr == f"stoker: job {job} has succeeded: there is nothing to retry\n"
    assert stoker("corrupt", job).returncode == 5


def test_a_queue_without_jobs(cluster, stoker):
    stoker("queues", "create", "empty")
    done = stoker("show", "empty-1")
    assert done.returncode == 3
    assert done.stderr.startswith("stoker: no job empty-1: queue empty has had none yet\n")
    for words in (["show", "absent-1"], ["events", "--queue", "absent"], ["ls", "--queue", "absent"]):
        done = stoker(*words)
        assert done.returncode == 3 and done.stderr.startswith("stoker: no queue absent\n")
        assert "stoker queues lists those there are" in done.stderr
    assert "no worker has come yet to queue absent" in stoker("workers", "--queue", "absent").stderr


def test_a_job_that_wrote_nothing(cluster, stoker):
    job = submit(cluster, "true")
    cluster.wait_final(job)
    done = stoker("logs", job)
    assert (done.returncode, done.stdout, done.stderr) == (OK, "", f"{job} has written nothing\n")
    assert re.search(r" \d+(ms|\.\ds) +1 +w0$", row(stoker, job)), "it ran, however short"


def test_a_pipe_that_closes_early(cluster):
    job = submit(cluster, "seq 1 20000")
    cluster.wait_final(job)
    reader = subprocess.run(["sh", "-c", f"{STOKER} logs {job} | head -1"], capture_output=True, text=True, timeout=30,
                            env=environment(STOKER_URL=cluster.url))
    assert (reader.stdout, reader.stderr) == ("1\n", "")


def test_options_without_a_command():
    done = run("--dir")
    assert (done.returncode, done.stdout) == (2, "") and "--dir" in done.stderr
    done = run("-q", "gpu", "ls")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "stoker: there is no option -q")
    assert run("--dir", "/tmp").stdout == run().stdout == run("help").stdout


def test_a_worker_says_once_that_redis_is_away(tmp_path):
    server = RedisServer(tmp_path / "redis")
    server.kill()
    worker = Process([BUILD / "stoker-worker", "--redis-url", server.url, "--state-dir", tmp_path / "worker"],
                     tmp_path / "worker.log")
    try:
        wait_until(lambda: "redis is away; it is tried again all the time" in worker.text(), what="the warning")
        server.start()
        wait_until(lambda: "redis is back" in worker.text(), what="that it is back")
        assert worker.text().count("redis is away") == 1
    finally:
        worker.kill()
        server.stop()
    done = subprocess.run([BUILD / "stoker-worker", "--cpus", "x"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2 and r'error="--cpus: expected an integer from 0 to 4096, got \"x\""' in done.stderr


def used(cluster):
    worker = cluster.api("GET", "/api/v1/workers")["workers"][0]
    return worker["used"]["cpus"], worker["used"]["gpus"], worker["runs"]


def test_use_is_told_at_once(cluster, stoker):
    """Heartbeats come every 5 s; what a worker uses is known sooner."""
    job = submit(cluster, "exec sleep 600", resources={"cpus": 2, "gpus": 1})
    cluster.wait_state(job, "running")
    wait_until(lambda: used(cluster) == (2, 1, [job]), timeout=2, what="its use is known")
    assert stoker("workers").stdout.splitlines()[1].split()[2:4] == ["2/2", "1/2"]
    stoker("cancel", job)
    cluster.wait_final(job)
    wait_until(lambda: used(cluster) == (0, 0, []), timeout=2, what="it is known to be free")


def test_a_worker_that_is_never_still_is_heard_of(cluster):
    """Changes come faster than they are told: that puts no heartbeat off."""
    redis = cluster.redis.client()
    last = [submit(cluster, "sleep 0.02") for _ in range(80)][-1]
    seen, began = set(), time.monotonic()
    while cluster.job(last)["state"] not in ("succeeded", "failed"):
        seen.add(redis.zscore("stoker:{default}:workers", "w0"))
        assert time.monotonic() - began < 60
    assert len(seen) > 5
