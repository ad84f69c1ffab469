"""Bodies of requests, taken as they come, within bounds (RFC 9112 sections 6 and 7)."""

import re
from typing import Final, Protocol

from stack.application.http.config import HttpConfig
from stack.application.http.messages import Refusal
from stack.application.http.reading.framing import CHUNKED
from stack.application.http.reading.grammar import FIELDS

# No white space behind a size that has no extension, no bare LF: readers that disagree on these can be smuggled past.
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]+)((?:[ \t]*;[\t\x20-\x7e\x80-\xff]+)?)")
_MALFORMED: Final = "The chunked coding of the body is malformed."


class BodyReader(Protocol):
    """Takes the octets of one body."""

    is_complete: bool

    @property
    def received(self) -> int:
        """Octets of the body that have arrived."""

    def feed(self, octets: bytes) -> bytes:
        """Take what arrived; returns what belongs to the next request. Raises Refusal."""

    def body(self) -> bytes:
        """The whole body."""


def make_body_reader(length: int, config: HttpConfig) -> BodyReader:
    """A reader for a body of `length` octets, or CHUNKED. Raises Refusal(413)."""
    if length == CHUNKED:
        return ChunkedReader(config)
    if length > config.max_body:
        raise _too_large(config)
    return LengthReader(length)


def _too_large(config: HttpConfig) -> Refusal:
    return Refusal(413, f"A body has at most {config.max_body} octets here.")


class LengthReader:
    """A BodyReader for a body whose length is known."""

    def __init__(self, length: int) -> None:
        self.is_complete = not length
        self.received = 0
        self._length = length
        self._body = bytearray()

    def feed(self, octets: bytes) -> bytes:
        """See BodyReader."""
        left = self._length - self.received
        self._body += octets[:left]
        self.received = len(self._body)
        self.is_complete = self.received == self._length
        return octets[left:]

    def body(self) -> bytes:
        """See BodyReader."""
        return bytes(self._body)


class ChunkedReader:
    """A BodyReader for the chunked coding. Extensions are ignored and trailers dropped; both are counted."""

    def __init__(self, config: HttpConfig) -> None:
        self.is_complete = False
        self._config = config
        self._buffer = b""
        self._at = 0  # what is before it in the buffer has been taken
        self._body = bytearray()  # not a list of parts: chunks of an octet would make it many times as large
        self._size = 0  # of the body so far, the present chunk included
        self._extensions = 0  # octets of all so far
        self._left = 0  # of the present chunk
        self._step = self._take_line

    @property
    def received(self) -> int:
        """See BodyReader."""
        return self._size - self._left

    def feed(self, octets: bytes) -> bytes:
        """See BodyReader."""
        self._buffer = self._buffer[self._at :] + octets
        self._at = 0
        while not self.is_complete and self._step():
            pass
        return self._buffer[self._at :] if self.is_complete else b""

    def body(self) -> bytes:
        """See BodyReader."""
        return bytes(self._body)

    # The steps; each returns whether it could be taken with what is there

    def _take_line(self) -> bool:
        limit = self._config.max_chunk_line
        end = self._buffer.find(b"\r\n", self._at, self._at + limit + 2)
        if end < 0:
            if len(self._buffer) - self._at > limit + 1 or self._buffer.find(b"\n", self._at) >= 0:
                raise Refusal(400, _MALFORMED)
            return False
        line = _CHUNK_LINE.fullmatch(self._buffer, self._at, end)
        if line is None:
            raise Refusal(400, _MALFORMED)
        self._extensions += len(line[2])
        if self._extensions > self._config.max_chunk_extensions:
            raise Refusal(400, "The chunk extensions are too long.")
        self._at = end + 2
        self._left = int(line[1], 16)
        self._size += self._left
        if self._size > self._config.max_body:
            raise _too_large(self._config)
        self._step = self._take_data if self._left else self._take_trailers
        return True

    def _take_data(self) -> bool:
        part = self._buffer[self._at : self._at + self._left]
        self._body += part
        self._left -= len(part)
        self._at += len(part)
        if self._left:
            return False
        self._step = self._take_end_of_data
        return True

    def _take_end_of_data(self) -> bool:
        end = self._buffer[self._at : self._at + 2]
        if not b"\r\n".startswith(end):
            raise Refusal(400, _MALFORMED)
        if len(end) < 2:
            return False
        self._at += 2
        self._step = self._take_line
        return True

    def _take_trailers(self) -> bool:
        """Trailers could bring what the header section may not (RFC 9110 6.5.1), and nobody here asks for any."""
        if self._buffer.startswith(b"\r\n", self._at):
            self._at += 2
            self.is_complete = True
            return True
        end = self._buffer.find(b"\r\n\r\n", self._at)
        if (len(self._buffer) if end < 0 else end) - self._at > self._config.max_trailers:
            raise Refusal(431, "The trailers are too long.")
        if end < 0:
            if self._buffer.count(b"\n", self._at) != self._buffer.count(b"\r\n", self._at):
                raise Refusal(400, _MALFORMED)
            return False
        if not FIELDS.fullmatch(self._buffer, self._at, end + 2):
            raise Refusal(400, "The trailers are malformed.")
        self._at = end + 4
        self.is_complete = True
        return True
