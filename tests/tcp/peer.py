"""The remote TCP of one connection: what it sends, what it expects, and what its host's application does."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stack.addresses import Ipv4Address, ipv4, mac
from stack.clock import MILLISECOND, SECOND
from stack.wire import ipv4 as ip
from stack.wire import tcp
from stack.wire.tcp import ACK, SYN, Segment
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions

if TYPE_CHECKING:
    from tests.tcp.harness import Bench

MASK = 0xFFFF_FFFF
LOCAL, REMOTE = ipv4("10.9.0.1"), ipv4("10.9.0.2")
LOCAL_MAC, REMOTE_MAC = mac("02:00:00:00:00:01"), mac("02:00:00:00:00:02")
PORT, REMOTE_PORT = 80, 40000
SECRET = bytes(range(32))
FLAGS = "FSRPAUEC"
_STREAM = random.Random(9293).randbytes(1 << 21)


def stream(offset: int, length: int) -> bytes:
    """`length` octets of the stream that both sides send, from octet `offset`."""
    assert offset >= 0 and offset + length <= len(_STREAM)
    return _STREAM[offset : offset + length]


def bits(flags: str) -> int:
    return sum(1 << FLAGS.index(each) for each in flags)


def signed(number: int) -> int:
    return ((number + (1 << 31)) & MASK) - (1 << 31)


@dataclass(slots=True)
class Sent:
    """A segment of the host, numbers relative; `window` is the field as it was on the wire."""

    at: int
    flags: str
    seq: int
    ack: int
    data: bytes
    window: int
    options: TcpOptions
    urgent: int
    header: ip.Ipv4Header
    raw: bytes  # the TCP segment
    sack: list[tuple[int, int]] = field(default_factory=list)  # the peer's numbers, [left, right)

    @property
    def end(self) -> int:
        return self.seq + len(self.data) + ("S" in self.flags) + ("F" in self.flags)


class Peer:
    """The remote end of one connection."""

    def __init__(
        self,
        bench: "Bench",
        *,
        isn: int = -10001,
        port: int = REMOTE_PORT,
        local_port: int | None = PORT,
        address: Ipv4Address = REMOTE,
        register: bool = True,
    ) -> None:
        self.bench, self.isn, self.port, self.local_port, self.address = bench, isn & MASK, port, local_port, address
        self.iss: int | None = None  # the host's
        self.nxt = 0  # the next of ours
        self.seen = 0  # the end of what the host has sent
        self.window = 0xFFFF
        self.use_ts = False
        self.ts_val: int | None = None  # None: a clock of milliseconds
        self.ts_seen = 0
        self.queue: list[Sent] = []
        self.connection: Any = None
        self.strict = True
        self.mss = 1460  # what a segment of the peer carries at most
        self.host_shift = 0
        self._offered_shift: int | None = None
        self._edge: int | None = None
        if register:
            bench.peers.insert(0, self)

    # What arrives from the host

    def is_for(self, header: ip.Ipv4Header, segment: Segment) -> bool:
        ours = (header.dst, segment.dst_port) == (self.address, self.port)
        if ours and self.local_port is None:
            self.local_port = segment.src_port
        return ours and self.local_port == segment.src_port

    def translate(self, header: ip.Ipv4Header, segment: Segment, octets: bytes) -> Sent:
        flags = "".join(name for bit, name in enumerate(FLAGS) if segment.flags >> bit & 1)
        seq = signed(segment.seq - (self.iss or 0))
        ack = signed(segment.ack - self.isn) if segment.flags & ACK else segment.ack
        payload = bytes(segment.payload)
        blocks = [(signed(left - self.isn), signed(right - self.isn)) for left, right in segment.options.sack_blocks]
        return Sent(
            self.bench.now, flags, seq, ack, payload, segment.window, segment.options, segment.urgent, header, octets,
            blocks,
        )  # fmt: skip

    def on_segment(self, header: ip.Ipv4Header, segment: Segment, octets: bytes) -> None:
        if segment.flags & SYN:
            self.iss = segment.seq
            self.host_shift = segment.options.window_scale or 0
            self._edge = None
        sent = self.translate(header, segment, octets)
        if sent.options.ts_val is not None:
            self.ts_seen = sent.options.ts_val
        if "R" not in sent.flags:
            self.seen = max(self.seen, sent.end)
            self._check(sent)
        self.queue.append(sent)
        self.bench.lines.append(self.show(sent, ">"))

    def _check(self, sent: Sent) -> None:
        """What holds for every segment of an open connection."""
        assert "A" in sent.flags or "S" in sent.flags, f"no ACK (RFC 9293 3.8)\n{self.bench.log()}"
        assert (sent.options.mss is not None) == ("S" in sent.flags), "MSS on SYN, and there only (SHLD-5, MUST-65)"
        if "A" in sent.flags:
            shift = 0 if "S" in sent.flags or self._offered_shift is None else self.host_shift
            edge = sent.ack + (sent.window << shift)
            assert self._edge is None or edge >= self._edge, f"the right edge retreats (SHLD-14)\n{self.bench.log()}"
            self._edge = edge

    def show(self, sent: Any, way: str) -> str:
        data = f" ({len(sent.data)})" if sent.data else ""
        options = sent.options
        shown = f" mss {options.mss}" if options.mss is not None else ""
        shown += f" ws {options.window_scale}" if options.window_scale is not None else ""
        shown += f" ts {options.ts_val} {options.ts_ecr}" if options.ts_val is not None else ""
        shown += f" sack {sent.sack}" if sent.sack else ""
        time = f"{self.bench.now / SECOND:12.6f}"
        return f"{time} {way} {self.port} {sent.flags:3} {sent.seq}{data} ack {sent.ack} win {sent.window}{shown}"

    # What the peer sends

    def send(
        self,
        flags: str = "A",
        *,
        seq: int | None = None,
        ack: int | None = None,
        data: int | bytes = b"",
        window: int | None = None,
        options: TcpOptions | None = None,
        sack: Sequence[tuple[int, int]] = (),
        urgent: int = 0,
        ip_options: bytes = b"",
        damage: Callable[[bytes], bytes] = bytes,
        **fields: Any,
    ) -> None:
        """Send a segment; without `seq` the next one, without `ack` of all that was seen. `data` may be a length.

        `sack` has blocks of the host's numbers.
        """
        if self.strict and self.bench._batch is None:
            self.expect_nothing()
        at = self.nxt if seq is None else seq
        text = stream(max(at - 1, 0), data) if isinstance(data, int) else data
        number = ack or 0 if "A" not in flags else (self.iss or 0) + (self.seen if ack is None else ack) & MASK
        if options is None:
            options = self.timestamps("A" in flags) if self.use_ts else NO_OPTIONS
        if sack:
            blocks = tuple(((self.iss or 0) + left & MASK, (self.iss or 0) + right & MASK) for left, right in sack)
            options = replace(options, sack_blocks=blocks)
        advertised = self.window if window is None else window
        where = (self.port, self.local_port or 0, (self.isn + at) & MASK, number, bits(flags), advertised)
        segment = Segment(*where, text, options, urgent)
        if seq is None:
            self.nxt = at + segment.length
        acked = signed(number - (self.iss or 0))
        shown = Sent(self.bench.now, flags, at, acked, text, advertised, options, 0, None, b"", [*sack])  # type: ignore[arg-type]
        self.bench.lines.append(self.show(shown, "<"))
        to = fields.get("dst", LOCAL)
        self.bench.inject_ip(
            damage(tcp.build(segment, self.address, to)),
            ip.PROTOCOL_TCP,
            **{"src": self.address, "options": ip_options, **fields},
        )

    def timestamps(self, has_ack: bool = True) -> TcpOptions:
        value = self.bench.now // MILLISECOND if self.ts_val is None else self.ts_val
        return TcpOptions(ts_val=value & MASK, ts_ecr=self.ts_seen if has_ack else 0)

    def syn(
        self,
        flags: str = "S",
        *,
        mss: int | None = 1460,
        wscale: int | None = None,
        ts: bool = False,
        sack: bool = False,
        **rest: Any,
    ):
        """Send SYN or ("SA") SYN-ACK, at sequence number 0."""
        options = TcpOptions(mss=mss, window_scale=wscale, sack_permitted=sack)
        if ts:
            self.use_ts = True
            stamps = self.timestamps("A" in flags)
            options = replace(options, ts_val=stamps.ts_val, ts_ecr=stamps.ts_ecr)
        self._offered_shift = wscale
        self.nxt = 0
        self.send(flags, options=rest.pop("options", options), **rest)

    def handshake(self, listener: Any, **options: Any) -> "Peer":
        """A passive open of the host, to its end."""
        window = options.get("window")
        self.syn(**options)
        answer = self.expect("SA", seq=0, ack=1)
        self.host_shift = answer.options.window_scale or 0
        if window is not None:
            self.window = window
        self.send("A")
        self.connection = self.bench.host.accept(listener)
        assert self.connection is not None and self.state == "ESTABLISHED"
        return self

    # What the test expects

    def expect(
        self,
        flags: str | None = None,
        *,
        seq: int | None = None,
        ack: int | None = None,
        data: int | bytes | None = None,
        window: int | None = None,
        within: int = 0,
    ) -> Sent:
        """The next segment of the host, now or `within` a time. "A" accepts PSH too; "PA" asks for it."""
        bench = self.bench
        if not self.queue:
            bench.run_until(bench.now + within, lambda: bool(self.queue))
        wanted = {"flags": flags, "seq": seq, "ack": ack, "data": data, "window": window}
        shown = " ".join(f"{k}={v if not isinstance(v, bytes) else len(v)}" for k, v in wanted.items() if v is not None)
        assert self.queue, f"expected {shown}, and nothing came\n{bench.log()}"
        sent = self.queue.pop(0)
        if isinstance(data, int):
            wanted["data"] = data = stream(sent.seq - 1, data) if data else b""
        got = {name: getattr(sent, name) for name in wanted}
        if flags is not None and "P" not in flags:
            got["flags"] = sent.flags.replace("P", "")
        if flags is not None:
            wanted["flags"] = "".join(each for each in FLAGS if each in flags)
        wrong = [name for name, value in wanted.items() if value is not None and got[name] != value]
        assert not wrong, f"expected {shown}; wrong: {wrong} in\n{self.show(sent, '>')}\nafter\n{bench.log()}"
        return sent

    def expect_nothing(self, for_: int = 0) -> None:
        self.bench.run_until(self.bench.now + for_, lambda: bool(self.queue))
        assert not self.queue, f"unexpected: {self.show(self.queue[0], '>')}\nafter\n{self.bench.log()}"

    def take(self) -> list[Sent]:
        """Everything that the host has sent and nobody has looked at."""
        taken, self.queue = self.queue, []
        return taken

    # What the application does

    @property
    def state(self) -> str:
        if self.connection is None:
            if any(self._is(key) for key in self.bench.host.half_open()):
                return "SYN_RECEIVED"
            return next((each.state.name for each in self.bench.host.connections() if self._is(each.key)), "CLOSED")
        if self.connection.state.name == "TIME_WAIT" and not self.exists():
            return "CLOSED"  # nobody tells a connection that rests
        return str(self.connection.state.name)

    def _is(self, key: Any) -> bool:
        return bool((key.remote_addr, key.remote_port, key.local_port) == (self.address, self.port, self.local_port))

    def exists(self) -> bool:
        host = self.bench.host
        return any(map(self._is, [*host.half_open(), *host.resting(), *(each.key for each in host.connections())]))

    def _call(self, name: str, *arguments: Any) -> Any:
        result = getattr(self.bench.host, name)(self.connection, *arguments, self.bench.now)
        self.bench.collect()
        return result

    def write(self, data: bytes | int, at: int | None = None) -> int:
        """Write octets, or so many of the stream from octet `at` (default: behind what was written so far)."""
        if isinstance(data, int):
            offset = getattr(self, "_written", 0) if at is None else at
            data = stream(offset, data)
            taken = int(self._call("write", data))
            self._written = offset + taken
            return taken
        return int(self._call("write", data))

    def read(self, limit: int = 1 << 20) -> bytes:
        return bytes(self._call("read", limit))

    def shutdown(self) -> None:
        self._call("shutdown")

    def close(self) -> None:
        self._call("close")

    def abort(self) -> None:
        self._call("abort")

    @property
    def error(self) -> OSError | None:
        return self.connection.error  # type: ignore[no-any-return]
