"""BBR: its model and its states by hand, and flows between two hosts over a bottleneck."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.clock import MILLISECOND, SECOND, Duration, Instant
from stack.config import TcpConfig
from stack.transport.tcp.congestion import AckSample
from stack.transport.tcp.congestion.bbr import Bbr, State
from stack.virtual.link import LinkProfile
from stack.virtual.network import Network
from stack.virtual.queues import DropTail
from tests.congestion.path import MSS
from tests.virtual.hosts import Sink, Source, make_host

RATE = 1_000_000  # octets a second
RTT = 50 * MILLISECOND
PRODUCT = RATE * RTT // SECOND


class Flow:
    """Acknowledges what a Bbr sends: a round is one acknowledgment for what is in flight."""

    def __init__(self) -> None:
        self.control = Bbr(MSS, 10)
        self.now: Instant = SECOND
        self.delivered = 0
        self.rates: list[int] = []

    def round(
        self, rate: int = RATE, rtt: Duration = RTT, flight: int = PRODUCT, lost: int = 0, limited: bool = False
    ) -> None:
        """A round-trip time passes, at the end of which all that was in flight then has arrived or is lost."""
        self.now += rtt
        prior, self.delivered = self.delivered, self.delivered + flight - lost
        sample = AckSample(
            self.now, flight - lost, flight - lost, flight, True, self.delivered, self.delivered + flight, rtt,
            self.delivered, prior, rate, limited, lost,
        )  # fmt: skip
        self.control.on_ack(sample)
        self.rates.append(self.control.pacing_rate)


def probing() -> Flow:
    """One that has come to PROBE_BW."""
    flow = Flow()
    while flow.control.state is not State.PROBE_BW:
        flow.round()
        assert len(flow.rates) < 10
    return flow


@pytest.mark.req("5033-1")
def test_it_has_to_be_asked_for() -> None:
    assert TcpConfig().congestion == "cubic"


def test_startup_doubles_until_the_rate_does_not_follow_for_three_rounds() -> None:
    flow = Flow()
    control = flow.control
    for rate in (RATE // 4, RATE // 2, RATE, RATE, RATE + RATE // 5):
        flow.round(rate, flight=2 * PRODUCT)
        assert control.state is State.STARTUP
        assert control.pacing_rate == int(2.885 * rate)
    flow.round(flight=4 * PRODUCT)
    assert control.state in (State.DRAIN, State.PROBE_BW)


def test_startup_does_not_end_because_the_application_is_slow() -> None:
    flow = Flow()
    for _ in range(20):
        flow.round(limited=True)
    assert flow.control.state is State.STARTUP


def test_drain_lasts_until_the_queue_is_gone() -> None:
    flow = Flow()
    control = flow.control
    while control.state is State.STARTUP:
        flow.now += RTT
        flow.delivered += PRODUCT
        control.on_ack(
            AckSample(flow.now, 0, PRODUCT, 4 * PRODUCT, True, 0, 0, RTT, flow.delivered, flow.delivered - 1, RATE)
        )
    assert control.state is State.DRAIN
    assert control.pacing_rate == int(RATE / 2.885)
    flow.round(flight=PRODUCT)
    assert control.state is State.PROBE_BW


def test_a_cycle_probes_once_in_eight_round_trips_and_drains_what_that_has_queued() -> None:
    flow = probing()
    flow.rates.clear()
    for _ in range(64):
        flow.round(rtt=RTT + 1, flight=PRODUCT + PRODUCT // 2)
    gains = [rate / RATE for rate in flow.rates]
    assert set(gains) == {1.25, 0.75, 1.0}
    first = gains.index(1.25)
    assert gains[first : first + 8] == [1.25, 0.75, 1, 1, 1, 1, 1, 1]


def test_the_bandwidth_is_the_highest_of_ten_rounds() -> None:
    flow = probing()
    flow.round(3 * RATE)
    for _ in range(9):
        flow.round()
        assert flow.control.bandwidth == 3 * RATE
    flow.round()
    assert flow.control.bandwidth == RATE


def test_what_the_application_bounds_lowers_no_bandwidth_but_may_raise_it() -> None:
    flow = probing()
    for _ in range(30):
        flow.round(RATE // 10, limited=True)
    assert flow.control.bandwidth == RATE
    flow.round(2 * RATE, limited=True)
    assert flow.control.bandwidth == 2 * RATE


def test_no_more_than_twice_the_product_in_flight() -> None:
    flow = probing()
    for _ in range(20):
        flow.round(flight=2 * PRODUCT)
    assert 2 * PRODUCT <= flow.control.cwnd <= 2 * PRODUCT + 6 * MSS


def test_what_end_hosts_merge_is_a_super_frame_at_most() -> None:
    """4.2.2: send_quantum is 64 KiB at most, and 4.2.3.2 has three of these beyond what the path holds."""
    flow = Flow()
    while flow.control.state is not State.PROBE_BW:
        flow.round(1000 * RATE, flight=1000 * PRODUCT)
    for _ in range(8):
        flow.round(1000 * RATE, flight=1000 * PRODUCT)
    assert flow.control.cwnd == 2 * 1000 * PRODUCT + 3 * 65536


def test_after_ten_seconds_without_a_lower_time_it_looks_again_and_comes_back() -> None:
    flow = probing()
    control = flow.control
    began = flow.now
    while control.state is State.PROBE_BW:
        flow.round(rtt=RTT + MILLISECOND)
    assert 9 * SECOND < flow.now - began < 11 * SECOND
    before = control.bandwidth
    cwnd = control.cwnd
    assert (control.state, cwnd) == (State.PROBE_RTT, 4 * MSS)
    entered = flow.now
    while control.state is State.PROBE_RTT:
        assert control.cwnd == 4 * MSS
        flow.now -= RTT - RTT // 5  # more rounds than the filter of the bandwidth is long
        flow.round(RATE // 20, flight=4 * MSS)
    assert 200 * MILLISECOND <= flow.now - entered <= 200 * MILLISECOND + 3 * RTT
    assert (control.state, control.bandwidth) == (State.PROBE_BW, before)
    assert control.cwnd >= 2 * PRODUCT
    for _ in range(12):
        flow.round()
    assert control.bandwidth == RATE and control.state is State.PROBE_BW


def test_a_loss_is_a_round_of_packet_conservation_and_no_change_of_the_rate() -> None:
    flow = probing()
    control = flow.control
    for _ in range(10):
        flow.round(flight=2 * PRODUCT)
    cwnd = control.cwnd
    control.on_loss(2 * PRODUCT, flow.now)
    flow.now += 1
    flow.delivered += MSS
    una = flow.delivered
    sample = AckSample(
        flow.now, 0, MSS, 2 * PRODUCT, True, una, una + cwnd, None, flow.delivered, flow.delivered - MSS, RATE, lost=MSS
    )
    control.on_ack(sample)
    assert control.cwnd == 2 * PRODUCT - MSS  # what is left, and what has arrived
    assert control.bandwidth == RATE
    flow.delivered += cwnd
    flow.round()
    assert control.cwnd >= cwnd  # una is beyond what was outstanding: the repair is over


@given(st.integers(1, 100), st.booleans())
def test_after_a_timeout_one_segment_and_undo_gives_the_window_back(rounds: int, is_timeout: bool) -> None:
    flow = probing()
    for _ in range(rounds):
        flow.round()
    cwnd, rate = flow.control.cwnd, flow.control.pacing_rate
    if is_timeout:
        flow.control.on_timeout(cwnd, flow.now)
        assert flow.control.cwnd == MSS
    else:
        flow.control.on_loss(cwnd, flow.now)
    flow.control.undo(flow.now)
    assert (flow.control.cwnd, flow.control.pacing_rate) == (cwnd, rate)


EVENTS = st.lists(st.tuples(st.sampled_from(["ack", "loss", "timeout", "idle", "undo"]), st.integers(0, 1 << 24)))


@given(EVENTS, st.integers(1, 11 * SECOND))
def test_cwnd_is_a_segment_at_least(events: list[tuple[str, int]], rtt: Duration) -> None:
    flow = Flow()
    for kind, number in events:
        if kind == "ack":
            before = flow.control.cwnd
            flow.round(number, rtt, flight=number, lost=number // 3)
            assert flow.control.cwnd <= before + max(number, 4 * MSS) or flow.control._recover is not None
        elif kind == "idle":
            flow.control.on_idle(number, flow.now)
        elif kind == "undo":
            flow.control.undo(flow.now)
        else:
            (flow.control.on_loss if kind == "loss" else flow.control.on_timeout)(number, flow.now)
        assert flow.control.cwnd >= MSS


def transfer(congestion: str, loss: float = 0.0, products: float = 1, seconds: int = 2) -> tuple[float, Duration]:
    """A flow over 20 Mbit/s and 20 ms, with a queue of so many products: its share of that, and how long a round trip
    takes at the end."""
    rate, rtt = 20_000_000, 20 * MILLISECOND
    product = rate * rtt // SECOND // 8
    network = Network(7)
    hosts = [make_host(number, congestion=congestion, send_buffer=1 << 20, receive_buffer=1 << 20) for number in (1, 2)]
    for host in hosts:
        network.add(host)
    link = LinkProfile(delay=rtt // 2, rate=rate, queue=DropTail(octets=int(products * product)), loss=loss)
    network.connect(*hosts, link, LinkProfile(delay=rtt // 2, rate=rate))
    sink = Sink(hosts[1], network.now)
    source = Source(hosts[0], bytes(seconds * rate // 8), network.now)
    network.run(network.now + seconds * SECOND)
    return len(sink.data) * 8 / seconds / rate, source.connection.info().srtt


def test_a_flow_fills_the_bottleneck() -> None:
    assert transfer("bbr")[0] > 0.8


def test_random_loss_does_not_slow_it_down() -> None:
    assert transfer("bbr", loss=0.01)[0] > 0.6 > transfer("cubic", loss=0.01)[0]


def test_a_deep_queue_stays_nearly_empty() -> None:
    # A window of two products bounds what is queued to one; the rate keeps it far below that most of the time.
    share, round_trip = transfer("bbr", products=20)
    assert share > 0.8
    assert round_trip < 40 * MILLISECOND < transfer("newreno", products=20)[1]
