"""Several hosts on one Ethernet, with a bottleneck between them."""

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.errors import ConfigurationError
from stack.virtual.link import LinkProfile
from stack.virtual.network import Network
from stack.virtual.queues import CoDel, DropTail
from stack.virtual.topology import dumbbell
from tests.virtual.hosts import Sink, Source, address, make_host

RATE = 10_000_000


def four_hosts(bottleneck):
    network = Network(seed=3)
    left, right = ([network.add(make_host(number)) for number in pair] for pair in ((1, 2), (11, 12)))
    link = dumbbell(network, left, right, bottleneck, edges=LinkProfile(delay=MILLISECOND, rate=100_000_000))
    return network, left, right, link


@pytest.mark.parametrize("queue", [DropTail(60_000), CoDel()])
def test_two_flows_share_a_bottleneck(queue):
    network, left, right, link = four_hosts(LinkProfile(rate=RATE, delay=5 * MILLISECOND, queue=queue))
    sinks = [Sink(host, network.now) for host in right]
    for number, host in zip((11, 12), left, strict=True):
        Source(host, bytes(4_000_000), network.now, remote=address(number))
    network.run(5 * SECOND)
    got = [len(sink.data) * 8 / 5 for sink in sinks]
    assert sum(got) < RATE  # both have gone through the one link
    assert sum(got) > 0.85 * RATE
    assert min(got) > 0.15 * RATE
    assert link.forward.counters.overflows + link.forward.counters.queue_drops > 0


def test_what_stays_on_one_side_does_not_cross_the_bottleneck():
    network, left, _, link = four_hosts(LinkProfile(rate=RATE, delay=5 * MILLISECOND))
    sink = Sink(left[1], network.now)
    Source(left[0], bytes(500_000), network.now, remote=address(2))
    network.run(5 * SECOND)
    assert len(sink.data) == 500_000
    assert link.forward.counters.octets < 1000  # ARP, which is for everybody


def test_codel_keeps_the_queue_short_where_drop_tail_fills_it():
    longest = []
    for queue in (DropTail(250_000), CoDel()):
        network, left, right, link = four_hosts(LinkProfile(rate=RATE, delay=10 * MILLISECOND, queue=queue))
        sink = Sink(right[0], network.now)
        Source(left[0], bytes(20_000_000), network.now, remote=address(11))
        network.run(5 * SECOND)
        samples = []
        while network.now < 10 * SECOND:
            network.run(network.now + 10 * MILLISECOND)
            samples.append(link.forward.counters.in_transit)
        longest.append(sum(samples) / len(samples))
        assert len(sink.data) * 8 / 10 > 0.75 * RATE
    assert longest[1] < longest[0] / 2


def test_an_interface_has_one_cable():
    network = Network()
    one, other, third = (network.add(make_host(number)) for number in (1, 2, 3))
    network.connect(one, other)
    with pytest.raises(ConfigurationError, match="one cable"):
        network.connect(one, third)
