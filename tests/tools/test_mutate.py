"""tools/mutate: a bug is caught only by a test that fails."""

import re
from pathlib import Path

import pytest

from tools import mutate

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parents[2]
PLANTED = mutate.load(ROOT / "tools" / "mutations")

SAMPLE_TESTS = """
from stack.sample import double

def test_double():
    assert double(2) == 4

def test_nothing():
    pass
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "__init__.py").write_text("")
    (tmp_path / "stack" / "sample.py").write_text("def double(x):\n    return x + x\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_sample.py").write_text(SAMPLE_TESTS)
    return tmp_path


def bug(new="return x", old="return x + x", test="tests/test_sample.py"):
    return mutate.Mutation("sample", "stack/sample.py", "does not double", old, new, (test,))


def test_each_verdict(project, capsys):
    bugs = [
        bug(),
        bug(test="tests/test_sample.py::test_nothing"),
        bug(old="return x - x"),
        bug(old="x", new="y"),
        bug(new="return x +"),
    ]
    outcomes = mutate.run(project, bugs, 2)
    assert [outcome.verdict for outcome in outcomes] == ["caught", "MISSED", "ERROR", "ERROR", "ERROR"]
    assert outcomes[0].detail == "tests/test_sample.py::test_double"
    assert "occurs 0 times" in outcomes[2].detail and "occurs 3 times" in outcomes[3].detail
    assert (project / "stack" / "sample.py").read_text() == "def double(x):\n    return x + x\n"
    assert capsys.readouterr().out.count("\n") == 5


def test_a_bug_that_hangs_is_caught(project, monkeypatch):
    monkeypatch.setattr(mutate, "TIMEOUT", 2.0)
    [outcome] = mutate.run(project, [bug(new="\n    while True: pass")], 1)
    assert outcome.verdict == "caught" and outcome.detail == "not done after 2 s"


def test_tests_that_fail_anyway_prove_nothing(project):
    (project / "stack" / "sample.py").write_text("def double(x):\n    return x + x + 1\n")
    with pytest.raises(mutate.MutationError, match="do not pass without a bug"):
        mutate.run(project, [bug()], 1)


def test_an_unknown_name_is_refused():
    with pytest.raises(mutate.MutationError, match="no such bug: nonsense"):
        mutate.select(PLANTED, ["nonsense"])


@pytest.mark.parametrize("mutation", PLANTED, ids=lambda mutation: mutation.name)
def test_every_planted_bug_still_applies(mutation):
    assert mutation.apply(ROOT) != (ROOT / mutation.file).read_text()
    for test in mutation.tests:
        assert (ROOT / test.partition("::")[0]).exists(), f"{mutation.name} names {test}, which is not there"


def test_the_names_of_the_planted_bugs_are_unique():
    assert len({mutation.name for mutation in PLANTED}) == len(PLANTED)


def test_what_stacks_most_often_get_wrong_is_planted():
    page = (ROOT / "tools" / "mutations" / "README.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"`([^`]+)`", row.rsplit("|", 2)[1]) for row in rows]
    assert len(rows) == 30 and all(named)
    assert {name for names in named for name in names} <= {mutation.name for mutation in PLANTED}
