"""Why a header section that a reader did not take is refused.

The readers know that something is wrong, and seldom which status says so. Refusals are rare, so refusal() looks at
the octets again, with regular expressions, and takes the first fault in the order in which RFC 9112 has the parts: so
all readers answer alike.
"""

from stack.application.http.messages import METHODS, Refusal
from stack.application.http.reading.framing import framing_of
from stack.application.http.reading.grammar import FIELD, FIELDS, REQUEST_LINE, Head


def refusal(octets: bytes, why: str) -> Refusal:
    """What to answer to a header section that a reader did not take; `why` is what the reader says."""
    line = REQUEST_LINE.match(octets)
    if line is None:
        return Refusal(400, "The request line is malformed.")
    if line[3] != b"1":
        return Refusal(505, f"HTTP/{line[3].decode()} is not spoken here: HTTP/1.1 is.")
    if FIELDS.fullmatch(octets, line.end(), len(octets) - 2):
        fields = [(name.lower(), value) for name, value in FIELD.findall(octets, line.end())]
        try:
            framing_of(Head(line[1].decode(), line[2], 0 if line[4] == b"0" else 1, fields))
        except Refusal as fault:
            return fault
    if line[1].decode() not in METHODS:
        return Refusal(501, f"The method {line[1].decode()} is not known here.")
    return Refusal(400, f"The header section is malformed: {why}.")
