"""Distributions: a scale is judged by what it does on real data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.builders import market
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import MissingColumnError
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED, GapPolicy
from virtuoso.prism.engine.graph import columns_of
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.faces import price_structure, technical, volume
from virtuoso.prism.faces.technical import ADX, RSI
from virtuoso.prism.faces.volume import VolumeDelta
from virtuoso.prism.laws.distribution import distribution, markdown


class TestADistribution:
    def test_says_how_scores_are_spread(self):
        frame = market(bars=4_000)
        (row,) = distribution(RSI(), frame, ["1m"])
        scores = RSI().score(Workspace(frame).values(RSI(), frame.timeframe, frame.base.first, frame.base.end)[0])
        known = scores[np.isfinite(scores) & (frame.base.state != BRIDGED)]
        assert (row.component, row.timeframe, row.bars) == ("rsi", "1m", 4_000)
        assert row.known == len(known) / 4_000
        assert row.mean == pytest.approx(known.mean())
        assert row.span == pytest.approx(np.percentile(known, 95) - np.percentile(known, 5))

    def test_of_what_is_never_known_is_empty(self):
        (row,) = distribution(RSI(), market(bars=50, gaps=False), ["1m"])
        assert row.known == 0.0
        assert not row.good
        assert "nothing known" in markdown([("short", row)])

    def test_does_not_judge_the_mean_of_a_gate(self):
        (row,) = distribution(ADX(), market(bars=4_000), ["1m"])
        assert not row.directional

    def test_needs_the_columns_of_its_component(self):
        frame = market(bars=500, gaps=False)
        columns = {name: values for name, values in frame.base.columns.items() if not name.startswith("taker")}
        rows = Bars.from_rows(Timeframe("1m"), frame.base.open_times, columns, GapPolicy("cut", 0))
        with pytest.raises(MissingColumnError, match="taker_buy_volume"):
            distribution(VolumeDelta(), MarketFrame(frame.instrument, rows), ["1m"])


@pytest.fixture(scope="module")
def filusdt(real_data):
    table = pd.read_parquet(real_data / "ohlcv" / "binance_um_1m_FILUSDT_202304_202306.parquet")
    names = ("open", "high", "low", "close", "volume", "taker_buy_volume")
    columns = {name: table[name].to_numpy(dtype=float, copy=True) for name in names}
    rows = Bars.from_rows(Timeframe("1m"), table["open_time_ms"].to_numpy(), columns, GapPolicy("bridge", 5))
    return MarketFrame(Instrument("binance-usdm", "FILUSDT"), rows)


@pytest.mark.real_data
class TestTheScalesOfTheFaces:
    """On a quarter of FILUSDT perpetual minutes: wide, rarely saturated, without a lean."""

    LEANING = ("cmf",)  # bars of this market close above their middle while it falls; docs/faces/volume.md

    @pytest.mark.parametrize(
        "component", [*technical.FACE.components, *technical.FACE.gates, *volume.FACE.components], ids=lambda c: c.name
    )
    def test_do_their_work(self, filusdt, component):
        for row in distribution(component, filusdt, ["1m", "5m", "30m"]):
            assert row.good or component.name in self.LEANING, row
            assert row.span >= 60.0
            assert row.saturated < 0.05
            assert abs(row.mean - 50.0) < 10.0 or not row.directional


UNSEEN = {
    "JELLYJELLY 1h": ("ohlcv/binance_um_1h_40sym_20250913_20251031.parquet", "JELLYJELLYUSDT", "1h"),
    "CRV 1h": ("ohlcv/binance_um_1h_40sym_20250913_20251031.parquet", "CRVUSDT", "1h"),
    "XRP 4h": ("ohlcv/binance_um_4h_8sym_2020_2024.parquet", "XRPUSDT", "4h"),
    "PEPE 5m": ("ohlcv/binance_um_5m_6sym_20250704_20251031.parquet", "1000PEPEUSDT", "5m"),
}
"""Markets that the scales were not fitted on; docs/faces/tables.py names those they were."""


@pytest.fixture(scope="module", params=UNSEEN)
def unseen(request, real_data):
    file, symbol, clock = UNSEEN[request.param]
    table = pd.read_parquet(real_data / file, filters=[("symbol", "==", symbol)]).sort_values("open_time_ms")
    columns = {
        name: table[name].to_numpy(dtype=float, copy=True) for name in ("open", "high", "low", "close", "volume")
    }
    rows = Bars.from_rows(Timeframe(clock), table["open_time_ms"].to_numpy(), columns, GapPolicy("cut", 0))
    return MarketFrame(Instrument("binance-usdm", symbol), rows)


@pytest.mark.real_data
class TestTheScalesOnMarketsTheyWereNotFittedOn:
    """Wide on a coin that was pumped as on one that sleeps, and known after a week."""

    FASTER = ("5m", "30m", "1h", "4h")
    LEAST_KNOWN = 700
    """Scores from which on their quantiles say something; quieter stretches of a sample are no fault of a scale."""
    FACES = (technical.FACE, volume.FACE, price_structure.FACE)

    def test_span_sixty_points(self, unseen):
        carried, compared = set(unseen.base.columns), 0
        clocks = [name for name in self.FASTER if Timeframe(name).ms >= unseen.timeframe.ms]
        for component in (c for face in self.FACES for c in face.components if columns_of(c) <= carried):
            for row in distribution(component, unseen, clocks):
                if row.known * row.bars >= self.LEAST_KNOWN:
                    assert row.span >= 59.0, row
                    assert row.saturated < 0.05, row
                    compared += 1
        assert compared >= 15

    def test_relative_volume_is_known_after_a_week(self, unseen):
        (row,) = distribution(volume.RelativeVolume(), unseen, [unseen.timeframe.name])
        assert row.known > 0.8
