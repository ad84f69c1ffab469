"""Path MTU discovery as RFC 1191, RFC 2923 and RFC 9293 3.7.2 ask for it."""

import pytest

from stack.clock import SECOND
from stack.config import Ipv4Config
from stack.internet.path_mtu import PathMtu
from stack.wire import icmp
from stack.wire import ipv4 as ip
from tests.conformance.lab import FAR, GATEWAY, Lab
from tests.tcp.harness import LOCAL, REMOTE, Bench, Peer, established

MINUTE = 60 * SECOND


def too_big(bench, peer, mtu):
    """A router's complaint about the oldest segment of `peer`'s connection that is not acknowledged."""
    sent = peer.connection.sender.una
    ports = peer.local_port.to_bytes(2, "big") + peer.port.to_bytes(2, "big")
    quoted = ip.build(ip.Ipv4Header(LOCAL, REMOTE, ip.PROTOCOL_TCP), ports + sent.to_bytes(4, "big"))
    bench.inject_ip(icmp.build(icmp.IcmpMessage(3, 4, mtu, quoted)), ip.PROTOCOL_ICMP)


@pytest.mark.req("1191-5", "1191-7")
def test_a_path_that_shrank_is_not_tried_again_for_five_minutes_and_is_after_ten():
    known = PathMtu(Ipv4Config())
    known.reduce(FAR, 1400, 1500, 0)
    for at in (0, MINUTE, 5 * MINUTE, 10 * MINUTE - 1):
        assert known.mtu(FAR, at) == 1400
    assert known.mtu(FAR, 10 * MINUTE) > 1500
    # And the wait starts again with the last message.
    known.reduce(FAR, 1400, 1500, 10 * MINUTE)
    known.reduce(FAR, 1300, 1400, 14 * MINUTE)
    assert known.mtu(FAR, 19 * MINUTE) == 1300


@pytest.mark.req("1191-11", "1191-1")
def test_every_user_of_a_path_learns_that_it_shrank():
    bench = Bench()
    listener = bench.listen()
    one, two = Peer(bench, port=1001).handshake(listener), Peer(bench, port=1002).handshake(listener)
    for peer in (one, two):
        peer.write(1460)
        assert len(peer.expect().data) == 1460
    too_big(bench, one, 1300)
    assert [len(each.data) for each in one.take()] == [1260, 200]
    one.send("A")
    two.send("A")
    for peer in (one, two, Peer(bench, port=1003).handshake(listener)):
        peer.write(1460)
        assert max(len(each.data) for each in peer.take()) <= 1260


@pytest.mark.req("7323-pmtud-1", "1191-12", "1191-1")
@pytest.mark.parametrize("timestamps", [False, True])
def test_segments_have_df_and_shrink_to_what_the_path_takes(timestamps):
    bench = Bench()
    peer = established(bench, ts=timestamps)
    peer.write(3000)
    assert all(each.header.dont_fragment for each in peer.take())
    too_big(bench, peer, 1300)
    again = peer.take()
    assert again and max(len(each.raw) for each in again) + 20 <= 1300
    peer.send("A")
    peer.write(5000)
    assert max(len(each.raw) for each in peer.take()) + 20 == 1300


@pytest.mark.req("2923-3", "1191-9")
def test_the_mss_that_is_offered_is_the_interfaces_whatever_the_path_takes():
    bench = Bench()
    peer = established(bench)
    peer.write(1460)
    peer.take()
    too_big(bench, peer, 1000)
    peer.take()
    other = bench.connect()
    assert other.expect("S").options.mss == 1460


@pytest.mark.req("1122-3.3.3-1", "1122-3.3.2-4")
@pytest.mark.parametrize("mtu", [576, 1500, 9000])
def test_transport_learns_what_it_may_send_and_receive(mtu):
    bench = Bench(mtu=mtu)
    peer = bench.connect()
    assert peer.expect("S").options.mss == mtu - 40  # RFC 9293 MUST-67: from MMS_R
    peer.syn("SA", mss=65_000)
    peer.take()
    peer.write(20_000)
    assert max(len(each.raw) for each in peer.take()) == mtu - 20  # MMS_S


@pytest.mark.req("1191-2", "1191-1")
def test_a_path_brings_one_message_for_each_time_it_shrinks():
    lab = Lab()
    socket = lab.host.bind_udp(5000, lab.now)
    for mtu in (1400, 1200):
        lab.host.send_datagram(socket, bytes(1300), FAR, 53, lab.now)
        first = lab.take()[0]
        lab.quote(icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, first, rest=mtu, src=GATEWAY)
        with pytest.raises(OSError, match="too long"):
            lab.host.receive_datagram(socket)
    for _ in range(10):
        lab.host.send_datagram(socket, bytes(1300), FAR, 53, lab.now)
        assert all(each.header.length + len(each.payload) <= 1200 for each in lab.take())
