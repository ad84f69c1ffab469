"""Names on the stack: a DNS server on another virtual host, made of dnspython's messages."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from stack.addresses import ipv4
from stack.aio.loop import VirtualLoop
from tests.aio.conftest import CLIENT, SERVER, World

ZONE = {
    "www.example.org.": ["A 192.0.2.80", "A 192.0.2.81"],
    "alias.example.org.": ["CNAME other.example.org."],
    "other.example.org.": ["CNAME www.example.org."],
    "here.example.org.": [f"A {SERVER}"],
    "mail.example.org.": ["MX 10 www.example.org."],
    "many.example.org.": [f"A 192.0.2.{number}" for number in range(1, 60)],
    "80.2.0.192.in-addr.arpa.": ["PTR www.example.org."],
}


class DnsServer(asyncio.DatagramProtocol):
    """Answers from ZONE; what a datagram cannot carry (RFC 1035 4.2.1: 512 octets) only by TCP."""

    def __init__(self, address: str = SERVER) -> None:
        self.address = address
        self.by_udp = 0
        self.by_tcp = 0
        self.rcode: dns.rcode.Rcode | None = None
        self.deaf = 0
        self.forge = False

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, (self.address, 53))
        self.server = await asyncio.start_server(self.on_connection, self.address, 53)

    def stop(self) -> None:
        self.transport.close()
        self.server.close()

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        name, kind = query.question[0].name, query.question[0].rdtype
        if self.rcode is not None:
            response.set_rcode(self.rcode)
            return response
        while (records := ZONE.get(name.to_text())) is not None:
            found = [each.split(" ", 1) for each in records]
            for each, data in found:
                if each in (kind.name, "CNAME"):
                    rrset = dns.rrset.from_text(name, 60, "IN", each, data)
                    response.find_rrset(response.answer, name, rrset.rdclass, rrset.rdtype, create=True).update(rrset)
            if found[0][0] != "CNAME":
                return response
            name = dns.name.from_text(found[0][1])
        response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.by_udp += 1
        if self.by_udp <= self.deaf:
            return
        query = dns.message.from_wire(data)
        response = self.answer(query)
        if self.forge:
            forged = dns.message.make_response(query)
            forged.id ^= 1
            forged.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "203.0.113.66"))
            self.transport.sendto(forged.to_wire(), addr)
        try:
            wire = response.to_wire(max_size=512)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        self.transport.sendto(wire, addr)

    async def on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.by_tcp += 1
        query = dns.message.from_wire(await reader.readexactly(int.from_bytes(await reader.readexactly(2))))
        wire = self.answer(query).to_wire()
        writer.write(len(wire).to_bytes(2) + wire)
        writer.close()


def resolving(
    world: World, ask: Callable[[Any], Awaitable[Any]], servers: tuple[str, ...] = (SERVER,), **options: Any
) -> tuple[Any, DnsServer]:
    """What `ask(loop)` returns or raises, with a DNS server on the other host, set as `options` say."""
    world.loop.close()
    world.loop = VirtualLoop(world.network, {"printer": "192.0.2.9"}, [ipv4(each) for each in servers])

    async def main() -> tuple[Any, DnsServer]:
        server = DnsServer()
        for name, value in options.items():
            setattr(server, name, value)
        await server.start()
        try:
            return await ask(asyncio.get_running_loop()), server
        except socket.gaierror as error:
            return error, server
        finally:
            server.stop()

    return world.run(main)


def look_up(name: Any, port: Any = 80, **options: Any) -> Callable[[Any], Awaitable[Any]]:
    return lambda loop: loop.getaddrinfo(name, port, type=socket.SOCK_STREAM, **options)


STREAM = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)


def test_a_name_has_its_addresses(world: World) -> None:
    infos, server = resolving(world, look_up("www.example.org", "http"))
    assert sorted(infos) == [(*STREAM, "", ("192.0.2.80", 80)), (*STREAM, "", ("192.0.2.81", 80))]
    assert (server.by_udp, server.by_tcp) == (1, 0)


def test_another_name_of_another_name(world: World) -> None:
    infos, _ = resolving(world, look_up(b"alias.example.org", flags=socket.AI_CANONNAME))
    assert {info[4][0] for info in infos} == {"192.0.2.80", "192.0.2.81"}
    assert [info[3] for info in infos] == ["www.example.org", ""]


@pytest.mark.req("2181-9", "1035-5")
def test_an_answer_too_long_for_a_datagram_comes_by_tcp(world: World) -> None:
    infos, server = resolving(world, look_up("many.example.org"))
    assert len(infos) == 59
    assert (server.by_udp, server.by_tcp) == (1, 1)


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("no.example.org", {}, socket.EAI_NONAME),
        ("mail.example.org", {}, socket.EAI_NODATA),
        ("www.example.org", {"rcode": dns.rcode.SERVFAIL}, socket.EAI_AGAIN),
        ("www.example.org", {"rcode": dns.rcode.REFUSED}, socket.EAI_FAIL),
        pytest.param("www.example.org", {"deaf": 99}, socket.EAI_AGAIN, marks=pytest.mark.req("1123-5")),
        ("a" * 64 + ".org", {}, socket.EAI_NONAME),
        ("a..b", {}, socket.EAI_NONAME),
    ],
)
def test_what_there_is_no_answer_to(world: World, name: str, options: dict[str, Any], code: int) -> None:
    error, _ = resolving(world, look_up(name), **options)
    assert isinstance(error, socket.gaierror) and error.errno == code
    assert world.loop.time() < 11


@pytest.mark.req("1035-11")
def test_a_lost_query_is_sent_again(world: World) -> None:
    infos, server = resolving(world, look_up("www.example.org"), deaf=1)
    assert len(infos) == 2 and server.by_udp == 2 and 5 < world.loop.time() < 6


@pytest.mark.req("1035-11")
def test_a_server_where_nobody_listens_is_passed_over_at_once(world: World) -> None:
    infos, _ = resolving(world, look_up("www.example.org"), servers=(CLIENT, SERVER))
    assert len(infos) == 2 and world.loop.time() < 1


@pytest.mark.req("1035-9")
def test_a_forged_answer_is_not_believed(world: World) -> None:
    infos, _ = resolving(world, look_up("www.example.org"), forge=True)
    assert {info[4][0] for info in infos} == {"192.0.2.80", "192.0.2.81"}


def test_what_nobody_is_asked_for(world: World) -> None:
    async def ask(loop: Any) -> list[Any]:
        infos = [(await look_up(name)(loop))[0] for name in ("printer", "PRINTER", "192.0.2.7", "localhost")]
        with pytest.raises(socket.gaierror):
            await look_up("www.example.org", flags=socket.AI_NUMERICHOST)(loop)
        with pytest.raises(socket.gaierror) as caught:
            await look_up("www.example.org", family=socket.AF_INET6)(loop)
        assert caught.value.errno == socket.EAI_ADDRFAMILY
        return [info[4][0] for info in infos]

    found, server = resolving(world, ask)
    assert found[:3] == ["192.0.2.9", "192.0.2.9", "192.0.2.7"] and found[3] == "127.0.0.1"
    assert server.by_udp == 0


def test_mapped_addresses_for_who_asks_for_them(world: World) -> None:
    asking = look_up("www.example.org", family=socket.AF_INET6, flags=socket.AI_V4MAPPED)
    infos, _ = resolving(world, asking)
    assert sorted(info[4][0] for info in infos) == ["::ffff:192.0.2.80", "::ffff:192.0.2.81"]


def test_the_name_of_an_address(world: World) -> None:
    async def ask(loop: Any) -> list[Any]:
        named = [await loop.getnameinfo((name, 80), 0) for name in ("192.0.2.80", "192.0.2.9", "192.0.2.99")]
        named.append(await loop.getnameinfo(("192.0.2.80", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV))
        with pytest.raises(socket.gaierror) as caught:
            await loop.getnameinfo(("192.0.2.99", 80), socket.NI_NAMEREQD)
        assert caught.value.errno == socket.EAI_NONAME
        return named

    named, _ = resolving(world, ask)
    assert named == [("www.example.org", "http"), ("printer", "http"), ("192.0.2.99", "http"), ("192.0.2.80", "80")]


def test_a_connection_by_name(world: World) -> None:
    async def ask(loop: Any) -> Any:
        with pytest.raises(socket.gaierror):
            await asyncio.open_connection("no.example.org", 80)
        _, writer = await asyncio.open_connection("here.example.org", 53)
        writer.close()
        return writer.get_extra_info("peername")

    assert resolving(world, ask)[0] == (SERVER, 53)


def test_without_servers_an_address_of_the_stacks_is_asked_of_nobody(world: World) -> None:
    async def main() -> None:
        assert await world.loop.getnameinfo((CLIENT, 80), socket.NI_NUMERICSERV) == (CLIENT, "80")
        assert await world.loop.getnameinfo((SERVER, 80), socket.NI_NUMERICSERV) == ("server.test", "80")

    world.run(main)
