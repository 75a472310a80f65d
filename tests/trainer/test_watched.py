"""Real trainings under the eyes of the detector: what the examples do is no reason for alarm; when they blow up, it is
seen, and where that began."""
import subprocess

import pytest
import yaml

from harness import BUILD, ROOT

EXAMPLES = {"language-model": "charlm.yaml", "classifier": "classifier.yaml"}


def example(task):
    train = yaml.safe_load((ROOT / "examples" / EXAMPLES[task]).read_text())["train"]
    for name in ("text", "data"):
        if name in train:
            train[name] = str((ROOT / "examples" / train[name]).resolve())
    return {"seed": 1, "optimize": False, **train}


def series(run):
    return [(line["step"], line["loss"]) for line in run.said("metric")]


def suspect(points):
    answer = subprocess.run([BUILD / "tests/tools/suspect"], input="".join(f"{step} {loss}\n" for step, loss in points),
                            capture_output=True, text=True, check=True).stdout
    verdict, onset, reports = answer.split()
    return verdict, int(onset), int(reports)


@pytest.mark.parametrize("task", EXAMPLES)
def test_the_examples_are_healthy(start, task):
    run = start(example(task))
    run.finish()
    points = series(run)
    assert len(points) == example(task)["steps"]
    assert suspect(points) == ("ok", -1, len(points))


def test_batches_of_one_are_only_noisy(start):
    run = start({**example("classifier"), "batch": 1})
    run.finish()
    assert suspect(series(run))[0] == "ok"


def test_a_training_that_blows_up(start, tmp_path):
    """It goes on from a good checkpoint with a rate that no training bears."""
    first = start({**example("classifier"), "steps": 300}, every_steps=300)
    first.finish()
    second = start({**example("classifier"), "steps": 400, "lr": 10}, resume=max(first.checkpoints.iterdir()),
                   STOKER_RESTORE_OPTIMIZER="0")
    second.finish()
    before, after = series(first), series(second)
    verdict, onset, reports = suspect(before + after)
    assert verdict in ("spike", "nonfinite") and 301 <= onset <= 310, (verdict, onset, after[:20])
    assert suspect(before)[0] == "ok"
