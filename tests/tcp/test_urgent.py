"""Urgent data (RFC 9293 3.8.5, RFC 6093): delivered in line; nothing is lost, nothing is sent."""

import pytest

from stack.clock import SECOND
from stack.config import TcpConfig
from tests.tcp.harness import FIN_RECEIVED, Bench, established, reach, snd_nxt, stream


@pytest.mark.req("9293-MUST-31")
@pytest.mark.parametrize("urgent", [0, 1, 5, 10, 11, 65535])
def test_urgent_octets_stay_in_line(bench: Bench, isn: int, urgent: int) -> None:
    """Wherever the pointer points (RFC 6093 section 5), none of the ten octets goes missing."""
    peer = established(bench, isn=isn)
    peer.send("PAU", data=10, urgent=urgent)
    peer.expect("A", ack=11, within=SECOND // 2)
    peer.send("PA", data=10)
    assert peer.read() == stream(0, 20)


@pytest.mark.req("9293-MUST-31")
def test_urgent_data_longer_than_a_window() -> None:
    bench = Bench(TcpConfig(receive_buffer=4096))
    peer = established(bench)
    peer.strict = False
    got = b""
    for at in range(0, 20_000, 1000):
        peer.send("AU", seq=1 + at, data=1000, urgent=20_000 - at)
        got += peer.read()
    assert got == stream(0, 20_000)


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(each, marks=pytest.mark.req("9293-3.10.7.4-urg-" + each.replace("_", "-")))
        for each in sorted(FIN_RECEIVED)
    ],
)
def test_urgent_is_ignored_after_the_peers_fin(bench: Bench, isn: int, state: str) -> None:
    peer = reach(state, bench, isn=isn)
    bench.host.take_events()
    peer.send("AU", seq=2, ack=snd_nxt(state) if state == "TIME_WAIT" else 1, urgent=5)
    assert peer.state == state and bench.host.take_events() == []
    assert peer.connection.readable == 0


@pytest.mark.req("9293-MUST-66")
def test_urgent_at_a_closed_window_is_no_harm() -> None:
    bench = Bench(TcpConfig(receive_buffer=2048))
    peer = established(bench)
    peer.strict = False
    peer.send("A", data=1024)
    peer.send("A", data=1024)
    peer.take()
    peer.send("AU", data=b"", urgent=1)
    assert peer.state == "ESTABLISHED" and peer.read() == stream(0, 2048)
