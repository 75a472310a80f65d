"""Machines that are taken away: their runs are given back with what they have saved, and nothing is counted against
them."""
import http.server
import threading

import pytest

from cluster import ApiError, Cluster, log_lines
from harness import wait_until
from worker_harness import events, job_of, pids, wait_lines

SAVES = """
trap 'cd $STOKER_CHECKPOINT_DIR; echo saved > step-7.tmp; mv step-7.tmp step-7.txt
echo "{\\"t\\":\\"checkpoint\\",\\"path\\":\\"$STOKER_CHECKPOINT_DIR/step-7.txt\\",\\"step\\":7}" >&3; exit 75' TERM
[ -z "$STOKER_RESUME" ] || { echo "resumed at $STOKER_RESUME_STEP"; exit 0; }
echo up; while :; do sleep 0.05; done
"""


def worker(cluster, name="w0"):
    return next((w for w in cluster.api("GET", "/api/v1/workers")["workers"] if w["id"] == name), {"state": "none"})


def wait_worker(cluster, state):
    return wait_until(lambda: (lambda w: w if w["state"] == state else None)(worker(cluster)), what=f"w0 is {state}")


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = self.server.answer
        self.server.asked.append(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


class FileNotice:
    why = "terminate at 12:00"

    def __init__(self, folder):
        self.path = folder / "notice-file"
        self.options = ["--preempt-file", self.path]

    def give(self):
        beside = self.path.with_suffix(".new")
        beside.write_text(f"{self.why}\nand more\n")
        beside.rename(self.path)

    def take_back(self):
        self.path.unlink()

    def stop(self):
        pass


class CommandNotice(FileNotice):
    def __init__(self, folder):
        super().__init__(folder)
        self.options = ["--preempt-command", f"cat '{self.path}'"]


class UrlNotice:
    why = '{"action": "terminate"}'

    def __init__(self, _):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.answer, self.server.asked = (404, "no such thing"), []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.options = ["--preempt-url", f"http://127.0.0.1:{self.server.server_port}/spot/action"]

    def give(self):
        wait_until(lambda: self.server.asked, what="it was asked")
        self.server.answer = 200, self.why

    def take_back(self):
        self.server.answer = 200, "NONE"

    def stop(self):
        self.server.shutdown()


@pytest.mark.parametrize("kind", [FileNotice, CommandNotice, UrlNotice])
def test_notice_that_the_machine_goes(tmp_path, kind):
    notice = kind(tmp_path)
    with Cluster(tmp_path, worker_options=["--cpus", "1", "--preempt-interval", "100ms", *notice.options]) as cluster:
        job = cluster.submit(job_of(SAVES, retry={"max_attempts": 1, "max_lost": 1}))
        wait_lines(cluster, job, 1, 1)
        notice.give()
        found = cluster.wait_state(job, "queued")
        assert found["reason"] == "preempted" and "errors" not in found and "lost" not in found, found
        said, = events(cluster, job, "job.preempted")
        assert said["reason"].startswith(f"its machine will be taken away: {notice.why}")
        assert any(notice.why in line for line in log_lines(cluster.log_text(job), 1, "stoker"))
        why = wait_worker(cluster, "draining")["why"]
        assert why == f"this machine will be taken away: {notice.why}"
        assert cluster.show(job)["why"] == f"the only worker of queue default is draining: {why}"
        assert cluster.workers[0].alive(), "else whoever keeps it running starts it again"
        late = cluster.submit(job_of("true"))
        assert cluster.job(late)["state"] == "queued"

        notice.take_back()
        done = cluster.wait_final(job)
        assert (done["state"], done["attempt"]) == ("succeeded", "2")
        assert log_lines(cluster.log_text(job), 2) == ["resumed at 7"]
        assert cluster.wait_final(late)["state"] == "succeeded"
        wait_worker(cluster, "up")
        notice.stop()


def test_a_higher_priority_takes_the_place(tmp_path):
    with Cluster(tmp_path, worker_options=["--cpus", "1"]) as cluster:
        low = cluster.submit(job_of(SAVES, priority=2, retry={"max_attempts": 1, "max_lost": 1}))
        wait_lines(cluster, low, 1, 1)
        assert cluster.cli("queues", "limit", "default", "--preempt", "on").returncode == 0
        assert "preempts" in cluster.cli("queues").stdout
        high = cluster.submit(job_of("true", priority=8))
        assert cluster.wait_final(high)["state"] == "succeeded"
        done = cluster.wait_final(low)
        assert (done["state"], done["attempt"]) == ("succeeded", "2") and "errors" not in done and "lost" not in done
        assert log_lines(cluster.log_text(low), 2) == ["resumed at 7"]
        asked, = events(cluster, low, "job.preempt_asked")
        assert asked["reason"] == f"{high}, of priority 8, takes its place"
        assert f"asked to make room on w0: {asked['reason']}" in cluster.cli("events").stdout
        refused = cluster.cli("queues", "limit", "default", "--preempt", "maybe", check=False)
        assert refused.returncode == 2 and '--preempt: expected on or off, got "maybe"' in refused.stderr
        with pytest.raises(ApiError, match="preempt: expected true or false"):
            cluster.api("POST", "/api/v1/queues/default/limits", {"preempt": 1})


def test_another_worker_goes_on_at_once(tmp_path):
    """And a worker that is told before it has anything takes nothing."""
    notice = FileNotice(tmp_path)
    with Cluster(tmp_path, workers=0) as cluster:
        options = ["--cpus", "1", "--preempt-interval", "100ms"]
        cluster.start_worker(0, [*options, *notice.options])
        job = cluster.submit(job_of(SAVES))
        wait_lines(cluster, job, 1, 1)
        cluster.start_worker(1, options)
        notice.give()
        done = cluster.wait_final(job)
        assert (done["state"], done["attempt"], done["worker"]) == ("succeeded", "2", "w1")
        cluster.workers[0].stop()
        cluster.start_worker(0, [*options, *notice.options])
        wait_worker(cluster, "draining")


def test_a_runner_that_an_earlier_worker_left(tmp_path):
    notice = FileNotice(tmp_path)
    options = ["--cpus", "1", "--preempt-interval", "100ms", *notice.options]
    with Cluster(tmp_path, worker_options=options) as cluster:
        job = cluster.submit(job_of(SAVES))
        wait_lines(cluster, job, 1, 1)
        pids(cluster, job)
        cluster.workers[0].kill()
        notice.give()
        cluster.start_worker(0)
        assert cluster.wait_state(job, "queued")["reason"] == "preempted"


@pytest.mark.parametrize("options, says", [
    (["--preempt-command", "no-such-command-at-all"], "--preempt-command cannot be run: no-such-command-at-all"),
    (["--preempt-command", "exec sleep 600"], "--preempt-command takes longer than 5 s: exec sleep 600"),
    (["--preempt-url", "http://127.0.0.1:1/x"], "cannot ask whether this machine goes away"),
    (["--preempt-url", "ftp://x/"], "is not an http or https url"),
])
def test_what_cannot_be_asked_is_said(tmp_path, options, says):
    with Cluster(tmp_path, worker_options=[*options, "--preempt-interval", "100ms"]) as cluster:
        assert cluster.wait_final(cluster.submit(job_of("true")))["state"] == "succeeded"
        wait_until(lambda: says in cluster.workers[0].text(), what="it is said")
        assert worker(cluster)["state"] == "up"
        assert cluster.workers[0].text().count(says) == 1, "once"
