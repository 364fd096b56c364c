"""The seal on a hold-out: a stretch of history that research in a project does not read, and the one gate that says so.

1. A study seals a stretch of time of some symbols, whatever the venue, the timeframe and the kind: bars, trades, marks,
   funding. What is written stands in a chain (files/chain.py) below `experiments/holdouts` of the project; a chain that
   does not hold seals everything.
2. To a reader, sealed rows are not there (`bars_outside`, `events_outside`): whatever is made of bars and events cannot
   hold what they tell. Writers see them: imports, checks of files and removals go on as before.
3. A range that is asked for by name and reaches into a seal is refused (`window`). A question without an end, which
   asks for everything, gets the history before the seal, and that is said once.
4. `reading_for` lets live and paper trading read; they write no result (`refuse_result`). An opening reads one seal.

A simulated market is no other market's history: a seal on the one does not close the other. A copy of the project
without `experiments/` has no seal, and plain readers of Parquet files are not stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.instrument import Instrument
from virtuoso.account.symbols import symbol_of
from virtuoso.clock import UNIT_MS, iso
from virtuoso.errors import SealedError
from virtuoso.files.chain import Chain, Link
from virtuoso.project import roots_around
from virtuoso.types import Mask

FOLDER = Path("experiments") / "holdouts"
"""Where the ledger of hold-outs of a project lies, from its root."""
LEDGER = "ledger.jsonl"
LATE_MS = UNIT_MS["m"]
"""How late a trade may arrive and still belong to the bar before."""
Purpose = Literal["research", "live", "opening"]

log = logging.getLogger(__name__)
_told: set[tuple[str, str]] = set()
_kept: dict[Path, tuple[tuple[int, ...], tuple[Seal, ...]]] = {}


@dataclass(frozen=True, slots=True)
class Seal:
    """A stretch of time of some symbols that a study has sealed.

    Attributes
    ----------
    study : str
    symbols : tuple of str
        As they are compared across venues.
    start, end : int, ms
        From inclusive, to exclusive.
    is_simulated : bool
        Whether it is simulated history that is sealed, or that of real venues.
    at : int, ms
        When it was sealed.
    sha256 : str
        Of its line of the ledger.
    digest : str
        Of the study that sealed it.
    """

    study: str
    symbols: tuple[str, ...]
    start: int
    end: int
    is_simulated: bool
    at: int
    sha256: str
    digest: str = ""

    @classmethod
    def of(cls, link: Link) -> Seal:
        """Read a line of the ledger."""
        return cls(
            link["study"], tuple(link["symbols"]), link["start"], link["end"], link["simulated"], link["at"],
            link["sha256"], link["digest"],
        )  # fmt: skip

    def covers(self, instrument: Instrument) -> bool:
        """Whether it closes history of an instrument."""
        return self.is_simulated == instrument.is_simulated and symbol_of(instrument.symbol) in self.symbols

    def reaches(self, stored: int, asked: int | None) -> bool:
        """Whether history up to a moment holds something sealed, of what is stored up to another, ms."""
        return self.start < (stored if asked is None else min(stored, asked))

    def meets(self, other: Seal) -> bool:
        """Whether it closes some history that another one closes, too."""
        overlap = self.start < other.end and other.start < self.end
        return overlap and self.is_simulated == other.is_simulated and not set(self.symbols).isdisjoint(other.symbols)

    def __str__(self) -> str:
        return f"{iso(self.start)} to {iso(self.end)}, the hold-out of study {self.study!r}"


class _Reading(NamedTuple):
    """Who reads, and the seal that is open to it."""

    purpose: Purpose = "research"
    seal: Seal | None = None


RESEARCH = _Reading()
_reading: ContextVar[_Reading] = ContextVar("reading", default=RESEARCH)  # a tuple never changes


@contextmanager
def reading_for(purpose: Literal["live"]) -> Iterator[None]:
    """Let live and paper trading read what is sealed, for as long as the block runs; results of it are refused."""
    before = _reading.set(_Reading(purpose))
    try:
        yield
    finally:
        _reading.reset(before)


@contextmanager
def opened(seal: Seal) -> Iterator[None]:
    """Let one evaluation read what a seal closes; it was written down before (research/tracking/holdouts.py)."""
    before = _reading.set(_Reading("opening", seal))
    try:
        yield
    finally:
        _reading.reset(before)


def chain_of(root: Path) -> Chain:
    """Return the ledger of hold-outs of a project."""
    return Chain(root / FOLDER / LEDGER)


def seals_of(root: Path) -> tuple[Seal, ...]:
    """Return the seals of a project, the oldest first. The ledger is read where it has changed.

    Raises
    ------
    BrokenChainError
        The ledger does not hold.
    """
    chain = chain_of(root)
    stamp = chain.stamp
    if not stamp:
        return ()
    known = _kept.get(root)
    if known is None or known[0] != stamp:
        known = stamp, tuple(Seal.of(link) for link in chain.links() if link["what"] == "seal")
        _kept[root] = known
    return known[1]


def in_force(lake: Path, instrument: Instrument) -> tuple[Seal, ...]:
    """Return what closes history of an instrument to whoever reads now, in order of time.

    Parameters
    ----------
    lake : Path
        Where it is read: the project of the working folder counts, and the one in which the lake lies.
    instrument : Instrument

    Raises
    ------
    BrokenChainError
        A ledger does not hold.
    """
    now = _reading.get()
    every = {seal for root in roots_around(lake) for seal in seals_of(root)}
    if not every or now.purpose == "live":
        return ()
    found = [seal for seal in every if seal.covers(instrument)]
    if now.seal is not None:
        found = [seal for seal in found if not seal.meets(now.seal)]
    return tuple(sorted(found, key=lambda seal: (seal.start, seal.end, seal.sha256)))


def bars_outside(open_time: NDArray[np.int64], step: int, seals: Iterable[Seal]) -> Mask | None:
    """Which bars are not sealed; None where all of them are.

    Parameters
    ----------
    open_time : array of int, ms, shape (n_bars,)
    step : int, ms
        How long a bar is: one that reaches into a seal is sealed.
    seals : iterable of Seal
    """
    return _outside([(open_time > seal.start - step) & (open_time < seal.end) for seal in seals])


def events_outside(
    event_time: NDArray[np.int64], available_at: NDArray[np.int64], seals: Iterable[Seal]
) -> Mask | None:
    """Which events are not sealed; None where all of them are.

    What could be known by the first moment of a seal belongs to the bar that closes then, and so do trades before it
    that arrive within a minute (enrich.py). What became known inside, or happened inside and became known later, is
    sealed.

    Parameters
    ----------
    event_time, available_at : array of int, ms, shape (n_events,)
    seals : iterable of Seal
    """
    inside = []
    for seal in seals:
        known = (available_at > seal.start + LATE_MS) & (available_at <= seal.end)
        happened = (event_time >= seal.start) & (event_time < seal.end) & (available_at > seal.start)
        inside.append(known | happened)
    return _outside(inside)


def _outside(inside: Sequence[Mask]) -> Mask | None:
    sealed: Any = np.logical_or.reduce(inside) if inside else np.False_
    return ~sealed if np.any(sealed) else None


def window(
    seals: Sequence[Seal], instrument: Instrument, since: int | None, until: int | None, span: tuple[int, int]
) -> int | None:
    """Return where a range ends that may be read: where it was asked to, or before a seal if it was not asked to end.

    Parameters
    ----------
    seals : sequence of Seal
        That close history of the instrument, in order of time.
    instrument : Instrument
    since, until : int, ms, or None
        The range as it was asked for.
    span : tuple of int, ms
        The first moment that is stored, and the last one.

    Raises
    ------
    SealedError
        It was asked for by name and reaches into a seal, or there is nothing before one.
    """
    for seal in seals:
        if (since is not None and since >= seal.end) or (until is not None and until <= seal.start):
            continue
        if span[1] < seal.start:
            continue  # nothing is stored in it, nor after it
        begins = span[0] if since is None else since
        if until is not None or begins >= seal.start:
            raise SealedError(refusal(seal, instrument, span, seals))
        _tell(seal, instrument)
        return seal.start
    return until


def refusal(seal: Seal, instrument: Instrument, span: tuple[int, int], seals: Sequence[Seal]) -> str:
    """Return why a range is refused, and what to do."""
    remedies = []
    if span[0] < seal.start:
        remedies.append(f"end the range before it, as with --timerange {_day(span[0])}-{_day(seal.start)}")
    behind = max(one.end for one in seals)
    if span[1] > behind:
        remedies.append(f"begin after it, as with --timerange {_day(behind, up=True)}-")
    remedies.append(f'look once, and have it counted, with `virtuoso holdout open {seal.study} --because "..."`')
    said = "; or ".join(remedies)
    return f"{instrument} is sealed from {seal}: research does not read it. {said[0].upper()}{said[1:]}."


def _day(moment: int, *, up: bool = False) -> str:
    """Write the day of a moment as --timerange takes it, or the one after, if the moment is not its first."""
    later = moment + UNIT_MS["d"] - 1 if up else moment
    return iso(later)[:10].replace("-", "")


def _tell(seal: Seal, instrument: Instrument) -> None:
    """Say once that an answer ends before a seal."""
    if (str(instrument), seal.sha256) not in _told:
        _told.add((str(instrument), seal.sha256))
        log.warning("%s is given up to %s: sealed is %s", instrument, iso(seal.start), seal)


def refuse_reading(instrument: Instrument, first: int, stop: int) -> None:
    """Refuse to work with sealed bars that came past the gate: a frame loaded before the seal, or made of files.

    Parameters
    ----------
    instrument : Instrument
    first, stop : int, ms

    Raises
    ------
    SealedError
        The stretch reaches into a seal, and neither live trading nor an opening asks.
    """
    if _reading.get().purpose != "live":
        refuse_result([instrument], first, stop)


def refuse_result(instruments: Iterable[Instrument], first: int, stop: int) -> None:
    """Refuse to write down what was made of sealed history; live trading may read it, and is refused as well.

    Parameters
    ----------
    instruments : iterable of Instrument
    first, stop : int, ms
        The stretch that was traded.

    Raises
    ------
    SealedError
        The stretch reaches into a seal that is not open.
    """
    every = {seal for root in roots_around(Path.cwd()) for seal in seals_of(root)}
    allowed = _reading.get().seal
    for instrument in instruments if every else ():
        closing = [seal for seal in every if seal.covers(instrument) and seal.start < stop and first < seal.end]
        for seal in closing:
            if allowed is None or not seal.meets(allowed):
                raise SealedError(refusal(seal, instrument, (first, stop), closing))
