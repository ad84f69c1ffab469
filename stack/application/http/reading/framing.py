"""What a request's fields say about its body and its connection (RFC 9112 sections 3.2, 6 and 9.3)."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from stack.application.http.messages import Refusal
from stack.application.http.reading.grammar import Head, check_codings

CHUNKED: Final = -1
"""In place of a length: the body is in chunks."""

_MAX_LENGTH_DIGITS: Final = 18
_WATCHED: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"})
# Of HTTP/1.0 (RFC 1945 8.3), where a body without a length could be anything up to the end of the connection.
_WITH_CONTENT: Final = frozenset({"POST", "PUT", "PATCH"})
_HOST: Final = re.compile(rb"(?:(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


class Framing(NamedTuple):
    """`length` is the body's in octets, or CHUNKED; `keep_alive`: the connection may serve another request."""

    length: int
    keep_alive: bool
    expects_continue: bool


@lru_cache(maxsize=256)
def is_host(value: bytes) -> bool:
    """Whether `value` is a uri-host with an optional port (RFC 9110 7.2); an empty one is."""
    return _HOST.fullmatch(value) is not None


def framing_of(head: Head) -> Framing:
    """How the request is framed. Raises Refusal for anything that two readers could frame differently."""
    host = length = codings = connection = expect = None
    for name, value in head.fields:
        if name not in _WATCHED:
            continue
        if name == b"host":
            if host is not None or not is_host(value):
                raise Refusal(400, "A request has one Host field, with a host and perhaps a port.")
            host = value
        elif name == b"connection":
            connection = value if connection is None else connection + b"," + value
        elif name == b"content-length":
            if length is not None:  # RFC 9110 8.6 lets us refuse equal ones too
                raise Refusal(400, "A request has one Content-Length.")
            length = value
        elif name == b"transfer-encoding":
            codings = value if codings is None else codings + b"," + value
        else:
            expect = value if expect is None else expect + b"," + value
    if host is None and head.minor:
        raise Refusal(400, "A request of HTTP/1.1 has a Host field.")
    return Framing(
        _body_length(length, codings, head),
        _keeps_alive(connection, head.minor),
        expect is not None and head.minor > 0 and _expects_continue(expect),
    )


def _body_length(length: bytes | None, codings: bytes | None, head: Head) -> int:
    """RFC 9112 6.3."""
    if codings is not None:
        if length is not None:
            raise Refusal(400, "A request has Content-Length or Transfer-Encoding, not both.")
        if not head.minor:
            raise Refusal(400, "HTTP/1.0 has no Transfer-Encoding.")
        check_codings(codings)
        return CHUNKED
    if length is None:
        if not head.minor and head.method in _WITH_CONTENT:
            raise Refusal(411, f"In HTTP/1.0 a {head.method} has a Content-Length.")
        return 0
    if not length.isdigit():
        raise Refusal(400, "A Content-Length is a number of octets.")
    if len(length) > _MAX_LENGTH_DIGITS:
        raise Refusal(413, "The body is too large.")
    return int(length)


def _keeps_alive(connection: bytes | None, minor: int) -> bool:
    """RFC 9112 9.3: by default since 1.1, when asked for in 1.0."""
    if connection is None:
        return minor > 0
    options = [option.strip(b" \t").lower() for option in connection.split(b",")]
    if b"close" in options:
        return False
    return minor > 0 or b"keep-alive" in options


def _expects_continue(expect: bytes) -> bool:
    """RFC 9110 10.1.1: the only expectation there is."""
    if expect.lower() != b"100-continue":
        raise Refusal(417, "The only expectation that is known here is 100-continue.")
    return True
