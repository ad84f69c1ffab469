"""How much goes out during recovery: RFC 9937 (proportional rate reduction), by the formulas of its section 6.2."""

from itertools import pairwise

import pytest

from stack.clock import MILLISECOND, SECOND
from tests.conformance.flight import MSS, RTT, Flight

SIZE = 14  # segments in flight when the losses happen: the initial window of RFC 6928


def losing(*numbers):
    """The first sendings of these are lost."""
    return lambda number, time: number in numbers and time == 1


def large(**config):
    """A connection with a window of SIZE segments in flight, numbered from 0, and more to send."""
    flight = Flight(initial_window_segments=20, minimum_rto=SECOND, **config)
    flight.peer.write(200 * MSS)
    return flight


class Model:
    """RFC 9937's variables, from what is seen on the wire and in the status."""

    def __init__(self, flight):
        self.flight = flight
        self.delivered = self.out = 0
        self.recover_fs = None
        self.una, self.sacked = flight.info.acknowledged, flight.info.sacked
        self.checked = 0
        self.entered = False

    def on_ack(self, sent, nxt):
        """An acknowledgment has come, when SND.NXT was `nxt`, and `sent` octets went out because of it."""
        info = self.flight.info
        una = info.acknowledged
        newly = (
            una - self.una + info.sacked - self.sacked
        )  # DeliveredData: the advance, and the signed change of SACKed
        advanced = una > self.una
        self.una, self.sacked = una, info.sacked
        if info.phase.name != "RECOVERY":
            assert not self.entered or info.cwnd == info.ssthresh, "cwnd = ssthresh at the end (6.4)"
            return info.phase.name
        inflight = info.in_flight - sent
        if not self.entered:
            self.entered = True
            # SND.NXT - SND.UNA, without what was SACKed already, with what this acknowledgment has delivered (6.1)
            self.recover_fs = nxt - una - info.sacked + newly
        self.delivered += newly
        ssthresh = info.ssthresh
        if inflight > ssthresh:
            count = -(-self.delivered * ssthresh // self.recover_fs) - self.out
        else:
            count = max(self.delivered - self.out, newly)
            if advanced:  # SafeACK: these tests lose nothing more once recovery has begun
                count += MSS
            count = min(ssthresh - inflight, count)
        if not self.out and count < MSS:
            count = MSS  # the fast retransmit is sent in any case
        assert info.cwnd == inflight + max(count, 0), self.flight.bench.log()
        assert sent <= max(count, 0) and max(count, 0) - sent < MSS
        self.out += sent
        self.checked += 1
        return info.phase.name


def check_against_model(flight, lost):
    """Every acknowledgment of a recovery; the model, for what else a test wants to know."""
    model = Model(flight)
    end = flight.now + 3 * SECOND
    while True:
        known = len(flight.log)
        nxt = MSS * (1 + max((number for _, number in flight.log), default=-1))
        if not flight.step(end, lost):
            break
        if not known:  # the first call has sent the window, too
            known, nxt = SIZE, SIZE * MSS
        phase = model.on_ack(MSS * (len(flight.log) - known), nxt)
        if model.entered and phase == "OPEN":
            return model
    raise AssertionError(flight.bench.log())


@pytest.mark.req(
    "9937-1", "9937-2", "9937-3", "9937-4", "9937-6", "9937-7", "9937-9", "9937-10", "9937-11", "9937-12"
)  # fmt: skip
@pytest.mark.parametrize(
    "holes",
    [(0,), (5,), (0, 2, 4), (0, 1, 2, 3), tuple(range(8)), tuple(range(0, 10, 2)), tuple(range(11)), (3, 7, 9)],
)
def test_every_acknowledgment_of_a_recovery_lets_out_what_the_formulas_say(holes):
    model = check_against_model(large(), losing(*holes))
    assert model.checked >= SIZE - len(holes) - 3


@pytest.mark.req("9937-1")
def test_a_second_recovery_begins_with_nothing_delivered_and_nothing_sent():
    flight = large()
    check_against_model(flight, losing(0, 2))
    second = max(number for _, number in flight.log) + 3
    model = check_against_model(flight, losing(second, second + 2))
    assert model.checked >= 3


@pytest.mark.req("9937-1", "9937-14", "8985-27")
@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
def test_the_target_is_congestion_controls(congestion):
    flight = large(congestion=congestion)
    check_against_model(flight, losing(0))
    factor = {"newreno": 0.5, "cubic": 0.7}[congestion]
    assert abs(flight.info.ssthresh - factor * SIZE * MSS) <= MSS


@pytest.mark.req("9937-6")
def test_one_of_two_is_let_out_while_more_is_in_flight_than_ssthresh():
    """With half of the window as the target, every second acknowledgment sends, instead of a pause and a burst."""
    flight = large()
    check_against_model(flight, losing(0))
    start = next(at for at, number in flight.log if number == 0 and at > RTT * 11)
    first_round = [at for at, _ in flight.log if start <= at < start + 16 * MILLISECOND]
    gaps = {later - earlier for earlier, later in pairwise(first_round)}
    assert max(gaps) <= 3 * MILLISECOND and 5 <= len(first_round) <= 8


@pytest.mark.req("9937-8")
def test_while_losses_go_on_no_more_goes_out_than_arrives():
    """Without SafeACK the bound is conservative (PRR-CRB)."""
    flight = large()
    lost = losing(*range(8))
    out = delivered = 0
    end = flight.now + RTT + 25 * MILLISECOND  # only what was sent before arrives: nothing advances SND.UNA
    while flight.step(end, lost):
        info = flight.info
        if info.phase.name == "RECOVERY":
            delivered += MSS
            out += MSS * len([1 for at, _ in flight.log if at == flight.now])
            assert out <= max(delivered, MSS)
    assert out >= MSS


@pytest.mark.req("9937-9")
def test_recovery_begins_with_a_retransmission_whatever_the_formulas_say():
    flight = Flight(initial_window_segments=4)
    flight.write(4)
    flight.wait(RTT)
    assert 0 in flight.ack(0, (1, 4))


@pytest.mark.req("9937-15", "9937-3")
def test_an_acknowledgment_of_nothing_changes_nothing():
    flight = large()
    lost = losing(0)
    end = flight.now + RTT + 10 * MILLISECOND
    while flight.step(end, lost):
        pass
    assert flight.info.phase.name == "RECOVERY"
    cwnd = flight.info.cwnd
    last = [(left, right) for left, right in flight.far._blocks()]
    for _ in range(20):
        assert flight.ack(0, *last) == [] and flight.info.cwnd == cwnd


@pytest.mark.req("9937-13")
def test_what_goes_out_after_recovery_is_paced():
    flight = Flight(initial_window_segments=20, minimum_rto=SECOND, pacing=True)
    flight.peer.write(400 * MSS)
    flight.play(6 * RTT, losing(0))
    times = [at for at, _ in flight.log if at > flight.now - 2 * RTT]
    assert len(times) > 10 and max(times.count(at) for at in set(times)) <= 3
