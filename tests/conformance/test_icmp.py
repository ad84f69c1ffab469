"""ICMP as RFC 792, RFC 1122 3.2.2 and RFC 6633 ask for it of a host."""

import errno

import pytest

from stack.addresses import BROADCAST_MAC, Ipv4Address, ipv4
from stack.clock import SECOND
from stack.config import UdpConfig
from stack.wire import icmp, udp
from stack.wire import ipv4 as ip
from stack.wire.checksum import internet_checksum
from stack.wire.icmp import IcmpMessage
from stack.wire.udp import UdpHeader
from tests.conformance.lab import BROADCAST, EVERYBODY, GATEWAY, OTHER, PEER, US, Lab

UNKNOWN_PROTOCOL = 200
LOOSE_ROUTE = bytes((0x83, 7, 4, 192, 0, 2, 9, 0))
MALFORMED = bytes((0x07, 1, 0, 0))


@pytest.mark.req("1122-3.1-1")
def test_a_host_speaks_ip_and_icmp():
    [reply] = Lab().echo(b"are you there?")
    assert (reply.header.src, reply.header.dst) == (US, PEER)
    assert reply.icmp == IcmpMessage(icmp.ECHO_REPLY, 0, 0x00070001, b"are you there?")


@pytest.mark.req("1122-3.2.2-7")
@pytest.mark.parametrize(("offset", "more"), [(64, False), (64, True)])
def test_no_error_is_sent_about_a_later_fragment(offset, more):
    lab = Lab()
    # A whole datagram of an unknown protocol is reported, a later fragment of one is not, now or in time.
    assert len(lab.datagram(bytes(64), UNKNOWN_PROTOCOL)) == 1
    fragment = {"identification": 9, "fragment_offset": offset, "more_fragments": more}
    assert lab.datagram(bytes(64), UNKNOWN_PROTOCOL, **fragment) == []
    assert lab.advance(200 * SECOND) == []
    # Nor is one whose options are refused, which is found out before the datagram is whole.
    for options in (LOOSE_ROUTE, MALFORMED):
        assert len(lab.datagram(bytes(64), UNKNOWN_PROTOCOL, options=options)) == 1
        assert lab.datagram(bytes(64), UNKNOWN_PROTOCOL, options=options, **fragment) == []


@pytest.mark.req("1122-3.2.2-8")
@pytest.mark.parametrize(
    "source",
    [
        "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255",
        "192.0.2.255",
    ],
)  # fmt: skip
def test_no_error_is_sent_to_what_is_not_one_host(source):
    lab = Lab()
    assert lab.datagram(bytes(64), UNKNOWN_PROTOCOL, src=ipv4(source)) == []
    assert lab.udp(9, src=ipv4(source)) == []
    assert lab.counters["IcmpOutDestUnreachs"] == 0


@pytest.mark.req("1122-3.2.2.2-1", "1122-3.1-2", "6633-1")
def test_a_host_that_is_used_as_a_gateway_neither_forwards_nor_redirects():
    lab = Lab("192.0.2.1/24", "203.0.113.1/24")
    # The better way is by way of the neighbour that sent it: a gateway would forward and redirect.
    assert lab.echo(dst=ipv4("198.51.100.9"), src=PEER) == []
    assert lab.echo(dst=OTHER, src=PEER) == []
    assert lab.echo(dst=ipv4("203.0.113.9"), src=PEER) == []
    assert lab.counters["IpInAddrErrors"] == 3


@pytest.mark.req("1122-3.2.2.2-3")
@pytest.mark.parametrize(
    ("sender", "better"),
    [(OTHER, PEER), (GATEWAY, ipv4("198.51.100.1"))],
    ids=["not from the gateway in use", "to a gateway beyond the link"],
)
def test_an_illegal_redirect_changes_nothing(sender, better):
    far = ipv4("203.0.113.77")
    lab = Lab()
    lab.host.ping(far, 1, 1, b"first", lab.now)
    [first] = lab.take()
    lab.quote(icmp.REDIRECT, 1, first, rest=better, src=sender)
    lab.host.ping(far, 1, 2, b"second", lab.now)
    [second] = lab.take()
    assert second.link.dst == first.link.dst
    assert {packet.target_address for _, _, packet in lab.arps} == {GATEWAY}


@pytest.mark.req("1122-3.2.2.6-5")
def test_an_echo_reply_reaches_whoever_asked():
    lab, replies = Lab(), []
    lab.host.on_echo_reply = lambda *reply: replies.append(reply)
    lab.host.ping(PEER, 7, 3, b"some text", lab.now)
    [request] = lab.take()
    assert request.icmp == IcmpMessage(icmp.ECHO_REQUEST, 0, 7 << 16 | 3, b"some text")
    lab.icmp(icmp.ECHO_REPLY, 0, 7 << 16 | 3, b"some text")
    assert replies == [(PEER, 7, 3, b"some text", lab.now)]


@pytest.mark.req("1122-3.2.2.8-1")
def test_a_timestamp_request_is_not_answered():
    lab = Lab()
    assert lab.icmp(icmp.TIMESTAMP_REQUEST, 0, 0x00070001, bytes(12)) == []
    assert lab.counters["IcmpInUnknownType"] == 1


@pytest.mark.req("6633-1")
def test_overload_brings_no_source_quench():
    lab = Lab(udp=UdpConfig(receive_queue=1000))
    socket = lab.host.bind_udp(9, lab.now)
    answers = [each for _ in range(100) for each in lab.udp(9, bytes(500))]
    assert answers == [] and lab.counters["UdpRcvbufErrors"] > 0 and socket.readable == 1


@pytest.mark.req("6633-5", "1122-3.2.2-3")
def test_only_errors_that_mean_something_reach_a_socket():
    lab = Lab()
    socket = lab.host.bind_udp(5000, lab.now)
    lab.host.send_datagram(socket, b"hello", PEER, 53, lab.now)
    [sent] = lab.take()
    lab.quote(icmp.SOURCE_QUENCH, 0, sent)
    assert lab.host.receive_datagram(socket) is None
    lab.quote(icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, sent)
    with pytest.raises(ConnectionRefusedError):
        lab.host.receive_datagram(socket)
    assert lab.host.receive_datagram(socket) is None


@pytest.mark.req("1122-3.2.2-3")
def test_an_error_about_what_nobody_sent_reaches_nobody():
    lab = Lab()
    one, two = lab.host.bind_udp(5000, lab.now), lab.host.bind_udp(5001, lab.now)
    lab.host.send_datagram(one, b"hello", PEER, 53, lab.now)
    [sent] = lab.take()
    lab.quote(icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, sent)
    assert lab.host.receive_datagram(two) is None and one.error is not None
    forged = udp.build(UdpHeader(6000, 53), b"hello", US, PEER)
    lab.icmp(3, 3, 0, ip.build(ip.Ipv4Header(US, PEER, ip.PROTOCOL_UDP), forged))
    assert lab.counters["IcmpInQuoteUnmatched"] == 1


HINTS = [
    (icmp.DESTINATION_UNREACHABLE, icmp.NET_UNREACHABLE, errno.ENETUNREACH),
    (icmp.DESTINATION_UNREACHABLE, icmp.HOST_UNREACHABLE, errno.EHOSTUNREACH),
    (icmp.DESTINATION_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE, errno.ECONNREFUSED),
    (icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, errno.ECONNREFUSED),
    (icmp.DESTINATION_UNREACHABLE, icmp.COMMUNICATION_PROHIBITED, errno.EHOSTUNREACH),
    (icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, errno.EHOSTUNREACH),
    (icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME_EXCEEDED, errno.EHOSTUNREACH),
    (icmp.PARAMETER_PROBLEM, icmp.POINTER_INDICATES_ERROR, errno.EPROTO),
]


@pytest.mark.req("1122-4.1.3.3-1", "1122-3.2.2.4-1", "1122-3.2.2.5-1")
@pytest.mark.parametrize(("kind", "code", "number"), HINTS)
def test_every_error_reaches_the_udp_application_and_says_where(kind, code, number):
    lab = Lab()
    socket = lab.host.bind_udp(5000, lab.now)
    lab.host.send_datagram(socket, b"hello", PEER, 53, lab.now)
    [sent] = lab.take()
    lab.quote(kind, code, sent, src=GATEWAY)
    assert lab.host.take_events() != []
    with pytest.raises(OSError, match=r"192\.0\.2\.2") as raised:
        lab.host.receive_datagram(socket)
    assert raised.value.errno == number


@pytest.mark.req("792-5", "1122-3.2.2.5-1", "1122-3.2.1.8-4")
@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        (bytes((7, 9, 4, 0)), 21),
        (bytes((7, 0, 4, 0)), 21),
        (bytes((1, 7, 1, 0)), 22),
        (bytes((1, 1, 1, 68)), 23),  # there is no length: the type itself cannot be here
        (bytes((0x5E, 4, 1, 2, 7, 39, 4, 0)), 25),
    ],
)
def test_a_parameter_problem_points_at_the_octet(options, pointer):
    lab = Lab()
    [answer] = lab.datagram(bytes(16), UNKNOWN_PROTOCOL, options=options)
    message = answer.icmp
    assert (message.type, message.code, message.rest >> 24) == (icmp.PARAMETER_PROBLEM, 0, pointer)
    assert message.payload[:24] == ip.build(ip.Ipv4Header(PEER, US, UNKNOWN_PROTOCOL, options=options), bytes(16))[:24]
    assert lab.counters["IpInHdrErrors"] == 1
    assert lab.datagram(bytes(16), UNKNOWN_PROTOCOL, options=options, link=BROADCAST_MAC, dst=EVERYBODY) == []


@pytest.mark.req("1122-3.2.2-2")
@pytest.mark.parametrize("first_words", ["45", "46", "4f"])
@pytest.mark.parametrize("flags", [0x0000, 0x4000, 0x8000, 0xC000])
def test_an_error_quotes_the_header_as_it_arrived(first_words, flags):
    """Unchanged: with whatever TOS, identification, flags, TTL and options it came."""
    length = (int(first_words, 16) & 0xF) * 4
    options = bytes((0x5E, length - 20)) + bytes(range(length - 22)) if length > 20 else b""
    header = bytearray.fromhex(f"{first_words}b8 {length + 30:04x} beef {flags:04x} 07 c8 0000") + PEER.to_bytes(
        4, "big"
    )
    header += US.to_bytes(4, "big") + options
    header[10:12] = internet_checksum(header).to_bytes(2, "big")
    packet = bytes(header) + bytes(range(30))
    [answer] = Lab().receive(packet)
    assert answer.icmp.payload == packet


def route(pointer: int, *recorded: Ipv4Address, room: int = 3) -> bytes:
    """A record route option with `room` slots."""
    text = b"".join(each.to_bytes(4, "big") for each in recorded).ljust(4 * room, b"\0")
    return bytes((ip.OPTION_RECORD_ROUTE, 3 + len(text), pointer)) + text


@pytest.mark.req("1122-3.2.2.6-6")
@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (route(4), route(8, US)),
        (route(8, GATEWAY), route(12, GATEWAY, US)),
        (route(16, GATEWAY, PEER, OTHER), route(16, GATEWAY, PEER, OTHER)),  # no room is left
    ],
)
def test_a_record_route_option_comes_back_with_us_in_it(asked, answered):
    [reply] = Lab().echo(options=asked)
    assert reply.icmp.type == icmp.ECHO_REPLY
    assert reply.header.options == answered.ljust(len(reply.header.options), b"\0")


def stamps(pointer: int, overflow: int, flag: int, text: bytes) -> bytes:
    return bytes((ip.OPTION_TIMESTAMP, 4 + len(text), pointer, overflow << 4 | flag)) + text


@pytest.mark.req("1122-3.2.2.6-6")
def test_a_timestamp_option_comes_back_with_our_time_in_it():
    lab = Lab()
    # RFC 791 3.1: a time that is not of midnight UT has the high-order bit set.
    stamp = (lab.now // 1_000_000 | 1 << 31).to_bytes(4, "big")
    us, other = US.to_bytes(4, "big"), OTHER.to_bytes(4, "big")
    cases = [
        (stamps(5, 0, 0, bytes(8)), stamps(9, 0, 0, stamp + bytes(4))),
        (stamps(5, 0, 1, bytes(8)), stamps(13, 0, 1, us + stamp)),
        (stamps(5, 0, 3, us + bytes(4)), stamps(13, 0, 3, us + stamp)),
        (stamps(5, 0, 3, other + bytes(4)), stamps(5, 0, 3, other + bytes(4))),  # another's turn
        (stamps(9, 0, 0, b"1234"), stamps(9, 1, 0, b"1234")),  # full: one more that could not register
    ]
    for asked, answered in cases:
        [reply] = lab.echo(options=asked)
        assert reply.header.options == answered, asked


@pytest.mark.req("1122-3.2.2.6-6")
def test_other_options_do_not_come_back():
    [reply] = Lab().echo(options=bytes((0x5E, 4, 1, 2)))
    assert reply.header.options == b"" and reply.icmp.type == icmp.ECHO_REPLY


@pytest.mark.req("1122-3.2.2-5")
def test_a_broadcast_for_a_closed_port_is_not_reported():
    lab = Lab()
    assert lab.udp(9, dst=BROADCAST, link=BROADCAST_MAC) == []
    assert lab.counters["UdpNoPorts"] == 1
