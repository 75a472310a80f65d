"""Where the time of jobs went, with a real program that loads, trains, saves, dies and goes on."""
import os
import signal

from harness import wait_until
from worker_harness import committed, job_of, pids, wait_lines

SCRIPT = """
echo loading; sleep 1.5
if [ -n "$STOKER_RESUME" ]; then echo step=6 loss=1; sleep 0.5; exit 0; fi
echo step=4 loss=1; sleep 0.5
echo 5 > out-5.txt; echo '{"t":"checkpoint","path":"out-5.txt","step":5}' >&3
while :; do sleep 0.05; done
"""


def test_the_time_of_a_job(cluster):
    job = cluster.submit(job_of(SCRIPT))
    wait_until(lambda: committed(cluster, job), what="the checkpoint")
    running = wait_until(lambda: (lambda t: t if t["loading_ms"] > 0 and t["training_ms"] > 1500 else None)(
        cluster.show(job)["time"]), what="its runner has said how long it loaded, and some training is not saved")
    assert running["loading_ms"] > 1400 and running["lost_ms"] == 0
    runner, _ = pids(cluster, job)
    os.kill(runner, signal.SIGKILL)
    assert cluster.wait_final(job)["state"] == "succeeded"
    record, time = cluster.job(job), cluster.show(job)["time"]
    trained = next(iter(committed(cluster, job).values()))["trained_ms"]
    assert 0 < trained < running["training_ms"]
    assert time["loading_ms"] > 2800 and time["setup_ms"] >= time["loading_ms"]
    assert time["training_ms"] > trained, "that of the second attempt"
    assert time["lost_ms"] >= running["training_ms"] - trained - 100
    whole = int(record["ended_ms"]) - int(record["submitted_ms"])
    assert sum(time[f"{what}_ms"] for what in ("queued", "setup", "restore", "training", "saving", "lost")) == whole
    assert 0 < time["productive"] < 1
    said = cluster.cli("show", job).stdout
    assert "of it loading), " in said and f"{time['productive'] * 100:.1f} % productive" in said


def test_of_queues_and_how_often_to_save(cluster):
    job = cluster.submit(job_of(SCRIPT))
    wait_lines(cluster, job, 1, 2)
    wait_until(lambda: committed(cluster, job), what="the checkpoint")
    assert "save_every" not in cluster.show(job), "nothing is known of the queue yet"
    redis = cluster.redis.client()
    redis.hset("stoker:{default}:goodput", mapping={"training": 36_000_000, "trained": 27_000_000, "ends": 10})
    redis.hset("stoker:{default}:checkpoints:1", "1-1", redis.hget("stoker:{default}:checkpoints:1", "1-1").replace(
        '"save_ms":', '"save_ms":2000,"was_ms":'))
    every = cluster.show(job)["save_every"]
    assert every == {"every_ms": 120_000, "save_ms": 2000, "mtbf_ms": 3_600_000, "ends": 10, "ran_ms": 36_000_000}
    assert ("best saved    about every 2 min 00 s: one takes 2.0 s, and in queue default an attempt ends badly every "
            "1 h 00 min (10 in 10 h 00 min)") in cluster.cli("show", job).stdout

    cluster.cli("queues", "create", "gpu")
    redis.hset("stoker:{gpu}:goodput", mapping={"plain": 36_000_000})
    answer = cluster.api("GET", "/api/v1/queues")
    shares = {q["queue"]: q["goodput"].get("productive") for q in answer["queues"]}
    assert shares == {"default": 0.75, "gpu": 1.0}
    assert answer["goodput"]["productive"] == 0.875
    said = cluster.cli("queues").stdout
    assert "75.0 %" in said and "all together: training 17 h 30 min, lost 2 h 30 min: 87.5 % productive" in said
    cluster.cli("cancel", job)
    cluster.wait_final(job)
