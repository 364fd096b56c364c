"""Own signals: what a user gives beside frames, checked, aligned by index, and turned into intents.

signals/given.py says what the arguments mean. Here they are refused in the caller's words: which argument, which value,
which bar, and the call that works.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from virtuoso.account.instrument import Instrument, compact
from virtuoso.clock import iso
from virtuoso.errors import AmbiguousError, ConfigError, DataError, and_more, did_you_mean
from virtuoso.labels import at_closes, moments_of
from virtuoso.market.frame import MarketFrame
from virtuoso.signals.given import CHANGE, MOST_TARGETS, intents_of_position, intents_of_signals
from virtuoso.types import Array, Times

POSITION = "position"
ENTRIES = ("entries", "short_entries")
SIDES = ("entries", "exits", "short_entries", "short_exits")
LEVELS = ("stop", "target", "trail")
SIZE = "size"
LARGEST = 125.0
"""Share of the equity above which a size was meant otherwise: no venue lends more."""
SHARES_OF_PRICE = {"stop": 0.1, "target": 0.1, "trail": 1e-4}
"""Median share of the price below which the values of a Series are no prices: who gives them means shares."""
WORDS_OF_SHARE = {
    "stop": "stop=0.02 lies 2 % from the close",
    "target": "target=0.04 lies 4 % from the close",
    "trail": "trail=0.02 follows at 2 % of the close",
    SIZE: "size=0.5 is half the equity",
}
REMEDIES = {
    "stop": "frame.close * (1 - stop) for longs",
    "target": "frame.close * (1 + target) for longs",
    "trail": "frame.close * trail",
}


class Own(NamedTuple):
    """What own signals decide.

    Attributes
    ----------
    intents : dict of Instrument to array of INTENT
    counts : dict of str to int
        How often something that was given decided nothing, by the reason.
    decided_by : dict of str to Any
        What a run folder says of it.
    """

    intents: dict[Instrument, np.ndarray]
    counts: dict[str, int]
    decided_by: dict[str, Any]


def own_signals(
    frames: Sequence[MarketFrame], given: Mapping[str, Any], *, rebalance: str = CHANGE, risk: float | None = None
) -> Own:
    """Return the intents of what was given beside frames.

    Parameters
    ----------
    frames : sequence of MarketFrame
        One an instrument.
    given : mapping of str to Any
        Arguments of `vt.backtest` by name, those that were given: `position`, or entries, exits, levels and size.
    rebalance : str
        When target weights are traded.
    risk : float, optional
        Share of the equity that is risked to the stop, instead of a size.

    Raises
    ------
    ConfigError
        Arguments that do not go together, or a number that is none of its kind.
    DataError
        Labels, columns or values that are not those of the frames.
    """
    _check_together(given, rebalance, risk)
    counts: Counter[str] = Counter()
    intents = {}
    names = [name for name in (*SIDES, POSITION) if name in given]
    columns = {name: _of_each(given[name], frames, name, flags=name != POSITION) for name in names}
    levels = {name: _level(given[name], frames, name) for name in (*LEVELS, SIZE) if name in given}
    for k, frame in enumerate(frames):
        mine = {name: of[k] for name, of in columns.items()}
        if POSITION in mine:
            found = intents_of_position(frame, mine[POSITION], rebalance)
        else:
            size = None if risk is not None else levels[SIZE][k] if SIZE in levels else 1.0
            sides = {name: of == 1.0 for name, of in mine.items()}  # what is not known decides nothing
            here = {name: of[k] for name, of in levels.items() if name != SIZE}
            found = intents_of_signals(frame, **sides, **here, size=size)
        intents[frame.instrument] = found.intents
        counts.update(found.counts)
    plain = {name: one for name, one in given.items() if isinstance(one, int | float) and name not in names}
    by_place = {name: "one value a bar" for name in given if name not in plain}
    told = {"name": "weights", "rebalance": rebalance} if POSITION in given else {"name": "own signals"}
    return Own(intents, dict(counts), {**told, **by_place, **plain})


def _check_together(given: Mapping[str, Any], rebalance: str, risk: float | None) -> None:
    """Refuse arguments that do not go together."""
    if POSITION in given:
        others = [name for name in (*SIDES, *LEVELS, SIZE) if name in given] + ["risk"] * (risk is not None)
        if others:
            raise ConfigError(
                f"position= says at each close how much is held, so {others[0]}= has no place beside it. Give entries= "
                "and exits= where stops, targets and sizes are wanted."
            )
        return
    if rebalance != CHANGE:
        raise ConfigError(f"rebalance={rebalance!r} says when target weights are traded: it belongs to position=.")
    if not any(name in given for name in ENTRIES):
        named = next(iter(given), "risk")
        raise ConfigError(f"{named}= was given without entries. Give entries=, short_entries= or both, or position=.")
    if "short_exits" in given and "short_entries" not in given:
        raise ConfigError("short_exits= leaves shorts only, and there are no short_entries=. Longs are left by exits=.")
    if "exits" in given and "entries" not in given:
        raise ConfigError("exits= leaves longs only, and there are no entries=. Shorts are left by short_exits=.")
    if risk is not None and SIZE in given:
        raise ConfigError(
            f"size={_short(given[SIZE])} and risk={risk!r} were both given. size= is a share of the equity; risk= is "
            "what a position loses at its stop, from which its size follows. Give one of them."
        )
    if risk is not None and not {"stop", "trail"} & set(given):
        raise ConfigError(f"risk={risk!r} is what a position loses at its stop. Give stop= or trail= too, or size=.")


def _short(value: object) -> str:
    """Write a value that may be an array."""
    return repr(value) if isinstance(value, int | float) else f"<{type(value).__name__}>"


# --- one value a bar ---


def _of_each(given: Any, frames: Sequence[MarketFrame], name: str, *, flags: bool) -> list[Array]:
    """Return what was given for each frame, one number a bar; one value stands for every bar of every frame."""
    single = _scalar(given)
    parts = _parts(given, frames, name) if single is None else [single] * len(frames)
    return [
        _column(part, frame, _called(name, frame, frames), flags) for part, frame in zip(parts, frames, strict=True)
    ]


def _column(given: Any, frame: MarketFrame, called: str, flags: bool) -> Array:
    """Return what was given for one frame, one number a bar."""
    single = _scalar(given)
    if single is None:
        return at_closes(given, frame.close_times, frame.timeframe.ms, called, flags=flags)
    value = float(single)
    if not np.isfinite(value):
        raise ConfigError(f"{called} is a finite number, was {single!r}.")
    if flags and value not in (0.0, 1.0):
        raise ConfigError(f"{called} is true or false at each close, was {single!r}.")
    return np.full(len(frame), value)


def _called(name: str, frame: MarketFrame, frames: Sequence[MarketFrame]) -> str:
    """What is given for one frame of several, as it is written in Python."""
    return name if len(frames) == 1 else f"{name}[{frame.instrument.symbol!r}]"


def _scalar(given: Any) -> Any:
    """Return a single value, or None where there are several."""
    if isinstance(given, str | bytes):
        raise ConfigError(
            f"{given!r} is text; a signal is one value a bar, such as a pandas Series of the frame's index."
        )
    if isinstance(given, int | float | np.bool_ | np.number):
        return given
    return given.item() if isinstance(given, np.ndarray) and given.ndim == 0 else None


def _parts(given: Any, frames: Sequence[MarketFrame], name: str) -> list[Any]:
    """Return what was given for each frame: by the names of columns, never by their place."""
    if not (isinstance(given, Mapping) or hasattr(given, "columns")):
        if np.ndim(given) > 1:
            raise DataError(
                f"{name} is an array of shape {np.shape(given)}. Columns go by name, never by place: give a DataFrame "
                f"with one column an instrument, {_columns(frames)}."
            )
        if len(frames) > 1:
            raise DataError(
                f"{name} is one {type(given).__name__} for {len(frames)} instruments. Give a DataFrame with one column "
                f"an instrument: {_columns(frames)}."
            )
        return [given]
    keys = list(given.keys())  # those of a DataFrame are its columns
    for key in (key for key in keys if keys.count(key) > 1):
        raise DataError(f"{name} has the column {key!r} twice.")
    found: dict[int, Any] = {}
    for key in keys:
        k = _place(key, frames, name)
        if k in found:
            raise DataError(f"{name} has two columns for {frames[k].instrument}, one of them {key!r}.")
        found[k] = given[key]
    missing = [frame.instrument.symbol for k, frame in enumerate(frames) if k not in found]
    if missing:
        raise DataError(
            f"{name} has no column for {', '.join(missing)}. A column of NaN decides nothing; its columns are "
            f"{', '.join(map(repr, keys))}."
        )
    every = np.unique(np.concatenate([frame.close_times for frame in frames]))
    return [_of_its_bars(found[k], frame, every, _called(name, frame, frames)) for k, frame in enumerate(frames)]


def _of_its_bars(given: Any, frame: MarketFrame, every: Times, called: str) -> Any:
    """Leave rows out that other instruments have bars for, and this one has not: it was listed later, or has ended."""
    index = getattr(given, "index", None)
    if index is None or callable(index):
        return given
    labels = moments_of(index, called)
    others = np.isin(labels, every) & ~np.isin(labels, frame.close_times)
    return given[~others] if others.any() else given


def _place(key: Any, frames: Sequence[MarketFrame], name: str) -> int:
    """Return which frame a column means: by its instrument, or by its symbol in any spelling."""
    names = [frame.instrument for frame in frames]
    for k, one in enumerate(names):
        if key == one or key == str(one):
            return k
    try:
        symbol = compact(str(key))
    except AmbiguousError:
        symbol = str(key)
    same = [k for k, one in enumerate(names) if one.symbol == symbol]
    if len(same) > 1:
        raise DataError(
            f"{name} has a column {key!r}, and several venues trade it. Name it as {str(names[same[0]])!r}."
        )
    if not same:
        known = [one.symbol for one in names]
        raise DataError(f"{name} has a column {key!r}, which is not traded here. {did_you_mean(symbol, known)}")
    return same[0]


def _columns(frames: Sequence[MarketFrame]) -> str:
    return ", ".join(frame.instrument.symbol for frame in frames)


# --- levels and sizes ---


def _level(given: Any, frames: Sequence[MarketFrame], name: str) -> list[Any]:
    """Return a level, several targets or a size for each frame: a number as it is, a Series as prices."""
    if name == "target" and isinstance(given, list | tuple) and not _is_column(given, frames):
        return _targets(given, frames)
    return _one_level(given, frames, name)


def _is_column(given: Sequence[Any], frames: Sequence[MarketFrame]) -> bool:
    """Whether a list holds one number a bar rather than targets."""
    return len(given) > MOST_TARGETS and len(given) == len(frames[0])


def _targets(given: Sequence[Any], frames: Sequence[MarketFrame]) -> list[Any]:
    """Return targets and the shares that leave at them, for each frame."""
    if not 0 < len(given) <= MOST_TARGETS:
        raise ConfigError(f"target takes one to {MOST_TARGETS} targets, was given {len(given)}.")
    shares = [one[1] for one in given if isinstance(one, tuple)]
    if shares and (len(shares) < len(given) or not all(isinstance(share, int | float) for share in shares)):
        raise ConfigError("target is a list of targets, or one of (target, share), such as [(0.02, 0.5), (0.04, 0.5)].")
    if shares and not (min(shares) > 0.0 and sum(shares) <= 1.0 + 1e-9):
        raise ConfigError(f"The shares that leave at targets are above 0 and 1 together at most, were {shares}.")
    levels = [_one_level(one[0] if isinstance(one, tuple) else one, frames, "target") for one in given]
    parts = [
        [(level[k], float(share)) for level, share in zip(levels, shares, strict=True)] if shares
        else [level[k] for level in levels]
        for k in range(len(frames))
    ]  # fmt: skip
    return parts


def _one_level(given: Any, frames: Sequence[MarketFrame], name: str) -> list[Any]:
    single = _scalar(given)
    parts = _parts(given, frames, name) if single is None else [single] * len(frames)
    levels: list[Any] = []
    for part, frame in zip(parts, frames, strict=True):
        single, called = _scalar(part), _called(name, frame, frames)
        if single is not None:
            levels.append(_number(single, name))
            continue
        levels.append(_column(part, frame, called, False))
        _check_column(levels[-1], frame, name, called)
    return levels


def _number(value: Any, name: str) -> float:
    """Return a number that is given for every bar: a share of the price, or of the equity."""
    most = {"stop": 1.0, "trail": 1.0, SIZE: LARGEST}.get(name, np.inf)
    if isinstance(value, bool | np.bool_) or not 0.0 < value < most:
        kind = "equity" if name == SIZE else "close"
        hint = "" if name == SIZE else f" A price of each bar goes in as a Series, such as {REMEDIES[name]}."
        raise ConfigError(f"{name} is a share of the {kind} above 0, as {WORDS_OF_SHARE[name]}; was {value!r}.{hint}")
    return float(value)


def _check_column(values: Array, frame: MarketFrame, name: str, called: str) -> None:
    """Refuse sizes that are none, and shares where prices are meant."""
    if name == SIZE:
        wrong = np.flatnonzero((values <= 0.0) | (values > LARGEST))
        if len(wrong):
            told = f"{values[wrong[0]]:g} at {_moment(frame, wrong[0])}{and_more(len(wrong) - 1, 'bar')}"
            raise DataError(f"{called} is a share of the equity above 0; was {told}. NaN decides nothing.")
        return
    here = slice(frame.start - frame.base.first, frame.start - frame.base.first + len(frame))
    share = values / frame.base.columns["close"][here]
    if np.isfinite(share).any() and np.nanmedian(np.abs(share)) < SHARES_OF_PRICE[name]:
        kind = "the distance in price" if name == "trail" else "prices"
        price = np.nanmedian(frame.base.columns["close"][here])
        raise DataError(
            f"{called} holds {np.nanmedian(values):g} in the median, at a median close of {price:g}: a Series holds "
            f"{kind}, a number is a share. If these are shares, give {REMEDIES[name]}."
        )


def _moment(frame: MarketFrame, at: Any) -> str:
    return iso(int(frame.close_times[int(at)]))
