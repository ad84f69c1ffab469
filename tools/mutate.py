"""Plants bugs, one at a time, and demands that a test finds each.

    tools/mutate             all of tools/mutations/*.toml
    tools/mutate NAME ...    some of them
    tools/mutate --list      their names and stories

Every bug is planted in a copy of the tree in a temporary directory, never in the tree itself. A bug counts as caught
when one of the tests it names fails, or does not end in time; a test that cannot even be collected proves nothing.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 120.0  # seconds for the tests of one bug
BASELINE_TIMEOUT = 600.0
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "__pycache__", ".*_cache", ".hypothesis", "docs")
LIBRARY = "stack/_native*.so"
FAILED, TIMED_OUT = 1, -1


class MutationError(Exception):
    """A bug cannot be planted, or the tests do not pass without one."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A bug: in `file`, exactly one `old` becomes `new`, and one of `tests` must notice."""

    name: str
    file: str
    story: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def in_c(self) -> bool:
        """Whether the extension has to be rebuilt, and the tests run on it."""
        return self.file.endswith((".c", ".h"))

    def apply(self, root: Path) -> str:
        """The text of the file with the bug in it. Raises MutationError."""
        try:
            text = (root / self.file).read_text()
        except OSError as error:
            raise MutationError(f"{self.name}: {error}") from None
        if (found := text.count(self.old)) != 1:
            raise MutationError(f"{self.name}: its old text occurs {found} times in {self.file}, not once: rewrite it")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the tests took one bug."""

    mutation: Mutation
    verdict: str  # "caught", "MISSED" or "ERROR"
    detail: str
    seconds: float


def load(folder: Path) -> list[Mutation]:
    """All bugs of the *.toml files in `folder`, in order of file and place."""
    mutations = []
    for path in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["mutation"]:
            mutations.append(Mutation(**{**entry, "tests": tuple(entry["tests"])}))
    return mutations


class Tree:
    """A copy of the project in which tests are run."""

    def __init__(self, source: Path, folder: Path) -> None:
        """Copy `source` to `folder`."""
        self.root = folder
        shutil.copytree(source, folder, ignore=LEFT_OUT, symlinks=True)

    def build(self) -> None:
        """Compile the extension in place, from scratch. Raises MutationError."""
        shutil.rmtree(self.root / "build", ignore_errors=True)
        for library in self.root.glob(LIBRARY):
            library.unlink()
        command = [sys.executable, "native/build.py", "--inplace"]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=BASELINE_TIMEOUT)
        if done.returncode:
            raise MutationError(f"native/build.py failed:\n{done.stdout}{done.stderr}")

    def run_tests(self, tests: Iterable[str], fastpath: str, timeout: float) -> tuple[int, str]:
        """pytest's exit code (TIMED_OUT when it did not end) and output; stops at the first failure."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider"]
        command += ["--hypothesis-seed=0", *tests]
        environment = {
            **os.environ,
            "TAPSTACK_FASTPATH": fastpath,
            "PYTHONPATH": str(self.root),
            # A bug and its repair can be of one size in one second, which is all that a .pyc is checked by.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return TIMED_OUT, output
        return process.returncode, output

    def plant(self, mutation: Mutation) -> Outcome:
        """Run the tests with the bug in place; the tree is afterwards as it was."""
        path = self.root / mutation.file
        began = time.monotonic()
        libraries: dict[Path, bytes] = {}
        sound = path.read_bytes() if path.exists() else b""
        try:
            path.write_text(mutation.apply(self.root))
            if mutation.in_c:
                libraries = {library: library.read_bytes() for library in self.root.glob(LIBRARY)}
                self.build()
            code, output = self.run_tests(mutation.tests, "native" if mutation.in_c else "reference", TIMEOUT)
            verdict, detail = judge(code, output)
        except MutationError as error:
            verdict, detail = "ERROR", str(error)
        finally:
            if sound:
                path.write_bytes(sound)
            for library, octets in libraries.items():
                library.write_bytes(octets)
        return Outcome(mutation, verdict, detail, time.monotonic() - began)

    def check_baseline(self, mutations: Sequence[Mutation]) -> None:
        """Every test that is named must pass without a bug, on this copy. Raises MutationError."""
        where = [sys.executable, "-c", "import stack; print(stack.__file__)"]
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        shown = subprocess.run(where, cwd=self.root, env=environment, capture_output=True, text=True, timeout=60)
        if str(self.root) not in shown.stdout:
            raise MutationError(f"the tests would import {shown.stdout.strip()}, not the copy in {self.root}")
        for fastpath, in_c in (("reference", False), ("native", True)):
            tests = sorted({test for mutation in mutations if mutation.in_c == in_c for test in mutation.tests})
            if not tests:
                continue
            if in_c:
                self.build()
            code, output = self.run_tests(tests, fastpath, BASELINE_TIMEOUT)
            if code:
                raise MutationError(f"the tests do not pass without a bug ({fastpath} fastpath):\n{output}")


def judge(code: int, output: str) -> tuple[str, str]:
    """The verdict on pytest's exit code, and the test that decided it."""
    if code == TIMED_OUT:
        return "caught", f"not done after {TIMEOUT:.0f} s"
    if code == FAILED:
        failure = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
        return "caught", failure[1] if failure else ""
    if code == 0:
        return "MISSED", "every test passed"
    return "ERROR", f"pytest ended with {code}: {output.strip().splitlines()[-1] if output.strip() else 'no output'}"


def run(source: Path, mutations: Sequence[Mutation], jobs: int) -> list[Outcome]:
    """Plant `mutations`, `jobs` at a time, and print each outcome as it comes. Raises MutationError."""
    with tempfile.TemporaryDirectory(prefix="tapstack-mutate-") as scratch:
        first = Tree(source, Path(scratch) / "0")
        first.check_baseline(mutations)
        trees: SimpleQueue[Tree] = SimpleQueue()
        trees.put(first)
        for number in range(1, jobs):
            trees.put(Tree(first.root, Path(scratch) / str(number)))

        def plant(mutation: Mutation) -> Outcome:
            tree = trees.get()
            try:
                return tree.plant(mutation)
            finally:
                trees.put(tree)

        width = max(len(mutation.name) for mutation in mutations)
        outcomes = []
        with ThreadPoolExecutor(jobs) as pool:
            for outcome in pool.map(plant, mutations):
                name = outcome.mutation.name
                print(f"{outcome.verdict:<6}  {outcome.seconds:6.1f} s  {name:<{width}}  {outcome.detail}", flush=True)
                outcomes.append(outcome)
    return outcomes


def select(mutations: Sequence[Mutation], names: Sequence[str]) -> list[Mutation]:
    """Those of `mutations` that are named; all when none is. Raises MutationError for an unknown name."""
    known = {mutation.name: mutation for mutation in mutations}
    if unknown := [name for name in names if name not in known]:
        raise MutationError(f"no such bug: {', '.join(unknown)}; see tools/mutate --list")
    return [known[name] for name in names] or list(mutations)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tools/mutate", description="Plants bugs and demands that a test finds each.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="the bugs to plant; all by default")
    parser.add_argument("--list", action="store_true", help="print the bugs instead of planting them")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time (default: a core each)"
    )
    options = parser.parse_args(arguments)
    try:
        mutations = select(load(ROOT / "tools" / "mutations"), options.names)
        if options.list:
            for mutation in mutations:
                print(f"{mutation.name}: {mutation.story}")
            return 0
        outcomes = run(ROOT, mutations, options.jobs)
    except MutationError as error:
        print(f"tools/mutate: {error}", file=sys.stderr)
        return 1
    caught = sum(outcome.verdict == "caught" for outcome in outcomes)
    print(f"{caught} of {len(outcomes)} planted bugs caught")
    return 0 if caught == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
