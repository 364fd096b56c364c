"""`virtuoso venue`: the simulated exchange as a server, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from virtuoso.cli.terminal.command import Answer, Call, verb

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.venues.wire import Scenario, Venue, VenueClock, World

SNIPPET = """
import ccxt.pro
from virtuoso.venues.wire import venue_session

async with venue_session({authority!r}, {port}) as session:
    exchange = ccxt.pro.binanceusdm({{"session": session}})  # or ccxt.pro.bybit
    print(await exchange.fetch_ticker("{symbol}"))
"""


def add_venue(app: typer.Typer) -> None:
    """Register it."""
    verb(app, "venue", "virtuoso venue --days 1 --port 0 --for 2")(venue)


def venue(
    call: Call,
    symbols: Annotated[
        list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="Coins; BTCUSDT, ETHUSDT and SOLUSDT if absent.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the simulated market.")] = 7,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, help="Length of the history.")] = 7,
    ahead: Annotated[int, typer.Option("--ahead", metavar="N", min=1, help="Days that it can run.")] = 2,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="DATE", help="UTC day on which the venue's clock starts; today if absent."),
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", metavar="X", min=0.0, help="Seconds of the venue per second.")
    ] = 1.0,
    scenario: Annotated[
        Path | None, typer.Option("--scenario", metavar="FILE", help="YAML file of what goes wrong.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65_534, help="Of the exchange; 0 for any.")
    ] = 8443,
    seconds: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0.0, help="End by itself; else at Ctrl-C.")
    ] = None,
) -> Answer:
    """Serve a simulated Binance USD-M and Bybit to ccxt, on this machine only.

    The control port is the next one. docs/guides/venue.md says what is served, and how a scenario is written.
    """
    from virtuoso.venues.simulator import DEFAULT_SYMBOLS
    from virtuoso.venues.wire import Scenario

    stream = sys.stderr if call.as_json else sys.stdout

    def say(text: str) -> None:
        if not call.quiet:
            print(text, file=stream, flush=True)

    wrong = Scenario.load(scenario) if scenario is not None else Scenario()  # before the market is made: it takes long
    say("making the market")
    world, clock = _opened(symbols or list(DEFAULT_SYMBOLS), seed, days, ahead, at, speed)
    data = asyncio.run(_serve(world, clock, wrong, port, seconds, say))
    return Answer(data, lambda: _served(data), call.next("venue", *(symbols or []), seed=seed))


def _opened(
    symbols: list[str], seed: int, days: int, ahead: int, at: str | None, speed: float
) -> tuple[World, VenueClock]:
    """Make the market so that its history ends where the clock starts."""
    from virtuoso.clock import Env, Timeframe, iso, parse_time
    from virtuoso.venues.wire import VenueClock, World

    day = Timeframe("1d").ms
    now = Env().now_ms() if at is None else parse_time(at)
    start = iso(now // day * day - days * day)
    # Today is history up to now and the future after it: one day more.
    world = World.made(symbols, seed=seed, start=start, days=days, ahead=ahead + 1, stream_days=min(days, 2))
    return world, VenueClock(None if at is None and speed == 1.0 else now, speed=speed)


async def _serve(
    world: World,
    clock: VenueClock,
    wrong: Scenario,
    port: int,
    seconds: float | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    from virtuoso.venues.wire import Venue

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: Ctrl-C interrupts
            loop.add_signal_handler(number, stop.set)
    async with Venue(world, clock, wrong, port=port, control_port=port + 1 if port else 0) as served:
        _tell(served, say)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
        return {
            "port": served.port, "control_port": served.control_port, "seed": world.seed,
            "symbols": list(world.listings), "requests": sum(served.requests.values()),
            "faults": sum(served.faults.met.values()),
        }  # fmt: skip


def _tell(served: Venue, say: Callable[[str], None]) -> None:
    """Say what is served, where, and how to come there."""
    from virtuoso.venues.wire import HOSTS

    symbol = next(iter(served.world.listings))
    say(f"SIMULATED market: {served.world.describe(served.clock.now())}")
    say(f"https and wss on 127.0.0.1:{served.port}, as {', '.join(HOSTS)}")
    say(f"control on http://127.0.0.1:{served.control_port}/state, /scenario, /faults, /clock")
    pair = f"{symbol.removesuffix('USDT')}/USDT:USDT"
    say(SNIPPET.format(authority=str(served.authority), port=served.port, symbol=pair))
    say("Ctrl-C ends it.")


def _served(data: dict[str, Any]) -> Iterator[RenderableType]:
    from virtuoso.reports.format import plural

    yield f"served {plural(data['requests'], 'request')}, {plural(data['faults'], 'fault')} met"
