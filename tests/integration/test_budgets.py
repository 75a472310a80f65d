"""The four budgets of a job, spent by real programs that die in the ways that they count; and what is said of it."""
import os
import signal

from harness import wait_until
from worker_harness import committed, events, job_of, pids, wait_lines

SOON = {"backoff": "50ms", "max_backoff": "50ms", "jitter": 0}

SCRIPT = """
save() { echo $1 > out-$1.txt; echo "{\\"t\\":\\"checkpoint\\",\\"path\\":\\"out-$1.txt\\",\\"step\\":$1}" >&3; }
case $STOKER_ATTEMPT in
1) echo up; exec sleep 600;;                                                 # lost
2) echo step=3 loss=1; save 3; echo up; exec sleep 600;;                     # lost, with a checkpoint
3) echo step=5 loss=1; for s in 6 7 8; do echo step=$s loss=nan; done; exec sleep 600;;
4) exit 3;;
5) trap 'exit 75' TERM; echo up; while :; do sleep 0.05; done;;              # preempted
6) echo up; exec sleep 600;;                                                 # lost
esac
"""


def reasons(cluster, job):
    return [(e["event"], e["reason"]) for e in events(cluster, job) if e["event"] in (
        "job.lost", "job.retrying", "job.preempted", "job.failed", "checkpoint.committed") and "reason" in e]


def lose(cluster, job, attempt, i=0):
    wait_lines(cluster, job, attempt, 1)
    runner, _ = pids(cluster, job, i)
    os.kill(runner, signal.SIGKILL)


def test_each_end_has_its_own_budget(cluster):
    job = cluster.submit(job_of(SCRIPT, retry={**SOON, "max_attempts": 2, "max_lost": 2},
                                recovery={**SOON, "max_attempts": 1}))
    lose(cluster, job, 1)
    wait_lines(cluster, job, 2, 2)
    wait_until(lambda: committed(cluster, job), what="the checkpoint is committed")
    lose(cluster, job, 2)
    wait_lines(cluster, job, 5, 1)
    assert cluster.workers[0].stop() == 0
    cluster.start_worker(1)
    lose(cluster, job, 6, 1)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("failed", "6")
    assert reasons(cluster, job) == [
        ("job.lost", "lost 1 of 2 in a row (retry.max_lost)"),
        ("checkpoint.committed", "gives the lost budget back: 1 of 2 were used"),
        ("job.lost", "lost 1 of 2 in a row (retry.max_lost); before it checkpoint 2-1 gave 1 back"),
        ("job.retrying", "corrupted 1 of 1 (recovery.max_attempts); again in 0.1 s"),
        ("job.retrying", "failed 1 of 2 (retry.max_attempts); again in 0.1 s"),
        ("job.preempted", "its worker drains; preemption 1, counted against no budget"),
        ("job.failed", "lost 2 of 2 in a row (retry.max_lost)")]

    attempts = cluster.show(job)["attempts"]
    assert [(a["attempt"], a.get("checkpoint"), a["cause"]) for a in attempts] == [
        (1, None, "lost"), (2, "none", "lost"), (3, "2-1", "corrupted"), (4, "2-1", "error"), (5, "2-1", "preempted"),
        (6, "2-1", "lost")]
    assert attempts[2]["onset"] == "6" and attempts[2]["step"] == 3
    said = cluster.cli("show", job).stdout
    assert "budgets       failed 1 of 2, lost 2 of 2, corrupted 1 of 1, preempted 1" in said
    assert "    3  from 2-1 (step 3) on w0: corrupted from step 6 on, loss was not finite in 3 reports in a row" in said
    assert "    5  from 2-1 (step 3) on w0: preempted\n" in said
