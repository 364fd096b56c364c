"""Studies of which the truth is known, to see what the gate of promotion makes of them.

A study is made as `virtuoso tune` makes one: trials are points on a simplex of weights over streams of returns (faces),
each round takes the best of its own trials on the days before its test window, the winner is traded on that window, and
the last round tunes on everything. Every trial of every round is in the ledger. Without skill no stream has any; with
skill one of them has a true Sharpe ratio, and the tuner has to find it.

Questions that days alone cannot answer are answered kindly: doubled costs take 3 basis points a day, a bar late a tenth
of the return, symbols outside are correlated with what was traded. Kind answers let more through, so that what is
measured without skill is the most that is shipped.

    python -m tests.research.promotion.studies [STUDIES] [SEED]

measures the tables of docs/guides/promotion.md and writes them there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from virtuoso.account.metrics import DAY_MS, DAYS_A_YEAR
from virtuoso.research.promotion.evidence import EQUAL, HOLD, PAST, UNTUNED, Evidence, Space
from virtuoso.research.promotion.gate import OF_BACKTEST, ships
from virtuoso.research.tracking.experiments import Trial, TrialCount, sharpes
from virtuoso.research.validation.robustness import annual
from virtuoso.research.validation.tail_risk import Tail
from virtuoso.research.validation.verdict import LEAST_KEPT, Hurdle

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "promotion.md"
TABLE = GUIDE.with_name("promotion_rates.json")
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
SPREAD, COST, TURNOVER = 0.01, 0.0003, 0.3
"""Daily standard deviation of every stream, and what a day costs and trades."""
EXPOSURE = SPREAD / 0.03
MARKET = 0.03
"""Daily standard deviation of what holding earns."""
KINDS = ("independent", "autocorrelated", "overlapping")


@dataclass(frozen=True)
class World:
    """Parameters: days, streams that are weighted and their mean correlation, trials a round, walk-forward splits, true
    annual Sharpe ratio of the one stream that has one, how days hang together, and whether trials crowd around the best
    of the round's first half, as a model-based sampler makes them.
    """

    days: int = 730
    streams: int = 6
    shared: float = 0.3
    trials: int = 32
    splits: int = 5
    skill: float = 0.0
    kind: str = "independent"
    adaptive: bool = False

    def __str__(self) -> str:
        made = "crowded" if self.adaptive else "random"
        return f"{self.days} days, {self.streams} streams, {self.trials} {made} trials a round, {self.kind}"


def noise(kind: str, days: int, columns: int, random: np.random.Generator) -> np.ndarray:
    """Days of variance 1 and mean 0, shape (days, columns)."""
    if kind == "independent":
        return random.standard_normal((days, columns))
    if kind == "autocorrelated":  # by 0.15 from day to day
        drawn = random.standard_normal((days + 30, columns))
        return lfilter([sqrt(1.0 - 0.15**2)], [1.0, -0.15], drawn, axis=0)[30:]
    summed = np.cumsum(random.standard_normal((days + 5, columns)), axis=0)  # each day holds a fifth of each of five
    return (summed[5:] - summed[:-5]) / sqrt(5.0)


def drawn(world: World, past: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Weights of a round's trials, the untuned ones first, shape (trials, streams)."""
    equal = np.full((1, world.streams), 1.0 / world.streams)
    if not world.adaptive:
        return np.concatenate((equal, random.dirichlet(np.ones(world.streams), world.trials - 1)))
    first = np.concatenate((equal, random.dirichlet(np.ones(world.streams), world.trials // 2 - 1)))
    best = first[int(np.argmax(sharpes(past @ first.T)))]
    beside = random.dirichlet(1.0 + 20.0 * best, world.trials - len(first))
    return np.concatenate((first, beside))


def _edge(world: World, random: np.random.Generator) -> float:
    """True Sharpe ratio of the one stream with skill, such that the best of a round's trials has that of the world.

    What a tuner can find is the best of what it tries: a stream that no trial holds alone is not there for it.
    """
    if not world.skill:
        return 0.0
    weights = drawn(replace(world, adaptive=False), np.empty((0, world.streams)), random)
    spread = np.sqrt(world.shared + (1.0 - world.shared) * (weights * weights).sum(axis=1))
    return world.skill / float((weights[:, 0] / spread).max())


def study(world: World, random: np.random.Generator) -> Evidence:
    """Make a study in a world, and give what it is judged by."""
    n, several = world.days, noise(world.kind, world.days, world.streams + 3, random)
    common, own = several[:, :1], several[:, 1 : world.streams + 1]
    streams = SPREAD * (sqrt(world.shared) * common + sqrt(1.0 - world.shared) * own)
    streams[:, 0] += SPREAD * _edge(world, random) / sqrt(DAYS_A_YEAR)
    edges = np.linspace(0, n, world.splits + 2).astype(int)
    counted, walk, rounds, inside, untuned = [], [], [], [], []
    for k in range(world.splits + 1):
        stop = edges[k + 1] - 1 if k < world.splits else n  # a day is purged before each test window
        weights = drawn(world, streams[:stop], random)
        table = streams[:stop] @ weights.T
        ratios = sharpes(table)
        best = int(np.argmax(ratios))
        counted.append(Trial("", ("any",), 0, int(stop) * DAY_MS, "", str(k), when=k + 1).seen(table, best))
        if k < world.splits:
            tested = streams[edges[k + 1] : edges[k + 2]]
            walk.append(tested @ weights[best])
            untuned.append(tested @ weights[0])
            rounds.append(np.full(len(tested), k))
            inside.append(annual(float(ratios[best])))
    out, first = np.concatenate(walk), edges[1]
    hold, past = several[first:, -2], several[first:, -1]
    return Evidence(
        study="simulated",
        tried=TrialCount.of(counted),
        days=(first + np.arange(n - first)) * DAY_MS,
        walk=out,
        trades=300,
        rounds=np.concatenate(rounds),
        inside=np.array(inside),
        outside=np.array([annual(float(sharpes(part[:, None])[0])) for part in walk]),
        gross=out + COST,
        costs=np.full(len(out), COST),
        turnover=np.full(len(out), TURNOVER),
        hold=1.0,
        rivals={
            EQUAL: np.concatenate(untuned), UNTUNED: np.concatenate(untuned),
            HOLD: MARKET * hold, PAST: SPREAD * past,
        },
        search=table,
        search_trades=np.full(world.trials, 300),
        space=Space(weights, ratios, best),
        asked=(*asked(table[:, best]), beside(streams, weights[best])),
        outsiders={"OUTSIDE": float(out.sum() + SPREAD * sqrt(len(out)) * random.standard_normal())},
    )  # fmt: skip


def asked(daily: np.ndarray) -> tuple[Hurdle, ...]:
    """Answers of a winner's backtest, of average kindness."""
    tail = Tail.of_days(daily, EXPOSURE)
    answers = dict.fromkeys(OF_BACKTEST, True) | {
        "costs": float((daily - COST).sum()) > 0.0,
        "delay": float(0.9 * daily.sum()) > 0.0,
        "tail": tail.left > 0.0,
        "marks": bool(np.corrcoef(daily[1:], daily[:-1])[0, 1] <= 0.3),
    }
    return tuple(Hurdle(name, passed, "as simulated") for name, passed in answers.items())


def beside(streams: np.ndarray, weights: np.ndarray) -> Hurdle:
    """Whether the winner keeps its return where each of its weights is a step lower and higher."""
    moved = [weights * np.where(np.arange(len(weights)) == k, f, 1.0) for k in range(len(weights)) for f in (0.8, 1.25)]
    nets = np.array([float((streams @ (one / one.sum())).sum()) for one in moved])
    own = float((streams @ weights).sum())
    return Hurdle("plateau", own > 0.0 and float(np.median(nets)) >= LEAST_KEPT * own, "as simulated")


def made(world: World, studies: int, seed: int) -> Iterator[Evidence]:
    """So many studies, each from a seed of its own."""
    for k in range(studies):
        yield study(world, np.random.default_rng([seed, k]))


def shipped(world: World, studies: int, seed: int = 0) -> tuple[float, float]:
    """Share of studies that are promoted, and the effective number of tries in the mean."""
    found = [(ships(evidence), evidence.tried.effective) for evidence in made(world, studies, seed)]
    share, effective = np.mean(np.array(found, dtype=np.float64), axis=0)
    return float(share), float(effective)


NOISE = tuple(
    replace(world, kind=kind) for kind in KINDS for world in (World(), World(trials=4), World(trials=64, adaptive=True))
)
SKILL = (
    *(World(skill=3.0, trials=trials) for trials in (8, 16, 32, 48)),
    World(skill=3.0, adaptive=True),
    *(World(skill=3.0, trials=trials, adaptive=True) for trials in (128, 256)),
    World(skill=3.0, trials=128, adaptive=True, days=1_460),
    World(skill=2.0, days=1_460),
    World(skill=3.0, kind="autocorrelated"),
)


def measured(studies: int, seed: int) -> dict[str, object]:
    """Both tables; with skill a fifth as many studies of each world."""
    table: dict[str, object] = {"studies": studies, "with_skill": max(studies // 5, 1), "seed": seed}
    for name, worlds, count in (("noise", NOISE, studies), ("skill", SKILL, max(studies // 5, 1))):
        rows = []
        for world in worlds:
            share, effective = shipped(world, count, seed)
            rows.append({"world": str(world), "kind": world.kind, "skill": world.skill, "tries": effective,
                         "shipped": share})  # fmt: skip
            print(
                f"  {100.0 * share:6.1f} %  {effective:7.1f} effective tries  Sharpe {world.skill:g}, {world}",
                flush=True,
            )
        table[name] = rows
    return table


def written(table: dict[str, object]) -> str:
    """The measured part of the page."""
    lines = [
        f"{table['studies']:,} studies without skill of each world, {table['with_skill']:,} with it; seeds "
        f"[{table['seed']}, 0], [{table['seed']}, 1] and so on.",
        "", "| without skill | effective tries | promoted |", "|---|---:|---:|",
    ]  # fmt: skip
    lines += [f"| {row['world']} | {row['tries']:.0f} | {100 * row['shipped']:.1f} % |" for row in table["noise"]]
    lines += ["", "| with skill | true Sharpe | effective tries | promoted |", "|---|---:|---:|---:|"]
    lines += [
        f"| {row['world']} | {row['skill']:g} | {row['tries']:.0f} | {100 * row['shipped']:.0f} % |"
        for row in table["skill"]
    ]
    return "\n".join(lines) + "\n"


def main(studies: int = 1_000, seed: int = 1) -> None:
    """Measure, and write table and page."""
    table = measured(studies, seed)
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    page = GUIDE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    GUIDE.write_text(f"{before}{BEGIN}\n{written(table)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:]))
