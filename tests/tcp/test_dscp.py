"""The DS field of segments (RFC 9293 3.9.1.9, RFC 2474)."""

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from stack.errors import ConfigurationError
from tests.tcp.harness import Bench, Peer, established


@pytest.mark.req("9293-MUST-48", "9293-SHLD-22")
@pytest.mark.parametrize("active", [False, True], ids=["passive", "active"])
@pytest.mark.parametrize("dscp", [0, 10, 46, 63])
def test_every_segment_has_the_codepoint(dscp: int, active: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    on_segment = Peer.on_segment
    monkeypatch.setattr(Peer, "on_segment", lambda peer, *sent: (seen.append(sent[0].tos), on_segment(peer, *sent)))
    bench = Bench(TcpConfig(dscp=dscp, pacing=False))
    peer = established(bench, active=active)
    peer.strict = False
    peer.write(3000)
    bench.elapse(2 * SECOND)  # and again
    peer.send("PA", data=10)
    bench.elapse(SECOND)
    peer.abort()
    assert len(seen) >= 6 and set(seen) == {dscp << 2}


@pytest.mark.req("9293-SHLD-21", "9293-SHLD-22")
def test_it_can_be_changed_at_any_time() -> None:
    bench = Bench()
    peer = established(bench)
    for dscp in (46, 0, 8, 46):
        peer.connection.dscp = dscp
        assert peer.connection.dscp == dscp
        peer.write(10)
        assert peer.expect("PA").header.tos == dscp << 2
        bench.elapse(MILLISECOND)
        peer.send("A")


@pytest.mark.req("9293-SHLD-22")
def test_ecn_has_its_own_bits() -> None:
    bench = Bench(TcpConfig(dscp=46, ecn="request"))
    peer = bench.connect(local_port=50000)
    assert peer.expect("SEC").header.tos == 46 << 2
    peer.syn("SAE")
    assert peer.expect("A").header.tos == 46 << 2
    peer.write(10)
    assert peer.expect("PA").header.tos == 46 << 2 | 0b10


@pytest.mark.req("9293-MAY-9")
def test_what_the_peer_sends_with_can_be_seen() -> None:
    peer = established(Bench())
    assert peer.connection.info().received_dscp == 0
    peer.send("PA", data=1, tos=46 << 2 | 1)
    assert peer.connection.info().received_dscp == 46


@pytest.mark.parametrize("dscp", [-1, 64])
def test_there_are_64(dscp: int) -> None:
    with pytest.raises(ConfigurationError, match="0 to 63"):
        TcpConfig(dscp=dscp)
    peer = established(Bench())
    with pytest.raises(ValueError, match="0 to 63"):
        peer.connection.dscp = dscp
    assert peer.connection.dscp == 0
