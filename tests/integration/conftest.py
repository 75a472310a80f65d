import pytest

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
