"""`tools/bench bulk`: one flow without a bottleneck, out of and into our stack, at MTU 1500."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tools.benchmarks import servers
from tools.benchmarks.cases import Case, Figure
from tools.benchmarks.space import Process, Stage

VETH: Final = {True: "Linux to Linux, over veth", False: "Linux to Linux, over veth, without offload"}
# What bounds a stack that does without offload: see flow.c.
FLOWS: Final = {"send": "a C program to Linux, without offload", "receive": "Linux to a C program, without offload"}
OURS, THEIRS = servers.OURS, servers.THEIRS


def cases(flow: Path, seconds: float) -> Iterator[Case]:
    """Goodput in `seconds` from the first octet on; `flow` is the program made of flow.c."""
    for offload, veth in VETH.items():
        without = "" if offload else ", without offload"
        for name, role in (("ours to Linux", "send"), ("Linux to ours", "receive")):
            reference = veth if offload else FLOWS[role]
            yield Case("bulk", name + without, "Mbit/s", seconds, _ours(role, offload, seconds), reference)
        yield Case("bulk", veth, "Mbit/s", seconds, _linux(offload, seconds))
    for role, name in FLOWS.items():
        yield Case("bulk", name, "Mbit/s", seconds, _flow(flow, role, seconds))


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


def _flow(flow: Path, role: str, seconds: float) -> Callable[[int], Figure]:
    def run(repetition: int) -> Figure:
        with Stage() as stage:
            kernel = stage.kernel()
            fd = stage.tap("tap0", kernel, f"{THEIRS}/24").fileno()
            duration = [] if role == "send" else [str(seconds)]
            program = stage.start(str(flow), role, str(fd), OURS, THEIRS, *duration, pass_fds=[fd])
            if role == "send":
                return _goodput(program, kernel.start_python("kernel_peer", "receive", str(seconds)), seconds)
            return _goodput(kernel.start_python("kernel_peer", "send", OURS, "cubic"), program, seconds)

    return run
