"""stoker submit -i, with a person at a terminal."""
import json
import os
import pty
import subprocess

import pytest

from harness import BUILD

QUESTIONS = ["command, as for a shell: ", "name [none]: ", "queue [default]: ", "processors [1]: ", "GPUs [0]: ",
             "memory, like 16GiB [not stated]: ", "files that are checkpoints, like ckpt/*.pt [none]: ",
             "stop an attempt after, like 12h [never]: "]
LAST = ["keep it as a file, name [no]: ", "submit it, y or n [y]: "]


class Person:
    """Answers each question when it stands there; what else is said is kept in `said`."""

    def __init__(self, cluster, *options, folder=None):
        ours, theirs = pty.openpty()
        self.terminal, self.said = ours, ""
        self.process = subprocess.Popen(
            [str(BUILD / "stoker"), "submit", "-i", *options], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs,
            cwd=folder, env={**os.environ, "STOKER_URL": f"unix:{cluster.socket_of()}"})
        os.close(theirs)

    def answer(self, question, answer):
        while not self.said.endswith(question):
            self.said += os.read(self.terminal, 4096).decode().replace("\r\n", "\n")
        if answer is None:
            os.write(self.terminal, b"\x04")
        else:
            os.write(self.terminal, answer.encode() + b"\n")
            self.said += os.read(self.terminal, 1 if not answer else len(answer)).decode()  # its echo

    def end(self):
        out = self.process.communicate(timeout=30)[0].decode()
        try:
            while part := os.read(self.terminal, 4096).decode().replace("\r\n", "\n"):
                self.said += part
        except OSError:  # nobody has the other end any more
            pass
        os.close(self.terminal)
        return self.process.returncode, out.strip()


def test_a_job_is_asked_for(cluster, tmp_path):
    person = Person(cluster, "--set", "env.WHO=me", folder=tmp_path)
    answers = ["echo hello $WHO", "first", "", "2", "", "64MiB", "out/*.bin", "1h"]
    for question, answer in zip(QUESTIONS, answers):
        person.answer(question, answer)
    person.answer(LAST[0], "job.json")
    person.answer(LAST[1], "")
    code, job = person.end()
    assert code == 0, person.said
    found = cluster.wait_final(job)
    assert (found["state"], found["name"]) == ("succeeded", "first")
    assert cluster.log_text(job)[0]["stdout"] == "hello me"
    expected = {"env": {"WHO": "me"}, "command": "echo hello $WHO", "name": "first",
                "resources": {"cpus": 2, "memory": "64MiB"}, "checkpoint": {"paths": ["out/*.bin"]}, "timeout": "1h"}
    assert json.loads((tmp_path / "job.json").read_text()) == expected
    again = cluster.cli("submit", tmp_path / "job.json").stdout.strip()
    assert cluster.wait_final(again)["state"] == "succeeded", "the file is a spec"


def test_a_wrong_answer_is_asked_again(cluster, tmp_path):
    (tmp_path / "there.json").write_text("mine")
    person = Person(cluster, folder=tmp_path)
    person.answer(QUESTIONS[0], "")
    person.answer(QUESTIONS[0], "true")
    person.answer(QUESTIONS[1], "")
    person.answer(QUESTIONS[2], "Not A Queue")
    person.answer(QUESTIONS[2], "")
    person.answer(QUESTIONS[3], "many")
    person.answer(QUESTIONS[3], "1")
    for question in QUESTIONS[4:]:
        person.answer(question, "")
    person.answer(LAST[0], "there.json")
    person.answer(LAST[0], "")
    person.answer(LAST[1], "perhaps")
    person.answer(LAST[1], "n")
    code, job = person.end()
    assert (code, job) == (0, ""), person.said
    for words in ("  command: expected", "  queue: expected", "  resources.cpus: expected", "cannot make there.json",
                  "nothing was submitted"):
        assert words in person.said, person.said
    assert (tmp_path / "there.json").read_text() == "mine"
    assert cluster.redis.client().hget("stoker:{default}:meta", "next") in (None, "0")


def test_a_person_who_leaves_submits_nothing(cluster):
    person = Person(cluster)
    person.answer(QUESTIONS[0], "true")
    person.answer(QUESTIONS[1], None)
    code, job = person.end()
    assert (code, job) == (2, "") and "the answers ended before the last question" in person.said
    assert cluster.redis.client().hget("stoker:{default}:meta", "next") in (None, "0")


@pytest.mark.parametrize("options, message", [
    (["-i"], "-i asks on a terminal, and stdin is none"),
    (["-i", "file.yaml"], "-i asks for the spec: it takes no file"),
    ([], "expected a FILE, or -i"),
])
def test_no_person_is_there(cluster, options, message):
    done = cluster.cli("submit", *options, check=False)
    assert (done.returncode, done.stdout) == (2, "") and message in done.stderr
