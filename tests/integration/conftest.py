import pytest

import fsck
from cluster import Cluster
from harness import RedisServer
from scheduler_harness import Scheduler


@pytest.fixture
def redis(tmp_path):
    server = RedisServer(tmp_path / "redis")
    yield server
    server.stop()


@pytest.fixture
def scheduler(tmp_path, redis):
    s = Scheduler(tmp_path, redis.url)
    yield s
    s.stop()


@pytest.fixture
def cluster(tmp_path):
    """One worker with room for four programs and two GPUs; nothing may be wrong in Redis afterwards."""
    with Cluster(tmp_path, worker_options=["--cpus", "4", "--gpus", "2"]) as one:
        yield one
        assert fsck.check(one.redis.client()) == []
