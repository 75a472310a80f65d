"""How attempts end, and what programs say, with a real Redis, a real scheduler and real programs."""
import json
from pathlib import Path

import pytest

from cluster import log_lines
from harness import wait_until
from worker_harness import RETRY, job_of, pids, is_alive, events, wait_lines


# ---- how attempts end ----

def test_a_program_runs_to_its_end(cluster, tmp_path):
    job = cluster.submit(job_of('echo one; echo "two" >&2; printf three; echo $STOKER_JOB > $STOKER_OUTPUT_DIR/x'))
    assert cluster.wait_final(job)["state"] == "succeeded"
    entries = cluster.log_text(job)
    assert log_lines(entries, 1) == ["one", "three"]
    assert log_lines(entries, 1, "stderr") == ["two"]
    kept, = wait_until(lambda: list(cluster.state_dir().glob(f"finished/{job}-*")), what="the folder of the ended run")
    assert (kept / "output/x").read_text() == f"{job}\n"
    assert [line.split(" ", 2)[1:] for line in (kept / "spool.log").read_text().splitlines()
            if line.split(" ", 2)[1] in "oe"] == [["o", "one"], ["e", "two"], ["o", "three"]]
    wait_until(lambda: not any((kept / "work").iterdir()), what="what nobody needs is removed")
    assert cluster.runs() == []


def test_the_environment_of_a_program(cluster):
    job = cluster.submit(job_of("env; echo cwd=$PWD", env={"COLOUR": "green"}, resources={"gpus": 1}))
    assert cluster.wait_final(job)["state"] == "succeeded"
    env = dict(line.split("=", 1) for line in log_lines(cluster.log_text(job), 1) if "=" in line)
    record = cluster.job(job)
    assert env["COLOUR"] == "green" and env["STOKER_JOB"] == job and env["STOKER_ATTEMPT"] == "1"
    assert env["STOKER_RUN"] == f"{record['uid']}.{record['token']}"
    assert env["CUDA_VISIBLE_DEVICES"] == env["ROCR_VISIBLE_DEVICES"] == "0"
    assert env["STOKER_CONTROL_FD"] == "3"
    assert env["cwd"].endswith("/work")
    assert "STOKER_RESUME" not in env and "STOKER_REDIS_URL" not in env
    assert Path(env["STOKER_CHECKPOINT_DIR"]).name == "checkpoints"


def test_a_failure_is_tried_again(cluster):
    job = cluster.submit(job_of('echo attempt $STOKER_ATTEMPT; test $STOKER_ATTEMPT = 3'))
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "3")
    assert log_lines(cluster.log_text(job), 3) == ["attempt 3"]


@pytest.mark.parametrize("script, attempts, error", [
    ("exit 7", 3, "exit 7, without a word"),
    ("echo no such file >&2; echo bye; exit 7", 3, "exit 7: no such file"),
    ("kill -SEGV $$", 3, "killed by SIGSEGV, without a word"),
    ("""exec python3 -c 'def f(): __import__("os").abort()
f()'""", 3, 'killed by SIGABRT: File "<string>", line 1 in f'),
    ("kill -KILL $$", 3, "killed by SIGKILL, but not by the kernel for want of memory: somebody did it"),
    ("exit 65", 1, "exit 65: the program says that its input is wrong"),
    ("exit 78", 1, "exit 78: the program says that it cannot run like this"),
    ("exit 75", 3, "exit 75: it says that it is preempted, but nobody had asked it to stop"),
])
def test_why_it_failed(cluster, script, attempts, error):
    done = cluster.wait_final(cluster.submit(job_of(script)))
    assert (done["state"], done["attempt"], done["error"]) == ("failed", str(attempts), error)


def test_a_program_that_is_not_there(cluster):
    done = cluster.wait_final(cluster.submit({"command": ["no-such-program"], "retry": {**RETRY, "max_attempts": 1}}))
    assert done["error"] == "cannot execute the program no-such-program: No such file or directory"
    assert done["state"] == "failed" and "exit" not in done


def test_cancel_asks_first(cluster):
    job = cluster.submit(job_of('trap "echo asked; exit 0" TERM; echo up; while :; do sleep 0.05; done'))
    wait_lines(cluster, job, 1, 1)
    cluster.api("POST", f"/api/v1/jobs/{job}/cancel", {"reason": "not needed"})
    assert cluster.wait_final(job)["state"] == "cancelled"
    assert log_lines(cluster.log_text(job), 1) == ["up", "asked"]


def test_cancel_kills_who_does_not_listen(cluster):
    job = cluster.submit(job_of('trap "" TERM; echo up; while :; do sleep 0.05; done', grace="300ms"))
    wait_lines(cluster, job, 1, 1)
    _, program = pids(cluster, job)
    cluster.api("POST", f"/api/v1/jobs/{job}/cancel", {})
    done = cluster.wait_final(job)
    assert (done["state"], done["signal"]) == ("cancelled", "9")
    assert not is_alive(program)


def test_timeout_and_stall(cluster):
    once = {**RETRY, "max_attempts": 1}
    slow = cluster.submit(job_of("while :; do echo .; sleep 0.05; done", timeout="400ms", retry=once))
    quiet = cluster.submit(job_of("echo .; sleep 600", stall_timeout="400ms", retry=once))
    done = cluster.wait_final(slow)
    assert (done["state"], done["cause"], done["error"]) == ("failed", "timeout", "it ran longer than its timeout")
    done = cluster.wait_final(quiet)
    assert (done["state"], done["cause"]) == ("failed", "stalled")


# ---- what programs say ----

def points_of(cluster, job):
    points = [dict(p) for _, p in cluster.redis.client().xrange(f"stoker:{{default}}:metrics:{job.split('-')[1]}")]
    for point in points:
        point.pop("time_ms")
    return points


def test_metrics_from_plain_lines(cluster):
    script = """
echo 'step=1 loss=2.5 lr=1e-3'
echo '{"step": 2, "loss": 2.25, "note": "x"}'
echo "{'loss': 2.0, 'epoch': 0.5}"
"""
    job = cluster.submit(job_of(script))
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert points_of(cluster, job) == [{"step": "1", "loss": "2.5", "lr": "0.001"}, {"step": "2", "loss": "2.25"},
                                       {"loss": "2", "epoch": "0.5"}]


def test_metrics_from_the_control_fd_are_not_counted_again_when_they_are_printed(cluster, tmp_path):
    gate = tmp_path / "gate"
    script = f"""
echo '{{"t":"metric","step":4,"loss":1.5,"inf":Infinity}}' >&3
echo '{{"t":"nonsense"}}' >&3
while [ ! -e {gate} ]; do sleep 0.02; done
echo 'step=4 loss=1.5'
"""
    job = cluster.submit(job_of(script))
    wait_until(lambda: points_of(cluster, job), what="the point")
    gate.touch()
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert points_of(cluster, job) == [{"step": "4", "loss": "1.5", "inf": "Infinity"}]
    assert any("unknown kind" in line for line in log_lines(cluster.log_text(job), 1, "stoker"))


def test_a_loss_that_is_not_finite_flags_the_run(cluster):
    script = """
if [ $STOKER_ATTEMPT = 1 ]; then
    for s in 1 2 3; do echo step=$s loss=1.0; done
    for s in 4 5 6 7; do echo step=$s loss=nan; done
    sleep 600
fi
echo step=8 loss=0.5
"""
    job = cluster.submit(job_of(script, recovery={"backoff": "50ms", "max_backoff": "50ms"}))
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["corrupted"]) == ("succeeded", "2", "1")
    detected = events(cluster, job, "recovery.detected")
    assert len(detected) == 1 and detected[0]["step"] == "4", detected
    assert "loss was not finite in 3 reports in a row" in json.dumps(detected)


def test_a_flag_from_outside_stops_the_run(cluster):
    job = cluster.submit(job_of("[ $STOKER_ATTEMPT = 2 ] || exec sleep 600",
                                recovery={"backoff": "50ms", "max_backoff": "50ms"}))
    pids(cluster, job)
    cluster.redis.client().fcall("stoker_corrupt", 1, "stoker:{default}:meta", job.split("-")[1], "1", "bad data")
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")


def test_a_worker_says_goodbye(cluster):
    """Also when a heartbeat is still on its way: its answer is not that of the last one."""
    redis = cluster.redis.client()
    for _ in range(8):
        wait_until(lambda: redis.zscore("stoker:{default}:workers", "w0"), what="it is registered")
        assert cluster.workers[0].stop() == 0
        assert redis.zscore("stoker:{default}:workers", "w0") is None
        assert redis.hget("stoker:{default}:worker:w0", "state") == "gone"
        cluster.start_worker()
    assert " warn: " not in cluster.workers[0].text()
