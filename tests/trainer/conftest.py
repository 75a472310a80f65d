import os
import random
import signal

import pytest

from trainer_run import CLASSIFIER, LANGUAGE, Run


def pytest_generate_tests(metafunc):
    if "dice" in metafunc.fixturenames:
        seed = int(os.environ["STOKER_TEST_SEED"])
        metafunc.parametrize("dice", [seed], indirect=True, ids=[f"seed{seed}"])


@pytest.fixture
def dice(request):
    """Chance whose seed stands in the name of the test: STOKER_TEST_SEED repeats it."""
    return random.Random(request.param)


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text("the quick brown fox jumps over the lazy dog, and the dog sleeps on. " * 20)
    return path


@pytest.fixture
def start(tmp_path):
    """start(task, …) → a Run; whatever still runs at the end is killed."""
    runs = []

    def make(train, **options):
        runs.append(Run(tmp_path / f"run{len(runs)}", train, **options))
        return runs[-1]
    yield make
    for run in runs:
        if run.process.alive():
            os.killpg(run.process.pid, signal.SIGKILL)
            run.process.popen.wait()


@pytest.fixture(scope="session")
def straight(tmp_path_factory, text):
    """A run of each task that nobody disturbs, with checkpoints at a third and two thirds."""
    folder = tmp_path_factory.mktemp("straight")
    runs = {"language-model": Run(folder / "language", {**LANGUAGE, "text": str(text)}, every_steps=8),
            "classifier": Run(folder / "classifier", {**CLASSIFIER, "data": "examples/spirals.csv"}, every_steps=8)}
    for run in runs.values():
        run.finish()
    return runs


@pytest.fixture
def train_of(text):
    return {"language-model": {**LANGUAGE, "text": str(text)},
            "classifier": {**CLASSIFIER, "data": "examples/spirals.csv"}}
