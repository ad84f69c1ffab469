"""Whole networks in virtual time."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.addresses import ipv4
from stack.clock import MILLISECOND, SECOND
from stack.config import ArpConfig
from stack.errors import ConfigurationError
from stack.events import END_OF_STREAM
from stack.link.switch import Switch
from stack.transport.tcp.states import State
from stack.virtual.link import LinkProfile
from stack.virtual.network import Network, Stuck
from stack.virtual.queues import DropTail
from tests.effort import examples
from tests.virtual.hosts import SERVER, Sink, Source, make_host


def two_hosts(profile=None, seed=1, backward=None, **tcp):
    network = Network(seed)
    client, server = network.add(make_host(1, **tcp)), network.add(make_host(2, **tcp))
    link = network.connect(client, server, profile, backward)
    return network, client, server, link


def test_an_hour_of_an_idle_connection_costs_next_to_nothing():
    network, client, server, _ = two_hosts(LinkProfile(delay=5 * MILLISECOND), keep_alive=True)
    Sink(server, network.now)
    connection = client.connect(SERVER, 80, network.now)
    steps = 0

    def count():
        nonlocal steps
        steps += 1
        return False

    network.run_until(count, 3 * 3600 * SECOND)
    assert connection.state is State.ESTABLISHED
    assert network.now == 3 * 3600 * SECOND
    assert client.counters["TcpExtTCPKeepAlive"] >= 1
    assert steps < 200


def test_what_cannot_be_connected():
    network, client, server, _ = two_hosts()
    stranger, switch = make_host(3), network.add(Switch(2))
    for one, other, ports, why in (
        (client, stranger, (0, 0), "has to be added"),
        (switch, client, (2, 0), "there is no port 2: the node has 2"),
        (switch, client, (-1, 0), "there is no port -1"),
        (switch, server, (0, 0), "one cable"),
        (switch, switch, (1, 1), "cannot be connected to itself"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            network.connect(one, other, ports=ports)
    network.connect(switch, switch, ports=(0, 1))  # nothing was left half-connected by those that failed
    with pytest.raises(ConfigurationError, match="in the network already"):
        network.add(client)


@settings(max_examples=examples(25))
@given(
    st.floats(0, 0.15), st.floats(0, 0.1), st.floats(0, 0.2), st.floats(0, 0.05), st.integers(0, 1000), st.booleans()
)
def test_everything_arrives_over_any_link_and_nothing_is_left(loss, duplication, reordering, corruption, seed, both):
    profile = LinkProfile(
        delay=10 * MILLISECOND,
        jitter=2 * MILLISECOND,
        loss=loss,
        duplication=duplication,
        reordering=reordering,
        reordering_delay=15 * MILLISECOND,
        corruption=corruption,
    )
    backward = profile if both else LinkProfile(delay=3 * MILLISECOND)
    persistent = ArpConfig(requests=40)  # three requests can all be lost, which says nothing about TCP
    network, client, server, _ = two_hosts(profile, seed, backward, arp=persistent)
    data = random.Random(seed).randbytes(60_000)
    sink = Sink(server, network.now)
    Source(client, data, network.now)
    network.run(4 * 3600 * SECOND)
    assert sink.data == data
    assert not list(client.connections())
    assert not list(server.connections())


def trace(seed):
    network, client, server, _ = two_hosts(LinkProfile(delay=MILLISECOND, loss=0.05, corruption=0.02), seed)
    seen = []

    class Observer:
        def observe(self, received, port, frames, now):
            seen.append((received, now, [bytes(frame) for frame in frames]))

    client._observers = (Observer(),)
    Sink(server, network.now)
    Source(client, bytes(200_000), network.now)
    network.run(600 * SECOND)
    return seen


def test_the_same_seed_gives_the_same_frames_octet_for_octet():
    assert trace(5) == trace(5)
    assert trace(5) != trace(6)


def test_goodput_on_a_clean_link_comes_near_its_rate():
    rate = 10_000_000
    network, client, server, _ = two_hosts(LinkProfile(delay=5 * MILLISECOND, rate=rate, queue=DropTail(1 << 20)))
    sink = Sink(server, network.now)
    Source(client, bytes(5_000_000), network.now)
    assert network.run_until(lambda: len(sink.data) == 5_000_000, 60 * SECOND)
    assert len(sink.data) * 8 * SECOND / network.now > 0.85 * rate


def test_two_hundred_connections_at_once():
    network, client, server, _ = two_hosts(LinkProfile(delay=MILLISECOND, rate=100_000_000))
    listener = server.listen(80, network.now)
    got = {}

    def on_listener(kinds, now):
        while (connection := server.accept(listener)) is not None:
            got[connection] = 0

            def on_connection(kinds, now, connection=connection):
                while connection.readable:
                    got[connection] += len(server.read(connection, 1 << 16, now))
                if kinds & END_OF_STREAM:
                    server.close(connection, now)

            connection.handler = on_connection

    listener.handler = on_listener
    for _ in range(200):
        Source(client, bytes(10_000), network.now)
    network.run(200 * SECOND)
    assert list(got.values()) == [10_000] * 200
    assert not list(client.connections())


@pytest.mark.req("9293-MUST-10")
def test_simultaneous_open():
    network, one, other, _ = two_hosts(LinkProfile(delay=5 * MILLISECOND))
    a = one.connect(SERVER, 80, network.now, local_port=81)
    b = other.connect(ipv4("10.0.0.1"), 81, network.now, local_port=80)
    network.run(10 * SECOND)
    assert (a.state, b.state) == (State.ESTABLISHED, State.ESTABLISHED)
    one.write(a, b"hello", network.now)
    network.run(11 * SECOND)
    assert other.read(b, 100, network.now) == b"hello"


def test_ping_and_datagrams():
    network, one, other, _ = two_hosts(LinkProfile(delay=5 * MILLISECOND))
    replies = []
    one.on_echo_reply = lambda *reply: replies.append(reply)
    one.ping(SERVER, 7, 1, bytes(5000), network.now)
    socket = other.bind_udp(53, network.now)
    asking = one.bind_udp(None, network.now)
    one.send_datagram(asking, b"who?", SERVER, 53, network.now)
    one.send_datagram(asking, b"who?", SERVER, 54, network.now)
    network.run(SECOND)
    assert [(source, identifier, len(data)) for source, identifier, _, data, _ in replies] == [(SERVER, 7, 5000)]
    asked = other.receive_datagram(socket)
    assert (asked.data, asked.address, asked.port) == (b"who?", ipv4("10.0.0.1"), asking.port)
    with pytest.raises(ConnectionRefusedError):
        one.receive_datagram(asking)


def test_a_link_that_is_down_carries_nothing_and_tcp_survives_it():
    network, client, server, link = two_hosts(LinkProfile(rate=100_000_000, delay=MILLISECOND))
    sink = Sink(server, network.now)
    source = Source(client, bytes(3_000_000), network.now)
    network.run(20 * MILLISECOND)  # a tenth of what the link needs for it
    link.forward.is_down = link.backward.is_down = True
    network.run(30 * SECOND)
    assert source.connection.error is None and len(sink.data) < 3_000_000
    link.forward.is_down = link.backward.is_down = False
    network.run(300 * SECOND)
    assert len(sink.data) == 3_000_000


def test_a_host_that_is_not_there():
    network, client, _, _ = two_hosts(LinkProfile(delay=MILLISECOND))
    connection = client.connect(ipv4("10.0.0.77"), 80, network.now)
    network.run(10 * SECOND)
    assert connection.state is State.CLOSED
    assert "does not answer" in str(connection.error)


def test_a_host_acts_at_its_deadline_also_where_that_has_come_nearer():
    network, client, server, _ = two_hosts()
    fired = []
    late, soon, other = (host.timer(list.append, fired) for host in (client, client, server))
    late.arm(10 * SECOND)
    other.arm(5 * SECOND)
    network.settle()
    soon.arm(3 * SECOND)
    network.run(20 * SECOND)
    assert fired == [3 * SECOND, 5 * SECOND, 10 * SECOND]


def test_who_never_lets_time_go_on_is_told():
    class Restless:
        """A node that always wants to act at once."""

        interfaces = ()

        def advance(self, now):
            pass

        def deadline(self):
            return SECOND

    network = Network()
    network.add(Restless())
    with pytest.raises(Stuck, match="1000000000 ns"):
        network.run(2 * SECOND)
