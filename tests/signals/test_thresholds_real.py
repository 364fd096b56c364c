"""How often confluence lies beyond the thresholds on real bars, of which three faces of six are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.prism.engine.score import score
from virtuoso.prism.prism import Prism
from virtuoso.signals.rule import widened
from virtuoso.signals.settings import SignalSettings

FIVE, HOUR, FOUR = (
    "ohlcv/binance_um_5m_6sym_20250704_20251031.parquet",
    "ohlcv/binance_um_1h_40sym_20250913_20251031.parquet",
    "ohlcv/binance_um_4h_8sym_2020_2024.parquet",
)
MARKETS = [("5m", FIVE, "SUIUSDT"), ("1h", HOUR, "SOLUSDT"), ("1h", HOUR, "WIFUSDT"), ("4h", FOUR, "ETHUSDT")]


@pytest.mark.real_data
@pytest.mark.parametrize(("clock", "file", "symbol"), MARKETS)
def test_one_to_ten_bars_of_a_hundred_lie_beyond_what_begins_a_signal(real_data, clock, file, symbol):
    table = pd.read_parquet(real_data / file, filters=[("symbol", "==", symbol)]).sort_values("open_time_ms")
    columns = {
        name: table[name].to_numpy(dtype=float, copy=True) for name in ("open", "high", "low", "close", "volume")
    }
    rows = Bars.from_rows(Timeframe(clock), table["open_time_ms"].to_numpy(), columns, GapPolicy("cut", 0))
    scores = score(Prism.classic(), MarketFrame(Instrument("binance-usdm", symbol), rows))
    settings = SignalSettings()
    judged = np.isfinite(scores.confluence) & (scores.coverage >= settings.min_coverage)
    confluence, coverage = scores.confluence[judged], scores.coverage[judged]
    high, low = widened(settings.bull_enter, coverage), widened(settings.bear_enter, coverage)
    assert judged.sum() > 500
    assert 0.01 <= ((confluence >= high) | (confluence <= low)).mean() <= 0.10
    assert ((confluence >= settings.bull_enter) | (confluence <= settings.bear_enter)).mean() > 0.12
