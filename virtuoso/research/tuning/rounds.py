"""Rounds: walk-forward done honestly, as windows of days.

1. Round k tunes on the days before its test window alone, takes its winner by what it did there, and is scored on its
   test window. Purge and embargo lie between. The last round, `final`, tunes on all of them and tests nothing.
2. Test windows are of equal length, lie one after another, and are the end of the history. Together they are what is
   reported: the days of the winners, none of which any of them had seen.
3. Each scenario has days of its own, so each has windows of its own; rounds are numbered alike in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from virtuoso.clock import UNIT_MS, Span
from virtuoso.errors import ConfigError
from virtuoso.research.tuning.study import Study

FINAL = "final"
DAY_MS = UNIT_MS["d"]


class Window(NamedTuple):
    """Positions of days: tuned on are [train_first, train_stop), tested on [test_first, test_stop)."""

    train_first: int
    train_stop: int
    test_first: int
    test_stop: int

    @property
    def stop(self) -> int:
        """Day after the last one that is looked at."""
        return max(self.train_stop, self.test_stop)


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes
    ----------
    number : int
        From 0 on; that of the last one is the number of splits.
    name : str
        `walk-1` ..., `final`.
    windows : mapping of str to Window
        By scenario.
    """

    number: int
    name: str
    windows: Mapping[str, Window]

    @property
    def is_final(self) -> bool:
        """Whether it tunes on everything and tests nothing."""
        return self.name == FINAL


def rounds_of(study: Study, days: Mapping[str, int]) -> tuple[Round, ...]:
    """Cut the days of each scenario into rounds.

    Parameters
    ----------
    study : Study
    days : mapping of str to int
        How many whole days of development each scenario has.

    Returns
    -------
    tuple of Round

    Raises
    ------
    ConfigError
        A scenario is too short for what the study asks for.
    """
    windows = {name: _windows(study, name, count) for name, count in days.items()}
    splits = study.walk_forward.splits
    return tuple(
        Round(k, f"walk-{k + 1}" if k < splits else FINAL, {name: own[k] for name, own in windows.items()})
        for k in range(splits + 1)
    )


def _windows(study: Study, scenario: str, days: int) -> list[Window]:
    """Windows of one scenario, round by round."""
    walk, splits = study.walk_forward, study.walk_forward.splits
    gap, least, test = _days(walk.purge) + _days(walk.embargo), _days(walk.least), _days(walk.least_test)
    whole = Window(0, days, days, days)
    length = days // (splits + 1) if walk.test is None else _days(walk.test)
    first = days - splits * length - gap if splits else days
    if first < least or (splits and length < test) or (walk.train is not None and _days(walk.train) > first):
        raise ConfigError(_too_short(study, scenario, days))
    if splits == 0:
        return [whole]
    past = first if walk.train is None else _days(walk.train)
    found = []
    for k in range(splits):
        begin = days - (splits - k) * length
        stop = begin - gap
        found.append(Window(stop - past if walk.scheme == "rolling" else 0, stop, begin, begin + length))
    return [*found, whole]


def _too_short(study: Study, scenario: str, days: int) -> str:
    """Say that a scenario is too short, what it would need, and what can be changed."""
    walk = study.walk_forward
    gap, least = _days(walk.purge) + _days(walk.embargo), _days(walk.least)
    test = max(_days(walk.least_test), _days(walk.test))
    wanted = max(least, 0 if walk.train is None else _days(walk.train))
    window = max(test, wanted + gap) if walk.test is None else test
    needed = wanted if walk.splits == 0 else max(wanted + gap, window) + walk.splits * window
    of = f"The scenario {scenario}" if study.scenarios else "The market of the study"
    said = (
        f"{of} has {days:,} whole days. {study.where('walk_forward')} asks for {walk.splits} test windows of equal "
        f"length, of at least {test} days, after at least {wanted} days to tune on and {gap} of purge and embargo: "
        f"about {needed:,} days."
    )
    if wanted + gap + test > days:
        return f"{said} Give it a longer history, or lower walk_forward.least."
    longest = days - wanted - gap  # of all test windows together
    fits = max(k for k in range(1, walk.splits + 1) if k * test <= longest or k == 1)
    fewer = "" if fits == walk.splits else f"walk_forward.splits: {fits} with "
    return f"{said} Give it a longer history, or other windows: {fewer}walk_forward.test: {longest // fits}d fits."


def _days(span: Span | None) -> int:
    """Whole days that a span touches."""
    return 0 if span is None else -(-span.ms // DAY_MS)
