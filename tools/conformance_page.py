"""docs/conformance.md, as text: the totals, what is not followed and why, and every row."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

PROVED, FAILING, UNTESTED, DIFFERS, NOT_IMPLEMENTED, NOT_APPLICABLE = VERDICTS = (
    "proved",
    "failing",
    "untested",
    "differs",
    "not implemented",
    "not applicable",
)
LEVELS = {"MUST": ("MUST", "MUST NOT"), "SHOULD": ("SHOULD", "SHOULD NOT"), "MAY": ("MAY",)}

INTRODUCTION = """\
# Conformance

Which requirement of which RFC a test proves. Made by `tools/conformance` from a run of the tests and the catalogue in
[docs/rfc](rfc/README.md); not to be edited by hand.

- **proved**: at least one test names the requirement, and all that do pass, on the C fastpath and on the Python one.
- **failing**: a test that names it fails.
- **untested**: nobody has shown it yet. There may be code for it.
- **differs**: we do otherwise on purpose; the reason is given.
- **not implemented**: no code for it in this release; the reason is given.
- **not applicable**: the case that the row speaks of cannot arise here; the reason is given. Such rows are not counted.

† The catalogue has the row wrong. [conformance-notes.md](conformance-notes.md) quotes the RFC; the level is the RFC's.
"""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A row of requirements.csv; `is_corrected`: docs/conformance-notes.md has something to say about it."""

    id: str
    rfc: str
    section: str
    level: str
    layer: str
    statement: str
    is_corrected: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What we can say of one requirement; `evidence` is the names of tests, or the reason."""

    verdict: str
    evidence: str


def page(rows: Sequence[Requirement], titles: Mapping[str, str], findings: Mapping[str, Finding]) -> str:
    """docs/conformance.md."""
    by_rfc: dict[str, list[Requirement]] = defaultdict(list)
    for row in rows:
        by_rfc[row.rfc].append(row)
    numbers = sorted(by_rfc, key=int)
    nothing = {NOT_IMPLEMENTED, NOT_APPLICABLE}
    absent = [each for each in numbers if {findings[row.id].verdict for row in by_rfc[each]} <= nothing]
    present = [each for each in numbers if each not in absent]
    ours = [row for number in present for row in by_rfc[number]]
    lines = [INTRODUCTION, *totals(ours, findings), *summary(present, titles, by_rfc, findings)]
    if absent:
        lines += ["", "Nothing of these is implemented, or nothing applies:", ""]
        lines += ["| RFC | title | rows | why |", "|---|---|--:|---|"]
    for number in absent:
        reasons = sorted({findings[row.id].evidence for row in by_rfc[number]})
        lines.append(f"| {number} | {cell(titles[number])} | {len(by_rfc[number])} | {cell('; '.join(reasons))} |")
    for level in ("MUST", "SHOULD"):
        lines += exceptions(level, ours, findings)
    lines += inapplicable(ours, findings)
    for number in present:
        lines += section(number, titles[number], by_rfc[number], findings)
    return "\n".join(lines) + "\n"


def totals(rows: Sequence[Requirement], findings: Mapping[str, Finding]) -> list[str]:
    """How many rows of each level have which verdict, over the RFCs of which something is implemented."""
    lines = ["## By level", "", f"| level | rows | {' | '.join(VERDICTS)} |", f"|---|{'--:|' * (1 + len(VERDICTS))}"]
    for level in LEVELS:
        here = of_level(level, rows)
        counts = Counter(findings[row.id].verdict for row in here)
        lines.append(f"| {level} | {len(here)} | {' | '.join(str(counts[each] or '') for each in VERDICTS)} |")
    return lines


def summary(
    numbers: Iterable[str],
    titles: Mapping[str, str],
    by_rfc: Mapping[str, Sequence[Requirement]],
    findings: Mapping[str, Finding],
) -> list[str]:
    """A line for each RFC: of how many rows of each level how many are proved, and what the others are."""
    lines = ["", "## By RFC", "", "Proved, of those that apply; bold where one is missing.", ""]
    lines += [f"| RFC | title | {' | '.join(LEVELS)} | not proved |", "|---|---|--:|--:|--:|---|"]
    for number in numbers:
        rows = by_rfc[number]
        counts = Counter(findings[row.id].verdict for row in rows)
        others = ", ".join(f"{counts[each]} {each}" for each in VERDICTS if counts[each] and each != PROVED)
        shares = " | ".join(share(of_level(level, rows), findings) for level in LEVELS)
        lines.append(f"| [{number}](#rfc-{number}) | {cell(titles[number])} | {shares} | {others} |")
    return lines


def share(rows: Sequence[Requirement], findings: Mapping[str, Finding]) -> str:
    """ "7 of 8" proved, in bold unless all are; empty when there is no row that applies."""
    verdicts = [findings[row.id].verdict for row in rows]
    applicable = len(verdicts) - verdicts.count(NOT_APPLICABLE)
    proved = verdicts.count(PROVED)
    text = f"{proved} of {applicable}" if applicable else ""
    return text if proved == applicable else f"**{text}**"


def exceptions(level: str, rows: Sequence[Requirement], findings: Mapping[str, Finding]) -> list[str]:
    """The rows of a level that apply and are not proved, with the reasons."""
    left = [row for row in of_level(level, rows) if findings[row.id].verdict not in (PROVED, NOT_APPLICABLE)]
    lines = ["", f"## {level} rows that apply and are not proved", ""]
    if not left:
        return [*lines, "None."]
    lines += ["| requirement | statement | verdict | why |", "|---|---|---|---|"]
    for row in left:
        finding = findings[row.id]
        lines.append(f"| {row.id}{mark(row)} | {cell(row.statement)} | {finding.verdict} | {finding.evidence} |")
    return lines


def inapplicable(rows: Sequence[Requirement], findings: Mapping[str, Finding]) -> list[str]:
    """The rows that do not apply, by reason."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if findings[row.id].verdict == NOT_APPLICABLE:
            by_reason[findings[row.id].evidence].append(row.id)
    lines = ["", "## Rows that do not apply", "", "| why | requirements |", "|---|---|"]
    return lines + [f"| {cell(reason)} | {', '.join(ids)} |" for reason, ids in by_reason.items()]


def section(number: str, title: str, rows: Sequence[Requirement], findings: Mapping[str, Finding]) -> list[str]:
    """The part of the page on one RFC."""
    lines = ["", f"## RFC {number}", "", title, ""]
    lines += ["| requirement | section | level | statement | verdict | shown by, or why |", "|---|---|---|---|---|---|"]
    for row in rows:
        finding = findings[row.id]
        verdict = f"**{finding.verdict}**" if finding.verdict == FAILING else finding.verdict
        cells = (row.id + mark(row), row.section, row.level, cell(row.statement), verdict, finding.evidence)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def of_level(level: str, rows: Iterable[Requirement]) -> list[Requirement]:
    """Those of `level`, its negation included."""
    return [row for row in rows if row.level in LEVELS[level]]


def mark(row: Requirement) -> str:
    """A dagger, for a row that the catalogue has wrong."""
    return " †" if row.is_corrected else ""


def show_tests(tests: Iterable[str]) -> str:
    """The tests' names, at most three, each `file::name` below tests/."""
    names = sorted(tests)
    shown = [f"`{name.removeprefix('tests/')}`" for name in names[:3]]
    if len(names) > 3:
        shown.append(f"and {len(names) - 3} more")
    return "<br>".join(shown)


def cell(text: str) -> str:
    """`text` as it may stand in a Markdown table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
