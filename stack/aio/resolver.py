"""A stub resolver (RFC 1034 5.3.1): dnspython's messages, carried by our own UDP, and by our TCP where they are long.

An answer is taken only from the server that was asked, to the port that asked, with the identifier and the question
that were sent (RFC 5452); everything else that arrives is ignored.
"""

import asyncio
import socket
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.reversename

from stack.addresses import Ipv4Address, show_ipv4

ATTEMPTS: Final = 2  # as many as glibc makes, and as long as it waits: resolv.conf(5)
TIMEOUT: Final = 5.0  # s, for each server in each attempt

# What getaddrinfo() says where a server says that there is nothing, and what where no server says anything useful.
_NO_NAME: Final = (socket.EAI_NONAME, "Name or service not known")
_NO_DATA: Final = (socket.EAI_NODATA, "No address associated with hostname")
_NO_ANSWER: Final = (socket.EAI_AGAIN, "Temporary failure in name resolution")
_REFUSED: Final = (socket.EAI_FAIL, "Non-recoverable failure in name resolution")
_NO_RESPONSE: Final = (OSError, EOFError, TimeoutError, dns.exception.DNSException)


Response = dns.message.Message | None
_Found = tuple[str, list[str]]
_Inquiry = Generator[tuple[dns.message.QueryMessage, Ipv4Address], Response, _Found]


class Resolver:
    """Asks `servers`, one after the other, in an event loop; `source` is the address of ours to ask each from."""

    def __init__(self, servers: Sequence[Ipv4Address], source: Callable[[Ipv4Address], str]) -> None:
        self._servers = tuple(servers)
        self._source = source

    async def addresses(self, name: str) -> _Found:
        """The canonical name and the IPv4 addresses of `name`. Raises socket.gaierror."""
        return await self._ask(_inquiry(self._servers, _absolute(name), dns.rdatatype.A))

    async def name_of(self, address: str) -> str:
        """The name of `address`. Raises socket.gaierror."""
        reverse = dns.reversename.from_address(address)
        _, found = await self._ask(_inquiry(self._servers, reverse, dns.rdatatype.PTR))
        return found[0].removesuffix(".")

    async def _ask(self, inquiry: _Inquiry) -> _Found:
        try:
            query, server = next(inquiry)
            while True:
                query, server = inquiry.send(await self._exchange(query, server))
        except StopIteration as end:
            found: _Found = end.value
            return found

    async def _exchange(self, query: dns.message.QueryMessage, server: Ipv4Address) -> Response:
        try:
            async with asyncio.timeout(TIMEOUT):
                response, _ = await dns.asyncquery.udp_with_fallback(
                    query, show_ipv4(server), source=self._source(server), ignore_unexpected=True, ignore_errors=True
                )
                return response
        except _NO_RESPONSE:
            return None


class BlockingResolver:
    """As Resolver, in the caller's thread; `make_socket(type, server)` is a socket that is bound to ask `server`."""

    def __init__(self, servers: Sequence[Ipv4Address], make_socket: Callable[[int, Ipv4Address], Any]) -> None:
        self._servers = tuple(servers)
        self._make_socket = make_socket

    def addresses(self, name: str) -> _Found:
        """As Resolver's."""
        return self._ask(_inquiry(self._servers, _absolute(name), dns.rdatatype.A))

    def name_of(self, address: str) -> str:
        """As Resolver's."""
        _, found = self._ask(_inquiry(self._servers, dns.reversename.from_address(address), dns.rdatatype.PTR))
        return found[0].removesuffix(".")

    def _ask(self, inquiry: _Inquiry) -> _Found:
        try:
            query, server = next(inquiry)
            while True:
                query, server = inquiry.send(self._exchange(query, server))
        except StopIteration as end:
            found: _Found = end.value
            return found

    def _exchange(self, query: dns.message.QueryMessage, server: Ipv4Address) -> Response:
        where = show_ipv4(server)
        try:
            with self._make_socket(socket.SOCK_DGRAM, server) as udp:
                udp.setblocking(False)
                try:
                    return dns.query.udp(
                        query, where, TIMEOUT, ignore_unexpected=True, raise_on_truncation=True, sock=udp,
                        ignore_errors=True,
                    )  # fmt: skip
                except dns.message.Truncated:
                    pass
            with self._make_socket(socket.SOCK_STREAM, server) as tcp:
                tcp.settimeout(TIMEOUT)
                tcp.connect((where, 53))
                tcp.setblocking(False)
                return dns.query.tcp(query, where, TIMEOUT, sock=tcp)
        except _NO_RESPONSE:
            return None


def _inquiry(servers: tuple[Ipv4Address, ...], name: dns.name.Name, kind: dns.rdatatype.RdataType) -> _Inquiry:
    """Yields whom to ask what, is sent the response; returns the name that `name` is another name of, and its data."""
    failure = _NO_ANSWER
    for server in servers * ATTEMPTS:
        response = yield dns.message.make_query(name, kind), server
        try:
            chain = dns.message.QueryMessage.resolve_chaining(response) if response else None  # type: ignore[arg-type]
        except dns.exception.DNSException:
            continue
        if response is None or chain is None:
            continue
        code = response.rcode()
        if code == dns.rcode.NXDOMAIN:
            raise socket.gaierror(*_NO_NAME)
        if code != dns.rcode.NOERROR:
            failure = _NO_ANSWER if code == dns.rcode.SERVFAIL else _REFUSED
        elif chain.answer is None:
            raise socket.gaierror(*_NO_DATA)
        else:
            return chain.canonical_name.to_text(omit_final_dot=True), [each.to_text() for each in chain.answer]
    raise socket.gaierror(*failure)


def _absolute(name: str) -> dns.name.Name:
    try:
        return dns.name.from_text(name)
    except dns.exception.DNSException:
        raise socket.gaierror(*_NO_NAME) from None
