"""Initial sequence numbers (RFC 9293 3.4.1, RFC 6528), ephemeral ports (RFC 6056), addresses and the IP layer below."""

import itertools

import pytest

from stack.addresses import ipv4
from stack.clock import MICROSECOND, MILLISECOND, SECOND
from stack.config import Ipv4Config, TcpConfig
from tests.tcp.harness import LOCAL, Bench, Peer, established, reach

TURN = 1 << 32


def iss_of(bench: Bench, port: int = 81, local_port: int = 5000) -> int:
    """The ISS of an active open that is then refused."""
    peer = bench.connect(port, local_port=local_port)
    peer.expect("S")
    iss = peer.iss
    peer.send("RA", seq=0, ack=1)
    bench.peers.remove(peer)
    assert iss is not None and not list(bench.host.connections())
    return iss


@pytest.mark.req("9293-MUST-8", "9293-SHLD-1", "6528-1")
@pytest.mark.parametrize("elapsed", [4 * MICROSECOND, MILLISECOND, SECOND, 10_000 * SECOND])
def test_the_isn_follows_a_clock_of_four_microseconds(bench: Bench, elapsed: int) -> None:
    first = iss_of(bench)
    bench.elapse(elapsed)
    assert abs((iss_of(bench) - first) % TURN - elapsed // (4 * MICROSECOND) % TURN) <= 1


@pytest.mark.req("9293-SHLD-1", "6528-1")
def test_the_isns_of_two_flows_are_unrelated(bench: Bench) -> None:
    numbers = [iss_of(bench, local_port=port) for port in range(5000, 5064)]
    distances = {(later - earlier) % TURN for earlier, later in itertools.pairwise(numbers)}
    assert len(distances) == 63
    assert len({number >> 28 for number in numbers}) > 8  # spread over the whole space
    assert iss_of(bench, 82) != iss_of(bench, 83)


@pytest.mark.req("9293-MUST-9", "6528-2", "6528-3")
def test_the_isn_depends_on_the_secret() -> None:
    first, second, again = (iss_of(Bench(secret=secret)) for secret in (b"a" * 32, b"b" * 32, b"a" * 32))
    assert first == again != second


@pytest.mark.req("9293-SHLD-1", "6528-1")
def test_a_passive_open_has_the_same_clock(bench: Bench) -> None:
    bench.listen()
    numbers = []
    for _ in range(2):
        peer = Peer(bench)
        peer.syn()
        peer.expect("SA")
        numbers.append(peer.iss or 0)
        peer.send("R", seq=1)
        bench.peers.remove(peer)
        bench.elapse(SECOND)
    assert (numbers[1] - numbers[0]) % TURN == 250_000


# Ephemeral ports


def ports(seed: int, count: int, config: TcpConfig | None = None) -> list[int]:
    bench = Bench(config, seed=seed)
    chosen = []
    for port in range(1, count + 1):
        peer = bench.connect(port)
        peer.expect("S")
        chosen.append(peer.local_port or 0)
    return chosen


@pytest.mark.req("6056-2")
def test_a_port_that_is_listened_on_is_not_chosen() -> None:
    bench = Bench(TcpConfig(ephemeral_ports=(50000, 50003)))
    for port in (50000, 50001, 50003):
        bench.listen(port)
    peer = bench.connect(81)
    peer.expect("S")
    assert peer.local_port == 50002


@pytest.mark.req("6056-3")
def test_ephemeral_ports_cannot_be_foreseen() -> None:
    low, high = TcpConfig().ephemeral_ports
    first, second = ports(1, 200), ports(2, 200)
    assert first != second and all(low <= port <= high for port in first)
    steps = [later - earlier for earlier, later in itertools.pairwise(first)]
    assert len(set(steps)) > 150
    assert len({port // 1024 for port in first}) > 8


@pytest.mark.req("6056-4", "9293-3.10.1-OPEN-CLOSED-noresource")
def test_a_four_tuple_is_never_chosen_twice() -> None:
    """To one remote socket every port of the range once, and then a clean error."""
    bench = Bench(TcpConfig(ephemeral_ports=(50000, 50019)))
    chosen = set()
    for _ in range(20):
        peer = bench.connect(81)
        peer.expect("S")
        chosen.add(peer.local_port)
    assert len(chosen) == 20
    with pytest.raises(OSError):
        bench.connect(81)
    bench.connect(82).expect("S")


@pytest.mark.req("6056-4")
def test_a_port_in_time_wait_is_not_chosen() -> None:
    bench = Bench(TcpConfig(ephemeral_ports=(50000, 50001)))
    peer = reach("TIME_WAIT", bench, active=True)
    assert peer.local_port == 50000
    bench.peers.clear()
    other = bench.connect(peer.port)
    other.expect("S")
    assert other.local_port == 50001


# Addresses


@pytest.mark.req("9293-MUST-46", "9293-3.10.1-OPEN-CLOSED-noremote")
@pytest.mark.parametrize("address", ["255.255.255.255", "224.0.0.1", "239.1.2.3", "0.0.0.0", "10.9.0.255", "240.0.0.1"])
def test_no_connection_to_what_is_no_host(bench: Bench, address: str) -> None:
    with pytest.raises(OSError):
        bench.host.connect(ipv4(address), 80, bench.now)
    bench.collect()
    assert not bench.strays and not bench.arp_requests and not list(bench.host.connections())


@pytest.mark.req("9293-MUST-43", "9293-MUST-44", "9293-MUST-45")
def test_the_local_address_is_that_of_the_interface_and_stays(bench: Bench) -> None:
    peer = bench.connect(81, local=LOCAL)
    syn = peer.expect("S")
    assert syn.header.src == LOCAL and peer.connection.key.local_addr == LOCAL
    peer.syn("SA")
    assert peer.expect("A").header.src == LOCAL
    with pytest.raises(OSError):
        bench.host.connect(peer.address, 81, bench.now, local=ipv4("10.9.0.77"))


@pytest.mark.req("9293-MUST-57")
@pytest.mark.parametrize("address", ["255.255.255.255", "10.9.0.255", "224.0.0.1"])
@pytest.mark.parametrize("port", [80, 9])
def test_a_syn_to_a_group_is_not_answered(bench: Bench, address: str, port: int) -> None:
    bench.listen()
    peer = Peer(bench, local_port=port)
    peer.syn(dst=ipv4(address))
    peer.expect_nothing(for_=SECOND)
    assert not bench.strays and not bench.icmp and not peer.exists()


@pytest.mark.req("9293-MUST-63", "1122-3.2.1.3-4")
@pytest.mark.parametrize("address", ["255.255.255.255", "10.9.0.255", "224.0.0.1", "0.0.0.0", "127.0.0.1", "240.1.2.3"])
def test_a_syn_from_what_is_no_host_is_ignored(bench: Bench, address: str) -> None:
    bench.listen()
    peer = Peer(bench, address=ipv4(address))
    peer.syn()
    bench.elapse(5 * SECOND)
    assert not peer.queue and not bench.strays and not bench.icmp
    assert not list(bench.host.connections()) and not bench.arp_requests


@pytest.mark.req("9293-MUST-49")
def test_the_ttl_is_configurable() -> None:
    bench = Bench(ipv4=Ipv4Config(ttl=5))
    peer = established(bench)
    peer.write(10)
    assert peer.expect(data=10).header.ttl == 5


@pytest.mark.req("9293-MUST-50")
@pytest.mark.parametrize(
    "options", [b"\x94\x04\x00\x00", b"\x07\x07\x04\0\0\0\0\0", b"\x44\x08\x05\x00\0\0\0\0", b"\x1e\x04\0\0"]
)
def test_ip_options_that_tcp_does_not_understand_are_ignored(bench: Bench, options: bytes) -> None:
    """Router alert, record route, timestamp, and one that nobody knows."""
    bench.listen()
    peer = Peer(bench)
    peer.syn(ip_options=options)
    peer.expect("SA", seq=0, ack=1)
    peer.send("A", ip_options=options)
    peer.send("PA", data=10, ip_options=options)
    peer.expect("A", ack=11, within=SECOND // 2)
    assert peer.state == "ESTABLISHED"


@pytest.mark.req("9293-SHLD-13", "9293-MUST-2")
def test_urg_is_never_sent(bench: Bench) -> None:
    peer = established(bench)
    peer.write(20_000)
    assert all("U" not in each.flags and each.urgent == 0 for each in peer.take())


@pytest.mark.req("9293-MAY-4")
def test_identical_retransmissions_and_their_ip_id(bench: Bench) -> None:
    """DF is set, so that the identification means nothing (RFC 6864 4.1): only the segment has to be the same."""
    peer = established(bench)
    peer.write(10)
    first = peer.expect(data=10)
    again = peer.expect("A", within=10 * SECOND)
    assert (first.seq, first.data) == (again.seq, again.data)
