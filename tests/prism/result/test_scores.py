"""Scores: why a component is not known, and components that are blended when they are asked for."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from tests.builders import market, rows
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.prism.engine.assembly import CHUNK
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.prism import Prism

PRISM = Prism.classic()
SCORES = score(PRISM, market(bars=3_000))


@pytest.fixture(scope="module")
def part_recorded():
    """Trades and book are recorded from the thousandth minute on."""
    times, made = rows(seed=7, bars=3_000, gaps=False, lit=True)
    for name in ("large_buy_volume", "book_lean"):
        made[name][:1_000] = np.nan
    bars = Bars.from_rows(Timeframe("1m"), times, made, GapPolicy("bridge", 5))
    return score(PRISM, MarketFrame(Instrument("simulated", "BTCUSDT"), bars))


class TestTheReason:
    def test_is_the_warmup_while_a_feature_warms_up(self):
        assert np.isnan(SCORES.faces["price_structure"].components["order_blocks"].score[100])
        assert SCORES.reason("price_structure.order_blocks", 100).startswith("warmup (101 of ")

    def test_is_the_gap_inside_an_outage(self):
        outage = int(np.argmax(SCORES.frame.base.state == 3))
        assert SCORES.reason("technical.rsi", outage) == "gap"

    def test_names_what_was_not_recorded_at_the_bar(self, part_recorded):
        assert part_recorded.reason("orderflow.trade_flow", 500) == "not recorded here: large_buy_volume"
        assert part_recorded.reason("orderbook.imbalance", 500) == "not recorded here: book_lean"

    def test_counts_the_warmup_from_when_it_was_recorded(self, part_recorded):
        assert np.isnan(part_recorded.faces["orderflow"].components["trade_flow"].score[1_010])
        assert part_recorded.reason("orderflow.trade_flow", 1_010).startswith("warmup (11 of ")
        assert part_recorded.reason("technical.rsi", 1_010) == ""

    def test_is_empty_where_the_score_is_known(self):
        assert SCORES.reason("technical.rsi", 1_500) == ""


@pytest.fixture(scope="module")
def long():
    """A history of more than one chunk, scored at once."""
    return score(PRISM, market(seed=3, bars=CHUNK + 3_000))


class TestALongHistory:
    """Faces and confluence are kept; a component's arrays are blended when asked for, with the same bits."""

    def test_gives_the_components_that_a_short_stretch_of_it_gives(self, long):
        start = long.start + CHUNK - 700
        part = assemble(PRISM, long.workspace, start, start + 1_500).arrays()
        whole = long.arrays()
        for name, values in part.items():
            at = start - long.start
            assert np.array_equal(whole[name][at : at + 1_500], values, equal_nan=values.dtype != np.int8), name

    def test_keeps_only_the_component_that_was_asked_last(self, long):
        rsi, cci = (long.faces["technical"].components[name] for name in ("rsi", "cci"))
        kept = weakref.ref(rsi.score)
        assert kept() is rsi.score
        assert np.isfinite(cci.score).any()
        assert kept() is None

    def test_explains_a_moment_as_a_short_stretch_does(self, long):
        number = long.start + CHUNK // 2
        single = assemble(PRISM, long.workspace, number, number + 1)
        found, expected = (scores.explain(int(single.close_times[0])) for scores in (long, single))
        assert repr(found.faces) == repr(expected.faces)  # in which nan is nan
        assert found.confluence == expected.confluence

    def test_says_why_a_component_is_not_known(self, long):
        assert long.reason("technical.rsi", 20).startswith("warmup (21 of ")


class TestAMissingComponent:
    def test_is_not_known_and_names_its_columns(self):
        parts = [p for face in SCORES.faces.values() for p in face.components.values() if p.missing]
        for part in parts:
            assert np.isnan(part.score).all()
            assert not part.coverage.any()


def test_a_workspace_is_let_go_without_the_collector():
    """Hundreds of megabytes must not wait for a search for cycles."""
    scores = score(PRISM, market(bars=1_200))
    gone = weakref.ref(scores.workspace)
    del scores
    assert gone() is None


def test_a_file_written_in_stretches_holds_what_one_written_at_once_holds(long, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    once = pq.read_table(long.to_parquet(tmp_path / "once.parquet"))
    monkeypatch.setattr("virtuoso.prism.result.scores.STRETCH", 7_000)
    parts = pq.ParquetFile(long.to_parquet(tmp_path / "parts.parquet"))
    assert parts.num_row_groups == 3
    assert parts.read().combine_chunks().equals(once.combine_chunks())
    assert parts.schema_arrow.metadata == once.schema.metadata
