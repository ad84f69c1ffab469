"""Requests and responses, as handlers see them (RFC 9110)."""

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from stack.clock import Instant
from stack.transport.tcp.connection import Connection

if TYPE_CHECKING:
    from stack.application.http.server import Totals

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Header fields as they came: names in lower case, values without the white space around them."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
"""The methods that this server has heard of (RFC 9110 section 9.3, RFC 5789); any other is answered with 501."""

REASONS: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
}
"""Reason phrases; the three are RFC 9110's names, where the standard library still has older ones."""

_WITHOUT_LENGTH: Final = frozenset({204, 304})
_SERVER: Final = "Server: tapstack\r\n"


class Refusal(Exception):
    """A request is answered with an error: `status`, a sentence for the client, fields such as Allow.

    A handler may raise it. From the reading of a request it also means that the connection ends, since nobody knows
    where the next request would begin.
    """

    def __init__(self, status: int, why: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.headers = tuple(headers)


class BodyError(Exception):
    """A body cannot be produced to its end, as when a file has shrunk: the connection ends, for the client to see."""


class Body(Protocol):
    """A body that is produced while it is sent: asked for more only when there is room for it."""

    length: int | None
    """Octets in all, or None when that is not known beforehand."""

    def read(self, limit: int) -> bytes:
        """The next octets, at least one and at most `limit`; b"" at the end. Raises BodyError."""

    def close(self) -> None:
        """Give back what it holds; called once, also when the client has gone."""


class Headers:
    """A request's header fields: a multi-map whose names are case-insensitive and whose order is kept."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def get(self, name: str) -> str | None:
        """The value of the first field of that name."""
        wanted = name.lower().encode("latin-1")
        for found, value in self._fields:
            if found == wanted:
                return value.decode("latin-1")
        return None

    def get_all(self, name: str) -> list[str]:
        """The values of all fields of that name."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for found, value in self._fields if found == wanted]

    def combined(self, name: str) -> str | None:
        """The values of all fields of that name as one list (RFC 9110 5.3), or None without any."""
        return ", ".join(values) if (values := self.get_all(name)) else None

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for name, value in self._fields:
            yield name.decode("latin-1"), value.decode("latin-1")

    def __len__(self) -> int:
        return len(self._fields)


class Request:
    """One request. `target` is as it was sent, `path` its path decoded and without dot segments, "*" for OPTIONS *.

    Octets of the path that are not UTF-8 are surrogate escapes, as os.fsdecode() makes them. `now` is the host's
    instant at which the request was complete, `wall_time` the same in nanoseconds since 1970.
    """

    __slots__ = (
        "_host", "body", "connection", "headers", "method", "now", "path", "query", "target", "totals", "version",
        "wall_time",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        target: str,
        path: str,
        query: str,
        host: str | None,
        version: str,
        headers: Headers,
        body: bytes,
        connection: Connection,
        now: Instant,
        wall_time: int,
        totals: "Totals",
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self._host = host
        self.version = version
        self.headers = headers
        self.body = body
        self.connection = connection
        self.now = now
        self.wall_time = wall_time
        self.totals = totals

    @property
    def host(self) -> str:
        """Whom the client wanted: of an absolute target its host, whatever the Host field says (RFC 9112 3.2.2)."""
        return self.headers.get("host") or "" if self._host is None else self._host


class Response:
    """One response; not to be changed once made, so that one object can answer many requests.

    The server adds Date, Server, Connection and the framing: Content-Length, or Transfer-Encoding where the length
    is not known beforehand.
    """

    __slots__ = ("_head", "body", "headers", "status")

    def __init__(self, status: int, headers: Sequence[tuple[str, str]] = (), body: "bytes | Body" = b"") -> None:
        self.status = status
        self.headers = tuple(headers)
        self.body = body
        self._head: bytes | None = None

    @property
    def length(self) -> int | None:
        """Octets of the body, or None when that is not known."""
        if self.status == 205:  # RFC 9110 15.3.6: a length, and no content
            return 0
        return len(self.body) if isinstance(self.body, bytes) else self.body.length

    @property
    def head(self) -> bytes:
        """Status line and fields, but for those that are the connection's business; made once.

        Raises ValueError when a field has octets that would end it (RFC 9110 5.5).
        """
        if self._head is None:
            self._head = self._make_head()
        return self._head

    def _make_head(self) -> bytes:
        # The space behind the code stays when there is no reason phrase (RFC 9112 section 4).
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, '')}\r\n", _SERVER]
        lines += [f"{name}: {value}\r\n" for name, value in self.headers]
        length = self.length
        # RFC 9110 8.6: none with 1xx and 204; with 304 it would be that of the 200, which has not been made.
        if length is not None and self.status not in _WITHOUT_LENGTH:
            lines.append(f"Content-Length: {length}\r\n")
        text = "".join(lines)
        if not len(lines) == text.count("\n") == text.count("\r") or "\0" in text:
            raise ValueError(f"a header field has CR, LF or NUL in it: {self.headers!r}")
        return text.encode("latin-1")


Handler: TypeAlias = Callable[[Request], Response]
"""What answers requests. An exception other than Refusal is logged and answered with 500."""
