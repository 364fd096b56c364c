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
# # What does a study say, and what is it worth?
#
# A study tries many weights, thresholds or parameters. The best of many always looks good on the days it was chosen on,
# so a study here reports something else: what the winners earned on days that they had not seen. This notebook runs a
# small one on *simulated* bars and reads it from the outside in: the number that counts, the rounds, the trials, the
# verdict.

# %%
from tempfile import mkdtemp

import virtuoso as vt

home = mkdtemp(prefix="virtuoso-")
vt.write_archive(f"{home}/raw", vt.simulate(["BTCUSDT", "ETHUSDT"], days=90, seed=7))
vt.import_files(f"{home}/raw", venue="simulated", data=home)

# %% [markdown]
# ## The study
#
# What would stand in `configs/studies/NAME.yaml` may be a dict as well. It tunes the weights of the faces and the two
# thresholds, by walk-forward: three rounds tune on the past alone and are tested on what follows, a day apart; a last
# round tunes on everything and gives the winner. `dry_run` says what it will cost.

# %%
study = {
    "name": "reading",
    "market": {"symbols": ["BTCUSDT"], "venue": "simulated", "timeframe": "5m"},
    "search": {"weights": ["faces"], "thresholds": {"enter": [6, 14], "leave": [0, 0.9]}},
    "objectives": ["sharpe"],
    "sampler": "qmc",
    "trials": 128,
    "generation": 32,
    "least_trades": 5,
    "walk_forward": {"splits": 3, "test": "14d", "purge": "1d", "least": "30d"},
    "terms": {"assume_funding": 0.0001, "mark": "last"},
}
vt.tune(study, data=home, dry_run=True)

# %%
found = vt.tune(study, data=home, jobs=1, track=False)
found

# %% [markdown]
# ## The rounds
#
# In sample is where a winner was chosen; out of sample are the days after it. The gap between the two columns is what
# choosing the best of many is worth.

# %%
found.rounds.round(2)

# %%
found.plot();

# %% [markdown]
# ## The trials
#
# One row a trial of any round. Failed ones count as tries: the reason says why they have no value.

# %%
trials = found.to_pandas()
trials[["round", "number", "state", "reason", "trades"]].groupby(["round", "state"]).size().unstack(fill_value=0)

# %%
last = trials[(trials["round"] == "final") & (trials["state"] == "complete")]
last.nlargest(5, "value").round(3).T

# %% [markdown]
# ## The verdict
#
# The study argues against its winner by itself. What could not be tested does not pass, and most of it cannot be on
# ninety days.

# %%
verdict = found.verdict
print(verdict["decision"], f"{verdict['passed']} of {verdict['asked']} questions passed, {verdict['tries']} tries")
for reason in verdict["reasons"]:
    print("-", reason)

# %% [markdown]
# `virtuoso promote reading` would refuse, and say the same. The page is `study.html` in the folder of the result; the
# winner's backtest lies beside it, with a hash: the command that is printed here gives the same one.

# %%
print(found.command)
print(found.result_hash)
