"""The account again, in plain Python: slow, and written from the rules of account/engine.py's first page alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

NAN = math.nan


@dataclass
class Bar:
    """One bar of one instrument; `None` in its place is a bar that is not known."""

    open: float
    high: float
    low: float
    close: float
    mark_open: float
    mark_high: float
    mark_low: float
    mark_close: float
    slippage: float
    funding_open: float
    funding_inside: float


@dataclass
class Order:
    """What was decided at a close: out, wholly or by a share of what is held, or a signed quantity with its bracket."""

    out: float = 0.0
    quantity: float = 0.0
    limit: float = NAN
    expires: int = 0
    stop: float = NAN
    trail: float = NAN
    targets: list[tuple[float, float]] = field(default_factory=list)
    rank: int = 0
    rests: bool = False
    firm: float | None = None  # what remains of it if an exit that it counts on does not come; None: on none
    fitted: bool = False  # cut to what can be paid, by a step and not below a size and a notional
    step: float = 0.0
    least: float = 0.0
    least_notional: float = 0.0


@dataclass
class Position:
    """What is held of one instrument."""

    size: float
    entry: float
    margin: float
    mark: float
    whole: float
    by: int
    stop: float = NAN
    trail: float = NAN
    targets: list[tuple[float, float]] = field(default_factory=list)
    filled_inside: bool = False
    doubted: bool = False

    @property
    def long(self) -> bool:
        return self.size > 0.0

    @property
    def profit(self) -> float:
        return self.size * (self.mark - self.entry)

    def lost_by(self, price: float, level: float) -> bool:
        """Whether a price is at or beyond a level on the losing side."""
        return price <= level if self.long else price >= level

    def won_by(self, price: float, level: float) -> bool:
        return price >= level if self.long else price <= level

    def worst(self, bar: Bar) -> float:
        return bar.low if self.long else bar.high

    def worst_mark(self, bar: Bar) -> float:
        return bar.mark_low if self.long else bar.mark_high

    def best(self, bar: Bar) -> float:
        return bar.high if self.long else bar.low


@dataclass
class Terms:
    """Fees and leverage of one instrument, and its tiers as (floor, rate)."""

    maker: float
    taker: float
    liquidation_fee: float
    leverage: float
    tiers: list[tuple[float, float]]

    def maintenance(self, notional: float) -> float:
        """Each slice of the notional at the rate of its tier: what the deductions amount to."""
        owed = 0.0
        for k, (floor, rate) in enumerate(self.tiers):
            ceiling = self.tiers[k + 1][0] if k + 1 < len(self.tiers) else math.inf
            if notional > floor:
                owed += (min(notional, ceiling) - floor) * rate
        return owed


class SlowAccount:
    """An account that lives bar by bar and writes down what happens to it."""

    def __init__(self, cash: float, terms: list[Terms], *, isolated: bool, pessimistic: bool) -> None:
        self.wallet, self.terms = cash, terms
        self.isolated, self.pessimistic = isolated, pessimistic
        self.positions: dict[int, Position] = {}
        self.orders: dict[int, Order] = {}
        self.events: list[tuple] = []
        self.now = 0

    @property
    def equity(self) -> float:
        return self.wallet + sum(p.profit for p in self.positions.values())

    def live(self, now: int, bars: list[Bar | None]) -> None:
        self.now = now
        known = {i: bar for i, bar in enumerate(bars) if bar is not None}
        self._open(known)
        self._keep_promises()
        self._enter(known, inside=False)
        self._enter(known, inside=True)
        self._inside(known)
        self._end(known)

    # at the open

    def _open(self, known: dict[int, Bar]) -> None:
        for i, bar in known.items():
            if i in self.positions:
                self.positions[i].mark = bar.mark_open
                self._fund(i, -self.positions[i].size * bar.funding_open)
        called = self._called({i: (bar, False) for i, bar in known.items()})
        for i, bar in known.items():
            order = self.orders.get(i)
            if i in self.positions:
                held = self.positions[i]
                if i in called:
                    self._leave(i, "liquidation", held.size, called[i], 0.0, self.terms[i].liquidation_fee)
                elif held.lost_by(bar.open, held.stop):
                    self._leave(i, "stop", held.size, bar.open, bar.slippage, self.terms[i].taker)
                elif order and order.out:
                    self._leave(i, "signal", held.size * order.out, bar.open, bar.slippage, self.terms[i].taker)
            if order:
                order.out = 0.0

    def _keep_promises(self) -> None:
        late = [i for i, order in self.orders.items() if order.out and i in self.positions]
        for i, order in sorted(self.orders.items()):
            if order.firm is None or order.quantity == 0.0:
                continue
            if late and order.firm != order.quantity:
                given_up, limit = order.quantity - order.firm, order.limit
                order.quantity = order.firm
                if order.firm == 0.0:
                    order.limit, order.rests = NAN, False
                self._write(i, "withdrawn", order.rank, given_up, limit)
            order.firm = None

    def halt(self) -> None:
        """What is latched at a close that has been lived through: nothing waits to enter any more."""
        for i, order in sorted(self.orders.items()):
            self._lapse(i, order)

    def _lapse(self, i: int, order: Order) -> None:
        if order.quantity != 0.0:
            self._write(i, "lapsed", order.rank, 0.0, order.limit)
            order.quantity, order.limit, order.rests = 0.0, NAN, False

    def _enter(self, known: dict[int, Bar], *, inside: bool) -> None:
        for i in sorted(self.orders, key=lambda i: (self.orders[i].rank, i)):
            order = self.orders[i]
            if i not in known or order.quantity == 0.0:
                continue
            bar, sign = known[i], math.copysign(1.0, order.quantity)
            fill = None
            if math.isnan(order.limit):
                if not inside:
                    fill = bar.open * (1.0 + sign * bar.slippage), bar.open, self.terms[i].taker
            elif inside:
                if (bar.low < order.limit) if sign > 0 else (bar.high > order.limit):
                    fill = order.limit, order.limit, self.terms[i].maker
            elif order.rests:
                if (bar.open < order.limit) if sign > 0 else (bar.open > order.limit):
                    fill = order.limit, order.limit, self.terms[i].maker
            elif (bar.open <= order.limit) if sign > 0 else (bar.open >= order.limit):
                slipped = bar.open * (1.0 + sign * bar.slippage)
                best = min(slipped, order.limit) if sign > 0 else max(slipped, order.limit)
                fill = best, bar.open, self.terms[i].taker
            if fill:
                self._fill(i, bar, order, *fill, inside=inside)

    def _fill(self, i: int, bar: Bar, order: Order, price: float, quoted: float, rate: float, *, inside: bool) -> None:
        quantity, held = order.quantity, self.positions.get(i)
        order.quantity, order.limit, order.rests = 0.0, NAN, False
        before, asked = held.size if held else 0.0, quantity
        if order.fitted:
            quantity = self._fitted(i, order, quantity, price, rate)
        notional = abs(quantity) * price
        margin, fee = notional / self.terms[i].leverage, notional * rate
        free = (self.wallet if self.isolated else self.equity) - sum(p.margin for p in self.positions.values())
        wrong_side = quoted <= order.stop if quantity > 0 else quoted >= order.stop
        for target, _ in order.targets:
            wrong_side = wrong_side or (price >= target if quantity > 0 else price <= target)
        whole_margin = margin + (held.margin if held else 0.0)
        too_thin = whole_margin <= self.terms[i].maintenance(abs(before + quantity) * price)
        poor = quantity == 0.0 if order.fitted else margin + fee > free
        if before * quantity < 0.0 or wrong_side or poor or too_thin:
            self._write(i, "rejected", order.rank, asked, price)
            return
        if quantity != asked:
            self._write(i, "withdrawn", order.rank, asked - quantity, price)
        entry = (before * held.entry + quantity * price) / (before + quantity) if held else price
        self.positions[i] = Position(
            before + quantity, entry, whole_margin, price if inside else bar.mark_open, abs(before + quantity),
            order.rank, order.stop, order.trail, list(order.targets), inside, held.doubted if held else False,
        )  # fmt: skip
        self.wallet -= fee
        self._write(i, "entry", order.rank, quantity, price, fee, abs(quantity) * abs(price - quoted))
        if not inside:
            self._fund(i, min(-quantity * bar.funding_open, 0.0))

    def _fitted(self, i: int, order: Order, quantity: float, price: float, rate: float) -> float:
        """What can be paid of an order: its margin and its fee out of what is free; what rounding makes of it aside."""
        free = (self.wallet if self.isolated else self.equity) - sum(p.margin for p in self.positions.values())
        each = price * (1.0 / self.terms[i].leverage + rate)
        if abs(quantity) * each <= free * (1.0 + 1e-12):
            return quantity
        most = max(free, 0.0) / each
        if order.step:
            most = math.floor(most / order.step * (1.0 + 1e-12)) * order.step
        if most <= 1e-6 * abs(quantity) or most < order.least or most * price < order.least_notional:
            return 0.0
        return math.copysign(most, quantity)

    # between open and close

    def _inside(self, known: dict[int, Bar]) -> None:
        for i, bar in known.items():
            if i in self.positions:
                self._fund(i, min(-self.positions[i].size * bar.funding_inside, 0.0))
        called = self._called({i: (bar, True) for i, bar in known.items()})
        for i, bar in known.items():
            if i in self.positions:
                self._fate(i, bar, called.get(i))
        for i, bar in known.items():
            if i in self.positions:
                self._fund(i, max(-self.positions[i].size * bar.funding_inside, 0.0))

    def _fate(self, i: int, bar: Bar, called: float | None) -> None:
        held = self.positions[i]
        stopped = held.lost_by(held.worst(bar), held.stop)
        if called is not None and stopped and not held.lost_by(held.stop, called):
            called = None
        lost = stopped or called is not None
        reached = [t for t in held.targets if held.won_by(held.best(bar), t[0])]
        certain = [t for t in reached if not held.filled_inside or held.won_by(bar.close, t[0])]
        for target in reached:
            held.doubted = held.doubted or lost or target not in certain
            if i in self.positions and (not self.pessimistic or (target in certain and not lost)):
                held.targets.remove(target)
                part = math.copysign(min(target[1] * held.whole, abs(held.size)), held.size)
                self._leave(i, "target", part, target[0], 0.0, self.terms[i].maker)
        if i not in self.positions:
            return
        if called is not None:
            self._leave(i, "liquidation", held.size, called, 0.0, self.terms[i].liquidation_fee)
        elif stopped:
            price = min(held.stop, bar.open) if held.long else max(held.stop, bar.open)
            self._leave(i, "stop", held.size, price, bar.slippage, self.terms[i].taker)

    def _end(self, known: dict[int, Bar]) -> None:
        for i, held in self.positions.items():
            if i not in known:
                continue
            bar = known[i]
            best = bar.close if held.filled_inside else held.best(bar)
            if not math.isnan(held.trail):
                follow = best - held.trail if held.long else best + held.trail
                nearer = max if held.long else min
                held.stop = follow if math.isnan(held.stop) else nearer(held.stop, follow)
            held.mark, held.filled_inside = bar.mark_close, False
        for i, order in sorted(self.orders.items()):
            if order.quantity != 0.0:
                order.rests = True
                if self.now >= order.expires:
                    self._lapse(i, order)

    # margin

    def _called(self, ways: dict[int, tuple[Bar, bool]]) -> dict[int, float]:
        """Marks at which positions are liquidated, of those that are; that is where they stand then."""
        called = self._each_called(ways) if self.isolated else self._account_called(ways)
        for i, mark in called.items():
            self.positions[i].mark = mark
        return called

    def _each_called(self, ways: dict[int, tuple[Bar, bool]]) -> dict[int, float]:
        called = {}
        for i, (bar, inside) in ways.items():
            held = self.positions.get(i)
            if held is None:
                continue
            end = held.worst_mark(bar) if inside else held.mark

            def room(mark: float, i: int = i, held: Position = held) -> float:
                return held.margin + held.size * (mark - held.entry) - self.terms[i].maintenance(abs(held.size) * mark)

            if room(end) <= 0.0:
                called[i] = _crossing(room, held.mark, end)
        return called

    def _account_called(self, ways: dict[int, tuple[Bar, bool]]) -> dict[int, float]:
        def mark(i: int, way: float) -> float:
            held = self.positions[i]
            if i not in ways or not ways[i][1]:
                return held.mark
            return held.mark + way * (held.worst_mark(ways[i][0]) - held.mark)

        def room(way: float) -> float:
            left = self.wallet
            for i, held in self.positions.items():
                at = mark(i, way)
                if i in ways and ways[i][1] and held.lost_by(held.worst(ways[i][0]), held.stop):
                    at = max(at, held.stop) if held.long else min(at, held.stop)
                left += held.size * (at - held.entry) - self.terms[i].maintenance(abs(held.size) * at)
            return left

        if not self.positions or room(1.0) > 0.0:
            return {}
        way = _crossing(room, 0.0, 1.0)
        return {i: mark(i, way) for i in self.positions if i in ways}

    # money

    def _leave(self, i: int, kind: str, part: float, quoted: float, slippage: float, rate: float) -> None:
        held = self.positions[i]
        price = quoted * (1.0 - slippage) if held.long else quoted * (1.0 + slippage)
        if abs(held.size - part) < 1e-12 * held.whole:
            part = held.size
        backing = held.margin * part / held.size if self.isolated else self.equity - held.profit
        realised, fee = part * (price - held.entry), abs(part) * price * rate
        if realised < 0.0:
            realised = max(realised, min(-backing, 0.0))
        fee = min(fee, max(backing + realised, 0.0))  # a rebate is received
        self.wallet += realised - fee
        held.margin *= (held.size - part) / held.size
        held.size -= part
        by = held.by
        if held.size == 0.0:
            del self.positions[i]
        self._write(i, kind, by, -part, price, fee, abs(part) * abs(price - quoted), realised, 0.0, held.doubted)

    def _fund(self, i: int, amount: float) -> None:
        if amount != 0.0:
            self.wallet += amount
            if self.isolated:
                self.positions[i].margin += amount
            self._write(i, "funding", self.positions[i].by, 0.0, NAN, 0.0, 0.0, 0.0, amount)

    def _write(
        self, i: int, kind: str, by: int, size: float, price: float, fee: float = 0.0, slippage: float = 0.0,
        realised: float = 0.0, funding: float = 0.0, doubted: bool = False,
    ) -> None:  # fmt: skip
        self.events.append((self.now, i, kind, by, size, price, fee, slippage, realised, funding, self.wallet, doubted))


def _crossing(room, safe: float, end: float) -> float:
    """Where on the way from `safe` to `end` a falling function meets zero; at once if it begins there."""
    if room(safe) <= 0.0:
        return safe
    for _ in range(60):
        middle = 0.5 * (safe + end)
        if room(middle) <= 0.0:
            end = middle
        else:
            safe = middle
    return end
