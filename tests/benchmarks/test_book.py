"""The order book: messages a second decoded, rebuilt and folded; features of snapshots against numpy."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from tests.books import living
from tests.market.features.book.test_snapshots import books, numpy_features
from virtuoso.clock import Timeframe
from virtuoso.market.features.book.columns import BookFeatures
from virtuoso.market.features.book.rebuild import Book
from virtuoso.market.features.book.snapshots import snapshot_features
from virtuoso.venues.streams.binance import read_recording

M1 = Timeframe("1m")


@pytest.fixture(scope="module")
def hour():
    """An hour of a made-up book, seven messages a second with about eight levels each, and its trades."""
    return living(seed=1, seconds=3_600)


def per_second(benchmark, messages):
    benchmark.extra_info["per_second"] = round(messages / benchmark.stats["min"])


def test_rebuild(benchmark, hour):
    benchmark.pedantic(lambda: Book().feed(hour["depth"]), rounds=5, warmup_rounds=1)
    per_second(benchmark, len(np.unique(hour["depth"]["last_id"])))


def test_fold_to_one_minute(benchmark, hour):
    first = M1.number(int(hour["depth"].available_at[0]))
    benchmark.pedantic(lambda: BookFeatures(M1).bars(hour, first, first + 60), rounds=5, warmup_rounds=1)
    per_second(benchmark, len(np.unique(hour["depth"]["last_id"])))


def test_decode(benchmark, hour, tmp_path):
    depth, path = hour["depth"], tmp_path / "btcusdt.jsonl"
    edges = [*np.flatnonzero(np.diff(depth["last_id"], prepend=-1)).tolist(), len(depth)]
    with path.open("w") as file:
        for a, b in pairwise(edges):
            rows = [
                (s, [str(p), str(z)])
                for s, p, z in zip(*(depth[n][a:b] for n in ("side", "price", "size")), strict=True)
            ]
            message = {
                "e": "depthUpdate", "E": int(depth.event_time[a]), "s": "BTCUSDT", "U": int(depth["first_id"][a]),
                "u": int(depth["last_id"][a]), "b": [r for s, r in rows if s > 0], "a": [r for s, r in rows if s < 0],
            }  # fmt: skip
            file.write(f"{int(depth.event_time[a])}000000 {json.dumps(message)}\n")
    benchmark.pedantic(lambda: list(read_recording(path)), rounds=5, warmup_rounds=1)
    per_second(benchmark, len(edges) - 1)


@pytest.fixture(scope="module")
def snapshots():
    return books(n=100_000)


def test_snapshot_features(benchmark, snapshots):
    benchmark(snapshot_features, *snapshots)
    per_second(benchmark, len(snapshots[0]))


def test_peer_numpy_snapshot_features(benchmark, snapshots):
    benchmark.pedantic(numpy_features, args=snapshots, rounds=5, warmup_rounds=1)
    per_second(benchmark, len(snapshots[0]))


def test_limit_reading_the_snapshots(benchmark, snapshots):
    benchmark(lambda: [float(array.sum()) for array in snapshots])
    per_second(benchmark, len(snapshots[0]))
