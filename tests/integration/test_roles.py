"""Real programs that log in as the users of docker/users.acl, made by docker/passwords.sh."""
import json
import subprocess

import pytest
import redis as redis_py
import yaml

import fsck
from harness import BUILD, ROOT, Process, RedisServer, wait_until
from scheduler_harness import Scheduler


class Guarded:
    """A Redis with those users; a url for each role."""

    def __init__(self, folder):
        self.folder, secrets = folder, folder / "secrets"
        subprocess.run([ROOT / "docker/passwords.sh", secrets], check=True)
        self.passwords = {f.stem: yaml.safe_load(f.read_text())["redis-url"].split(":")[2].split("@")[0]
                          for f in secrets.glob("*.yaml")}
        with open(secrets / "users.acl", "a", encoding="utf-8") as users:
            users.write("user test on >test ~* &* +@all\n")
        self.server = RedisServer(folder / "redis", "--aclfile", secrets / "users.acl")

    def url(self, role):
        return f"{self.server.url}?user={role}&password={self.passwords[role]}"

    def client(self, role="test"):
        return redis_py.Redis(unix_socket_path=str(self.server.socket), username=role, decode_responses=True,
                              password=self.passwords.get(role, "test"))

    def deploy(self, role="deployer"):
        return subprocess.run([BUILD / "stoker-scheduler", "--deploy", "--redis-url", self.url(role)], timeout=30,
                              capture_output=True, text=True, check=False)


@pytest.fixture
def guarded(tmp_path):
    one = Guarded(tmp_path)
    yield one
    one.server.process.kill()


def test_the_whole_way_of_a_job_with_each_program_in_its_role(guarded, tmp_path):
    done = guarded.deploy()
    assert done.returncode == 0, done.stderr
    scheduler = Scheduler(tmp_path, guarded.url("scheduler"))
    worker = Process([BUILD / "stoker-worker", "--redis-url", guarded.url("worker"), "--id", "w0", "--state-dir",
                      tmp_path / "worker", "--store", f"file://{tmp_path}/store", "--cpus", "2"],
                     tmp_path / "worker.log")
    try:
        scheduler.api("POST", "/submitters", {"name": "submitter"})
        app = guarded.client("submitter")
        program = "echo loss=1; echo x > $STOKER_CHECKPOINT_DIR/a.ckpt; touch $STOKER_CHECKPOINT_DIR/a.ckpt.done"
        entry = app.xadd("stoker:{default}:inbox:submitter", {"spec": json.dumps({"command": program})})
        (_, ((_, said),)), = app.xread({"stoker:{default}:reply:submitter": "0"}, block=10000)
        assert said == {"entry": entry, "job": "default-1"}
        wait_until(lambda: scheduler.job("default-1")["state"] == "succeeded", what=f"it runs\n{worker.text()}")
        long = scheduler.submit(command="sleep 100")
        wait_until(lambda: scheduler.job(long)["state"] == "running", what="it runs")
        scheduler.api("POST", f"/jobs/{long}/cancel")
        wait_until(lambda: scheduler.job(long)["state"] == "cancelled", what="it is cancelled")
        again = scheduler.submit(command="exit 1", retry={"max_attempts": 2, "backoff": "0s"})
        wait_until(lambda: scheduler.job(again)["state"] == "failed", what="it fails twice")
        viewer = guarded.client("viewer")
        shown = json.loads(viewer.fcall_ro("stoker_show", 1, "stoker:{default}:meta", 1))
        assert shown["job"]["state"] == "succeeded" and viewer.xlen("stoker:{default}:log:1") > 0
        doctor = scheduler.api("GET", "/doctor")
        assert doctor["ok"], [c for c in doctor["checks"] if not c["ok"]]
        *findings, end = scheduler.local("POST", "/api/v1/fsck").text.splitlines()
        assert findings == [] and json.loads(end)["sum"]["left"] == 0
        assert json.loads(end)["sum"]["partial"], "it may not SCAN, and says so"
        assert "NOPERM" not in scheduler.process.text() + worker.text()
        assert worker.stop() == 0
    finally:
        scheduler.stop()
        worker.kill()
    refused = [entry["object"] for entry in guarded.client().acl_log()]
    assert sorted(refused) == ["config|get", "scan"], "what doctor and fsck ask for, and nobody else anything"
    assert fsck.check(guarded.client()) == []


def test_a_restart_keeps_what_functions_wrote(guarded, tmp_path):
    """Redis replays its file as the user default, and drops each transaction that this user may not run."""
    assert guarded.deploy().returncode == 0
    scheduler = Scheduler(tmp_path, guarded.url("scheduler"))
    try:
        jobs = [scheduler.submit(command="true") for _ in range(3)]
        guarded.server.kill()
        guarded.server.start()
        wait_until(lambda: scheduler.local("GET", "/readyz").status == 200, what="it found Redis again")
        assert [scheduler.job(job)["state"] for job in jobs] == ["queued"] * 3
        assert fsck.check(guarded.client()) == []
        doctor = {c["name"]: c for c in scheduler.api("GET", "/doctor")["checks"]}
        assert doctor["replay"]["ok"] and doctor["replay"]["hint"] == "", doctor["replay"]
        for user in ("off", "on"):
            guarded.client().execute_command("ACL", "SETUSER", "default", user, "-@all", "+ping")
            replay, = (c for c in scheduler.api("GET", "/doctor")["checks"] if c["name"] == "replay")
            assert not replay["ok"] and "loses what functions wrote" in replay["detail"]
    finally:
        scheduler.stop()


def test_a_run_waits_quietly_for_the_library(guarded, tmp_path):
    """Without it each connection stands until its first call: that must not become a storm, nor a flood of lines."""
    assert guarded.deploy().returncode == 0
    scheduler = Scheduler(tmp_path, guarded.url("scheduler"))
    worker = Process([BUILD / "stoker-worker", "--redis-url", guarded.url("worker"), "--id", "w0", "--state-dir",
                      tmp_path / "worker", "--store", f"file://{tmp_path}/store", "--cpus", "2"],
                     tmp_path / "worker.log")
    admin = guarded.client()
    try:
        job = scheduler.submit(command=f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done", lease="2s")
        wait_until(lambda: scheduler.job(job)["state"] == "running", what="it runs")
        admin.function_flush()
        connections = int(admin.info("stats")["total_connections_received"])
        before = admin.time()
        wait_until(lambda: admin.time()[0] - before[0] >= 5, what="5 s passed on the clock of Redis")
        came = int(admin.info("stats")["total_connections_received"]) - connections
        assert came < 40, "a runner and a worker that try again after 50 ms each would make 200"
        assert worker.text().count("redis is away; the program goes on") == 1
        assert guarded.deploy().returncode == 0
        (tmp_path / "go").touch()
        wait_until(lambda: scheduler.local("GET", "/readyz").status == 200, what="the scheduler found it, too")
        wait_until(lambda: scheduler.job(job)["state"] == "succeeded", what=f"it ends\n{worker.text()}")
        assert worker.stop() == 0
    finally:
        scheduler.stop()
        worker.kill()


def test_without_the_library_a_scheduler_says_what_it_lacks(guarded, tmp_path):
    scheduler = Scheduler(tmp_path, guarded.url("scheduler"), wait=False)
    wait_until(lambda: "cannot load the function library" in scheduler.process.text(), what="it says why")
    assert guarded.deploy().returncode == 0
    scheduler.wait_ready()
    scheduler.stop()


@pytest.mark.parametrize("role", ["scheduler", "worker", "viewer", "submitter"])
def test_only_the_deployer_can_deploy(guarded, role):
    refused = guarded.deploy(role)
    assert refused.returncode == 4, refused.stderr
    assert "the function library was not loaded" in refused.stderr and "permissions" in refused.stderr


def test_deploying_again_changes_nothing(guarded):
    assert guarded.deploy().returncode == 0
    mark = guarded.client().get("stoker:library")
    assert guarded.deploy().returncode == 0
    assert guarded.client().get("stoker:library") == mark


def test_passwords_are_made_once(tmp_path):
    subprocess.run([ROOT / "docker/passwords.sh", tmp_path / "s"], check=True)
    before = (tmp_path / "s/users.acl").read_text()
    again = subprocess.run([ROOT / "docker/passwords.sh", tmp_path / "s"], capture_output=True, text=True, check=False)
    assert again.returncode == 1 and "nothing was changed" in again.stderr
    assert (tmp_path / "s/users.acl").read_text() == before
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0
