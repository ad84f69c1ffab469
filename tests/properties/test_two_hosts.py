"""A state machine of two hosts over a link that hypothesis plays (see bad_link.py for what must hold)."""

import importlib.util
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stack.clock import MILLISECOND
from stack.config import TcpConfig
from stack.transport.tcp.states import State
from stack.wire.tcp import ACK, FIN, RST, SYN
from tests.effort import examples

_spec = importlib.util.spec_from_file_location("bad_link", Path(__file__).with_name("bad_link.py"))
bad_link = importlib.util.module_from_spec(_spec)
sys.modules["bad_link"] = bad_link
_spec.loader.exec_module(bad_link)

sides = st.integers(0, 1)
indexes = st.integers(0, 7)


class TwoHosts(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.link = None

    @initialize(
        buffers=st.sampled_from([2048, 8192, 100_000]),
        mss=st.sampled_from([100, 536, 1460]),
        timestamps=st.booleans(),
        scaling=st.booleans(),
        nagle=st.booleans(),
        opens=st.booleans(),
    )
    def start(self, buffers, mss, timestamps, scaling, nagle, opens):
        config = TcpConfig(
            receive_buffer=buffers,
            send_buffer=buffers,
            maximum_segment_size=mss,
            timestamps=timestamps,
            window_scaling=scaling,
            nagle=nagle,
        )
        self.link = bad_link.BadLink(config)
        if opens:
            self.link.run_clean(50 * MILLISECOND)

    @rule(side=sides, index=indexes)
    def deliver(self, side, index):
        self.link.deliver(side, index)

    @rule(side=sides, count=st.integers(1, 20))
    def deliver_in_order(self, side, count):
        for _ in range(count):
            self.link.deliver(side, 0)

    @rule(side=sides, order=st.randoms(use_true_random=False), dropped=st.integers(0, 4))
    def deliver_shuffled(self, side, order, dropped):
        frames = self.link.air[side]
        order.shuffle(frames)
        del frames[: min(dropped, len(frames) // 2)]
        for _ in range(len(frames)):
            self.link.deliver(side, 0)

    @rule(side=sides, size=st.sampled_from([500, 3000, 20_000]))
    def write_much(self, side, size):
        self.link.write(side, bytes(range(256)) * (size // 256))

    @rule(side=sides, index=indexes)
    def duplicate(self, side, index):
        self.link.deliver(side, index, keep=True)

    @rule(side=sides, index=indexes)
    def drop(self, side, index):
        frames = self.link.air[side]
        if frames:
            frames.pop(index % len(frames))

    @rule(side=sides, index=indexes, bit=st.integers(0, 20_000))
    def corrupt(self, side, index, bit):
        frames = self.link.air[side]
        if frames:
            frame = bytearray(frames.pop(index % len(frames)))
            # Only what a checksum covers: an Ethernet header without its check sequence would not be noticed.
            start = bad_link.ETHERNET * 8
            position = start + bit % (len(frame) * 8 - start)
            if frame[12:14] == b"\x08\x00":
                frame[position // 8] ^= 1 << position % 8
                self.link.inject(side, bytes(frame))

    @rule(milliseconds=st.sampled_from([1, 10, 50, 250, 1100, 5000]))
    def elapse(self, milliseconds):
        self.link.elapse(milliseconds * MILLISECOND)

    @rule(
        side=sides,
        flags=st.sampled_from([RST, RST | ACK, SYN, SYN | ACK, ACK, FIN | ACK]),
        seq=st.sampled_from([-(1 << 31) + 5, -70_000, -1, 1, 5, 500, 70_000, 1 << 30]),
        ack=st.sampled_from([-(1 << 30), 1 << 30]),
        text=st.sampled_from([b"", b"forged"]),
    )
    def forge(self, side, flags, seq, ack, text):
        # A SYN for a TIME-WAIT may open a new connection, and does (RFC 6191): that is no forgery to withstand.
        connection = self.link.sides[side].connection
        if connection is None or not State.ESTABLISHED <= connection.state <= State.LAST_ACK:
            return
        frame = bad_link.forged(side, self.link, flags, seq, ack, text)
        if frame is not None:
            self.link.inject(side, frame)

    @rule(side=sides, data=st.binary(min_size=1, max_size=60), times=st.integers(1, 120))
    def write(self, side, data, times):
        self.link.write(side, data * times)

    @rule(side=sides, limit=st.sampled_from([1, 50, 1000, 100_000]))
    def read(self, side, limit):
        self.link.read_some(side, limit)

    @rule(side=sides)
    def shutdown(self, side):
        self.link.shutdown(side)

    @rule(side=sides, abort=st.booleans(), sure=st.integers(0, 5))
    def close(self, side, abort, sure):
        if not sure:
            self.link.close(side, abort=abort)

    @invariant()
    def holds(self):
        if self.link is not None:
            self.link.check()

    def teardown(self):
        if self.link is not None:
            try:
                self.link.check_end()
            finally:
                self.link.restore()


TwoHosts.TestCase.settings = settings(
    max_examples=examples(200), stateful_step_count=50, suppress_health_check=list(HealthCheck)
)
TestTwoHosts = TwoHosts.TestCase
