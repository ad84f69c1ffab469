"""Gateways, and what happens when one dies (RFC 1122 3.3.1)."""

import errno

import pytest

from stack.addresses import Network, ipv4
from stack.clock import SECOND
from stack.config import RouteConfig
from stack.wire import tcp
from tests.conformance.lab import FAR, PEER, Lab, default_route, mac_of

FIRST, SECOND_GATEWAY = ipv4("192.0.2.253"), ipv4("192.0.2.254")


@pytest.fixture
def lab():
    return Lab(routes=default_route(FIRST, SECOND_GATEWAY))


def ping(lab, to=FAR, sequence=1):
    lab.host.ping(to, 1, sequence, b"text", lab.now)
    return [(each.link.dst, each.icmp.rest & 0xFFFF) for each in lab.take()]


@pytest.mark.req("1122-3.3.1.1-2")
def test_without_a_gateway_the_network_works_and_the_rest_is_unreachable():
    lab = Lab(routes=())
    assert ping(lab, PEER) == [(mac_of(PEER), 1)]
    with pytest.raises(OSError, match="no route") as raised:
        lab.host.ping(FAR, 1, 1, b"", lab.now)
    assert raised.value.errno == errno.ENETUNREACH
    with pytest.raises(OSError, match="no route"):
        lab.host.connect(FAR, 80, lab.now)
    assert lab.counters["IpOutNoRoutes"] == 2
    [reply] = lab.echo()
    assert reply.header.dst == PEER


@pytest.mark.req("1122-3.3.1.2-1")
def test_the_next_hop_depends_on_the_destination_alone():
    one, two = ipv4("198.51.100.1"), ipv4("203.0.113.1")
    routes = (RouteConfig(Network.of(one, 24), FIRST), RouteConfig(Network.of(two, 24), SECOND_GATEWAY))
    lab = Lab(routes=routes)
    for _ in range(3):
        assert ping(lab, one) == [(mac_of(FIRST), 1)]
        assert ping(lab, two) == [(mac_of(SECOND_GATEWAY), 1)]


@pytest.mark.req("1122-3.3.1.2-2")
def test_of_several_default_gateways_the_first_is_used(lab):
    assert ping(lab) == [(mac_of(FIRST), 1)]
    assert {packet.target_address for _, _, packet in lab.arps} == {FIRST}


@pytest.mark.req("1122-3.3.1.4-1", "1122-3.3.1.5-1", "1122-2.4-2")
def test_a_gateway_that_never_answers_gives_way_to_the_next(lab):
    lab.silent.add(FIRST)
    assert ping(lab) == []
    # What waited for the first goes by the second, and is not reported as lost.
    assert [each.link.dst for each in lab.advance(5 * SECOND)] == [mac_of(SECOND_GATEWAY)]
    assert ping(lab, sequence=2) == [(mac_of(SECOND_GATEWAY), 2)]


@pytest.mark.req("1122-3.3.1.4-1", "1122-3.3.1.5-1")
def test_a_connection_outlives_its_gateway(lab):
    connection = lab.host.connect(FAR, 80, lab.now)
    [syn] = lab.take()
    assert syn.link.dst == mac_of(FIRST)
    theirs = tcp.parse(syn.payload, syn.header.src, syn.header.dst)
    answer = tcp.Segment(80, theirs.src_port, 1000, theirs.seq + 1, tcp.SYN | tcp.ACK, 60000)
    lab.datagram(tcp.build(answer, FAR, syn.header.src), 6, src=FAR)
    assert connection.state.name == "ESTABLISHED"
    lab.silent.add(FIRST)
    lab.host.write(connection, b"is anybody there?", lab.now)
    sent = lab.take() + lab.advance(60 * SECOND)
    assert sent[0].link.dst == mac_of(FIRST) and sent[-1].link.dst == mac_of(SECOND_GATEWAY)
    lab.datagram(
        tcp.build(tcp.Segment(80, theirs.src_port, 1001, theirs.seq + 18, tcp.ACK, 60000), FAR, syn.header.src),
        6,
        src=FAR,
    )
    lab.host.write(connection, b"good", lab.now)
    assert [each.link.dst for each in lab.take()] == [mac_of(SECOND_GATEWAY)]
    assert lab.counters["TcpExtTCPAbortOnTimeout"] == 0


@pytest.mark.req("1122-3.3.1.5-1")
def test_when_all_are_dead_it_is_an_error_and_the_first_is_tried_again(lab):
    socket = lab.host.bind_udp(5000, lab.now)
    lab.silent |= {FIRST, SECOND_GATEWAY}
    lab.host.send_datagram(socket, b"", FAR, 53, lab.now)
    assert lab.advance(20 * SECOND) == []
    with pytest.raises(OSError, match=r"198\.51\.100\.7") as raised:
        lab.host.receive_datagram(socket)
    assert raised.value.errno == errno.EHOSTUNREACH
    lab.silent.clear()
    assert ping(lab, sequence=3) == [(mac_of(FIRST), 3)]


@pytest.mark.req("1122-3.3.1.4-2")
def test_gateways_are_not_asked_for_without_traffic(lab):
    assert ping(lab) == [(mac_of(FIRST), 1)]
    lab.silent |= {FIRST, SECOND_GATEWAY}
    lab.arps.clear()
    assert lab.advance(3600 * SECOND) == [] and lab.arps == []
