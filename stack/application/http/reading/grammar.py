"""What a request's header section looks like (RFC 9112 sections 2 to 5)."""

import re
from typing import Final, NamedTuple, Protocol

from stack.application.http.config import HttpConfig
from stack.application.http.messages import Fields, Refusal

TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE: Final = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])\r\n" % TOKEN)
FIELD: Final = re.compile(rb"(%b):[ \t]*((?:[\x21-\x7e\x80-\xff]+(?:[ \t]+[\x21-\x7e\x80-\xff]+)*)?)[ \t]*\r\n" % TOKEN)
FIELDS: Final = re.compile(rb"(?:%b:[\t\x20-\x7e\x80-\xff]*\r\n)*" % TOKEN)
_UNFINISHED_LINE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\r?")
_START_OF_LINE: Final = re.compile(rb"%b(?: |$)" % TOKEN)


class Head(NamedTuple):
    """A request up to the empty line. `minor` is the minor version: 0, or 1 for whatever is later (RFC 9110 2.5)."""

    method: str
    target: bytes
    minor: int
    fields: Fields


class HeadReader(Protocol):
    """Reads whole header sections, from the request line to the empty line."""

    def read(self, octets: bytes) -> Head:
        """The head. Raises Refusal."""


def check_codings(codings: bytes) -> None:
    """Take chunked and nothing else. Raises Refusal.

    RFC 9112 6.1 has 501 for a coding that is not understood, 6.3 has 400 where chunked is not the last. An unknown
    coding alone would be both; the first says more.
    """
    names = [name.strip(b" \t").lower() for name in codings.split(b",")]
    names = [name for name in names if name]
    if b"chunked" in names[:-1] or not names:
        raise Refusal(400, "In Transfer-Encoding chunked has to come last, and once.")
    if names != [b"chunked"]:
        raise Refusal(501, "Of the transfer codings only chunked is known here.")


def skip_empty_lines(octets: bytes) -> bytes:
    """What is behind the empty lines in front of a request, which are ignored (RFC 9112 2.2)."""
    end = 0
    while octets.startswith(b"\r\n", end):
        end += 2
    return octets[end:]


def check_lengths(octets: bytes, length: int, config: HttpConfig) -> None:
    """Refuse a header section, `length` of the `octets` so far, if it or its first line is too long. Raises Refusal."""
    line = octets.find(b"\r\n", 0, length)
    if line < 0:
        line = length
    if line > config.max_request_line:
        raise Refusal(414, f"A request line has at most {config.max_request_line} octets here.")
    if length - line > config.max_header_section:
        raise Refusal(431, f"A header section has at most {config.max_header_section} octets here.")


def check_unfinished(octets: bytes, start: int) -> None:
    """Refuse a header section as soon as it cannot become a good one; what is before `start` is checked already.

    Somebody who speaks no HTTP, or ends lines with a bare LF (RFC 9112 2.2 lets us refuse it), never sends the empty
    line that ends a section, and would otherwise wait for the time-out. Raises Refusal.
    """
    if octets.count(b"\n", start) != octets.count(b"\r\n", max(start - 1, 0)):
        raise Refusal(400, "Lines end with CR LF, not with LF alone.")
    if start == 0:
        end = octets.find(b"\r\n")
        line = octets if end < 0 else octets[:end]
        if not _UNFINISHED_LINE.fullmatch(line) or not _START_OF_LINE.match(line):
            raise Refusal(400, "This is not an HTTP request.")
