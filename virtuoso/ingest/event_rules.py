"""What an event must be, kind by kind: the rules of validation (validate_events.py), and what counts as not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.ingest.validated import LARGEST_AMOUNT
from virtuoso.market.schema.kinds import NO_ID
from virtuoso.types import Array, Mask

Columns = Mapping[str, NDArray[Any]]

LARGEST_RATE = 1.0  # a rate above the whole notional in one interval never was; two percent has been (E39)
LONGEST_HOURS = 24.0
SIDES = (-1, 0, 1)

RULES = {
    "broken_line": "the line has too few or too many fields, or a stray quote",
    "not_json": "the line is no JSON",
    "field_missing": "a field that must be there is missing",
    "not_filled": "the order was not filled",
    "not_a_number": "a field is text where a number should be",
    "no_symbol": "the row names no symbol",
    "ids_reversed": "the last id comes before the first",
    "id_unreadable": "the id is no whole number from 0 to 9223372036854775807",
    "time_unreadable": "the time is missing or cannot be read",
    "time_out_of_range": "the time lies before 2009 or in the future",
    "outage": "the open interest is zero or missing: an outage of the venue",
    "not_finite": "a value that must be known is missing, NaN or infinite",
    "price_not_positive": "a price is zero or negative",
    "size_not_positive": "a size is zero or negative",
    "negative": "an amount is negative",
    "side_unknown": "the side is none of 1, -1 and 0",
    "impossible_amount": "a number is larger than any price or amount",
    "impossible_rate": "the rate is more than the whole notional",
    "impossible_hours": "the funding interval is no part of a day",
}


def _positive_or_unknown(values: NDArray[Any]) -> Array:
    """NaN for what is not a positive number: a ratio over zero, zero, NULL."""
    known = np.isfinite(values) & (values > 0)
    answer: Array = np.where(known, values, np.nan)
    return answer


def _zero_is_unknown(values: NDArray[Any]) -> Array:
    answer: Array = np.where(values == 0, np.nan, values)
    return answer


CLEANED: dict[str, dict[str, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "ratios": dict.fromkeys(
        ("accounts_ratio", "top_accounts_ratio", "top_positions_ratio", "taker_ratio"), _positive_or_unknown
    ),
    "open_interest": {"open_interest_value": _zero_is_unknown},
    "funding": {"mark": _zero_is_unknown},
    "prices": {"mark": _zero_is_unknown, "index": _zero_is_unknown},
}
"""What of a column is not known, where the source writes something all the same."""


def broken_rules(kind: str, columns: Columns) -> dict[str, Mask]:
    """Which events break which rule, the first rules first.

    Parameters
    ----------
    kind : str
    columns : mapping of str to array, shape (n_events,)
        Cleaned.

    Returns
    -------
    dict of str to array of bool, shape (n_events,)
    """
    with np.errstate(invalid="ignore"):
        return {**_RULES_OF[kind](columns), "impossible_amount": _too_large(columns)}


def _too_large(columns: Columns) -> Mask:
    answer: Mask = np.any(
        [np.abs(values) > LARGEST_AMOUNT for values in columns.values() if values.dtype == np.float64], axis=0
    )
    return answer


def _trades(columns: Columns) -> dict[str, Mask]:
    return {
        "not_finite": ~(np.isfinite(columns["price"]) & np.isfinite(columns["size"])),
        "price_not_positive": columns["price"] <= 0,
        "size_not_positive": columns["size"] <= 0,
        "side_unknown": ~np.isin(columns["side"], SIDES),
    }


def _depth(columns: Columns) -> dict[str, Mask]:
    level = columns["side"] != 0  # a message without a level has neither price nor size
    return {
        "side_unknown": ~np.isin(columns["side"], SIDES),
        "not_finite": level & ~(np.isfinite(columns["price"]) & np.isfinite(columns["size"])),
        "price_not_positive": level & (columns["price"] <= 0),
        "negative": (level & (columns["size"] < 0)) | (columns["last_id"] < NO_ID),
    }


def _ticker(columns: Columns) -> dict[str, Mask]:
    bid, ask = columns["bid"], columns["ask"]
    return {
        "not_finite": ~(np.isfinite(bid) & np.isfinite(ask)) | _infinite(columns, "bid_size", "ask_size"),
        "price_not_positive": (bid <= 0) | (ask <= 0),
        "negative": (columns["bid_size"] < 0) | (columns["ask_size"] < 0),
    }


def _bands(columns: Columns) -> dict[str, Mask]:
    finite = [np.isfinite(columns[name]) for name in ("percentage", "depth", "notional")]
    return {
        "not_finite": ~np.all(finite, axis=0),
        "negative": (columns["depth"] < 0) | (columns["notional"] < 0),
    }


def _open_interest(columns: Columns) -> dict[str, Mask]:
    contracts, value = columns["open_interest"], columns["open_interest_value"]
    unsaid = (contracts == 0) | np.isnan(contracts)
    return {
        "not_finite": np.isinf(contracts) | np.isinf(value),
        "negative": (contracts < 0) | (value < 0),
        "outage": unsaid & ((contracts == 0) | np.isnan(value)),  # a source may know the notional alone
    }


def _ratios(columns: Columns) -> dict[str, Mask]:
    return {}


def _funding(columns: Columns) -> dict[str, Mask]:
    rate, hours = columns["rate"], columns["hours"]
    return {
        "not_finite": ~np.isfinite(rate) | _infinite(columns, "hours", "mark"),
        "impossible_rate": np.abs(rate) > LARGEST_RATE,
        "impossible_hours": (hours <= 0) | (hours > LONGEST_HOURS),
        "price_not_positive": columns["mark"] < 0,
    }


def _prices(columns: Columns) -> dict[str, Mask]:
    return {
        "not_finite": _infinite(columns, "mark", "index"),
        "price_not_positive": (columns["mark"] < 0) | (columns["index"] < 0),
    }


def _instruments(columns: Columns) -> dict[str, Mask]:
    steps = ("price_step", "size_step", "min_size", "min_notional")
    return {
        "not_finite": _infinite(columns, *columns),
        "negative": np.any([columns[name] < 0 for name in steps], axis=0),
    }


def _tiers(columns: Columns) -> dict[str, Mask]:
    floor, rate = columns["floor"], columns["rate"]
    return {
        "not_finite": ~(np.isfinite(floor) & np.isfinite(rate)) | _infinite(columns, "leverage"),
        "negative": (floor < 0) | (rate < 0),
        "impossible_rate": rate >= LARGEST_RATE,
    }


def _infinite(columns: Columns, *names: str) -> Mask:
    answer: Mask = np.any([np.isinf(columns[name]) for name in names], axis=0)
    return answer


_RULES_OF: dict[str, Callable[[Columns], dict[str, Mask]]] = {
    "trades": _trades,
    "depth": _depth,
    "ticker": _ticker,
    "bands": _bands,
    "open_interest": _open_interest,
    "ratios": _ratios,
    "funding": _funding,
    "prices": _prices,
    "liquidations": _trades,
    "instruments": _instruments,
    "tiers": _tiers,
}
