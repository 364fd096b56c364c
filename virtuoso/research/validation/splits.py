"""Splits for histories: scikit-learn cross-validators that know when a label begins and when it ends.

1. The label of row i is known from `begins[i]` to `ends[i]` (both inclusive, any increasing clock: bar numbers, ms).
2. Purging: a training row whose label overlaps the span of a test fold is dropped, on either side.
3. Embargo: rows that begin within `embargo` after a test fold are dropped as well, since features remember.

`PurgedKFold` holds out each stretch once, `CombinatorialPurged` every choice of k of them, `WalkForward` trains on the
past alone. Each has `split(X)` and `get_n_splits()`, as scikit-learn's search and scoring tools expect.

Source: Lopez de Prado (2018), Advances in Financial Machine Learning, ch. 7 and 12.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from virtuoso.errors import ConfigError

Indices = NDArray[np.int64]
Split = tuple[Indices, Indices]


@dataclass(frozen=True, slots=True)
class LabelSpans:
    """When the label of each row begins and ends, on one clock.

    Attributes
    ----------
    begins, ends : array of int64, shape (n_rows,)
        Inclusive; `begins` does not decrease.
    """

    begins: Indices
    ends: Indices

    def __post_init__(self) -> None:
        if len(self.begins) != len(self.ends) or (self.ends < self.begins).any() or (np.diff(self.begins) < 0).any():
            raise ConfigError("Labels begin in order and never end before they begin; one begin and one end a row.")

    @classmethod
    def of(cls, rows: int, length: int = 0) -> LabelSpans:
        """Give labels that each reach `length` rows ahead."""
        begins = np.arange(rows, dtype=np.int64)
        return cls(begins, begins + length)


class Splitter(Protocol):
    """What scikit-learn asks of a cross-validator."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Give positions of training and test rows, split by split."""
        ...

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Give the number of splits."""
        ...


@dataclass(frozen=True)
class PurgedKFold:
    """Each of k stretches is the test set once; training rows that know of it are dropped.

    Attributes
    ----------
    n_splits : int
    labels : LabelSpans, optional
        LabelSpans of the rows; each begins and ends with its row if absent.
    purge : int
        Further rows dropped on either side of a test fold.
    embargo : int
        Further rows dropped after it.

    Examples
    --------
    >>> for train, test in PurgedKFold(5, embargo=12).split(X): ...  # doctest: +SKIP
    """

    n_splits: int = 5
    labels: LabelSpans | None = None
    purge: int = 0
    embargo: int = 0

    def __post_init__(self) -> None:
        _check_folds(self.n_splits, 1, self.purge, self.embargo)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Give the number of splits."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Give training and test rows of each stretch, oldest first."""
        labels = _labels(self.labels, len(X))
        for fold in _folds(len(X), self.n_splits):
            yield _outside([fold], labels, self.purge, self.embargo), fold


@dataclass(frozen=True)
class CombinatorialPurged:
    """Every choice of `n_test` of `n_folds` stretches is the test set once; together they make many whole histories.

    Attributes
    ----------
    n_folds, n_test : int
    labels, purge, embargo
        As for `PurgedKFold`.
    """

    n_folds: int = 6
    n_test: int = 2
    labels: LabelSpans | None = None
    purge: int = 0
    embargo: int = 0

    def __post_init__(self) -> None:
        _check_folds(self.n_folds, self.n_test, self.purge, self.embargo)

    @property
    def n_paths(self) -> int:
        """Whole histories that the test sets can be put together to."""
        return comb(self.n_folds, self.n_test) * self.n_test // self.n_folds

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Give the number of splits."""
        return comb(self.n_folds, self.n_test)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Give training and test rows of each choice, in lexicographic order."""
        labels, folds = _labels(self.labels, len(X)), _folds(len(X), self.n_folds)
        for chosen in combinations(folds, self.n_test):
            yield _outside(chosen, labels, self.purge, self.embargo), np.concatenate(chosen)

    def paths(self) -> NDArray[np.int64]:
        """Which split gives each fold of each path, shape (n_paths, n_folds)."""
        found = np.full((self.n_paths, self.n_folds), -1, dtype=np.int64)
        used = [0] * self.n_folds
        for number, chosen in enumerate(combinations(range(self.n_folds), self.n_test)):
            for fold in chosen:
                found[used[fold], fold] = number
                used[fold] += 1
        return found


@dataclass(frozen=True)
class WalkForward:
    """Train on the past, test on the stretch that follows, then move on.

    Attributes
    ----------
    n_splits : int
        Test stretches, of equal length, at the end of the history.
    train : int or None
        Rows to train on; all of the past if None.
    labels, purge : as for `PurgedKFold`
        No embargo: nothing after a test stretch is trained on.
    """

    n_splits: int = 5
    train: int | None = None
    labels: LabelSpans | None = None
    purge: int = 0

    def __post_init__(self) -> None:
        _check_folds(self.n_splits + 1, 1, self.purge, 0)
        if self.train is not None and self.train < 1:
            raise ConfigError(f"Walk-forward trains on at least one row, was train={self.train}.")

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Give the number of splits."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[Split]:
        """Give training and test rows of each step, oldest first."""
        labels = _labels(self.labels, len(X))
        for fold in _folds(len(X), self.n_splits + 1)[1:]:
            past = _outside([fold], labels, self.purge, 0)
            past = past[past < fold[0]]
            yield past if self.train is None else past[-self.train :], fold


def _check_folds(folds: int, test: int, purge: int, embargo: int) -> None:
    if not 1 <= test < folds:
        raise ConfigError(f"A split needs more folds than it tests at once, was {folds} folds, {test} tested.")
    if purge < 0 or embargo < 0:
        raise ConfigError(f"Purge and embargo are counts of rows from 0 up, were {purge} and {embargo}.")


def _labels(labels: LabelSpans | None, rows: int) -> LabelSpans:
    if labels is None:
        return LabelSpans.of(rows)
    if len(labels.begins) != rows:
        raise ConfigError(f"There are {len(labels.begins)} labels for {rows} rows. Give one begin and one end a row.")
    return labels


def _folds(rows: int, folds: int) -> list[Indices]:
    """Stretches of rows whose lengths differ by at most one, the longer ones first."""
    if rows < folds:
        raise ConfigError(f"{rows} rows cannot be cut into {folds} folds.")
    return np.array_split(np.arange(rows, dtype=np.int64), folds)


def _outside(folds: Sequence[Indices], labels: LabelSpans, purge: int, embargo: int) -> Indices:
    """Rows that know nothing of the test folds."""
    rows = len(labels.begins)
    keep = np.ones(rows, dtype=bool)
    for fold in folds:
        first, last = labels.begins[fold[0]], labels.ends[fold].max()
        keep &= (labels.ends < first) | (labels.begins > last)
        keep[max(fold[0] - purge, 0) : fold[-1] + 1 + purge + embargo] = False
        beyond = int(np.searchsorted(labels.begins, last, side="right"))  # the embargo begins where the labels end
        keep[beyond : beyond + embargo] = False
    return np.flatnonzero(keep)
