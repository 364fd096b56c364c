"""Every stage between component and confluence obeys the one law, not only the components."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import market
from virtuoso.clock import Timeframe
from virtuoso.market.frame import MarketFrame
from virtuoso.market.resample import fold_bars
from virtuoso.market.schema.columns import mirrored
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism

FRAME = market(seed=21, bars=7_000)
PRISM = Prism.classic()
WHOLE = score(PRISM, FRAME, block=64).arrays()


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype == np.int8:
        return bool(np.array_equal(a, b))
    return bool(
        np.array_equal(np.where(np.isnan(a), np.nan, a).view(np.int64), np.where(np.isnan(b), np.nan, b).view(np.int64))
    )


def assert_part_of_the_whole(part: dict, at: int) -> None:
    for name, values in part.items():
        assert same_bits(values, WHOLE[name][at : at + len(values)]), name


@given(st.integers(3_000, 6_999))
def test_scores_of_a_cut_history_are_the_beginning_of_the_whole(cut):
    part = score(PRISM, FRAME.until((FRAME.base.first + cut) * 60_000), block=64)
    assert_part_of_the_whole(part.arrays(), 0)


@given(st.integers(0, 6_900), st.integers(1, 900))
def test_scores_of_a_window_are_a_part_of_the_whole(start, length):
    first = FRAME.base.first
    window = FRAME.within((first + start) * 60_000, (first + start + length) * 60_000)
    assert_part_of_the_whole(score(PRISM, window, block=64).arrays(), start)


def test_bar_by_bar_on_a_growing_history_is_the_whole():
    at = 6_400
    frame = FRAME.until((FRAME.base.first + at) * 60_000)
    workspace = Workspace(frame, block=64)
    for number in range(at, 6_700):
        workspace.grow(FRAME.until((FRAME.base.first + number + 1) * 60_000))
        bar = FRAME.base.first + number
        assert_part_of_the_whole(assemble(PRISM, workspace, bar, bar + 1).arrays(), number)


class TestTheFold:
    """A slow bar exists once it has closed, and its bits do not depend on what else was loaded."""

    @given(st.integers(600, 6_999), st.sampled_from(["5m", "30m", "4h"]))
    def test_folding_a_cut_history_gives_the_beginning_of_the_whole(self, cut, name):
        timeframe = Timeframe(name)
        whole, part = FRAME.bars(timeframe), fold_bars(FRAME.base.until(FRAME.base.first + cut), timeframe)
        assert part.end == (FRAME.base.first + cut) * 60_000 // timeframe.ms
        assert same_bits(part.state, whole.state[: len(part)])
        for column, values in part.columns.items():
            assert same_bits(values, whole.columns[column][: len(part)]), column


def test_impacts_sum_to_the_face_and_to_the_confluence():
    explanation = score(PRISM, FRAME).explain()
    known = [row for row in explanation.total if row.score == row.score]
    assert sum(row.impact for row in known) == pytest.approx(explanation.confluence, abs=1e-9)
    for row in known:
        parts = [part for part in explanation.faces[row.name] if part.score == part.score]
        assert sum(part.impact for part in parts) == pytest.approx(row.score, abs=1e-9)


def test_the_confluence_of_the_mirrored_market_is_mirrored():
    pivot = float(FRAME.base.columns["close"][0])
    from dataclasses import replace

    other = MarketFrame(FRAME.instrument, replace(FRAME.base, columns=mirrored(FRAME.base.columns, pivot)))
    reflected = score(PRISM, other, block=64)
    assert np.nanmax(np.abs(reflected.confluence + WHOLE["confluence"] - 100.0)) < 1e-6
    assert np.nanmax(np.abs(reflected.reliability - WHOLE["reliability"])) < 1e-6
