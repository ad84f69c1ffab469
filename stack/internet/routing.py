"""Which way: longest-prefix routing with default gateways (RFC 1122 3.3.1, RFC 1812 5.2.4.3).

Several routes to one network are alternatives, used in the order of the configuration. A gateway that does not answer
ARP is dead (RFC 1122 3.3.1.4 takes a failure to re-validate as negative advice, and TCP's doubts ask for it): the next
one of that network is used, until it dies too. When all are dead, the first is tried again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from stack.addresses import LIMITED_BROADCAST, Ipv4Address, Network, can_be_a_source, is_multicast, show_ipv4
from stack.clock import Instant
from stack.config import RouteConfig
from stack.errors import ConfigurationError

_CACHE_SIZE: Final = 1024


class LinkInterface(Protocol):
    """What the internet layer needs of an interface."""

    index: int
    mtu: int
    address: Ipv4Address
    network: Network

    @property
    def is_bound(self) -> bool:
        """Whether the address may be used yet."""

    def send_packet(self, packet: bytes, next_hop: Ipv4Address, now: Instant) -> None:
        """Send a datagram to a neighbour."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a datagram goes next, and the source address that belongs to that way."""

    interface: LinkInterface
    next_hop: Ipv4Address
    source: Ipv4Address


class RoutingTable:
    """Directly connected networks and gateways. Raises ConfigurationError for a gateway that no network holds."""

    def __init__(self, interfaces: Sequence[LinkInterface], routes: Sequence[RouteConfig]) -> None:
        self._interfaces = interfaces
        table: list[tuple[Network, LinkInterface, Ipv4Address | None]] = [
            (each.network, each, None) for each in interfaces
        ]
        for route in routes:
            outgoing = next((each for each in interfaces if route.gateway in each.network), None)
            if outgoing is None:
                raise ConfigurationError(
                    f"the gateway {show_ipv4(route.gateway)} of {route.network} is in no directly connected network"
                )
            table.append((route.network, outgoing, route.gateway))
        self._table = sorted(table, key=lambda entry: -entry[0].prefix_length)
        self._dead: set[tuple[Network, Ipv4Address]] = set()
        self._cache: dict[int, Route | None] = {}

    def lookup(self, dst: Ipv4Address) -> Route | None:
        """The route to `dst`, or None."""
        try:
            return self._cache[dst]
        except KeyError:
            pass
        if len(self._cache) >= _CACHE_SIZE:
            self._cache.clear()
        route = self._cache[dst] = self._find(dst)
        return route

    def on_dead(self, next_hop: Ipv4Address) -> None:
        """`next_hop` does not answer: where it is a gateway, the next one of the same network takes its place."""
        for network in [network for network, _, gateway in self._table if gateway == next_hop]:
            self._dead.add((network, next_hop))
            rivals = {(each, gateway) for each, _, gateway in self._table if each == network and gateway is not None}
            if rivals <= self._dead:
                self._dead -= rivals
        self._cache.clear()

    def alternative(self, dst: Ipv4Address, dead: Ipv4Address) -> Route | None:
        """The route to `dst` that comes behind the one by `dead`: None when `dead` was the last."""
        route = self.lookup(dst)
        hops = [gateway for network, _, gateway in self._table if dst in network]
        if route is None or dead not in hops:
            return None
        return route if route.next_hop in hops[hops.index(dead) + 1 :] else None

    def _find(self, dst: Ipv4Address) -> Route | None:
        if (dst == LIMITED_BROADCAST or is_multicast(dst)) and self._interfaces:
            first = self._interfaces[0]
            return Route(first, dst, first.address)
        if not can_be_a_source(dst):
            return None  # what no host can have as its address never leaves this one (RFC 1122 3.2.1.3)
        for network, interface, gateway in self._table:
            if dst not in network:
                continue
            if gateway is None:
                return Route(interface, dst, interface.address)
            if (network, gateway) not in self._dead:
                return Route(interface, gateway, interface.address)
        return None
