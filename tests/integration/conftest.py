import zlib

import pytest

import fsck
from cluster import Cluster
from harness import RedisServer
from s3 import Faults, S3Server, Store
from scheduler_harness import Scheduler
from swift_server import SwiftServer


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


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory):
    server = SwiftServer(tmp_path_factory.mktemp("swift"))
    yield server
    server.stop()


def s3_url(request):
    """Each test has a prefix of its own in the one bucket."""
    return f"s3://runs/{zlib.crc32(request.node.nodeid.encode()):x}"


@pytest.fixture
def store(s3_server, request):
    return Store(s3_server.env, s3_url(request))


@pytest.fixture
def faulty(s3_server, request):
    faults = Faults(s3_server)
    yield faults, Store(faults.env, s3_url(request))
    faults.stop()
