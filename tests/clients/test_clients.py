"""The clients of examples/clients/ against a real stoker: nothing of ours stands between them and Redis."""
import json
import os
import re
import shutil
import subprocess

import pytest

import fsck
from cluster import Cluster, log_lines
from harness import BUILD, ROOT

SOURCES = ROOT / "examples" / "clients"
STREAMS = ("stdout", "stderr", "stoker", "gap")


def prepare(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=200, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def shell(_):
    return [SOURCES / "submit.sh"]


def python(_):
    return ["/usr/bin/python3", SOURCES / "submit.py"]


def node(folder):
    """What it depends on is installed beside a copy: the sources stay as they are."""
    shutil.copytree(SOURCES / "node", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    prepare("npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", cwd=folder)
    return ["node", folder / "submit.mjs"]


def go(folder):
    prepare("go", "build", "-buildvcs=false", "-o", folder / "submit", ".", cwd=SOURCES / "go")
    return [folder / "submit"]


def c(folder):
    prepare("cc", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
            "-o", folder / "submit", SOURCES / "submit.c", "-lhiredis")
    return [folder / "submit"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("clients"), worker_options=["--cpus", 4]) as one:
        yield one
        assert fsck.check(one.redis.client()) == []


class Client:
    def __init__(self, cluster, language):
        folder = BUILD / "clients" / language.__name__
        folder.mkdir(parents=True, exist_ok=True)
        self.command, self.redis_url, self.name = language(folder), cluster.redis.url, language.__name__

    def start(self, spec, key, **env):
        # The C client ends with replies in its hands, as programs do.
        env = {"REDIS_URL": self.redis_url, "STOKER_QUEUE": "default", "ASAN_OPTIONS": "detect_leaks=0", **env}
        return subprocess.Popen([*map(str, self.command), json.dumps(spec), f"{self.name}-{key}"], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **env})

    def run(self, spec, key, **env):
        """Its exit code, the lines that it printed, and what it said on stderr."""
        process = self.start(spec, key, **env)
        out, err = process.communicate(timeout=60)
        return process.returncode, out.splitlines(), err


@pytest.fixture(scope="module", params=[shell, python, node, go, c], ids=lambda language: language.__name__)
def client(request, cluster):
    return Client(cluster, request.param)


def submitted(cluster):
    return int(cluster.redis.client().hget("stoker:{default}:meta", "next") or 0)


def test_it_follows_to_the_end(cluster, client, tmp_path):
    """The job waits for what the test only does once the client has printed its first line."""
    gate = tmp_path / "gate"
    script = (f"echo first; until [ -e {gate} ]; do sleep 0.02; done; echo; echo '  größer  *'; "
              "for i in $(seq 150); do echo out $i; echo err $i >&2; done; seq 3000; printf last")
    process = client.start({"command": script}, "follow")
    assert process.stdout.readline() == "first\n"
    gate.touch()
    out, err = process.communicate(timeout=60)
    *lines, end = out.splitlines()
    job, state = end.split()
    assert (state, process.returncode, err) == ("succeeded", 0, "")
    assert lines[:2] == ["", "  größer  *"] and "last" in lines and lines.count("err 150") == 1
    assert ["first", *lines] == log_lines(cluster.log_text(job), 1, *STREAMS)


def test_a_failure_is_an_exit_code(cluster, client):
    spec = {"command": "echo bye; exit 3", "retry": {"max_attempts": 2, "backoff": "0s"}}
    code, lines, err = client.run(spec, "fail")
    assert (code, err) == (1, "")
    assert [line for line in lines if line == "bye"] == ["bye", "bye"]
    assert re.fullmatch(r"default-\d+ failed: exit 3: bye", lines[-1])
    assert cluster.job(lines[-1].split()[0])["state"] == "failed"


def test_the_same_key_is_the_same_job(cluster, client):
    spec, before = {"command": "echo once"}, submitted(cluster)
    first = client.run(spec, "twice")
    assert first[0] == 0 and first[1][0] == "once"
    assert client.run(spec, "twice") == first
    assert submitted(cluster) == before + 1
    code, lines, err = client.run({"command": "echo other"}, "twice")
    assert (code, lines) == (1, []) and "CONFLICT" in err


def test_a_refused_spec_is_explained(cluster, client):
    before = submitted(cluster)
    code, lines, err = client.run({"command": "true", "resources": {"gpus": "two"}}, "refused")
    assert (code, lines) == (1, [])
    sentence = 'INVALID resources.gpus: expected an integer from 0 to 1024, got "two"\n'
    assert err.endswith(sentence) and err.count("\n") == 1, err
    code, lines, err = client.run({"command": "true"}, "nowhere", STOKER_QUEUE="nowhere")
    assert (code, lines) == (1, []) and "NOQUEUE" in err
    assert submitted(cluster) == before


def test_without_redis_it_says_so(client, tmp_path):
    code, lines, err = client.run({"command": "true"}, "none", REDIS_URL=f"unix://{tmp_path}/nothing.sock")
    assert (code, lines) == (1, []) and re.search("no such file|ENOENT", err, re.IGNORECASE)
    assert err.count("\n") == 1, err


@pytest.mark.parametrize("name", ["submit.sh", "submit.py", "node/submit.mjs", "go/main.go", "submit.c"])
def test_it_is_short(name):
    """As their README counts: from the start of the program on, without comments, imports and closing braces."""
    text = (SOURCES / name).read_text()
    program = re.split(r"^(?=int main|func main)", text, flags=re.MULTILINE)[-1]
    nothing = re.compile(r'\s*(|#.*|//.*|""".*|import .*|[{}]|done)$')
    assert 10 < len([line for line in program.splitlines() if not nothing.match(line)]) < 20


def test_their_readme_shows_the_script():
    code = (SOURCES / "submit.sh").read_text().split("set -euo pipefail\n")[1]
    assert code in (SOURCES / "README.md").read_text()
