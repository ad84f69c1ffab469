"""tools/conformance: from marks and a catalogue to a page."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import conformance

pytestmark = pytest.mark.tools

ROOT = Path(__file__).resolve().parents[2]

ROWS = [
    conformance.Requirement(id, rfc, "1", level, layer, f"statement of {id}")
    for id, rfc, level, layer in [
        ("9293-MUST-1", "9293", "MUST", "tcp"),
        ("9293-MUST-2", "9293", "MUST", "tcp"),
        ("9293-MUST-3", "9293", "MUST NOT", "tcp"),
        ("9293-MUST-7", "9293", "MUST", "tcp"),
        ("9293-SHLD-1", "9293", "SHOULD", "tcp"),
        ("9293-SHLD-2", "9293", "SHOULD NOT", "tcp"),
        ("9293-MAY-1", "9293", "MAY", "tcp"),
        ("2525-2.1", "2525", "MUST", "tcp"),
        ("2131-1", "2131", "MUST", "dhcp"),
    ]
]
TITLES = {"9293": "Transmission Control Protocol", "2525": "Problems", "2131": "DHCP"}
RULES = [
    conformance.Rule("not implemented", "no DHCP", layer="dhcp"),
    conformance.Rule("differs", "as Linux", ids=("9293-MUST-3", "9293-SHLD-2")),
    conformance.Rule("not applicable", "we have none", ids=("9293-MAY-1",)),
]
RESULTS = {
    "9293-MUST-1": {"tests/tcp/test_a.py::test_one": "passed", "tests/tcp/test_a.py::test_two": "passed"},
    "9293-MUST-2": {"tests/tcp/test_a.py::test_one": "passed", "tests/tcp/test_a.py::test_three": "failed"},
    "9293-MUST-7": {"tests/kernel/test_k.py::test_k": "skipped"},
    "9293-SHLD-1": {"tests/tcp/test_a.py::test_one": "passed"},
}


def findings(results=RESULTS, aliases=None, rules=RULES):
    return conformance.judge(ROWS, results, aliases or {}, rules)


def test_each_verdict():
    assert {id: finding.verdict for id, finding in findings().items()} == {
        "9293-MUST-1": "proved",
        "9293-MUST-2": "failing",
        "9293-MUST-3": "differs",
        "9293-MUST-7": "untested",
        "9293-SHLD-1": "proved",
        "9293-SHLD-2": "differs",
        "9293-MAY-1": "not applicable",
        "2525-2.1": "untested",
        "2131-1": "not implemented",
    }


def test_an_alias_proves_both_ways_but_not_further():
    aliases = {"2525-2.1": {"9293-MUST-1"}, "9293-MUST-1": {"2525-2.1"}}
    assert findings(aliases=aliases)["2525-2.1"].verdict == "proved"


def test_a_row_ruled_out_by_id_and_proved_is_an_error():
    results = {"9293-MUST-3": {"tests/tcp/test_a.py::test_x": "passed"}}
    with pytest.raises(conformance.ConformanceError, match=r"9293-MUST-3 'differs', and .*test_x proves it"):
        findings(results=results)


def test_a_test_wins_over_a_rule_for_a_whole_layer():
    results = {"2131-1": {"tests/dhcp/test_a.py::test_x": "passed"}}
    assert findings(results=results)["2131-1"].verdict == "proved"


def test_rules_that_name_nothing_are_errors():
    with pytest.raises(conformance.ConformanceError, match="no requirement '9293-MUST-999'"):
        conformance.check_rules([conformance.Rule("differs", "why", ids=("9293-MUST-999",))], {"9293-MUST-1"})
    with pytest.raises(conformance.ConformanceError, match="'maybe' is none of"):
        conformance.check_rules([conformance.Rule("maybe", "why", rfc="9293")], set())
    with pytest.raises(conformance.ConformanceError, match="names '9293-MUST-1' 2 times"):
        conformance.check_rules([conformance.Rule("differs", "why", ids=("9293-MUST-1",))] * 2, {"9293-MUST-1"})


def test_a_rule_for_one_row_wins_over_one_for_its_rfc():
    rules = [conformance.Rule("not implemented", "no", rfc="9293"), *RULES]
    assert findings({}, rules=rules)["9293-MUST-3"] == conformance.Finding("differs", "as Linux")
    assert findings({}, rules=rules)["9293-MUST-7"] == conformance.Finding("not implemented", "no")


def test_the_page_names_tests_and_reasons():
    text = conformance.page(ROWS, TITLES, findings())
    assert "| 9293-MUST-1 | 1 | MUST | statement of 9293-MUST-1 | proved | `tcp/test_a.py::test_one`" in text
    assert "| **failing** | `tcp/test_a.py::test_three` |" in text
    assert "| 2131 | DHCP | 1 | no DHCP |" in text and "## RFC 2131" not in text


def test_the_page_counts_by_rfc_and_level():
    text = conformance.page(ROWS, TITLES, findings())
    others = "1 failing, 1 untested, 2 differs, 1 not applicable"
    assert f"| [9293](#rfc-9293) | Transmission Control Protocol | **1 of 4** | **1 of 2** |  | {others} |" in text
    assert "| [2525](#rfc-2525) | Problems | **0 of 1** |  |  | 1 untested |" in text
    assert "| MUST | 5 | 1 | 1 | 2 | 1 |  |  |" in text  # nothing of RFC 2131 is implemented
    assert "| SHOULD | 2 | 1 |  |  | 1 |  |  |" in text and "| MAY | 1 |  |  |  |  |  | 1 |" in text
    proved = {row.id: conformance.Finding("proved", "`a`") for row in ROWS}
    text = conformance.page(ROWS, TITLES, proved)
    assert "| [9293](#rfc-9293) | Transmission Control Protocol | 4 of 4 | 2 of 2 | 1 of 1 |  |" in text


def test_the_page_lists_what_is_not_followed():
    text = conformance.page(ROWS, TITLES, findings())
    must, should = text.split("## MUST rows that")[1].split("## SHOULD rows that")
    should, rest = should.split("## Rows that do not apply")
    assert "| we have none | 9293-MAY-1 |" in rest
    assert "| 9293-MUST-3 | statement of 9293-MUST-3 | differs | as Linux |" in must and "9293-MUST-1 |" not in must
    assert "| 9293-SHLD-2 | statement of 9293-SHLD-2 | differs | as Linux |" in should and "SHLD-1 |" not in should


NOTES = """
| row | what is wrong | the RFC |
|---|---|---|
| `9293-MUST-2` | level: SHOULD | "should" |
| `9293-MUST-3` | section | 3.4 |
"""


def test_a_row_that_the_catalogue_has_wrong_is_marked_and_counted_as_the_rfc_has_it():
    rows = {row.id: row for row in conformance.correct(ROWS, NOTES)}
    assert (rows["9293-MUST-2"].level, rows["9293-MUST-3"].level) == ("SHOULD", "MUST NOT")
    assert {id for id, row in rows.items() if row.is_corrected} == {"9293-MUST-2", "9293-MUST-3"}
    text = conformance.page(list(rows.values()), TITLES, findings())
    assert "| 9293-MUST-2 † | 1 | SHOULD |" in text and "| 9293-MUST-1 | 1 | MUST |" in text


@pytest.mark.parametrize("line", ["| `9293-MUST-999` | section | 1 |", "| `9293-MUST-2` | level: PERHAPS | 1 |"])
def test_a_note_that_makes_no_sense_is_an_error(line):
    with pytest.raises(conformance.ConformanceError, match=r"conformance-notes\.md"):
        conformance.correct(ROWS, line)


def test_of_two_runs_the_worse_counts(tmp_path):
    for name, outcome in (("native", "passed"), ("reference", "failed")):
        results = {"counts": {}, "requirements": {"9293-MUST-1": {"tests/a.py::t": outcome}}}
        (tmp_path / name).write_text(json.dumps(results))
    merged = conformance.read_results([tmp_path / "native", tmp_path / "reference"])
    assert merged["9293-MUST-1"] == {"tests/a.py::t": "failed"}


def test_our_own_catalogue_is_sound():
    rows, titles, aliases, _ = conformance.read_catalogue(conformance.CATALOGUE)
    known = {row.id for row in rows}
    assert len(known) == len(rows)
    assert set(aliases) <= known
    assert {row.rfc for row in rows} == set(titles)
    assert len(conformance.correct(rows, conformance.NOTES.read_text())) == len(rows)


def run_pytest(folder: Path, source: str, *options: str) -> "subprocess.CompletedProcess[str]":
    (folder / "test_sample.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tools.conformance_plugin"]
    command += ["--conformance", str(folder / "results.json"), *options, str(folder / "test_sample.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


SAMPLE = """
import pytest

@pytest.mark.req("9293-MUST-1", "9293-MUST-2")
@pytest.mark.parametrize("x", [1, 2])
def test_sometimes(x):
    assert x == 1

@pytest.mark.req("9293-MUST-3")
def test_always(): pass

@pytest.mark.req("9293-MUST-3")
@pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.req("9293-MUST-5"), id="two")])
def test_one_of_two(x): pass

@pytest.fixture
def broken(): raise RuntimeError

@pytest.mark.req("9293-MUST-7")
def test_without_its_fixture(broken): pass

@pytest.mark.req("9293-MUST-4")
def test_elsewhere(): pytest.skip("no such machine")

def test_unmarked(): pass
"""


def test_the_plugin_records_what_happened(tmp_path):
    run_pytest(tmp_path, SAMPLE)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["counts"] == {"passed": 5, "failed": 2, "skipped": 1}
    assert results["requirements"] == {
        "9293-MUST-1": {"test_sample.py::test_sometimes": "failed"},
        "9293-MUST-2": {"test_sample.py::test_sometimes": "failed"},
        "9293-MUST-3": {"test_sample.py::test_always": "passed", "test_sample.py::test_one_of_two": "passed"},
        "9293-MUST-5": {"test_sample.py::test_one_of_two[two]": "passed"},
        "9293-MUST-4": {"test_sample.py::test_elsewhere": "skipped"},
        "9293-MUST-7": {"test_sample.py::test_without_its_fixture": "failed"},
    }


def test_the_plugin_records_the_same_under_xdist(tmp_path):
    pytest.importorskip("xdist")
    run_pytest(tmp_path, SAMPLE, "-n", "2")
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["counts"] == {"passed": 5, "failed": 2, "skipped": 1}
    assert results["requirements"]["9293-MUST-1"] == {"test_sample.py::test_sometimes": "failed"}


def test_a_mark_with_an_unknown_id_is_an_error(tmp_path):
    source = "import pytest\n\n@pytest.mark.req('9293-MUST-999')\ndef test_x(): pass\n"
    result = run_pytest(tmp_path, source)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_x: no requirement '9293-MUST-999' in docs/rfc/requirements.csv" in result.stderr + result.stdout
