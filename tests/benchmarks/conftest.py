"""Benchmarks run by `make bench` alone: they measure, and never decide whether a test passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import market
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import policy_for


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return None if config.getoption("benchmark_only", False) else True


@pytest.fixture(scope="session")
def year() -> MarketFrame:
    """A simulated symbol-year of one-minute bars with taker volumes: 525,600 of them."""
    from virtuoso.venues.simulator import simulate

    columns = dict(simulate(["BTCUSDT"], days=365, seed=7)["BTCUSDT"])
    times = columns.pop("open_time")
    bars = Bars.from_rows(Timeframe("1m"), times, columns, policy_for("simulated", 60_000))
    return MarketFrame(Instrument("simulated", "BTCUSDT"), bars)


@pytest.fixture(scope="session")
def lit() -> MarketFrame:
    """A made-up year of minutes with every column of the data dictionary: all six faces see something."""
    return market(seed=7, bars=365 * 1440, gaps=False, lit=True)
