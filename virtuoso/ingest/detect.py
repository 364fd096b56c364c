"""What the rows of a file are: their instrument and, of bars, their timeframe, as far as it is safe to say.

The caller's word comes first, then a symbol column, the file's name, the spacing of the bars. Where these disagree or
say nothing, the error names the option that settles it. The venue is never guessed.

No word makes a contract another one: a file whose name says an inverse or dated contract, or another market than the
venue's, is refused whatever `--symbol` or a column say. Nor does a word make weeks days: what is longer than a day is
folded from days, so that nothing is known six days early.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.account.symbols import read_symbol, refusal
from virtuoso.clock import UNIT_MS, Timeframe
from virtuoso.errors import AmbiguousError, did_you_mean
from virtuoso.types import Mask, Times
from virtuoso.venues.files.bars import RawBars
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.files.timestamps import NO_TIME
from virtuoso.venues.naming import is_other_exchange, lengths_in, read_name
from virtuoso.venues.raw_events import RawEvents

ENOUGH_SPACINGS = 20
FEW_ALIKE = 4
"""So many distances are enough where all are the same."""
COMMON_SPACING = 0.5
_MINUTE_MS = UNIT_MS["m"]
_WEEK_MS = 7 * UNIT_MS["d"]


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
        Nobody says the symbol, the file's name says another contract, or the simulator made them.
    """
    reject_other_contract(raw.path, options)
    symbol = raw.symbol or options.symbol
    if symbol is None:
        raise AmbiguousError(
            f"{raw.path.name} does not say of which symbol its {raw.kind} are. Pass --symbol, such as --symbol BTCUSDT."
        )
    _reject_simulated(raw.path, raw.simulated, "events", options.venue)
    return Instrument(options.venue, symbol)


def wanted_symbol(written: str, venue: str) -> str:
    """Return the compact symbol that the caller names, at a venue.

    Raises
    ------
    AmbiguousError
        It is no symbol, of a contract that is not linear, or of another market.
    """
    contract = read_symbol(written, venue)
    reason = refusal(written, contract, venue)
    if reason:
        raise AmbiguousError(f"--symbol {reason}")
    return contract.symbol


def reject_other_contract(path: Path, options: ImportOptions) -> None:
    """Reject a file whose name says another contract, market or exchange than the caller.

    Raises
    ------
    AmbiguousError
    """
    name = read_name(path, options.venue)
    named = zip(name.written, name.contracts, strict=True)
    reasons = [refusal(written, contract, options.venue) for written, contract in named]
    if reasons and all(reasons):
        raise AmbiguousError(f"{path.name}: {reasons[0]} If the name is wrong, rename the file.")
    if is_other_exchange(name.exchange, options.venue):
        raise AmbiguousError(
            f"{path.name} is of {name.exchange} by its name, not of {options.venue}. Pass the right --venue, or rename "
            "the file."
        )


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
    reject_other_contract(raw.path, options)
    if raw.symbols is None:
        name = _symbol_in_name(raw.path, options)
        return {Instrument(options.venue, name): np.ones(len(raw), dtype=bool)}
    found = {name: written for written, name in symbols_of(raw, options).items()}
    if options.symbol is not None and options.symbol not in found:
        raise AmbiguousError(f"{raw.path} holds no {options.symbol}. {did_you_mean(options.symbol, found)}")
    return {
        Instrument(options.venue, name): raw.symbol_of_row == raw.symbols.index(written)
        for name, written in sorted(found.items())
        if options.symbol in (None, name)
    }


def symbols_of(raw: RawBars, options: ImportOptions) -> dict[str, str]:
    """Return the symbols of bars that can be stored: as the file writes them, and compact.

    Raises
    ------
    AmbiguousError
        Not one of them is of the venue's market, or two would be stored as one.
    """
    contracts = {written: read_symbol(written, options.venue) for written in raw.symbols or ()}
    reasons = {written: refusal(written, contract, options.venue) for written, contract in contracts.items()}
    if reasons and all(reasons.values()):
        raise AmbiguousError(f"{raw.path.name}: {next(iter(reasons.values()))}")
    first: dict[str, str] = {}
    for written, contract in contracts.items():
        other = written if contract.refused else first.setdefault(contract.symbol, written)
        if other != written:
            raise AmbiguousError(
                f"{raw.path} holds {other!r} and {written!r}, which are both stored as {contract.symbol}. Write one "
                "file a market."
            )
    return {written: contract.symbol for written, contract in contracts.items() if not reasons[written]}


def _symbol_in_name(path: Path, options: ImportOptions) -> str:
    """Symbol of a file without a symbol column."""
    named, wanted = read_name(path, options.venue).symbols, options.symbol
    if wanted is not None:
        if named and wanted not in {*named, *(name.replace("XBT", "BTC", 1) for name in named)}:
            raise AmbiguousError(
                f"{path.name} is named after {', '.join(named)}, not {wanted}. Rename the file, or pass the right "
                "--symbol."
            )
        return wanted
    if len(named) != 1:
        said = f"names {', '.join(named)}" if named else "names no symbol"
        raise AmbiguousError(f"{path.name} {said}, and no column does. Pass --symbol, such as --symbol BTCUSDT.")
    return named[0]


def timeframe(raw: RawBars, groups: dict[Instrument, Mask], options: ImportOptions) -> Timeframe:
    """Return the timeframe that the caller, the name and the bars themselves agree on.

    Raises
    ------
    AmbiguousError
        They do not agree, none of them tells, or the bars are longer than a day.
    """
    lengths = lengths_in(raw.path)
    named = {timeframe_of(ms) for ms in lengths} - {None}
    said = options.timeframe or (named.pop() if len(named) == 1 else None)
    spacing, sure = _spacing(raw, groups)
    seen_ms = raw.span_ms or (spacing if sure or spacing <= UNIT_MS["d"] else 0)
    _reject_long(raw.path, seen_ms, lengths if said is None else set())
    seen = timeframe_of(seen_ms)
    if said is None:
        if seen is None:
            why = f"are {spacing / 1000:g} s apart, which does not divide a day" if spacing else "do not tell it"
            raise AmbiguousError(
                f"The timeframe of {raw.path.name} is not known: its bars {why}. Pass --timeframe, such as 1m."
            )
        return seen
    certain = raw.span_ms or sure or (spacing and spacing < said.ms)
    if certain and abs(seen_ms - said.ms) >= min(_MINUTE_MS, said.ms):  # closes may be written to the minute
        who = "--timeframe" if options.timeframe else "its name"
        holds = f"{seen} bars" if seen else f"bars of {seen_ms / 1000:g} s"
        remedy = f"Pass --timeframe {seen}." if seen else "Their length must divide a day."
        raise AmbiguousError(f"{raw.path.name} holds {holds}, but {who} says {said}. {remedy}")
    return said


def _reject_long(path: Path, seen_ms: int, lengths: set[int]) -> None:
    """Reject bars longer than a day, as the bars show it, or as the name says where they show nothing."""
    length = seen_ms or max(lengths, default=0)
    if length > UNIT_MS["d"] and (seen_ms or min(lengths) > UNIT_MS["d"]):
        days = length / UNIT_MS["d"]
        what = "weeks" if days == 7 else "months" if 28 <= days <= 31 else f"bars of {days:g} days"
        raise AmbiguousError(
            f"{path.name} holds {what}. Bars longer than a day are folded from days, so that none is seen before it "
            "has closed. Import bars of a day or less; --timeframe cannot make these shorter."
        )


def _spacing(raw: RawBars, groups: dict[Instrument, Mask]) -> tuple[int, bool]:
    """Most common distance of neighbouring bars, ms, and whether enough bars show it; 0 if there is none.

    Few are enough where all are whole weeks, or months: days with such gaps between them are nobody's history.
    """
    steps = [np.diff(np.unique(raw.times.ms[rows & (raw.times.ms != NO_TIME)])) for rows in groups.values()]
    distances, counts = np.unique(np.concatenate(steps), return_counts=True)
    if counts.sum() > 1 and (not (distances % _WEEK_MS).any() or _are_months(distances)):
        return int(distances[counts.argmax()]), True
    if len(distances) == 0 or counts.max() < COMMON_SPACING * counts.sum():
        return 0, False
    usual = int(distances[counts.argmax()])
    is_length = timeframe_of(usual) is not None or usual % UNIT_MS["d"] == 0  # 25 hours are the length of no bar
    alike = len(distances) == 1 and counts.sum() >= FEW_ALIKE and is_length
    return usual, bool(alike or counts.sum() >= ENOUGH_SPACINGS)


def _are_months(distances: Times) -> bool:
    return bool((distances >= 28 * UNIT_MS["d"]).all() and (distances <= 31 * UNIT_MS["d"]).all())


def timeframe_of(ms: int) -> Timeframe | None:
    """Timeframe of a length, if bars of it have numbers."""
    if ms <= 0 or UNIT_MS["d"] % ms:
        return None
    unit = next(unit for unit in ("d", "h", "m", "s") if ms % UNIT_MS[unit] == 0)
    return Timeframe(f"{ms // UNIT_MS[unit]}{unit}")
