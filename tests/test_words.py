"""Words of the field on every surface, at one boundary; a reliability that nobody calibrated is never a number."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reports.explanations import EXPLANATION
from virtuoso.cli.terminal.console import leaning
from virtuoso.prism.result.explanation import face_bias
from virtuoso.prism.words import BEARISH_TO, BULLISH_FROM, RANKS, lean, lean_words, reliability_rank, reliability_words
from virtuoso.reports.contribution import TEXTURES, gauge
from virtuoso.reports.palette import LIGHT

AROUND = [
    (30.0, "strongly bearish"),
    (30.1, "bearish"),
    (45.0, "bearish"),
    (45.04, "bearish"),  # shown as 45.0
    (45.06, "neutral"),
    (50.0, "neutral"),
    (54.94, "neutral"),
    (54.96, "bullish"),  # shown as 55.0
    (55.0, "bullish"),
    (69.9, "bullish"),
    (70.0, "strongly bullish"),
]


class TestOneBoundary:
    @pytest.mark.parametrize(("score", "words"), AROUND)
    def test_words_colours_and_gauge_change_together(self, score, words):
        side = words.rpartition(" ")[2]
        assert lean(score) == side
        assert lean_words(score) == words
        assert face_bias("Technical", score) == f"Technical is {words} at {score:.1f}"
        colour = {"bullish": LIGHT.bullish, "bearish": LIGHT.bearish}.get(side, "")
        assert leaning("x", score).style == colour
        assert set(gauge(score)) - {" ", "│"} <= {TEXTURES[side]}

    def test_what_is_not_known_leans_nowhere(self):
        assert lean(np.nan) == lean_words(np.nan) == "unknown"
        assert face_bias("Technical", np.nan) == "Technical is not known"

    def test_a_number_that_reads_alike_is_called_alike(self):
        """What is printed decides: 54.96 reads 55.0, and 55.0 is bullish."""
        for score in np.random.default_rng(1).uniform(0.0, 100.0, 2_000):
            assert lean(score) == lean(float(f"{score:.1f}"))
            assert (lean(score) == "bullish") == (float(f"{score:.1f}") >= BULLISH_FROM)
            assert (lean(score) == "bearish") == (float(f"{score:.1f}") <= BEARISH_TO)


class TestReliability:
    def test_the_ranks_part_the_scale(self):
        assert [word for _, word in RANKS] == ["high", "medium", "low"]
        assert [reliability_rank(x) for x in (0.0, 0.33, 0.34, 0.66, 0.67, 1.0)] == [
            "low", "low", "medium", "medium", "high", "high",
        ]  # fmt: skip

    def test_uncalibrated_it_is_no_number(self):
        for x in np.linspace(0.0, 1.0, 101):
            assert not any(letter.isdigit() for letter in reliability_words(float(x)))

    def test_calibrated_it_is_a_percentage(self):
        assert reliability_words(0.56, "calibrated") == "56 % (calibrated)"
        assert reliability_words(0.56, "heuristic", "learned on 1h") == "medium (uncalibrated: learned on 1h)"
        assert reliability_words(np.nan, "calibrated") == "not known"

    def test_an_explanation_ranks_it(self):
        found = EXPLANATION
        assert f"reliability {reliability_words(found.reliability)}" in repr(found)
        assert f"{found.reliability:.2f}" not in repr(found)
