"""Conditional requests (RFC 9110 section 13)."""

import re
from dataclasses import dataclass
from typing import Final

from stack.application.http.dates import parse_date
from stack.application.http.messages import Refusal, Request
from stack.clock import SECOND

_ENTITY_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one state of a resource from another: a strong entity tag; seconds since 1970."""

    etag: str
    last_modified: int


def is_unchanged(request: Request, validators: Validators) -> bool:
    """Whether the answer is 304; the conditions are evaluated in the order of 13.2.2. Raises Refusal(412).

    Only for GET and HEAD of something that exists.
    """
    headers = request.headers
    now = request.wall_time // SECOND
    if (tags := headers.combined("if-match")) is not None:
        if not _matches(tags, validators.etag, weakly=False):
            raise Refusal(412, "It has changed in the meantime.")
    elif (
        since := parse_date(headers.get("if-unmodified-since"), now)
    ) is not None and validators.last_modified > since:
        raise Refusal(412, "It has been modified since then.")
    if (tags := headers.combined("if-none-match")) is not None:
        return _matches(tags, validators.etag, weakly=True)
    since = parse_date(headers.get("if-modified-since"), now)
    return since is not None and validators.last_modified <= since


def heeds_range(request: Request, validators: Validators) -> bool:
    """Whether Range counts, as far as If-Range has a say (13.1.5): only a strong validator that matches will do."""
    condition = request.headers.get("if-range")
    if condition is None or condition == validators.etag:
        return True
    now = request.wall_time // SECOND
    # A date is strong once the second that it names is over (8.8.2.2): until then there may be another version.
    return parse_date(condition, now) == validators.last_modified < now


def _matches(field: str, etag: str, *, weakly: bool) -> bool:
    """8.8.3.2; our own tag is strong, so `weakly` only decides whether the client's may be weak."""
    if field.strip() == "*":
        return True
    return any(tag == etag or (weakly and tag == f"W/{etag}") for tag in _ENTITY_TAG.findall(field))
