"""The clock of a worker's machine is put wrong under a run: what counts is counted by a clock that nobody turns."""
import pytest

from clock import Clock
from cluster import Cluster
from harness import Process, wait_until
from worker_harness import events, is_alive, job_of, pids


class Turned(Cluster):
    """Its workers live by a clock of their own."""

    def __init__(self, folder, **options):
        self.clock = Clock(folder / "clock")
        super().__init__(folder, **options)

    def launch(self, kind, _i, args, log):
        return Process(args, log, env=self.clock.environment if kind == "worker" else {})


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_turned_ends_no_lease(tmp_path, seconds):
    with Turned(tmp_path) as cluster:
        job = cluster.submit(job_of(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done", on_partition="stop"))
        _, program = pids(cluster, job)
        cluster.clock.turn(seconds)
        long_ms = cluster.redis.client().time()[0] * 1000 + 5000  # more than two leases
        wait_until(lambda: int(cluster.job(job).get("renewed_ms", 0)) > long_ms or events(cluster, job, "job.lost"),
                   what="the lease is renewed on and on")
        assert events(cluster, job, "job.lost") == [] and is_alive(program)
        (tmp_path / "go").touch()
        done = cluster.wait_final(job)
        assert (done["state"], done["attempt"]) == ("succeeded", "1")
