"""A run outlives whatever is killed around it, with a real Redis, a real scheduler and real programs."""
import json
import os
import signal
from pathlib import Path

import pytest

from cluster import Cluster, log_lines
from harness import BUILD, Process, wait_until
from worker_harness import RETRY, committed, job_of, run_folder, pids, is_alive, events, wait_lines


# ---- the worker goes, the run stays ----

COUNTING = "for i in $(seq 1 60); do echo $i; sleep 0.05; done"


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGKILL])
def test_the_next_worker_adopts(cluster, number):
    job = cluster.submit(job_of(COUNTING))
    before = pids(cluster, job)
    os.kill(cluster.workers[0].pid, number)
    cluster.workers[0].popen.wait()
    cluster.start_worker(0)
    assert wait_until(lambda: "adopted a run" in cluster.workers[0].text(), what="adoption")
    assert pids(cluster, job) == before
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "1")
    assert log_lines(cluster.log_text(job), 1) == [str(i) for i in range(1, 61)]
    wait_until(lambda: cluster.runs() == [], what="the adopted run has left")
    record = wait_until(lambda: (lambda used: used if used["cpus"] == 0 else None)(
        json.loads(cluster.redis.client().hget("stoker:{default}:worker:w0", "used"))), what="what it held is free")
    assert record["gpus"] == 0


def test_a_run_that_ended_while_no_worker_was_there(cluster):
    job = cluster.submit(job_of("sleep 0.3; echo done"))
    pids(cluster, job)
    cluster.workers[0].kill()
    assert cluster.wait_final(job)["state"] == "succeeded"
    wait_until(lambda: cluster.runs() == [], what="the runner has tidied up")
    cluster.start_worker(0)
    assert cluster.wait_final(cluster.submit(job_of("true")))["state"] == "succeeded"


def test_a_run_that_died_while_no_worker_was_there(cluster):
    job = cluster.submit(job_of("[ $STOKER_ATTEMPT = 2 ] || exec setsid sleep 600"))
    runner, program = pids(cluster, job)
    cluster.workers[0].kill()
    os.kill(runner, signal.SIGKILL)
    cluster.start_worker(0)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")
    assert not is_alive(program)


def test_drain_gives_back_without_counting(cluster):
    job = cluster.submit(job_of('trap "echo asked; exit 75" TERM; echo up; [ $STOKER_ATTEMPT = 2 ] && exit 0;'
                                'while :; do sleep 0.05; done', retry={**RETRY, "max_attempts": 1}))
    wait_lines(cluster, job, 1, 1)
    assert cluster.workers[0].stop() == 0
    record = cluster.job(job)
    assert (record["state"], record["reason"]) == ("queued", "preempted")
    assert log_lines(cluster.log_text(job), 1) == ["up", "asked"]
    assert cluster.redis.client().hget("stoker:{default}:worker:w0", "state") == "gone"
    cluster.start_worker(1)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done.get("errors", "0")) == ("succeeded", "2", "0")


# ---- the runner goes, the program goes, and only then the next attempt starts ----

def exclusive(folder, rest):
    """A program whose grandchildren, also the one that left its session, hold a lock: a second attempt that
    starts while anything of the first is alive says OVERLAP."""
    return (f'exec 9>>{folder}/lock; flock -n 9 || echo OVERLAP >> {folder}/overlap; echo up >> {folder}/started;'
            f'setsid sleep 600 & (sleep 600 &); {rest}')


def test_a_dead_runner_is_noticed_at_once_and_nothing_overlaps(cluster, tmp_path):
    job = cluster.submit(job_of(exclusive(tmp_path, "[ $STOKER_ATTEMPT = 4 ] || exec sleep 600"), lease="1m",
                                retry={**RETRY, "max_lost": 10}))
    for attempt in range(1, 4):
        wait_until(lambda: cluster.job(job)["attempt"] == str(attempt), what=f"attempt {attempt}")
        wait_until(lambda: (tmp_path / "started").exists() and
                   len((tmp_path / "started").read_text().split()) == attempt, what="it runs")
        runner, _ = pids(cluster, job)
        os.kill(runner, signal.SIGKILL)
    done = cluster.wait_final(job, timeout=20)  # far less than the lease
    assert (done["state"], done["attempt"]) == ("succeeded", "4")
    assert not (tmp_path / "overlap").exists()
    assert [e["cause"] for e in events(cluster, job, "job.lost")] == ["lost"] * 3
    wait_until(lambda: cluster.program_pids() == [], what="no process of any attempt is left")


def test_a_program_dies_with_its_runner(cluster):
    """Also when no worker is there to look after what is left."""
    job = cluster.submit(job_of("exec sleep 600", lease="1m"))
    runner, program = pids(cluster, job)
    cluster.workers[0].kill()
    os.kill(runner, signal.SIGKILL)
    wait_until(lambda: not is_alive(program), 5, "the program is gone, too")


def test_what_a_program_leaves_behind_is_killed(cluster, tmp_path):
    job = cluster.submit(job_of(f"(setsid sleep 600 & echo $! > {tmp_path}/left) ; env -i setsid sleep 601 &"))
    done = cluster.wait_final(job, timeout=20)
    assert done["state"] == "succeeded"
    assert not is_alive(int((tmp_path / "left").read_text()))
    assert cluster.program_pids() == []


def test_a_killed_program_is_an_error_of_its_own(cluster):
    job = cluster.submit(job_of("[ $STOKER_ATTEMPT = 2 ] || exec sleep 600"))
    _, program = pids(cluster, job)
    os.kill(program, signal.SIGKILL)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["errors"]) == ("succeeded", "2", "1")


def test_a_stopped_runner_cannot_commit(cluster):
    job = cluster.submit(job_of("echo attempt $STOKER_ATTEMPT; [ $STOKER_ATTEMPT = 1 ] && sleep 600; exit 0"))
    runner, program = pids(cluster, job)
    wait_lines(cluster, job, 1, 1)
    cluster.workers[0].kill()  # which would kill it when it begins the next attempt
    os.kill(runner, signal.SIGSTOP)
    os.kill(program, signal.SIGKILL)  # its end is news that only this runner could report
    cluster.start_worker(1)
    done = cluster.wait_final(job, timeout=30)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")
    before = cluster.job(job)
    os.kill(runner, signal.SIGCONT)
    wait_until(lambda: not is_alive(runner), what="the stale runner gives up")
    assert cluster.job(job) == before
    assert "STALE" not in cluster.workers[0].text()
    wait_until(lambda: cluster.runs() == [], what="its folder is put away")


def test_an_attempt_that_was_given_up_is_killed_before_the_next_starts_here(cluster, tmp_path):
    job = cluster.submit(job_of(exclusive(tmp_path, "[ $STOKER_ATTEMPT = 2 ] || exec sleep 600")))
    runner, program = pids(cluster, job)
    wait_until((tmp_path / "started").exists, what="it has started")
    os.kill(runner, signal.SIGSTOP)
    done = cluster.wait_final(job, timeout=30)
    assert (done["state"], done["attempt"], done["lost"]) == ("succeeded", "2", "1")
    assert not is_alive(program) and not is_alive(runner)
    assert not (tmp_path / "overlap").exists()
    wait_until(lambda: cluster.runs() == [], what="both folders are put away")


def test_on_partition_stop_the_worker_kills_for_a_stopped_runner(cluster, tmp_path):
    job = cluster.submit(job_of(exclusive(tmp_path, "[ $STOKER_ATTEMPT = 2 ] || exec sleep 600"), on_partition="stop"))
    runner, program = pids(cluster, job)
    os.kill(runner, signal.SIGSTOP)
    wait_until(lambda: not is_alive(program), what="the program is gone before somebody else starts")
    done = cluster.wait_final(job, timeout=30)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")
    assert not (tmp_path / "overlap").exists()


def test_on_partition_stop_the_program_ends_before_the_lease(cluster):
    job = cluster.submit(job_of("[ $STOKER_ATTEMPT = 2 ] || exec sleep 600", on_partition="stop"))
    runner, program = pids(cluster, job)
    cluster.redis.kill()
    wait_until(lambda: not is_alive(program), timeout=2.5, what="the program ends within its lease of 2 s")
    assert is_alive(runner)
    cluster.restart_redis()
    done = cluster.wait_final(job, timeout=30)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")


# ---- Redis goes ----

def test_redis_away_the_run_goes_on_and_the_log_has_no_hole(cluster, tmp_path):
    script = f"""
for i in $(seq 1 4000); do
    echo $i
    [ $((i % 100)) = 0 ] && sleep 0.05
    [ $i = 1000 ] && touch {tmp_path}/mid
    [ $i = 3000 ] && touch {tmp_path}/late
done
echo step=4000 loss=1
"""
    job = cluster.submit(job_of(script))
    wait_until((tmp_path / "mid").exists, what="it is in the middle")
    _, program = pids(cluster, job)
    cluster.redis.kill()
    wait_until((tmp_path / "late").exists, what="it goes on without Redis")
    assert is_alive(program)
    cluster.restart_redis()
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["step"]) == ("succeeded", "1", "4000")
    assert log_lines(cluster.log_text(job), 1)[:4000] == [str(i) for i in range(1, 4001)]


def test_the_end_is_reported_however_long_redis_is_away(cluster):
    job = cluster.submit(job_of("sleep 0.3; echo bye"))
    runner, program = pids(cluster, job)
    cluster.redis.kill()
    wait_until(lambda: not is_alive(program), what="the program has ended")
    cluster.workers[0].kill()  # nobody but the runner knows
    assert is_alive(runner)
    cluster.restart_redis()
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert log_lines(cluster.log_text(job), 1) == ["bye"]


def test_the_tail_of_a_dead_runners_log_is_sent(cluster, tmp_path):
    job = cluster.submit(job_of(f"""
[ $STOKER_ATTEMPT = 2 ] && exit
echo up; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done
for i in $(seq 1 500); do echo $i; done
exec sleep 600
""", lease="1m"))
    wait_lines(cluster, job, 1, 1)
    runner, _ = pids(cluster, job)
    spool = run_folder(cluster, job) / "spool.log"
    cluster.redis.process.signal(signal.SIGSTOP)
    (tmp_path / "go").touch()
    wait_until(lambda: " o 500\n" in spool.read_text(), what="the spool has it all")
    os.kill(runner, signal.SIGKILL)
    cluster.redis.process.signal(signal.SIGCONT)
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert log_lines(cluster.log_text(job), 1) == ["up"] + [str(i) for i in range(1, 501)]


def test_output_that_redis_cannot_follow_is_skipped_and_told(cluster, tmp_path):
    """More waits in the spool than is kept for a slow Redis: the older half becomes one gap."""
    job = cluster.submit(job_of(f"""
echo up; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done
yes {'x' * 999} | head -n 80000; touch {tmp_path}/written; while [ ! -e {tmp_path}/end ]; do sleep 0.02; done
""", lease="1m"))
    wait_lines(cluster, job, 1, 1)
    spool = run_folder(cluster, job) / "spool.log"
    live = cluster.redis.client().pubsub(ignore_subscribe_messages=True)
    live.subscribe(f"stoker:{{default}}:log:{job.split('-')[1]}")
    live.get_message(timeout=5)
    cluster.redis.process.signal(signal.SIGSTOP)
    (tmp_path / "go").touch()
    wait_until(lambda: (tmp_path / "written").exists() and spool.stat().st_size > 80000 * 1000, 60,
               "the spool has it all")
    cluster.redis.process.signal(signal.SIGCONT)
    told = wait_until(lambda: (lambda one: one and "gap" in one["data"] and json.loads(one["data"]))(
        live.get_message(timeout=1)), what="the gap is told")
    live.close()
    assert "redis was slower" in told["gap"] and int(told["lines"]) > 1000
    (tmp_path / "end").touch()
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["log_next"]) == ("succeeded", "1", "80002")


def test_a_full_redis_still_hears_of_the_end(cluster, tmp_path):
    job = cluster.submit(job_of(f"echo up; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo bye"))
    wait_lines(cluster, job, 1, 1)
    redis = cluster.redis.client()
    redis.config_set("maxmemory", "1mb")
    (tmp_path / "go").touch()
    wait_until(lambda: cluster.job(job)["state"] == "succeeded", what="the end is reported")
    redis.config_set("maxmemory", "0")


# ---- checkpoints ----

COUNT_WITH_CHECKPOINTS = """
n=0
[ -n "$STOKER_RESUME" ] && n=$(cat "$STOKER_RESUME") && echo resumed=$n step=$STOKER_RESUME_STEP
while [ $n -lt 8 ]; do
    n=$((n + 1)); echo step=$n loss=0.5
    echo $n > out-$n.txt
    echo "{\\"t\\":\\"checkpoint\\",\\"path\\":\\"out-$n.txt\\",\\"step\\":$n}" >&3
    [ $n = 5 ] && [ $STOKER_ATTEMPT = 1 ] && { %s; }
    sleep 0.05
done
"""


def test_an_attempt_goes_on_from_the_last_checkpoint(cluster):
    job = cluster.submit(job_of(COUNT_WITH_CHECKPOINTS % "exec sleep 600", lease="1m"))
    wait_until(lambda: any(c["step"] == 5 for c in committed(cluster, job).values()), what="checkpoint 5 is committed")
    runner, _ = pids(cluster, job)
    os.kill(runner, signal.SIGKILL)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")
    assert log_lines(cluster.log_text(job), 2)[0] == "resumed=5 step=5"
    resumed = events(cluster, job, "recovery.resumed")
    assert [e["checkpoint"] for e in resumed] == [done["resume"]]
    assert max(c["step"] for c in committed(cluster, job).values() if c["state"] == "committed") == 8


def test_drain_ships_the_last_checkpoint(cluster):
    job = cluster.submit(job_of("""
if [ -n "$STOKER_RESUME" ]; then echo resumed $(cat "$STOKER_RESUME"); exit 0; fi
save() { echo 77 > last.txt; echo '{"t":"checkpoint","path":"last.txt","step":77}' >&3; exit 75; }
trap save TERM
echo up; while :; do sleep 0.02; done
"""))
    wait_lines(cluster, job, 1, 1)
    assert cluster.workers[0].stop() == 0
    cluster.start_worker(0)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")
    assert log_lines(cluster.log_text(job), 2) == ["resumed 77"]


def test_a_damaged_checkpoint_is_not_resumed_from(cluster):
    job = cluster.submit(job_of(COUNT_WITH_CHECKPOINTS % "exec sleep 600", lease="1m"))
    wait_until(lambda: any(c["step"] == 5 for c in committed(cluster, job).values()), what="checkpoint 5 is committed")
    runner, _ = pids(cluster, job)
    os.kill(runner, signal.SIGSTOP)  # which ones there are does not change any more
    older, newest = sorted((c for c in committed(cluster, job).values() if c["state"] == "committed"),
                           key=lambda c: c["step"])[-2:]
    data = next(p for p in Path(newest["uri"].removeprefix("file://")).parent.iterdir() if p.stat().st_size >= 1024)
    data.write_bytes(bytes(len(data.read_bytes())))
    os.kill(runner, signal.SIGKILL)
    done = cluster.wait_final(job)
    assert done["state"] == "succeeded"
    assert log_lines(cluster.log_text(job), 2)[0] == f"resumed={older['step']} step={older['step']}"
    assert len(events(cluster, job, "checkpoint.rejected")) == 1


def test_what_a_corrupted_run_saves_is_not_kept(cluster):
    job = cluster.submit(job_of("""
save() { echo $1 > out-$1.txt; echo "{\\"t\\":\\"checkpoint\\",\\"path\\":\\"out-$1.txt\\",\\"step\\":$1}" >&3; }
if [ -n "$STOKER_RESUME" ]; then echo resumed $(cat "$STOKER_RESUME"); exit 0; fi
trap 'save 9; exit 75' TERM
echo step=2 loss=1; save 2; echo saved
until [ -e go ]; do sleep 0.02; done
echo step=3 loss=1
for s in 4 5 6; do echo step=$s loss=nan; done
while :; do sleep 0.02; done
""", recovery={"backoff": "50ms", "max_backoff": "50ms"}))
    wait_until(lambda: committed(cluster, job), what="checkpoint 2 is committed")
    (run_folder(cluster, job) / "work/go").touch()
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["corrupted"]) == ("succeeded", "2", "1")
    assert log_lines(cluster.log_text(job), 2) == ["resumed 2"]
    assert [c["step"] for c in committed(cluster, job).values()] == [2]


# ---- what a machine has ----

def test_gpus_are_exclusive_also_over_a_restart(cluster, tmp_path):
    script = f"""
echo gpu=$CUDA_VISIBLE_DEVICES
exec 9>>{tmp_path}/gpu-$CUDA_VISIBLE_DEVICES
flock -n 9 || echo $CUDA_VISIBLE_DEVICES >> {tmp_path}/overlap
echo . >> {tmp_path}/started
while [ ! -e {tmp_path}/go ]; do sleep 0.02; done
sleep 0.05
"""
    jobs = [cluster.submit(job_of(script, resources={"gpus": 1, "cpus": 1})) for _ in range(5)]
    started = tmp_path / "started"
    wait_until(lambda: started.exists() and len(started.read_text().split()) == 2, what="two of them run")
    cluster.workers[0].kill()
    cluster.start_worker(0)
    wait_until(lambda: cluster.workers[0].text().count("adopted a run") == 2, what="both are adopted")
    (tmp_path / "go").touch()
    for job in jobs:
        assert cluster.wait_final(job)["state"] == "succeeded"
    assert not (tmp_path / "overlap").exists()
    assert {line for job in jobs for line in log_lines(cluster.log_text(job), 1)} == {"gpu=0", "gpu=1"}


def test_what_does_not_fit_waits_for_who_can(cluster):
    job = cluster.submit(job_of("true", resources={"labels": {"zone": "b"}}))
    fitting = cluster.submit(job_of("true"))
    assert cluster.wait_final(fitting)["state"] == "succeeded"
    assert cluster.job(job)["state"] == "queued"
    cluster.start_worker(1, ["--labels", "zone=b"])
    assert cluster.wait_final(job)["state"] == "succeeded"
    assert cluster.job(job)["worker"] == "w1"


def test_two_queues_share_a_worker(tmp_path):
    """Both want the one place there is: it is given to one at a time, in turn, and nothing is begun in vain."""
    with Cluster(tmp_path, worker_options=["--cpus", "1", "--queues", "default,other"]) as cluster:
        cluster.wait_final(cluster.submit(job_of("true", queue="other")))
        jobs = [cluster.submit(job_of(f"sleep 0.1; echo {queue} >> {tmp_path}/order", queue=queue))
                for queue in ("default", "other") for _ in range(5)]
        done = [cluster.wait_final(job) for job in jobs]
        assert [(job["state"], job["attempt"]) for job in done] == [("succeeded", "1")] * len(jobs)
        order = (tmp_path / "order").read_text().split()
        assert set(order[:5]) == {"default", "other"}, order


def test_two_workers_share_the_work(tmp_path):
    with Cluster(tmp_path, workers=2, worker_options=["--cpus", "1"]) as cluster:
        wait_until(lambda: cluster.redis.client().zcard("stoker:{default}:workers") == 2, what="two workers")
        script = f"echo . >> {tmp_path}/started; while [ $(wc -l < {tmp_path}/started) -lt 2 ]; do sleep 0.02; done"
        jobs = [cluster.submit(job_of(script)) for _ in range(2)]  # each ends only when both run
        assert [cluster.wait_final(job)["state"] for job in jobs] == ["succeeded"] * 2
        assert {cluster.job(job)["worker"] for job in jobs} == {"w0", "w1"}


def test_one_worker_a_state_folder(cluster, tmp_path):
    wait_until(lambda: "serving a queue" in cluster.workers[0].text(), what="the worker is up")
    second = Process([BUILD / "stoker-worker", "--redis-url", cluster.redis.url, "--state-dir", cluster.state_dir()],
                     tmp_path / "second.log")
    assert second.popen.wait(10) != 0
    assert "another worker uses the state folder" in second.text()
