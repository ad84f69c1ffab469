"""What a script may say: what is read, and what is said of what cannot be read."""

import pytest

from stack.pkt.parser import parse
from stack.pkt.settings import settings_of
from stack.pkt.syntax import Call, Event, ScriptError, TcpPacket


def events(text: str) -> list[Event]:
    return parse(text, "t").events


def only(text: str) -> object:
    (event,) = events(text)
    return event.action


@pytest.mark.parametrize(
    "line",
    [
        "> S 0:0(0)",
        "> S. 0:0(0) ack 1 <mss 1460,nop,wscale 4,sackOK,TS val 100 ecr 700>",
        "< . 1:1(0) ack 1 win 257 <nop,nop,sack 2001:3001 4001:5001>",
        "< - 1:101(100) win 4000",
        "> SEW 0:0(0)",
        "< [ect0,ttl 5] P. 1:11(10) ack 1 win 0 urg 5",
        "> [tos 0x28] 8080 > 40001 F. 1:1(0) ack 1",
        "> . 4294967295:9(10) ack 4294967295",
        "> R 1:1(0)",
        "> . 1:1(0) ack 1 <...>",
        "> . 1:1(0) ack 1 <nop,nop,nop,eol>",
        "< udp 5353 > 8080 (100)",
        "> udp (7)",
        "< icmp unreachable frag_needed mtu 1200 [1:1461(1460)]",
        "> icmp echo_reply id 77",
        "< icmp time_exceeded",
    ],
)
def test_a_packet_shows_itself_as_it_was_written(line: str) -> None:
    assert str(only(f"0 {line}")) == line


@pytest.mark.parametrize(
    ("time", "earliest", "latest", "is_relative"),
    [
        ("0", 0, 0, False),
        ("1.5", 1_500_000_000, 1_500_000_000, False),
        ("+.000001", 1000, 1000, True),
        ("+0", 0, 0, True),
        ("*", 0, None, True),
        (".1~.2", 100_000_000, 200_000_000, False),
        ("+.1 ~ +.2", 100_000_000, 200_000_000, True),
    ],
)
def test_times(time: str, earliest: int, latest: int | None, is_relative: bool) -> None:
    (event,) = events(f"{time} > . 1:1(0) ack 1")
    assert (event.when.earliest, event.when.latest, event.when.is_relative) == (earliest, latest, is_relative)


@pytest.mark.parametrize(
    ("line", "arguments", "result"),
    [
        ("socket(..., SOCK_STREAM, IPPROTO_TCP) = 3", (..., 1, 6), 3),
        ("read(4, ..., 1000) = -1 EAGAIN (Resource temporarily unavailable)", (4, ..., 1000), -1),
        ('write(4, "a\\r\\n"..., 3) = 3', (4, b"a\r\n", 3), 3),
        ("fcntl(4, F_GETFL) = 0x802 (flags O_RDWR|O_NONBLOCK)", (4, 3), 0x802),
        ("readv(4, [{..., 100}, {..., 200}], 2) = 300", (4, [[..., 100], [..., 200]], 2), 300),
        ("poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLIN}], 1, 0) = 1",
         ([{"fd": 4, "events": 5, "revents": 1}], 1, 0), 1),
        ('connect(3, {sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("1.2.3.4")}, ...) = 0',
         (3, {"sa_family": 2, "sin_port": 80, "sin_addr": 0x01020304}, ...), 0),
        ("sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 5}], msg_flags=0}, 0) = 5",
         (4, {"msg_name": ..., "msg_iov": [[..., 5]], "msg_flags": 0}, 0), 5),
    ],
)  # fmt: skip
def test_calls(line: str, arguments: tuple[object, ...], result: int) -> None:
    call = only(f"0 {line}")
    assert isinstance(call, Call)
    assert (call.arguments, call.result) == (arguments, result)


def test_a_call_that_waits_has_an_end() -> None:
    for time in ("+.1...0.25", "+.1 ... .25"):
        (event,) = events(f"{time} read(4, ..., 10) = 10")
        assert isinstance(event.action, Call) and event.action.ends == 250_000_000


def test_comments_and_line_breaks_do_not_matter() -> None:
    packet = only("/* several\nlines */ 0 < P. // flags\n 1:11(10)\n ack 1 win 5 // the end")
    assert isinstance(packet, TcpPacket) and packet.length == 10


@pytest.mark.parametrize(
    "setting",
    [
        "tcp_window_scaling=0", "tcp_sack=1", "tcp_ecn=1", "tcp_congestion_control=reno", "tcp_keepalive_time=5",
        "tcp_keepalive_intvl=5", "tcp_keepalive_probes=5", "tcp_fin_timeout=5", "tcp_retries1=5", "tcp_min_snd_mss=88",
        'tcp_wmem="1 2 3"',
    ],
)  # fmt: skip
def test_every_sysctl_changes_something(setting: str) -> None:
    settings = settings_of(parse(f"--tcp_config=sack=false\n`sysctl -q net.ipv4.{setting}`", "t"))
    assert settings.tcp != settings_of(parse("--tcp_config=sack=false", "t")).tcp


def test_options_and_sysctls() -> None:
    script = parse(
        "// a comment first\n--tolerance_usecs=10\n--tcp_config=delayed_ack=20ms\n--tcp_config=user_timeout=none\n"
        "`sysctl -q net.ipv4.tcp_timestamps=0\n  sysctl -q net.ipv4.tcp_rmem=\"4096 5000 6000\"  # a comment\n`\n",
        "t",
    )  # fmt: skip
    settings = settings_of(script)
    assert settings.tolerance_usecs == 10
    assert settings.tcp.delayed_ack == 20_000_000 and settings.tcp.user_timeout is None
    assert not settings.tcp.timestamps
    assert (settings.tcp.initial_receive_buffer, settings.tcp.receive_buffer) == (5000, 6000)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"0 < S 0:0(0) win {'9' * 5000}", "t:1: expected a window (at most 65535), found '9999"),
        (f"{'9' * 50} close(3) = 0", "t:1: expected a time in seconds that has fewer digits, found '9999"),
        ('0 write(3, "\\x", 1) = 1', "t:1: expected a string of octets, with escapes such as"),
        ('0 write(3, "\\u20ac", 1) = 1', "t:1: expected a string of octets, with escapes such as"),
        (f"0 writev(3, {'[' * 5000}", "t:1: expected brackets that are not nested so deeply, found '['"),
        ("0 < S 0:0(0) win 10\n+0 ? S. 0:0(0)", "t:2: expected an event or a comment, found '?'"),
        ("< S 0:0(0) win 10", "t:1: expected the time of an event (0.1, +0.1, *, +0.1~+0.2), found '<'"),
        ("0 < S 0:0(0)", "t:1: expected 'win' and a number, as in every packet that arrives, found the end of the"),
        ("0 > . 1:1(0)", "t:1: expected 'ack' and a number, which belong to the flag '.', found the end"),
        ("0 > P 1:2(1) ack 1", "t:1: expected no 'ack' without '.', found 'ack'"),
        ("0 > X. 1:1(0) ack 1", "t:1: expected the flags of a TCP segment (S, F., P., ...), found 'X'"),
        ("0 > PP. 1:1(0) ack 1", "t:1: expected the flags of a TCP segment"),
        ("0 > . 1:101(99) ack 1", "t:1: expected 1:100(99) or another length, found '1'"),
        ("0 > . 1:1(0) ack 4294967296", "expected an acknowledgment number (at most 4294967295), found '4294967296'"),
        ("0 < . 1:1(0) ack 1 win 65536", "expected a window (at most 65535), found '65536'"),
        ("0 > S 0:0(0) <mss>", "t:1: expected the value of mss, found '>'"),
        ("0 > S 0:0(0) <md5 1>", "t:1: expected a TCP option (eol, nop, mss, wscale, sackOK, sack, TS), found 'md5'"),
        ("0 > S 0:0(0) <mss 1460,nop>", "t:1: expected options of whole words, padded with 'nop' or 'eol', found '<'"),
        ("0 < R 0:0(0)", "t:1: expected 'win' and a number"),
        ("0 > S 0:0(0) <mss 1460", "t:1: expected '>', found the end of the script"),
        ("0 < S 0:0(0) win 5 <...>", "t:1: expected the options of a packet that arrives, or none"),
        ("0 > [blue] S 0:0(0)", "t:1: expected noecn, ect0, ect1, ce, tos or ttl, found 'blue'"),
        ("0 < icmp strange", "t:1: expected a type of ICMP message (echo_reply"),
        ("0 < icmp unreachable strange", "t:1: expected one of net_unreachable"),
        ("*  < S 0:0(0) win 5", "t:1: expected one point in time for a packet that arrives"),
        ("1~2 read(4, ..., 1) = 1", "t:1: expected '>', since only what the stack sends may have a range of times"),
        ("2~1 > S 0:0(0)", "t:1: expected a range of times that does not end before it begins"),
        ("0 fork() = 0", "t:1: expected a call (socket, bind"),
        ("0 read(4, ...) = 0", "t:1: expected 3 arguments of read(), found 'read'"),
        ("0 read(4, ..., 1)", "t:1: expected '=', found the end of the script"),
        ("0 read(4, ..., 1) = -1 ENOTHING", "t:1: expected the name of an error (EAGAIN, ECONNRESET, ...)"),
        ("0 socket(AF_MOON, 1, 2) = 3", "t:1: expected a constant of the system calls that is known here, found 'AF_M"),
        ("0 close(4 = 0", "t:1: expected ',', found '='"),
        ("0 readv(4, [{..., 1}], 1|...) = 1", "t:1: expected '|' between numbers only"),
        ("0 sendmsg(4, {msg_iov(2)=[{..., 5}]}, 0) = 5", "t:1: expected 2 elements of msg_iov"),
        ('0 connect(3, {sin_addr = inet_addr("1.2.3")}, ...) = 0', "t:1: expected an IPv4 address, found '\"1.2.3\"'"),
        ("0 %{ print(1) }%", "t:1: expected `assert` statements and nothing else"),
        ("0 %{ assert f(1) }%", "t:1: expected assertions about names and numbers, without Call"),
        ("0 %{ assert a.b }%", "t:1: expected assertions about names and numbers, without Attribute"),
        ("0 %{ assert = }%", "t:1: expected assertions in Python (invalid syntax)"),
        (
            "`ip route add default`",
            "t:1: expected `sysctl -q NAME=VALUE`, since no other command is run, found 'ip rou",
        ),
        ("\n`\nsysctl -q a=1\n../common/defaults.sh`", "t:4: expected `sysctl -q NAME=VALUE`, since no other command"),
        ("0 > S 0:0(0)\n`sysctl -q net.ipv4.tcp_sack=0`", "t:2: expected the time of an event"),
        ("0 `sysctl -q net.ipv4.tcp_sack=0`", "t:1: expected an event: `sysctl` stands before the first one"),
        ("--colour=red", "t:1: expected an option, found '--colour=red': there are --local_ip"),
        ("--mtu=large", "t:1: expected an option, found '--mtu=large'"),
        ("--local_ip=1.2.3", "t:1: expected an option, found '--local_ip=1.2.3'"),
        ("--tcp_config=speed=9", "found '--tcp_config=speed=9': stack.config.TcpConfig has no field 'speed'"),
        ("--mtu=67", "t:1: expected a host that can be, found: an MTU is 68 to"),
        ("--tcp_config=congestion=hope", "found '--tcp_config=congestion=hope': there is cubic"),
        ("0 < P. 1:70001(70000) ack 1 win 9", "t:1: expected the number of octets (at most 65535), found '70000'"),
        ("--tcp_config=nagle=perhaps", "a value is a number (with ns, us, ms or s), true, false, none or a name"),
        ("`sysctl -q net.ipv4.tcp_magic=1`", "t:1: expected a sysctl, found 'net.ipv4.tcp_magic=1': there is nothing"),
        (
            "`sysctl -q net.ipv4.tcp_ecn=9`",
            "t:1: expected a sysctl, found 'net.ipv4.tcp_ecn=9': there is no such",
        ),
        ("`sysctl -q net.ipv4.tcp_rmem=9`", "t:1: expected a sysctl, found 'net.ipv4.tcp_rmem=9'"),
        ("`sysctl -q net.core.tcp_sack=1`", "t:1: expected a sysctl, found 'net.core.tcp_sack=1': there is nothing"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, error: str) -> None:
    with pytest.raises(ScriptError) as raised:
        settings_of(parse(text, "t"))
    assert error in str(raised.value), raised.value
    assert "\n" not in str(raised.value)
