"""The runner of tools/foreign; what it is for is said in tools/foreign_tests/__init__.py.

    tools/foreign                    all suites, which are: asyncio aiohttp
    tools/foreign asyncio            one of them
    tools/foreign asyncio -k NAME    the cases that pytest finds for NAME: their tracebacks are shown

Fails if a case fails that is not listed in the suite's TOML file, or if one that is listed does not.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tools.foreign_tests import suites
from tools.foreign_tests.expectations import Expectations
from tools.foreign_tests.report import Result, show

HERE: Final = Path(__file__).resolve().parent
LIMIT: Final = 500  # s that a suite may take
_PYTEST_RAN: Final = (0, 1, 5)  # all passed, some failed, there were none


class Broken(Exception):
    """The tests could not be run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites that are asked for; returns the exit code."""
    parser = argparse.ArgumentParser(
        "tools/foreign", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(suites.BY_NAME)}")
    parser.add_argument("-k", dest="only", metavar="NAME", help="only these cases, as pytest has it")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, each with a device (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write how every case ended")
    options = parser.parse_args(arguments)
    unknown = [each for each in options.suites if each not in suites.BY_NAME]
    if unknown or options.jobs < 1:
        parser.error(f"no suite {unknown[0]}" if unknown else "--jobs: at least one")
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of what ends the processes
    results = []
    try:
        for name in options.suites or suites.BY_NAME:
            results.append(run(name, options.only, options.jobs))
            show(results[-1], console)
    except (suites.Missing, Broken) as error:
        print(f"tools/foreign: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps([each.as_json() for each in results], indent=1) + "\n")
    passed, failed, skipped = (sum(each.count(name) for each in results) for name in ("passed", "failed", "skipped"))
    surprises = sum(len(each.surprises) for each in results)
    verdict = f"{surprises} of it not expected" if surprises else "all of it as listed"
    for each in results:
        if not each.compared:
            verdict = f"{verdict}, but for {each.suite} {each.version}, of which nothing is"
    print(f"tools/foreign: {passed} cases passed, {failed} failed, {skipped} skipped; {verdict}")
    return int(surprises > 0)


def run(name: str, only: str | None, jobs: int) -> Result:
    """Run one suite. Raises Missing, Broken."""
    suite, expectations = suites.BY_NAME[name], Expectations.load(HERE / f"{name}.toml")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tapstack-foreign-") as folder:
        tests, options = suite.copy(Path(folder))
        present = {each.name for each in tests.glob("test_*.py")}
        options += ["-k", only] if only else ["--tb=no", "--no-header", "--show-capture=no"]
        if not present:
            raise Broken(f"there are no tests in {tests}")
        shards = _shards([tests / each for each in expectations.files if each in present], jobs)
        records = _run_shards(
            shards, [*options, "--foreign-suite", str(HERE / f"{name}.toml")], Path(folder), bool(only)
        )
    surprises: list[str] = []
    compared = suite.version() == expectations.version
    if compared:
        outcomes = {each["case"]: each["outcome"] for each in records}
        surprises += expectations.surprises(outcomes, all_were_run=not only)
        surprises += [f"{each} is not mentioned" for each in sorted(present - expectations.mentioned())]
    return Result(name, suite.version(), time.monotonic() - began, records, surprises, compared)


def _shards(files: Sequence[Path], jobs: int) -> list[list[Path]]:
    """`files` dealt out by size, the largest first."""
    shards: list[list[Path]] = [[] for _ in range(min(jobs, len(files)))]
    for file in sorted(files, key=lambda each: each.stat().st_size, reverse=True):
        min(shards, key=lambda shard: sum(each.stat().st_size for each in shard)).append(file)
    return shards


def _run_shards(
    shards: Sequence[Sequence[Path]], options: Sequence[str], folder: Path, shown: bool
) -> list[dict[str, Any]]:
    """Each in a process and a network namespace of its own. Raises Broken."""
    path = os.pathsep.join([str(folder), *sys.path[:1], os.environ.get("PYTHONPATH", "")])
    end = time.monotonic() + LIMIT
    records = []
    with ExitStack() as resources:
        processes = []
        for number, files in enumerate(shards):
            log = None if shown else resources.enter_context((folder / f"{number}.log").open("w"))
            record = folder / f"{number}.json"
            command = [*_namespace(), sys.executable, "-m", "pytest", "-q", "-p", "tools.foreign_tests.plugin"]
            command += ["-p", "no:cacheprovider", "--rootdir", str(folder), "--foreign-record", str(record)]
            command += [*options, *map(str, files)]
            environment = os.environ | {"PYTHONPATH": path}
            processes.append(subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log))
            resources.callback(_end, processes[-1])
        for number, process in enumerate(processes):
            try:
                code = process.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise Broken(f"still running after {LIMIT} s") from None
            lines = _lines(folder / f"{number}.json")
            if code not in _PYTEST_RAN or (code == 1 and not lines):
                raise Broken(
                    "".join(f"{line}\n" for line in _lines(folder / f"{number}.log")[-40:]) + f"pytest: {code}"
                )
            records += [json.loads(line) for line in lines]
    return records


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _lines(file: Path) -> list[str]:
    return file.read_text(errors="replace").splitlines() if file.exists() else []


def _namespace() -> list[str]:
    return ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net"]


if __name__ == "__main__":
    sys.exit(main())
