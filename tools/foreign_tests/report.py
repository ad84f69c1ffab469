"""How a suite has ended: a table for people, and JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

_OUTCOMES = ("passed", "failed", "skipped", "not applicable")


@dataclass(frozen=True, slots=True)
class Result:
    """The outcomes of one run of a suite, a record a case, and what of them nobody expected.

    `compared`: whether anything is expected of the suite in this version.
    """

    suite: str
    version: str
    seconds: float
    records: Sequence[Mapping[str, Any]]
    surprises: Sequence[str] = ()
    compared: bool = True

    def count(self, outcome: str, *, on_stack: bool = False) -> int:
        """How many cases ended so; `on_stack`: of those in which the stack had something to carry."""
        return sum(
            each["outcome"] == outcome and (not on_stack or each.get("on_stack", False)) for each in self.records
        )

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "suite": self.suite,
            "version": self.version,
            "seconds": round(self.seconds, 1),
            "counts": {name: self.count(name) for name in _OUTCOMES},
            "counts on the stack": {name: self.count(name, on_stack=True) for name in _OUTCOMES[:3]},
            "surprises": list(self.surprises),
            "compared": self.compared,
            "cases": list(self.records),
        }


def show(result: Result, console: Console) -> None:
    """A row for each file, and the sum; then what failed, what was left out and why, and what was not expected."""
    table = Table("file", *_OUTCOMES, "passed on the stack", "s", title=f"{result.suite} {result.version}")
    for column in table.columns[1:]:
        column.justify = "right"
    files = sorted({_file(each) for each in result.records})
    for name in (*files, None):
        part = result if name is None else _of(result, name)
        seconds = result.seconds if name is None else sum(each.get("seconds", 0.0) for each in part.records)
        counts = [str(part.count(outcome) or "") for outcome in _OUTCOMES]
        on_stack = part.count("passed", on_stack=True), part.count("failed", on_stack=True)
        if name is None:
            table.add_section()
        table.add_row(name or "together", *counts, f"{on_stack[0]} of {sum(on_stack)}", f"{seconds:.1f}")
    console.print(table)
    for outcome in _OUTCOMES[1:]:
        _show_reasons(outcome, [each for each in result.records if each["outcome"] == outcome], console)
    for surprise in result.surprises:
        console.print(f"NOT EXPECTED: {surprise}", markup=False, soft_wrap=True)


def _show_reasons(outcome: str, records: Sequence[Mapping[str, Any]], console: Console) -> None:
    if outcome == "failed":
        for each in records:
            console.print(f"failed: {each['case']}: {each['reason']}", markup=False, soft_wrap=True)
        return
    for reason, count in Counter(each["reason"] for each in records).most_common():
        console.print(f"{outcome}: {count}: {reason}", markup=False, soft_wrap=True)


def _file(record: Mapping[str, Any]) -> str:
    return str(record["case"].partition("::")[0])


def _of(result: Result, file: str) -> Result:
    return replace(result, records=[each for each in result.records if _file(each) == file])
