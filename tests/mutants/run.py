#!/usr/bin/python3
"""Puts each bug of mutants.py into a copy of the tree, builds it, and demands that its test fails by an assertion of
its own. Before that every one of these tests must pass in a copy without a bug. Exit code 1: a bug survived.

    make mutants                              all of them
    make mutants MUTANTS='flag-ignored …'     these alone

Writes bench-mutants.json into the build folder. The tree itself is left as it is."""
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants import CHAOS, MUTANTS, ROOT, mistakes

sys.path[:0] = [str(ROOT / "scripts/bench"), str(ROOT / "tests")]
import table  # noqa: E402
from harness import BUILD  # noqa: E402

ASSERTION = re.compile(r"AssertionError|assert |Failed: DID NOT RAISE")
LONGEST_S = 900  # far more than any of them needs
RUNNING = set()


def interrupt(process):
    """As Ctrl-C does: a test takes down what it has started."""
    try:
        os.killpg(process.pid, signal.SIGINT)
    except ProcessLookupError:
        pass


def run(words, tree):
    """(exit code, what it printed)"""
    environment = {**os.environ, "STOKER_BUILD": BUILD.name, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen([str(w) for w in words], cwd=tree, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True) as process:
        RUNNING.add(process)
        try:
            output = process.communicate(timeout=LONGEST_S)[0]
        except subprocess.TimeoutExpired:
            interrupt(process)
            output = process.communicate()[0] + f"\nnot over after {LONGEST_S} s"
        RUNNING.discard(process)
    return process.returncode, output


# ---- how a test ended: ("passed" | "caught" | "wrong", a sentence) ----

def judge_pytest(report, output, says=""):
    """Caught is what an assertion in the test itself has met, with the words that were asked for."""
    if not report.exists():
        return "wrong", f"pytest wrote no report: {output[-500:]}"
    cases = list(xml.parse(report).iter("testcase"))
    failures = [f.get("message", "") for case in cases for f in case.iter("failure")]
    others = [f.get("message", "") for case in cases for kind in ("error", "skipped") for f in case.iter(kind)]
    asserted = [message for message in failures if ASSERTION.match(message)]
    if not cases:
        return "wrong", "no test ran"
    if not failures and not others:
        return "passed", ""
    if not asserted:
        return "wrong", f"no assertion of the test failed, but {' '.join((failures + others)[0].split())[:200]}"
    said = re.search(f"{says}.*", output, re.M) if says else None
    if says and not said:
        return "wrong", f"it failed without saying {says!r}: {asserted[0][:200]}"
    return "caught", said[0] if said else " ".join(asserted[0].split())


def judge_unit(code, output, function):
    if code == 0 and re.search(rf"^ok \d+ - {function}$", output, re.M):
        return "passed", ""
    if code < 0 or "exception:" in output:
        return "wrong", f"it died: {output[-300:]}"
    if not re.search(rf"^not ok \d+ - {function}$", output, re.M):
        return "wrong", f"that test did not fail: {output[-300:]}"
    said = re.search(rf"^not ok \d+ - {function}\n#? ?(.*)", output, re.M)
    return "caught", said[1] if said else ""


def try_test(tree, test, says=""):
    """Builds the tree, and runs the test in it."""
    path, function = test.split("::")
    program = f"{BUILD.name}/{path.removesuffix('.c')}" if path.endswith(".c") else None
    needed = [program] if program else ["all"]
    if path.startswith("tests/lua/"):
        needed = [f"{BUILD.name}/stoker.lua"]
    code, output = run(["make", "-s", f"B={BUILD.name}", *needed], tree)
    if code:
        return "wrong", f"it cannot be built: {output[-500:]}"
    if program:
        return judge_unit(*run(["env", "CMOCKA_MESSAGE_OUTPUT=TAP", f"STOKER_TEST={function}", f"./{program}"], tree),
                          function)
    folder, report = tree.with_name(tree.name + "-t"), tree.with_name(tree.name + ".xml")
    report.unlink(missing_ok=True)
    _, output = run([sys.executable, "-m", "pytest", "-q", test, "--basetemp", folder, "--junitxml", report], tree)
    shutil.rmtree(folder, ignore_errors=True)
    return judge_pytest(report, output, says)


def try_mutant(tree, mutant):
    path = tree / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        return try_test(tree, mutant.test, mutant.says)
    finally:
        path.write_text(text)


# ---- all of them ----

class Trees:
    """Copies of the tree with what is built in it, one for each that works at a time."""

    def __init__(self, folder, count):
        self.free = queue.Queue()
        for i in range(count):
            tree = Path(folder) / f"{i}"
            shutil.copytree(ROOT, tree, symlinks=True, ignore=self.left_out)
            shutil.copytree(BUILD, tree / BUILD.name, symlinks=True)
            self.free.put(tree)

    @staticmethod
    def left_out(folder, names):
        """Whatever was built, and git's own."""
        return [name for name in names if folder == str(ROOT) and (name == ".git" or name.startswith(BUILD.name))]

    def each(self, work, items):
        """[(verdict, sentence, seconds)] of work(tree, item); the longest are to come first."""
        def one(item):
            began, tree = time.monotonic(), self.free.get()
            try:
                verdict = (*work(tree, item), time.monotonic() - began)
            finally:
                self.free.put(tree)
            say(item, *verdict)
            return verdict
        with ThreadPoolExecutor(self.free.qsize()) as pool:
            try:
                return list(pool.map(one, items))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(RUNNING):
                    interrupt(process)
                raise


def say(item, verdict, sentence, seconds):
    name = getattr(item, "name", item)
    word = {"caught": "caught", "passed": "SURVIVED" if hasattr(item, "name") else "passes", "wrong": "WRONG"}[verdict]
    print(f"{name:32} {word:9} {seconds:5.0f} s  {getattr(item, 'test', '')}\n{'':4}{sentence[:300]}".rstrip(),
          flush=True)


def rows(mutants, verdicts, took_s):
    caught = sum(verdict[0] == "caught" for verdict in verdicts)
    return [table.row("seeded bugs", len(mutants), "bugs", must="value >= 15" if mutants == MUTANTS else None),
            table.row("seeded bugs that no test catches", len(mutants) - caught, "bugs", must="value < 1"),
            table.row("time", took_s, "s"),
            *[table.row(f"caught: {mutant.name}", int(verdict == "caught"), "of 1", must="value >= 1", note=mutant.test)
              for mutant, (verdict, _, _) in zip(mutants, verdicts)]]


def main():
    began, names = time.monotonic(), sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    wrong = mistakes() + [f"{name}: there is no bug of this name" for name in set(names) - {m.name for m in MUTANTS}]
    if wrong:
        sys.exit("\n".join(wrong))
    mutants = sorted((m for m in MUTANTS if not names or m.name in names), key=lambda m: m.test != CHAOS)
    with tempfile.TemporaryDirectory(prefix="stoker-mutants-", ignore_cleanup_errors=True) as folder:
        trees = Trees(folder, min(len(os.sched_getaffinity(0)), len(mutants)))
        print("every test without a bug:", flush=True)
        sound = trees.each(try_test, list(dict.fromkeys(m.test for m in mutants)))
        if any(verdict != "passed" for verdict, _, _ in sound):
            sys.exit("a test that fails without a bug proves nothing about one")
        print("\nand with it:", flush=True)
        verdicts = trees.each(try_mutant, mutants)
    result = rows(mutants, verdicts, time.monotonic() - began)
    print("\n" + "\n".join(table.line(row) for row in result))
    table.write(BUILD / "bench-mutants.json", result)
    sys.exit(0 if all(row["holds"] is not False for row in result) else 1)


if __name__ == "__main__":
    main()
