"""Scoring: each component against one whole-history TA-Lib pass, the whole prism, the cache, one live bar.

`ns_per_bar` in the extra info is the figure to compare; the peer in the same run is `talib.RSI` over the same bars.
"""

from __future__ import annotations

import numpy as np
import pytest
import talib

from virtuoso.market.gaps import policy_for
from virtuoso.market.live import LiveFrame
from virtuoso.prism.engine.graph import timeframes
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism

PRISM = Prism.classic()
PARTS = [(name, component) for name, component, _ in PRISM]
PARTS += [(f"{face.name}.{gate.name}", gate) for face in PRISM.faces for gate in face.gates]


def per_bar(benchmark, frame):
    benchmark.extra_info["ns_per_bar"] = round(benchmark.stats["min"] / len(frame) * 1e9, 1)


def test_peer_one_pass_of_talib(benchmark, year):
    benchmark(talib.RSI, year.base.columns["close"], 14)
    per_bar(benchmark, year)


@pytest.mark.parametrize(("name", "component"), PARTS, ids=[name for name, _ in PARTS])
def test_component(benchmark, lit, name, component):
    """Its own cost: the features it builds on are there already, as they are in the prism."""
    base = lit.base

    def prepare():
        workspace = Workspace(lit)
        for argument in component.arguments:
            source = getattr(component, argument, None)
            if hasattr(source, "memory"):
                clock = source.clock(base.timeframe)
                bars = workspace.frame.bars(clock)
                workspace.values(source, clock, bars.first, bars.end)
        return (workspace,), {}

    benchmark.pedantic(
        lambda workspace: workspace.values(component, base.timeframe, base.first, base.end),
        setup=prepare, rounds=3, warmup_rounds=1,
    )  # fmt: skip
    per_bar(benchmark, lit)


@pytest.fixture(params=["three_faces", "six_faces"])
def frame(request):
    """A year of bars alone, and one with all that events say."""
    return request.getfixturevalue("year" if request.param == "three_faces" else "lit")


def test_whole_prism_four_timeframes(benchmark, frame):
    benchmark.pedantic(score, args=(PRISM, frame), rounds=3, warmup_rounds=1)
    per_bar(benchmark, frame)


def test_whole_prism_from_cache(benchmark, frame, tmp_path):
    score(PRISM, frame, cache_folder=tmp_path)
    benchmark.pedantic(score, args=(PRISM, frame), kwargs={"cache_folder": tmp_path}, rounds=3, warmup_rounds=1)
    per_bar(benchmark, frame)


def test_one_live_bar(benchmark, frame):
    """Two days of minutes, one by one, due timeframes; p50, p99 and the four-hourly minutes in the extra info, ms."""
    base, bars = frame.base, 2 * 1440
    history = frame.until((base.end - bars) * 60_000)
    live = LiveFrame(history, timeframes(PRISM, base.timeframe), policy_for("simulated", 60_000))
    workspace = Workspace(live.frame)
    rows = iter(range(base.end - bars, base.end))

    def one_bar():
        number = next(rows)
        i = number - base.first
        values = {name: float(column[i]) for name, column in base.columns.items()} if base.state[i] <= 1 else None
        workspace.grow(live.close(number, values))
        return assemble(PRISM, workspace, number, number + 1)

    benchmark.pedantic(one_bar, rounds=bars, iterations=1)
    times = np.array(benchmark.stats.stats.data[1:]) * 1e3  # the first one computes what the history left open
    all_close = np.arange(base.end - bars + 2, base.end + 1) % 240 == 0
    benchmark.extra_info["p50_ms"], benchmark.extra_info["p99_ms"] = np.percentile(times, [50, 99]).round(2).tolist()
    benchmark.extra_info["all_close_ms"] = round(float(np.median(times[all_close])), 2)
    benchmark.extra_info["max_ms"] = round(float(times.max()), 2)
