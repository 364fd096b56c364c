from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

from tests.venues.wire.serving import SYMBOLS, Served
from virtuoso.venues.wire import World

REACHED: list[object] = []
"""Addresses that a socket was connected or bound to while these tests ran."""


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.bind", "socket.sendto"):
        REACHED.append(arguments[1])
    elif event == "socket.getaddrinfo":
        REACHED.append((arguments[0], arguments[1]))


@pytest.fixture(scope="session", autouse=True)
def hears_every_socket() -> None:
    sys.addaudithook(_listen)  # it cannot be taken off again


@pytest.fixture(autouse=True)
def stays_on_loopback() -> Iterator[None]:
    REACHED.clear()
    yield
    elsewhere = [one for one in REACHED if isinstance(one, tuple) and one[0] not in ("127.0.0.1", "::1", None)]
    assert not elsewhere, f"a socket left loopback: {elsewhere}"


@pytest.fixture(scope="session")
def world() -> World:
    return World.made(SYMBOLS, seed=7, days=3, ahead=1, stream_days=1)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(world: World, loop: asyncio.AbstractEventLoop) -> Iterator[Served]:
    made = Served(world)
    loop.run_until_complete(made.__aenter__())
    yield made
    loop.run_until_complete(made.__aexit__())
