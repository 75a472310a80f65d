"""Completion in the real shells, from the scripts that stoker prints."""
import os
import shutil
import subprocess

import pytest

from harness import BUILD


def script(shell, folder):
    done = subprocess.run([BUILD / "stoker", "completion", shell], capture_output=True, text=True, check=True)
    path = folder / f"stoker.{shell}"
    path.write_text(done.stdout)
    return path


def run(*args, cluster=None, **more):
    env = {**os.environ, "PATH": f"{BUILD.resolve()}:{os.environ['PATH']}"}
    env.pop("STOKER_URL", None)
    if cluster:
        env["STOKER_URL"] = f"unix:{cluster.socket_of()}"
    done = subprocess.run(args, capture_output=True, text=True, timeout=60, env=env, **more)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.split()


def bash(path, *words, cluster=None):
    program = (f"source {path}; COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; "
               "_stoker; printf '%s\\n' \"${COMPREPLY[@]}\"")
    return run("bash", "-c", program, cluster=cluster)


def test_bash(tmp_path, cluster):
    path = script("bash", tmp_path)
    run("bash", "-n", path)
    assert bash(path, "stoker", "sub") == ["submit", "submitters"]
    assert {"submit", "ls", "show", "completion"} <= set(bash(path, "stoker", ""))
    assert bash(path, "stoker", "submit", "--fol") == ["--follow"]
    assert "--json" in bash(path, "stoker", "ls", "--")
    jobs = [cluster.submit({"command": ["true"]}) for _ in range(3)]
    assert sorted(bash(path, "stoker", "show", "default-", cluster=cluster)) == sorted(jobs)
    assert bash(path, "stoker", "show", "default-") == [], "no scheduler: no ids, and no noise"


def test_fish(tmp_path, cluster):
    path = script("fish", tmp_path)
    run("fish", "--no-execute", path)
    job = cluster.submit({"command": ["true"]})

    def complete(line):
        return run("fish", "--no-config", "-c", f"source {path}; complete -C '{line}'", cluster=cluster)
    assert "submit" in complete("stoker sub")
    assert "--follow" in complete("stoker submit --fol")
    assert job in complete("stoker show default")


def test_zsh(tmp_path):
    path = script("zsh", tmp_path)
    run("zsh", "-n", path)
    text = path.read_text()
    shutil.copy(path, tmp_path / "_stoker")
    loaded = run("zsh", "-f", "-c", f"fpath=({tmp_path} $fpath); autoload -Uz compinit && compinit -D -u; "
                 "print $_comps[stoker]")
    assert loaded == ["_stoker"]
    assert "'submit:submits jobs" in text and "'--follow[" in text


def test_another_shell():
    done = subprocess.run([BUILD / "stoker", "completion", "tcsh"], capture_output=True, text=True)
    assert done.returncode == 2 and "expected bash, zsh or fish" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_in_it(shell, tmp_path):
    text = script(shell, tmp_path).read_text()
    listed = subprocess.run([BUILD / "stoker", "help"], capture_output=True, text=True, check=True).stdout
    commands = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != "-"][1:]
    assert len(commands) > 20
    assert [c for c in commands if c not in text] == []
