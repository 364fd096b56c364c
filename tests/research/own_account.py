"""Own signals traded again, in plain Python: slow, and written from the words of docs/guides/own-signals.md alone.

What lies between one close and the next (fees, funding, margin, liquidation, stops) is that of the slow account of
tests/account; here is what the guide adds: what signals decide, how large orders are, and what of them is sold first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tests.account.slow_account import NAN, Bar, Order, SlowAccount, Terms

BILLIONTH = 1e-9


@dataclass
class Venue:
    """What a venue accepts of one instrument, and whether it can be sold short."""

    step: float = 0.0
    least: float = 0.0
    least_notional: float = 0.0
    spot: bool = False


@dataclass
class Given:
    """What is given for one instrument, one value a bar; `weights`, or sides of booleans (None: not known) and levels.

    `stop` and `trail` are prices and distances in price, None for none given; `targets` are (prices, share).
    """

    weights: list[float] | None = None
    traded: list[bool] | None = None
    """Whether weights are traded at this close; None: when they change."""
    long: list[bool | None] = field(default_factory=list)
    leave: list[bool | None] = field(default_factory=list)
    short: list[bool | None] = field(default_factory=list)
    cover: list[bool | None] = field(default_factory=list)
    stop: list[tuple[float, float]] | None = None
    """Of a long and of a short."""
    trail: list[float] | None = None
    targets: list[tuple[list[tuple[float, float]], float]] = field(default_factory=list)
    size: list[float] = field(default_factory=list)


class OwnAccount:
    """Trades what is given, bar by bar."""

    def __init__(
        self, cash: float, terms: list[Terms], venues: list[Venue], *, isolated: bool, pessimistic: bool
    ) -> None:
        self.account = SlowAccount(cash, terms, isolated=isolated, pessimistic=pessimistic)
        self.venues = venues
        self.last = [0.0] * len(terms)
        self.equity: list[float] = []

    def live(self, bars: list[list[Bar | None]], given: list[Given]) -> None:
        for t, row in enumerate(bars):
            self.account.live(t, row)
            self.equity.append(self.account.equity)
            for i, bar in enumerate(row):
                if bar is not None:
                    self._decide(t, i, bar.close, given[i])

    def _decide(self, t: int, i: int, close: float, given: Given) -> None:
        if given.weights is None:
            self._by_signals(t, i, close, given)
            return
        weight = given.weights[t]
        if math.isnan(weight):
            return
        wanted = weight != self.last[i] if given.traded is None else given.traded[t]
        self.last[i] = weight
        if wanted:
            self._to_weight(t, i, close, weight)

    # booleans

    def _by_signals(self, t: int, i: int, close: float, given: Given) -> None:
        long, leave, short, cover = (bool(of[t]) for of in (given.long, given.leave, given.short, given.cover))
        if long and leave:
            long = leave = False
        if short and cover:
            short = cover = False
        if long and short:
            long = short = False
        side = long - short
        held = self.account.positions.get(i)
        sign = 0 if held is None else int(math.copysign(1.0, held.size))
        if side and self._enters(t, i, close, side, sign, given):
            return
        if (leave and sign > 0) or (cover and sign < 0):
            self.account.orders[i] = Order(out=1.0, rank=i)

    def _enters(self, t: int, i: int, close: float, side: int, sign: int, given: Given) -> bool:
        """Decide an entry; False where it is refused, as if it had not been given."""
        trail = given.trail[t] if given.trail else NAN
        stop = given.stop[t][side < 0] if given.stop else close - side * trail if given.trail else NAN
        targets = [(prices[t][side < 0], share) for prices, share in given.targets]
        if given.trail and not trail > 0.0:
            return False
        if (given.stop or given.trail) and not (stop > 0.0 and side * (close - stop) > 0.0):
            return False
        if any(not (price > 0.0 and side * (price - close) > 0.0) for price, _ in targets) or math.isnan(given.size[t]):
            return False
        if sign == side:  # it is held: nothing changes
            return True
        quantity = (
            0.0 if side < 0 and self.venues[i].spot else self._accepted(i, given.size[t] * self._a_unit(close), close)
        )
        self._order(t, i, side * quantity, 1.0 if sign else 0.0, stop, trail, targets)
        return True

    # weights

    def _to_weight(self, t: int, i: int, close: float, weight: float) -> None:
        held = self.account.positions.get(i)
        size = held.size if held else 0.0
        if weight == 0.0 or weight * size < 0.0 or (weight < 0.0 and self.venues[i].spot):
            enters = weight != 0.0 and not (weight < 0.0 and self.venues[i].spot)
            quantity = self._accepted(i, abs(weight) * self._a_unit(close), close) if enters else 0.0
            self._order(t, i, math.copysign(quantity, weight), 1.0 if size else 0.0, NAN, NAN, [])
            return
        target = abs(weight) * self._a_unit(close)
        less = 1.0 - self._stepped(i, max(target, 0.0)) / abs(size) if size else 0.0
        more = target - abs(size)
        bought = self._accepted(i, more, close) if more > BILLIONTH * abs(size) else 0.0
        self._order(t, i, math.copysign(bought, weight), less if less > BILLIONTH else 0.0, NAN, NAN, [])

    def _a_unit(self, close: float) -> float:
        """Quantity that all of the equity is at a close."""
        return self.account.equity / close

    def _stepped(self, i: int, quantity: float) -> float:
        step = self.venues[i].step
        return math.floor(quantity / step * (1.0 + 1e-12)) * step if step else quantity

    def _accepted(self, i: int, quantity: float, close: float) -> float:
        """What the venue accepts of a quantity that is to be bought or sold short."""
        venue, size = self.venues[i], self._stepped(i, max(quantity, 0.0))
        return size if size >= venue.least and size * close >= venue.least_notional else 0.0

    def _order(
        self, t: int, i: int, quantity: float, out: float, stop: float, trail: float, targets: list[tuple[float, float]]
    ) -> None:
        venue = self.venues[i]
        self.account.orders[i] = Order(
            out=out, quantity=quantity, expires=t + 1, stop=stop, trail=trail, targets=targets, rank=i, fitted=True,
            step=venue.step, least=venue.least, least_notional=venue.least_notional,
        )  # fmt: skip
