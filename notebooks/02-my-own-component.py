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
# # My own component: does it know only the past?
#
# An idea about markets is quickly written down, and quickly wrong in a way that no backtest shows: one index shifted by
# one bar, and it knows the future. This notebook writes an idea in ten lines, has it examined, breaks it on purpose by
# one bar, and looks at what would have been believed.
#
# The market is *simulated*, as in the first notebook: its results say nothing about real ones.

# %%
from tempfile import mkdtemp

import virtuoso as vt

home = mkdtemp(prefix="virtuoso-")
vt.write_archive(f"{home}/raw", vt.simulate(["BTCUSDT"], days=60, seed=7))
vt.import_files(f"{home}/raw", venue="simulated", data=home)
frame = vt.load("BTCUSDT", "5m", data=home)
frame

# %% [markdown]
# ## Ten lines
#
# *A price that has come far in two hours is tilted that way.* How far is far? In average true ranges, so that the
# answer is the same for a coin at 60,000 and one at 0.06. Six of them score about 95, none 50.


# %%
class Tilt(vt.Component):
    """How far the price has come in `period` bars, in average true ranges."""

    title, source = "Tilt", "an idea"
    scale = vt.Squash(half=3.0)
    bands = {60: "tilted upward", 40: "level", 0: "tilted downward"}
    period: int = vt.Int(24, low=2, high=200)
    atr = vt.ATR()

    def value(self, close, atr):
        moved = close * float("nan")  # not known until `period` bars have passed
        moved[self.period :] = close[self.period :] - close[: -self.period]
        return vt.ratio(moved, atr)


# %% [markdown]
# From this follow its scores over years and at a bar that has just closed, its cache, its explanations and its
# parameters. The word for the engine is `value`: the function, whose arguments name what it looks at, the close, and a
# feature that others use as well. What forgets more slowly than a window of `period` bars declares its `memory` too.
#
# ## The certificate
#
# `vt.verify` puts a prism before the laws: cut the history anywhere, spoil the future, feed more of the past, change the
# units, turn the market upside down, disturb it by a billionth. Here the prism holds this one component and nothing
# else.

# %%
mine = vt.Prism((vt.Face("mine", "Mine", {Tilt(): 1.0}),), {"mine": 1.0})
certificate = vt.verify(frame, mine)
print(certificate)


# %% [markdown]
# Every law that could be tested holds. What could not is listed: 60 days are not enough four-hour bars, and a class
# typed into a notebook cannot be imported by another process, so the bar-by-bar comparison was made in this one.
#
# ## The same idea, broken
#
# One bar of look-ahead. Real ones look more innocent: a centred average, a resample labelled on the left, a join without
# its delay.

# %%
class PeekingTilt(Tilt):
    """Tilt, read one bar too early."""

    def value(self, close, atr):
        tilt = super().value(close, atr)
        tilt[:-1] = tilt[1:].copy()
        return tilt


leaking = vt.Prism((vt.Face("mine", "Mine", {PeekingTilt(): 1.0}),), {"mine": 1.0})
accusation = vt.verify(frame, leaking)
print(accusation)

# %% [markdown]
# Caught, by several laws, and with the first bar at which the leak can be seen.
#
# ## What would have been believed
#
# Both are traded as they stand, on the same terms.


# %%
terms = {"data": home, "assume_funding": 0.0001, "mark": "last"}  # the archive holds bars only
honest, dishonest = vt.backtest(vt.score(frame, mine), **terms), vt.backtest(vt.score(frame, leaking), **terms)
for name, result in (("honest", honest), ("one bar ahead", dishonest)):
    print("{:14} {total_return:+7.1%}   Sharpe {sharpe:+6.1f}   {trades:.0f} trades".format(name, **result.metrics))

# %%
axes = honest.trades.set_index("exit_bar_time")["pnl"].cumsum().plot(figsize=(10, 4.5), color="#1F2328", label="honest")
dishonest.trades.set_index("exit_bar_time")["pnl"].cumsum().plot(
    ax=axes, color="#D55E00", linestyle="--", label="one bar ahead")
axes.axhline(0, color="#D8DEE4", linewidth=0.8)
axes.set(ylabel="Profit of all trades so far (USDT)", xlabel="End of the trade (UTC)")
axes.set_title("Tilt alone, BTCUSDT 5m, simulated (seed 7), after costs")
axes.legend(frameon=False);

# %% [markdown]
# ## In company
#
# A component is meant to be one voice among others. `joined` gives it a fifth of the technical face; the others make
# room in proportion. (In a configuration file the same takes two lines: its module and its weight.)

# %%
prism = vt.Prism.standard().joined("technical", {Tilt(): 0.2})
scores = vt.score(frame, prism)
for row in scores.explain("2025-02-14T12:00Z").faces["technical"]:
    print(f"{row.name:12} {row.score:5.1f} x {row.weight:.2f} = {row.impact:5.1f}   {row.words}")

# %%
without, together = vt.backtest(vt.score(frame), **terms), vt.backtest(scores, **terms)
for name, result in (("without Tilt", without), ("with Tilt", together)):
    print("{:14} {total_return:+7.1%}   {trades:.0f} trades".format(name, **result.metrics))

# %% [markdown]
# ## The answer
#
# Tilt knows only the past: no law found a bar at which it does not, and its scores bar by bar are those of the whole
# history, bit for bit. Shifted by one bar it was caught at once, with the bar at which it can be seen.
#
# The rest of the notebook is why that matters. Alone and honest, Tilt loses a third of the account, most of it to costs;
# live trading would have been halted after a third of the time. One bar ahead, the same ten lines seem to more than
# double it in two months. Nothing but the laws tells the two apart: the better curve is the lie. And a clean certificate
# is no praise. Among the others Tilt turns next to nothing into a loss: being honest is what makes an idea worth testing,
# not what makes it right.
