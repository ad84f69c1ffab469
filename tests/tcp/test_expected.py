"""The short way of a segment that was expected has the outcome of the long one: the same frames, and the same state."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.clock import MILLISECOND, SECOND
from stack.events import END_OF_STREAM
from stack.transport.tcp import expected
from stack.transport.tcp.congestion import ALGORITHMS
from stack.virtual.link import LinkProfile
from stack.virtual.network import Network
from stack.virtual.queues import CoDel
from tests.effort import examples
from tests.virtual.hosts import SERVER, make_host


class Tap:
    """An observer that keeps every frame sent."""

    def __init__(self):
        self.frames = []

    def observe(self, received, port, frames, now):
        if not received:
            self.frames += [(now, bytes(frame)) for frame in frames]


PARTS = ("sender", "receiver", "recovery", "rack", "board", "rtt", "congestion", "_hystart", "timestamps", "rate")


def state_of(part):
    """Every variable of a connection, by name, and those of its parts."""
    found = {}
    for name in (slot for kind in type(part).__mro__ for slot in getattr(kind, "__slots__", ())):
        value = getattr(part, name)
        if name in PARTS and hasattr(type(value), "__slots__"):
            found[name] = state_of(value)
        elif isinstance(value, int | float | tuple | None):
            found[name] = value
    return found


class Talker:
    """One end of a conversation: writes pieces of many sizes, some in answer to what it reads, and closes."""

    def __init__(self, host, connection, seed):
        self.host, self.connection = host, connection
        self.random = random.Random(seed)
        self.left = 300_000
        self.has_closed = False
        connection.handler = self.on_event

    def on_event(self, kinds, now):
        if self.connection.error is not None:
            return
        while self.connection.readable and self.random.random() < 0.9:
            self.host.read(self.connection, self.random.choice([10, 1000, 65536]), now)
        for _ in range(self.random.randrange(3)):
            size = min(self.random.choice([1, 100, 1448, 5000, 40_000]), self.left)
            if size and not self.has_closed:
                self.left -= self.host.write(self.connection, bytes(size), now)
        if (not self.left or kinds & END_OF_STREAM) and not self.has_closed:
            self.has_closed = True
            self.host.shutdown(self.connection, now)

    def poke(self, now):
        if self.connection.state.name in ("ESTABLISHED", "CLOSE_WAIT"):
            self.on_event(0, now)


def converse(profile, seed, **tcp):
    network = Network(seed)
    client, server = network.add(make_host(1, **tcp)), network.add(make_host(2, **tcp))
    network.connect(client, server, profile)
    taps = [Tap(), Tap()]
    client._observers, server._observers = (taps[0],), (taps[1],)
    talkers = []
    listener = server.listen(80, network.now)
    listener.handler = lambda kinds, now: talkers.append(Talker(server, server.accept(listener), seed + 1))
    talkers.append(Talker(client, client.connect(SERVER, 80, network.now), seed))
    states = []
    for _ in range(300):
        network.run(network.now + 50 * MILLISECOND)
        states += [state_of(talker.connection) for talker in talkers]
        for talker in talkers:
            talker.poke(network.now)
    network.run(network.now + 10 * SECOND)
    counters = [host.counters.nonzero() for host in (client, server)]
    return [tap.frames for tap in taps], counters, states


@pytest.mark.interpreted
@settings(max_examples=examples(25))
@given(
    st.sampled_from([0, 0, 0.01, 0.1]),
    st.sampled_from([0, 0.02]),
    st.sampled_from([0, 0.05]),
    st.sampled_from([None, 2_000_000]),
    st.sampled_from(sorted(ALGORITHMS)),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1 << 30),
)
def test_both_ways_have_one_outcome(loss, duplication, reordering, rate, congestion, ecn, nagle, seed):
    profile = LinkProfile(
        delay=5 * MILLISECOND,
        jitter=MILLISECOND,
        rate=rate,
        queue=CoDel(ecn=ecn),
        loss=loss,
        duplication=duplication,
        reordering=reordering,
        reordering_delay=8 * MILLISECOND,
    )
    options = {"congestion": congestion, "ecn": "request" if ecn else "off", "nagle": nagle}
    taken = []
    take = expected.take
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expected, "take", lambda *segment: taken.append(take(*segment)) or taken[-1])
        short = converse(profile, seed, **options)
    assert sum(taken) > 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expected, "take", lambda *segment: False)
        long = converse(profile, seed, **options)
    assert short == long
