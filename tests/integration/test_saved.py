"""Stored checkpoints as their users have them: shown, verified, fetched, let go, begun from; and the whole store:
verified, and cleaned of what nobody needs. Over file:/// and over S3."""
import hashlib
import json
import os
import re
import signal
import subprocess
import urllib.parse
import urllib.request

import pytest

import fsck
from cluster import ApiError, Cluster
from harness import BUILD, wait_until
from s3 import Faults, Store, noise

SAVER = """
import os, random, sys, time
folder = os.environ["STOKER_CHECKPOINT_DIR"]
print("resumed", os.environ.get("STOKER_RESUME_STEP"), flush=True)
for step, loss in ((100, 3), (200, 1), (300, 2)):
    os.makedirs(f"{folder}/tmp.part/deep")
    for name, data in (("model.bin", random.Random(step).randbytes(9000000)), ("deep/small", b"%d" % step)):
        with open(f"{folder}/tmp.part/{name}", "wb") as f:
            f.write(data)
    os.chmod(f"{folder}/tmp.part/deep/small", 0o640)
    print(f"step={step} loss={loss}", flush=True)
    os.rename(f"{folder}/tmp.part", f"{folder}/step-{step}")
    said = '{"t":"checkpoint","path":"%s/step-%d","step":%d}\\n' % (folder, step, step)
    os.write(int(os.environ["STOKER_CONTROL_FD"]), said.encode())
    while not os.path.exists(f"{sys.argv[1]}/{step}"):
        time.sleep(0.02)
sys.exit(int(sys.argv[2]))
"""


class Saved:
    """A cluster with a store, and jobs that save three checkpoints."""

    def __init__(self, cluster, url, tmp_path, env):
        self.cluster, self.url, self.tmp_path = cluster, url, tmp_path
        self.store = Store(env, url)
        self.redis = cluster.redis.client()
        self.installation = self.redis.get("stoker:installation")
        (tmp_path / "train.py").write_text(SAVER)

    def records(self, job):
        found = self.redis.hgetall(f"stoker:{{default}}:checkpoints:{job.rsplit('-', 1)[1]}")
        return {id: json.loads(text) for id, text in found.items()}

    def run(self, status=0, upto=300, **spec):
        """Submits such a job, and lets it go on until what it saved at this step is committed."""
        (self.tmp_path / "gates").mkdir(exist_ok=True)
        gates = self.tmp_path / "gates" / str(len(list((self.tmp_path / "gates").iterdir())))
        gates.mkdir()
        job = self.cluster.submit({"command": ["/usr/bin/python3", str(self.tmp_path / "train.py"), str(gates),
                                               str(status)], "checkpoint": {"keep_last": 9}, **spec})
        for step in (100, 200, 300):
            wait_until(lambda step=step: any(r["step"] == step and "from" not in r for r in self.records(job).values()),
                       30, f"{job} has saved step {step}")
            if step < upto or upto == 300:
                (gates / str(step)).touch()
            if step == upto:
                break
        if upto == 300:
            self.cluster.wait_final(job)
        return job

    def key(self, job, id):
        return self.records(job)[id]["uri"].removeprefix(self.url + "/").removesuffix("manifest.json")

    def cli(self, *args, check=True):
        done = self.cluster.cli(*args, check=check)
        return done.stdout if check else done

    def fails(self, *args):
        done = self.cluster.cli(*args, check=False)
        assert done.returncode, done.stdout
        return done.stderr


def begin(tmp_path, url, env):
    with Cluster(tmp_path, scheduler_options=["--store", url],
                 worker_options=["--cpus", "2", "--store", url]) as cluster:
        yield Saved(cluster, url, tmp_path, env)
        assert fsck.check(cluster.redis.client()) == []


@pytest.fixture(params=["file", "s3"])
def saved(request, tmp_path, monkeypatch):
    """In both kinds of store."""
    env = request.getfixturevalue("s3_server").env if request.param == "s3" else {}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    yield from begin(tmp_path, f"s3://runs/{tmp_path.name}" if env else f"file://{tmp_path}/store", env)


@pytest.fixture
def here(tmp_path):
    """Where the kind of store makes no difference."""
    yield from begin(tmp_path, f"file://{tmp_path}/store", {})


# ---------------------------------------------------------------- looking

def test_one_is_shown_with_its_files(saved):
    job = saved.run()
    shown = json.loads(saved.cli("checkpoints", "show", job, "--json"))
    assert shown["id"] == "1-3" and shown["step"] == 300 and shown["metrics"] == {"loss": 2.0}
    files = {f["path"]: f.get("size") for f in shown["manifest"]["files"]}
    assert files["checkpoint/step-300/model.bin"] == 9000000 and files["checkpoint/step-300/deep/small"] == 3
    text = saved.cli("checkpoints", "show", job, "best")
    assert text.startswith(f"checkpoint 1-2 of {job}") and "at step 200" in text and "step-200/deep/small" in text
    assert saved.cli("checkpoints", "show", job, "100").startswith("checkpoint 1-1 of")
    assert "no checkpoint 77" in saved.fails("checkpoints", "show", job, "77")
    assert 'not "worst"' in saved.fails("checkpoints", "show", job, "worst")


def test_verifying_finds_what_was_changed(saved):
    job = saved.run()
    assert saved.cli("checkpoints", "verify", job).splitlines() == [f"1-{i}  good  8.6 MiB" for i in (3, 2, 1)]
    assert saved.cli("verify").splitlines() == ["3 checkpoints read, 25.8 MiB"]
    key = saved.key(job, "1-2") + "data.tar"
    data = bytearray(saved.store.get(key))
    data[8500000] ^= 1
    saved.store.put(key, bytes(data))
    done = saved.cli("checkpoints", "verify", job, "200", check=False)
    assert done.returncode == 12 and "1-2  damaged" in done.stdout and "block 2 is not the one" in done.stdout
    done = saved.cli("verify", check=False)
    assert done.returncode == 12 and done.stdout.splitlines()[-1] == "3 checkpoints read, 25.8 MiB; 1 damaged"
    assert re.match(rf"damaged +{job} .*block 2 is not the one", done.stdout)
    saved.store.run("remove", saved.key(job, "1-1") + "data.tar")
    assert saved.cli("verify", check=False).stdout.splitlines()[-1].endswith("; 2 damaged")
    done = saved.cli("checkpoints", "get", job, "best", "--to", saved.tmp_path / "bad", check=False)
    assert done.returncode and "SHA-256 of block 2" in done.stderr and not os.listdir(saved.tmp_path / "bad")


# ---------------------------------------------------------------- getting

def test_getting_the_files(saved):
    job = saved.run()
    to = saved.tmp_path / "out"
    said = saved.cli("checkpoints", "get", job, "200", "--to", to)
    assert said == f"{to}  checkpoint 1-2, step 200, 2 files, 8.6 MiB, verified\n"
    assert (to / "step-200/model.bin").read_bytes() == noise(9000000, 200)
    assert (to / "step-200/deep/small").read_text() == "200"
    assert (to / "step-200/deep/small").stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in to.iterdir()) == ["step-200"]
    saved.cli("checkpoints", "get", job, "--tar", "--to", to)
    tar = to / f"{job}-checkpoint-1-3.tar"
    assert hashlib.sha256(tar.read_bytes()).digest() == hashlib.sha256(
        saved.store.get(saved.key(job, "1-3") + "data.tar")).digest()


def on_a_terminal(cluster, *args):
    """What the command writes to stderr, when that is a terminal."""
    master, terminal = os.openpty()
    done = subprocess.run([str(BUILD / "stoker"), *[str(a) for a in args]], stdout=subprocess.PIPE, stderr=terminal,
                          env={**os.environ, "STOKER_URL": f"unix:{cluster.socket_of()}"}, timeout=60, check=True)
    os.close(terminal)
    said = b""
    while True:
        try:
            said += os.read(master, 65536)
        except OSError:  # Linux says the end so
            os.close(master)
            return done.stdout.decode(), said.decode()


def test_a_terminal_sees_how_far_it_is(here):
    job = here.run(upto=100)
    out, err = on_a_terminal(here.cluster, "checkpoints", "get", job, "--to", here.tmp_path / "out")
    assert "verified" in out and f"{job}-checkpoint-1-1  [########################] 8.6 MiB of 8.6 MiB" in err
    code = here.tmp_path / "code"
    code.mkdir()
    (code / "a.sh").write_text("true")
    (code / "job.yaml").write_text("command: sh a.sh\nworkdir: .\n")
    _, err = on_a_terminal(here.cluster, "submit", code / "job.yaml")
    assert re.search(r"code [0-9a-f]{12}…  \[#{24}\] ", err)
    assert here.cli("checkpoints", "get", job, "--to", here.tmp_path / "again") and not here.cluster.cli(
        "checkpoints", "get", job, "--to", here.tmp_path / "third").stderr


def test_a_download_goes_on_where_it_stopped(saved):
    job = saved.run()
    to = saved.tmp_path / "out"
    to.mkdir()
    data = saved.store.get(saved.key(job, "1-3") + "data.tar")
    (to / f"{job}-checkpoint-1-3.tar.part").write_bytes(data[:5000000])
    saved.cli("checkpoints", "get", job, "--tar", "--to", to)
    assert (to / f"{job}-checkpoint-1-3.tar").read_bytes() == data
    (to / f"{job}-checkpoint-1-3.tar").unlink()
    (to / f"{job}-checkpoint-1-3.tar.part").write_bytes(b"x" * 5000000)
    error = saved.fails("checkpoints", "get", job, "--tar", "--to", to)
    assert "SHA-256 of block 1" in error and "fetches it anew" in error
    saved.cli("checkpoints", "get", job, "--tar", "--to", to)
    assert (to / f"{job}-checkpoint-1-3.tar").read_bytes() == data


def test_all_of_a_job(saved):
    job = saved.run()
    to = saved.tmp_path / "all"
    said, bars = on_a_terminal(saved.cluster, "download", job, "--to", to, "--checkpoints", "all")
    assert re.search(r"log  \[#{24}\] (\d+) of \1 lines ", bars) and re.search(r"metrics  \[#+\] 3 of 3 ", bars)
    assert f"{to}/metrics.ndjson  3 points" in said.splitlines()
    assert sorted(p.name for p in to.iterdir()) == ["checkpoint-1-1", "checkpoint-1-2", "checkpoint-1-3", "job.json",
                                                    "log.txt", "metrics.ndjson"]
    assert json.loads((to / "job.json").read_text())["job"]["state"] == "succeeded"
    assert "step=200 loss=1\n" in (to / "log.txt").read_text()
    points = [json.loads(line) for line in (to / "metrics.ndjson").read_text().splitlines()]
    assert [(p["step"], p["loss"]) for p in points] == [("100", "3"), ("200", "1"), ("300", "2")]
    few = saved.tmp_path / "few"
    saved.cli("download", job, "--to", few, "--checkpoints", "best")
    assert (few / "checkpoint-1-2/step-200/deep/small").read_text() == "200"
    assert not (few / "checkpoint-1-3").exists()


def test_links(saved):
    job = saved.run(upto=100)
    status, text = saved.cluster.request("GET", f"/api/v1/jobs/{job}/checkpoints/latest/data")
    url = json.loads(text)["url"]
    assert status == 303
    link = saved.cluster.api("GET", f"/api/v1/jobs/{job}/checkpoints/1-1/link")
    data = saved.store.get(saved.key(job, "1-1") + "data.tar")
    assert link["size"] == len(data)
    if saved.url.startswith("s3"):
        assert urllib.request.urlopen(url).read() == data
        return
    assert saved.cluster.request("GET", url.replace("until=1", "until=2"))[0] == 403
    assert saved.cluster.request("GET", url[:-1] + ("0" if url[-1] != "0" else "1"))[0] == 403
    assert saved.cluster.request("GET", url.replace("data.tar", "manifest.json"))[0] == 403
    assert saved.cluster.request("GET", "/api/v1/data?key=x")[0] == 400


def ranged(cluster, url, header):
    from cluster import UnixConnection
    connection = UnixConnection(cluster.socket_of())
    connection.request("GET", url, None, {"Range": header} if header else {})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def test_ranges_of_a_file(here):
    job = here.run(upto=100)
    url = here.cluster.api("GET", f"/api/v1/jobs/{job}/checkpoints/1-1/link")["url"]
    data = here.store.get(here.key(job, "1-1") + "data.tar")
    status, headers, body = ranged(here.cluster, url, None)
    assert (status, body) == (200, data) and headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Disposition"] == f'attachment; filename="{job}-checkpoint-1-1.tar"'
    status, headers, body = ranged(here.cluster, url, "bytes=8000000-")
    assert (status, body) == (206, data[8000000:])
    assert headers["Content-Range"] == f"bytes 8000000-{len(data) - 1}/{len(data)}"
    assert ranged(here.cluster, url, "bytes=10-19")[::2] == (206, data[10:20])
    assert ranged(here.cluster, url, f"bytes=5-{len(data) * 2}")[::2] == (206, data[5:])
    assert ranged(here.cluster, url, f"bytes={len(data)}-")[0] == 416
    for odd in ("bytes=-5", "bytes=9-3", "lines=1-", "bytes=1-2,5-6", "bytes=x-"):
        assert ranged(here.cluster, url, odd)[::2] == (200, data), odd


# ---------------------------------------------------------------- beginning elsewhere

def said(cluster, job):
    return [line for e in cluster.log_text(job) for line in e.get("stdout", "").splitlines()]


@pytest.mark.parametrize("which,step", [("@best", 200), ("", 300), ("@100", 100)])
def test_a_job_begins_where_another_ended(here, which, step):
    job = here.run()
    spec = here.tmp_path / "next.yaml"
    spec.write_text("command: 'echo at $STOKER_RESUME_STEP; cat $STOKER_RESUME/deep/small'\n")
    done = here.cluster.cli("submit", spec, "--resume-from", job + which, "--wait")
    assert said(here.cluster, done.stdout.split()[0]) == [f"at {step}", str(step)]


def test_a_retry_begins_where_it_is_told(here):
    job = here.run(status=65)
    again = here.cli("retry", job, "--resume-from", "best").strip()
    wait_until(lambda: said(here.cluster, again), what="it says where it begins")
    assert said(here.cluster, again)[0] == "resumed 200"
    assert "no good checkpoint \"77\"" in here.fails("retry", here.run(status=65), "--resume-from", "77")


def test_what_is_wrong_with_it(here):
    job = here.run()
    spec = here.tmp_path / "next.yaml"
    spec.write_text("command: 'true'\n")
    assert f"job {job} has no checkpoint 700" in here.fails("submit", spec, "--resume-from", job + "@700")
    assert "no job default-99 (the newest is " in here.fails("submit", spec, "--resume-from", "default-99")


# ---------------------------------------------------------------- letting go

def objects(saved, job):
    """The sequence numbers of a job's checkpoints whose objects are there."""
    names = saved.store.list(f"{saved.installation}/checkpoints/")
    return sorted({int(n.split("/")[4]) for n in names if n.split("/")[2].startswith(job + "-")})


def test_letting_go(saved):
    job = saved.run()
    assert saved.cli("checkpoints", "rm", job, "1-1") == f"{job}  1 checkpoint deleted\n"
    assert objects(saved, job) == [2, 3] and sorted(saved.records(job)) == ["1-2", "1-3"]
    assert "has no checkpoint 1-1" in saved.fails("checkpoints", "rm", job, "1-1")
    assert saved.cli("checkpoints", "cleanup", job, "--keep-last", "1") == f"{job}  1 checkpoint deleted\n"
    assert objects(saved, job) == [3]
    assert "it is the last good one" in saved.fails("checkpoints", "rm", job, "1-3")
    assert objects(saved, job) == [3]


def test_what_a_job_goes_on_from_stays(here):
    job = here.run(status=65)
    other = here.cluster.submit({"command": "true", "hold": True, "resume": f"{job}@200"})
    assert f"job {other} goes on from it" in here.fails("checkpoints", "rm", job, "1-2")
    assert here.cli("checkpoints", "cleanup", job, "--keep-last", "1") == f"{job}  0 checkpoints deleted\n"
    here.cli("cancel", other)
    assert here.cli("checkpoints", "cleanup", job, "--keep-last", "1") == f"{job}  2 checkpoints deleted\n"


@pytest.mark.parametrize("body,sentence", [
    ({}, "expected ids or keep_last, got neither"), ({"ids": ["1-1"], "keep_last": 1}, "expected ids or keep_last"),
    ({"ids": []}, "ids: expected a list of 1 to 100"), ({"ids": [1]}, "ids: expected a list"),
    ({"keep_last": 0}, "last: expected"), ({"keep_last": "x"}, "keep_last"), ({"ids": ["x"]}, "ids: expected a list"),
    ({"ids": ["last", "1"]}, "ids: expected a list"),
    ({"all": True}, "all: unknown key"),
])
def test_bad_ways_to_let_go(here, body, sentence):
    job = here.run(upto=100)
    with pytest.raises(ApiError, match=sentence) as refused:
        here.cluster.api("POST", f"/api/v1/jobs/{job}/checkpoints/discard", body)
    assert refused.value.status == 400 and objects(here, job) == [1]


# ---------------------------------------------------------------- gc

def gc(saved, *options):
    done = saved.cli("gc", "--older-than", "0s", "--json", *options, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [(o["action"], o["job"], o["why"]) for o in lines[:-1]], lines[-1]["sum"], done.returncode


def test_gc_takes_what_a_removed_job_left(saved):
    gone, kept, running = saved.run(), saved.run(), saved.run(upto=200)
    saved.cli("rm", gone)
    before = saved.store.list("")
    took, total, status = gc(saved, "--dry-run")
    assert took == [("would delete", gone, "its job was removed")] * 3 and total["objects"] == 3 and status == 0
    assert saved.store.list("") == before
    took, total, status = gc(saved)
    assert took == [("deleted", gone, "its job was removed")] * 3 and total["problems"] == 0
    assert (objects(saved, gone), objects(saved, kept), objects(saved, running)) == ([], [1, 2, 3], [1, 2])
    assert gc(saved)[0] == []
    assert "0 leftovers" in saved.cli("gc"), "what is younger than a day stays anyway"


def test_gc_takes_what_no_record_names(saved):
    job = saved.run()
    key = saved.key(job, "1-3")
    saved.store.put(key.replace("/3/", "/7/") + "data.tar", b"left")
    saved.store.put(key.replace("/3/", "/8/") + "manifest.json", b"{}")
    other = saved.run(upto=100)
    saved.store.put(saved.key(other, "1-1").replace("/1/", "/7/") + "data.tar", b"an upload that goes on")
    took, _, _ = gc(saved)
    assert sorted(took) == [("deleted", job, "it has no manifest"), ("deleted", job, "no record of its job names it")]
    assert objects(saved, job) == [1, 2, 3] and objects(saved, other) == [1, 7]


def test_gc_ends_what_was_begun(here):
    """A scheduler that dies between the mark and the objects, and one that dies between the objects and the record."""
    job = here.run()
    call = json.loads(here.redis.fcall("stoker_discard", 1, "stoker:{default}:meta", 1, "", "1-1", "1-2"))
    for name in ("data.tar", "manifest.json"):
        here.store.run("remove", here.key(job, "1-1") + name)
    assert len(call["checkpoints"]) == 2
    took, _, _ = gc(here)
    assert took == [("deleted", job, "it was to be deleted")]
    assert objects(here, job) == [3]


def test_gc_takes_what_was_put_aside_for_its_term(here):
    job = here.run(recovery={"quarantine": "1h"})
    for id, age_ms in (("1-1", 2 * 3600000), ("1-2", 60000)):
        record = here.records(job)[id]
        record.update(state="quarantined", time_ms=record["time_ms"] - age_ms)
        here.redis.hset("stoker:{default}:checkpoints:1", id, json.dumps(record))
    took, _, _ = gc(here)
    assert took == [("deleted", job, "it was put aside, and its term is over")]
    assert objects(here, job) == [2, 3] and sorted(here.records(job)) == ["1-2", "1-3"]


def test_gc_leaves_what_was_lent_by_a_removed_job(here):
    job = here.run(status=65)
    other = here.cluster.submit({"command": "true", "hold": True, "resume": f"{job}@200"})
    here.cli("rm", job)
    took, _, _ = gc(here)
    assert took == [("deleted", job, "its job was removed")] and objects(here, job) == [1, 2]
    here.cli("cancel", other)
    assert gc(here)[0] == [], "the other one may be retried"
    here.cli("rm", other)
    assert len(gc(here)[0]) == 2 and objects(here, job) == []


def test_gc_takes_nothing_where_redis_lost_something(here):
    job = here.run()
    key = here.key(job, "1-1")
    here.store.put(key.replace("/default-1-", "/default-900-") + "manifest.json", b"{}")
    here.store.put(re.sub("/default-1-[0-9a-f]+/", "/default-1-0123456789abcdef/", key) + "manifest.json", b"{}")
    here.store.put(key.replace("/default-1-", "/other-1-") + "manifest.json", b"{}")
    here.store.put("ffffffffffff" + key[12:] + "manifest.json", b"{}")
    before = here.store.list("")
    took, total, status = gc(here)
    assert status == 12 and total["problems"] == 3 and here.store.list("") == before
    assert sorted(took) == [
        ("kept", "default-1", "Redis has another job of this number: did it lose writes?"),
        ("kept", "default-900", "Redis has not had its job: did it lose writes?"),
        ("kept", "other-1", "Redis does not have its queue")]


def test_gc_knows_a_store_by_another_name(tmp_path):
    """The scheduler has the folder of the workers somewhere else."""
    (tmp_path / "store").mkdir()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "store")
    with Cluster(tmp_path, scheduler_options=["--store", f"file://{tmp_path}/elsewhere"],
                 worker_options=["--cpus", "2", "--store", f"file://{tmp_path}/store"]) as cluster:
        saved = Saved(cluster, f"file://{tmp_path}/store", tmp_path, {})
        job, gone = saved.run(), saved.run()
        saved.cli("rm", gone)
        assert gc(saved)[0] == [("deleted", gone, "its job was removed")] * 3 and objects(saved, job) == [1, 2, 3]
        assert "is not in the store" in saved.fails("checkpoints", "get", job)


def test_gc_of_many_jobs_that_redis_does_not_have(here):
    here.run(upto=100)
    key = here.key("default-1", "1-1")
    for n in range(300):
        here.store.put(key.replace("/default-1-", f"/other-{n + 1}-") + "manifest.json", b"{}")
    took, total, status = gc(here)
    assert status == 12 and total["problems"] == len(took) == 300


def test_gc_knows_the_archive(here):
    """What an archived job saved stays, and may be fetched."""
    job = here.run()
    here.redis.hset("stoker:{default}:meta", "max_finished", 0)
    wait_until(lambda: not here.redis.exists("stoker:{default}:job:1"), 30, "the job is archived")
    assert gc(here)[0] == [] and objects(here, job) == [1, 2, 3]
    assert here.cli("checkpoints", "verify", job, "best").startswith("1-2  good")
    here.cli("checkpoints", "get", job, "--to", here.tmp_path / "late")
    assert (here.tmp_path / "late/step-300/deep/small").read_text() == "300"
    assert f"no job {job}" in here.fails("checkpoints", "rm", job, "1-1")


def test_without_a_store(tmp_path):
    with Cluster(tmp_path, workers=0) as cluster:
        for command in (["gc"], ["verify"], ["checkpoints", "show", "default-1"]):
            done = cluster.cli(*command, check=False)
            assert done.returncode and "this scheduler has no store" in done.stderr


def test_links_need_no_token_and_everything_else_does(scheduler):
    def status(path):
        return scheduler.tcp("GET", path).status
    query = urllib.parse.urlencode({"key": "a/b", "name": "x", "until": 1, "signature": "0" * 64})
    assert status("/api/v1/data?" + query) == 403
    assert status("/api/v1/jobs/default-1/checkpoints/latest") == 401


def test_a_download_is_interrupted_and_goes_on(s3_server, tmp_path, monkeypatch):
    """By a signal in the middle: it says how to go on, leaves what it has, and the same command gets the rest alone."""
    env = s3_server.env
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    url = f"s3://runs/{tmp_path.name}"
    faults = Faults(s3_server, lambda method, path, n: "half" if method == "GET" and "data.tar" in path else None)
    try:
        with Cluster(tmp_path, scheduler_options=["--store", url],
                     worker_options=["--cpus", "2", "--store", url]) as cluster:
            saved = Saved(cluster, url, tmp_path, env)
            job = saved.run(upto=100)
            part = tmp_path / "out" / f"{job}-checkpoint-1-1.tar.part"
            monkeypatch.setenv("STOKER_S3_ENDPOINT", faults.endpoint)
            cluster.schedulers[0].kill()
            cluster.start_scheduler()  # whose links lead to what answers the half, and hangs up
            command = subprocess.Popen([str(BUILD / "stoker"), "checkpoints", "get", job, "--to", str(part.parent)],
                                       env={**os.environ, "STOKER_URL": f"unix:{cluster.socket_of()}"},
                                       stderr=subprocess.PIPE, text=True)
            wait_until(lambda: part.exists() and part.stat().st_size > 1000000, 30, "a part is there")
            command.send_signal(signal.SIGINT)
            _, err = command.communicate(timeout=30)
            assert command.returncode == 130 and "the same command goes on where it stopped" in err
            had = part.stat().st_size
            faults.fault = lambda method, path, n: None
            before = len(faults.sent)
            assert "verified" in saved.cli("checkpoints", "get", job, "--to", part.parent)
            requests = list(zip(faults.seen, faults.sent))[before:]
            asked = [headers.get("Range") for (_, path), headers in requests if "data.tar" in path]
            assert [a for a in asked if a] == [f"bytes={had}-"]
    finally:
        faults.stop()
