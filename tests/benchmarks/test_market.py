"""The store and the fold, against pandas in the same run."""

from __future__ import annotations

import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest

from virtuoso.clock import Timeframe
from virtuoso.market.resample import fold_bars

SLOWER = {"5m": "5min", "30m": "30min", "4h": "4h"}


@pytest.fixture(scope="module")
def table(year):
    return year.to_pandas().drop(columns="state")


def test_fold_to_three_timeframes(benchmark, year):
    benchmark(lambda: [fold_bars(year.base, Timeframe(name)) for name in SLOWER])


def test_peer_pandas_resample(benchmark, table):
    rules = {"open": "first", "high": "max", "low": "min", "close": "last"}
    rules |= {name: "sum" for name in table.columns if name not in rules}
    benchmark.pedantic(lambda: [table.resample(rule).agg(rules) for rule in SLOWER.values()], rounds=3)


@pytest.fixture(scope="module")
def lake(year, tmp_path_factory):
    from virtuoso.ingest.importer import import_paths
    from virtuoso.lake.lake import Lake
    from virtuoso.venues.simulator import simulate, write_archive

    root = tmp_path_factory.mktemp("lake")
    write_archive(root / "raw", simulate(["BTCUSDT"], days=365, seed=7))
    lake = Lake(root / "lake")
    import_paths(lake, [root / "raw"], venue="simulated")
    return lake


def test_load_a_symbol_year(benchmark, lake):
    """From the kept bars (lake/bar_cache.py), every column added up."""
    frame = benchmark.pedantic(lake.frame, args=("BTCUSDT", "1m"), rounds=5, warmup_rounds=1)
    assert len(frame) == 525_600


def test_load_a_symbol_year_from_parquet(benchmark, lake):
    """As the first read does it: every checksum verified, bars made of the rows and kept."""
    setup = partial(shutil.rmtree, lake.path / "derived", ignore_errors=True)
    benchmark.pedantic(lake.frame, args=("BTCUSDT", "1m"), setup=setup, rounds=3)


def test_peer_pandas_read_parquet(benchmark, lake):
    files = sorted((lake.path / "bars").rglob("part-*.parquet"))
    benchmark.pedantic(lambda: pd.concat([pd.read_parquet(f) for f in files]), rounds=5, warmup_rounds=1)


def test_peer_numpy_load(benchmark, year, tmp_path):
    np.save(tmp_path / "bars.npy", np.stack(list(year.base.columns.values())))
    benchmark(np.load, tmp_path / "bars.npy")
