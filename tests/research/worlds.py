"""Worlds in which it is known who has skill, to see what the verdict makes of them.

A world is some days of returns of some configurations; one of them may have a true Sharpe ratio, the others have none.
The one that did best is handed in, as a researcher would, with the ledger's count and stress tests of average kindness.

    python -m tests.research.worlds [WORLDS] [SEED]

prints the share of WORLDS worlds without skill, and of a fifth as many with it, that are shipped: the table of
docs/guides/honesty.md.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import sqrt

import numpy as np

from virtuoso.account.metrics import DAYS_A_YEAR
from virtuoso.research.tracking.experiments import Trial, TrialCount, sharpes
from virtuoso.research.validation.foresight import Foresight
from virtuoso.research.validation.overfitting import Moments
from virtuoso.research.validation.plausibility import Truth
from virtuoso.research.validation.robustness import RunReturns, robustness
from virtuoso.research.validation.stress import Case, Plateau
from virtuoso.research.validation.tail_risk import Tail
from virtuoso.research.validation.verdict import Decision, Stressed, Verdict, reach_verdict

SPREAD = 0.01
"""Standard deviation of every configuration's daily returns."""
EXPOSURE = SPREAD / 0.03
"""Share of the equity held: bitcoin moves by 3 % a day."""
COST = 0.0003
"""What doubled costs take a day; net returns have paid it once."""


@dataclass(frozen=True)
class World:
    """Parameters: days, configurations, true annual Sharpe ratio of one of them, correlation of all pairs, degrees of
    freedom of the tails (0 is normal), and whether they were tried one by one, so that no search is there to be split.
    """

    days: int = 1_200
    configurations: int = 50
    skill: float = 0.0
    correlation: float = 0.0
    tails: int = 0
    one_by_one: bool = False

    def __str__(self) -> str:
        how = "one by one" if self.one_by_one or self.configurations == 1 else "a search"
        tails = f", t({self.tails}) tails" if self.tails else ""
        pairs = f", correlation {self.correlation:g}" if self.correlation else ""
        return f"Sharpe {self.skill:g}, {self.days} days, {self.configurations} tried ({how}{pairs}{tails})"

    def returns(self, random: np.random.Generator) -> np.ndarray:
        """Daily returns, shape (days, configurations)."""
        shape = (self.days, self.configurations)
        if self.tails:
            own = random.standard_t(self.tails, shape) / sqrt(self.tails / (self.tails - 2))
        else:
            own = random.standard_normal(shape)
        common = random.standard_normal((self.days, 1))
        drawn = SPREAD * (sqrt(self.correlation) * common + sqrt(1.0 - self.correlation) * own)
        drawn[:, 0] += SPREAD * self.skill / sqrt(DAYS_A_YEAR)
        return drawn


def chosen_of(returns: np.ndarray) -> int:
    return int(np.argmax(sharpes(returns)))


def stressed(daily: np.ndarray) -> Stressed:
    """Stress tests that take something of every strategy and all of none that has more than its costs."""

    def case(name: str, kept: np.ndarray) -> Case:
        return Case(name, float(np.prod(1.0 + kept) - 1.0), Moments.of(kept).sharpe, -0.1, 300)

    net = case("chosen", daily)
    beside = [case("beside", daily - COST / 3.0), case("beside", daily - COST / 2.0)]
    return Stressed(case("costs x 2", daily - COST), case("1 bars late", 0.9 * daily), Plateau(net, beside),
                    (net.net, 1.05 * net.net), Tail.of_days(daily, EXPOSURE), None,
                    Truth(Foresight(True, "orders know the past alone")))  # fmt: skip


def tried_in(world: World, returns: np.ndarray) -> TrialCount:
    if not world.one_by_one:
        return TrialCount.of_search(returns)
    singles = [Trial("", ("any",), 0, 1, "", str(k)).seen(column) for k, column in enumerate(returns.T)]
    return TrialCount.of(singles)


def verdict_in(world: World, random: np.random.Generator, *, cheaply: bool = False) -> Verdict:
    """Judge the best of a world; cheaply, a search is split only where it could still be shipped."""
    returns = world.returns(random)
    best = chosen_of(returns)
    searched = world.configurations > 1 and not world.one_by_one
    counts = np.full(world.configurations, 300) if searched else None
    alone = RunReturns(returns[:, best], trades=300)
    tried = tried_in(world, returns)
    if cheaply or not searched:
        found = reach_verdict(robustness(alone, tried), stressed(alone.daily))
        if not searched or found.decision is not Decision.SHIP:
            return found
    return reach_verdict(robustness(RunReturns(alone.daily, 300, returns, counts), tried), stressed(alone.daily))


def shipped(world: World, worlds: int, seed: int = 0) -> float:
    """Share of worlds whose best is shipped."""
    random = np.random.default_rng(seed)
    found = [verdict_in(world, random, cheaply=True).decision for _ in range(worlds)]
    return float(np.mean([decision is Decision.SHIP for decision in found]))


NOISE = (
    World(),
    World(configurations=1),
    World(configurations=1, days=365),
    World(configurations=3, days=365),
    World(configurations=3),
    World(configurations=10),
    World(configurations=200),
    World(days=365),
    World(correlation=0.5),
    World(correlation=0.9),
    World(tails=4),
    World(configurations=3, one_by_one=True),
    World(one_by_one=True),
    World(one_by_one=True, correlation=0.9, days=365),
)
SKILL = (
    *(World(days, count, 3.0) for days in (365, 730, 1_200) for count in (1, 3, 10, 50)),
    World(skill=3.0, configurations=200),
    World(skill=3.0, tails=4),
    World(skill=3.0, one_by_one=True),
    World(skill=2.0),
    World(skill=1.0),
)


def main(worlds: int = 1_000, seed: int = 0) -> None:
    for name, several, count in (("without skill", NOISE, worlds), ("with skill", SKILL, max(worlds // 5, 1))):
        print(f"{name}, {count:,} worlds each")
        for world in several:
            print(f"  {100.0 * shipped(world, count, seed):6.1f} %  {world}", flush=True)


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:]))
