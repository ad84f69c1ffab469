"""The learning switch: where frames go, and what it remembers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.addresses import BROADCAST_MAC, mac
from stack.clock import SECOND
from stack.fastpath.ring import FrameRing
from stack.link.switch import Switch

A, B, C, D = (mac(f"02:00:00:00:00:0{number}") for number in range(1, 5))


def frame(src, dst, text=b"hello"):
    return dst + src + b"\x08\x00" + text


def out(switch):
    """What each port has to send, taken from it."""
    sent = []
    for port in range(len(switch.interfaces)):
        ring = switch.take_frames(port)
        sent.append([bytes(each) for each in ring])
        ring.clear()
    return sent


def pass_on(switch, port, octets, now=0):
    """The ports that send the frame on."""
    switch.receive(port, [octets], now)
    sent = out(switch)
    assert all(each == octets for frames in sent for each in frames)
    return [number for number, frames in enumerate(sent) if frames]


def test_who_is_not_known_is_looked_for_everywhere():
    switch = Switch(4)
    assert pass_on(switch, 1, frame(A, B)) == [0, 2, 3]
    assert switch.counters.flooded == 1


def test_who_has_spoken_is_sent_to_where_he_is():
    switch = Switch(4)
    pass_on(switch, 1, frame(A, B))
    assert pass_on(switch, 3, frame(B, A)) == [1]
    assert pass_on(switch, 1, frame(A, B)) == [3]
    assert switch.stations() == {A: 1, B: 3}
    assert switch.counters.forwarded == 2


@pytest.mark.parametrize("group", [BROADCAST_MAC, mac("01:00:5e:00:00:fb")])
def test_groups_are_everywhere(group):
    switch = Switch(3)
    assert pass_on(switch, 0, frame(A, group)) == [1, 2]
    assert pass_on(switch, 1, frame(B, group)) == [0, 2]
    assert group not in switch.stations()


def test_neighbours_behind_one_port_are_left_to_themselves():
    switch = Switch(3)
    pass_on(switch, 1, frame(A, BROADCAST_MAC))
    assert pass_on(switch, 1, frame(B, A)) == []
    assert switch.counters.filtered == 1


def test_who_moves_is_found_where_he_last_spoke():
    switch = Switch(3)
    pass_on(switch, 0, frame(A, BROADCAST_MAC))
    pass_on(switch, 2, frame(A, BROADCAST_MAC))
    assert pass_on(switch, 1, frame(B, A)) == [2]
    assert switch.counters.moved == 1


def test_who_is_silent_is_forgotten():
    switch = Switch(3, ageing_time=300 * SECOND)
    pass_on(switch, 0, frame(A, BROADCAST_MAC), now=0)
    pass_on(switch, 1, frame(B, BROADCAST_MAC), now=10 * SECOND)
    pass_on(switch, 0, frame(A, BROADCAST_MAC), now=20 * SECOND)
    while (at := switch.deadline()) is not None and at <= 310 * SECOND:
        switch.advance(at)
    assert switch.stations() == {A: 0}
    assert pass_on(switch, 2, frame(C, B), now=310 * SECOND) == [0, 1]
    while (at := switch.deadline()) is not None:
        switch.advance(at)
    assert switch.stations() == {}
    assert switch.counters.aged == switch.counters.learned == 3


def test_the_table_is_bounded_and_forgets_who_was_seen_least_lately():
    switch = Switch(2, table_size=2)
    for address in (A, B, A, C):
        pass_on(switch, 0, frame(address, BROADCAST_MAC))
    assert switch.stations() == {A: 0, C: 0}
    assert switch.counters.evicted == 1


@pytest.mark.parametrize("octets", [b"", bytes(13), frame(BROADCAST_MAC, A), frame(mac("03:00:00:00:00:01"), A)])
def test_what_cannot_be_a_frame_is_dropped_and_teaches_nothing(octets):
    switch = Switch(2)
    assert pass_on(switch, 0, octets) == []
    assert switch.counters.malformed == 1
    assert switch.stations() == {}


def test_what_is_for_bridges_themselves_is_not_passed_on():
    switch = Switch(2)
    assert pass_on(switch, 0, frame(A, mac("01:80:c2:00:00:00"))) == []
    assert pass_on(switch, 0, frame(A, mac("01:80:c2:00:00:0f"))) == []
    assert switch.counters.reserved == 2
    assert pass_on(switch, 0, frame(A, mac("01:80:c2:00:00:10"))) == [1]


def test_a_port_that_is_not_emptied_drops_and_counts():
    switch = Switch(2)
    switch.receive(0, [frame(A, B)] * 600, 0)
    assert (switch.counters.sent, switch.counters.ring_full) == (512, 88)


def test_frames_come_in_a_ring_too():
    switch = Switch(2)
    ring = FrameRing(1518)
    ring.append(frame(A, B))
    switch.receive(0, ring, 0)
    assert out(switch) == [[], [frame(A, B)]]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([A, B, C, D]), st.sampled_from([A, B, C, D])), max_size=50)
)
def test_every_frame_has_one_fate_and_never_goes_back(steps):
    switch = Switch(4, table_size=3)
    behind = {}
    for port, src, dst in steps:
        ports = pass_on(switch, port, frame(src, dst))
        behind[src] = port
        assert port not in ports
        if len(ports) == 1:
            assert ports == [behind[dst]]
        assert len(switch.stations()) <= 3
        assert all(behind[address] == where for address, where in switch.stations().items())
    counters = switch.counters
    fates = counters.forwarded + counters.flooded + counters.filtered + counters.reserved + counters.malformed
    assert counters.received == len(steps) == fates
