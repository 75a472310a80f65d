"""Schemathesis makes requests of all that /api/openapi.json describes, good and bad ones, and looks at every answer: no
5xx, no status and no type that is not described, and documents as they are described. The short form makes the same
requests each time, the long one makes others."""
import json
import os
import subprocess
from pathlib import Path

import pytest

from harness import ROOT
from scheduler_harness import TOKEN, Runner, Scheduler

VERSION = "4.32.5"  # as scripts/bootstrap-tests.sh has it
SCHEMATHESIS = (Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stoker" /
                f"schemathesis-{VERSION}" / "bin" / "schemathesis")
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
          "response_headers_conformance", "unsupported_method", "allow_header_conformance"]


@pytest.fixture
def stage(tmp_path, redis):
    """A scheduler with a bit of everything."""
    store = tmp_path / "store"
    store.mkdir()
    scheduler = Scheduler(tmp_path, redis.url, options=["--store", f"file://{store}", "--webhook-allow", "127.0.0.1"])
    client = scheduler.redis_client()
    scheduler.submit(name="done")
    runner = Runner(client)
    runner.log("a line")
    runner.metric(step=1, loss=0.5)
    runner.finish("succeeded", result='{"acc":1}')
    scheduler.submit(name="running")
    Runner(client, request=2).log("another")
    scheduler.submit(name="queued", resources={"gpus": 64})
    scheduler.api("POST", "/schedules", {"command": ["true"], "schedule": {"name": "nightly", "cron": "0 3 * * *"}})
    scheduler.api("POST", "/submitters", {"name": "app"})
    hook = scheduler.api("POST", "/webhooks", {"url": "https://127.0.0.1:1/x", "on": ["job.failed"]})["id"]
    yield scheduler, {"job": ["default-1", "default-2", "default-3"], "queue": ["default"], "worker": ["w1"],
                      "schedule": ["nightly"], "submitter": ["app"], "webhook": [hook], "delivery": ["all"]}
    scheduler.stop()


def judge(stage, folder, *options, timeout):
    scheduler, real = stage
    before = len(scheduler.api("GET", "/events")["entries"])
    (folder / "schemathesis.toml").write_text(
        '[[operations]]\ninclude-path = "/api/v1/events"\nparameters = { "query.follow" = "0" }\n')
    done = subprocess.run(
        [SCHEMATHESIS, "run", f"{scheduler.url}/api/openapi.json", "-H", f"Authorization: Bearer {TOKEN}",
         "--checks", ",".join(CHECKS), "--no-shrink", "--continue-on-failure", "--request-timeout", "20",
         "--warnings", "off", "--no-color", *options],
        cwd=folder, capture_output=True, text=True, timeout=timeout,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "schema_hooks", "SCHEMA_REAL": json.dumps(real),
             "PYTHONPATH": str(ROOT / "tests/integration")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert scheduler.process.alive()
    assert len(scheduler.api("GET", "/events")["entries"]) > before, "requests that change something were among them"


def test_answers_are_as_they_are_described(stage, tmp_path):
    judge(stage, tmp_path, "--phases", "fuzzing", "--max-examples", "6", "--seed", "1", timeout=220)


@pytest.mark.long
@pytest.mark.timeout(1300)
def test_answers_to_all_that_can_be_written_wrong_are_as_they_are_described(stage, tmp_path):
    judge(stage, tmp_path, "--phases", "examples,coverage,fuzzing", "--max-examples", "50", timeout=1200)
