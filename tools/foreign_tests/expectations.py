"""What is expected of a suite: which files are run, which cases are about something else, which fail, and why."""

import fnmatch
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Group:
    """Cases, as shell patterns of FILE::CLASS::NAME, that have one reason."""

    why: str
    cases: tuple[str, ...]

    @cached_property
    def _matcher(self) -> re.Pattern[str]:
        # A parameter's brackets are no character class.
        patterns = (fnmatch.translate(each.replace("[", "[[]")) for each in self.cases)
        return re.compile("|".join(patterns))

    def __contains__(self, case: str) -> bool:
        return self._matcher.match(case) is not None

    def unused(self, cases: Iterable[str]) -> list[str]:
        """The patterns that none of `cases` matches."""
        known = list(cases)
        return [each for each in self.cases if not any(case in Group(self.why, (each,)) for case in known)]


@dataclass(frozen=True)
class Expectations:
    """A suite's TOML file."""

    suite: str
    version: str  # of what the file is for: with another one, surprises do not fail the run
    files: Mapping[str, str]  # that are run, by name; and a pattern of their cases
    elsewhere: Mapping[str, Sequence[str]]  # files that are not, by the reason why
    groups: Mapping[str, Sequence[Group]] = field(default_factory=dict)  # by the heading that they are under

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read `path`. Raises ValueError for what a suite's file does not have."""
        read = tomllib.loads(path.read_text())
        groups = {name: [_group(path, each) for each in read.pop(name, [])] for name in ("not_applicable", "fails")}
        made = cls(path.stem, read.pop("version"), read.pop("files"), read.pop("elsewhere"), groups)
        if read:
            raise ValueError(f"{path}: {', '.join(read)}: unknown")
        return made

    def mentioned(self) -> set[str]:
        """The files that there is something said of."""
        return {*self.files, *(each for group in self.elsewhere.values() for each in group)}

    def is_run(self, case: str) -> bool:
        """Whether `case` is in what is run of its file."""
        file, _, name = case.partition("::")
        return name in Group("", (self.files.get(file, ""),))

    def not_applicable(self, case: str) -> str | None:
        """Why `case` is not run, if it is not."""
        return self._why("not_applicable", case)

    def fails(self, case: str) -> str | None:
        """Why `case` fails, if it does."""
        return self._why("fails", case)

    def surprises(self, outcomes: Mapping[str, str], *, all_were_run: bool) -> list[str]:
        """A sentence for each of `outcomes` that is not what is expected, and each entry that says nothing any more."""
        found = []
        for case, outcome in sorted(outcomes.items()):
            expected = self.fails(case)
            if outcome == "failed" and expected is None:
                found.append(f"{case} fails, and is not listed")
            elif outcome == "passed" and expected is not None:
                found.append(f"{case} passes, and is listed: {expected}")
        if all_were_run:
            for heading, groups in self.groups.items():
                for group in groups:
                    found += [f"{each} is listed ({heading}), and is no case" for each in group.unused(outcomes)]
        return found

    def _why(self, heading: str, case: str) -> str | None:
        return next((group.why for group in self.groups.get(heading, ()) if case in group), None)


def _group(path: Path, table: Mapping[str, Any]) -> Group:
    if table.keys() != {"why", "cases"}:
        raise ValueError(f"{path}: a group has why and cases, and this one has {', '.join(table)}")
    return Group(table["why"], tuple(table["cases"]))
