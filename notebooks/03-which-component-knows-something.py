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
# # Which component knows something, and is it worth a trade?
#
# Forty components score every bar from 0 to 100, and a weighted mean of them is traded. Before weights are tuned, a
# plainer question: did higher scores go with higher returns afterwards, one component at a time?
#
# There are two rulers. The rank IC is the rank correlation of a score, known at its bar's close, with the return from
# the next open to the close an hour later: hits. The linear IC is its plain correlation with that return in deviations
# known at the bar: money. Each is worth as much as its interval, and the interval must know that returns of neighbouring
# bars share their path. Beside both stands what a trade costs.
#
# With `VIRTUOSO_REAL_DATA` set to the real-data pack, this notebook reads four months of BTCUSDT, with its open interest,
# ratios and funding; else it reads sixteen *simulated* days with everything, order book included, which says nothing about
# real markets.

# %%
import os
from tempfile import mkdtemp

import virtuoso as vt

home, pack = mkdtemp(prefix="virtuoso-"), os.environ.get("VIRTUOSO_REAL_DATA")
if pack:
    names = (
        "ohlcv/binance_um_5m_6sym_20250704_20251031.parquet",
        "derivatives/binance_um_metrics_5m_4sym_20250704_20251031.parquet",
        "derivatives/funding/binance_um_funding_BTC_ETH_2022_202510.parquet",
    )
    report = vt.import_files([f"{pack}/{name}" for name in names], venue="binance-usdm", symbol="BTCUSDT", data=home)
else:
    vt.write_archive(f"{home}/raw", vt.record(["BTCUSDT"], days=16, seed=7, trade_days=16, book_days=5))
    report = vt.import_files(f"{home}/raw", venue="simulated", data=home)
frame = vt.load("BTCUSDT", "5m", data=home)
frame

# %% [markdown]
# ## The table
#
# Confluence and faces, both coefficients in thousandths; then the mean return after each bucket of the confluence, and
# the cost. A star marks an interval that excludes 0; below stands how many of them chance alone would mark.

# %%
scores = vt.score(frame)
found = vt.information(scores, ["1h"], assume_funding=0.0001)
found

# %%
found.plot();

# %% [markdown]
# On real markets the signs of the two rulers differ, and that matters: most components follow momentum, which loses often
# and little and wins rarely and much. In hits they stand the wrong way round, in money they do not; whoever turned them
# around would collect small gains and pay large losses. Sizes matter more: how large a linear IC would have to be to earn
# a round trip stands in the last table.
#
# ## Are the rulers straight?
#
# Two components that must not exist: one that peeks at the return of the next hour, and one that is a coin, tossed with
# the last digits of the volume. Both rulers should see everything in the first and nothing in the second.


# %%
class Peek(vt.Component):
    """The next hour's return, half hidden by the last hour's: no certificate would let this pass."""

    title, source = "Peek", "the future"
    scale = vt.Squash(half=0.005)
    bands = {0: "it knew"}

    def memory(self, timeframe):
        return 13

    def value(self, close):
        told = close * float("nan")
        told[12:-12] = (close[24:] / close[12:-12] - 1.0) + (close[12:-12] / close[:-24] - 1.0)
        return told


class Coin(vt.Component):
    """Digits of the volume that mean nothing."""

    title, source = "Coin", "a coin"
    scale = vt.Linear(zero=0.0, hundred=1.0)
    bands = {0: "tossed"}

    def value(self, volume):
        return (volume * 7919.0) % 1.0


toys = vt.Prism((vt.Face("toys", "Toys", {Peek(): 0.5, Coin(): 0.5}),), {"toys": 1.0})
ruler = vt.information(vt.score(frame, toys), ["1h"])
ruler

# %% [markdown]
# ## The answer
#
# The rank IC sees the future where it is hidden, and finds nothing in a coin. What it finds in the forty components stands
# in the table above, and it is small: no score comes near what half a look at the future would show. That is the size
# of what there is to tune, and the reason why the next notebooks argue about overfitting before they argue about weights.
#
# The same tables for all real sets stand in docs/faces/information.md.
