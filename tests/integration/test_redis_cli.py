"""Everything by hand: redis-cli is enough to submit, look, follow, flag, stop, and even to be a worker."""
import json
import subprocess

import pytest

from cluster import Cluster
from harness import Process, wait_until

META = "stoker:{default}:meta"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("hand"), worker_options=["--cpus", 4]) as c:
        yield c


@pytest.fixture
def cli(cluster):
    """What redis-cli prints into a pipe: one value a line, without quotes."""
    def call(*words):
        done = subprocess.run(["redis-cli", "-s", cluster.redis.socket, *[str(w) for w in words]], capture_output=True,
                              text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout.rstrip("\n")
    return call


def fields(text):
    words = text.split("\n")
    return dict(zip(words[::2], words[1::2]))


def submit(cli, **spec):
    return cli("FCALL", "stoker_submit", 1, META, json.dumps(spec))


def number(job):
    return job.rsplit("-", 1)[1]


def job_of(cli, job):
    return fields(cli("HGETALL", "stoker:{default}:job:" + number(job)))


def wait_state(cli, job, state):
    return wait_until(lambda: job_of(cli, job)["state"] == state, what=f"{job} is {state}")


def test_submit_and_look(cli):
    job = submit(cli, name="mnist", command="echo one; echo two; echo step=1 loss=0.5")
    assert job.startswith("default-")
    wait_state(cli, job, "succeeded")
    assert job_of(cli, job)["name"] == "mnist"
    log = cli("XRANGE", "stoker:{default}:log:" + number(job), "-", "+").split("\n")
    assert log[0].startswith("1-1") and [line for line in log if line in ("one", "two")] == ["one", "two"]
    point = cli("XRANGE", "stoker:{default}:metrics:" + number(job), "-", "+").split("\n")
    assert point[0] == "1-1" and fields("\n".join(point[1:])).items() >= {"step": "1", "loss": "0.5"}.items()
    shown = json.loads(cli("FCALL_RO", "stoker_show", 1, META, number(job)))
    assert shown["id"] == job and shown["spec"]["name"] == "mnist"
    assert json.loads(cli("FCALL_RO", "stoker_list", 1, META, "succeeded", 1))["jobs"][0]["id"] == job
    assert json.loads(cli("FCALL_RO", "stoker_stats", 1, META))["succeeded"] >= 1


def test_a_mistake_is_explained(cli):
    said = submit(cli, command="true", resources={"gpus": "two"})
    assert said.strip() == 'INVALID resources.gpus: expected an integer from 0 to 1024, got "two"'
    assert cli("FCALL", "stoker_cancel", 1, META, 99999).startswith("NOTFOUND no job default-99999")


def test_following_live(cluster, cli, tmp_path):
    """The entries that are published are those of the streams."""
    gate = tmp_path / "gate"
    steps = "for i in 1 2 3; do echo step=$i loss=0.$i; done"
    job = submit(cli, command=f"until [ -e {gate} ]; do sleep 0.02; done; {steps}")
    names = [f"stoker:{{default}}:{kind}:{number(job)}" for kind in ("log", "metrics")]
    listener = Process(["redis-cli", "-s", cluster.redis.socket, "SUBSCRIBE", *names], tmp_path / "heard")
    try:
        wait_until(lambda: listener.text().count("subscribe") == 2, what="both channels")
        gate.touch()
        wait_state(cli, job, "succeeded")
        wait_until(lambda: listener.text().count('"loss":') == 3, what="three points")
    finally:
        listener.kill()
    words = listener.text().split("\n")
    heard = {name: [json.loads(words[i + 1]) for i, word in enumerate(words[:-1]) if word == name and
                    words[i - 1] == "message"] for name in names}
    for name in names:
        stream = cluster.redis.client().xrange(name)
        assert heard[name] == [{"id": id, **entry} for id, entry in stream], name


def test_flag_and_stop(cli):
    job = submit(cli, command="echo step=5 loss=1; exec sleep 600", recovery={"backoff": "0s"})
    wait_until(lambda: job_of(cli, job).get("step") == "5", what="its step")
    assert cli("XPENDING", "stoker:{default}:ready:cpu1:5:-", "workers").split("\n")[0] != "0"
    assert cli("FCALL", "stoker_corrupt", 1, META, number(job), 1, "bad data") == "running"
    wait_until(lambda: job_of(cli, job).get("attempt") == "2", what="the second attempt")
    wait_state(cli, job, "running")
    assert cli("FCALL", "stoker_cancel", 1, META, number(job), "me", "enough") == "running"
    wait_state(cli, job, "cancelled")
    again = cli("FCALL", "stoker_retry", 1, META, number(job), job_of(cli, job)["attempt"])
    assert job_of(cli, again)["retry_of"] == number(job)
    cli("FCALL", "stoker_cancel", 1, META, number(again))
    wait_state(cli, again, "cancelled")


def test_a_whole_worker_by_hand(cli):
    """As docs/protocol.md shows it; the real worker has no such label."""
    job = submit(cli, command="true", resources={"cpus": 1, "labels": {"by": "hand"}})
    assert cli("FCALL", "stoker_worker", 1, META, "me", '{"host":"here","state":"up"}').split("\n") == ["0", "0", "0"]
    claim = fields(cli("FCALL", "stoker_claim", 1, META, "me", '{"cpus":1,"labels":{"by":"hand"}}', 1, 1))
    assert claim["id"] == job
    mine = (claim["n"], claim["uid"], claim["token"])
    assert cli("FCALL", "stoker_renew", 1, META, *mine, "phase", "running").split("\n")[0] == "ok"
    assert cli("FCALL", "stoker_log", 1, META, *mine, 1, 1795329306000, "stdout", 2, "step 1\nstep 2") == "ok\n3"
    assert cli("FCALL", "stoker_metric", 1, META, *mine, 1, '{"step":1,"loss":2.5}') == "ok\n2"
    summary = json.dumps({"step": 1, "size": 1, "files": 1, "sha256": "0" * 64, "uri": "file:///nowhere"})
    assert cli("FCALL", "stoker_checkpoint", 1, META, *mine, "1-1", summary).split("\n")[0] == "ok"
    assert cli("FCALL", "stoker_finish", 1, META, *mine, "succeeded", '{"exit":0}') == "ok\nsucceeded"
    assert job_of(cli, job)["state"] == "succeeded"
    stale = cli("FCALL", "stoker_finish", 1, META, claim["n"], claim["uid"], "1", "error", "{}")
    assert stale.split("\n")[0] == "stale"
    assert cli("FCALL", "stoker_worker", 1, META, "me", '{"state":"gone"}')
