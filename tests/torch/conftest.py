import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import BUILD

HERE = Path(__file__).resolve().parent
SAVERS = HERE / "savers.py"
SYSTEM, OWN = Path("/var/lib/stoker/venv/bin/python"), Path.home() / ".local/share/stoker/venv/bin/python"
TINYGRAD = os.environ.get("STOKER_PYTHON") or str(OWN if os.geteuid() and OWN.exists() else SYSTEM)


def pytest_generate_tests(metafunc):
    if "dice" in metafunc.fixturenames:
        seed = int(os.environ["STOKER_TEST_SEED"])
        metafunc.parametrize("dice", [seed], indirect=True, ids=[f"seed{seed}"])


@pytest.fixture
def dice(request):
    """Chance whose seed stands in the name of the test: STOKER_TEST_SEED repeats it."""
    return random.Random(request.param)


@pytest.fixture(scope="session")
def python_of():
    """The interpreter that has what a layout needs."""
    return lambda layout: TINYGRAD if layout == "tinygrad" else sys.executable


@pytest.fixture(scope="session")
def ask():
    """ask(path, trust="suspect") → what the ship helper would say of it."""
    tool = subprocess.Popen([BUILD / "tests/tools/verdict"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def question(path, trust="suspect"):
        tool.stdin.write(f"{trust}\t{Path(path).parent}\t{Path(path).name}\n")
        tool.stdin.flush()
        parts = tool.stdout.readline().rstrip("\n").split("\t")
        if parts == ["ignored"]:
            return SimpleNamespace(answer="ignored", words="ignored")
        answer, framework, step, epoch, optimizer, loss, words = parts
        return SimpleNamespace(answer=answer, framework=framework, step=int(step), epoch=int(epoch),
                               optimizer=int(optimizer), loss=float(loss), words=words)
    yield question
    tool.stdin.close()
    assert tool.wait(timeout=10) == 0
