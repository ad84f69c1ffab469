"""Request targets (RFC 9112 section 3.2) to paths that are safe to look up."""

import re
from typing import Final, NamedTuple

from stack.application.http.messages import Refusal
from stack.application.http.reading.framing import is_host

_ABSOLUTE: Final = re.compile(rb"http://([^/?#]*)([^#]*)", re.IGNORECASE)
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})?")


class Target(NamedTuple):
    """`path` begins with "/" and is decoded, without "." and ".." and empty segments; `host` is of an absolute URI.

    `text` is the target as it was sent.
    """

    text: str
    path: str
    query: str
    host: str | None


def parse_target(method: str, octets: bytes) -> Target:
    """What `octets` ask for. Raises Refusal(400)."""
    text = octets.decode("ascii", "replace")
    if method == "CONNECT":
        return Target(text, "", "", None)  # authority-form; nobody here opens tunnels
    if octets == b"*":
        if method != "OPTIONS":
            raise Refusal(400, "Only OPTIONS can be asked of *.")
        return Target(text, "*", "", None)
    host = None
    if absolute := _ABSOLUTE.fullmatch(octets):
        if not absolute[1] or not is_host(absolute[1]):
            raise Refusal(400, "The request target names no host.")
        host = absolute[1].decode("ascii")
        octets = absolute[2]
        if not octets.startswith(b"/"):
            octets = b"/" + octets
    if not octets.startswith(b"/") or b"#" in octets:
        raise Refusal(400, "The request target is neither a path nor an http URI.")
    path, _, query = octets.partition(b"?")
    return Target(text, _normalize(path), query.decode("ascii"), host)


def _normalize(path: bytes) -> str:
    """Decode `path`, then remove dot segments (RFC 3986 5.2.4), so that %2e is a dot as well (6.2.2.2).

    What would lead above the root is refused, and so are an encoded slash, which would make two segments of one, and
    an encoded NUL, with which names end where C looks at them.
    """
    segments: list[bytes] = []
    parts = path.split(b"/")[1:]
    for part in parts:
        segment = _ESCAPE.sub(_unescape, part) if b"%" in part else part
        if segment == b"..":
            if not segments:
                raise Refusal(400, "The path leads out of the site.")
            segments.pop()
        elif segment not in (b"", b"."):
            segments.append(segment)
    is_directory = segment in (b"", b".", b"..")
    text = b"/" + b"/".join(segments) + (b"/" if is_directory and segments else b"")
    return text.decode("utf-8", "surrogateescape")


def _unescape(escape: re.Match[bytes]) -> bytes:
    if escape[1] is None or escape[1].lower() in (b"00", b"2f"):
        raise Refusal(400, "The path has an escape that is not allowed there.")
    return bytes((int(escape[1], 16),))
