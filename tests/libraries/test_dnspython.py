"""dnspython's asynchronous resolver, in virtual time; the server is that of the tests of our own names."""

import asyncio

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.message
import dns.resolver
import pytest

from tests.aio.conftest import SERVER, World
from tests.aio.test_names import DnsServer

pytestmark = pytest.mark.libraries


def resolver() -> dns.asyncresolver.Resolver:
    made = dns.asyncresolver.Resolver(configure=False)
    made.nameservers = [SERVER]
    return made


def test_by_udp_and_where_that_is_too_small_by_tcp(world: World) -> None:
    async def main() -> None:
        server = DnsServer()
        await server.start()
        few = await resolver().resolve("alias.example.org", "A")
        assert sorted(each.address for each in few) == ["192.0.2.80", "192.0.2.81"]
        assert (server.by_udp, server.by_tcp) == (1, 0)
        many = await resolver().resolve("many.example.org", "A")
        assert len(many) == 59
        assert (server.by_udp, server.by_tcp) == (2, 1)
        with pytest.raises(dns.resolver.NXDOMAIN):
            await resolver().resolve("nothing.example.org", "A")
        server.stop()

    world.run(main)


def test_a_query_by_tcp(world: World) -> None:
    async def main() -> None:
        server = DnsServer()
        await server.start()
        query = dns.message.make_query("www.example.org", "A")
        response = await dns.asyncquery.tcp(query, SERVER, timeout=5)
        assert len(response.answer[0]) == 2
        server.stop()

    world.run(main)


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
