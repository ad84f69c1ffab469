"""A pytest plugin that has the tests of a suite use the stack, and writes down how each of them ended.

    -p tools.foreign_tests.plugin --foreign-suite FILE.toml --foreign-record FILE

The record is a line of JSON for each case, written when it is over; cases that are about something else are not run.
"""

import gc
import json
import signal
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tools.foreign_tests import suites
from tools.foreign_tests.expectations import Expectations
from tools.foreign_tests.place import Place, put_under_test

LIMIT: Final = 20  # s that a case may take


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--foreign-suite", metavar="FILE.toml", help="what of the suite is run")
    parser.addoption("--foreign-record", metavar="FILE", help="append how each case ended to FILE")


def pytest_configure(config: pytest.Config) -> None:
    resources = ExitStack()
    config.add_cleanup(resources.close)
    place = Place(resources)
    put_under_test(place)
    expectations = Expectations.load(Path(config.getoption("--foreign-suite")))
    suites.BY_NAME[expectations.suite].adapt()
    config.pluginmanager.register(Runs(place, expectations, Path(config.getoption("--foreign-record"))))


class Runs:
    """Bounds and records every case."""

    def __init__(self, place: Place, expectations: Expectations, record: Path) -> None:
        self._place = place
        self._expectations = expectations
        self._record = record
        self._traffic = 0
        self._outcome: dict[str, Any] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what is not applicable."""
        kept, left_out = [], []
        for item in items:
            case = case_of(item.nodeid)
            if not self._expectations.is_run(case):
                left_out.append(item)
            elif reason := self._expectations.not_applicable(case):
                self._write(case, "not applicable", reason)
                left_out.append(item)
            else:
                kept.append(item)
        items[:] = kept
        config.hook.pytest_deselected(items=left_out)

    def pytest_collection_finish(self) -> None:
        """Tests of asyncio collect garbage all the time: what is there before them is none, and need not be asked."""
        gc.freeze()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run a case, for LIMIT seconds at most."""
        self._traffic = self._place.traffic()
        self._outcome = {"outcome": "passed", "reason": "", "seconds": 0.0}
        signal.signal(signal.SIGALRM, _give_up)
        signal.alarm(LIMIT)
        try:
            return (yield)
        finally:
            signal.alarm(0)
            self._place.close_loops()
            on_stack = self._place.traffic() > self._traffic
            self._write(case_of(item.nodeid), self._outcome.pop("outcome"), on_stack=on_stack, **self._outcome)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The worst of setup, call, subtests and teardown is what counts."""
        outcome = self._outcome
        outcome["seconds"] = round(outcome["seconds"] + report.duration, 3)
        if report.outcome == "passed" or outcome["outcome"] == "failed":
            return
        outcome["outcome"] = report.outcome
        outcome["reason"] = _reason(report)

    def _write(self, case: str, outcome: str, reason: str = "", **more: Any) -> None:
        with self._record.open("a") as file:
            file.write(json.dumps({"case": case, "outcome": outcome, "reason": reason} | more) + "\n")


def case_of(node: str) -> str:
    """FILE::CLASS::NAME, wherever the file is."""
    file, _, name = node.partition("::")
    return f"{Path(file).name}::{name}"


def _reason(report: pytest.TestReport) -> str:
    """A line: what pytest says at the end."""
    if hasattr(report, "wasxfail"):
        return f"expected to fail by the suite itself: {report.wasxfail}"
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else report.longreprtext
    return f"{report.when}: {text.strip().splitlines()[0] if text.strip() else ''}"


def _give_up(*_: object) -> None:
    raise TimeoutError(f"still running after {LIMIT} s")
