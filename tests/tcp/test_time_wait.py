"""A connection that rests in TIME-WAIT (nobody holds it) answers as one that somebody still holds."""

import gc
from collections.abc import Callable
from dataclasses import replace

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.config import TcpConfig
from stack.transport.tcp.connection import Connection
from stack.wire.tcp_options import TcpOptions
from tests.tcp.harness import Bench, established
from tests.tcp.peer import Peer, Sent

MSL = TcpConfig().maximum_segment_lifetime

Happens = Callable[[Peer], object]

HAPPENINGS: dict[str, Happens] = {
    "nothing": lambda peer: None,
    "the FIN again": lambda peer: peer.send("FA", seq=1, ack=2),
    "old text again": lambda peer: peer.send("A", seq=-9, ack=2, data=b"ten octets"),
    "text beyond the FIN": lambda peer: peer.send("A", seq=2, ack=2, data=b"more"),
    "an acknowledgment": lambda peer: peer.send("A", seq=2, ack=2),
    "an acknowledgment of what was never sent": lambda peer: peer.send("A", seq=2, ack=3),
    "an acknowledgment of long ago": lambda peer: peer.send("A", seq=2, ack=-(1 << 20)),
    "a segment far beyond the window": lambda peer: peer.send("A", seq=1 << 30, ack=2),
    "a reset": lambda peer: peer.send("R", seq=2),
    "a reset in the window": lambda peer: peer.send("R", seq=3),
    "a reset out of the window": lambda peer: peer.send("R", seq=-3),
    "a SYN": lambda peer: peer.send("S", seq=100),
    "an older SYN": lambda peer: peer.send("S", seq=-100),
    "a SYN with a time stamp": lambda peer: peer.send("S", seq=100, options=TcpOptions(mss=1460, ts_val=1 << 30)),
    "an old time stamp": lambda peer: peer.send("FA", seq=1, ack=2, options=TcpOptions(ts_val=1, ts_ecr=1)),
    "too much to challenge": lambda peer: [peer.send("A", seq=1 << 30, ack=2) for _ in range(20)],
    "too much, with pauses": lambda peer: [
        (peer.send("A", seq=1 << 30, ack=2), peer.bench.elapse(100 * MILLISECOND)) for _ in range(20)
    ],
}  # fmt: skip


def bring(*, held: bool, active: bool, ts: bool) -> Peer:
    bench = Bench(TcpConfig(keep_alive=True, keep_alive_idle=MSL // 2))
    peer = established(bench, ts=ts, active=active)
    peer.strict = False
    if held:
        peer.shutdown()
    else:
        peer.close()
    peer.send("A", ack=2)
    peer.send("FA", ack=2)
    assert peer.state == "TIME_WAIT"
    assert list(bench.host.resting()) == ([] if held else [peer.connection.key])
    peer.take()
    return peer


def without_what_differs(sent: Sent) -> Sent:
    return replace(sent, header=replace(sent.header, identification=0), raw=b"")


@pytest.mark.req("9293-3.10.7.4-seq-TIME-WAIT", "9293-3.10.7.4-fin-TIME-WAIT", "9293-3.10.8-timewait")
@pytest.mark.parametrize("ts", [False, True], ids=["", "time-stamps"])
@pytest.mark.parametrize("active", [False, True], ids=["opened-by-the-peer", "opened-by-us"])
@pytest.mark.parametrize("happens", HAPPENINGS.values(), ids=HAPPENINGS)
def test_it_answers_as_one_that_is_held(happens: Happens, active: bool, ts: bool) -> None:
    found = []
    for held in (True, False):
        peer = bring(held=held, active=active, ts=ts)
        bench = peer.bench
        bench.elapse(MSL)
        happens(peer)
        left = [peer.exists()]
        for step in (MSL - MILLISECOND - 2 * SECOND, 4 * SECOND, 2 * MSL):
            bench.elapse(step)
            left.append(peer.exists())
        found.append((left, [without_what_differs(each) for each in peer.take()], bench.host.counters.nonzero()))
    assert found[0] == found[1]
    if happens is HAPPENINGS["nothing"]:
        assert found[0][0] == [True, True, False, False]


def test_little_is_kept_of_it() -> None:
    peer = bring(held=False, active=False, ts=True)
    number = id(peer.connection)
    peer.connection = None
    gc.collect()
    assert not any(id(each) == number and isinstance(each, Connection) for each in gc.get_objects())
    assert [key.remote_port for key in peer.bench.host.resting()] == [peer.port]


def test_it_is_among_the_states() -> None:
    peer = bring(held=False, active=False, ts=True)
    assert {state.name: count for state, count in peer.bench.host.states().items()} == {"TIME_WAIT": 1}
    assert not list(peer.bench.host.connections())


def test_what_is_released_in_time_wait_rests_from_then_on() -> None:
    peer = bring(held=True, active=False, ts=True)
    peer.bench.elapse(MSL)
    peer.close()
    assert list(peer.bench.host.resting()) == [peer.connection.key]
    peer.bench.elapse(MSL - MILLISECOND)
    assert peer.exists()
    peer.bench.elapse(2 * MILLISECOND)
    assert not peer.exists()


def test_its_port_is_not_chosen() -> None:
    bench = Bench(TcpConfig(ephemeral_ports=(50000, 50001)))
    peer = established(bench, active=True)
    peer.close()
    peer.expect("FA")
    peer.send("FA", ack=2)
    peer.expect("A")
    assert list(bench.host.resting()) == [peer.connection.key] and peer.local_port == 50000
    bench.peers.clear()
    other = bench.connect(peer.port)
    other.expect("S")
    assert other.local_port == 50001
