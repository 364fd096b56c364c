"""Kinds of events: what each row says, what makes it the same row, and from when until when it may be used.

An event has two times. `event_time` is what it describes; `available_at` is when it could have been known: the moment
it was received where that was recorded, else the event's time plus the declared lag of its kind. Everything that
decides uses `available_at`. A value that holds (open interest, a funding rate) is not known any more `hold_ms` after
its event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from virtuoso.clock import UNIT_MS
from virtuoso.errors import ConfigError, did_you_mean

NO_ID = -1
"""An id that the source did not say."""

_MINUTE, _HOUR = UNIT_MS["m"], UNIT_MS["h"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event.

    Attributes
    ----------
    name : str
        Its folder in the lake, and its view in SQL.
    columns : mapping of str to dtype
        Beside `event_time` and `available_at`; NaN, NO_ID or 0 where the source did not say.
    key : tuple of str
        Columns that, with `event_time`, make two rows the same event.
    lag_ms : int, ms
        From the event until it can be known, where no receipt was recorded.
    hold_ms : int, ms
        How long after its event a value may be used; 0 for events that count in the bar in which they arrive.
    partition : str
        'day' where there are many rows, else 'month'.
    source : str
        What it is, in a sentence.
    optional : tuple of str
        Columns that a decoder may leave out where its source never says them.
    """

    name: str
    columns: Mapping[str, type]
    key: tuple[str, ...]
    lag_ms: int
    hold_ms: int
    partition: str
    source: str
    optional: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "trades",
            {"id": np.int64, "price": np.float64, "size": np.float64, "side": np.int8, "count": np.float64},
            ("id", "price", "size", "side"), 0, 0, "day",
            "Single or aggregated trades; side is the taker's, 1 bought, -1 sold; count is of the single trades that a "
            "row stands for.",
            optional=("count",),
        ),
        Kind(
            "depth",
            {
                "first_id": np.int64, "last_id": np.int64, "prev_id": np.int64, "snapshot": np.int8,
                "side": np.int8, "price": np.float64, "size": np.float64,
            },
            ("last_id", "snapshot", "side", "price"), 0, 0, "day",
            "Levels of the order book, a row each: whole books (snapshot 1), the best levels of one (2) and changes "
            "(0); side 1 bid, -1 ask, 0 for a message without a level; size 0 removes.",
        ),
        Kind(
            "ticker",
            {"id": np.int64, "bid": np.float64, "bid_size": np.float64, "ask": np.float64, "ask_size": np.float64},
            ("id",), 0, 5_000, "day", "Best bid and ask.",
        ),
        Kind(
            "bands",
            {"percentage": np.float64, "depth": np.float64, "notional": np.float64},
            ("percentage",), 0, 5 * _MINUTE, "month",
            "Depth within a percentage of the middle price, below 0 of bids, as Binance's bookDepth files have it.",
        ),
        Kind(
            "open_interest",
            {"open_interest": np.float64, "open_interest_value": np.float64},
            (), _MINUTE, 15 * _MINUTE, "month", "Open contracts, in base currency and in notional.",
        ),
        Kind(
            "ratios",
            {
                "accounts_ratio": np.float64, "top_accounts_ratio": np.float64,
                "top_positions_ratio": np.float64, "taker_ratio": np.float64,
            },
            (), _MINUTE, 15 * _MINUTE, "month", "Long over short, of accounts, positions and takers.",
        ),
        Kind(
            "funding",
            {"rate": np.float64, "hours": np.float64, "mark": np.float64},
            (), _MINUTE, 9 * _HOUR, "month",
            "Settled funding rates, per interval of so many hours, with the mark price they were paid on.",
        ),
        Kind(
            "prices",
            {"mark": np.float64, "index": np.float64},
            (), 2_000, 5 * _MINUTE, "month", "Mark and index price at the end of an interval.",
        ),
        Kind(
            "liquidations",
            {"side": np.int8, "price": np.float64, "size": np.float64},
            ("side", "price", "size"), 0, 0, "month",
            "Forced orders; side is the order's, -1 sold, so that a long was liquidated. A sample: Binance publishes "
            "at most one a second.",
        ),
        Kind(
            "instruments",
            {
                "price_step": np.float64, "size_step": np.float64, "min_size": np.float64, "min_notional": np.float64,
                "maker_fee": np.float64, "taker_fee": np.float64,
            },
            (), 0, 0, "month", "Rules and fees of an instrument, as of a moment.",
        ),
        Kind(
            "tiers",
            {"floor": np.float64, "rate": np.float64, "leverage": np.float64},
            ("floor",), 0, 0, "month",
            "Maintenance tiers of an instrument as of a moment, a row each: notional from which it holds, rate, most "
            "leverage.",
        ),
    )
}  # fmt: skip


def kind_of(name: str) -> Kind:
    """Look a kind up by name.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    if name not in KINDS:
        raise ConfigError(f"There is no kind of event {name!r}. {did_you_mean(name, KINDS)}")
    return KINDS[name]
