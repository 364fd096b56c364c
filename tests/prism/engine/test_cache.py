"""The cache gives back what was computed, bit for bit, and nothing that was computed from something else."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders import market
from virtuoso.files import sealed
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Component, Feature
from virtuoso.prism.engine.cache import ScoreCache
from virtuoso.prism.engine.cache_keys import BlockKeys
from virtuoso.prism.engine.graph import reach, sources
from virtuoso.prism.engine.score import score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.face import Face
from virtuoso.prism.faces.technical import RSI
from virtuoso.prism.prism import Prism
from virtuoso.prism.scale import Squash

PRISM = Prism.classic()
FRAME = market(seed=31, bars=5_000, lit=True)
FLIPS = 300 if os.environ.get("VIRTUOSO_FLIPS") == "all" else 20
"""Single flipped bits that are tried, each with two runs."""


def same(a, b):
    return all(np.array_equal(a[name], b[name], equal_nan=a[name].dtype != np.int8) for name in a)


@pytest.fixture
def folder(tmp_path):
    score(PRISM, FRAME, block=64, cache_folder=tmp_path)
    return tmp_path


def filled(folder, frame, prism=PRISM):
    return ScoreCache(folder).fill(Workspace(frame, 64), prism)


class TestASecondRun:
    def test_is_the_same_to_the_bit(self, folder):
        fresh = score(PRISM, FRAME, block=64).arrays()
        assert same(fresh, score(PRISM, FRAME, block=64, cache_folder=folder).arrays())

    def test_computes_no_finished_block_of_a_component(self, folder):
        workspace = Workspace(FRAME, 64)
        ScoreCache(folder).fill(workspace, PRISM)
        buffers = workspace.buffers(FRAME.timeframe)
        for _, component, _ in PRISM:
            series = buffers.by_node[component]
            assert (
                np.array(series.done[:-1]) == (np.arange(len(series.done) - 1) + buffers.first_block + 1) * 64
            ).all(), component

    def test_writes_nothing_new(self, folder):
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.blocks")}
        score(PRISM, FRAME, block=64, cache_folder=folder)
        assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.blocks")}

    def test_after_history_grew_is_the_same_to_the_bit(self, tmp_path):
        score(PRISM, FRAME.until((FRAME.base.first + 3_333) * 60_000), block=64, cache_folder=tmp_path)
        grown = score(PRISM, FRAME, block=64, cache_folder=tmp_path).arrays()
        assert same(score(PRISM, FRAME, block=64).arrays(), grown)


class TestABlockIsNotTaken:
    def test_where_one_bar_of_its_memory_changed(self, folder):
        close = FRAME.base.columns["close"].copy()
        close[2_500] += 0.01
        changed = MarketFrame(FRAME.instrument, replace(FRAME.base, columns={**FRAME.base.columns, "close": close}))
        assert 0 < filled(folder, changed) < filled(folder, FRAME)
        fresh = score(PRISM, changed, block=64).arrays()
        assert same(fresh, score(PRISM, changed, block=64, cache_folder=folder).arrays())

    def test_where_a_parameter_changed(self, folder):
        technical = PRISM.faces[0]
        others = {(c.replace(period=15) if isinstance(c, RSI) else c): w for c, w in technical.components.items()}
        changed = replace(PRISM, faces=(replace(technical, components=others), *PRISM.faces[1:]))
        assert filled(folder, FRAME, changed) < filled(folder, FRAME)
        assert same(score(PRISM, FRAME, block=64).arrays(), score(PRISM, FRAME, block=64, cache_folder=folder).arrays())
        assert same(
            score(changed, FRAME, block=64).arrays(), score(changed, FRAME, block=64, cache_folder=folder).arrays()
        )

    def test_where_the_file_is_damaged(self, folder):
        for path in folder.rglob("*.blocks"):
            path.write_bytes(path.read_bytes()[:100])
        assert filled(folder, FRAME) == 0
        assert same(score(PRISM, FRAME, block=64).arrays(), score(PRISM, FRAME, block=64, cache_folder=folder).arrays())

    def test_where_the_block_length_is_another(self, folder):
        assert ScoreCache(folder).fill(Workspace(FRAME, 128), PRISM) == 0


HELPED = """
from virtuoso.prism.component import Component
from virtuoso.prism.scale import Squash
from helped_by import SIGN


class Helped(Component):
    title = "Helped"
    source = "own"
    scale = Squash(half=0.001)
    bands = {0: "moved {value:.4f}"}

    def memory(self, timeframe):
        return 2

    def value(self, close):
        moved = close * 0.0
        moved[1:] = SIGN * (close[1:] / close[:-1] - 1.0)
        return moved
"""


def test_a_constant_of_an_imported_helper_that_changed_is_no_old_score(tmp_path, monkeypatch):
    """Measured once: Sharpe -1.52 from old blocks, +1.08 without them."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)

    def prism(sign):
        (tmp_path / "helped_by.py").write_text(f"SIGN = {sign}.0")
        (tmp_path / "helped_component.py").write_text(HELPED)
        for name in ("helped_by", "helped_component"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        component = importlib.import_module("helped_component").Helped()
        return Prism((Face("technical", "Technical", {component: 1.0}),), {"technical": 1.0})

    kept = tmp_path / "kept"
    up = score(prism(1), FRAME, block=64, cache_folder=kept)
    down = score(prism(-1), FRAME, block=64, cache_folder=kept)
    known = np.isfinite(down.confluence)
    assert known.sum() > 4_000
    assert not np.allclose(up.confluence[known], down.confluence[known])
    fresh = score(prism(-1), FRAME, block=64)
    assert np.array_equal(fresh.confluence, down.confluence, equal_nan=True)


def changed(path, how, rng):
    """Do to a file what disks, crashes and people do."""
    data = bytearray(path.read_bytes())
    if how == "a flipped bit":
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    elif how == "cut":
        del data[rng.integers(len(data)) :]
    elif how == "longer":
        data += b"more"
    elif how == "zeroed":
        data[:] = bytes(len(data))
    elif how == "a page of zeros":
        at = rng.integers(len(data))
        data[at : at + 4_096] = bytes(len(data[at : at + 4_096]))
    elif how == "pages that changed places":
        a, b = (rng.integers(len(data) // 4_096, size=2) * 4_096).tolist()
        data[a : a + 4_096], data[b : b + 4_096] = data[b : b + 4_096], data[a : a + 4_096]
    elif how == "empty":
        data.clear()
    if data == path.read_bytes():  # two pages of one kind, or a page of zeros that was one
        data[rng.integers(len(data))] ^= 1
    path.write_bytes(data)


HOW = ("a flipped bit", "cut", "longer", "zeroed", "a page of zeros", "pages that changed places", "empty")
SMALL = market(seed=32, bars=3_000, lit=True)
FEW = replace(
    PRISM, faces=(PRISM.faces[0],), face_weights={"technical": 1.0}, timeframes={"1m": 0.6, "5m": 0.4}
)  # fmt: skip


def short(patch):
    """Several segments and chunks of a few thousand bars."""
    patch.setattr("virtuoso.prism.engine.cache.SEGMENT", 2_048)
    patch.setattr("virtuoso.prism.engine.assembly.CHUNK", 1_024)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder, and its files of components and of blends by their relative names."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        short(patch)
        score(FEW, SMALL, block=64, cache_folder=folder)
    return folder, {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def fresh():
    return score(FEW, SMALL, block=64).arrays()


class TestDamage:
    """Of whatever kind is never believed, never an error, and gone after the next run."""

    @staticmethod
    def restore(folder, files):
        for path in folder.rglob("*"):
            if path.is_symlink() or (path.is_file() and path.relative_to(folder) not in files):
                path.unlink()
        for name, data in files.items():
            if (folder / name).is_dir():
                (folder / name).rmdir()
            (folder / name).write_bytes(data)

    def holds(self, folder, fresh):
        """Twice: from what is damaged, then from what was written in its place."""
        assert same(fresh, score(FEW, SMALL, block=64, cache_folder=folder).arrays())
        return same(fresh, score(FEW, SMALL, block=64, cache_folder=folder).arrays())

    @pytest.mark.parametrize("how", HOW)
    def test_of_every_file_is_never_believed(self, kept, fresh, monkeypatch, how):
        short(monkeypatch)
        rng = np.random.default_rng(HOW.index(how))
        folder, files = kept
        self.restore(folder, files)
        for name in files:
            changed(folder / name, how, rng)
        assert self.holds(folder, fresh)
        if how != "longer":  # what lies behind the arrays says nothing
            for name in files:
                with sealed.opened(folder / name) as file:
                    assert all(file.read(array) is not None for array in file.names), name

    @pytest.mark.parametrize("seed", range(FLIPS))
    def test_one_flipped_bit_is_never_believed(self, kept, fresh, monkeypatch, seed):
        short(monkeypatch)
        rng = np.random.default_rng(100 + seed)
        folder, files = kept
        self.restore(folder, files)
        name = sorted(files)[rng.integers(len(files))]
        changed(folder / name, "a flipped bit", rng)
        assert same(fresh, score(FEW, SMALL, block=64, cache_folder=folder).arrays())

    @pytest.mark.parametrize("seed", range(4))
    def test_a_flipped_bit_in_the_head_is_never_an_error(self, kept, fresh, monkeypatch, seed):
        short(monkeypatch)
        rng = np.random.default_rng(seed)
        folder, files = kept
        self.restore(folder, files)
        for name, data in files.items():
            damaged = bytearray(data)
            damaged[rng.integers(200)] ^= 1 << rng.integers(8)
            (folder / name).write_bytes(damaged)
        assert self.holds(folder, fresh)

    def test_files_that_changed_places_are_never_believed(self, kept, fresh, monkeypatch):
        short(monkeypatch)
        folder, files = kept
        self.restore(folder, files)
        for end in (".blocks", ".rows"):
            names = sorted(name for name in files if name.suffix == end)
            for name, other in zip(names, [*names[1:], names[0]], strict=True):
                (folder / name).write_bytes(files[other])
        assert self.holds(folder, fresh)

    def test_the_files_of_another_symbol_are_never_believed(self, kept, fresh, monkeypatch, tmp_path):
        short(monkeypatch)
        folder, files = kept
        self.restore(folder, files)
        score(FEW, market(seed=33, bars=3_000, lit=True), block=64, cache_folder=tmp_path)
        blends = [name for name in files if name.suffix == ".rows"]
        for path in tmp_path.rglob("*.blocks"):
            (folder / path.relative_to(tmp_path)).write_bytes(path.read_bytes())
        for path, name in zip(sorted(tmp_path.rglob("*.rows")), sorted(blends), strict=True):
            (folder / name).write_bytes(path.read_bytes())
        assert self.holds(folder, fresh)

    @pytest.mark.parametrize("instead", ["a folder", "a link to nowhere", "a pipe"])
    def test_something_else_in_the_place_of_a_file_is_no_error(self, kept, fresh, monkeypatch, instead):
        short(monkeypatch)
        folder, files = kept
        self.restore(folder, files)
        for name in files:
            (folder / name).unlink()
            if instead == "a folder":
                (folder / name).mkdir()
            elif instead == "a link to nowhere":
                (folder / name).symlink_to(folder / "nowhere")
            elif hasattr(os, "mkfifo"):
                os.mkfifo(folder / name)
        assert self.holds(folder, fresh)
        self.restore(folder, files)

    def test_a_file_in_the_place_of_the_folder_is_no_error(self, fresh, tmp_path):
        (tmp_path / "kept").write_text("no folder")
        assert self.holds(tmp_path / "kept", fresh)

    def test_a_value_that_someone_wrote_into_a_block_is_never_believed(self, kept, fresh, monkeypatch):
        """Measured once: 97.8 for a poisoned block."""
        short(monkeypatch)
        folder, files = kept
        self.restore(folder, files)
        for name, data in files.items():
            damaged = bytearray(data)
            damaged[-16_000:-8_000] = np.full(1_000, 97.8).tobytes()
            (folder / name).write_bytes(damaged)
        assert self.holds(folder, fresh)

    def test_leaves_nothing_of_writers_that_were_killed(self, kept, fresh, monkeypatch):
        short(monkeypatch)
        folder, files = kept
        self.restore(folder, files)
        name = next(name for name in files if name.suffix == ".blocks")
        dead, living = subprocess.Popen([sys.executable, "-c", ""]), os.getppid()
        dead.wait()
        left = [(folder / name).with_name(f".{name.name}.{pid}.tmp") for pid in (dead.pid, living)]
        for path in left:
            path.write_bytes(b"half")
        for file in files:
            (folder / file).unlink()
        assert self.holds(folder, fresh)
        assert [path.exists() for path in left] == [False, True]


class TestADiskThatRefuses:
    """Costs the time of computing, and is no error."""

    def test_that_is_full(self, fresh, tmp_path, monkeypatch):
        short(monkeypatch)
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))
        try:
            made = [score(FEW, SMALL, block=64, cache_folder=tmp_path).arrays() for _ in range(2)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert all(same(fresh, one) for one in made)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    @pytest.mark.parametrize("mode", [0o555, 0o000], ids=["read only", "unreadable"])
    @pytest.mark.parametrize("filled", [True, False])
    @pytest.mark.skipif(not hasattr(os, "seteuid"), reason="who may do what is asked otherwise here")
    def test_that_is(self, fresh, monkeypatch, mode, filled):
        short(monkeypatch)
        root = Path(tempfile.mkdtemp())  # where others may go, too
        try:
            if filled:
                score(FEW, SMALL, block=64, cache_folder=root)
            for path in [*root.rglob("*"), root]:
                path.chmod(mode if path.is_dir() else mode & 0o444)
            if (me := os.geteuid()) == 0:  # whom nothing is forbidden
                os.seteuid(12_345)
            try:
                assert same(fresh, score(FEW, SMALL, block=64, cache_folder=root).arrays())
            finally:
                os.seteuid(me)
        finally:
            root.chmod(0o700)
            for path in root.rglob("*"):
                if path.is_dir():
                    path.chmod(0o700)
            shutil.rmtree(root)


class TestFacesAndConfluence:
    """Of a history longer than a chunk they are kept as they were blended, a segment of bars a file."""

    @pytest.fixture(autouse=True)
    def _short_segments(self, monkeypatch):
        monkeypatch.setattr("virtuoso.prism.engine.cache.SEGMENT", 2_048)
        monkeypatch.setattr("virtuoso.prism.engine.assembly.CHUNK", 1_024)

    @pytest.fixture
    def fresh(self):
        return score(PRISM, FRAME, block=64)

    def score(self, folder, frame=FRAME, prism=PRISM):
        return score(prism, frame, block=64, cache_folder=folder)

    def files(self, folder):
        return {path: path.stat().st_mtime_ns for path in folder.rglob("confluence/*.rows")}

    def test_are_read_without_reading_a_component(self, tmp_path, fresh):
        self.score(tmp_path)
        again = self.score(tmp_path)
        assert again.workspace.pending is not None
        assert np.array_equal(again.confluence, fresh.confluence, equal_nan=True)
        assert np.array_equal(again.effective_inputs, fresh.effective_inputs, equal_nan=True)
        assert np.array_equal(again.faces["technical"].score, fresh.faces["technical"].score, equal_nan=True)

    def test_are_of_the_same_components_which_are_read_when_they_are_asked_for(self, tmp_path, fresh):
        self.score(tmp_path)
        again = self.score(tmp_path)
        assert same(fresh.arrays(), again.arrays())
        assert again.workspace.pending is None

    def test_are_blended_anew_from_the_same_components_with_other_weights(self, tmp_path):
        other = PRISM.reweighted({"technical": 0.29, "volume": 0.0})
        self.score(tmp_path)
        components = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.blocks")}
        assert same(score(other, FRAME, block=64).arrays(), self.score(tmp_path, prism=other).arrays())
        assert components == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.blocks")}

    def test_are_kept_once_a_segment(self, tmp_path):
        self.score(tmp_path)
        count = len(self.files(tmp_path))
        self.score(tmp_path, prism=PRISM.reweighted({"technical": 0.29, "volume": 0.0}))
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
        assert same(changed_fresh := score(PRISM, changed, block=64).arrays(), found.arrays())
        assert not np.array_equal(changed_fresh["confluence"][4_800:], score(PRISM, FRAME, block=64).confluence[4_800:])
        assert 0 < len(before.items() & self.files(tmp_path).items()) < len(before)

    def test_are_blended_anew_where_a_file_is_damaged(self, tmp_path, fresh):
        self.score(tmp_path)
        for path in self.files(tmp_path):
            path.write_bytes(path.read_bytes()[:-100])
        assert same(fresh.arrays(), self.score(tmp_path).arrays())
        assert self.score(tmp_path).workspace.pending is not None  # and are whole again


def test_a_reach_adds_up_the_memories_of_features():
    minute = FRAME.timeframe
    for _, component, _ in PRISM:
        found = reach(component, minute, 0, lambda _: 64)
        assert -found[minute] >= component.memory(minute)
        for source in sources(component):
            if source.clock(minute) == minute:
                assert -found[minute] >= component.memory(minute) + source.memory(minute), (component, source)


class SinceItsStart(Feature):
    """A sum that knows where its slice starts: what anchored blocks make visible."""

    def memory(self, timeframe):
        return 10

    def value(self, close):
        return np.cumsum(close)


class TenBefore(Component):
    """Looks ten bars back at a feature, so into the block before, which is anchored where it begins."""

    title, source, scale, bands = "Ten before", "a test", Squash(half=1.0), {0: "{value}"}
    since = SinceItsStart()

    def memory(self, timeframe):
        return 11

    def value(self, since):
        return np.concatenate((np.full(10, np.nan), since[:-10]))


def test_a_key_counts_from_the_blocks_in_which_features_are_anchored():
    """Memories alone add up to 21 bars; the feature's block begins 64 bars before, and it looks 10 further back."""
    frame = market(seed=31, bars=1_000, gaps=False)
    number = 5 * 64 + frame.base.first // 64 * 64  # where a block begins

    def value_and_key(changed_at):
        close = frame.base.columns["close"].copy()
        close[changed_at - frame.base.first] += 1.0
        changed = MarketFrame(frame.instrument, replace(frame.base, columns={**frame.base.columns, "close": close}))
        workspace = Workspace(changed, 64)
        buffers = workspace.buffers(changed.timeframe)
        (value,) = workspace.values(TenBefore(), changed.timeframe, number, number + 1)
        key = BlockKeys(changed, 64).of(TenBefore(), buffers)
        return value[0], key.blocks[number // 64 - buffers.first_block]

    (near, near_key), (far, far_key) = value_and_key(number - 70), value_and_key(number - 300)
    assert near != far
    assert near_key != far_key
    assert value_and_key(number - 310) == (far, far_key)
