"""Redis refuses what a runner says, for a while, and in every way: what can be said again is, and nothing is lost."""
import pytest

import fsck
from cluster import Cluster
from harness import wait_until
from worker_harness import committed, job_of

# The function answers `test:reply` as often as `test:left` says.
REFUSES = """register('{name}', (function(real) return function(keys, args)
    if tonumber(redis.call('GET', 'test:left') or 0) > 0 then
        redis.call('DECR', 'test:left')
        return {{err = redis.call('GET', 'test:reply')}}
    end
    return real(keys, args)
end end)("""


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path, worker_options=["--cpus", "2", "--checkpoint-cache", "0"]) as one:
        yield one
        one.redis.client().delete("test:reply", "test:left")
        assert fsck.check(one.redis.client()) == []


def refuse(cluster, name, reply, count):
    redis = cluster.redis.client()
    about, = redis.execute_command("FUNCTION", "LIST", "LIBRARYNAME", "stoker", "WITHCODE")
    code = about[about.index("library_code") + 1]
    word = f"register('{name}', "
    assert code.count(word) == 1
    before, after = code.split(word)
    function, rest = after.split(",", 1)
    redis.execute_command("FUNCTION", "LOAD", "REPLACE",
                          before + REFUSES.format(name=name) + function + ")," + rest)
    redis.mset({"test:reply": reply, "test:left": count})


def all_refused(cluster):
    wait_until(lambda: cluster.redis.client().get("test:left") == "0", what="all of it was refused")


SAVES = """
[ -n "$STOKER_RESUME" ] && exit 0
echo 1 > save.tmp; mv save.tmp save-1.txt; echo '{"t":"checkpoint","path":"save-1.txt","step":1}' >&3
while [ ! -e %s/go ]; do sleep 0.02; done
echo '{"accuracy": 1}' > "$STOKER_RESULT"
%s
"""


@pytest.mark.parametrize("reply, count", [
    ("ERR strange", 3), ("STALE gone", 1), ("NOTFOUND gone", 1), ("INVALID no", 1)])
def test_an_end(cluster, tmp_path, reply, count):
    """It is said again, if need be without the result; an attempt that is called stale is offered back first."""
    job = cluster.submit(job_of(SAVES % (tmp_path, "exit 0"), lease="10s"))
    wait_until(lambda: committed(cluster, job), what="it has saved")
    refuse(cluster, "finish", reply, count)
    (tmp_path / "go").touch()
    all_refused(cluster)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "1")
    assert cluster.redis.client().exists("stoker:{default}:result:1") == ("INVALID" not in reply)


@pytest.mark.parametrize("reply, count", [("ERR strange", 3), ("STALE gone", 1)])
def test_a_commit(cluster, tmp_path, reply, count):
    refuse(cluster, "checkpoint", reply, count)
    job = cluster.submit(job_of(SAVES % (tmp_path, "exit 0"), lease="10s"))
    all_refused(cluster)
    wait_until(lambda: committed(cluster, job), what="it is known in the end")
    (tmp_path / "go").touch()
    assert cluster.wait_final(job)["attempt"] == "1"


@pytest.mark.parametrize("reply, count", [("ERR strange", 1), ("STALE gone", 1)])
def test_that_a_checkpoint_is_damaged(cluster, tmp_path, reply, count):
    """It is looked at again, and then told again; only then an older one is taken, or none."""
    job = cluster.submit(job_of(SAVES % (tmp_path, "exit $((STOKER_ATTEMPT == 1))"), lease="10s"))
    unit, = wait_until(lambda: list(committed(cluster, job).values()), what="it has saved")
    with open(unit["uri"].removeprefix("file://").replace("manifest.json", "data.tar"), "w") as data:
        data.write("rot")
    refuse(cluster, "reject", reply, count)
    (tmp_path / "go").touch()
    all_refused(cluster)
    done = cluster.wait_final(job)
    assert (done["state"], done["attempt"]) == ("succeeded", "2")
    assert {i: c["state"] for i, c in committed(cluster, job).items()} == {"1-1": "rejected", "2-1": "committed"}
