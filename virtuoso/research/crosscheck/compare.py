"""The first backtest: the intents of one instrument, filled at the next open, on stated terms.

1. `plan.py` turns intents into orders at opens and counts what cannot be filled as meant.
2. `fills.py` fills them through vectorbt, its only door.
3. `ledger.py` makes trades and equity of the fills; `results.py` holds them and says what they are worth.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from virtuoso.clock import Env
from virtuoso.errors import NoDataError
from virtuoso.prism.result.scores import Scores
from virtuoso.research.crosscheck.orders import Tape, Terms, check_intents, plan_orders
from virtuoso.research.crosscheck.result import BacktestResult
from virtuoso.research.crosscheck.trades import buy_and_hold, check_solvent, equity_of, pair_trades
from virtuoso.research.crosscheck.vectorbt import fill_orders


def backtest(
    scores: Scores,
    intents: np.ndarray,
    *,
    fees: float = 0.0005,
    slippage: float = 0.0002,
    cash: float = 10_000.0,
    risk: float = 0.01,
    config: Mapping[str, object] | None = None,
    provenance: Mapping[str, str] | None = None,
    env: Env | None = None,
) -> BacktestResult:
    """Trade intents on the bars that were scored.

    Parameters
    ----------
    scores : Scores
        Of the same bars that the intents were made from.
    intents : array of INTENT
        Decided at the closes of bars, filled at the opens of the next ones.
    fees : float
        Of the notional of each fill.
    slippage : float
        Of the price of each fill, always against us, at stops and targets too.
    cash : float, quote currency
        Equity at the start.
    risk : float, 0..1
        Share of the equity that a position loses at its stop, before costs; it never costs more than the cash.
    config : mapping, optional
        Settings in force, kept with the result.
    provenance : mapping of str to str, optional
        Digests of data, configuration and code, kept with the result.
    env : Env, optional
        Where the bootstrap of the score buckets draws from; seeded with 0 if absent.

    Returns
    -------
    BacktestResult

    Raises
    ------
    NoDataError
        If not two bars in a row of what was scored are known.
    DataError
        If the intents are not of these scores, or a short lost more than the account held.

    Examples
    --------
    >>> result = backtest(scores, intents(scores, settings))  # doctest: +SKIP
    >>> print(result)                                         # doctest: +SKIP
    """
    instrument = scores.frame.instrument
    terms = Terms(fees, slippage, cash, risk, shorts=not instrument.is_spot)
    tape = Tape.of(scores.frame.base, scores.start, scores.start + len(scores))
    if len(tape) < 2:
        raise NoDataError(f"A backtest of {instrument} needs at least two known bars, found {len(tape)}.")
    check_intents(intents, scores.start, scores.start + len(scores))
    plan = plan_orders(intents, tape, terms)
    fills = fill_orders(plan.orders, tape, terms, scores.frame.timeframe)
    equity, position = equity_of(fills, tape, terms.cash)
    check_solvent(equity, tape)
    return BacktestResult(
        scores=scores,
        intents=intents,
        terms=terms,
        tape=tape,
        plan=plan,
        trades=pair_trades(fills, plan.orders, intents, tape, terms),
        equity=equity,
        position=position,
        benchmark=buy_and_hold(tape, terms),
        config=dict(config or {}),
        given_provenance=dict(provenance or {}),
        env=env or Env(seed=0),
    )
