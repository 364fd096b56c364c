"""The cache gives back what was computed, bit for bit, and nothing that was computed from something else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import market
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.blocks import Workspace
from virtuoso.prism.cache import ScoreCache
from virtuoso.prism.keys import reach
from virtuoso.prism.prism import Prism
from virtuoso.prism.technical import RSI

PRISM = Prism.standard()
FRAME = market(seed=31, bars=5_000, lit=True)


def same(a, b):
    return all(np.array_equal(a[name], b[name], equal_nan=a[name].dtype != np.int8) for name in a)


@pytest.fixture
def folder(tmp_path):
    PRISM.score(FRAME, block=64, cache_folder=tmp_path)
    return tmp_path


def filled(folder, frame, prism=PRISM):
    return ScoreCache(folder).fill(Workspace(frame, 64), prism)


class TestASecondRun:
    def test_is_the_same_to_the_bit(self, folder):
        fresh = PRISM.score(FRAME, block=64).arrays()
        assert same(fresh, PRISM.score(FRAME, block=64, cache_folder=folder).arrays())

    def test_computes_no_finished_block_of_a_component(self, folder):
        workspace = Workspace(FRAME, 64)
        ScoreCache(folder).fill(workspace, PRISM)
        clock = workspace.clock(FRAME.timeframe)
        for _, component, _ in PRISM:
            series = clock.series[component]
            assert (
                np.array(series.done[:-1]) == (np.arange(len(series.done) - 1) + clock.first_block + 1) * 64
            ).all(), component

    def test_writes_nothing_new(self, folder):
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
        PRISM.score(FRAME, block=64, cache_folder=folder)
        assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}

    def test_after_history_grew_is_the_same_to_the_bit(self, tmp_path):
        PRISM.score(FRAME.until((FRAME.base.first + 3_333) * 60_000), block=64, cache_folder=tmp_path)
        grown = PRISM.score(FRAME, block=64, cache_folder=tmp_path).arrays()
        assert same(PRISM.score(FRAME, block=64).arrays(), grown)


class TestABlockIsNotTaken:
    def test_where_one_bar_of_its_memory_changed(self, folder):
        close = FRAME.base.columns["close"].copy()
        close[2_500] += 0.01
        changed = MarketFrame(FRAME.instrument, replace(FRAME.base, columns={**FRAME.base.columns, "close": close}))
        assert 0 < filled(folder, changed) < filled(folder, FRAME)
        fresh = PRISM.score(changed, block=64).arrays()
        assert same(fresh, PRISM.score(changed, block=64, cache_folder=folder).arrays())

    def test_where_a_parameter_changed(self, folder):
        technical = PRISM.faces[0]
        others = {(c.replace(period=15) if isinstance(c, RSI) else c): w for c, w in technical.components.items()}
        changed = replace(PRISM, faces=(replace(technical, components=others), *PRISM.faces[1:]))
        assert filled(folder, FRAME, changed) < filled(folder, FRAME)
        assert same(PRISM.score(FRAME, block=64).arrays(), PRISM.score(FRAME, block=64, cache_folder=folder).arrays())
        assert same(
            changed.score(FRAME, block=64).arrays(), changed.score(FRAME, block=64, cache_folder=folder).arrays()
        )

    def test_where_the_file_is_damaged(self, folder):
        for path in folder.rglob("*.parquet"):
            path.write_bytes(path.read_bytes()[:-100])
        assert filled(folder, FRAME) == 0
        assert same(PRISM.score(FRAME, block=64).arrays(), PRISM.score(FRAME, block=64, cache_folder=folder).arrays())

    def test_where_the_block_length_is_another(self, folder):
        assert ScoreCache(folder).fill(Workspace(FRAME, 128), PRISM) == 0


class TestFacesAndConfluence:
    """Of a history longer than a chunk they are kept as they were blended, a segment of bars a file."""

    @pytest.fixture(autouse=True)
    def _short_segments(self, monkeypatch):
        monkeypatch.setattr("virtuoso.prism.cache.SEGMENT", 2_048)
        monkeypatch.setattr("virtuoso.prism.prism.CHUNK", 1_024)

    @pytest.fixture
    def fresh(self):
        return PRISM.score(FRAME, block=64)

    def score(self, folder, frame=FRAME, prism=PRISM):
        return prism.score(frame, block=64, cache_folder=folder)

    def files(self, folder):
        return {path: path.stat().st_mtime_ns for path in folder.rglob("confluence/*.npy")}

    def test_are_read_without_reading_a_component(self, tmp_path, fresh):
        self.score(tmp_path)
        again = self.score(tmp_path)
        assert again.workspace.unread is not None
        assert np.array_equal(again.confluence, fresh.confluence, equal_nan=True)
        assert np.array_equal(again.effective_inputs, fresh.effective_inputs, equal_nan=True)
        assert np.array_equal(again.faces["technical"].score, fresh.faces["technical"].score, equal_nan=True)

    def test_are_of_the_same_components_which_are_read_when_they_are_asked_for(self, tmp_path, fresh):
        self.score(tmp_path)
        again = self.score(tmp_path)
        assert same(fresh.arrays(), again.arrays())
        assert again.workspace.unread is None

    def test_are_blended_anew_from_the_same_components_with_other_weights(self, tmp_path):
        other = PRISM.reweighted({"technical": 0.3, "volume": 0.0})
        self.score(tmp_path)
        components = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
        assert same(other.score(FRAME, block=64).arrays(), self.score(tmp_path, prism=other).arrays())
        assert components == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}

    def test_are_kept_once_a_segment(self, tmp_path):
        self.score(tmp_path)
        count = len(self.files(tmp_path))
        self.score(tmp_path, prism=PRISM.reweighted({"technical": 0.3, "volume": 0.0}))
        assert len(self.files(tmp_path)) == count > 2

    def test_of_older_segments_stay_when_history_grows(self, tmp_path, fresh):
        self.score(tmp_path, FRAME.until((FRAME.base.first + 4_500) * 60_000))
        before = self.files(tmp_path)
        assert same(fresh.arrays(), self.score(tmp_path).arrays())
        assert len(before.items() & self.files(tmp_path).items()) == len(before) - 1

    def test_are_blended_anew_where_a_bar_changed_that_they_look_back_at(self, tmp_path):
        self.score(tmp_path)
        before = self.files(tmp_path)
        close = FRAME.base.columns["close"].copy()
        close[4_800] += 0.01
        changed = MarketFrame(FRAME.instrument, replace(FRAME.base, columns={**FRAME.base.columns, "close": close}))
        found = self.score(tmp_path, changed)
        assert same(changed_fresh := PRISM.score(changed, block=64).arrays(), found.arrays())
        assert not np.array_equal(changed_fresh["confluence"][4_800:], PRISM.score(FRAME, block=64).confluence[4_800:])
        assert 0 < len(before.items() & self.files(tmp_path).items()) < len(before)

    def test_are_blended_anew_where_a_file_is_damaged(self, tmp_path, fresh):
        self.score(tmp_path)
        for path in self.files(tmp_path):
            path.write_bytes(path.read_bytes()[:-100])
        assert same(fresh.arrays(), self.score(tmp_path).arrays())
        assert self.score(tmp_path).workspace.unread is not None  # and are whole again


def test_a_reach_adds_up_the_memories_of_features():
    for _, component, _ in PRISM:
        found = reach(component, FRAME.timeframe)
        assert found["1m"] >= component.memory(FRAME.timeframe)
