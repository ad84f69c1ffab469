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
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tools.conformance_page import (
    DIFFERS,
    FAILING,
    LEVELS,
    NOT_APPLICABLE,
    NOT_IMPLEMENTED,
    PROVED,
    UNTESTED,
    VERDICTS,
    Finding,
    Requirement,
    page,
    show_tests,
)
from tools.conformance_plugin import worse

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "docs" / "rfc"
NOTES = ROOT / "docs" / "conformance-notes.md"
PAGE = ROOT / "docs" / "conformance.md"

OURS = (DIFFERS, NOT_IMPLEMENTED, NOT_APPLICABLE)
_NOTE = re.compile(r"\| `(?P<id>[^`]+)` \| (?P<what>[^|]*?)(?:: (?P<value>[^|]*?))? \|")


class ConformanceError(Exception):
    """The inputs contradict one another; the message says where."""


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
        rows = [
            Requirement(row["id"], row["rfc"], row["section"], row["level"], row["layer"], row["statement"])
            for row in csv.DictReader(file)
        ]
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
    """Raises ConformanceError for a verdict or an id that does not exist, and for an id that two rules name."""
    named: Counter[str] = Counter()
    for rule in rules:
        if rule.verdict not in OURS:
            raise ConformanceError(f"verdicts.toml: {rule.verdict!r} is none of {', '.join(map(repr, OURS))}")
        for unknown in sorted(set(rule.ids) - known):
            raise ConformanceError(f"verdicts.toml: no requirement {unknown!r} in requirements.csv")
        named.update(rule.ids)
    for id, count in named.items():
        if count > 1:
            raise ConformanceError(f"verdicts.toml names {id!r} {count} times")


def correct(rows: Sequence[Requirement], notes: str) -> list[Requirement]:
    """The rows, those that the tables of conformance-notes.md name marked, and of the level that is given there.

    A line of such a table is "| `id` | level: MAY | ... |", or names something else that is wrong.
    """
    found = {match["id"]: match for line in notes.splitlines() if (match := _NOTE.match(line))}
    for unknown in sorted(set(found) - {row.id for row in rows}):
        raise ConformanceError(f"conformance-notes.md: no requirement {unknown!r} in requirements.csv")
    corrected = []
    for row in rows:
        note = found.get(row.id)
        if note is not None:
            row = replace(row, is_corrected=True, level=note["value"] if note["what"] == "level" else row.level)
            if not any(row.level in levels for levels in LEVELS.values()):
                raise ConformanceError(f"conformance-notes.md: {row.id} cannot have the level {row.level!r}")
        corrected.append(row)
    return corrected


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
    by_id = {id: rule for rule in rules for id in rule.ids}
    for row in rows:
        tests: dict[str, str] = {}
        for requirement in (row.id, *sorted(aliases.get(row.id, ()))):
            tests.update(results.get(requirement, {}))
        decided = [outcome for outcome in tests.values() if outcome != "skipped"]
        rule = by_id.get(row.id) or next((rule for rule in rules if rule.covers(row)), None)
        if "failed" in decided:
            findings[row.id] = Finding(FAILING, show_tests(t for t, outcome in tests.items() if outcome == "failed"))
        elif decided:
            if row.id in by_id:
                raise ConformanceError(
                    f"verdicts.toml calls {row.id} {by_id[row.id].verdict!r}, and {min(tests)} proves it"
                )
            findings[row.id] = Finding(PROVED, show_tests(t for t, outcome in tests.items() if outcome == "passed"))
        elif rule is not None:
            findings[row.id] = Finding(rule.verdict, rule.reason)
        else:
            findings[row.id] = Finding(UNTESTED, "")
    return findings


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
        rows = correct(rows, NOTES.read_text())
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
