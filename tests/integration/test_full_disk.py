"""The disk of a worker's state folder is full: what is cached gives way, then nothing new is claimed, and what runs
goes on."""
import pytest

from cluster import Cluster, log_lines
from disk import small_disk
from harness import wait_until
from worker_harness import job_of, wait_lines


@pytest.fixture
def tight(tmp_path):
    """The worker alone has the small disk: 16 MiB, of which a twentieth must be free."""
    with small_disk(tmp_path / "worker-0", "16m") as disk:
        with Cluster(tmp_path, workers=0) as cluster:
            (tmp_path / "cache").mkdir()
            yield cluster, disk


def worker(cluster):
    return next((w for w in cluster.api("GET", "/api/v1/workers")["workers"] if w["id"] == "w0"), {"state": "none"})


def wait_worker(cluster, state):
    return wait_until(lambda: (lambda w: w if w["state"] == state else None)(worker(cluster)), what=f"w0 is {state}")


def chatty(gate, **more):
    """Lines of a kilobyte: the last block of the spool takes few of them."""
    return job_of(f"i=0; while [ ! -e {gate} ]; do i=$((i+1)); printf 'line %d %01000d\\n' $i 0; sleep 0.02; done; "
                  "echo end", **more)


@pytest.mark.parametrize("on_partition", ["continue", "stop"])
def test_what_runs_goes_on_and_nothing_new_begins(tight, tmp_path, on_partition):
    cluster, disk = tight
    gate = tmp_path / "gate"
    cluster.start_worker(0, ["--cpus", "2"])
    job = cluster.submit(chatty(gate, lease="1s", on_partition=on_partition, retry={"max_attempts": 1, "max_lost": 1}))
    wait_lines(cluster, job, 1, 3)
    disk.fill()
    why = wait_worker(cluster, "draining")["why"]
    assert why.startswith(f"disk full: {cluster.state_dir()} has ") and "(--disk-least)" in why
    late = cluster.submit(job_of("true"))
    assert cluster.show(late)["why"] == f"the only worker of queue default is draining: {why}"
    # Its lease is renewed, and the worker sees that, for longer than a lease.
    full_ms = int(cluster.job(job)["renewed_ms"])
    wait_until(lambda: int(cluster.job(job).get("renewed_ms", 0)) > full_ms + 3000, what="it is renewed on and on")
    wait_until(lambda: "output of a run is lost" in cluster.workers[0].text(), what="lines are left out")
    assert cluster.job(job)["state"] == "running" and cluster.job(late)["state"] == "queued"

    (disk.path / "filler").unlink()
    wait_worker(cluster, "up")
    assert cluster.wait_final(late)["state"] == "succeeded"
    gate.touch()
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "1")
    entries = cluster.log_text(job)
    assert any("gap" in entry for entry in entries) and log_lines(entries, 1)[-1] == "end"


def test_cached_code_gives_way_first(tight):
    cluster, disk = tight
    code = disk.path / "code"
    old, used = "a" * 64, "b" * 64
    for name in (old, used):
        (code / name).mkdir(parents=True)
        (code / name / "weights").write_bytes(bytes(2 << 20))
        (code / f"{name}.lock").write_text(f"{2 << 20} 1\n")
    cluster.start_worker(0)
    wait_worker(cluster, "up")
    disk.fill()
    wait_until(lambda: not all((code / name).exists() for name in (old, used)), what="what is unused goes")
    assert cluster.wait_final(cluster.submit(job_of("true")))["state"] == "succeeded"
    assert worker(cluster)["state"] == "up"
    left = [name for name in (old, used) if (code / name).exists()]
    assert len(left) == 1 and (code / left[0] / "weights").stat().st_size == 2 << 20, "no more than is needed"
