"""On real bars nothing pays two round trips within a quarter of an hour: the rule that asks for them hardly trades."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Span, Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.prism.engine.score import score
from virtuoso.prism.prism import Prism
from virtuoso.signals.rule import apply_rule
from virtuoso.signals.settings import CostSettings, SignalSettings

FILE = "ohlcv/binance_um_5m_6sym_20250704_20251031.parquet"
SETTINGS = SignalSettings(min_edge=2.0, costs=CostSettings(funding=0.0001))


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["BTCUSDT", "LINKUSDT"])
def test_a_rule_that_asks_for_two_round_trips_hardly_trades_at_15m(real_data, symbol):
    table = pd.read_parquet(real_data / FILE, filters=[("symbol", "==", symbol)]).sort_values("open_time_ms")
    columns = {
        name: table[name].to_numpy(dtype=float, copy=True) for name in ("open", "high", "low", "close", "volume")
    }
    rows = Bars.from_rows(Timeframe("5m"), table["open_time_ms"].to_numpy(), columns, GapPolicy("cut", 0))
    prism = replace(Prism.standard(), horizon=Span("15m"))
    rule = apply_rule(score(prism, MarketFrame(Instrument("binance-usdm", symbol), rows)), SETTINGS)
    assert rule.edges is not None
    assert np.isfinite(rule.edges.move).mean() > 0.9  # it knows what to expect, and that it is little
    entries = int(((rule.state != 0) & (rule.state != rule.before)).sum())
    assert entries <= 3
    assert (rule.state != 0).mean() < 0.002
