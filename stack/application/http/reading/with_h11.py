"""Header sections read with h11. It is lenient where RFC 9112 lets it: what httptools refuses is checked before it."""

import re
from typing import Final

import h11

from stack.application.http.messages import METHODS
from stack.application.http.reading.grammar import FIELD, FIELDS, REQUEST_LINE, Head
from stack.application.http.reading.refusals import refusal

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([^\r]*?)[ \t]*(?=\r\n)", re.IGNORECASE)


class H11Reader:
    """A HeadReader."""

    def read(self, octets: bytes) -> Head:
        """The head. Raises Refusal."""
        line = REQUEST_LINE.match(octets)
        if line is None or line[3] != b"1" or line[1].decode() not in METHODS:
            raise refusal(octets, "the request line is malformed")
        if not FIELDS.fullmatch(octets, line.end(), len(octets) - 2):
            raise refusal(octets, "a field line is not a name, a colon and a value that is printable")
        # h11 makes one length of "5, 5" and of two fields that agree.
        lengths = _LENGTH.findall(octets)
        if len(lengths) > 1 or not all(length.isdigit() for length in lengths):
            raise refusal(octets, "a request has one Content-Length, which is a number")
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(octets) + 1)
        connection.receive_data(octets)
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise refusal(octets, str(error)) from None
        assert isinstance(event, h11.Request)  # a whole section that is not refused is one
        minor = 0 if line[4] == b"0" else 1
        # Not event.headers, in which some values are in lower case.
        fields = [(name.lower(), value) for name, value in FIELD.findall(octets, line.end())]
        return Head(line[1].decode(), event.target, minor, fields)
