"""`make install DESTDIR= PREFIX=`: what is installed runs by itself, and finds what belongs to it."""
import json
import os
import subprocess

from harness import BUILD, ROOT, Process, wait_until


def run(*args, **env):
    words = [str(a) for a in args]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, env={**os.environ, **env})


def test_what_is_installed_finds_its_parts(tmp_path):
    made = run("make", "-C", ROOT, "install", f"B={BUILD}", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "usr/share/doc/stoker/LICENSE").exists()
    stoker, folder = tmp_path / "usr/bin/stoker", tmp_path / "up"
    assert (ROOT / "VERSION").read_text().strip() in run(stoker, "version").stdout
    up = Process([stoker, "up", "--dir", folder, "--port", "0"], tmp_path / "up.log")
    try:
        wait_until((folder / "stoker.json").exists, what="stoker up is ready")
        spec = tmp_path / "no-text.yaml"
        spec.write_text("{name: no-text, backend: tinygrad, train: {task: language-model, text: /nowhere}}")
        run(stoker, "submit", spec, "--wait", STOKER_DIR=str(folder))
        job = json.loads(run(stoker, "show", "default-1", "--json", STOKER_DIR=str(folder)).stdout)["job"]
        assert (job["state"], job["exit"]) == ("failed", "65"), job  # the trainer's own word: it was found, and it runs
    finally:
        up.stop()
