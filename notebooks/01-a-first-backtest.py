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
# # A first backtest: do the signals earn more than they cost?
#
# Virtuoso turns market history into scores, scores into signals, and signals into a backtest. This notebook walks that
# line once, with everything as it is shipped and nothing tuned, and asks the plainest question there is.
#
# The market is *simulated*: made from a seed, the same for everyone, offline. A result on it says nothing about real
# markets. It is here to show the tools, and how to read what they say.

# %%
from tempfile import mkdtemp

import virtuoso as vt

# %% [markdown]
# ## History
#
# Sixty days of one-minute bars are written as archive files, as an exchange publishes them, and imported like any
# recording. With files of your own, only the folder and the venue in the last line would differ.

# %%
home = mkdtemp(prefix="virtuoso-")
vt.write_archive(f"{home}/raw", vt.simulate(["BTCUSDT"], days=60, seed=7))
report = vt.import_files(f"{home}/raw", venue="simulated", data=home)
print(f"{report.total('stored'):,} bars stored, {report.total('quarantined')} refused")

# %%
frame = vt.load("BTCUSDT", "5m", data=home)
frame

# %% [markdown]
# ## Scores
#
# Every bar is scored from 0 (most bearish) over 50 (balance) to 100 (most bullish). Components are blended over 5m, 30m
# and 4h, components into faces, faces into the confluence. What is not known is not guessed: order flow, order book and
# sentiment have no data here, so the coverage stays below one.

# %%
scores = vt.score(frame)
scores.explain("2025-02-14T12:00Z")

# %% [markdown]
# Each face can be opened in the same way: score times weight is impact, and the impacts add up to the face.

# %%
scores.explain("2025-02-14T12:00Z", face="technical").plot();

# %%
frame["2025-02-10":"2025-02-16"].plot()
confluence = scores["2025-02-10":"2025-02-16"].plot()
reach = 18 / scores.coverage[-1] ** 0.5  # 68 and 32 where all is known; the less is known, the further from 50
for level, colour in ((50 + reach, "#0072B2"), (50 - reach, "#D55E00")):
    confluence.axhline(level, color=colour, linewidth=0.8)

# %% [markdown]
# A signal begins where the confluence reaches the blue line (bullish) or the orange one (bearish), and ends when it has
# come most of the way back. The lines lie at 68 and 32 where everything is known. Bars alone are a good half of the
# whole weight, and a mean of fewer parts strays further from 50, so here they lie at 74 and 26. At least 40 % of the
# weight must be known, so nothing is signalled in the first days.
#
# ## The backtest
#
# Decided at the close of a bar, filled at the open of the next one; stop and target come from the signal; fees and
# slippage are paid on every fill. The archive holds bars only, so what funding and the mark price were has to be said:
# without that the run is refused, and with it the report says ASSUMED.

# %%
result = vt.backtest(scores, data=home, assume_funding=0.0001, mark="last")
result

# %%
result.plot();

# %% [markdown]
# The answer lies in one subtraction: what the trades made before costs, and what is left of it.

# %%
trades = result.trades.set_index("exit_bar_time")
after = trades["pnl"].cumsum()
before = after + (trades["fees"] + trades["slippage"]).cumsum()
both = before.to_frame("before costs").assign(**{"after fees and slippage": after})
axes = both.plot(figsize=(10, 4.5), color=["#6E7781", "#1F2328"])
axes.axhline(0, color="#D8DEE4", linewidth=0.8)
axes.set(ylabel="Profit of all trades so far (USDT)", xlabel="End of the trade (UTC)")
axes.set_title("BTCUSDT 5m, simulated (seed 7)")
axes.legend(frameon=False);

# %% [markdown]
# ## And does a higher score foretell a higher return?
#
# Mean return over the next hour by bucket of the confluence, in hundredths of a percent (bp), with 95 % intervals.

# %%
for bucket in result.buckets[result.buckets["horizon"] == "1h"]:
    print("{low:3.0f} to {high:3.0f}  {bars:6,} bars  {mean_bp:+6.1f} bp  ({low_bp:+6.1f} to {high_bp:+6.1f})".format(
        **{name: bucket[name] for name in bucket.dtype.names}))

# %% [markdown]
# ## The answer
#
# No. Holding would have made a quarter; the signals as shipped made less than a hundredth, and from fewer than thirty
# trades, too few to tell skill from chance. Before costs their trades made something; fees and slippage took more than
# four fifths of it. Was it timing, at least? Of a thousand draws that entered the same trades by lot, about a fifth did
# better. The buckets say the same: no interval lies clear of what all bars did anyway.
#
# Is that bad news? It is what the tools are for. Weights and thresholds have not been fitted to anything yet, a
# simulated market has little to find, and a backtest that shows its costs is worth more than one that hides them.
# Nothing here was tuned, so nothing here is too good to be true; whoever now changes a threshold after looking at these
# figures is tuning, and needs bars that this notebook has not used.
