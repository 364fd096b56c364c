"""The values of fixed markets are those that were written down; see tests/golden.py.

Where one changes on purpose: `python -m tests.golden --real FOLDER --write` in the same commit, and say which and why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest

from tests import golden

LISTED = 40
"""Differences that a failure names, at most."""


@pytest.fixture(scope="module")
def written() -> Mapping[str, Mapping[str, str]]:
    """The digests that were written down, if this machine computes the same bits."""
    found = json.loads(golden.GOLDEN.read_text())
    apart = golden.elsewhere(found)
    if apart:
        pytest.skip("digests of another machine or other libraries prove nothing here: " + "; ".join(apart))
    return found


def insist_on(written: Mapping[str, Mapping[str, str]], found: Mapping[str, Mapping[str, str]]) -> None:
    """Fail with the names of what differs."""
    lines = golden.differences(written, found)
    assert not lines, "\n".join([f"{len(lines)} values differ", *lines[:LISTED]])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> golden.Market:
    """The simulated market in a lake, without a block cache."""
    return golden.simulated_market(tmp_path_factory.mktemp("golden"))


class TestTheValues:
    """Scores, events, equity, tables and figures have the bits they had."""

    def test_of_the_simulated_market(self, written, simulated):
        insist_on(written, golden.simulated_sections(simulated))

    @pytest.mark.real_data
    def test_of_the_data_pack(self, written, tmp_path, real_data):
        insist_on(written, golden.real_sections(golden.real_market(real_data, tmp_path)))

    def test_are_the_same_from_kept_blocks(self, written, simulated, tmp_path):
        caching = golden.Market(simulated.data, tmp_path / "blocks")
        which = golden.COINS[0], "simulated", "5m", golden.WHOLE
        for _ in ("computed and kept", "kept"):
            found = golden.digests(golden.of_scores(caching.scores(*which)))
            before = {name: written["simulated"][f"scores.{which[0]}.{which[2]}.{name}"] for name in found}
            assert golden.differences({"kept": before}, {"kept": found}) == []
        assert list((tmp_path / "blocks").rglob("*")), "nothing was kept"


class TestADigest:
    """Says whether two values have the same bits, and nothing else."""

    def test_tells_apart_what_differs_in_one_bit(self):
        values = np.linspace(0.0, 1.0, 9)
        other = values.copy()
        other[4] = np.nextafter(other[4], 1.0)
        assert golden.digest(values) != golden.digest(other)

    @pytest.mark.parametrize(
        ("one", "other"), [(0.0, -0.0), (1, 1.0), (1, True), (None, 0), ([1, [2]], [[1], 2]), ("up", "down"), ([], {})]
    )
    def test_tells_apart_what_python_calls_equal_or_empty(self, one, other):
        assert golden.digest(one) != golden.digest(other)

    def test_knows_one_nan(self):
        payload = np.array([0x7FF8_0000_0000_1234, 0xFFF8_0000_0000_0000], dtype=np.uint64).view(np.float64)
        assert golden.digest(payload) == golden.digest(np.full(2, np.nan))

    def test_does_not_read_sentences(self):
        assert golden.digest({"words": "RSI 80: stretched"}) == golden.digest({"words": "Stretched at RSI 80"})

    def test_names_what_changed_what_is_gone_and_what_is_new(self):
        before = {"simulated": {"a": "1", "b": "2", "c": "3"}, "real": {"d": "4"}}
        found = {"simulated": {"a": "1", "b": "9", "e": "5"}}
        assert golden.differences(before, found) == [
            "changed  simulated: b",
            "gone     simulated: c",
            "new      simulated: e",
        ]
