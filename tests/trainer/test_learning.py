"""It learns, and says plainly when it cannot."""
import math

import pytest


def test_the_loss_of_the_language_model_falls(start, train_of):
    run = start({**train_of["language-model"], "steps": 150})
    run.finish()
    losses = [line["loss"] for line in run.said("metric")]
    assert losses[0] > 2.5, "it knew the text before it read it"
    assert sum(losses[-10:]) / 10 < 0.75 * losses[0]
    assert run.said("progress")[-1] == {"t": "progress", "step": 150, "total": 150}
    assert run.said("done") == [{"t": "done", "step": 150}]
    assert "step 150/150" in run.process.text()


def test_the_classifier_tells_the_arms_apart(start, train_of):
    run = start({**train_of["classifier"], "steps": 400, "width": 32, "layers": 2, "batch": 64})
    run.finish()
    accuracy = [line["accuracy"] for line in run.said("metric")]
    assert accuracy[0] < 0.7 and sum(accuracy[-20:]) / 20 > 0.9


def test_a_loss_that_is_not_finite_is_reported_as_it_is(start, train_of):
    run = start({**train_of["classifier"], "lr": 1e30})
    run.finish()
    assert not math.isfinite(run.said("metric")[-1]["loss"])


def test_without_tinygrad_it_exits_78_and_says_why(start, train_of):
    run = start(train_of["classifier"], python="/usr/bin/python3", PYTHONNOUSERSITE="1")
    assert run.wait() == 78
    assert "/usr/bin/python3 has no tinygrad" in run.process.text()


def test_without_a_compiler_it_exits_78_and_says_why(start, train_of, tmp_path):
    run = start(train_of["classifier"], PATH=str(tmp_path))
    assert run.wait() == 78
    assert "clang, which is not in PATH" in run.process.text()


def test_a_compiler_that_fails_is_said_too(start, train_of, tmp_path):
    broken = tmp_path / "clang"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    run = start(train_of["classifier"], PATH=f"{tmp_path}:/usr/bin:/bin", CACHEDB=str(tmp_path / "empty.db"))
    assert run.wait() == 78
    assert "cannot compute on this machine" in run.process.text()


BAD = [
    ("x,y,label\n1,2,a\n3,oops,b\n", ":3: expected 2 numbers and a label"),
    ("1,2,a\n3,b\n", ":2: expected 2 numbers and a label"),
    ("1,2,a\n3,4,a\n", "nothing to tell apart"),
    ("x,y,label\n", "no two rows of data"),
    ("", "no two rows of data"),
    (None, "No such file"),
]


@pytest.mark.parametrize("content,sentence", BAD, ids=[sentence for _, sentence in BAD])
def test_bad_tables_exit_65(start, train_of, tmp_path, content, sentence):
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_text(content)
    run = start({**train_of["classifier"], "data": str(path)})
    assert run.wait() == 65, run.process.text()
    assert f"bad data: {path}" in run.process.text() and sentence in run.process.text()
    assert "Traceback" not in run.process.text()


def test_bad_texts_exit_65(start, train_of, tmp_path):
    (tmp_path / "short.txt").write_text("abc")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 " * 50)
    (tmp_path / "empty").mkdir()
    for name, sentence in (("short.txt", "3 characters are fewer"), ("latin.txt", "not UTF-8"), ("empty", "no .md"),
                           ("missing", "no such file")):
        run = start({**train_of["language-model"], "text": str(tmp_path / name)})
        assert run.wait() == 65, run.process.text()
        assert sentence in run.process.text()


def test_a_checkpoint_of_another_model_exits_65(straight, start, train_of):
    run = start({**train_of["language-model"], "width": 16}, resume=straight["language-model"].newest())
    assert run.wait() == 65
    assert "another model" in run.process.text() and "width" in run.process.text()


def test_a_file_that_is_no_checkpoint_exits_65(start, train_of, tmp_path):
    (tmp_path / "notes.safetensors").write_text("nothing of the kind")
    run = start(train_of["classifier"], resume=tmp_path / "notes.safetensors")
    assert run.wait() == 65
    assert "cannot be read as a checkpoint" in run.process.text()
