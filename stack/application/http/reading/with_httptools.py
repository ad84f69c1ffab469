"""Header sections read with httptools (llhttp), which is strict but for what is checked behind it."""

import httptools

from stack.application.http.messages import METHODS
from stack.application.http.reading.grammar import REQUEST_LINE, Head
from stack.application.http.reading.refusals import refusal


class HttptoolsReader:
    """A HeadReader."""

    def __init__(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._is_reusable = True
        self._parser = httptools.HttpRequestParser(self)

    def read(self, octets: bytes) -> Head:
        """The head. Raises Refusal."""
        fields = self._fields = []
        self._is_reusable = False
        try:
            self._parser.feed_data(octets)
        except httptools.HttpParserUpgrade:
            pass  # CONNECT, or Upgrade, which a server is free to ignore (RFC 9110 7.8)
        except httptools.HttpParserError as error:
            self._renew()
            return self._read_later_version(octets, str(error))
        method = self._parser.get_method()
        version = self._parser.get_http_version()
        if not self._is_reusable:
            self._renew()
        # It takes HTTP/0.9, HTTP/2.0 and two spaces behind the method.
        start = b"%b %b HTTP/1." % (method, self._target)
        if not octets.startswith(start) or method.decode() not in METHODS:
            raise refusal(octets, "the request line is malformed")
        return Head(method.decode(), self._target, 1 if version == "1.1" else 0, fields)

    def _read_later_version(self, octets: bytes, why: str) -> Head:
        """RFC 9110 2.5: a later minor version is read as the latest that we know. Raises Refusal."""
        line = REQUEST_LINE.match(octets)
        if line is None or line[3] != b"1" or line[4] in b"01":
            raise refusal(octets, why)
        return self.read(octets[: line.start(4)] + b"1" + octets[line.end(4) :])

    def _renew(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._is_reusable = True

    # What httptools calls

    def on_url(self, url: bytes) -> None:
        """The whole target, since it is given whole heads."""
        self._target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field; name and value are whole, with white space behind the value, if there was any."""
        self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_message_complete(self) -> None:
        """The request has no body. Behind one that closes the connection the parser takes nothing more."""
        self._is_reusable = self._parser.should_keep_alive()
