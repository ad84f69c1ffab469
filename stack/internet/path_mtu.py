"""What is known of the MTU of paths (RFC 1191)."""

from typing import Final

from stack.clock import Instant
from stack.config import MAXIMUM_MTU, Ipv4Config

# RFC 1191 section 7: the MTUs that really occur. A router that does not say how much fits reports 0.
_PLATEAUS: Final = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)


class PathMtu:
    """The MTU per destination, where it is less than that of the interface; forgotten after a while (6.3)."""

    def __init__(self, config: Ipv4Config) -> None:
        self._config = config
        self._known: dict[int, tuple[int, Instant]] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def mtu(self, dst: int, now: Instant) -> int:
        """The MTU of the path to `dst`; MAXIMUM_MTU when nothing is known."""
        known = self._known.get(dst)
        if known is None:
            return MAXIMUM_MTU
        if now >= known[1]:
            del self._known[dst]
            return MAXIMUM_MTU
        return known[0]

    def reduce(self, dst: int, mtu: int, sent: int, now: Instant) -> None:
        """A datagram of `sent` octets did not fit; `mtu` does, or is 0 if the router did not say. Never increases."""
        if not mtu or mtu >= sent:
            mtu = next((plateau for plateau in _PLATEAUS if plateau < sent), _PLATEAUS[-1])
        mtu = max(mtu, self._config.minimum_path_mtu)
        if mtu >= self.mtu(dst, now):
            return
        self._known.pop(dst, None)
        if len(self._known) >= self._config.path_mtu_table_size:
            del self._known[next(iter(self._known))]
        self._known[dst] = (mtu, now + self._config.path_mtu_timeout)
