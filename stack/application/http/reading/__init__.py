"""Reading requests: octets to the values of RFC 9112, refusing whatever two readers could understand differently.

A header section is read at once, when all of it is there, by httptools or, where that is not installed, by h11. Each
is behind a HeadReader, so each gives the same heads and refuses the same octets: what a library would let through
is found here. What is left, the framing of bodies, is little and is done here for both.
"""

from stack.application.http.reading.grammar import Head, HeadReader

__all__ = ["Head", "HeadReader", "make_head_reader"]


def make_head_reader() -> HeadReader:
    """The fastest reader that is installed. One serves all connections: it keeps nothing between two heads."""
    try:
        from stack.application.http.reading.with_httptools import HttptoolsReader
    except ImportError:
        from stack.application.http.reading.with_h11 import H11Reader

        return H11Reader()
    return HttptoolsReader()
