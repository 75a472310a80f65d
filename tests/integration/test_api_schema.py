"""Schemathesis makes requests of all that /api/openapi.json describes, good and bad ones, and looks at every answer: no
5xx, no status and no type that is not described, and documents as they are described. The short form makes the same
requests each time, the long one makes others."""
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

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
        '[[operations]]\ninclude-path = "/api/v1/events"\nparameters = { "query.follow" = "0" }\n'
        '[[operations]]\ninclude-path = "/api/v1/stream"\n'
        'parameters = { "query.jobs" = "default-1", "query.queues" = "" }\n')  # what has an end
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
    judge(stage, tmp_path, "--phases", "fuzzing", "--max-examples", "4", "--seed", "1", timeout=220)


@pytest.mark.long
@pytest.mark.timeout(1300)
def test_answers_to_all_that_can_be_written_wrong_are_as_they_are_described(stage, tmp_path):
    judge(stage, tmp_path, "--phases", "examples,coverage,fuzzing", "--max-examples", "50", timeout=1200)


VALIDATE = """
import json, sys, jsonschema_rs
document, specs = json.load(sys.stdin)
checker = jsonschema_rs.validator_for({"$ref": "#/components/schemas/Spec", "components": document["components"]})
print(json.dumps([[error.message for error in checker.iter_errors(spec)] for spec in specs]))
"""


def complaints(document, specs):
    """For each spec what the JSON Schema of the description has against it."""
    done = subprocess.run([SCHEMATHESIS.parent / "python", "-c", VALIDATE], input=json.dumps([document, specs]),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_schema_of_a_spec_takes_what_is_taken(scheduler):
    document = scheduler.local("GET", "/api/openapi.json").json()
    examples = sorted((ROOT / "examples").rglob("*.yaml"))
    specs = [spec for path in examples for spec in yaml.safe_load_all(path.read_text())
             if isinstance(spec, dict) and ({"command", "train"} & set(spec))]
    specs += [
        {"command": ["a", "b"], "resources": {"cpus": 2, "gpus": 0, "memory": "2GiB", "labels": {"zone": "a"}}},
        {"command": "x", "retry": {"max_attempts": 5, "backoff": 1.5, "jitter": 0.25}, "tags": ["a", "b:c"]},
        {"command": "x", "priority": 9, "concurrency": {"key": "k", "max": 2}},
        {"command": "x", "env": {"A": "1"}, "timeout": "5m", "name": None, "retry": {}, "hold": True, "delay": 3},
        {"command": "x", "checkpoint": {"every": "200 steps"}, "schedule": {"name": "n", "cron": "@daily"}},
        {"command": "x {{a}}", "sweep": {"grid": {"a": [1, 2]}}},
    ]
    taken = [spec for spec in specs if scheduler.local("POST", "/api/v1/jobs", spec).status == 201]
    assert len(taken) > 5
    for spec, said in zip(taken, complaints(document, taken)):
        assert not said, (spec, said)
    wrong = [{"command": 7}, {"nmae": "x"}, {"priority": 10}, {"resources": {"gpu": 1}}, {"name": "x" * 65}, [],
             {"queue": "No"}, {"backend": "jax"}, {"retry": {"max_attempts": "3"}}]
    assert [bool(said) for said in complaints(document, wrong)] == [True] * len(wrong)
