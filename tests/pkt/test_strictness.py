"""A script fails when the stack does anything else than it says: what, when, or too much."""

import pytest

from stack.host import Host
from stack.pkt.parser import parse
from stack.pkt.runner import run
from stack.pkt.syntax import ScriptFailure

OPENING = """
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 32792 <mss 1000>
   +0 > S. 0:0(0) ack 1 <mss 1460>
  +.1 < . 1:1(0) ack 1 win 32792
   +0 accept(3, ..., ...) = 4
"""
LINES = len(OPENING.split("\n")) - 2


def play(body: str, *options: str) -> list[str]:
    """Run the opening and `body`; what was told."""
    told: list[str] = []
    run(parse("\n".join([*options, OPENING.strip("\n"), body]), "t"), told.append)
    return told


def failure(body: str, *options: str) -> str:
    with pytest.raises(ScriptFailure) as raised:
        play(body, *options)
    return str(raised.value)


# Too much


def test_a_packet_that_no_line_expects_at_the_end() -> None:
    said = failure("+0 < P. 1:11(10) ack 1 win 100\n+.1 read(4, ..., 5) = 5")
    assert "at 0.140000: a packet that no line expects\n  actual:   > . 1:1(0) ack 11 win 65535" in said


def test_a_packet_that_no_line_expects_in_between() -> None:
    said = failure("+0 < P. 1:11(10) ack 1 win 100\n+.1 < P. 11:21(10) ack 1 win 100\n+.04 > . 1:1(0) ack 21")
    assert "a packet that no line expects\n  actual:   > . 1:1(0) ack 11" in said


def test_a_packet_that_is_expected_only_later_is_not_unexpected() -> None:
    play(
        "+0 < . 1001:1002(1) ack 1 win 100\n+0 < . 1003:1004(1) ack 1 win 100\n+0 > . 1:1(0) ack 1\n+0 > . 1:1(0) ack 1"
    )


def test_a_long_silence_is_watched_to_its_end() -> None:
    said = failure("+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+1 write(4, ..., 1) = 1")
    assert "at 0.400000: a packet that no line expects\n  actual:   > P. 1:11(10) ack 1" in said


# Too little


def test_a_packet_that_does_not_come() -> None:
    said = failure("+.1 > P. 1:11(10) ack 1", "--tolerance_usecs=1000")
    assert f"t:{LINES + 2}: at 0.201000: no packet was sent\n  expected: > P. 1:11(10) ack 1" in said


def test_whenever_has_an_end() -> None:
    assert "no packet was sent" in failure("* > P. 1:11(10) ack 1")


# Something else


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("> . 1:101(100) ack 1", "flags"),
        ("> P. 2:102(100) ack 1", "seq"),
        ("> P. 1:100(99) ack 1", "length"),
        ("> P. 1:102(101) ack 1", "flags"),
        ("> P. 1:101(100) ack 2", "ack"),
        ("> P. 1:101(100) ack 1 win 1000", "win"),
        ("> P. 1:101(100) ack 1 urg 7", "urg"),
        ("> P. 1:101(100) ack 1 <nop,nop,nop,nop>", "options"),
        ("> 8080 > 9 P. 1:101(100) ack 1", "ports"),
        ("> [ce] P. 1:101(100) ack 1", "ecn"),
        ("> [tos 0x4] P. 1:101(100) ack 1", "tos"),
        ("> [ttl 1] P. 1:101(100) ack 1", "ttl"),
        ("> udp (100)", "protocol"),
        ("> icmp echo_reply", "protocol"),
    ],
)
def test_a_packet_that_differs(line: str, field: str) -> None:
    said = failure(f"+0 write(4, ..., 100) = 100\n+0 {line}")
    assert f"t:{LINES + 2}: at 0.100000: another packet" in said and f"({field})" in said
    assert f"\n  expected: {line}" in said and "\n  actual:   > " in said


def test_what_is_shown_is_what_the_line_would_have_to_say() -> None:
    said = failure("+0 write(4, ..., 100) = 100\n+0 > [ect0] 8080 > 9 P. 1:101(100) ack 1")
    assert said.endswith("  actual:   > [noecn] 8080 > 40001 P. 1:101(100) ack 1 win 65535")


def test_another_icmp_message() -> None:
    script = "0 < icmp echo_request id 7\n+0 > icmp echo_reply id 8"
    with pytest.raises(
        ScriptFailure, match=r"\(id\)\n  expected: > icmp echo_reply id 8\n  actual:   > icmp echo_reply id 7"
    ):
        run(parse(script, "t"))


def test_the_text_itself_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    body = "+0 < P. 1:101(100) ack 1 win 1000\n+0 read(4, ..., 100) = 100\n+.04 > . 1:1(0) ack 101"
    play(body)
    read = Host.read
    monkeypatch.setattr(Host, "read", lambda *arguments: bytes(reversed(read(*arguments))))
    assert "octets 1+100 are not those that were sent" in failure(body)


def test_a_line_may_stand_for_a_run_of_segments_unless_strict() -> None:
    body = "+0 write(4, ..., 2500) = 2500\n+0 > . 1:2001(2000) ack 1"
    play(body)
    said = failure(body, "--strict_segments")
    assert "another packet (length)" in said and "actual:   > . 1:1001(1000)" in said


# Time


@pytest.mark.parametrize(
    ("tolerance", "time"), [(0, "+.040"), (1000, "+.041"), (1000, "+.039"), (0, "+.03~+.05"), (0, "*")]
)
def test_a_packet_in_time(tolerance: int, time: str) -> None:
    play(f"+0 < P. 1:11(10) ack 1 win 100\n{time} > . 1:1(0) ack 11", f"--tolerance_usecs={tolerance}")


@pytest.mark.parametrize(("tolerance", "time"), [(0, "+.041"), (999, "+.041"), (0, "+.041~+.05"), (1000, "+.05")])
def test_a_packet_too_early(tolerance: int, time: str) -> None:
    said = failure(f"+0 < P. 1:11(10) ack 1 win 100\n{time} > . 1:1(0) ack 11", f"--tolerance_usecs={tolerance}")
    assert "at 0.140000: a packet at the wrong time: due at 0.1" in said


@pytest.mark.parametrize(("tolerance", "time"), [(0, "+.039"), (999, "+.039"), (0, "+.01~+.039")])
def test_a_packet_too_late(tolerance: int, time: str) -> None:
    said = failure(f"+0 < P. 1:11(10) ack 1 win 100\n{time} > . 1:1(0) ack 11", f"--tolerance_usecs={tolerance}")
    assert "no packet was sent" in said


def test_a_relative_time_counts_from_what_was_due_and_behind_a_range_from_what_was() -> None:
    opening = "+0 < P. 1:11(10) ack 1 win 100\n"
    told = play(opening + "+.038 > . 1:1(0) ack 11\n+.01 < . 11:11(0) ack 1 win 100")
    assert told[-1].startswith("0.148000")
    told = play(opening + "+.03~+.05 > . 1:1(0) ack 11\n+.01 < . 11:11(0) ack 1 win 100")
    assert told[-1].startswith("0.150000")


def test_absolute_times_count_from_the_start() -> None:
    assert play("5 < . 1:1(0) ack 1 win 100")[-1].startswith("5.000000 <")
    assert "an event that lies before the one above it" in failure("5 close(3) = 0\n4 close(4) = 0")


def test_the_tolerance_may_be_a_part_of_the_time() -> None:
    body = "+0 < P. 1:11(10) ack 1 win 100\n+.043 > . 1:1(0) ack 11"
    play(body, "--tolerance_usecs=0", "--tolerance_percent=10")
    assert "wrong time" in failure(body, "--tolerance_usecs=0", "--tolerance_percent=5")


def test_time_stamps_are_checked_if_asked() -> None:
    script = """
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 bind(3, ..., ...) = 0
   +0 listen(3, 1) = 0
   +0 < S 0:0(0) win 32792 <mss 1000,nop,nop,TS val 5 ecr 0>
   +0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 100 ecr 5>
  +.1 < P. 1:11(10) ack 1 win 32792 <nop,nop,TS val 9 ecr 100>
 +.04 > . 1:1(0) ack 11 <nop,nop,TS val {} ecr {}>
 """
    run(parse(script.format(777, 9), "t"))
    for wrong in ((777, 9), (230, 9), (240, 8)):
        with pytest.raises(ScriptFailure, match=r"\(options\)"):
            run(parse("--tcp_ts_tick_usecs=1000\n" + script.format(*wrong), "t"))
    run(parse("--tcp_ts_tick_usecs=1000\n" + script.format(240, 9), "t"))


# Calls


def test_another_result() -> None:
    assert "read(4, ..., 5)\n  expected: 4\n  actual:   5" in failure(
        "+0 < P. 1:11(10) ack 1 win 100\n+0 read(4, ..., 5) = 4\n+.04 > . 1:1(0) ack 11"
    )
    assert "expected: -1 EPIPE\n  actual:   -1 EBADF" in failure("+0 read(9, ..., 5) = -1 EPIPE (Broken pipe)")
    assert "expected: 0\n  actual:   -1 EBADF" in failure("+0 close(9) = 0")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("write(4, ..., -1)", "EINVAL"),
        ("read(4, ..., -1)", "EINVAL"),
        ("recv(4, ..., 1, MSG_PEEK)", "EOPNOTSUPP"),
        ("send(4, ..., 1, MSG_MORE)", "EOPNOTSUPP"),
        ("read(3, ..., 1)", "ENOTCONN"),
        ("write(3, ..., 1)", "EPIPE"),
        ("shutdown(3, SHUT_WR)", "ENOTCONN"),
        ("listen(4, 1)", "EINVAL"),
        ("connect(4, ..., ...)", "EISCONN"),
        ("fcntl(4, F_DUPFD)", "EINVAL"),
        ("setsockopt(4, SOL_SOCKET, SO_RCVBUF, [1000], 4)", "EINVAL"),
        ("setsockopt(4, SOL_SOCKET, SO_BROADCAST, [1], 4)", "ENOPROTOOPT"),
        ("getsockopt(4, SOL_SOCKET, SO_BROADCAST, ..., ...)", "ENOPROTOOPT"),
        ('setsockopt(3, SOL_TCP, TCP_CONGESTION, "hope", 4)', "ENOENT"),
        ("socket(..., 77, 0)", "EPROTONOSUPPORT"),
    ],
)
def test_what_calls_refuse(call: str, error: str) -> None:
    play(f"+0 {call} = -1 {error}")


def test_options_of_sockets() -> None:
    play(
        '+0 setsockopt(3, SOL_TCP, TCP_CONGESTION, "newreno", 7) = 0\n'
        '+0 getsockopt(3, SOL_TCP, TCP_CONGESTION, ["newreno"], [7]) = 0\n'
        "+0 getsockopt(4, SOL_TCP, TCP_MAXSEG, [1000], [4]) = 0\n"
        "+0 setsockopt(4, SOL_TCP, TCP_KEEPIDLE, [5], 4) = 0\n+0 getsockopt(4, SOL_TCP, TCP_KEEPIDLE, [5], [4]) = 0\n"
        "+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0\n"
        "+0 getsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], [4]) = 0"
    )


def test_any_result_and_any_error() -> None:
    play("+0 close(9) = ...\n+0 close(4) = ...\n+0 > F. 1:1(0) ack 1")
    play("+0 close(9) = -1")
    assert "expected: -1\n  actual:   0" in failure("+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = -1")


def test_a_call_that_waits_has_to_say_so() -> None:
    said = failure("+0 read(4, ..., 5) = 5\n+0 < P. 1:11(10) ack 1 win 100")
    assert f"t:{LINES + 1}: at 0.100000: read(4, ..., 5) waits: give it a time to end" in said


def test_a_call_that_waits_too_long() -> None:
    said = failure("+0...0.05 read(4, ..., 5) = 5\n+.1 < P. 1:11(10) ack 1 win 100")
    assert f"t:{LINES + 1}: at 0.200000: read(4, ..., 5) has not returned by 0.150000" in said
    assert "has not returned by 0.150000" in failure("+0...0.05 read(4, ..., 5) = 5")


def test_a_call_that_returns_too_soon() -> None:
    said = failure("+0...0.05 read(4, ..., 5) = 5\n+.01 < P. 1:11(10) ack 1 win 100")
    assert f"t:{LINES + 1}: at 0.110000: read(4, ..., 5) was to return at 0.150000" in said


def test_one_call_waits_at_a_time() -> None:
    said = failure("+0...0.05 read(4, ..., 5) = 5\n+0 write(4, ..., 5) = 5")
    assert "read(4, ..., 5) still waits" in said


def test_a_blocking_write_goes_on_as_room_is_made() -> None:
    play(
        "+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [2000], 4) = 0\n+0...0.1 write(4, ..., 4000) = 4000\n"
        "+0 > P. 1:2001(2000) ack 1\n+.1 < . 1:1(0) ack 2001 win 9000\n+0 > P. 2001:4001(2000) ack 1"
    )


def test_values_that_a_call_brings_back() -> None:
    assert "getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]): expected [1], got [0]" in failure(
        "+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0"
    )
    assert "expected revents=1, got 0x4" in failure(
        "+0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLIN}], 1, 0) = 1"
    )


# Assertions


def test_assertions() -> None:
    play("+0 %{ assert tcpi_state == TCP_ESTABLISHED and 0 < tcpi_rtt <= 100000, tcpi_rtt }%")
    said = failure("+0 %{ assert tcpi_snd_cwnd == 9, tcpi_snd_cwnd }%")
    assert f"t:{LINES + 1}: at 0.100000: assert tcpi_snd_cwnd == 9, tcpi_snd_cwnd\n  actual: tcpi_snd_cwnd=10" in said
    assert "name 'tcpi_magic' is not defined: there are tcpi_state" in failure("+0 %{ assert tcpi_magic }%")
    assert "division" in failure("+0 %{ assert 1 / 0 }%")


def test_an_assertion_needs_a_connection() -> None:
    with pytest.raises(ScriptFailure, match="there is no connection yet"):
        run(parse("0 %{ assert tcpi_state }%", "t"))


def test_what_happens_is_told() -> None:
    assert play("+0 close(4) = 0\n+0 > F. 1:1(0) ack 1")[-3:] == [
        "0.100000 accept(3, ..., ...) = 4",
        "0.100000 close(4) = 0",
        "0.100000 > F. 1:1(0) ack 1 win 65535",
    ]
