"""The orderbook face: who is waiting, who comes and goes, and who holds.

Size alone has no direction: each component compares bids with asks. What a market shows by habit, such as deeper far
bids, is measured against its own usual; what is a finding at the moment, such as a book that leans, is not. Spread and
fleeting orders say how far the book can be believed, and gate it. docs/faces/orderbook.md shows formulas and tables.
"""

from __future__ import annotations

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import kernel
from virtuoso.prism.component import Component, Float, Gate, Int
from virtuoso.prism.face import Face
from virtuoso.prism.features.book import (
    decay_weights,
    depth_lean,
    in_usual_size,
    near_depth,
    share_gap,
    unusual,
)
from virtuoso.prism.features.volatility import MeanRange
from virtuoso.prism.features.windows import deviation, rms, weighted, wmean, wsum
from virtuoso.prism.scale import Linear, Squash, ratio
from virtuoso.types import Array


class Imbalance(Component):
    """Which side of the book is heavier, near the middle."""

    windowed = True
    title = "Book imbalance"
    source = "Cao, Hansch and Wang (2009), Journal of Futures Markets 29(1); distance-weighted, in notional"
    scale = Squash(half=0.9)
    bands = {
        80: "Bids far outweigh asks near the middle ({value:+.1f} usual leans)",
        60: "Bids outweigh asks near the middle ({value:+.1f} usual leans)",
        40: "Bids and asks balance near the middle ({value:+.1f} usual leans)",
        20: "Asks outweigh bids near the middle ({value:+.1f} usual leans)",
        0: "Asks far outweigh bids near the middle ({value:+.1f} usual leans)",
    }

    period: int = Int(10, low=1, high=500)
    history: int = Int(60, low=10, high=1_000)
    floor: float = Float(0.02, low=0.001, high=0.5, unit="share")

    def memory(self, timeframe: Timeframe) -> int:
        """The longer window."""
        return max(self.period, self.history)

    def value(self, book_lean: Array, first: int) -> Array:
        """Mean lean of the book in its usual size, either side, shape (n_bars,). Uses `x[: t + 1]` only."""
        usual = rms(book_lean, self.history, self.floor, first)
        return wmean(book_lean, self.period, first) / usual


class OFI(Component):
    """What bids gained minus what asks gained, against the depth that has to be moved."""

    windowed = True
    holes = True
    title = "Order-flow imbalance"
    source = "Cont, Kukanov and Stoikov (2014), Journal of Financial Econometrics 12(1), eq. 4 and 12; ten levels"
    scale = Squash(half=1.5)
    bands = {
        80: "Bids gain on asks fast ({value:+.1f} usual flows): strong pressure up",
        60: "Bids gain on asks ({value:+.1f} usual flows): pressure up",
        40: "Orders come and go alike on both sides ({value:+.1f} usual flows)",
        20: "Asks gain on bids ({value:+.1f} usual flows): pressure down",
        0: "Asks gain on bids fast ({value:+.1f} usual flows): strong pressure down",
    }

    period: int = Int(10, low=1, high=500)
    history: int = Int(60, low=10, high=1_000)
    floor: float = Float(0.001, low=0.00001, high=1.0, unit="near depths")

    def memory(self, timeframe: Timeframe) -> int:
        """The longer window."""
        return max(self.period, self.history)

    def value(
        self, ofi_best: Array, ofi_deep: Array, bid_depth_10bp: Array, ask_depth_10bp: Array, first: int
    ) -> Array:
        """Flow of the best and the ten best levels over near depth, in its usual size, shape (n_bars,).

        Uses `x[: t + 1]` only.
        """
        flow = ratio(ofi_best + ofi_deep, near_depth(bid_depth_10bp, ask_depth_10bp))
        usual = rms(flow, self.history, self.floor, first)
        value: Array = wsum(flow, self.period, first) / (np.sqrt(float(self.period)) * usual)
        return value


class Depth(Component):
    """Depth and slope of both sides out to five per cent, against their usual asymmetry."""

    windowed = True
    title = "Depth asymmetry"
    source = "Naes and Skjeltorp (2006), Journal of Financial Markets 9(4), slope of the book; against its own usual"
    scale = Squash(half=1.5)
    bands = {
        80: "Bids are far deeper than usual against asks ({value:+.1f} deviations)",
        60: "Bids are deeper than usual against asks ({value:+.1f} deviations)",
        40: "Depth is shared as usual ({value:+.1f} deviations)",
        20: "Asks are deeper than usual against bids ({value:+.1f} deviations)",
        0: "Asks are far deeper than usual against bids ({value:+.1f} deviations)",
    }
    holes = True

    period: int = Int(15, low=1, high=100)
    history: int = Int(45, low=10, high=1_000)
    floor: float = Float(0.01, low=0.001, high=0.2, unit="share")

    def memory(self, timeframe: Timeframe) -> int:
        """The mean, and the history it is held against."""
        return self.period + self.history

    def value(
        self,
        bid_depth_10bp: Array, bid_depth_50bp: Array, bid_depth_100bp: Array, bid_depth_200bp: Array,
        bid_depth_500bp: Array, ask_depth_10bp: Array, ask_depth_50bp: Array, ask_depth_100bp: Array,
        ask_depth_200bp: Array, ask_depth_500bp: Array, first: int,
    ) -> Array:  # fmt: skip
        """Asymmetry of the known bands, in deviations from its usual, shape (n_bars,). Uses `x[: t + 1]` only."""
        asymmetry = depth_lean(
            (bid_depth_10bp, bid_depth_50bp, bid_depth_100bp, bid_depth_200bp, bid_depth_500bp),
            (ask_depth_10bp, ask_depth_50bp, ask_depth_100bp, ask_depth_200bp, ask_depth_500bp),
        )
        return unusual(wmean(asymmetry, self.period, first), self.history, self.floor, first)


class MPI(Component):
    """Market pressure: where between bid and ask the next price is expected."""

    windowed = True
    title = "Market pressure"
    source = "Stoikov (2018), Quantitative Finance 18(12), microprice against the middle, in spreads"
    scale = Squash(half=0.8)
    bands = {
        80: "The next price is expected well above the middle ({value:+.1f} usual leans of the microprice)",
        60: "The next price is expected above the middle ({value:+.1f} usual leans of the microprice)",
        40: "Balanced at the best prices ({value:+.1f} usual leans of the microprice)",
        20: "The next price is expected below the middle ({value:+.1f} usual leans of the microprice)",
        0: "The next price is expected well below the middle ({value:+.1f} usual leans of the microprice)",
    }

    period: int = Int(3, low=1, high=100)
    history: int = Int(60, low=10, high=1_000)
    floor: float = Float(0.02, low=0.001, high=0.5, unit="spreads")

    def memory(self, timeframe: Timeframe) -> int:
        """The longer window."""
        return max(self.period, self.history)

    def value(self, micro_lean: Array, first: int) -> Array:
        """Mean of microprice minus middle, in spreads, in its usual size, shape (n_bars,). Uses `x[: t + 1]` only."""
        usual = rms(micro_lean, self.history, self.floor, first)
        return wmean(micro_lean, self.period, first) / usual


class _ShareGap(Component):
    """What bids keep of what is taken from them against what asks keep, in the usual size of that gap."""

    windowed = True
    scale = Squash(half=0.9)

    period: int = Int(20, low=2, high=500)
    history: int = Int(40, low=10, high=1_000)
    floor: float = Float(0.05, low=0.001, high=1.0, unit="share")

    def memory(self, timeframe: Timeframe) -> int:
        """The window, and the history in whose usual size it is measured."""
        return self.period + self.history

    def gap(self, bid_kept: Array, bid_taken: Array, ask_kept: Array, ask_taken: Array, first: int) -> Array:
        """Kept share of what was taken, bids minus asks, in its usual size, shape (n_bars,).

        Uses `x[: t + 1]` only.
        """
        sums = (wsum(x, self.period, first) for x in (bid_kept, bid_taken, ask_kept, ask_taken))
        return in_usual_size(share_gap(*sums), self.history, self.floor, first)


class Liquidity(_ShareGap):
    """Resilience: which side puts back more of what is taken from it."""

    title = "Resilience"
    source = "Large (2007), Journal of Financial Markets 10(1), refilling after a shock; bids against asks"
    bands = {
        80: "Bids put back far more of what is taken ({value:+.1f} usual gaps)",
        60: "Bids put back more of what is taken ({value:+.1f} usual gaps)",
        40: "Both sides put back alike ({value:+.1f} usual gaps)",
        20: "Asks put back more of what is taken ({value:+.1f} usual gaps)",
        0: "Asks put back far more of what is taken ({value:+.1f} usual gaps)",
    }

    def value(self, bid_refill: Array, bid_taken: Array, ask_refill: Array, ask_taken: Array, first: int) -> Array:
        """Refilled share of what was taken. Uses `x[: t + 1]` only."""
        return self.gap(bid_refill, bid_taken, ask_refill, ask_taken, first)


class AbsorptionExhaustion(_ShareGap):
    """Who holds against aggression: takers who hit a wall are exhausted first."""

    title = "Absorption"
    source = "Virtuoso, docs/faces/orderbook.md; liquidity that holds against order flow, Bouchaud et al. (2009), ch. 2"
    bands = {
        80: "Bids absorb selling, asks give way ({value:+.1f} usual gaps)",
        60: "Bids absorb more than asks ({value:+.1f} usual gaps)",
        40: "Both sides hold alike ({value:+.1f} usual gaps)",
        20: "Asks absorb more than bids ({value:+.1f} usual gaps)",
        0: "Asks absorb buying, bids give way ({value:+.1f} usual gaps)",
    }

    def value(self, bid_absorbed: Array, bid_taken: Array, ask_absorbed: Array, ask_taken: Array, first: int) -> Array:
        """Absorbed share of what was taken. Uses `x[: t + 1]` only."""
        return self.gap(bid_absorbed, bid_taken, ask_absorbed, ask_taken, first)


class DOMMomentum(Component):
    """Which side is building: the change of the book's lean."""

    windowed = True
    title = "DOM momentum"
    source = "Virtuoso, docs/faces/orderbook.md; change of the imbalance"
    scale = Squash(half=1.2)
    bands = {
        80: "The book turns to the bids fast ({value:+.1f} deviations)",
        60: "The book turns to the bids ({value:+.1f} deviations)",
        40: "The book leans as before ({value:+.1f} deviations)",
        20: "The book turns to the asks ({value:+.1f} deviations)",
        0: "The book turns to the asks fast ({value:+.1f} deviations)",
    }

    period: int = Int(4, low=1, high=100)
    history: int = Int(40, low=5, high=500)
    floor: float = Float(0.02, low=0.001, high=0.5, unit="share")

    def memory(self, timeframe: Timeframe) -> int:
        """The history, or the two short windows, one before the other."""
        return max(self.history, 2 * self.period)

    def value(self, book_lean: Array, first: int) -> Array:
        """Short mean of the lean minus the one before it, in deviations of the lean, shape (n_bars,).

        Uses `x[: t + 1]` only.
        """
        short, long = wmean(book_lean, self.period, first), wmean(book_lean, 2 * self.period, first)
        turn = 2.0 * (short - long)
        return turn / deviation(book_lean, self.history, self.floor, first)[1]


class OBPS(Component):
    """Order-book pressure that price has not answered yet, decayed."""

    windowed = True
    title = "Book pressure over time"
    source = "Virtuoso, docs/faces/orderbook.md; pressure and response after Cont, Kukanov and Stoikov (2014)"
    scale = Squash(half=0.16)
    bands = {
        80: "The book pushes up, price has not followed ({value:+.2f})",
        60: "The book pushes up more than price shows ({value:+.2f})",
        40: "Price goes where the book pushes ({value:+.2f})",
        20: "The book pushes down more than price shows ({value:+.2f})",
        0: "The book pushes down, price has not followed ({value:+.2f})",
    }
    holes = True
    unit = MeanRange(period=14)

    half: int = Int(6, low=1, high=100)
    length: int = Int(20, low=5, high=500)
    history: int = Int(25, low=10, high=500)
    against: float = Float(1.0, low=0.0, high=2.0, unit="share")
    floor: float = Float(0.001, low=0.00001, high=1.0, unit="near depths")

    def memory(self, timeframe: Timeframe) -> int:
        """The weights, and the history behind the oldest of them."""
        return self.length + self.history

    def value(
        self, ofi_deep: Array, bid_depth_10bp: Array, ask_depth_10bp: Array, bid: Array, ask: Array, unit: Array,
        first: int,
    ) -> Array:  # fmt: skip
        """Decayed mean of push minus response, each -1..1 in a bar, shape (n_bars,). Uses `x[: t + 1]` only."""
        flow = ratio(ofi_deep, near_depth(bid_depth_10bp, ask_depth_10bp))
        usual = rms(flow, self.history, self.floor, first)
        left = np.empty(len(flow))
        _unanswered(flow, usual, bid, ask, unit, self.against, left)
        return weighted(left, decay_weights(self.half, self.length))


@kernel
def _unanswered(flow: Array, usual: Array, bid: Array, ask: Array, unit: Array, against: float, out: Array) -> None:
    """Write what each bar's response has left of its push; not known where price stands still."""
    before = np.nan
    for t in range(len(out)):
        middle = (bid[t] + ask[t]) / 2.0
        move, reach = middle - before, unit[t] if unit[t] > 0.0 else np.nan
        before = middle
        push = flow[t] / np.sqrt(flow[t] * flow[t] + usual[t] * usual[t])
        out[t] = push - against * (move / np.sqrt(move * move + reach * reach))


class Spread(Gate):
    """How wide and unsteady the spread is: quotes that step back are not to be leaned on."""

    windowed = True
    title = "Spread"
    source = "Copeland and Galai (1983), Journal of Finance 38(5): quotes widen when they fear the informed"
    scale = Linear(zero=3.0, hundred=1.0)
    bands = {
        90: "The spread is as tight as usual ({value:.1f} x)",
        60: "The spread is wider or less steady than usual ({value:.1f} x)",
        0: "The spread is far wider or less steady than usual ({value:.1f} x): little can be leaned on",
    }

    period: int = Int(5, low=1, high=100)
    history: int = Int(60, low=10, high=1_000)

    def memory(self, timeframe: Timeframe) -> int:
        """The history."""
        return max(self.period, self.history)

    def value(self, spread: Array, spread_high: Array, first: int) -> Array:
        """Mean and widest spread, each against its usual, averaged; 1 is usual, shape (n_bars,).

        Uses `x[: t + 1]` only.
        """
        wide, widest = (
            ratio(wmean(x, self.period, first), wmean(x, self.history, first)) for x in (spread, spread_high)
        )
        return 0.5 * (wide + widest)


class Manipulation(Gate):
    """Signs of spoofing and layering: large orders that live for seconds and are not traded."""

    windowed = True
    title = "Fleeting orders"
    source = "Hasbrouck and Saar (2009), Journal of Financial Markets 12(2), fleeting orders"
    scale = Linear(zero=3.0, hundred=1.0)
    bands = {
        90: "Large orders come and go no more than usual ({value:.1f} x)",
        50: "Large orders come and go more than usual ({value:.1f} x)",
        0: "Far more large orders come and go than usual ({value:.1f} x): much of the book is not meant to trade",
    }
    holes = True

    period: int = Int(5, low=1, high=500)
    history: int = Int(60, low=10, high=1_000)
    floor: float = Float(0.05, low=0.001, high=10.0, unit="near depths")

    def memory(self, timeframe: Timeframe) -> int:
        """The longer window."""
        return max(self.period, self.history)

    def value(
        self, bid_fleeting: Array, ask_fleeting: Array, bid_depth_10bp: Array, ask_depth_10bp: Array, first: int
    ) -> Array:
        """Fleeting notional over near depth against its usual, about 1 where it is usual, shape (n_bars,).

        Uses `x[: t + 1]` only.
        """
        fleeting = ratio(bid_fleeting + ask_fleeting, near_depth(bid_depth_10bp, ask_depth_10bp))
        return wmean(fleeting, self.period, first) / (wmean(fleeting, self.history, first) + self.floor)


FACE = Face(
    "orderbook",
    "Orderbook",
    {
        Imbalance(): 0.20,
        OFI(): 0.18,
        Depth(): 0.17,
        MPI(): 0.12,
        Liquidity(): 0.10,
        AbsorptionExhaustion(): 0.10,
        DOMMomentum(): 0.08,
        OBPS(): 0.05,
    },
    gates=(Spread(), Manipulation()),
)
