"""The stack's place on this machine: the TAP device of the settings, its kernel side, and the host's configuration."""

from contextlib import ExitStack

from stack.addresses import MacAddress, Network
from stack.config import ArpConfig, HostConfig, InterfaceConfig, RouteConfig
from stack.io.configuration import ServeSettings
from stack.io.netlink import KernelSide, check_subnet_is_free
from stack.io.tap import Tap


def open_device(settings: ServeSettings, resources: ExitStack) -> tuple[list[Tap], KernelSide]:
    """Open and configure the device, with a queue for each worker; `resources` undo it all. Raises DeviceError."""
    check_subnet_is_free(settings.host_address.network, settings.tap, chosen_by_user=not settings.default_subnet)
    offload, several = settings.offload == "auto", settings.workers > 1
    queues = [
        resources.enter_context(Tap(settings.tap, offload=offload, multi_queue=several))
        for _ in range(settings.workers)
    ]
    kernel = resources.enter_context(KernelSide(settings.tap, persistent=queues[0].persistent))
    host_side = settings.host_address
    kernel.configure(mac_for(host_side.address), host_side.address, host_side.prefix_length, settings.mtu)
    return queues, kernel


def host_config(settings: ServeSettings, *, offload: bool, announces: bool = True) -> HostConfig:
    """The host at the other end of the device; of several on one device, only one `announces` the address."""
    ours = settings.address
    interface = InterfaceConfig(
        mac_for(ours.address), ours.address, ours.prefix_length, settings.mtu, settings.tap, offload
    )
    # The machine can forward for us, as it does for any host behind it.
    by_default = RouteConfig(Network.of(0, 0), settings.host_address.address)
    arp = ArpConfig() if announces else ArpConfig(announce_number=0)
    return HostConfig((interface,), (by_default,), arp)


def mac_for(address: int) -> MacAddress:
    """A locally administered address made of the IP address: the same after every start, so no ARP cache is wrong."""
    return MacAddress(b"\x02\x00" + address.to_bytes(4))
