"""A pytest plugin that writes down which requirement each test proves, and how the test ended.

Load it with `-p tools.conformance_plugin --conformance FILE`. The JSON maps each requirement to its tests and their
outcomes; tests/conftest.py knows nothing of it. A mark that names an id which the catalogue does not have is an error.
"""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

CATALOGUE = Path(__file__).resolve().parent.parent / "docs" / "rfc" / "requirements.csv"
_PROPERTY = "req"
_PARAMETER = "req of a parameter"  # a mark that one parameter of the test has: its name is told then
_WORST_FIRST = ("failed", "skipped", "passed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that names the file."""
    parser.addoption("--conformance", metavar="FILE", help="write the outcome of every requirement's tests to FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "req(id, ...): the requirements of docs/rfc/requirements.csv that the test proves"
    )
    # Under xdist the workers report to the controller, which alone writes.
    if config.getoption("--conformance") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(Path(config.getoption("--conformance"))))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make each test's requirements part of its reports, which also cross from xdist's workers."""
    with CATALOGUE.open(newline="") as file:
        known = {row["id"] for row in csv.DictReader(file)}
    unknown = []
    for item in items:
        for mark in item.iter_markers("req"):
            for requirement in mark.args:
                if requirement in known:
                    of_parameter = mark not in getattr(getattr(item, "function", None), "pytestmark", ())
                    item.user_properties.append((_PARAMETER if of_parameter else _PROPERTY, requirement))
                else:
                    unknown.append(f"{item.nodeid}: no requirement {requirement!r} in docs/rfc/requirements.csv")
    if unknown:
        raise pytest.UsageError("\n".join(unknown))


class Recorder:
    """Collects the reports of one run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[str, dict[str, str]] = {}
        self._counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one test's end."""
        # Setup and teardown count only when they decide: a fixture that fails or skips.
        if report.when != "call" and report.outcome == "passed":
            return
        outcome = "failed" if report.outcome == "failed" else "skipped" if report.outcome == "skipped" else "passed"
        self._counts[outcome] += 1
        for name, requirement in report.user_properties:
            if name in (_PROPERTY, _PARAMETER):
                test = report.nodeid if name == _PARAMETER else report.nodeid.partition("[")[0]
                tests = self._outcomes.setdefault(str(requirement), {})
                tests[test] = worse(tests.get(test, "passed"), outcome)

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        results = {"counts": dict(self._counts), "requirements": self._outcomes}
        self._path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def worse(one: str, other: str) -> str:
    """Of two outcomes of one test (two parameters, two runs), the one that counts."""
    return min(one, other, key=_WORST_FIRST.index)
