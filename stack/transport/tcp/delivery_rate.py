"""The delivery rate: how fast the network has taken what was sent (draft-cheng-iccrg-delivery-rate-estimation).

Each record of the scoreboard notes, when it is sent, how much had been delivered by then; when it is delivered itself,
the difference over the time between is a sample of the rate. A sample says little of the path where the application,
and not the network, was what sending waited for.
"""

from stack.clock import SECOND, Duration, Instant
from stack.transport.tcp.congestion import AckSample
from stack.transport.tcp.sent import Sent


class DeliveryRate:
    """C.delivered and its companions (3.2); octets, and instants."""

    __slots__ = ("_app_limited_until", "_delivered", "_delivered_at", "_first_sent_at", "latest")

    def __init__(self, now: Instant) -> None:
        self._delivered = 0
        self._delivered_at = now
        self._first_sent_at = now
        self._app_limited_until = 0
        self.latest = 0  # the last sample, octets a second; 0: not known

    def restart(self, now: Instant) -> None:
        """Sending begins, with nothing in the network."""
        self._first_sent_at = self._delivered_at = now

    def on_sent(self, record: Sent) -> None:
        """`record` was sent (3.2)."""
        record.delivered = self._delivered
        record.delivered_at = self._delivered_at
        record.first_sent_at = self._first_sent_at
        record.is_app_limited = self._app_limited_until > self._delivered

    def on_application_limit(self, pipe: int) -> None:
        """There is nothing to send, and cwnd would have allowed it (3.4)."""
        self._app_limited_until = self._delivered + pipe or 1

    def measure(self, sample: AckSample, newest: Sent, octets: int, shortest: Duration) -> None:
        """`octets` more are delivered, and `newest` was sent last of them (3.3).

        What was delivered in less than `shortest`, a round trip, says nothing.
        """
        now = sample.now
        self._delivered += octets
        self._delivered_at = now
        self._first_sent_at = newest.sent_at
        sample.delivered = self._delivered
        sample.prior_delivered = newest.delivered
        sample.is_app_limited = newest.is_app_limited
        interval = max(newest.sent_at - newest.first_sent_at, now - newest.delivered_at)
        is_long = interval >= shortest
        rate = (self._delivered - newest.delivered) * SECOND // interval if is_long else 0
        sample.delivery_rate = self.latest = rate
