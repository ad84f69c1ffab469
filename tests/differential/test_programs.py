"""Programs at random, the same ones in every run: both sides do whatever comes, and hear of it what they hear."""

import random
import socket
import struct
from collections.abc import Callable
from typing import Any

from tests.differential.comparison import differential
from tests.differential.stage import Stage

PROGRAMS = 8  # of each kind
CALLS = ("write", "write", "write_eof", "close", "abort", "reset", "pause_reading", "resume_reading", "resume_reading")


def call(actor: Any, what: str) -> None:
    if what == "write":
        actor.attempt(what, b"octets")
    elif what == "reset":
        face = actor.transport.get_extra_info("socket")
        if face.fileno() >= 0:
            face.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        actor.attempt("abort")
    else:
        actor.attempt(what)
    actor.note("state", actor.transport.is_closing(), actor.transport.is_reading())


async def play(stage: Stage, number: int, keeps_open: tuple[bool, bool]) -> None:
    """After each call everything settles: how far the one gets before the other calls is not the question here."""
    chance = random.Random(number)
    make = [stage.actor, stage.actor, stage.actor, stage.buffered]
    sides = [
        chance.choice(make)(f"{side} {number}", eof_received=lambda actor, keeps=keeps: keeps)
        for side, keeps in zip(("server", "client"), keeps_open, strict=True)
    ]
    await stage.pair(*sides)
    await stage.settle()
    for _ in range(chance.randint(3, 7)):
        call(chance.choice(sides), chance.choice(CALLS))
        await stage.settle()
    for actor in sides:
        if actor.transport.get_protocol() is not None:
            actor.transport.abort()


def programs(*keeps_open: bool) -> Callable[..., Any]:
    """A scenario of many; eof_received() keeps the connection open on the server's side, and on the client's."""

    async def scenario(stage: Stage) -> None:
        for number in range(PROGRAMS):
            await play(stage, number, (keeps_open[0], keeps_open[1]))

    test: Callable[..., Any] = differential(scenario)
    return test


test_an_end_closes = programs(False, False)
test_the_server_goes_on_after_an_end = programs(True, False)
test_the_client_goes_on_after_an_end = programs(False, True)
test_both_go_on_after_an_end = programs(True, True)
