"""What a command worked on, and the next one about the same market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from virtuoso.cli.terminal.command import Call

if TYPE_CHECKING:
    from virtuoso.market.frame import MarketFrame


def next_about(call: Call, name: str, frame: MarketFrame, **given: object) -> str:
    """A command about the same instrument and timeframe."""
    same = {"timeframe": frame.timeframe.name, "venue": frame.instrument.venue}
    return call.next(name, frame.instrument.symbol, **same, **given)


def about(frame: MarketFrame) -> dict[str, Any]:
    """What was worked on, for --json."""
    from virtuoso.clock import iso

    clock = frame.timeframe
    start, end = clock.open_time(frame.start), clock.open_time(frame.stop)
    return {
        "symbol": frame.instrument.symbol,
        "venue": frame.instrument.venue,
        "simulated": frame.instrument.is_simulated,
        "timeframe": clock.name,
        "start": start,
        "end": end,
        "start_utc": iso(start),
        "end_utc": iso(end),
        "bars": len(frame),
        "data": frame.fingerprint,
    }
