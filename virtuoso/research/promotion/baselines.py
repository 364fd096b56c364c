"""What a study's winner has to be better than, measured on the same market and the same terms.

1. Of the winner's own backtest, as it wrote them into its run folder: the inverted signals, each face alone, random
   entries held as long, buying and holding.
2. On the days out of sample, as daily returns: buying and holding, and a plain past return held as long as the winner
   holds, long where the price rose over that time and short where it fell, paying the same for what it trades.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from virtuoso.errors import ConfigError
from virtuoso.research.validation.overfitting import NAN
from virtuoso.types import Array


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a comparison earned beside the winner.

    Attributes
    ----------
    name : str
    net : float
        Total return.
    sharpe : float, a year
        NaN where not known.
    words : str
        What it says.
    """

    name: str
    net: float
    sharpe: float = NAN
    words: str = ""

    def told(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)


def of_backtest(figures: Mapping[str, Any], cash: float) -> tuple[Baseline, ...]:
    """Read the comparisons of a backtest from its `metrics.json`.

    Parameters
    ----------
    figures : mapping
        Content of that file.
    cash : float, quote currency
        What the account began with.
    """
    return tuple(_of_backtest(figures, cash))


def _of_backtest(figures: Mapping[str, Any], cash: float) -> Iterator[Baseline]:
    for key, name in (("strategy", "the winner"), ("inverted", "inverted"), ("buy_and_hold", "buy and hold")):
        if figures.get(key):
            yield _measured(name, figures[key])
    for face, of_face in (figures.get("faces_alone") or {}).items():
        yield _measured(f"{face} alone", of_face)
    lots = figures.get("random_entries") or {}
    if lots.get("draws"):
        beaten = _float(lots.get("percentile"))
        words = f"mean of {lots['draws']:,} draws of the same trades at other times; the winner beats {beaten:.0%}"
        yield Baseline("random entries", _float(lots.get("mean")) / cash, NAN, words)


def _measured(name: str, figures: Mapping[str, Any]) -> Baseline:
    return Baseline(name, _float(figures.get("total_return")), _float(figures.get("sharpe")))


def _float(value: Any) -> float:
    return NAN if value is None else float(value)


def held(closes: Array) -> Array:
    """Daily returns of equal shares of everything, shape (n_days,): NaN on the first day.

    Parameters
    ----------
    closes : Array, quote currency, shape (n_days, n_instruments)
        Last known price of each day.
    """
    return _mean(_changes(closes))


def past_return(closes: Array, hold: float, cost: float) -> Array:
    """Daily net returns of going with the past return of each instrument, held as long.

    At the end of each day a share 1 / hold of the position is renewed in the direction of the return of the last `hold`
    days, so that it holds what it decided for as long; instruments share the capital equally. Uses prices up to the end
    of the day before only.

    Parameters
    ----------
    closes : Array, quote currency, shape (n_days, n_instruments)
        Last known price of each day.
    hold : float, days
        At least a day.
    cost : float
        Fees and slippage of what is traded, as a share of it.

    Returns
    -------
    Array, shape (n_days,)
        NaN before anything is known.

    Raises
    ------
    ConfigError
        A holding time that is not known.
    """
    if hold != hold:
        raise ConfigError("How long the winner holds is not known, so that nothing can be held as long.")
    days = max(round(hold), 1)
    direction = np.full(closes.shape, NAN)
    direction[days:] = np.sign(closes[days:] - closes[:-days])
    kept = np.full(closes.shape, NAN)
    for k in range(2 * days - 1, len(closes)):
        kept[k] = direction[k - days + 1 : k + 1].mean(axis=0)
    before = np.vstack((np.full((1, closes.shape[1]), NAN), kept[:-1]))
    traded = np.abs(np.diff(np.vstack((np.zeros((1, closes.shape[1])), np.nan_to_num(before))), axis=0))
    return _mean(before * _changes(closes) - cost * traded)


def _changes(closes: Array) -> Array:
    """Return of each day, shape of the closes; NaN on the first one."""
    changes = np.full(closes.shape, NAN)
    changes[1:] = closes[1:] / closes[:-1] - 1.0
    return changes


def _mean(returns: Array) -> Array:
    """Mean over the instruments that are known, NaN where none is."""
    known = np.isfinite(returns)
    count = known.sum(axis=1)
    total = np.where(known, returns, 0.0).sum(axis=1)
    mean: Array = np.where(count > 0, total / np.maximum(count, 1), NAN)
    return mean
