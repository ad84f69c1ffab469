"""A stub resolver (RFC 1034 5.3.1): dnspython's messages, carried by our own UDP, and by our TCP where they are long.

An answer is taken only from the server that was asked, to the port that asked, with the identifier and the question
that were sent (RFC 5452); everything else that arrives is ignored.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
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


class Resolver:
    """Asks `servers`, one after the other; `source` is the address of ours that each is asked from."""

    def __init__(self, servers: Sequence[Ipv4Address], source: Callable[[Ipv4Address], str]) -> None:
        self._servers = tuple(servers)
        self._source = source

    async def addresses(self, name: str) -> tuple[str, list[str]]:
        """The canonical name and the IPv4 addresses of `name`. Raises socket.gaierror."""
        return await self._ask(_absolute(name), dns.rdatatype.A)

    async def name_of(self, address: str) -> str:
        """The name of `address`. Raises socket.gaierror."""
        _, found = await self._ask(dns.reversename.from_address(address), dns.rdatatype.PTR)
        return found[0].removesuffix(".")

    async def _ask(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> tuple[str, list[str]]:
        """The name that `name` is another name of, and its data, as text."""
        failure = _NO_ANSWER
        for server in self._servers * ATTEMPTS:
            query = dns.message.make_query(name, kind)
            try:
                async with asyncio.timeout(TIMEOUT):
                    response, _ = await dns.asyncquery.udp_with_fallback(
                        query,
                        show_ipv4(server),
                        source=self._source(server),
                        ignore_unexpected=True,
                        ignore_errors=True,
                    )
                chain = dns.message.QueryMessage.resolve_chaining(response)  # type: ignore[arg-type]
            except (OSError, EOFError, TimeoutError, dns.exception.DNSException):
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
