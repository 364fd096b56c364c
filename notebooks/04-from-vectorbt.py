# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From vectorbt to Virtuoso: what is the same, and what was missing?
#
# You have entries and exits, and a `Portfolio.from_signals`. This notebook trades one EMA cross in both, side by side:
# first where vectorbt models everything there is (bought with cash, no funding), so that the trades must be equal, then
# on a perpetual contract, where they cannot be.
#
# The market is *simulated*: it says nothing about real ones.

# %%
import numpy as np
import pandas as pd
import talib
import vectorbt as vbt

import virtuoso as vt

minutes = pd.DataFrame(vt.simulate(["BTCUSDT"], days=60, seed=7)["BTCUSDT"])
minutes.index = pd.to_datetime(minutes.pop("open_time"), unit="ms", utc=True)
how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
table = minutes.resample("5min").agg(how)["2025-01-04":]  # after the outage that the simulator had put there
spot = vt.MarketFrame.from_pandas(table, "5m", "BTCUSDT", venue="simulated-spot", index="open")
spot

# %% [markdown]
# ## The same three lines
#
# Both are decided at the close and filled at the next open. In vectorbt that is your doing (`price=` of the next open);
# in Virtuoso it is the only way. A frame is labelled by the **close** of each bar, and so are your signals: a Series
# that carries the opens of an exchange's table is refused, not shifted.

# %%
known = np.arange(len(spot)) >= 287


def ema(length):
    return talib.EMA(spot.close.to_numpy(), length)


above = pd.Series(ema(48) > ema(288), index=spot.close.index)
terms = {"price": spot.open.shift(-1), "fees": 0.001, "init_cash": 10_000, "freq": "5min"}
theirs = vbt.Portfolio.from_signals(spot.close, above & known, ~above & known, **terms)
ours = vt.backtest(spot, entries=above & known, exits=~above & known, fees=0.001, slippage=0.0, record=False)

# %%
trades = theirs.trades.records_readable
trades = trades[trades["Status"] == "Closed"]
closed = ours.trades[ours.trades["reason"] == "signal"]
columns = {"Avg Entry Price": "entry_price", "Avg Exit Price": "exit_price", "Size": "size", "PnL": "pnl"}
beside = pd.DataFrame({
    "vectorbt": trades[list(columns)].sum(),
    "Virtuoso": closed[list(columns.values())].sum().set_axis(list(columns)),
})
apart = max(np.abs(trades[a].to_numpy() / closed[b].to_numpy() - 1.0).max() for a, b in columns.items())
print(f"{len(trades)} and {len(closed)} closed trades; the largest relative difference is {apart:.1e}")
beside

# %% [markdown]
# ## Weights
#
# `from_orders(size_type="targetpercent")` is `position=`: a share of the equity, one a bar, traded where it changes.

# %%
weight = pd.Series(np.where(above, 0.8, 0.2), index=above.index).where(known)
changed = weight.where(weight.ne(weight.ffill().shift(1)))
orders = vbt.Portfolio.from_orders(
    spot.close, changed, size_type="targetpercent", val_price=spot.close, **terms)
weighted = vt.backtest(spot, position=weight, fees=0.001, slippage=0.0, record=False)
print(f"vectorbt {orders.value().iloc[-1]:,.2f}   Virtuoso {weighted.equity.iloc[-1]:,.2f}")

# %% [markdown]
# ## stats() and stats()
#
# `portfolio.stats()` is `result.stats()`, with buying and holding beside it; `.trades`, `.equity`, `.returns`,
# `.drawdowns` are what their names say.

# %%
ours.stats()

# %%
ours.plot();

# %% [markdown]
# ## Many lengths at once
#
# What is declared once is swept, examined, and later traded live by the same code.


# %%
class EmaCross(vt.Strategy):
    """Long while the fast average is above the slow one."""

    fast: int = vt.Int(48, low=6, high=144)
    slow: int = vt.Int(288, low=24, high=1440)

    def decide(self, close):
        return np.where(talib.EMA(close, self.fast) > talib.EMA(close, self.slow), 1.0, 0.0)


grid = {"fast": [12, 24, 48, 96], "slow": [144, 288, 432, 576]}
swept = vt.sweep(spot, EmaCross, grid, fees=0.001, slippage=0.0, record=False)
swept.plot(by="net_return");

# %%
pairs = pd.MultiIndex.from_product(grid.values(), names=list(grid))
held = pd.DataFrame({pair: ema(pair[0]) > ema(pair[1]) for pair in pairs}, index=spot.close.index)
ready = pd.DataFrame({pair: np.arange(len(spot)) >= pair[1] - 1 for pair in pairs}, index=spot.close.index)
many = vbt.Portfolio.from_signals(spot.close, held & ready, ~held & ready, **terms)
returned = pd.Series(many.total_return().to_numpy(), index=pairs).unstack()
mine = swept.to_pandas().set_index(list(grid))["net_return"].unstack()
print(f"largest difference of {returned.size} returns: {(returned - mine).abs().max().max():.1e}")
returned.round(3)

# %% [markdown]
# ## What was missing
#
# The same bars as a perpetual contract: long and short, at three times the equity. Now there are funding, a margin and
# a price at which the position is liquidated, and bounds for what the order of prices inside a bar leaves open. The
# table holds no funding and no mark prices, so they have to be said, and the report says ASSUMED.

# %%
perpetual = vt.MarketFrame.from_pandas(table, "5m", "BTCUSDT", venue="simulated", index="open")
side = pd.Series(np.where(above, 3.0, -3.0), index=above.index).where(known)
levered = vt.backtest(perpetual, position=side, leverage=5, assume_funding=0.0001, mark="last", record=False)
paid = -levered.trades["funding"].sum()
liquidated = int((levered.trades["reason"] == "liquidation").sum())
print(f"return {levered.metrics['total_return']:+.1%}, funding paid {paid:,.0f}, {liquidated} positions liquidated")
levered.plot();

# %% [markdown]
# **Does it know the future?** No figure of a backtest says so; `vt.verify` does. It cuts the history, spoils what comes
# later, and names the first bar at which something changes. Here is the cross, and the cross read one bar too early.


# %%
class PeekingCross(EmaCross):
    """The same, read one bar too early."""

    def decide(self, close):
        later = np.append(close[1:], close[-1])
        return np.where(talib.EMA(later, self.fast) > talib.EMA(later, self.slow), 1.0, 0.0)


honest, peeking = (vt.verify(spot, one(), live_bars=300) for one in (EmaCross, PeekingCross))
print(honest, peeking, sep="\n\n")

# %% [markdown]
# **How often was it tried?** With `record=True`, as it is unless you say otherwise, every backtest and every
# configuration of a sweep is a try in the project's ledger, and the deflated Sharpe ratio on the page of a run counts
# them. Here nothing was recorded, so nothing of this can ship.
#
# ## The answer
#
# | vectorbt | Virtuoso |
# |---|---|
# | `from_signals(close, entries, exits, price=open.shift(-1))` | `vt.backtest(frame, entries=, exits=)` |
# | `short_entries=`, `short_exits=`, `sl_stop=`, `tp_stop=` | `short_entries=`, `short_exits=`, `stop=`, `target=` |
# | `from_orders(size_type="targetpercent")` | `vt.backtest(frame, position=)` |
# | `.stats()`, `.trades.records_readable`, `.value()` | `.stats()`, `.trades`, `.equity` |
# | columns of parameters | `vt.sweep(frame, Strategy, grid)` |
#
# Where vectorbt models the market, the trades are the same. What it has no word for is the rest: funding, margin and
# liquidation, a proof that nothing was read too early, and a count of tries. `result.to_vectorbt()` leads back.
