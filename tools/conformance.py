"""Joins what the tests proved with the catalogue of requirements into docs/conformance.md.

    tools/conformance                     run the tests on both fastpaths, then write the page
    tools/conformance RESULTS.json ...    write it from runs already made (see tools/conformance_plugin.py)
    tools/conformance --check RESULTS...  write nothing; exit 1 when the page is not what these runs say

The page has no dates and no timings: the same tests and the same catalogue give the same octets.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.conformance_plugin import worse

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "docs" / "rfc"
PAGE = ROOT / "docs" / "conformance.md"

PROVED, FAILING, UNTESTED, DIFFERS, NOT_IMPLEMENTED = VERDICTS = (
    "proved",
    "failing",
    "untested",
    "differs",
    "not implemented",
)

INTRODUCTION = """\
# Conformance

Which requirement of which RFC a test proves. Made by `tools/conformance` from a run of the tests and the catalogue in
[docs/rfc](rfc/README.md); not to be edited by hand.

- **proved**: at least one test names the requirement, and all that do pass, on the C fastpath and on the Python one.
- **failing**: a test that names it fails.
- **differs**: we do otherwise on purpose; the reason is given.
- **not implemented**: no code for it in this release; the reason is given.
- **untested**: nobody has shown it yet. There may be code for it.
"""


class ConformanceError(Exception):
    """The inputs contradict one another; the message says where."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A row of requirements.csv."""

    id: str
    rfc: str
    section: str
    level: str
    layer: str
    statement: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What we can say of one requirement; `evidence` is the names of tests, or the reason."""

    verdict: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Rule:
    """An entry of verdicts.toml."""

    verdict: str
    reason: str
    layer: str | None = None
    rfc: str | None = None
    ids: tuple[str, ...] = ()

    def covers(self, row: Requirement) -> bool:
        """Whether the rule speaks of `row`."""
        return row.id in self.ids or row.layer == self.layer or row.rfc == self.rfc


def read_catalogue(folder: Path) -> tuple[list[Requirement], dict[str, str], dict[str, set[str]], list[Rule]]:
    """The requirements, the RFCs' titles, each requirement's aliases, and our verdicts."""
    with (folder / "requirements.csv").open(newline="") as file:
        rows = [Requirement(**{k: v for k, v in row.items() if k != "how_to_test"}) for row in csv.DictReader(file)]
    with (folder / "rfcs.csv").open(newline="") as file:
        titles = {row["rfc"]: row["title"] for row in csv.DictReader(file)}
    aliases: dict[str, set[str]] = defaultdict(set)
    with (folder / "aliases.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            aliases[row["id"]].add(row["related_id"])
            aliases[row["related_id"]].add(row["id"])
    entries = tomllib.loads((folder / "verdicts.toml").read_text())["verdicts"]
    rules = [Rule(**{**entry, "ids": tuple(entry.get("ids", ()))}) for entry in entries]
    check_rules(rules, {row.id for row in rows})
    return rows, titles, aliases, rules


def check_rules(rules: Iterable[Rule], known: set[str]) -> None:
    """Raises ConformanceError for a verdict or an id that does not exist."""
    for rule in rules:
        if rule.verdict not in (DIFFERS, NOT_IMPLEMENTED):
            raise ConformanceError(f"verdicts.toml: {rule.verdict!r} is neither {DIFFERS!r} nor {NOT_IMPLEMENTED!r}")
        for unknown in sorted(set(rule.ids) - known):
            raise ConformanceError(f"verdicts.toml: no requirement {unknown!r} in requirements.csv")


def read_results(paths: Iterable[Path]) -> dict[str, dict[str, str]]:
    """requirement -> test -> outcome, over all runs; of two outcomes of one test the worse."""
    merged: dict[str, dict[str, str]] = defaultdict(dict)
    for path in paths:
        for requirement, tests in json.loads(path.read_text())["requirements"].items():
            for test, outcome in tests.items():
                merged[requirement][test] = worse(merged[requirement].get(test, "passed"), outcome)
    return merged


def judge(
    rows: Sequence[Requirement],
    results: Mapping[str, Mapping[str, str]],
    aliases: Mapping[str, set[str]],
    rules: Sequence[Rule],
) -> dict[str, Finding]:
    """The finding for every requirement. Raises ConformanceError for a row both proved and ruled out by id."""
    findings = {}
    for row in rows:
        tests: dict[str, str] = {}
        for requirement in (row.id, *sorted(aliases.get(row.id, ()))):
            tests.update(results.get(requirement, {}))
        decided = [outcome for outcome in tests.values() if outcome != "skipped"]
        rule = next((rule for rule in rules if rule.covers(row)), None)
        if "failed" in decided:
            findings[row.id] = Finding(FAILING, show_tests(t for t, outcome in tests.items() if outcome == "failed"))
        elif decided:
            if rule is not None and row.id in rule.ids:
                raise ConformanceError(f"verdicts.toml calls {row.id} {rule.verdict!r}, and {min(tests)} proves it")
            findings[row.id] = Finding(PROVED, show_tests(t for t, outcome in tests.items() if outcome == "passed"))
        elif rule is not None:
            findings[row.id] = Finding(rule.verdict, rule.reason)
        else:
            findings[row.id] = Finding(UNTESTED, "")
    return findings


def show_tests(tests: Iterable[str]) -> str:
    """The tests' names, at most three, each `file::name` below tests/."""
    names = sorted(tests)
    shown = [f"`{name.removeprefix('tests/')}`" for name in names[:3]]
    if len(names) > 3:
        shown.append(f"and {len(names) - 3} more")
    return "<br>".join(shown)


def page(rows: Sequence[Requirement], titles: Mapping[str, str], findings: Mapping[str, Finding]) -> str:
    """docs/conformance.md."""
    by_rfc: dict[str, list[Requirement]] = defaultdict(list)
    for row in rows:
        by_rfc[row.rfc].append(row)
    numbers = sorted(by_rfc, key=int)
    lines = [INTRODUCTION, f"| RFC | title | rows | {' | '.join(VERDICTS)} |", f"|---|---|{'--:|' * 6}"]
    for number in numbers:
        counts = Counter(findings[row.id].verdict for row in by_rfc[number])
        shown = " | ".join(str(counts[verdict] or "") for verdict in VERDICTS)
        title = f"[{number}](#rfc-{number})" if counts[NOT_IMPLEMENTED] < len(by_rfc[number]) else number
        lines.append(f"| {title} | {cell(titles[number])} | {len(by_rfc[number])} | {shown} |")
    total = Counter(finding.verdict for finding in findings.values())
    lines.append(f"| | **all** | {len(rows)} | {' | '.join(str(total[verdict]) for verdict in VERDICTS)} |")
    for number in numbers:
        lines += section(number, titles[number], by_rfc[number], findings)
    return "\n".join(lines) + "\n"


def section(number: str, title: str, rows: Sequence[Requirement], findings: Mapping[str, Finding]) -> list[str]:
    """The part of the page on one RFC; empty when nothing of it is implemented, which the summary says already."""
    if all(findings[row.id].verdict == NOT_IMPLEMENTED for row in rows):
        return []
    lines = ["", f"## RFC {number}", "", title, ""]
    lines += ["| requirement | section | level | statement | verdict | shown by, or why |", "|---|---|---|---|---|---|"]
    for row in rows:
        finding = findings[row.id]
        verdict = f"**{finding.verdict}**" if finding.verdict == FAILING else finding.verdict
        cells = (row.id, row.section, row.level, cell(row.statement), verdict, finding.evidence)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def cell(text: str) -> str:
    """`text` as it may stand in a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def skipped(results: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The tests that name a requirement and were skipped: without them the page cannot be judged."""
    return sorted({test for tests in results.values() for test, outcome in tests.items() if outcome == "skipped"})


def run_tests() -> list[Path]:
    """One run of all tests on each fastpath; the paths of their results."""
    paths = []
    for fastpath in ("native", "reference"):
        path = ROOT / "build" / "conformance" / f"{fastpath}.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tools.conformance_plugin", "--conformance", str(path)]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "TAPSTACK_FASTPATH": fastpath}, check=False)
        paths.append(path)
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools/conformance", description="Writes docs/conformance.md.")
    parser.add_argument("results", nargs="*", type=Path, help="results of runs; none: run the tests now")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args(arguments)
    try:
        results = read_results(options.results or run_tests())
        rows, titles, aliases, rules = read_catalogue(CATALOGUE)
        findings = judge(rows, results, aliases, rules)
    except ConformanceError as error:
        print(f"tools/conformance: {error}", file=sys.stderr)
        return 1
    text = page(rows, titles, findings)
    total = Counter(finding.verdict for finding in findings.values())
    print(", ".join(f"{total[verdict]} {verdict}" for verdict in VERDICTS))
    if not options.check:
        PAGE.write_text(text)
    elif left_out := skipped(results):
        print(
            f"docs/conformance.md not compared: {len(left_out)} tests that it rests on were skipped: {left_out[0]} ..."
        )
    elif not PAGE.exists() or PAGE.read_text() != text:
        given = " ".join(str(path) for path in options.results)
        print(f"docs/conformance.md is not what the tests say. Run:  tools/conformance {given}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
