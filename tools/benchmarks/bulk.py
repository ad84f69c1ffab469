"""`tools/bench bulk`: one flow without a bottleneck, out of and into our stack, at MTU 1500."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tools.benchmarks import servers
from tools.benchmarks.cases import Case, Figure
from tools.benchmarks.space import Process, Stage

REFERENCE: Final = {True: "Linux to Linux, over veth", False: "Linux to Linux, over veth, without offload"}
OURS, THEIRS = servers.OURS, servers.THEIRS


def cases(pump: Path, seconds: float) -> Iterator[Case]:
    """Goodput in `seconds` from the first octet on; `pump` is the program made of pump.c."""
    for offload, reference in REFERENCE.items():
        without = "" if offload else ", without offload"
        for name, role in (("ours to Linux", "send"), ("Linux to ours", "receive")):
            yield Case("bulk", name + without, "Mbit/s", seconds, _ours(role, offload, seconds), reference)
        yield Case("bulk", reference, "Mbit/s", seconds, _linux(offload, seconds))
    for role in ("read", "write"):
        name = f"a TAP pump in C, frames {'read' if role == 'read' else 'written'} one by one"
        yield Case("bulk", name, "Mbit/s", seconds, _pump(pump, role, seconds))


def _ours(role: str, offload: bool, seconds: float) -> Callable[[int], Figure]:
    def run(repetition: int) -> Figure:
        with Stage() as stage:
            kernel = stage.kernel()
            tap = stage.tap("tap0", kernel, f"{THEIRS}/24", offload=offload)
            fd = tap.fileno()
            arguments = [role, str(fd), f"{OURS}/24", THEIRS if role == "send" else str(seconds)]
            ours = stage.start_python("stack_peer", *arguments, *["offload"] * offload, pass_fds=[fd])
            if role == "send":
                return _goodput(ours, kernel.start_python("kernel_peer", "receive", str(seconds)), seconds)
            return _goodput(kernel.start_python("kernel_peer", "send", OURS, "cubic"), ours, seconds)

    return run


def _linux(offload: bool, seconds: float) -> Callable[[int], Figure]:
    def run(repetition: int) -> Figure:
        with Stage() as stage:
            client, server = servers.next_door(stage, offload=offload)
            receiver = server.start_python("kernel_peer", "receive", str(seconds))
            return _goodput(client.start_python("kernel_peer", "send", OURS, "cubic"), receiver, seconds)

    return run


def _goodput(sender: Process, receiver: Process, seconds: float) -> Figure:
    for process in (receiver, sender):
        process.wait_for("ready")
    for process in (receiver, sender):
        process.tell("go")
    received = receiver.result(seconds + 20)
    details: dict[str, Any] = {"receiver": received, "sender": sender.result(5, close=True)}
    remark = ""
    for ours in details.values():
        if "counters" in ours:
            frames = ours["counters"]["EthInFrames"] + ours["counters"]["EthOutFrames"]
            remark = f"{ours['cpu'] / frames * 1e6:.1f} us of CPU a frame, {frames / seconds:,.0f} frames/s"
    return Figure(received["octets"] * 8 / received["seconds"] / 1e6, details, remark)


def _pump(pump: Path, role: str, seconds: float) -> Callable[[int], Figure]:
    def run(repetition: int) -> Figure:
        with Stage() as stage:
            kernel = stage.kernel()
            fd = stage.tap("tap0", kernel, f"{THEIRS}/24").fileno()
            process = stage.start(str(pump), role, str(fd), str(seconds), pass_fds=[fd])
            if role == "read":
                kernel.start(str(pump), "flood", "tap0", str(seconds + 1))
            found = process.result(seconds + 20)
        return Figure(found["octets"] * 8 / found["seconds"] / 1e6, found, f"{found['frames'] / seconds:,.0f} frames/s")

    return run
