"""Risk: how large an order may be, and whether there may be one at all. The same rules in backtest, paper and live.

1. Size: the equity times the base size, scaled by reliability within limits, over the distance to the stop; or the
   share of the equity that the order asks for, over the price.
2. Limits cut it or stop it, in this order: halt, number of positions, correlation, leverage, heat, the instrument's
   steps and least sizes. Each refusal and each cut is counted under its name.
3. The halt is latched: once equity has fallen by `max_drawdown` from its peak no position is entered any more, until
   somebody resets it.
4. What is to leave at the next open takes no place, so that another can enter at that open. Whether it does leave is
   not known at the decision: its next bar may be missing. So an order is sized twice (`ordered`), with and without
   that place, and the contract takes the smaller size if the place is not free when the order could first act.
5. Limits are enforced for the shipped rule. For a user's own signals they are only reported: the order goes through
   as it is, and the first limit that would have refused or cut it is counted.
6. Where two instruments share too few bars, or one does not move, their correlation is not known. It then refuses
   nothing, and each such entry is counted.

Heat is what all positions would lose at their stops, as a share of equity; without a stop, all of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import state as s
from virtuoso.jit.kernel import inner, kernel

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

LIMITS = (
    "halted",
    "positions",
    "correlation",
    "leverage",
    "heat",
    "size_step",
    "min_notional",
    "no_stop",
)
"""Limits by their code; leverage and heat cut an order before they refuse it."""
HALTED, POSITIONS, CORRELATION, LEVERAGE_LIMIT, HEAT, SIZE_STEP, MIN_NOTIONAL, NO_STOP = range(8)
LEAST_CUT = 1e-6
"""Share of the wanted size below which what a limit leaves is nothing: rounding of what is spent, not room."""
ROUNDING = 1e-9
"""Share of a position below which a change of it is rounding."""
LEAST_SHARED = 30
"""Bars that two instruments must share before their correlation counts."""
LEAST_SPREAD = 1e-12
"""Share of the mean square of returns below which their spread is rounding: such prices do not move, or by one rate."""


class Limits(NamedTuple):
    """What an account may do; see `RiskSettings` and `TradingSettings`.

    Attributes
    ----------
    base_size : float
        Share of equity at risk to the stop, at full scale.
    least_scale : float
        What reliability 0 scales it by; reliability 1 leaves it whole.
    max_positions : int
    max_leverage : float
        Notional of all positions over equity.
    heat : float
        Share of equity at risk in all positions together.
    correlation : float
        With an open position on the same side of the market.
    max_drawdown : float
        Fall from the peak that halts.
    """

    base_size: float = 0.01
    least_scale: float = 0.5
    max_positions: int = 10
    max_leverage: float = 3.0
    heat: float = 0.25
    correlation: float = 0.7
    max_drawdown: float = 0.15


class Rules(NamedTuple):
    """What a venue accepts of an instrument; 0 where it does not say.

    Attributes
    ----------
    size_step, min_size : float, base currency
    min_notional : float, quote currency
    """

    size_step: float = 0.0
    min_size: float = 0.0
    min_notional: float = 0.0


@kernel
def correlation(closes: Array, i: int, k: int) -> float:
    """Correlation of the returns of two instruments over the closes handed in, NaN where they share too few.

    Parameters
    ----------
    closes : Array, shape (n_bars, n_instruments)
        Up to the decision, NaN where not known.
    """
    n = 0
    x = y = xx = yy = xy = 0.0
    for t in range(1, len(closes)):
        a = closes[t, i] / closes[t - 1, i] - 1.0
        b = closes[t, k] / closes[t - 1, k] - 1.0
        if np.isnan(a) or np.isnan(b):
            continue
        n += 1
        x += a
        y += b
        xx += a * a
        yy += b * b
        xy += a * b
    if n < LEAST_SHARED:
        return np.nan
    apart, beside = xx - x * x / n, yy - y * y / n
    spread = apart * beside
    if not (apart > LEAST_SPREAD * xx and beside > LEAST_SPREAD * yy and spread > 0.0):
        return np.nan
    found: float = (xy - x * y / n) / np.sqrt(spread)
    return found


@inner
def risk_of(size: float, price: float, stop: float) -> float:
    """What a position would lose from a price to its stop, quote currency; all of it without a stop."""
    if np.isnan(stop):
        return abs(size) * price
    return max(size * (price - stop), 0.0)


@kernel
def admitted(
    i: int, side: float, price: float, stop: float, reliability: float, equity: float, halted: bool, closes: Array,
    prices: Array, orders: Array, positions: Array, limits: Limits, rules: Array, stays: bool, refused: Counts,
    cut: Counts, unknown: Counts,
) -> float:  # fmt: skip
    """Size an order may have that is sized by what it risks to its stop, signed, in base currency; 0 if it is refused.

    Parameters
    ----------
    i : int
        Instrument.
    side : float
        1 or -1.
    price, stop : float
        Where it would be entered: the limit, or the close of the decision; what proves it wrong.
    reliability : float, 0..1
        Full scale where it is not known.
    equity : float, quote currency
    halted : bool
    closes : Array, shape (n_bars, n_instruments)
        For the correlation; up to the decision.
    prices : Array, shape (n_instruments,)
        Last known marks.
    orders, positions : Array
        Of the contract; what waits counts as if it were held.
    limits : Limits
    rules : Array, shape (n_instruments, 3)
        `Rules` of each.
    stays : bool
        Whether what is to leave at the next open counts as if it stayed; whatever then enters beside it counts too, at
        the worse of both.
    refused, cut : array of int64, shape (len(LIMITS),)
        Counters, added to.
    unknown : array of int64, shape (1,)
        Orders that were let through beside one whose correlation is not known, added to.
    """
    size = risked(limits, equity, reliability, price, stop)
    return _allowed(
        i, side, price, stop, size, 0.0, equity, halted, False, True, closes, prices, orders, positions, limits, rules,
        stays, refused, cut, refused, cut, unknown,
    )  # fmt: skip


@inner
def risked(limits: Limits, equity: float, reliability: float, price: float, stop: float) -> float:
    """Size that loses its share of the equity at its stop, base currency; NaN without a stop."""
    trusted = 1.0 if np.isnan(reliability) else min(max(reliability, 0.0), 1.0)
    scale = limits.least_scale + (1.0 - limits.least_scale) * trusted
    return limits.base_size * scale * equity / abs(price - stop)


@inner
def _allowed(
    i: int, side: float, price: float, stop: float, size: float, held: float, equity: float, halted: bool,
    latched: bool, enforced: bool, closes: Array, prices: Array, orders: Array, positions: Array, limits: Limits,
    rules: Array, stays: bool, refused: Counts, cut: Counts, limit_refused: Counts, limit_cut: Counts, unknown: Counts,
) -> float:  # fmt: skip
    """What of a size may be entered beside what is `held` of it, signed, in base currency; 0 if it is refused.

    A limit that is not enforced changes nothing; the first that would have is counted among `limit_refused` or
    `limit_cut`. `latched` is a halt that is only reported. What adds to a position takes no place of its own.
    """
    if halted or not equity > 0.0:
        refused[HALTED] += 1
        return 0.0
    if (np.isnan(size) or not np.isnan(stop)) and not side * (price - stop) > 0.0:
        refused[NO_STOP] += 1
        return 0.0
    told = latched and not enforced
    if told:
        limit_refused[HALTED] += 1
    taken, notional, heat, doubtful = 0, 0.0, 0.0, False
    for k in range(len(positions)):
        if k == i:  # what is held here is closed first: neither happens before this instrument's own next bar
            continue
        own, waits, leaves = positions[k, s.SIZE], orders[k, s.QUANTITY], orders[k, s.CLOSE_FIRST]
        if leaves != 0.0 and not stays:
            own *= 1.0 - leaves  # it leaves at the next open, before anything enters
        if own == 0.0 and waits == 0.0:
            continue
        taken += 1
        most, risk, known = 0.0, 0.0, np.nan
        for entering in (False, True):
            together = own if entering and own * waits > 0.0 and leaves == 0.0 else 0.0  # an add, with what it adds to
            size_there = waits + together if entering else own
            if size_there == 0.0 or (entering and own != 0.0 and leaves == 0.0 and together == 0.0):
                continue
            at = orders[k, s.LIMIT] if entering and not np.isnan(orders[k, s.LIMIT]) else prices[k]
            mark = at if not np.isnan(at) else positions[k, s.ENTRY]
            most = max(most, abs(size_there) * mark)
            stop_there = orders[k, s.ORDER_STOP] if entering else positions[k, s.STOP]
            risk = max(risk, risk_of(size_there, mark, stop_there))
            if held == 0.0 and not told:
                if np.isnan(known):
                    known = correlation(closes, i, k)
                if side * size_there * known > limits.correlation * abs(size_there):
                    limit_refused[CORRELATION] += 1
                    told = True
                    if enforced:
                        return 0.0
        notional += most
        heat += risk
        doubtful = doubtful or (held == 0.0 and not told and np.isnan(known))
    if taken >= limits.max_positions and held == 0.0 and not told:
        limit_refused[POSITIONS] += 1
        told = True
        if enforced:
            return 0.0
    apart = abs(price - stop) if not np.isnan(stop) else price
    room = (limits.max_leverage * equity - notional) / price
    for limit in (LEVERAGE_LIMIT, HEAT):
        if limit == HEAT:
            room = (limits.heat * equity - heat) / apart
        if enforced:
            size = _cut(size, room, limit, refused, cut)
        elif not told and size > room * (1.0 + ROUNDING):
            _cut(size, room, limit, limit_refused, limit_cut)
            told = True
    size -= abs(held)
    if size <= ROUNDING * abs(held):
        return 0.0
    size = as_the_venue_accepts(size, price, rules[i], refused)
    if doubtful and size > 0.0:
        unknown[0] += 1
    return side * size


@inner
def ordered(
    i: int, side: float, price: float, stop: float, size: float, held: float, equity: float, halted: bool,
    latched: bool, enforced: bool, closes: Array, prices: Array, orders: Array, positions: Array, limits: Limits,
    rules: Array, refused: Counts, cut: Counts, limit_refused: Counts, limit_cut: Counts, unknown: Counts, order: Array,
) -> None:  # fmt: skip
    """Write the size of an order, and what of it does not count on something that is to leave; see `_allowed`.

    `order` is not yet among `orders`.
    """
    wanted = _allowed(
        i, side, price, stop, size, held, equity, halted, latched, enforced, closes, prices, orders, positions, limits,
        rules, False, refused, cut, limit_refused, limit_cut, unknown,
    )  # fmt: skip
    order[s.QUANTITY], order[s.FIRM_QUANTITY], order[s.CONDITIONAL] = wanted, wanted, 0.0
    leaves = False
    for k in range(len(positions)):
        leaves = leaves or (k != i and orders[k, s.CLOSE_FIRST] != 0.0 and positions[k, s.SIZE] != 0.0)
    if leaves and wanted != 0.0 and enforced:
        aside = np.zeros_like(refused)  # an order is counted once
        order[s.CONDITIONAL] = 1.0
        order[s.FIRM_QUANTITY] = _allowed(
            i, side, price, stop, size, held, equity, halted, latched, enforced, closes, prices, orders, positions,
            limits, rules, True, aside, aside, aside, aside, aside,
        )  # fmt: skip


@inner
def aim(order: Array, held: float, size: float, step: float) -> None:
    """Write what leaves of what is held for no more than a size to be left; nothing where the two are the same."""
    if step > 0.0:
        size = np.floor(size / step * (1.0 + 1e-12)) * step
    share = 1.0 - size / abs(held)
    order[s.CLOSE_FIRST] = share if share > ROUNDING else 0.0


@inner
def _cut(size: float, most: float, limit: int, refused: Counts, cut: Counts) -> float:
    """Cut a size to what a limit leaves; nothing is a refusal."""
    if size <= 0.0 or size <= most:
        return size
    if most <= LEAST_CUT * size:
        refused[limit] += 1
        return 0.0
    cut[limit] += 1
    return most


@inner
def as_the_venue_accepts(size: float, price: float, rules: Array, refused: Counts) -> float:
    """Round a size down to the step; refuse what is below the least size or notional."""
    if rules[0] > 0.0:
        size = np.floor(size / rules[0] * (1.0 + 1e-12)) * rules[0]
    if size <= 0.0 or size < rules[1]:
        refused[SIZE_STEP] += 1
        return 0.0
    if size * price < rules[2]:
        refused[MIN_NOTIONAL] += 1
        return 0.0
    return size
