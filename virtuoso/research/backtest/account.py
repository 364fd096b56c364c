"""Terms of a portfolio: what configuration, the command line and the venue's rules say, as one account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.account.margin import Tiers
from virtuoso.account.risk import Limits, Rules
from virtuoso.account.settings import RiskSettings, TradingSettings
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.market.events import Events
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.panel import FundingTerms

MARGINS = ("isolated", "cross")
LARGEST_FEE = 0.1
MARGIN_ROOM = 0.95
"""Share of the equity that may back positions: fees, and an open beyond the close of the decision, fit in the rest."""


def account_from(
    trading: TradingSettings,
    risk_settings: RiskSettings,
    instruments: Iterable[Instrument],
    *,
    cash: float = 10_000.0,
    risk: float | None = None,
    fees: float | None = None,
    maker: float | None = None,
    taker: float | None = None,
    leverage: float | None = None,
    margin: str = "isolated",
    trail: float = 0.0,
    halt: bool = False,
    reset_halt: int = 0,
    limited: bool = True,
    rules: Mapping[Instrument, Rules] | None = None,
    tiers: Mapping[Instrument, Tiers] | None = None,
) -> Account:
    """Make the account that a backtest trades with.

    Parameters
    ----------
    trading : TradingSettings
    risk_settings : RiskSettings
    instruments : iterable of Instrument
        What is traded; an account of spot alone knows no leverage.
    cash : float, quote currency
    risk : float, optional
        Share of the equity that a position risks to its stop; `trading.base_position_size` if absent.
    fees : float, optional
        Of the notional of each fill, maker and taker alike.
    maker, taker : float, optional
        Either fee; 0.0002 and 0.0005 if nothing says otherwise.
    leverage : float, optional
        At which perpetuals are opened; `trading.max_leverage` if absent.
    margin : str
        isolated or cross.
    trail : float
        Distance in R at which stops trail; 0 leaves them.
    halt : bool
        Whether a halt is enforced, as in paper and live trading; else it is only reported.
    reset_halt : int
        Days after which a halt that is enforced is lifted; 0 never.
    limited : bool
        Whether limits refuse and cut orders; else it is only counted what they would have done.
    rules : mapping of Instrument to Rules, optional
    tiers : mapping of Instrument to Tiers, optional
        Half a percent throughout where there are none.

    Raises
    ------
    ConfigError
        A margin mode that there is not, a halt to be lifted that is not enforced, or a risk to the stop where size
        goes by volatility.
    """
    if margin not in MARGINS:
        raise ConfigError(f"margin is isolated or cross, was {margin!r}. {did_you_mean(margin, MARGINS)}")
    _check_fees(fees, maker, taker)
    by_volatility = trading.size_by == "volatility" and limited
    if by_volatility and risk is not None:
        raise ConfigError(
            f"--risk {risk:g} sizes positions by their stops, and trading.size_by is volatility. Leave one of them "
            f"out; trading.target_volatility, now {trading.target_volatility:g}, says how large they are then."
        )
    defaults = Account()
    chosen = trading.max_leverage if leverage is None else leverage
    if all(one.is_spot for one in instruments):
        chosen = 1.0
    limits = Limits(
        base_size=trading.base_position_size if risk is None else risk,
        max_positions=trading.max_positions,
        max_leverage=min(trading.max_leverage, (MARGIN_ROOM if limited else 1.0) * chosen),
        heat=risk_settings.position_heat,
        correlation=risk_settings.correlation_limit,
        max_drawdown=risk_settings.max_drawdown,
    )
    return Account(
        cash=cash,
        maker=_first(maker, fees, defaults.maker),
        taker=_first(taker, fees, defaults.taker),
        leverage=chosen,
        isolated=margin == "isolated",
        limits=limits,
        rules=dict(rules or {}),
        tiers=dict(tiers or {}),
        trail=trail,
        halt=halt,
        reset_halt=reset_halt,
        limited=limited,
        target_volatility=trading.target_volatility if by_volatility else 0.0,
    )


def _check_fees(fees: float | None, maker: float | None, taker: float | None) -> None:
    """Refuse fees that no venue asks, by the name that was used; only who makes a price is ever paid for it."""
    if fees is not None and not -LARGEST_FEE <= fees < LARGEST_FEE:
        raise ConfigError(f"fees is a share of each fill, such as 0.0005 for five basis points, was {fees!r}.")
    if fees is not None and fees < 0.0 and taker is None:
        raise ConfigError(
            f"fees={fees!r} would pay for taking a price as well as for making one. Say maker={fees!r} for the rebate, "
            "and taker= for what market orders and stops pay."
        )
    if maker is not None and not -LARGEST_FEE <= maker < LARGEST_FEE:
        raise ConfigError(
            f"maker is a share of a fill, from -0.1 (a rebate) to under 0.1 (0.0002 is 2 bp), was {maker!r}."
        )
    if taker is not None and not 0.0 <= taker < LARGEST_FEE:
        raise ConfigError(f"taker is a share of a fill, from 0 to under 0.1 (0.0005 is 5 bp), was {taker!r}.")


def _first(*said: float | None) -> float:
    return next(value for value in said if value is not None)


def funding_terms(assume_funding: float | None, mark: Literal["last"] | str | None) -> FundingTerms:
    """Say what stands for funding and mark prices that are not known.

    Raises
    ------
    ConfigError
        Something else than the last price is to stand for the mark price.
    """
    if mark not in (None, "last"):
        raise ConfigError(f"Only the last price may stand for the mark price: --mark last, was {mark!r}.")
    if assume_funding is not None and not -0.1 < assume_funding < 0.1:
        raise ConfigError(
            f"assume_funding is a rate per eight hours, such as 0.0001 for one basis point, was {assume_funding!r}."
        )
    return FundingTerms(assume_funding, mark == "last")


def rules_at(events: Events, time_ms: int) -> Rules | None:
    """Rules of an instrument that were in force at a moment, or the first that are known; None where there are none."""
    if len(events) == 0:
        return None
    row = _in_force(events, time_ms)
    names = ("size_step", "min_size", "min_notional")
    return Rules(*(float(np.nan_to_num(events[name][row])) for name in names))


def tiers_at(events: Events, time_ms: int) -> Tiers | None:
    """Maintenance tiers that were in force at a moment, or the first that are known; None where there are none.

    Raises
    ------
    ConfigError
        What is stored of that moment is no whole table.
    """
    if len(events) == 0:
        return None
    rows = np.flatnonzero(events.event_time == events.event_time[_in_force(events, time_ms)])
    rows = rows[np.argsort(events["floor"][rows])]
    return Tiers.of(events["floor"][rows].tolist(), events["rate"][rows].tolist())


def _in_force(events: Events, time_ms: int) -> int:
    """Position of the last event that was known at a moment, or of the first one ever."""
    return max(int(np.searchsorted(events.available_at, time_ms, side="right")) - 1, 0)
