"""The short form of `make mutants`: its table is still about this code, and what judges the tests can tell a bug that
was caught from one that only broke something."""
import subprocess
import sys
import xml.etree.ElementTree as xml

import pytest

import mutants
import run


def test_each_bug_has_its_place_and_its_test():
    assert mutants.mistakes() == []
    assert len(mutants.MUTANTS) >= 18


def test_the_page_lists_them():
    page = (mutants.ROOT / "docs/reliability.md").read_text()
    assert mutants.page(page) == page, "make docs"


@pytest.mark.parametrize("old,file,test,said", [
    ("is no more\n", "lua/job.lua", "tests/lua/test_life.py::test_a_job_runs_and_succeeds", "stands 0 times"),
    ("local", "lua/job.lua", "tests/lua/test_life.py::test_a_job_runs_and_succeeds", "not once"),
    ("local records = {}", "lua/job.lua", "tests/lua/test_life.py::test_that_is_no_more", "there is no test"),
    ("local records = {}", "lua/job.lua", "tests/lua/no_more.py::test_x", "there is no test"),
    ("local records = {}", "lua/job.lua", "tests/unit/test_gc.c::test_records", "there is no test"),
])
def test_a_table_that_is_wrong_is_told(monkeypatch, old, file, test, said):
    monkeypatch.setattr(mutants, "MUTANTS", [mutants.Mutant("one", "", file, old, "", test)])
    told, = mutants.mistakes()
    assert told.startswith("one: ") and said in told


BROKEN = """
import pytest

@pytest.fixture
def broken():
    assert False, "in the set-up"

@pytest.fixture
def broken_after():
    yield
    assert False, "in the teardown"

def test_passed(): pass
def test_asserted(): print("flag-ignored: job 1"); assert 1 == 2
def test_not_raised():
    with pytest.raises(ValueError): pass
def test_error(): raise RuntimeError("the code is broken")
def test_set_up(broken): pass
def test_teardown(broken_after): pass
def test_skipped(): pytest.skip("not here")
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """(folder of one report for each of these tests, what pytest printed)"""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "test_one.py").write_text(BROKEN)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_one.py", "--junitxml",
                           "all.xml"], cwd=folder, capture_output=True, text=True)
    for case in xml.parse(folder / "all.xml").iter("testcase"):
        xml.ElementTree(case).write(folder / f"{case.get('name')}.xml")
    (folder / "test_none.xml").write_text("<testsuites/>")
    return folder, done.stdout


@pytest.mark.parametrize("name,says,verdict,said", [
    ("passed", "", "passed", ""), ("asserted", "", "caught", "1 == 2"), ("not_raised", "", "caught", "DID NOT RAISE"),
    ("asserted", "^flag-ignored: ", "caught", "flag-ignored: job 1"),
    ("asserted", "^cancel-ignored: ", "wrong", "without saying"),
    ("error", "", "wrong", "the code is broken"), ("set_up", "", "wrong", "in the set-up"),
    ("teardown", "", "wrong", "in the teardown"), ("skipped", "", "wrong", "not here"),
    ("none", "", "wrong", "no test ran"), ("not_even_a_report", "", "wrong", "no report"),
])
def test_only_an_assertion_of_the_test_counts(broken, name, says, verdict, said):
    folder, output = broken
    found, sentence = run.judge_pytest(folder / f"test_{name}.xml", output, says)
    assert found == verdict and said in sentence


@pytest.mark.parametrize("code,output,verdict", [
    (0, "1..1\nok 1 - test_a\n# ok - tests\n", "passed"),
    (1, "1..1\nnot ok 1 - test_a\n# 1 != 2\n# a.c:7: error: Failure!\n", "caught"),
    (0, "1..0\n# ok - tests\n", "wrong"),
    (1, "1..2\nok 1 - test_a\nnot ok 2 - test_ab\n# 1 != 2\n", "wrong"),
    (1, "1..1\nnot ok 1 - test_a\n# Test failed with exception: Segmentation fault(11)\n", "wrong"),
    (-6, "1..1\n", "wrong"),
])
def test_the_same_of_a_unit_test(code, output, verdict):
    assert run.judge_unit(code, output, "test_a")[0] == verdict
