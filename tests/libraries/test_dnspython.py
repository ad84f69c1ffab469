"""dnspython's asynchronous resolver; the server is that of the tests of our own names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.message
import dns.resolver
import pytest

from tests.aio.conftest import SERVER, World
from tests.aio.test_names import DnsServer
from tests.libraries.conftest import Link
from tests.libraries.links import Place

pytestmark = pytest.mark.libraries


@asynccontextmanager
async def dns_serves(place: Place) -> AsyncIterator[None]:
    server = DnsServer(place.server)
    await server.start()
    yield
    server.stop()


def resolver(place: Place) -> dns.asyncresolver.Resolver:
    made = dns.asyncresolver.Resolver(configure=False)
    made.nameservers = [place.server]
    return made


def test_by_udp_and_where_that_is_too_small_by_tcp(link: Link) -> None:
    async def use(place: Place, served: None) -> None:
        few = await resolver(place).resolve("alias.example.org", "A")
        assert sorted(each.address for each in few) == ["192.0.2.80", "192.0.2.81"]
        many = await resolver(place).resolve("many.example.org", "A")
        assert len(many) == 59
        with pytest.raises(dns.resolver.NXDOMAIN):
            await resolver(place).resolve("nothing.example.org", "A")

    outcome = link.run(dns_serves, use)
    assert (outcome.datagrams, outcome.connections) == (3, 1)


def test_a_query_by_tcp(link: Link) -> None:
    async def use(place: Place, served: None) -> None:
        query = dns.message.make_query("www.example.org", "A")
        response = await dns.asyncquery.tcp(query, place.server, timeout=5)
        assert len(response.answer[0]) == 2

    outcome = link.run(dns_serves, use)
    assert (outcome.datagrams, outcome.connections) == (0, 1)


def test_a_server_that_says_nothing(world: World) -> None:
    async def main() -> float:
        server = DnsServer()
        server.deaf = 100
        await server.start()
        began = asyncio.get_running_loop().time()
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(dns.message.make_query("www.example.org", "A"), SERVER, timeout=7)
        server.stop()
        return asyncio.get_running_loop().time() - began

    assert world.run(main) == pytest.approx(7, abs=0.1)  # of its timeout it takes off what has passed by the wall clock
