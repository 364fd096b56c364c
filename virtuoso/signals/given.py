"""Given: intents of a user's own signals, booleans or target weights, one value a bar of a frame.

1. What is decided at the close of a bar acts at the next open. A bar that nobody published decides nothing.
2. Booleans. An entry and an exit of one side at one close cancel each other, and so do a long and a short entry. An
   entry while its side is held changes nothing, one of the other side turns the position around. `exits` close longs
   only, `short_exits` shorts only.
3. Levels. A number is a distance as a share of the close, an array holds one price a bar (of `trail`: the distance). A
   level that is no price, or on the wrong side of the close, refuses its entry.
4. Weights. What is held is brought to the weight where that changes, at each bar, or at the first close of each period.
   NaN decides nothing: what is held stays.

`Decided.counts` says how often something that was given decided nothing, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.records import NEXT_OPEN, blank_intents
from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import is_published
from virtuoso.types import Array

Flags = NDArray[np.bool_]
Level = float | Array
Targets = Level | Sequence[Level | tuple[Level, float]]

MOST_TARGETS = 3
CHANGE, BAR = "change", "bar"
WEEK = "1w"
_MONDAY = 4 * 86_400_000
"""The epoch was a Thursday."""


class Decided(NamedTuple):
    """What given signals decide.

    Attributes
    ----------
    intents : array of INTENT
        In the order of `number`.
    counts : dict of str to int
        How often something that was given decided nothing, by the reason; reasons that never were are left out.
    """

    intents: np.ndarray
    counts: dict[str, int]


def intents_of_signals(
    frame: MarketFrame,
    entries: Flags | None = None,
    exits: Flags | None = None,
    short_entries: Flags | None = None,
    short_exits: Flags | None = None,
    *,
    stop: Level | None = None,
    target: Targets | None = None,
    trail: Level | None = None,
    size: Level | None = 1.0,
) -> Decided:
    """Return the intents of entries and exits.

    Parameters
    ----------
    frame : MarketFrame
    entries, exits, short_entries, short_exits : array of bool, shape (n_bars,), optional
        One value a bar of the frame; what is not known is False.
    stop : float or Array, optional
        Distance as a share of the close, or prices.
    target : float, Array, or sequence of up to three, optional
        The same; of several, equal shares of the position leave at each, or those of `(target, share)`.
    trail : float or Array, optional
        Distance at which the stop follows the best price: as a share of the close, or in price. Without `stop` it
        begins at that distance from the close.
    size : float, Array or None
        Share of the equity; None is sized by what it risks to its stop. NaN decides nothing.

    Returns
    -------
    Decided
    """
    price, known = _closes(frame)
    none, asked = np.zeros(len(frame), dtype=bool), (entries, exits, short_entries, short_exits)
    long, leave, short, cover = (none if of is None else np.asarray(of, dtype=bool) for of in asked)
    told = long | leave | short | cover
    counts = {"bar not known": int((told & ~known).sum())}
    at = np.flatnonzero(told & known)  # nothing is decided anywhere else
    long, leave, short, cover = (flags[at] for flags in (long, leave, short, cover))
    both = {"entry and exit at one close": (long & leave) | (short & cover)}
    long, leave, short, cover = long & ~leave, leave & ~long, short & ~cover, cover & ~short
    both["long and short entry at one close"] = long & short
    long, short = long & ~short, short & ~long
    side = long.astype(np.int8) - short.astype(np.int8)
    made = blank_intents(len(at))
    made["number"], made["price"], made["side"] = frame.start + at, price[at], side
    made["weight"] = np.nan if size is None else _values(size, at)
    toward = side.astype(np.float64)
    _write_levels(made, toward, at, stop, target, trail)
    wrong = _wrong(made, toward)
    unsized = np.isnan(made["weight"]) & (size is not None)
    counts |= {name: int(flags.sum()) for name, flags in both.items()}
    counts["stop, target or trail on the wrong side of the close, or not known"] = int((wrong & (side != 0)).sum())
    counts["size not known"] = int((unsized & ~wrong & (side != 0)).sum())
    side[wrong | unsized] = 0
    made["side"] = side
    out = _exits(side, leave, cover)
    blank = blank_intents(1)[0]
    for name in ("stop", "target", "size", "trail", "weight"):
        made[name][out] = blank[name]
    made["expires"] = made["number"] + NEXT_OPEN
    return Decided(made[(side != 0) | out], {name: n for name, n in counts.items() if n})


def intents_of_position(frame: MarketFrame, weights: Array, rebalance: str = CHANGE) -> Decided:
    """Return the intents that bring what is held to target weights.

    Parameters
    ----------
    frame : MarketFrame
    weights : Array, share of the equity, shape (n_bars,)
        Positive long, negative short, 0 out, NaN no decision.
    rebalance : str
        When it is traded: `change`, where the weight differs from the last one that was known; `bar`, at every close;
        or a period such as `1d`, at its first close.

    Returns
    -------
    Decided
    """
    price, known = _closes(frame)
    wanted = np.asarray(weights, dtype=np.float64)
    given = np.isfinite(wanted)
    at = np.flatnonzero(known & given)
    if rebalance == CHANGE:
        at = at[np.diff(wanted[at], prepend=0.0) != 0.0]
    elif rebalance != BAR:
        periods = period_of(frame, rebalance)[at]
        at = at[np.diff(periods, prepend=periods[:1] - 1) != 0]
    made = blank_intents(len(at))
    made["number"], made["price"] = frame.start + at, price[at]
    made["side"], made["weight"], made["adjust"] = np.sign(wanted[at]), np.abs(wanted[at]), True
    made["expires"] = made["number"] + NEXT_OPEN
    unknown = int((given & ~known).sum())
    return Decided(made, {"bar not known": unknown} if unknown else {})


def period_of(frame: MarketFrame, rebalance: str) -> NDArray[np.int64]:
    """Return in which period each bar of a frame closes, shape (n_bars,); a close at midnight is the first of its day.

    Raises
    ------
    ConfigError
        It is neither `change`, `bar`, nor a period of whole bars.
    """
    if rebalance == WEEK:
        return (frame.close_times - _MONDAY) // (7 * 86_400_000)
    try:
        period = Timeframe(rebalance)
        period.ratio(frame.timeframe)
    except (ConfigError, TypeError):
        raise ConfigError(
            f"rebalance says when weights are traded: 'change', 'bar', or a period of whole {frame.timeframe} bars "
            f"such as '1d' or '1w'; was {rebalance!r}."
        ) from None
    return frame.close_times // period.ms


def _closes(frame: MarketFrame) -> tuple[Array, Flags]:
    """Close of each bar of a frame, and whether somebody published it."""
    here = slice(frame.start - frame.base.first, frame.start - frame.base.first + len(frame))
    price = frame.base.columns["close"][here]
    return price, is_published(frame.base.state[here]) & (price > 0.0)


def _values(level: Level, at: NDArray[np.int64]) -> Level:
    """Values of a level at some bars; a number stands for all of them."""
    return level if isinstance(level, float | int) else level[at]


def _write_levels(
    made: np.ndarray, toward: Array, at: NDArray[np.int64], stop: Level | None, target: Targets | None,
    trail: Level | None,
) -> None:  # fmt: skip
    """Write stop, trail and targets of the entries at some bars; `toward` is the side of each."""
    price = made["price"]
    if trail is not None:
        made["trail"] = price * trail if isinstance(trail, float | int) else trail[at]
        made["stop"] = price - toward * made["trail"]
    if stop is not None:
        made["stop"] = price * (1.0 - toward * stop) if isinstance(stop, float | int) else stop[at]
    for k, (level, share) in enumerate(shared(target)):
        made["target"][:, k] = price * (1.0 + toward * level) if isinstance(level, float | int) else level[at]
        made["size"][:, k] = share
    given = {"stop": stop is not None or trail is not None, "trail": trail is not None}
    for name in (name for name, wanted in given.items() if wanted):
        made[name][~(made[name] > 0.0)] = 0.0  # told apart from what was not given: `_wrong` refuses it


def shared(target: Targets | None) -> list[tuple[Level, float]]:
    """Return each target with the share of the position that leaves there."""
    if target is None:
        return []
    several: Sequence[Any] = target if isinstance(target, list | tuple) else [target]
    return [one if isinstance(one, tuple) else (one, 1.0 / len(several)) for one in several]


def _wrong(made: np.ndarray, toward: Array) -> Flags:
    """Whether a level of an entry is no price, or on the wrong side of the close."""
    price, stop, trail = made["price"], made["stop"], made["trail"]
    wrong: Flags = ~np.isnan(stop) & ~((stop > 0.0) & (toward * (price - stop) > 0.0))
    wrong |= ~np.isnan(trail) & ~(trail > 0.0)
    used = made["size"] > 0.0
    beyond = (made["target"] > 0.0) & (toward[:, None] * (made["target"] - price[:, None]) > 0.0)
    wrong |= (used & ~beyond).any(axis=1)
    return wrong


def _exits(side: NDArray[np.int8], leave: Flags, cover: Flags) -> Flags:
    """Where an exit is decided: of the side that was entered last, once, and where nothing is entered."""
    entered = np.maximum.accumulate(np.where(side != 0, np.arange(len(side)), -1))
    last = np.where(entered >= 0, side[entered], 0)
    asked = (side == 0) & (((last > 0) & leave) | ((last < 0) & cover))
    at = np.flatnonzero(asked)
    first = at[np.diff(entered[at], prepend=-2) != 0]
    out = np.zeros(len(side), dtype=bool)
    out[first] = True
    return out
