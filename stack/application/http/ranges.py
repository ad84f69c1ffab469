"""Range requests (RFC 9110 section 14), for octets."""

import re
from typing import Final

MAX_RANGES: Final = 16
_SPEC: Final = re.compile(r"([0-9]*)-([0-9]*)", re.ASCII)
_MANY_DIGITS: Final = 18
_BEYOND: Final = 10**_MANY_DIGITS


def parse_ranges(field: str, size: int) -> list[tuple[int, int]] | None:
    """What `field` selects of `size` octets, as (first, last), in the order asked for.

    None: the field is to be ignored, as one of another unit or that is malformed (14.2), and one that asks for more
    than there is by way of many or overlapping ranges, which 14.2 calls a sign of a broken or hostile client.
    Empty: nothing can be satisfied.
    """
    unit, equals, specs = field.partition("=")
    if not equals or unit.lower() != "bytes":
        return None
    wanted = [spec for each in specs.split(",") if (spec := each.strip(" \t"))]
    if not wanted or len(wanted) > MAX_RANGES:
        return None
    found = []
    for spec in wanted:
        match = _SPEC.fullmatch(spec)
        if match is None or spec == "-":
            return None
        first, last = _number(match[1]), _number(match[2])
        if first is None:
            assert last is not None
            if last and not size:
                return None  # satisfiable (14.1.2), but Content-Range cannot say it
            if last:
                found.append((max(size - last, 0), size - 1))
            continue
        if last is not None and last < first:
            return None
        if first < size:
            found.append((first, size - 1 if last is None else min(last, size - 1)))
    if len(found) > 1 and sum(last - first + 1 for first, last in found) > size:
        return None
    return found


def _number(digits: str) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits.lstrip("0")) <= _MANY_DIGITS else _BEYOND
