"""Runs that go bad: found by what they print, flagged, stopped, and resumed from before it began."""
import os
import signal

import pytest

from cluster import Cluster, log_lines
from harness import wait_until
from receiver import Receiver
from worker_harness import committed, events, is_alive, job_of, pids, run_folder

SOON = {"backoff": "50ms", "max_backoff": "50ms"}

# what a training does, in words of the shell: `save`, `noisy` losses, the step that it goes on from
TRAINING = r"""
save() { echo $1 > out-$1.txt; echo "{\"t\":\"checkpoint\",\"path\":\"out-$1.txt\",\"step\":$1}" >&3; }
noisy() { for s in $(seq $1 $2); do echo step=$s loss=1.$((RANDOM % 3))$((RANDOM % 10)); done; }
wait_for() { until [ -e $1 ]; do sleep 0.02; done; }
step=0; [ -z "$STOKER_RESUME" ] || step=$(cat "$STOKER_RESUME")
echo from $step
"""


def training(script, **recovery):
    return job_of(TRAINING + script, recovery={**SOON, **recovery}, checkpoint={"keep_last": 9})


def starts(cluster, job):
    """Which step each attempt went on from."""
    last = int(cluster.job(job)["attempt"])
    return [int(log_lines(cluster.log_text(job), attempt)[0].split()[1]) for attempt in range(1, last + 1)]


def let_go(cluster, job, name="go"):
    (run_folder(cluster, job) / "work" / name).touch()


def wait_saved(cluster, job, *steps):
    wait_until(lambda: sorted(c["step"] for c in committed(cluster, job).values()) == list(steps),
               what=f"the checkpoints {steps} are committed")


def states(cluster, job):
    return {c["step"]: c["state"] for c in committed(cluster, job).values()}


def test_a_spike_that_lasts(cluster):
    """Nothing that was saved during the suspicion is committed: retention would make room for it."""
    job = cluster.submit(training("""
if [ $STOKER_ATTEMPT = 1 ]; then
    noisy 1 120; save 120; wait_for go; noisy 121 150
    for s in $(seq 151 160); do echo step=$s loss=9.$s; done; save 160; wait_for in-store
    for s in $(seq 161 175); do echo step=$s loss=9.$s; done; exec sleep 600
fi
noisy 121 260
"""))
    wait_saved(cluster, job, 120)
    let_go(cluster, job)
    wait_until(lambda: len(list(cluster.store().glob(f"*/checkpoints/{job}-*/*/*/manifest.json"))) == 2,
               what="the second one is in the store")
    let_go(cluster, job, "in-store")
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["corrupted"]) == ("succeeded", "2", "1")
    assert starts(cluster, job) == [0, 120]
    found, = events(cluster, job, "recovery.detected")
    assert found["step"] == "151" and found["reason"].startswith("loss was above "), found
    assert "in 20 reports in a row" in found["reason"] and "(the last good one: step 150)" in found["reason"]
    assert states(cluster, job) == {120: "committed"}
    assert len(events(cluster, job, "recovery.completed")) == 1


def test_a_spike_that_passes_is_none(cluster):
    job = cluster.submit(training("""
noisy 1 120
for s in $(seq 121 139); do echo step=$s loss=9; done; save 139; echo saved
noisy 140 160; wait_for go
"""))
    wait_saved(cluster, job, 139)
    let_go(cluster, job)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "1")
    assert not events(cluster, job, "recovery.detected")


def test_what_is_not_proved_is_not_resumed_from(cluster):
    """The loss of a step tells of the weights before it: what was saved after the last good one may be bad, too. And it
    is out of use before the program has ended, should its runner die then."""
    job = cluster.submit(training("""
if [ $STOKER_ATTEMPT = 1 ]; then
    trap '' TERM
    noisy 1 4; save 2; wait_for two; noisy 5 6; save 6; wait_for go
    for s in 7 8 9; do echo step=$s loss=nan; done
    while :; do sleep 0.05; done
fi
echo step=8 loss=1
"""))
    wait_saved(cluster, job, 2)
    let_go(cluster, job, "two")
    wait_saved(cluster, job, 2, 6)
    let_go(cluster, job)
    wait_until(lambda: events(cluster, job, "recovery.detected"), what="it is flagged")
    assert states(cluster, job) == {2: "committed", 6: "quarantined"}
    runner, _ = pids(cluster, job)
    os.kill(runner, signal.SIGKILL)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["corrupted"]) == ("succeeded", "2", "1")
    assert starts(cluster, job) == [0, 2]
    assert events(cluster, job, "checkpoint.quarantined")[0]["reason"] == (
        "not proved to be from before the corruption, which began at step 7 or after step 6")


def test_the_same_onset_again_goes_further_back(cluster):
    """Recovered runs are watched again; a later onset is a new one, and no reason to go back further."""
    job = cluster.submit(training("""
case $step in
0) noisy 1 3; save 1; wait_for 1; noisy 4 5; save 4; wait_for 4; noisy 6 8; save 7; wait_for 7; noisy 9 9; bad=10;;
7) noisy 8 9; [ $STOKER_ATTEMPT = 3 ] && { noisy 10 11; bad=12; } || bad=10;;
4) noisy 5 12; exit 0;;
esac
for s in 0 1 2; do echo step=$((bad + s)) loss=inf; done; exec sleep 600
""", max_attempts=9))
    for name in ("1", "4", "7"):
        wait_until(lambda name=name: name in str([c["step"] for c in committed(cluster, job).values()]),
                   what=f"checkpoint {name}")
        let_go(cluster, job, name)
    done = cluster.wait_final(job)
    assert (done["state"], done["corrupted"]) == ("succeeded", "2")
    assert starts(cluster, job) == [0, 7, 4]
    reasons = [e["reason"] for e in events(cluster, job, "recovery.detected")]
    assert reasons[1].endswith("the same again: it did not get past step 10, where it was corrupted before"), reasons


@pytest.mark.parametrize("status,state,kept", [(0, "succeeded", True), (1, "failed", False)])
def test_what_is_saved_in_doubt(cluster, status, state, kept):
    """Two reports that are not finite are no corruption yet. A program that ends well is taken at its word."""
    job = cluster.submit({**training(f"""
noisy 1 3; for s in 4 5; do echo step=$s loss=nan; done; save 5; wait_for go; exit {status}
"""), "retry": {"max_attempts": 1}})
    wait_until(lambda: (run_folder(cluster, job) / "work/out-5.txt").exists(), what="it has saved")
    let_go(cluster, job)
    assert cluster.wait_final(job)["state"] == state
    assert states(cluster, job) == ({5: "committed"} if kept else {})
    says = [line for line in log_lines(cluster.log_text(job), 1, "stoker") if "is not kept" in line]
    assert says == ([] if kept else ["what it saved since step 4 is not kept: loss was suspicious to the end"])


def test_a_spike_never_ends_a_job(cluster):
    """It may be in the nature of the run. What is not finite is not."""
    job = cluster.submit(training("""
noisy 1 110; for s in $(seq 111 140); do echo step=$s loss=8; done
[ $STOKER_ATTEMPT = 1 ] && exec sleep 600
exit 0
""", max_attempts=1))
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["corrupted"]) == ("succeeded", "2", "1")
    said = log_lines(cluster.log_text(job), 2, "stoker")
    assert "spikes of loss are let pass: recovery.max_attempts is used up (1 of 1)" in said


def test_a_run_that_ends_while_it_is_bad(cluster):
    """However fast it was over: the end is judged after all that it said."""
    job = cluster.submit(training("""
[ $STOKER_ATTEMPT = 2 ] && exit 0
for s in 1 2 3 4; do echo step=$s loss=nan; done
"""))
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["corrupted"]) == ("succeeded", "2", "1")
    assert "not finite in 3 reports" in events(cluster, job, "recovery.detected")[0]["reason"]


def test_a_run_that_goes_bad_while_redis_is_away(cluster):
    """It is stopped all the same, and what is known of it is told when Redis is back."""
    job = cluster.submit(training("""
[ $step = 0 ] || { noisy 3 9; exit 0; }
noisy 1 4; save 2; wait_for two; noisy 5 6; save 6; wait_for go
for s in 7 8 9; do echo step=$s loss=nan; done; exec sleep 600
"""))
    wait_saved(cluster, job, 2)
    let_go(cluster, job, "two")
    wait_saved(cluster, job, 2, 6)
    _, program = pids(cluster, job)
    cluster.redis.kill()
    let_go(cluster, job)
    wait_until(lambda: not is_alive(program), what="the program is stopped")
    cluster.restart_redis()
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"], done["corrupted"]) == ("succeeded", "2", "1")
    assert starts(cluster, job) == [0, 2]
    assert states(cluster, job)[6] == "quarantined"


def test_who_wants_to_know_is_told(tmp_path):
    """Each turn of a recovery is a webhook, with the reason and the numbers."""
    receiver = Receiver()
    with Cluster(tmp_path, scheduler_options=["--webhook-allow", "127.0.0.0/8"]) as cluster:
        receiver.secret = cluster.api("POST", "/api/v1/webhook-secret", {})["secret"]
        job = cluster.submit({**training("""
[ $step = 0 ] || { noisy 3 9; exit 0; }
noisy 1 4; save 2; wait_for go; noisy 5 6
for s in 7 8 9; do echo step=$s loss=nan; done; exec sleep 600
"""), "webhook": {"url": receiver.url, "on": ["recovery.*"]}})
        wait_saved(cluster, job, 2)
        let_go(cluster, job)
        assert cluster.wait_final(job)["state"] == "succeeded"
        told = {got["body"]["event"]: got["body"] for got in receiver.wait(5)}
    assert told.keys() == {f"recovery.{what}" for what in (
        "detected", "started", "checkpoint_selected", "resumed", "completed")}
    assert told["recovery.detected"]["reason"] == (
        "loss was not finite in 3 reports in a row since step 7 (the last good one: step 6)")
    assert told["recovery.resumed"]["checkpoint"] == "1-1" and told["recovery.detected"]["job"] == job
