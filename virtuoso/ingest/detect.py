"""What the rows of a file are: their instrument and, of bars, their timeframe, as far as it is safe to say.

The caller's word comes first, then a symbol column, the file's name, the spacing of the bars. Where these disagree or
say nothing, the error names the option that settles it. The venue is never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from virtuoso.account.instrument import Instrument, compact
from virtuoso.clock import UNIT_MS, Timeframe
from virtuoso.errors import AmbiguousError, did_you_mean
from virtuoso.types import Mask
from virtuoso.venues.files.bars import RawBars
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.files.timestamps import NO_TIME
from virtuoso.venues.raw_events import RawEvents

ENOUGH_SPACINGS = 20
COMMON_SPACING = 0.5
_QUOTES = "USDT|USDC|FDUSD|BUSD|TUSD|USD|EUR|GBP|JPY|TRY|BTC|ETH|BNB"
_SYMBOL_IN_NAME = re.compile(rf"(?<![A-Za-z0-9])([A-Z0-9]{{2,15}}(?:{_QUOTES}))(?![A-Za-z0-9])")
_TIMEFRAME_IN_NAME = re.compile(r"(?<![A-Za-z0-9])([1-9]\d*[smhd])(?![A-Za-z0-9])")


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of one instrument in a file.

    Attributes
    ----------
    raw : RawBars
        All bars of the file.
    instrument : Instrument
    rows : array of bool, shape (n_rows,)
        Those of the instrument.
    timeframe : Timeframe
    """

    raw: RawBars
    instrument: Instrument
    rows: Mask
    timeframe: Timeframe


def identify_bars(raw: RawBars, options: ImportOptions) -> list[Bars]:
    """Return which bars of a file are of which instrument, and their timeframe.

    Raises
    ------
    AmbiguousError
        Neither the caller, a column nor the file's name say it, or they disagree.
    """
    _reject_simulated(raw.path, raw.table.simulated, "bars", options.venue)
    groups = instruments(raw, options)
    clock = timeframe(raw, groups, options)
    return [Bars(raw, instrument, rows, clock) for instrument, rows in groups.items()]


def identify_events(raw: RawEvents, options: ImportOptions) -> Instrument:
    """Return the instrument of events: the symbol that they or the caller say, at the venue that the caller says.

    Raises
    ------
    AmbiguousError
        Nobody says the symbol, or the simulator made them.
    """
    symbol = raw.symbol or options.symbol
    if symbol is None:
        raise AmbiguousError(
            f"{raw.path.name} does not say of which symbol its {raw.kind} are. Pass --symbol, such as --symbol BTCUSDT."
        )
    _reject_simulated(raw.path, raw.simulated, "events", options.venue)
    return Instrument(options.venue, compact(symbol))


def _reject_simulated(path: Path, simulated: bool, what: str, venue: str) -> None:
    if simulated and not Instrument(venue, "BTCUSDT").is_simulated:
        raise AmbiguousError(
            f"{path} was made by the simulator and says so; its {what} are not of {venue!r}. Pass --venue simulated."
        )


def instruments(raw: RawBars, options: ImportOptions) -> dict[Instrument, Mask]:
    """Return which rows belong to which instrument.

    Parameters
    ----------
    raw : RawBars
    options : ImportOptions

    Returns
    -------
    dict of Instrument to array of bool, shape (n_rows,)

    Raises
    ------
    AmbiguousError
        Neither the caller, a column nor the file's name say it, or they disagree.
    """
    if raw.symbols is None:
        name = _symbol_in_name(raw.path, options.symbol)
        return {Instrument(options.venue, name): np.ones(len(raw), dtype=bool)}
    if (raw.symbol_of_row < 0).any():
        row = int(raw.table.rows[int(np.argmax(raw.symbol_of_row < 0))])
        raise AmbiguousError(f"{raw.path}: row {row} names no symbol. Remove such rows, or name them.")
    found: dict[str, str] = {}
    for written in raw.symbols:
        other = found.setdefault(compact(written), written)
        if other != written:
            raise AmbiguousError(
                f"{raw.path} holds {other!r} and {written!r}, which are both stored as {compact(written)}. "
                "Write one file a market."
            )
    if options.symbol is not None and options.symbol not in found:
        raise AmbiguousError(f"{raw.path} holds no {options.symbol}. {did_you_mean(options.symbol, found)}")
    return {
        Instrument(options.venue, name): raw.symbol_of_row == raw.symbols.index(written)
        for name, written in sorted(found.items())
        if options.symbol in (None, name)
    }


def _symbol_in_name(path: Path, wanted: str | None) -> str:
    """Symbol of a file without a symbol column."""
    named = set(_SYMBOL_IN_NAME.findall(path.name))
    if wanted is not None:
        if named and wanted not in named:
            raise AmbiguousError(
                f"{path.name} is named after {', '.join(sorted(named))}, not {wanted}. Rename the file, or pass the "
                "right --symbol."
            )
        return wanted
    if len(named) != 1:
        said = f"names {', '.join(sorted(named))}" if named else "names no symbol"
        raise AmbiguousError(f"{path.name} {said}, and no column does. Pass --symbol, such as --symbol BTCUSDT.")
    return str(named.pop())


def timeframe(raw: RawBars, groups: dict[Instrument, Mask], options: ImportOptions) -> Timeframe:
    """Return the timeframe that the caller, the name and the bars themselves agree on.

    Raises
    ------
    AmbiguousError
        They do not agree, or none of them tells.
    """
    named = {timeframe_of(_length(text)) for text in _TIMEFRAME_IN_NAME.findall(raw.path.name)} - {None}
    said = options.timeframe or (named.pop() if len(named) == 1 else None)
    spacing, sure = _spacing(raw, groups)
    seen = timeframe_of(raw.span_ms or 0) or timeframe_of(spacing)
    if said is None:
        if seen is None:
            why = f"are {spacing / 1000:g} s apart, which does not divide a day" if spacing else "do not tell it"
            raise AmbiguousError(
                f"The timeframe of {raw.path.name} is not known: its bars {why}. Pass --timeframe, such as 1m."
            )
        return seen
    if seen is not None and seen != said and (raw.span_ms or sure):
        who = "--timeframe" if options.timeframe else "its name"
        raise AmbiguousError(f"{raw.path.name} holds {seen} bars, but {who} says {said}. Pass --timeframe {seen}.")
    return said


def _spacing(raw: RawBars, groups: dict[Instrument, Mask]) -> tuple[int, bool]:
    """Most common distance of neighbouring bars, ms, and whether enough bars show it; 0 if there is none."""
    steps = [np.diff(np.unique(raw.times.ms[rows & (raw.times.ms != NO_TIME)])) for rows in groups.values()]
    distances, counts = np.unique(np.concatenate(steps), return_counts=True)
    if len(distances) == 0 or counts.max() < COMMON_SPACING * counts.sum():
        return 0, False
    return int(distances[counts.argmax()]), bool(counts.sum() >= ENOUGH_SPACINGS)


def _length(text: str) -> int:
    return int(text[:-1]) * UNIT_MS[text[-1]]


def timeframe_of(ms: int) -> Timeframe | None:
    """Timeframe of a length, if bars of it have numbers."""
    if ms <= 0 or UNIT_MS["d"] % ms:
        return None
    unit = next(unit for unit in ("d", "h", "m", "s") if ms % UNIT_MS[unit] == 0)
    return Timeframe(f"{ms // UNIT_MS[unit]}{unit}")
