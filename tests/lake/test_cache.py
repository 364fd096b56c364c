"""Bars that are kept beside the lake: the same frame with them and without, and decay is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.archives import MINUTE, bars, env, minutes
from tests.lake.test_lake import only, put
from virtuoso.errors import CorruptFileError
from virtuoso.lake.cache import LEAST_ROWS
from virtuoso.lake.lake import Lake

N = LEAST_ROWS + 5_000
HOLES = [*range(700, 703), *range(9_000, 9_040), N - 4, N - 3]


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """A lake with two months of minutes, some of which are missing, that nobody has read."""
    path = tmp_path_factory.mktemp("kept") / "lake"
    there = np.setdiff1d(np.arange(N), HOLES)
    put(Lake(path, env=env()), minutes(N)[there], only(bars(N), there))
    return path


@pytest.fixture
def lake(stored, tmp_path) -> Lake:
    return Lake(shutil.copytree(stored, tmp_path / "lake"), env=env())


def kept(lake: Lake) -> list[Path]:
    return sorted(lake.path.glob("derived/bars/**/*.columns"))


def read(lake: Lake, **options):
    return Lake(lake.path, env=env()).frame("BTCUSDT", "1m", **options)


class TestKeptBars:
    """Change nothing but the time that reading takes."""

    def test_are_those_that_were_made_of_the_rows(self, lake):
        made, mapped = read(lake), read(lake)
        assert len(kept(lake)) == 1
        assert mapped.fingerprint == made.fingerprint
        assert np.array_equal(mapped.base.share, made.base.share)

    @pytest.mark.parametrize("end", [1, 500, 701, 9_020, 9_041, N - 3, N - 1, N])
    def test_of_a_part_are_those_of_its_own_rows(self, lake, end):
        until = int(minutes(N)[0]) + end * MINUTE
        alone = read(lake, end=until)
        assert (kept(lake) == []) == (end <= N - 1)
        read(lake)
        assert read(lake, end=until).fingerprint == alone.fingerprint

    def test_are_not_those_of_history_as_it_was_known_once(self, lake):
        read(lake)
        put(lake, minutes(N)[:3], {name: values[:3] * 2.0 for name, values in bars(N).items()})
        now, once = read(lake), read(lake, as_of=env().now_ms() - 1)
        assert now.base.columns["close"][0] == 2.0 * once.base.columns["close"][0]

    def test_are_made_anew_after_an_import_and_the_old_ones_go(self, lake):
        read(lake)
        (before,) = kept(lake)
        put(lake, minutes(N + 10)[N:], only(bars(N + 10), slice(N, None)))
        assert len(read(lake)) == N + 10
        (after,) = kept(lake)
        assert after != before

    def test_cannot_be_changed_by_who_reads_them(self, lake):
        whole = read(lake).fingerprint
        read(lake).base.columns["close"][:] = 0.0
        assert read(lake).fingerprint == whole

    def test_are_not_worth_a_file_for_a_short_series(self, tmp_path):
        short = Lake(tmp_path / "lake", env=env())
        put(short, minutes(1_440), bars(1_440))
        read(short)
        assert kept(short) == []


class TestDecay:
    """Of what is kept is found when it is read, and of what it was made of by the lake."""

    @pytest.mark.parametrize("at", [3, 5_000, 8_192, 100_003, -9, -1])
    def test_a_flipped_bit_is_never_read(self, lake, at):
        whole = read(lake).fingerprint
        (path,) = kept(lake)
        data = bytearray(path.read_bytes())
        data[at] ^= 16
        path.write_bytes(data)
        assert read(lake).fingerprint == whole

    @pytest.mark.parametrize("keep", [0, 100, 8_192, 200_000])
    def test_a_file_that_ends_early_is_never_read(self, lake, keep):
        whole = read(lake).fingerprint
        (path,) = kept(lake)
        path.write_bytes(path.read_bytes()[:keep])
        assert read(lake).fingerprint == whole

    def test_a_page_that_was_never_written_is_never_read(self, lake):
        whole = read(lake).fingerprint
        (path,) = kept(lake)
        data = bytearray(path.read_bytes())
        data[16_384:20_480] = bytes(4_096)
        path.write_bytes(data)
        assert read(lake).fingerprint == whole

    def test_E21_a_lost_or_shortened_part_is_named_though_its_bars_are_kept(self, lake):
        read(lake)
        part = sorted(lake.path.glob("bars/**/part-*.parquet"))[0]
        part.write_bytes(part.read_bytes()[:-1])
        with pytest.raises(CorruptFileError, match="virtuoso data verify"):
            read(lake)
        part.unlink()
        with pytest.raises(CorruptFileError, match="is not there"):
            read(lake)

    def test_E21_verify_reads_the_parts_and_not_what_is_kept(self, lake):
        whole = read(lake).fingerprint
        part = sorted(lake.path.glob("bars/**/part-*.parquet"))[0]
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 4
        part.write_bytes(data)
        assert read(lake).fingerprint == whole
        assert [found.problem for found in Lake(lake.path, env=env()).verify().damaged] != []
        assert read(lake).fingerprint != whole
