"""Urgent octets between two hosts, over links that lose and reorder."""

import pytest

from stack.clock import MILLISECOND, SECOND
from stack.events import URGENT
from stack.virtual.link import LinkProfile
from tests.virtual.test_network import SERVER, two_hosts


@pytest.mark.req("9293-MUST-30", "9293-MUST-32", "9293-MUST-33", "9293-MUST-31")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("options", [{}, {"timestamps": False}, {"ecn": "request", "dscp": 46}], ids=str)
def test_what_is_urgent_is_told_and_nothing_is_lost(seed, options):
    profile = LinkProfile(delay=10 * MILLISECOND, loss=0.05, reordering=0.1, reordering_delay=5 * MILLISECOND)
    network, client, server, _ = two_hosts(profile, seed, **options)
    received, told, accepted = bytearray(), [], []

    def on_connection(kinds, now):
        connection = server.accept(listener)
        accepted.append(connection)
        connection.handler = on_server

    def on_server(kinds, now):
        if kinds & URGENT:
            told.append(len(received) + accepted[0].urgent_left)
            assert accepted[0].urgent_left > 0
        while data := server.read(accepted[0], 700, now):
            received.extend(data)

    listener = server.listen(80, network.now)
    listener.handler = on_connection
    connection = client.connect(SERVER, 80, network.now)
    assert network.run_until(lambda: connection.state.name == "ESTABLISHED", 60 * SECOND)
    written, ends = bytearray(), []
    for number in range(40):
        data = bytes([number]) * (100 + 400 * (number % 5))
        assert client.write(connection, data, network.now, urgent=number % 7 == 3) == len(data)
        written += data
        if number % 7 == 3:
            ends.append(len(written))
        network.run(network.now + (number % 3) * 20 * MILLISECOND)
    assert network.run_until(lambda: len(received) == len(written), 300 * SECOND)
    assert received == written and accepted[0].urgent_left == 0
    assert told and told == sorted(set(told)) and set(told) <= set(ends) and told[-1] == ends[-1]
