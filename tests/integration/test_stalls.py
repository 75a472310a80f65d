"""Programs that go on no more: noticed by what they had shown before, asked where they are, stopped."""
import json

import pytest

from cluster import Cluster, log_lines
from worker_harness import RETRY, events, job_of

ONCE = {**RETRY, "max_attempts": 1}
LEAST = "1s"  # of silence: the default of 90 s is for programs, not for tests


@pytest.fixture
def brisk(tmp_path):
    with Cluster(tmp_path, worker_options=["--cpus", "4", "--stall-least", LEAST]) as one:
        yield one


def python(script, **more):
    return {"command": ["python3", "-c", script], "lease": "2s", "retry": ONCE, **more}


def test_a_program_that_hangs_after_its_steps(brisk):
    """Its spec says nothing of stalls. Where it hangs is in the log, by the kernel and by Python."""
    script = """
import threading
for step in range(1, 9):
    print(f"step={step} loss=1.0")
def takes_what_it_has(lock):
    lock.acquire()
    lock.acquire()
takes_what_it_has(threading.Lock())
"""
    job = brisk.submit(python(script))
    done = brisk.wait_final(job)
    assert (done["state"], done["cause"], done["step"]) == ("failed", "stalled", "8")
    assert "no output, step, metric or checkpoint for " in done["error"] and " after step 8 (the" in done["error"]
    assert "its steps took up to " in done["error"] and "is asleep in futex" in done["error"], done["error"]
    log = brisk.log_text(job)
    assert any(line.startswith("process ") and "python3 -c" in line for line in log_lines(log, 1, "stoker"))
    assert any("asleep in futex" in line for line in log_lines(log, 1, "stoker"))
    assert any("in takes_what_it_has" in line for line in log_lines(log, 1, "stderr")), log
    assert "is asleep in futex" in json.dumps(events(brisk, job, "job.failed"))
    stalled, = events(brisk, job, "job.stalled")
    assert stalled["worker"] == "w0" and stalled["step"] == "8"
    trace = stalled["trace"].splitlines()
    assert trace[0].startswith("process ") and "asleep in futex" in trace[1] and "step=8 loss=1.0" in trace, trace
    assert any("in takes_what_it_has" in line for line in trace), trace
    shown = brisk.cli("show", job).stdout
    assert "attempt 1 stalled at step 8 on w0" in shown and "in takes_what_it_has" in shown, shown


def test_who_listens_to_sigterm_may_save_first(brisk):
    """and is asked where it is only when the grace is over, which it does not survive."""
    script = """
import signal, time
def ends(*_):
    print("saving")
    time.sleep(600)
signal.signal(signal.SIGTERM, ends)
for step in range(1, 9):
    print(f"step={step}")
time.sleep(600)
"""
    job = brisk.submit(python(script, grace="1s"))
    done = brisk.wait_final(job)
    assert (done["state"], done["cause"], done["signal"]) == ("failed", "stalled", "6")
    log = brisk.log_text(job)
    assert log_lines(log, 1)[-1] == "saving"
    assert any("in ends" in line for line in log_lines(log, 1, "stderr")), log


def test_who_computes_in_silence_has_more_time(brisk):
    script = """
import time
for step in range(1, 9):
    print(f"step={step}")
end = time.monotonic() + 4
while time.monotonic() < end:
    pass
"""
    job = brisk.submit(python(script))
    assert brisk.wait_final(job)["state"] == "succeeded"


def test_who_has_shown_no_steps_has_the_whole_time(brisk):
    job = brisk.submit(job_of("echo loading; sleep 3; echo done", retry=ONCE))
    assert brisk.wait_final(job)["state"] == "succeeded"


def test_no_limit(brisk):
    job = brisk.submit(python("""
import time
for step in range(1, 9):
    print(f"step={step}")
time.sleep(3)
""", stall_timeout="0s"))
    assert brisk.wait_final(job)["state"] == "succeeded"
