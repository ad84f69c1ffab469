"""Networks of a known shape, with all hosts on one Ethernet."""

from collections.abc import Sequence

from stack.host import Host
from stack.link.switch import Switch
from stack.virtual.link import LinkProfile
from stack.virtual.network import Link, Network


def dumbbell(
    network: Network,
    left: Sequence[Host],
    right: Sequence[Host],
    bottleneck: LinkProfile,
    backward: LinkProfile | None = None,
    edges: LinkProfile | None = None,
) -> Link:
    """Connect hosts that `network` has so that what goes from the left to the right shares one link; returns that.

    `backward` is the way from right to left where that is not like `bottleneck`; `edges` are the links of the hosts,
    both ways.

        left[0] --+                                     +-- right[0]
                  switch ======== bottleneck ======== switch
        left[1] --+                                     +-- right[1]
    """
    switches = [network.add(Switch(len(hosts) + 1)) for hosts in (left, right)]
    for switch, hosts in zip(switches, (left, right), strict=True):
        for port, host in enumerate(hosts, 1):
            network.connect(host, switch, edges, ports=(0, port))
    return network.connect(switches[0], switches[1], bottleneck, backward)
