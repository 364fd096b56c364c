"""Which component knows something, and is it worth a trade? Two coefficients, the money by bucket, and the cost.

1. The rank coefficient is Spearman's of a score and the forward return of signals/moves.py: from the next open to the
   close one horizon later. It counts how often the order was right: hits.
2. The linear coefficient is Pearson's of the score and that return in deviations known at the bar, clipped at three:
   money. The two need not agree. What follows a trend loses often and little and wins rarely and much, so its rank
   coefficient may lie below 0 while its mean rises with the score; turning such a score around pays the tails.
3. Mean returns stand by bucket of each score, and beside them what a round trip costs and what funding takes.
4. The break-even coefficient of a horizon is the linear one at which trading beyond one deviation of the score, held
   for the horizon, earns its round trip: cost / (E[z | z > 1] x deviation of the move). To see a coefficient of that
   size at t = 2 takes (2 / coefficient)^2 windows that do not overlap.
5. Intervals come from a bootstrap of whole blocks of time, at least three horizons long, since returns of neighbouring
   bars share most of their path and scores repeat themselves. Many are looked at, so some exclude 0 by chance.

Source: Grinold and Kahn (2000), Active Portfolio Management, ch. 6, for the coefficient; Kuensch (1989), Annals of
Statistics 17(3), for the bootstrap of blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.costs import Costs
from virtuoso.clock import Env, Span
from virtuoso.errors import ConfigError
from virtuoso.pictures import Plottable
from virtuoso.prism.result.scores import Scores
from virtuoso.reports.format import DASH, number, percent, whole
from virtuoso.research.validation.quantiles import (
    BUCKET,
    HORIZONS,
    blocks_drawn,
    bucket_table,
    horizon_block,
    in_bars,
)
from virtuoso.signals.history import EDGES
from virtuoso.signals.moves import BP, deviations, forward_returns, period_of_hold, scaled
from virtuoso.types import Array

if TYPE_CHECKING:
    import pandas as pd

TAILS = (0.025, 0.975)
BEYOND_ONE = 1.525135
"""Mean of a standard normal value beyond 1: phi(1) / (1 - Phi(1))."""
SEEN_AT = 2.0
"""Multiple of its standard error at which a coefficient is said to be seen."""
OUTER = (0.0, 32.0, 68.0, 100.0)
"""Buckets of faces and components: beyond the default thresholds of the rule, and between them."""
LARGEST_SHARE = 0.1
WIDTH = 100
MOST_ROWS = 12
WHOLE_FROM = 10.0
"""Bp of a mean, or of the reach of its interval, from which tenths say nothing."""
CONFLUENCE = "confluence"
SPANS = (*HORIZONS, "3d")
"""Horizons that are measured if none are named."""

COEFFICIENT = np.dtype(
    [
        ("name", "U64"),  # dotted name of a component, name of a face, or `confluence`
        ("horizon", "U8"),
        ("bars", np.int64),  # at which score and return are known
        ("windows", np.int64),  # disjoint horizons among them
        ("known", np.float64),  # share of the scored bars at which the score is known
        ("ic", np.float64),  # rank coefficient, -1..1; NaN where it is not testable
        ("low", np.float64),  # 95 % interval, NaN where there are too few blocks
        ("high", np.float64),
        ("linear", np.float64),  # linear coefficient with the clipped, scaled return, -1..1
        ("linear_low", np.float64),
        ("linear_high", np.float64),
    ]
)
"""One row a score and horizon."""

BREAK_EVEN = np.dtype(
    [
        ("horizon", "U8"),
        ("sd_bp", np.float64),  # standard deviation of the forward return
        ("round_trip_bp", np.float64),  # two fills as a taker
        ("funding_bp", np.float64),  # what a long pays over the horizon; NaN where it is not known
        ("needed_ic", np.float64),  # linear coefficient at which the round trip is earned
        ("needed_windows", np.int64),  # to see a coefficient of that size
        ("windows", np.int64),  # disjoint horizons at which confluence and return are known
        ("enough", np.bool_),
    ]
)
"""One row a horizon: what trading costs there, and whether there is history enough to see it earned."""


@dataclass(frozen=True, slots=True)
class Information(Plottable):
    """What everything that the prism scores knew about the returns that followed, and what a trade would have cost.

    Attributes
    ----------
    market : str
        Instrument, timeframe and stretch.
    rows : array of COEFFICIENT
    buckets : dict of str to array of BUCKET
        By name of the score: mean forward returns by bucket of it; of the confluence at EDGES, else at OUTER.
    break_even : array of BREAK_EVEN
    costs : Costs
    """

    market: str
    rows: np.ndarray
    buckets: dict[str, np.ndarray]
    break_even: np.ndarray
    costs: Costs

    def __repr__(self) -> str:
        lines = [self.market, ""]
        for title, headers, cells in self.tables():
            lines += [title, *_lined(headers, cells), ""]
        return "\n".join([*lines, *(fill(sentence, WIDTH, subsequent_indent="  ") for sentence in self.words())])

    def _repr_html_(self) -> str:
        parts = [f"<p>{escape(self.market)}</p>"]
        for title, headers, cells in self.tables():
            head = "".join(f"<th>{escape(one)}</th>" for one in headers)
            body = "".join(
                "<tr>" + "".join(f"<td style='text-align:{'right' if k else 'left'}'>{escape(one)}</td>"
                                 for k, one in enumerate(row)) + "</tr>"
                for row in cells
            )  # fmt: skip
            parts.append(
                f"<p><b>{escape(title)}</b></p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            )
        return "".join([*parts, *(f"<p>{escape(sentence)}</p>" for sentence in self.words())])

    # --- what stands out ---

    @property
    def horizons(self) -> tuple[str, ...]:
        """The horizons that were measured, the shortest first as given."""
        return tuple(self.break_even["horizon"].tolist())

    @property
    def clear(self) -> NDArray[np.bool_]:
        """Where the interval of the rank coefficient excludes 0."""
        clear: NDArray[np.bool_] = (self.rows["low"] > 0.0) | (self.rows["high"] < 0.0)
        return clear

    @property
    def linear_clear(self) -> NDArray[np.bool_]:
        """Where the interval of the linear coefficient excludes 0."""
        clear: NDArray[np.bool_] = (self.rows["linear_low"] > 0.0) | (self.rows["linear_high"] < 0.0)
        return clear

    @property
    def tested(self) -> int:
        """How many rank coefficients have an interval."""
        return int(np.isfinite(self.rows["low"]).sum())

    @property
    def by_chance(self) -> float:
        """How many of these intervals would exclude 0 if nothing knew anything."""
        return (TAILS[0] + 1.0 - TAILS[1]) * self.tested

    def row(self, name: str, horizon: str) -> np.void:
        """Return the row of one score and horizon."""
        found: np.void = self.rows[(self.rows["name"] == name) & (self.rows["horizon"] == horizon)][0]
        return found

    # --- as tables and words ---

    def tables(self, *, everything: bool = False) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Return what is printed: a title, headers, and rows of cells, of each of three tables.

        Parameters
        ----------
        everything : bool
            Every component too, and beside its coefficients the mean after its outer buckets; else confluence and
            faces, where there are more than MOST_ROWS.
        """
        named = dict.fromkeys(self.rows["name"].tolist())
        names = [name for name in named if everything or len(named) <= MOST_ROWS or "." not in name]
        coefficients = [(name, *(self._pair(name, horizon) for horizon in self.horizons)) for name in names]
        title = "Rank IC / linear IC, x 1000: hits, and money (* the interval excludes 0)"
        found = [(title, ("score", *self.horizons), coefficients)]
        if everything:
            found.append(self._outer(names))
        return [*found, self._by_bucket(), self._costs()]

    def words(self) -> list[str]:
        """Return what the tables say, in sentences."""
        clear, linear = int(self.clear.sum()), int(self.linear_clear.sum())
        said = [
            f"{clear} of {self.tested} rank intervals exclude 0, and {linear} linear ones; "
            f"chance alone would give about {self.by_chance:.0f} of each."
        ]
        against = (self.rows["high"] < 0.0) & ~(self.rows["linear_high"] < 0.0)
        if against.any():
            said.append(
                f"Clearly wrong way round in hits and not in money: {int(against.sum())}. Turned around they would "
                "gain often and little, and lose rarely and much."
            )
        return said

    def _pair(self, name: str, horizon: str) -> str:
        """Both coefficients of a score, in thousandths."""
        row = self.row(name, horizon)
        marks = ["*" if row[low] > 0.0 or row[high] < 0.0 else ""
                 for low, high in (("low", "high"), ("linear_low", "linear_high"))]  # fmt: skip
        return " / ".join(
            number(1e3 * row[k], 0, signed=True) + m for k, m in zip(("ic", "linear"), marks, strict=True)
        )

    def _by_bucket(self) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
        """Mean return after each bucket of the confluence."""
        table = self.buckets.get(CONFLUENCE, np.empty(0, dtype=BUCKET))
        held = table[table["bars"] > 0]
        found = sorted(zip(held["low"].tolist(), held["high"].tolist(), strict=True), key=_narrow_first)
        rows = [
            (f"{low:g} to {high:g}", *(_mean(_of(table, horizon, low, high)) for horizon in self.horizons))
            for low, high in dict.fromkeys(found)
        ]
        title = "Mean return in bp after a confluence of (95 %, where there are blocks enough)"
        return title, ("confluence", *self.horizons), rows

    def _outer(self, names: Sequence[str]) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
        """Mean return after the lowest and the highest bucket of each score but the confluence."""
        rows = []
        for name in names:
            for low, high in () if name == CONFLUENCE else ((OUTER[0], OUTER[1]), (OUTER[2], OUTER[3])):
                cells = [_mean(_of(self.buckets[name], horizon, low, high)) for horizon in self.horizons]
                rows.append((f"{name} {low:g} to {high:g}", *cells))
        return "Mean return in bp after low and high scores (95 %)", ("score", *self.horizons), rows

    def _costs(self) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
        """What trading costs at each horizon, beside how far prices move there."""
        rows = [
            ("move, standard deviation, bp", *(number(one["sd_bp"], 0) for one in self.break_even)),
            ("round trip as a taker, bp", *(number(one["round_trip_bp"], 1) for one in self.break_even)),
            ("funding of a long, bp", *(number(one["funding_bp"], 1) for one in self.break_even)),
            ("break-even linear IC, x 1000", *(number(1e3 * one["needed_ic"], 0) for one in self.break_even)),
            ("windows to see it: needed, had", *(_windows(one) for one in self.break_even)),
        ]
        known = self.costs.funding == self.costs.funding
        day = f"{number(BP * self.costs.funding_a_day, 1)} bp a day" if known else "not known"
        each = f"a fill: taker {percent(self.costs.taker, 3)}, slippage {percent(self.costs.slippage, 3)}"
        title = f"Cost beside the move ({each}; funding {day})"
        return title, ("", *self.horizons), rows

    def to_pandas(self) -> pd.DataFrame:
        """One row a score and horizon."""
        import pandas as pd

        return pd.DataFrame.from_records(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "market": self.market,
            "tested": self.tested,
            "clear": int(self.clear.sum()),
            "linear_clear": int(self.linear_clear.sum()),
            "by_chance": self.by_chance,
            "costs": {**self.costs._asdict(), "round_trip": self.costs.round_trip},
            "break_even": _plain(self.break_even),
            "rows": _plain(self.rows),
            "buckets": {name: _plain(table) for name, table in self.buckets.items()},
            "words": self.words(),
        }


def information(
    scores: Scores,
    horizons: Sequence[str] = SPANS,
    *,
    fees: float | None = None,
    taker: float | None = None,
    slippage: float | None = None,
    assume_funding: float | None = None,
    env: Env | None = None,
) -> Information:
    """Measure what each score knew about the returns that followed, beside what a trade costs.

    Parameters
    ----------
    scores : Scores
    horizons : sequence of str
        Spans such as '1h'; those shorter than a bar are left out.
    fees, taker : float, optional
        Fee of a fill as a taker, of the notional, under either name; 0.0005 if absent.
    slippage : float, optional
        What a fill is worse than the price seen, of the price; 0.0002 if absent.
    assume_funding : float, optional
        Rate per eight hours. If absent, the mean of the recorded rates; not known where none is.
    env : Env, optional
        Where the bootstrap draws from; seeded with 0 if absent.

    Returns
    -------
    Information
        Confluence, faces and components that are known at any bar, for each horizon. As measured, whatever it says:
        coefficients of the bars that a weight was chosen on prove nothing.

    Raises
    ------
    ConfigError
        No horizon is as long as a bar, or a fee or rate is none.

    Examples
    --------
    >>> vt.information(scores, ["4h", "1d"], taker=0.0004)  # doctest: +SKIP
    """
    rng = (env or Env(seed=0)).random()
    bars, named = scores.frame.base, _scores_by_name(scores)
    wanted = in_bars(horizons, bars.timeframe)
    if not wanted:
        raise ConfigError(
            f"No horizon is as long as a bar of {bars.timeframe}: {', '.join(horizons) or 'none was named'}. "
            f"Name a longer one, such as {bars.timeframe}."
        )
    costs = Costs(
        _share("taker", taker if taker is not None else fees, Costs().taker),
        _share("slippage", slippage, Costs().slippage),
        _funding(scores, assume_funding),
    )
    rows: list[tuple[Any, ...]] = []
    buckets: dict[str, list[np.ndarray]] = {name: [] for name in named}
    break_even = []
    for horizon, length in wanted.items():
        gained = forward_returns(bars, scores.start, len(scores), length)
        sd = deviations(bars, scores.start, len(scores), period_of_hold(length)) * np.sqrt(length)
        money = scaled(gained, sd)
        for name, values in named.items():
            found, table = _measured(name, horizon, values, gained, money, scores.start, length, rng)
            rows.append((name, horizon, *found))
            buckets[name].append(table)
        windows = next((row[3] for row in rows if row[:2] == (CONFLUENCE, horizon)), 0)
        break_even.append(_break_even(horizon, gained, windows, costs))
    return Information(
        f"{scores!r}"[1:-1],
        np.array(rows, dtype=COEFFICIENT),
        {name: np.concatenate(tables) for name, tables in buckets.items() if tables},
        np.array(break_even, dtype=BREAK_EVEN),
        costs,
    )


def _share(name: str, given: float | None, usual: float) -> float:
    """A share of a fill that a caller gave, or the usual one."""
    if given is None:
        return usual
    if not 0.0 <= given < LARGEST_SHARE:
        raise ConfigError(
            f"{name} is a share of each fill, such as {usual:g}, at least 0 and below 0.1; was {given!r}."
        )
    return given


def _scores_by_name(scores: Scores) -> dict[str, Array]:
    """Every score of which anything is known, the widest first."""
    named = {CONFLUENCE: scores.confluence}
    named |= {face.name: face.score for face in scores.faces.values()}
    for face in scores.faces.values():
        named |= {f"{face.name}.{name}": part.score for name, part in face.components.items()}
    return {name: values for name, values in named.items() if np.isfinite(values).any()}


def _funding(scores: Scores, assumed: float | None) -> float:
    """Funding rate per eight hours: what is assumed, else the mean of what is recorded; NaN where neither is."""
    if scores.frame.instrument.is_spot:
        return 0.0
    if assumed is not None:
        if not -LARGEST_SHARE < assumed < LARGEST_SHARE:
            raise ConfigError(f"assume_funding is a rate per eight hours, such as 0.0001; was {assumed!r}.")
        return assumed
    if "funding_rate" not in scores.frame.base.columns:
        return float("nan")
    recorded = scores.column("funding_rate")
    known = np.isfinite(recorded)
    return float(recorded[known].mean()) if known.any() else float("nan")


def _break_even(horizon: str, gained: Array, windows: int, costs: Costs) -> tuple[Any, ...]:
    """Row of BREAK_EVEN."""
    known = gained[np.isfinite(gained)]
    sd = float(known.std()) if len(known) > 1 else float("nan")
    round_trip = BP * costs.round_trip
    needed = round_trip / (BEYOND_ONE * sd) if sd > 0.0 else float("nan")
    seen_from = windows_to_see(needed)
    funding = BP * costs.held(Span(horizon).ms)
    return horizon, sd, round_trip, funding, needed, seen_from, windows, 0 < seen_from <= windows


def windows_to_see(coefficient: float) -> int:
    """How many windows that do not overlap it takes to see a coefficient at t = 2; -1 where it is not known.

    A coefficient of which none is needed is seen in the least number of windows that have one at all.
    """
    if coefficient != coefficient:
        return -1
    least = 2
    return least if coefficient >= 1.0 or coefficient <= 0.0 else max(round((SEEN_AT / coefficient) ** 2), least)


def _measured(
    name: str, horizon: str, values: Array, gained: Array, money: Array, start: int, length: int,
    rng: np.random.Generator,
) -> tuple[tuple[Any, ...], np.ndarray]:  # fmt: skip
    """Row of COEFFICIENT without its names, and rows of BUCKET, of one score; one bootstrap serves them all."""
    both = np.flatnonzero(np.isfinite(values) & np.isfinite(gained))
    known = float(np.isfinite(values).mean())
    windows = len(np.unique((start + both) // length))
    edges = np.array(EDGES if name == CONFLUENCE else OUTER)
    if windows < 2:
        nothing = (len(both), windows, known, *(float("nan"),) * 6)
        return nothing, bucket_table(horizon, length, edges, values[both], gained[both], start + both, None)
    block = np.unique((start + both) // horizon_block(length, len(both)), return_inverse=True)[1]
    rank = _moments(_ranks(values[both]), _ranks(gained[both]), block)
    straight = _moments(_centred(values[both]), money[both], block)
    found, linear = (float(_correlation(of.sum(axis=0))) for of in (rank, straight))
    drawn = blocks_drawn(len(rank), rng) if found == found else None
    row = (len(both), windows, known, found, *_interval(rank, drawn), linear, *_interval(straight, drawn))
    return row, bucket_table(horizon, length, edges, values[both], gained[both], start + both, drawn)


def _ranks(values: Array) -> Array:
    """Ranks, ties at their mean, centred and scaled to -0.5..0.5 so that sums stay small."""
    from scipy.stats import rankdata

    ranks: Array = rankdata(values)
    return (ranks - 0.5) / len(values) - 0.5


def _centred(values: Array) -> Array:
    """Scores about 50, in units of the scale."""
    return (values - 50.0) / 100.0


def _moments(x: Array, y: Array, block: NDArray[np.int64]) -> Array:
    """Count and the sums of x, y, xy, xx and yy in each block, of what is known of both."""
    there = np.isfinite(y)
    y = np.where(there, y, 0.0)
    x = np.where(there, x, 0.0)
    parts = (there.astype(np.float64), x, y, x * y, x * x, y * y)
    return np.column_stack([np.bincount(block, weights=part) for part in parts]).astype(np.float64)


def _correlation(moments: Array) -> Array:
    """Correlation from n and the sums of x, y, xy, xx and yy in the last axis; NaN where one does not vary."""
    n, x, y, xy, xx, yy = np.moveaxis(moments, -1, 0)
    spread = (n * xx - x * x) * (n * yy - y * y)
    return np.where(
        spread > 1e-12 * (n * n) ** 2, (n * xy - x * y) / np.sqrt(np.where(spread > 0, spread, 1.0)), np.nan
    )


def _interval(moments: Array, drawn: NDArray[np.int64] | None) -> tuple[float, float]:
    """95 % interval of the correlation: blocks drawn with replacement; NaN where none are drawn."""
    if drawn is None:
        return float("nan"), float("nan")
    correlations = _correlation(drawn @ moments)
    if not np.isfinite(correlations).any():
        return float("nan"), float("nan")
    low, high = np.nanquantile(correlations, TAILS)
    return float(low), float(high)


def _of(table: np.ndarray, horizon: str, low: float, high: float) -> np.void | None:
    """The row of one horizon and bucket."""
    rows = table[(table["horizon"] == horizon) & (table["low"] == low) & (table["high"] == high)]
    return rows[0] if len(rows) else None


def _mean(row: np.void | None) -> str:
    """A mean with its interval where it is known, in whole bp where they are large."""
    if row is None or row["mean_bp"] != row["mean_bp"]:
        return DASH
    if row["low_bp"] != row["low_bp"]:
        return number(row["mean_bp"], 0, signed=True)
    reach = 0.5 * (row["high_bp"] - row["low_bp"])
    text = number(row["mean_bp"], 1 if max(reach, abs(row["mean_bp"])) < WHOLE_FROM else 0, signed=True)
    return f"{text} ({number(row['low_bp'], 0, signed=True)}, {number(row['high_bp'], 0, signed=True)})"


def _narrow_first(bucket: tuple[float, float]) -> tuple[bool, float]:
    """Buckets in order, and all of them together last."""
    low, high = bucket
    return high - low >= EDGES[-1] - EDGES[0], low


def _windows(one: np.void) -> str:
    """How many windows show a break-even coefficient, and how many there are; a star where that is enough."""
    if one["needed_windows"] < 0:
        return DASH
    return f"{whole(one['needed_windows'])}, {whole(one['windows'])}{'*' if one['enough'] else ''}"


def _lined(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Set a table in plain text: names to the left, numbers to the right."""
    widths = [max(len(row[k]) for row in (headers, *rows)) for k in range(len(headers))]
    return [
        "  " + "  ".join(cell.ljust(width) if k == 0 else cell.rjust(width)
                         for k, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in (headers, *rows)
    ]  # fmt: skip


def _plain(table: np.ndarray) -> list[dict[str, Any]]:
    """Rows as plain values."""
    names = table.dtype.names or ()
    return [{name: row[name].item() for name in names} for row in table]
