"""Where a queue may live: under another prefix, beside others, on a cluster node, on a replica."""
import json
import socket

import pytest
import redis as redis_py

import fsck
from conftest import Queue, snapshot
from harness import BUILD, RedisServer, wait_until


def run_one(q):
    claim = q.start()
    q.commit(claim, 1, 1)
    q.lose(1)
    q.renew(*claim.fence, "step", "3")
    assert q.end(claim, "succeeded") == ["ok", "succeeded"]


def test_the_prefix_is_free(redis):
    q = Queue(redis, "gpu")
    q.base = "my/app:{gpu}:"
    q.create("i")
    run_one(q)
    assert all(key.startswith("my/app:{gpu}:") for key in redis.keys("*"))
    assert fsck.check(redis, "my/app") == []


def test_queues_are_apart(q, redis):
    other = Queue(redis, "gpu")
    other.create("installation1")
    q.add()
    before = {key: redis.dump(key) for key in redis.keys("*{default}*")}
    run_one(other)
    assert {key: redis.dump(key) for key in redis.keys("*{default}*")} == before
    assert json.loads(other.list("all", 9))["jobs"][0]["id"] == "gpu-1"


def test_the_library_may_be_loaded_again_under_way(q, redis):
    claim = q.start()
    redis.function_load((BUILD / "stoker.lua").read_text(), replace=True)
    assert q.renew(*claim.fence) == ["ok", ""]


def free_port():
    """One whose bus port, 10000 higher, is a port, too."""
    with socket.socket() as s:
        while True:
            s.bind(("127.0.0.1", 0))
            if s.getsockname()[1] < 55000:
                return s.getsockname()[1]
            s.close()
            s = socket.socket()


@pytest.fixture
def cluster(tmp_path):
    server = RedisServer(tmp_path, "--cluster-enabled", "yes", "--bind", "127.0.0.1", "--port", str(free_port()))
    try:
        client = server.client()
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")),
                   what="the cluster is up")
        client.function_load((BUILD / "stoker.lua").read_text())
        yield client
    finally:
        server.stop()


def test_on_a_cluster_node(cluster):
    q = Queue(cluster)
    q.create("installation1")
    run_one(q)
    q.add(delay="1h")
    q.hurry(2)
    q.prune(), q.show(1), q.stats()
    assert fsck.check(cluster) == []


def test_a_replica_answers_the_reads(q, redis, tmp_path):
    q.start()
    replica = RedisServer(tmp_path, "--appendonly", "no")
    try:
        client = replica.client()
        # the replica comes in over TCP: the shared server listens on its socket only
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        redis.config_set("bind", "127.0.0.1")
        redis.config_set("port", port)
        client.replicaof("127.0.0.1", port)
        wait_until(lambda: client.info("replication")["master_link_status"] == "up" and client.exists(q.key("job:1")),
                   what="the replica has the job")
        shown = client.execute_command("FCALL_RO", "stoker_show", 1, q.key("meta"), 1)
        assert json.loads(shown)["job"]["state"] == "running"
        with pytest.raises(redis_py.exceptions.ReadOnlyError):
            Queue(client).add()
        assert snapshot(client, client.keys("*")) == q.snapshot()
    finally:
        redis.config_set("port", 0)
        replica.stop()
