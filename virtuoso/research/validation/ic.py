"""Which component knows something? Rank correlation of each score with what prices did next, with honest intervals.

1. The information coefficient is Spearman's rank correlation of a score and the forward return of `quantiles.py`: from
   the next open to the close one horizon later. A positive one says that higher scores were followed by higher returns.
2. Its interval comes from a bootstrap of whole blocks of time, at least three horizons long, since returns of
   neighbouring bars share most of their path and scores repeat themselves.
3. Many coefficients are looked at, so some intervals exclude 0 by chance: `by_chance` says how many of them.

Source: Grinold and Kahn (2000), Active Portfolio Management, ch. 6, for the coefficient; Kuensch (1989), Annals of
Statistics 17(3), for the bootstrap of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Env
from virtuoso.pictures import Plottable
from virtuoso.prism.result.scores import Scores
from virtuoso.reports.format import DASH
from virtuoso.research.validation.quantiles import (
    HORIZONS,
    LEAST_BLOCKS,
    RESAMPLES,
    forward_returns,
    horizon_block,
    in_bars,
)
from virtuoso.types import Array

if TYPE_CHECKING:
    import pandas as pd

TAILS = (0.025, 0.975)

COEFFICIENT = np.dtype(
    [
        ("name", "U64"),  # dotted name of a component, name of a face, or `confluence`
        ("horizon", "U8"),
        ("bars", np.int64),  # at which score and return are known
        ("windows", np.int64),  # disjoint horizons among them
        ("known", np.float64),  # share of the scored bars at which the score is known
        ("ic", np.float64),  # -1..1; NaN where it is not testable
        ("low", np.float64),  # 95 % interval, NaN where there are too few blocks
        ("high", np.float64),
    ]
)
"""One row a score and horizon."""


@dataclass(frozen=True, slots=True)
class Information(Plottable):
    """Information coefficients of everything the prism scores.

    Attributes
    ----------
    market : str
        Instrument, timeframe and stretch.
    rows : array of COEFFICIENT
    """

    market: str
    rows: np.ndarray

    def __repr__(self) -> str:
        clear = self.clear
        lines = [self.market, f"  {'score':<34} {'horizon':>7} {'known':>6} {'windows':>8} {'IC':>7}   95 % interval"]
        for row, stands_out in zip(self.rows, clear, strict=True):
            shown = f"{row['ic']:+.3f}" if row["ic"] == row["ic"] else DASH
            interval = f"{row['low']:+.3f} to {row['high']:+.3f}" if row["low"] == row["low"] else "not testable"
            mark = " *" if stands_out else ""
            lines.append(
                f"  {row['name']:<34} {row['horizon']:>7} {row['known']:>6.0%} {row['windows']:>8,} {shown:>7}   "
                f"{interval}{mark}"
            )
        lines.append(
            f"  * the interval excludes 0: {int(clear.sum())} of {self.tested} that could be tested; "
            f"chance alone would give about {self.by_chance:.0f}."
        )
        return "\n".join(lines)

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Where the interval excludes 0."""
        clear: NDArray[np.bool_] = (self.rows["low"] > 0.0) | (self.rows["high"] < 0.0)
        return clear

    @property
    def tested(self) -> int:
        """How many coefficients have an interval."""
        return int(np.isfinite(self.rows["low"]).sum())

    @property
    def by_chance(self) -> float:
        """How many intervals would exclude 0 if nothing knew anything."""
        return (TAILS[0] + 1.0 - TAILS[1]) * self.tested

    def to_pandas(self) -> pd.DataFrame:
        """One row a score and horizon."""
        import pandas as pd

        return pd.DataFrame.from_records(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        names = self.rows.dtype.names or ()
        return {
            "market": self.market,
            "tested": self.tested,
            "clear": int(self.clear.sum()),
            "by_chance": self.by_chance,
            "rows": [{name: row[name].item() for name in names} for row in self.rows],
        }


def information(scores: Scores, horizons: Sequence[str] = HORIZONS, *, env: Env | None = None) -> Information:
    """Measure what each score knew about the returns that followed.

    Parameters
    ----------
    scores : Scores
    horizons : sequence of str
        Spans such as '1h'; those shorter than a bar are left out.
    env : Env, optional
        Where the bootstrap draws from; seeded with 0 if absent.

    Returns
    -------
    Information
        Confluence, faces and components that are known at any bar, for each horizon. As measured, whatever it says:
        coefficients of the bars that a weight was chosen on prove nothing.
    """
    rng = (env or Env(seed=0)).random()
    bars, named = scores.frame.base, _scores_by_name(scores)
    rows: list[tuple[Any, ...]] = []
    for horizon, length in in_bars(horizons, bars.timeframe).items():
        gained = forward_returns(bars, scores.start, len(scores), length)
        for name, values in named.items():
            rows.append((name, horizon, *_coefficient(values, gained, scores.start, length, rng)))
    return Information(f"{scores!r}"[1:-1], np.array(rows, dtype=COEFFICIENT))


def _scores_by_name(scores: Scores) -> dict[str, Array]:
    """Every score of which anything is known, the widest first."""
    named = {"confluence": scores.confluence}
    named |= {face.name: face.score for face in scores.faces.values()}
    for face in scores.faces.values():
        named |= {f"{face.name}.{name}": part.score for name, part in face.components.items()}
    return {name: values for name, values in named.items() if np.isfinite(values).any()}


def _coefficient(
    values: Array, gained: Array, start: int, horizon: int, rng: np.random.Generator
) -> tuple[int, int, float, float, float, float]:
    """Bars, windows, known share, coefficient and interval of one score."""
    both = np.flatnonzero(np.isfinite(values) & np.isfinite(gained))
    known = float(np.isfinite(values).mean())
    windows = len(np.unique((start + both) // horizon))
    if windows < 2:
        return len(both), windows, known, *(float("nan"),) * 3
    x, y = _ranks(values[both]), _ranks(gained[both])
    block = np.unique((start + both) // horizon_block(horizon, len(both)), return_inverse=True)[1]
    parts = (np.ones(len(x)), x, y, x * y, x * x, y * y)
    moments: Array = np.column_stack([np.bincount(block, weights=part) for part in parts]).astype(np.float64)
    found = float(_correlation(moments.sum(axis=0)))
    low, high = _interval(moments, rng) if found == found else (float("nan"), float("nan"))
    return len(both), windows, known, found, low, high


def _ranks(values: Array) -> Array:
    """Ranks, ties at their mean, centred and scaled to -0.5..0.5 so that sums stay small."""
    from scipy.stats import rankdata

    ranks: Array = rankdata(values)
    return (ranks - 0.5) / len(values) - 0.5


def _correlation(moments: Array) -> Array:
    """Correlation from n and the sums of x, y, xy, xx and yy in the last axis; NaN where one does not vary."""
    n, x, y, xy, xx, yy = np.moveaxis(moments, -1, 0)
    spread = (n * xx - x * x) * (n * yy - y * y)
    return np.where(
        spread > 1e-12 * (n * n) ** 2, (n * xy - x * y) / np.sqrt(np.where(spread > 0, spread, 1.0)), np.nan
    )


def _interval(moments: Array, rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of the correlation: blocks drawn with replacement; NaN below LEAST_BLOCKS blocks."""
    blocks = len(moments)
    if blocks < LEAST_BLOCKS:
        return float("nan"), float("nan")
    drawn = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=RESAMPLES)
    low, high = np.nanquantile(_correlation(drawn @ moments), TAILS)
    return float(low), float(high)
