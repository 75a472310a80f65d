"""Sweeps through real processes: one spec, many jobs, ranked; and what happens when a submit is cut in the middle."""
import json
import os
import signal
import subprocess

import pytest
import yaml
from redis.exceptions import ResponseError

import fsck
from cluster import ApiError, Cluster
from harness import BUILD, ROOT, wait_until

META = "stoker:{default}:meta"
with open(ROOT / "tests/specs/bad_sweeps.yaml", encoding="utf-8") as f:
    BAD = yaml.safe_load(f)


def write(folder, document):
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def members(cluster, batch, **query):
    more = "".join(f"&{k}={v}" for k, v in query.items())
    return cluster.api("GET", f"/api/v1/jobs?batch={batch}&limit=10000{more}")["jobs"]


def test_a_grid_is_run_and_ranked(cluster, tmp_path):
    path = write(tmp_path, {
        "name": "fit", "batch": "widths", "command": "echo step=1 loss=$(awk \"BEGIN { print $lr * {{width}} }\")",
        "sweep": {"grid": {"lr": [0.5, 0.1, 0.2], "width": [2, 3]}, "then": {"command": "true", "name": "best"}}})
    shown = cluster.cli("submit", "--dry-run", path)
    assert "6 jobs; nothing was submitted" in shown.stderr and "lr=0.1 width=3" in shown.stdout
    assert cluster.redis.client().hget(META, "next") == "0"
    ids = cluster.cli("submit", path).stdout.split()
    assert len(ids) == 6

    def followed():
        return [b for b in cluster.api("GET", "/api/v1/batches")["batches"] if "then_job" in b]
    batch = wait_until(followed, what="all are done, and the job that follows is there")[0]
    assert (batch["id"], batch["succeeded"], batch["size"]) == ("widths", "6", "6")
    ranked = cluster.cli("ls", "--batch", "widths", "--rank", "loss", "-n", "3").stdout.splitlines()
    assert [line.split()[2:4] for line in ranked[1:]] == [["lr=0.1", "width=2"], ["lr=0.1", "width=3"],
                                                         ["lr=0.2", "width=2"]]


def test_typed_parameters_reach_the_spec(cluster, tmp_path):
    path = write(tmp_path, {"command": ["sh", "-c", "echo $a {{a}}"], "resources": {"cpus": "{{a}}"},
                            "sweep": {"list": [{"a": 1}, {"a": 2}]}})
    ids = cluster.cli("submit", path).stdout.split()
    assert [cluster.wait_final(id)["class"] for id in ids] == ["cpu1", "cpu2"]
    assert cluster.log_text(ids[1])[0]["stdout"] == "2 2"


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("idle"), workers=0) as one:
        yield one
        assert fsck.check(one.redis.client()) == []


def test_the_same_key_makes_it_once(idle, tmp_path):
    path = write(tmp_path, {"command": "x", "sweep": {"random": {"a": {"min": 0, "max": 1}}, "count": 250, "seed": 7}})
    first = idle.cli("submit", "--key", "one", path).stdout.split()
    assert idle.cli("submit", "--key", "one", path).stdout.split() == first and len(set(first)) == 250
    other = json.loads(idle.cli("submit", "--json", path).stdout)
    assert not set(other["ids"]) & set(first)
    names = [job["name"] for job in members(idle, other["batch"])]
    same = [job["name"] for job in members(idle, idle.job(first[0])["batch"])]
    assert names == same, "the same seed, the same values"


def test_killed_in_the_middle_it_goes_on(idle, tmp_path):
    path = write(tmp_path, {"batch": "cut", "command": "x", "sweep": {"random": {"a": [1, 2]}, "count": 5000}})
    client = idle.redis.client()
    process = subprocess.Popen([BUILD / "stoker", "submit", "--key", "cut", path], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL,
                               env={**os.environ, "STOKER_URL": f"unix:{idle.socket_of()}"})
    wait_until(lambda: client.zcard("stoker:{default}:members:cut"), what="some are in", every=0.001)
    idle.schedulers[0].signal(signal.SIGKILL)
    idle.schedulers[0].popen.wait()
    process.kill()
    process.wait()
    there = client.zcard("stoker:{default}:members:cut")
    assert there < 5000
    idle.start_scheduler(0)
    ids = idle.cli("submit", "--key", "cut", path).stdout.split()
    assert len(set(ids)) == 5000 == client.zcard("stoker:{default}:members:cut")


def test_what_is_refused_in_the_middle_can_go_on(idle, tmp_path):
    client = idle.redis.client()
    path = write(tmp_path, {"batch": "full", "command": "x", "sweep": {"random": {"a": [1, 2]}, "count": 150}})
    bound = int(client.hget(META, "active")) + 120
    client.hset(META, "max_jobs", bound)
    refused = idle.cli("submit", path, check=False)
    assert refused.returncode != 0 and "job 121 of the sweep" in refused.stderr
    key = refused.stderr.split("--key ")[1].split()[0]
    assert "of 150 jobs of batch full are in; --key " in refused.stderr
    client.hset(META, "max_jobs", 1000000)
    assert len(set(idle.cli("submit", "--key", key, path).stdout.split())) == 150
    assert client.zcard("stoker:{default}:members:full") == 150


# ---- bad sweeps ----

def by_http(cluster, document):
    try:
        cluster.api("POST", "/api/v1/jobs", document)
    except ApiError as error:
        assert error.status == 400
        return json.loads(error.body)["detail"]
    return None


def by_cli(cluster, document):
    (cluster.folder / "bad.yaml").write_text(json.dumps(document))
    done = cluster.cli("submit", cluster.folder / "bad.yaml", check=False)
    prefix = f"stoker: {cluster.folder}/bad.yaml:1: "
    return done.stderr.splitlines()[0].removeprefix(prefix) if done.returncode == 2 else None


def by_fcall(cluster, document):
    client = cluster.redis.client()
    try:
        batch = client.fcall("stoker_sweep", 1, META, json.dumps(document))
    except ResponseError as error:
        return str(error).removeprefix("INVALID ").split(" | ")[0]
    events = "stoker:{default}:events"
    refused = wait_until(lambda: [e["reason"] for _, e in client.xrevrange(events, count=20)
                                  if e["event"] == "sweep.refused" and e["batch"] == batch], what="it is said why")
    return refused[0]


DOORS = [(door, case) for case in BAD for door in (by_http, by_cli)] + [(by_fcall, case) for case in BAD[::5]]


@pytest.mark.parametrize("door, case", DOORS, ids=[f"{door.__name__}-{case['says'][:40]}" for door, case in DOORS])
def test_bad_sweeps(idle, door, case):
    """By FCALL a scheduler says it, with the same reader and within a second: some of them stand for all."""
    before = idle.redis.client().hget(META, "next")
    said = door(idle, case.get("spec") or {"command": "x", "sweep": case["sweep"]})
    assert said is not None, "it was accepted"
    assert said.removeprefix("line 1: ").startswith(case["says"])
    assert idle.redis.client().hget(META, "next") == before


def test_asked_for_by_a_function(cluster):
    """Plain redis-cli is enough: a scheduler expands it."""
    spec = json.dumps({"name": "fit", "command": "echo step=1 loss={{lr}}", "sweep": {"grid": {"lr": [0.5, 0.1]}}})
    fcall = ["redis-cli", "-s", cluster.redis.socket, "FCALL", "stoker_sweep", "1", META, spec, "once"]
    batch, again = (subprocess.run(fcall, capture_output=True, text=True, check=True).stdout.strip() for _ in "12")
    assert batch == again and batch.startswith("sweep-")
    found = wait_until(lambda: (lambda jobs: len(jobs) == 2 and all(j["state"] == "succeeded" for j in jobs) and jobs)(
        members(cluster, batch, rank="loss")), what="both have run")
    assert [float(job["rank"]) for job in found] == [0.1, 0.5]
    assert subprocess.run(fcall, capture_output=True, text=True, check=True).stdout.strip() == batch
    assert len(members(cluster, batch)) == 2


def test_a_scheduler_dies_while_it_expands_what_was_asked_for(idle):
    client = idle.redis.client()
    spec = json.dumps({"batch": "died", "command": "x", "sweep": {"random": {"a": [1, 2]}, "count": 5000}})
    assert client.fcall("stoker_sweep", 1, META, spec) == "died"
    wait_until(lambda: client.zcard("stoker:{default}:members:died"), what="some are in", every=0.001)
    idle.schedulers[0].signal(signal.SIGKILL)
    idle.schedulers[0].popen.wait()
    assert 0 < client.zcard("stoker:{default}:members:died") < 5000
    letter, = client.zrange("stoker:{default}:outbox", 0, -1)
    client.zadd("stoker:{default}:outbox", {letter: 1})  # half a minute has passed
    idle.start_scheduler(0)
    wait_until(lambda: client.zcard("stoker:{default}:members:died") == 5000, timeout=30, what="all are in, once")
    wait_until(lambda: client.zcard("stoker:{default}:outbox") == 0, what="that is known")
    assert client.hget("stoker:{default}:batch:died", "total") == "5000"


def test_the_example_is_ranked(cluster):
    for id in cluster.cli("submit", ROOT / "examples/sweep.yaml").stdout.split():
        assert cluster.wait_final(id)["state"] == "succeeded"
    ranked = cluster.cli("ls", "--batch", "tune", "--rank", "loss").stdout.splitlines()
    assert ranked[1].split()[1:4] == ["tune", "lr=0.1", "width=64"] and len(ranked) == 7
