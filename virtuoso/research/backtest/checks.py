"""Canaries: what must always hold of a backtest, whatever the market and the strategy.

| canary | holds if |
|---|---|
| foresight | orders stay the same when what follows them is cut off or replaced |
| idle | a strategy that never trades keeps its cash, and is not testable |
| luckless | random signals gain nothing from prices: over many seeds they lose exactly their costs |
| held | buying and holding gives the change of price, less fees and funding |
| inverted | the opposite of every intent has the negated gain from prices |
| fees | doubling fees never raises the profit |
| renamed | instruments in the opposite order of names come to the same equity |

`examine` runs all but the first over the user's own stage and intents; the first needs the function that decides. What
cannot be asked of a stage is left out: luckless and inverted need shorts, renamed needs a second instrument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.account.records import NEXT_OPEN, blank_intents
from virtuoso.account.risk import Limits
from virtuoso.clock import Env
from virtuoso.errors import LawBrokenError
from virtuoso.market.frame import MarketFrame
from virtuoso.research.backtest.engine import Account, PortfolioRun, run
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.backtest.round_trips import lives
from virtuoso.research.validation.foresight import CUTS, Decide, OneFrame, check
from virtuoso.research.validation.robustness import RunReturns, robustness
from virtuoso.research.validation.stress import Intents, daily_returns
from virtuoso.research.validation.verdict import reach_verdict
from virtuoso.types import Array

SEEDS = 200
RANDOM_INTENTS = 40
MOST_Z = 3.0
EXACT = 1e-9
FREE = Limits(
    base_size=1e-3, least_scale=1.0, max_positions=1_000_000, max_leverage=1e9, heat=1e9,
    correlation=2.0, max_drawdown=1.0,
)  # fmt: skip
"""Limits that never bind, with positions so small that what was gained does not change what is gained next."""
FAR = 0.999
"""Distance of stops that are not meant to be reached, a share of the price; the same on both sides, for equal sizes."""


@dataclass(frozen=True, slots=True)
class SanityCheck:
    """What one of them found.

    Attributes
    ----------
    name : str
    holds : bool
    detail : str
    """

    name: str
    holds: bool
    detail: str

    def __str__(self) -> str:
        return f"{self.name} {'holds' if self.holds else 'BROKEN'}: {self.detail}"

    def insist(self) -> None:
        """Raise LawBrokenError unless it holds."""
        if not self.holds:
            raise LawBrokenError(str(self))


def examine(panel: SimulationPanel, intents: Intents, account: Account, env: Env | None = None) -> list[SanityCheck]:
    """Run all canaries that apply.

    Parameters
    ----------
    panel : SimulationPanel
    intents : mapping of Instrument to array of INTENT
    account : Account
    env : Env, optional
        Where random signals come from; seeded with 0 if absent.
    """
    found = [idle(panel, account), held(panel, account), fees(panel, intents, account)]
    spot = {name.is_spot for name in panel.instruments}
    if spot == {False}:
        found += [luckless(panel, account, env=env), inverted(panel, intents, account)]
    if len(panel.instruments) > 1 and len(spot) == 1:
        found.append(renamed(panel, intents, account))
    return found


def foresight(
    frames: MarketFrame | Sequence[MarketFrame] | Mapping[Instrument, MarketFrame],
    decide: Callable[[MarketFrame], np.ndarray] | Decide,
    cuts: Sequence[int] | None = None,
    *,
    count: int = CUTS,
    fresh: bool = True,
) -> SanityCheck:
    """Cut off what follows an order, and replace it by another future: what was ordered up to it must stay the same.

    Parameters
    ----------
    frames : MarketFrame, or sequence or mapping of them
        One frame, or all that are decided on together, on any clocks.
    decide : callable
        Everything from the frames to the intents: of one frame to an array of INTENT, of many from a mapping of
        Instrument to MarketFrame to one of Instrument to array. Written in a module, another process is asked as well.
    cuts : sequence of int, optional
        Numbers of the bars of the first frame before which to cut; if absent, after orders, spread over all of them.
    count, fresh : see `foresight.check`, which says what is done
    """
    if isinstance(frames, MarketFrame):
        given, asked = {frames.instrument: frames}, OneFrame(frames.instrument, decide)  # type: ignore[arg-type]
    else:
        many = frames.values() if isinstance(frames, Mapping) else frames
        given, asked = {frame.instrument: frame for frame in many}, decide  # type: ignore[assignment]
    ms = next(iter(given.values())).timeframe.ms
    moments = None if cuts is None else [cut * ms for cut in cuts]
    found = check(given, asked, moments=moments, count=count, fresh=fresh)
    # where another process could not be asked, what was asked here still counts, and the detail says so
    return SanityCheck("foresight", found.holds or found.untold, found.detail)


def idle(panel: SimulationPanel, account: Account) -> SanityCheck:
    """Never trade: the cash stays what it is, and there is nothing to judge."""
    done = run(panel, {}, account)
    kept = bool((done.equity == account.cash).all()) and len(done.events) == 0
    verdict = reach_verdict(robustness(RunReturns(daily_returns(done), trades=0)))
    return SanityCheck("idle", kept and not verdict.testable, f"without a trade: {verdict}")


def luckless(panel: SimulationPanel, account: Account, seeds: int = SEEDS, env: Env | None = None) -> SanityCheck:
    """Trade long and short at random: prices give nothing on average, so that what is lost are the costs."""
    random = (env or Env(seed=0)).random()
    small = _small(account)
    done = [run(panel, random_intents(panel, random), small) for _ in range(seeds)]
    gains = np.array([price_gain(one) for one in done])
    kept = lives(done[0])
    booked = float((kept["gross"] - kept["fees"] + kept["funding"]).sum())
    off = abs(float(done[0].equity[-1]) - small.cash - booked) / small.cash
    spread = float(gains.std(ddof=1))
    z = float(gains.mean()) / spread * float(np.sqrt(seeds)) if spread > 0.0 else float("nan")
    detail = f"gain from prices over {seeds} seeds is {z:+.2f} standard errors from 0, books off by {off:.1e}"
    return SanityCheck("luckless", abs(z) < MOST_Z and off <= EXACT, detail)


def price_gain(done: PortfolioRun) -> float:
    """What prices alone gave a portfolio: its net gain without fees, slippage and funding, quote currency."""
    events = done.events
    paid = float(events["fee"].sum() + events["slippage"].sum() - events["funding"].sum())
    return float(done.equity[-1]) - done.account.cash + paid


def held(panel: SimulationPanel, account: Account) -> SanityCheck:
    """Buy each instrument at its second known bar, sell it at its last: price, fees and funding explain all of it."""
    worst, bought = 0.0, 0
    for i, name in enumerate(panel.instruments):
        known = np.isfinite(panel.bars[:, i, s.OPEN])
        decided = int(np.argmax(known[:-1] & known[1:]))  # a market order lapses where the next bar is not known
        last = panel.last_of_one(i)
        if last < decided + 2 or not known[decided + 1]:
            continue
        made = plain_intents(panel, i, np.array([decided, last - NEXT_OPEN]), np.array([1, 0]))
        done = run(panel, {name: made}, _small(account))
        entry = done.events[done.events["kind"] == r.ENTERED]
        if len(entry) != 1:
            return SanityCheck("held", False, f"{name} was bought {len(entry)} times")
        size, gained = float(entry["size"][0]), float(done.equity[-1]) - account.cash
        by_hand = _by_hand(panel.bars[decided + 1 : last + 1, i], account.taker)
        worst = max(worst, abs(gained / size - by_hand) / float(entry["price"][0]))
        bought += 1
    return SanityCheck("held", bought > 0 and worst <= EXACT, f"{bought} held, off by {worst:.1e} of the price at most")


def _by_hand(bars: Array, taker: float) -> float:
    """Gain of one unit bought at the open of the first bar and sold at that of the last one."""
    bought = bars[0, s.OPEN] * (1.0 + bars[0, s.SLIPPAGE])
    sold = bars[-1, s.OPEN] * (1.0 - bars[-1, s.SLIPPAGE])
    paid = np.nansum(bars[:, s.FUNDING_OPEN]) + np.nansum(bars[:-1, s.FUNDING_INSIDE])
    paid -= min(float(bars[0, s.FUNDING_OPEN]), 0.0)  # what is entered at the settlement never receives it
    return float(sold - bought - taker * (sold + bought) - paid)


def inverted(panel: SimulationPanel, intents: Intents, account: Account) -> SanityCheck:
    """Take the other side of every intent, without levels and costs: each position gains what the other loses."""
    free = replace(_small(account), maker=0.0, taker=0.0)
    bars = panel.bars.copy()
    bars[:, :, s.SLIPPAGE] = 0.0
    flat = replace(panel, bars=bars)
    bare = {name: _bare(made, 1) for name, made in intents.items()}
    other = {name: _bare(made, -1) for name, made in intents.items()}
    one, two = lives(run(flat, bare, free)), lives(run(flat, other, free))
    if len(one) == 0 or len(one) != len(two):
        return SanityCheck("inverted", False, f"{len(one)} positions, {len(two)} of the opposite")
    gains = [positions["gross"] / positions["size"] / positions["entry_price"] for positions in (one, two)]
    worst = float(np.abs(gains[0] + gains[1]).max())
    return SanityCheck("inverted", worst <= EXACT, f"{len(one)} positions differ by {worst:.1e} of the price at most")


def fees(panel: SimulationPanel, intents: Intents, account: Account) -> SanityCheck:
    """Double the fees, without a halt that would end losses early: the profit never rises."""
    open_ended = replace(account, limits=account.limits._replace(max_drawdown=1.0))
    dearer = replace(open_ended, maker=2.0 * account.maker, taker=2.0 * account.taker)
    once, twice = (float(run(panel, intents, terms).equity[-1]) for terms in (open_ended, dearer))
    return SanityCheck(
        "fees", twice <= once, f"{once - account.cash:+,.2f} with fees, {twice - account.cash:+,.2f} with twice"
    )


def renamed(panel: SimulationPanel, intents: Intents, account: Account) -> SanityCheck:
    """Give the instruments each other's names, last to first: nothing depends on a name but a tie in reliability."""
    names = panel.instruments
    other = dict(zip(names, reversed(names), strict=True))
    turned = replace(
        panel,
        bars=panel.bars[:, ::-1].copy(),
        repaired=panel.repaired[:, ::-1],
        last=panel.last[::-1].copy(),
        breaks=tuple((t, len(names) - 1 - i) for t, i in panel.breaks),
        volatility=None if panel.volatility is None else panel.volatility[:, ::-1],
    )
    swapped = replace(
        account,
        tiers={other[name]: tiers for name, tiers in account.tiers.items()},
        rules={other[name]: rules for name, rules in account.rules.items()},
    )
    one = run(panel, intents, account).equity
    two = run(turned, {other[name]: made for name, made in intents.items()}, swapped).equity
    worst = float(np.abs(one - two).max(initial=0.0)) / account.cash
    return SanityCheck("renamed", worst <= EXACT, f"equity differs by {worst:.1e} of the cash at most")


def permuted(
    panel: SimulationPanel, intents: Intents, account: Account, draws: int = SEEDS, env: Env | None = None
) -> tuple[float, Array]:
    """Gain from prices of the intents, and of the same sides at each other's times; an edge lies in the times.

    Returns
    -------
    tuple of float and Array, quote currency, shape (draws,)
        Without levels, at sizes so small that gains do not add up to larger ones.
    """
    random = (env or Env(seed=0)).random()
    small = _small(account)
    bare = {name: _bare(made, 1) for name, made in intents.items()}
    drawn = np.empty(draws)
    for k in range(draws):
        moved = {name: made.copy() for name, made in bare.items()}
        for made in moved.values():
            made["side"] = random.permutation(made["side"])
            made["stop"] = _far(made["price"], made["side"])
        drawn[k] = price_gain(run(panel, moved, small))
    return price_gain(run(panel, bare, small)), drawn


def plain_intents(panel: SimulationPanel, i: int, decided: NDArray[np.int64], side: NDArray[np.int64]) -> np.ndarray:
    """Intents at the market and without levels.

    Parameters
    ----------
    panel : SimulationPanel
    i : int
        Instrument.
    decided : array of int64
        Positions of the bars at whose close they are decided, increasing.
    side : array of int
    """
    made = blank_intents(len(decided))
    made["number"], made["side"] = panel.first + decided, side
    made["price"] = panel.bars[decided, i, s.CLOSE]
    made["expires"] = made["number"] + NEXT_OPEN
    made["stop"] = _far(made["price"], made["side"])
    return made


def random_intents(
    panel: SimulationPanel, random: np.random.Generator, n: int = RANDOM_INTENTS
) -> Mapping[Instrument, np.ndarray]:
    """Long and short at closes drawn at random; on spot, in and out."""
    made = {}
    for i, name in enumerate(panel.instruments):
        known = np.flatnonzero(np.isfinite(panel.bars[:-NEXT_OPEN, i, s.OPEN]))
        decided = np.sort(random.choice(known, size=min(n, len(known)), replace=False))
        side = random.integers(0, 2, len(decided)) if name.is_spot else random.choice([-1, 1], len(decided))
        made[name] = plain_intents(panel, i, decided, side)
    return made


def _small(account: Account) -> Account:
    """The same fees at sizes that change nothing: nothing is refused, cut, halted or liquidated."""
    return replace(account, limits=FREE, limited=True, rules={}, isolated=False, trail=0.0, target_volatility=0.0)


def _bare(made: np.ndarray, sign: int) -> np.ndarray:
    """The same or opposite sides, at the market and without levels, all sized alike."""
    plain = made.copy()
    plain["side"] *= sign
    plain["adjust"] = False
    for name in ("entry", "target", "weight", "trail"):
        plain[name] = np.nan
    plain["stop"] = _far(plain["price"], plain["side"])
    return plain


def _far(price: Array, side: NDArray[np.int8]) -> Array:
    """Stops that are not meant to be reached, on the losing side."""
    far: Array = price * (1.0 - FAR * side)
    return far
