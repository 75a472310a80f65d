"""Dependencies through real processes: nothing starts before what it waits for has ended, whoever is killed."""
import json
import os
import signal
import subprocess

import pytest
import redis as redis_py
import yaml

import fsck
from cluster import ApiError, Cluster
from harness import BUILD, ROOT, events_each, wait_until
from test_redis_cli import META

with open(ROOT / "tests/specs/bad_graphs.yaml", encoding="utf-8") as f:
    BAD = yaml.safe_load(f)


def submit(cluster, *jobs, queue="default", key=None):
    headers = {"Idempotency-Key": key} if key else None
    return cluster.api("POST", f"/api/v1/jobs?queue={queue}", {"jobs": list(jobs)}, headers)["ids"]


def marks(folder, name):
    """A command that notes when it begins and ends; a second beginning is seen."""
    return f"echo begin {name} >> {folder}/marks; {{}} echo end {name} >> {folder}/marks"


def job(folder, name, *after, does="", **more):
    spec = {"name": name, "command": marks(folder, name).format(does), **more}
    return {**spec, "after": list(after)} if after else spec


def check_order(folder, jobs):
    """Every job that began did so after all its parents had ended."""
    lines = [line.split() for line in (folder / "marks").read_text().splitlines()]
    ended = set()
    parents = {j["name"]: list(j.get("after", [])) for j in jobs}
    for what, name in lines:
        if what == "begin":
            assert set(parents[name]) <= ended, f"{name} began before {set(parents[name]) - ended}"
        else:
            ended.add(name)
    return lines


def test_a_diamond(cluster, tmp_path):
    jobs = [job(tmp_path, "join", "left", "right"), job(tmp_path, "left", "start"), job(tmp_path, "right", "start"),
            job(tmp_path, "start", does="sleep 0.3; echo $STOKER_PARENTS;")]
    ids = submit(cluster, *jobs)
    assert cluster.show(ids[0])["why"] == f"waits for {ids[1]} (waiting) and {ids[2]} (waiting)"
    for id in ids:
        assert cluster.wait_final(id)["state"] == "succeeded"
    lines = check_order(tmp_path, jobs)
    assert len(lines) == 8


@pytest.mark.parametrize("policy", ["cancel", "hold"])
def test_a_failing_parent(cluster, tmp_path, policy):
    jobs = [job(tmp_path, "bad", does="exit 65;"), job(tmp_path, "child", "bad", on_unmet=policy),
            job(tmp_path, "grandchild", "child"), job(tmp_path, "cleanup", after={"bad": "finished"})]
    bad, child, grandchild, cleanup = submit(cluster, *jobs)
    assert cluster.wait_final(bad)["state"] == "failed"
    assert cluster.wait_final(cleanup)["state"] == "succeeded"
    if policy == "cancel":
        assert cluster.wait_final(grandchild)["state"] == "cancelled"
        said = cluster.cli("show", child).stdout
        assert f"cancelled before it began: {bad}, which it needs, failed" in said
        return
    said = cluster.cli("show", child).stdout
    assert f"waiting: held: {bad}, which it needs, failed" in said
    assert cluster.job(grandchild)["state"] == "waiting"
    cluster.cli("retry", child)
    assert cluster.wait_final(grandchild)["state"] == "succeeded"


def test_what_a_parent_left(cluster):
    parent = cluster.submit({"name": "prepare", "command": "echo 7 > $STOKER_CHECKPOINT_DIR/rows.txt; echo step=1"})
    child = cluster.submit({"command": "echo $STOKER_PARENTS", "after": [parent]})
    cluster.wait_final(child)
    known = json.loads(cluster.log_text(child)[0]["stdout"])[parent]
    assert (known["state"], known["condition"], known["name"]) == ("succeeded", "succeeded", "prepare")
    newest = cluster.job(parent).get("checkpoint")
    assert known.get("checkpoint") == newest


SAVED = """echo '{"t":"checkpoint","path":"'$STOKER_CHECKPOINT_DIR/a.bin'","step":1}' >&$STOKER_CONTROL_FD; """


def test_across_queues(tmp_path):
    with Cluster(tmp_path, workers=0, schedulers=2) as cluster:
        cluster.api("POST", "/api/v1/queues", {"queue": "gpu"})
        for i, queue in enumerate(("default", "gpu")):
            cluster.start_worker(i, ["--queues", queue])
        gate = tmp_path / "gate"
        leaves = "echo x > $STOKER_CHECKPOINT_DIR/a.bin; " + SAVED + "echo '{\"loss\":[]}' > $STOKER_RESULT"
        first = cluster.submit({"command": f"until [ -e {gate} ]; do sleep 0.02; done; {leaves}", "name": "far"},
                               queue="gpu")
        second = cluster.submit({"command": "echo \"$STOKER_PARENTS\"", "after": [first]})
        third = cluster.submit({"command": "true", "after": {second: "finished"}}, queue="gpu")
        lost = cluster.submit({"command": "true", "after": {"gpu-99": "finished"}})
        assert cluster.wait_final(lost)["error"] == "gpu-99, which it needs, is not there"
        wait_until(lambda: cluster.show(first).get("children") == [second], what="the parent knows of its child")
        assert cluster.show(second)["why"] == f"waits for {first}"
        gate.touch()
        assert cluster.wait_final(second)["state"] == "succeeded"
        assert cluster.wait_final(third)["state"] == "succeeded"
        known, = json.loads(cluster.cli("logs", second).stdout).values()
        assert known.pop("checkpoint_uri").startswith("file:///")
        assert known == {"condition": "succeeded", "state": "succeeded", "name": "far", "checkpoint": "1-1",
                         "result": {"loss": []}}
        late = cluster.submit({"command": "echo \"$STOKER_PARENTS\"", "after": [first]})  # it has ended by now
        cluster.wait_final(late)
        assert json.loads(cluster.cli("logs", late).stdout)[first]["result"] == {"loss": []}
        assert fsck.check(cluster.redis.client()) == []


def test_a_large_graph_through_the_command(cluster, tmp_path):
    jobs = [{"name": f"j{i}", "command": "true", "after": [f"j{i + 50}"] if i < 250 else []} for i in range(300)]
    (tmp_path / "graph.yaml").write_text(yaml.safe_dump({"jobs": jobs}))
    ids = cluster.cli("submit", tmp_path / "graph.yaml", "--key", "once").stdout.split()
    assert cluster.cli("submit", tmp_path / "graph.yaml", "--key", "once").stdout.split() == ids
    assert len(set(ids)) == 300 and cluster.job(ids[7])["name"] == "j7"
    assert cluster.wait_final(ids[0])["state"] == "succeeded"
    assert {cluster.job(id)["state"] for id in ids} == {"succeeded"} or \
        wait_until(lambda: cluster.redis.client().zcard("stoker:{default}:jobs:succeeded") == 300, what="all 300")


def test_a_batch_from_its_first_job_to_what_follows(cluster, tmp_path):
    (tmp_path / "batch.yaml").write_text(yaml.safe_dump({
        "batch": "sizes", "then": {"name": "report", "command": "echo all done"},
        "jobs": [{"name": f"w{w}", "command": f"echo step=1 loss={loss} acc={w}"}
                 for w, loss in ((1, 0.5), (2, 0.1), (3, 0.3))]}))
    answer = json.loads(cluster.cli("submit", "--json", tmp_path / "batch.yaml").stdout)
    assert answer["batch"] == "sizes" and len(answer["ids"]) == 3

    def known():
        return cluster.api("GET", "/api/v1/batches")["batches"][0]
    wait_until(lambda: known().get("then_job"), what="the job that follows")
    assert cluster.wait_final(known()["then_job"])["name"] == "report"
    assert (known()["id"], known()["queue"], known()["succeeded"]) == ("sizes", "default", "3")
    said = cluster.cli("batches").stdout
    assert "sizes" in said and f"then {known()['then_job']}" in said

    def ranked(metric):
        lines = cluster.cli("ls", "--batch", "sizes", "--rank", metric).stdout.splitlines()
        assert metric.strip("-").upper() in lines[0].upper()
        return [line.split()[1] for line in lines[1:]]
    assert ranked("loss") == ["w2", "w3", "w1"] and ranked("-acc") == ["w3", "w2", "w1"]
    assert len(cluster.cli("ls", "--batch", "sizes", "--state", "succeeded", "-n", "2").stdout.splitlines()) == 3
    assert "batch         sizes" in cluster.cli("show", answer["ids"][0]).stdout
    refused = cluster.cli("ls", "--batch", "none", check=False)
    assert refused.returncode == 3 and "no queue has a batch none" in refused.stderr
    cluster.api("POST", "/api/v1/batches", {"batch": "later", "size": 2})
    assert "0 of 2" in cluster.cli("batches").stdout


def test_killed_in_the_middle(tmp_path):
    """Twenty layers of ten: worker, scheduler and Redis are killed while it runs. Every job ends once, in order."""
    with Cluster(tmp_path, workers=2, schedulers=2, worker_options=["--cpus", "4"]) as cluster:
        jobs = [job(tmp_path, f"j{layer}.{i}",
                    *([f"j{layer - 1}.{i}", f"j{layer - 1}.{(i + 1) % 10}"] if layer else []),
                    does="sleep 0.05;", lease="1s", retry={"max_lost": 100})
                for layer in range(20) for i in range(10)]
        ids = submit(cluster, *jobs)
        client = cluster.redis.client()

        def done():
            return client.zcard("stoker:{default}:jobs:succeeded")
        for at, kill in [(20, lambda: cluster.workers[0].kill()), (40, cluster.schedulers[1].kill),
                         (60, lambda: cluster.kill_everything(1)), (90, cluster.redis.kill)]:
            wait_until(lambda at=at: done() >= at, 60, f"{at} jobs have ended")
            kill()
            if kill == cluster.redis.kill:
                cluster.redis.start()
            else:
                cluster.start_worker(0) if not cluster.workers[0].alive() else None
                cluster.start_worker(1) if not cluster.workers[1].alive() else None
            if not cluster.schedulers[1].alive():
                cluster.start_scheduler(1)
        wait_until(lambda: done() == 200, 120, "all jobs have succeeded", every=0.1)
        events = events_each(client.xrange("stoker:{default}:events"))
        ends = [e["job"] for e in events if e["event"] == "job.succeeded"]
        assert sorted(ends) == sorted(ids), "every job ends exactly once"
        check_order(tmp_path, jobs)
        wait_until(lambda: fsck.check(client) == [], what=f"all invariants hold: {fsck.check(client)}")


# ---- bad graphs ----

def by_fcall(cluster, text):
    try:
        cluster.redis.client().fcall("stoker_graph", 1, META, text)
    except redis_py.ResponseError as error:
        return str(error).removeprefix("INVALID ").partition(" | ")[0]
    return None


def by_http(cluster, text):
    try:
        cluster.api("POST", "/api/v1/jobs?queue=default", json.loads(text))
    except ApiError as error:
        assert error.status == 400
        return json.loads(error.body)["detail"]
    return None


def by_cli(cluster, text):
    (cluster.folder / "bad.yaml").write_text(text)
    done = subprocess.run([BUILD / "stoker", "submit", "--queue", "default", "bad.yaml"], cwd=cluster.folder,
                          capture_output=True, text=True, timeout=20,
                          env={**os.environ, "STOKER_URL": f"unix:{cluster.socket_of()}"})
    return done.stderr.splitlines()[0].removeprefix("stoker: ") if done.returncode == 2 else None


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("idle"), workers=0) as one:
        one.submit({"command": "true"})
        yield one


DOORS = {"fcall": by_fcall, "http": by_http, "cli": by_cli}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", BAD, ids=lambda case: case["says"][:40])
def test_bad_graphs(idle, door, case):
    expected = (case.get(door) or case["says"]).removeprefix("bad.yaml:1: ")
    said = DOORS[door](idle, json.dumps(case["graph"]))
    assert said is not None, "it was accepted"
    assert said.removeprefix("bad.yaml:1: ").removeprefix("line 1: ") == expected
    assert idle.redis.client().hget(META, "next") == "1"


def test_kill_of_a_submit_that_stages(idle):
    """The request is cut in the middle: nothing of it is seen, and the same key makes it whole."""
    jobs = [{"name": f"k{i}", "command": "true"} for i in range(3000)]
    process = subprocess.Popen([BUILD / "stoker", "submit", "--key", "cut", "-"], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "STOKER_URL": f"unix:{idle.socket_of()}"})
    process.stdin.write(json.dumps({"jobs": jobs}).encode())
    process.stdin.close()
    client = idle.redis.client()
    wait_until(lambda: client.keys("stoker:{default}:stage:*"), what="a stage")
    idle.schedulers[0].signal(signal.SIGKILL)
    idle.schedulers[0].popen.wait()
    process.wait()
    idle.start_scheduler(0)
    ids = submit(idle, *jobs, key="cut")
    assert len(set(ids)) == 3000 and int(client.hget(META, "active")) == 3001


def test_the_example_hands_results_on(cluster):
    ids = cluster.cli("submit", ROOT / "examples/graph.yaml").stdout.split()
    for id in ids:
        assert cluster.wait_final(id)["state"] == "succeeded"
    printed = "".join(entry.get("stdout", "") for entry in cluster.log_text(ids[3]))
    assert {p["name"]: p["result"] for p in json.loads(printed).values()} == {
        "first": {"loss": 0.4}, "second": {"loss": 0.3}}
