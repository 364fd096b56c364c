"""Measure how often each statistic of the gate is wrong, and what it finds: docs/guides/error-rates.md.

Run from the repository root: `python docs/guides/error_rates.py [DRAWS] [SEED]`. It draws worlds of which the truth is
known, replaces `error_rates.json` beside it, and everything below the line `<!-- measured -->` of the page. The suite
draws 2,000 worlds a cell again, from other seeds, and holds them against the stored table (tests/test_error_rates.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import cache
from math import sqrt
from pathlib import Path

import numpy as np

from virtuoso.account.metrics import DAYS_A_YEAR
from virtuoso.clock import Env
from virtuoso.research.tracking.experiments import Trial, TrialCount, sharpes
from virtuoso.research.validation.foresight import Foresight
from virtuoso.research.validation.overfitting import (
    Moments,
    block_length,
    deflated_sharpe,
    min_track_record,
    overfitting_probability,
    psr,
    resamples_of,
    sharpe_error,
    superior_ability,
)
from virtuoso.research.validation.plausibility import Truth
from virtuoso.research.validation.robustness import FEWER_BLOCKS, WALKS, RunReturns, robustness
from virtuoso.research.validation.splits import WalkForward
from virtuoso.research.validation.stress import Case, Plateau
from virtuoso.research.validation.tail_risk import Tail
from virtuoso.research.validation.verdict import (
    CONFIDENCE,
    MOST_LUCK,
    MOST_OVERFITTING,
    MOST_SUPERIOR,
    Decision,
    Stressed,
    reach_verdict,
)

HERE = Path(__file__).parent
TABLE, PAGE, LINE = HERE / "error_rates.json", HERE / "error-rates.md", "<!-- measured -->\n"
DRAWS = 6_000
DAYS, TRIES, SKILL, RESAMPLES, AT_ONCE = 365, 10, 3.0, 200, 250
SPREAD, COST = 0.01, 0.0003
EXPOSURE = SPREAD / 0.03
"""Share of the equity that is held, of a market that moves by 3 % a day."""

NOISES = ("independent", "autocorrelated", "overlapping", "heavy tails", "clustered")
STATISTICS = {
    "psr_plain": "PSR at least 95 %, days taken as independent",
    "psr": "PSR at least 95 %",
    "track": "MinTRL within the days there are",
    "luck": "p-value, best of N, at most 0.008",
    "deflated": "DSR at least 95 %, best of 10",
    "overfitting": "PBO at most 20 %, search over 10",
    "superior": "SPA at most 5 %, search over 10",
    "outside": "walk forward above 0, search over 10",
    "shipped": "**shipped**, one try",
    "shipped_best": "**shipped**, best of 10 one by one",
}
KINDS = {
    "symbols": "best of 40 symbols, 365 days, each counted as a try of the family",
    "years": "best of 8 disjoint years, counted likewise",
    "venues": "best of 5 venues, correlated by 0.95, counted likewise",
    "smoothed": "marks smoothed over 5 days",
    "smoothed_2": "marks smoothed over 2 days",
    "insurance": "+0.12 % a day, -30 % on 0.4 % of days, a full position held",
    "doubling": "bets that double after each loss",
    "half_more": "bets that grow by half after each loss",
}


def noise(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Returns of variance 1 and mean 0; days are the first axis."""
    from scipy.signal import lfilter

    if name == "independent":
        return random.standard_normal(shape)
    if name == "autocorrelated":  # by 0.15 from day to day
        return lfilter(
            [sqrt(1.0 - 0.15**2)], [1.0, -0.15], random.standard_normal((shape[0] + 30, *shape[1:])), axis=0
        )[30:]
    if name == "overlapping":  # each day holds a fifth of each of five
        summed = np.cumsum(random.standard_normal((shape[0] + 5, *shape[1:])), axis=0)
        return (summed[5:] - summed[:-5]) / sqrt(5.0)
    if name == "heavy tails":  # Student's t with 3 degrees of freedom
        return random.standard_t(3, shape) / sqrt(3.0)
    drawn, variance = random.standard_normal(shape), np.ones(shape[1:])
    for t in range(shape[0]):  # GARCH(1,1) with 0.10 and 0.85
        drawn[t] *= np.sqrt(variance)
        variance = 0.05 + 0.10 * drawn[t] ** 2 + 0.85 * variance
    return drawn


TRUE = Truth(Foresight(True, "orders know the past alone"))
"""Daily returns have no orders; what orders know is asked elsewhere."""


def stressed(daily: np.ndarray, exposure: float = EXPOSURE) -> Stressed:
    """Stress tests of average kindness: costs of 3 basis points a day, a tenth lost by delay, a flat plateau."""

    def case(name: str, kept: np.ndarray) -> Case:
        return Case(name, float(np.prod(1.0 + kept) - 1.0), Moments.of(kept).sharpe, -0.1, 300)

    net = case("chosen", daily)
    return Stressed(
        case("costs x 2", daily - COST), case("1 bars late", 0.9 * daily), Plateau(net, [case("beside", 0.9 * daily)]),
        (net.net, 1.05 * net.net), Tail.of_days(daily, exposure), None, TRUE,
    )  # fmt: skip


def ships(daily: np.ndarray, tried: TrialCount | None = None, exposure: float = EXPOSURE) -> bool:
    """Whether the verdict ships it; what luck explains too well is not asked any further."""
    if not 1.0 - psr(Moments.of(daily)) <= MOST_LUCK:
        return False
    found = reach_verdict(robustness(RunReturns(daily, 300), tried), stressed(daily, exposure))
    return found.decision is Decision.SHIP


def singles(table: np.ndarray) -> TrialCount:
    """Count each column as a run of its own."""
    return TrialCount.of([Trial("", ("any",), 0, 1, "", str(k)).seen(column) for k, column in enumerate(table.T)])


@cache
def resamples(length: float) -> np.ndarray:
    """Resamples for blocks of a mean length, drawn once."""
    return resamples_of(DAYS, length, RESAMPLES, Env(seed=0))


def statistics(table: np.ndarray, best: int, walked: float) -> Iterator[tuple[str, bool]]:
    """Whether each statistic lets a world pass: the first column alone, and the best of all."""
    record = Moments.of(table[:, 0])
    above = psr(record)
    yield "psr_plain", psr(record.plain) >= CONFIDENCE
    yield "psr", above >= CONFIDENCE
    yield "track", min_track_record(record) <= DAYS
    yield "luck", 1.0 - above <= MOST_LUCK
    chosen, tried = Moments.of(table[:, best]), TrialCount.of_search(table)
    variance = float(np.fmax(tried.variance_beside(chosen.sharpe), sharpe_error(chosen) ** 2))
    yield "deflated", deflated_sharpe(chosen, tried.effective, variance) >= CONFIDENCE
    yield "overfitting", overfitting_probability(table, FEWER_BLOCKS).probability <= MOST_OVERFITTING
    found = superior_ability(table, drawn=resamples(block_length(table)))
    yield "superior", found.consistent <= MOST_SUPERIOR
    yield "outside", walked > 0.0
    yield "shipped", 1.0 - above <= MOST_LUCK and ships(table[:, 0])
    yield "shipped_best", 1.0 - psr(chosen) <= MOST_LUCK and ships(table[:, best], singles(table))


def best_of(worlds: np.ndarray) -> np.ndarray:
    """Best configuration of each world of returns of shape (days, worlds, configurations)."""
    days, count, tries = worlds.shape
    return sharpes(worlds.reshape(days, count * tries)).reshape(count, tries).argmax(axis=1)


def walked(worlds: np.ndarray) -> np.ndarray:
    """Mean of what winners of each stretch make on the next one; its sign is that of the Sharpe ratio."""
    each = np.arange(worlds.shape[1])
    ways = [worlds[after][:, each, best_of(worlds[past])] for past, after in WalkForward(WALKS).split(worlds[:, :, 0])]
    return np.concatenate(ways).mean(axis=0)


def cell(name: str, skill: float, draws: int, seed: int) -> dict[str, float]:
    """Share of worlds that each statistic lets pass; the first of ten has the skill."""
    random, passed = np.random.default_rng([seed, NOISES.index(name), int(skill > 0.0)]), dict.fromkeys(STATISTICS, 0)
    for start in range(0, draws, AT_ONCE):
        drawn = SPREAD * noise(name, (DAYS, min(AT_ONCE, draws - start), TRIES), random)
        drawn[:, :, 0] += SPREAD * skill / sqrt(DAYS_A_YEAR)
        best, outside = best_of(drawn), walked(drawn)
        for k in range(drawn.shape[1]):
            for what, well in statistics(np.ascontiguousarray(drawn[:, k]), best[k], outside[k]):
                passed[what] += bool(well)
    return {what: count / draws for what, count in passed.items()}


def _best(table: np.ndarray) -> bool:
    best = table[:, int(np.argmax(sharpes(table)))]
    return 1.0 - psr(Moments.of(best)) <= MOST_LUCK and ships(best, singles(table))


def _symbols(random: np.random.Generator) -> bool:
    return _best(SPREAD * random.standard_normal((DAYS, 40)))


def _years(random: np.random.Generator) -> bool:
    return _best(SPREAD * random.standard_normal((DAYS, 8)))


def _venues(random: np.random.Generator) -> bool:
    common, own = random.standard_normal((DAYS, 1)), random.standard_normal((DAYS, 5))
    return _best(SPREAD * (sqrt(0.95) * common + sqrt(0.05) * own))


def _smoothed(random: np.random.Generator, over: int = 5) -> bool:
    return ships(np.convolve(SPREAD * random.standard_normal(DAYS + over - 1), np.ones(over) / over, "valid"))


def _insurance(random: np.random.Generator) -> bool:
    daily = 0.0012 + 0.003 * random.standard_normal(DAYS)
    daily[random.random(DAYS) < 0.004] = -0.30
    return ships(daily, exposure=1.0)


def _growing(random: np.random.Generator, factor: float = 2.0) -> bool:
    daily, size = 0.002 * random.standard_normal(DAYS), 1.0
    for t in range(DAYS):
        daily[t] = max(daily[t] * size, -0.99)
        size = min(size * factor, 256.0) if daily[t] < 0.0 else 1.0
    return ships(daily)


WORLDS: dict[str, Callable[[np.random.Generator], bool]] = {
    "symbols": _symbols,
    "years": _years,
    "venues": _venues,
    "smoothed": _smoothed,
    "smoothed_2": lambda random: _smoothed(random, 2),
    "insurance": _insurance,
    "doubling": _growing,
    "half_more": lambda random: _growing(random, 1.5),
}


def kind(name: str, draws: int, seed: int) -> float:
    """Share of worlds without skill of a kind that are shipped."""
    random = np.random.default_rng([seed, 100 + list(KINDS).index(name)])
    return sum(WORLDS[name](random) for _ in range(draws)) / draws


def measured(draws: int, seed: int) -> dict[str, object]:
    """The whole table."""
    noises = {}
    for name in NOISES:
        noises[name] = {"none": cell(name, 0.0, draws, seed), "skill": cell(name, SKILL, draws, seed)}
        print(name, noises[name], flush=True)
    return {"draws": draws, "seed": seed, "noises": noises, "kinds": {name: kind(name, draws, seed) for name in KINDS}}


def written(table: dict[str, object]) -> str:
    """The measured part of the page."""
    draws, noises, kinds = table["draws"], table["noises"], table["kinds"]
    lines = [
        f"{draws:,} worlds a cell, seed {table['seed']}: passed without skill / with a true Sharpe ratio of {SKILL:g}.",
        "",
    ]
    lines += ["| passed | " + " | ".join(NOISES) + " |", "|---|" + "---|" * len(NOISES)]
    for what, words in STATISTICS.items():
        cells = [f"{100 * noises[n]['none'][what]:.1f} / {100 * noises[n]['skill'][what]:.1f} %" for n in NOISES]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    lines += ["", f"{draws:,} worlds without skill of each kind:", "", "| kind | shipped |", "|---|---|"]
    lines += [f"| {words} | {100 * kinds[what]:.1f} % |" for what, words in KINDS.items()]
    return "\n".join(lines) + "\n"


def main(draws: int = DRAWS, seed: int = 1) -> None:
    """Measure, and write table and page."""
    table = measured(draws, seed)
    TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    said, _, _ = PAGE.read_text(encoding="utf-8").partition(LINE)
    PAGE.write_text(said + LINE + "\n" + written(table), encoding="utf-8")


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:]))
