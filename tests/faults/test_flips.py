"""One flipped bit anywhere in a data root: never a wrong answer, and never an error that stays.

`VIRTUOSO_FLIPS=all` tries 500 of them; kernels have their own (tests/jit/test_cache.py).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.archives import bars, env, minutes
from tests.lake.test_lake import SPOT, put
from virtuoso.errors import VirtuosoError
from virtuoso.lake.lake import Lake
from virtuoso.prism.engine.score import score
from virtuoso.prism.prism import Prism

N = 1_500
FLIPS = 500 if os.environ.get("VIRTUOSO_FLIPS") == "all" else 40
STANDARD = Prism.classic()
PRISM = replace(
    STANDARD, faces=STANDARD.faces[:1], face_weights={"technical": 1.0}, timeframes={"1m": 0.6, "5m": 0.4}
)  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    """Every kind of file there is, of a series of a day."""
    monkeypatch.setattr("virtuoso.lake.cache.LEAST_ROWS", 1_000)
    monkeypatch.setattr("virtuoso.prism.engine.cache.SEGMENT", 1_024)
    monkeypatch.setattr("virtuoso.prism.engine.assembly.CHUNK", 512)


def answer(root: Path) -> dict[str, np.ndarray]:
    frame = Lake(root / "lake", env=env()).frame(str(SPOT.symbol), "1m")
    scores = score(PRISM, frame, block=64, cache_folder=root / "scores" / "blocks")
    return {"close": frame.base.columns["close"], **scores.arrays()}


def same(a, b) -> bool:
    return all(np.array_equal(a[name], b[name], equal_nan=a[name].dtype != np.int8) for name in a)


def test_is_never_a_wrong_answer_and_never_lasts(small, tmp_path):
    put(Lake(tmp_path / "lake", env=env()), minutes(N), bars(N))
    right = answer(tmp_path)
    assert same(right, answer(tmp_path))  # everything that is kept is there
    files = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    kinds = {path.suffix for path in files}
    assert {".parquet", ".json", ".columns", ".blocks", ".rows"} <= kinds
    rng = np.random.default_rng(8)
    by_kind = {kind: [path for path in files if path.suffix == kind] for kind in sorted(kinds)}
    refused = 0
    for i in range(FLIPS):
        here = list(by_kind.values())[i % len(by_kind)]
        path = here[rng.integers(len(here))]
        data = bytearray(files[path])
        if not data:
            continue
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        error = None
        try:
            assert same(right, answer(tmp_path)), path
        except VirtuosoError as raised:
            error = raised
        if error is not None:
            assert path.suffix not in (".columns", ".blocks", ".rows"), path
            refused += 1
        path.write_bytes(files[path])  # what was kept meanwhile stays: only the flip is undone
        assert same(right, answer(tmp_path)), f"after {path} was restored"
    assert refused
