"""The ledger of hold-outs: what was sealed, which winner was committed, and every look that was taken.

Each is a line of the chain that lake/seal.py reads:

    seal      a study sealed a stretch of some symbols, before its first trial
    winner    the study ended: the sha256 of its `winner.yaml`
    opening   somebody opens the hold-out, and why; written before anything of it is read
    result    what the winner did there, or why that is not known

1. A look counts when it begins: one that was stopped has been taken.
2. Looks at a stretch count for every study that sealed some of it: whoever looks at one has seen the other.
3. The first look is evidence; of each later one only what is left after deflating by their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virtuoso.account.instrument import Instrument
from virtuoso.account.symbols import symbol_of
from virtuoso.clock import Env, iso
from virtuoso.errors import ConfigError, NoDataError, SealedError, did_you_mean
from virtuoso.files.chain import Link
from virtuoso.files.json import plain
from virtuoso.lake.seal import Seal, chain_of, seals_of
from virtuoso.project import project


@dataclass(frozen=True, slots=True)
class Opening:
    """One look at a hold-out.

    Attributes
    ----------
    study : str
        Whose hold-out was opened.
    number : int
        Of this look at the stretch, from 1 on.
    because : str
    at : int, ms
    winner : str
        sha256 of the `winner.yaml` that was evaluated.
    sha256 : str
        Of its line of the ledger.
    result : mapping of str to anything, or None
        What came of it; None where it was stopped, or goes on.
    """

    study: str
    number: int
    because: str
    at: int
    winner: str
    sha256: str
    result: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "study": self.study, "number": self.number, "because": self.because, "at": self.at, "at_utc": iso(self.at),
            "winner": self.winner, "sha256": self.sha256, "result": self.result,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class HoldoutRecord:
    """What the ledger says of the hold-out of a study.

    Attributes
    ----------
    seal : Seal
    winner : str
        sha256 of the `winner.yaml` that was committed last; empty where none was.
    openings : tuple of Opening
        Looks at any of its stretch, the oldest first: its own, and those of studies that sealed some of it, too.
    seen_before : int
        Runs of the ledger of trials that had traded some of the stretch when it was sealed.
    """

    seal: Seal
    winner: str
    openings: tuple[Opening, ...]
    seen_before: int

    @property
    def looks(self) -> int:
        """How often the stretch was looked at, whichever study opened it."""
        return len(self.openings)

    @property
    def own(self) -> tuple[Opening, ...]:
        """Looks of this study."""
        return tuple(one for one in self.openings if one.study == self.seal.study)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        seal = self.seal
        return {
            "study": seal.study, "symbols": list(seal.symbols), "simulated": seal.is_simulated, "start": seal.start,
            "end": seal.end, "start_utc": iso(seal.start), "end_utc": iso(seal.end), "sealed_at": seal.at,
            "sha256": seal.sha256, "winner": self.winner or None, "seen_before": self.seen_before, "looks": self.looks,
            "openings": [one.to_dict() for one in self.openings],
        }  # fmt: skip


def holdout_record(study: str, root: Path | None = None) -> HoldoutRecord | None:
    """Return what the ledger says of the hold-out of a study; None where it sealed none.

    Parameters
    ----------
    study : str
        Its name.
    root : Path, optional
        Of the project; that of the working folder if absent.

    Raises
    ------
    BrokenChainError
        The ledger does not hold.
    """
    found = [one for one in holdout_records(root) if one.seal.study == study]
    return found[0] if found else None


def holdout_records(root: Path | None = None) -> list[HoldoutRecord]:
    """Return what the ledger says of every hold-out, the oldest first."""
    links = chain_of(_root(root)).links()
    seals = {link["study"]: (Seal.of(link), link["seen_before"]) for link in links if link["what"] == "seal"}
    openings = _openings(links)
    records = []
    for study, (seal, seen) in seals.items():
        committed = [link["winner"] for link in links if link["what"] == "winner" and link["study"] == study]
        looks = tuple(one for one in openings if one.study in seals and seals[one.study][0].meets(seal))
        records.append(HoldoutRecord(seal, committed[-1] if committed else "", looks, seen))
    return records


def _openings(links: Iterable[Link]) -> list[Opening]:
    known = list(links)
    results = {link["opening"]: link["result"] for link in known if link["what"] == "result"}
    return [
        Opening(
            link["study"], link["look"], link["because"], link["at"], link["winner"], link["sha256"],
            results.get(link["sha256"]),
        )
        for link in known
        if link["what"] == "opening"
    ]  # fmt: skip


def seal_stretch(
    study: str,
    instruments: Iterable[Instrument],
    start: int,
    end: int,
    *,
    digest: str = "",
    seen_before: int = 0,
    root: Path | None = None,
    env: Env | None = None,
) -> Seal:
    """Seal a stretch of time of some instruments for a study; the same seal again is the one that is there.

    Parameters
    ----------
    study : str
    instruments : iterable of Instrument
        Their symbols are sealed, whatever the venue.
    start, end : int, ms
        From inclusive, to exclusive.
    digest : str
        Of the study.
    seen_before : int
        Runs that had traded some of the stretch before.
    root : Path, optional
    env : Env, optional

    Raises
    ------
    SealedError
        The study has sealed another stretch, or other symbols.
    ConfigError
        The stretch is empty, or simulated markets and real ones are mixed.
    """
    many = list(instruments)
    if end <= start or not many:
        raise ConfigError(f"A hold-out has symbols and ends after it starts; was {iso(start)} to {iso(end)}.")
    simulated = {one.is_simulated for one in many}
    if len(simulated) > 1:
        raise ConfigError("A hold-out is of simulated markets or of real ones, not of both. Make two studies.")
    home, symbols = _root(root), tuple(sorted({symbol_of(one.symbol) for one in many}))
    for known in seals_of(home):
        if known.study != study:
            continue
        if (known.symbols, known.start, known.end, known.is_simulated) == (symbols, start, end, *simulated):
            return known
        raise SealedError(
            f"Study {study!r} has sealed {', '.join(known.symbols)} from {iso(known.start)} to {iso(known.end)}, and a "
            f"seal does not move; asked for were {', '.join(symbols)} from {iso(start)} to {iso(end)}. Write the old "
            "dates into the study, or give it another name."
        )
    link = chain_of(home).append(
        {
            "what": "seal", "study": study, "symbols": list(symbols), "simulated": simulated.pop(), "start": start,
            "end": end, "at": (env or Env()).now_ms(), "digest": digest, "seen_before": seen_before,
        }
    )  # fmt: skip
    return Seal.of(link)


def commit_winner(study: str, winner: str, *, root: Path | None = None, env: Env | None = None) -> bool:
    """Write down which winner a study ended with; say whether that is new. Of a study without a hold-out nothing is.

    Parameters
    ----------
    study : str
    winner : str
        sha256 of its `winner.yaml`.
    root : Path, optional
    env : Env, optional
    """
    known = holdout_record(study, root)
    if known is None or known.winner == winner:
        return False
    chain_of(_root(root)).append(
        {"what": "winner", "study": study, "winner": winner, "at": (env or Env()).now_ms(), "looks": known.looks}
    )
    return True


def begin_opening(
    study: str, because: str, winner: str, *, root: Path | None = None, env: Env | None = None
) -> Opening:
    """Write down that a hold-out is opened, before anything of it is read.

    Raises
    ------
    NoDataError
        The study has sealed nothing.
    ConfigError
        No reason is given.
    SealedError
        The winner is not the one that was committed.
    """
    known = record_or_refuse(study, root)
    if not because.strip():
        raise ConfigError('A hold-out is opened for a reason, which is kept for ever. Pass --because "...".')
    if known.winner and known.winner != winner:
        raise SealedError(
            f"The winner.yaml of study {study!r} has sha256 {winner[:12]}, and {known.winner[:12]} was committed when "
            "the study ended. Bring back the one that was committed; another winner is another study."
        )
    link = chain_of(_root(root)).append(
        {
            "what": "opening", "study": study, "look": known.looks + 1, "because": because.strip(), "winner": winner,
            "at": (env or Env()).now_ms(),
        }
    )  # fmt: skip
    return _openings([link])[0]


def end_opening(
    opening: Opening, result: Mapping[str, Any], *, root: Path | None = None, env: Env | None = None
) -> None:
    """Write down what came of a look."""
    chain_of(_root(root)).append(
        {
            "what": "result", "study": opening.study, "opening": opening.sha256, "at": (env or Env()).now_ms(),
            "result": plain(result),
        }
    )  # fmt: skip


def record_or_refuse(study: str, root: Path | None = None) -> HoldoutRecord:
    """Return what the ledger says of the hold-out of a study.

    Raises
    ------
    NoDataError
        It has sealed none.
    """
    known = {one.seal.study: one for one in holdout_records(root)}
    if study not in known:
        near = did_you_mean(study, known)
        raise NoDataError(f"Study {study!r} has sealed no hold-out. {near} Seal one: virtuoso holdout seal {study}")
    return known[study]


def _root(root: Path | None) -> Path:
    return project().root if root is None else root
