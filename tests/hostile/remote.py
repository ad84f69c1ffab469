"""A peer of the server who is up to something: it says what the test says, and no more."""

from stack.transport.tcp.connection import Connection
from stack.transport.tcp.listener import Listener
from stack.wire.tcp import ACK, FIN, PSH, RST, SYN, Segment
from stack.wire.tcp_options import NO_OPTIONS, TcpOptions
from tests.hostile.scene import MALLORY, MASK, PORT, Scene, segment_frame

PLAIN = TcpOptions(mss=1460)
SCALED = TcpOptions(mss=1460, window_scale=7, sack_permitted=True)


class Remote:
    """One connection; sequence numbers are relative: 1 is the first octet of text of either side."""

    def __init__(self, scene: Scene, listener: Listener, port: int, **syn) -> None:
        self.scene, self.port = scene, port
        self.source = syn.get("source", MALLORY)
        self.window = syn.get("window", 65535)
        self.isn = syn.get("isn", -1000) & MASK
        self.iss = 0
        self.stamps = NO_OPTIONS  # what every segment carries
        offered = syn.get("options", PLAIN)
        [answer] = self.say(SYN, seq=0, options=offered)
        assert answer.flags & (SYN | ACK | RST) == SYN | ACK
        self.iss = answer.seq
        if answer.options.ts_val is not None:
            self.stamps = TcpOptions(ts_val=offered.ts_val, ts_ecr=answer.options.ts_val)
        self.say(ACK)
        connection = scene.server.accept(listener)
        assert connection is not None
        self.connection: Connection = connection

    def segment(
        self, flags: int = ACK, *, seq: int = 1, ack: int = 1, data: bytes = b"", options: TcpOptions | None = None
    ) -> Segment:
        options = self.stamps if options is None else options
        ack = (self.iss + ack) & MASK if flags & ACK else 0
        return Segment(self.port, PORT, (self.isn + seq) & MASK, ack, flags, self.window, data, options)

    def say(self, flags: int = ACK, **fields) -> list[Segment]:
        """Send one segment; what comes back to this connection."""
        return [
            each for each in self.scene.ask(self.segment(flags, **fields), self.source) if each.dst_port == self.port
        ]

    def frame(self, flags: int = ACK, **fields) -> bytes:
        return segment_frame(self.segment(flags, **fields), self.source)

    def seq_of(self, segment: Segment) -> int:
        return (segment.seq - self.iss) & MASK

    def ack_of(self, segment: Segment) -> int:
        return (segment.ack - self.isn) & MASK


__all__ = ["ACK", "FIN", "PLAIN", "PSH", "RST", "SCALED", "SYN", "Remote"]
