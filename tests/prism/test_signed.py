"""Signed weights: what has a negative one counts as 100 - score, by the size of its weight, everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import virtuoso as vt
from tests.builders import market
from virtuoso.clock import Span
from virtuoso.config import Settings
from virtuoso.errors import ConfigError
from virtuoso.market.schema.columns import mirrored
from virtuoso.prism.engine.aggregate import CONVICTION_HALF, RELUCTANCE
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.face import Face
from virtuoso.prism.faces.technical import MACD, RSI
from virtuoso.prism.faces.volume import CMF, OBV
from virtuoso.prism.laws.disturb import changed
from virtuoso.prism.prism import Prism
from virtuoso.prism.registry import prism_from
from virtuoso.reports.contribution import AGAINST_NOTE, contribution
from virtuoso.reports.format import number

PLAIN = Prism(
    (Face("technical", "Technical", {RSI(): 0.6, MACD(): 0.4}), Face("volume", "Volume", {OBV(): 0.5, CMF(): 0.5})),
    {"technical": 0.7, "volume": 0.3},
    {"1m": 0.6, "5m": 0.4},
)
SIGNED = PLAIN.reweighted({"technical": 0.7, "volume": -0.3}, {"technical.rsi": -0.6, "volume.cmf": -0.5})
FRAME = market(7, bars=3_000)
AT = FRAME.timeframe.close_time(FRAME.start + 2_500)
"""A moment at which everything is known."""


@pytest.fixture(scope="module")
def plain():
    return score(PLAIN, FRAME)


@pytest.fixture(scope="module")
def signed():
    return score(replace(SIGNED, horizon=Span("15m")), FRAME)


def counted(part, weight):
    return 100.0 - part if weight < 0.0 else part


class TestTheArithmetic:
    """By hand, from component scores, which know nothing of weights."""

    def test_of_faces_and_confluence(self, signed):
        total = spread = whole = 0.0
        pushed = []
        for face in signed.faces.values():
            parts = [(p.weight, p.arrays()) for p in face.components.values()]
            known = sum(abs(w) * a.coverage * np.isfinite(a.score) for w, a in parts)
            with np.errstate(invalid="ignore", divide="ignore"):
                own = sum(abs(w) * a.coverage * np.nan_to_num(counted(a.score, w)) for w, a in parts) / known
            np.testing.assert_allclose(face.score, own, atol=1e-9)
            np.testing.assert_allclose(face.coverage, known, atol=1e-12)
            weight = abs(face.weight) * known
            pushed.append((weight, counted(own, face.weight)))
            total, whole = total + weight * np.nan_to_num(counted(own, face.weight)), whole + weight
        with np.errstate(invalid="ignore", divide="ignore"):
            centre = total / whole
        np.testing.assert_allclose(signed.confluence, centre, atol=1e-9)
        np.testing.assert_allclose(signed.coverage, whole, atol=1e-12)
        spread = sum(weight * np.nan_to_num((own - centre) ** 2) for weight, own in pushed)
        with np.errstate(invalid="ignore", divide="ignore"):
            agreement = 1.0 - np.minimum(np.sqrt(spread / whole) / 50.0, 1.0)
        np.testing.assert_allclose(signed.agreement, np.where(whole > 0, agreement, np.nan), atol=1e-9)
        far = np.abs(centre - 50.0)
        conviction = RELUCTANCE + (1 - RELUCTANCE) * far / np.sqrt(CONVICTION_HALF**2 + far**2)
        np.testing.assert_allclose(signed.reliability, np.minimum(whole, 1.0) * agreement * conviction, atol=1e-9)

    def test_all_turned_round_is_the_opposite(self, plain):
        faces = {"technical": -0.7, "volume": -0.3}
        other = score(PLAIN.reweighted(faces), FRAME)
        np.testing.assert_allclose(other.confluence, 100.0 - plain.confluence, atol=1e-9)
        np.testing.assert_array_equal(other.coverage, plain.coverage)
        np.testing.assert_allclose(other.agreement, plain.agreement, atol=1e-9)
        np.testing.assert_allclose(other.reliability, plain.reliability, atol=1e-9)

    def test_twice_turned_round_is_as_it_was(self, plain):
        components = {"technical.rsi": -0.6, "technical.macd": -0.4, "volume.obv": -0.5, "volume.cmf": -0.5}
        other = score(PLAIN.reweighted({"technical": -0.7, "volume": -0.3}, components), FRAME)
        np.testing.assert_allclose(other.confluence, plain.confluence, atol=1e-9)

    def test_signs_change_no_component(self, plain, signed):
        for name in ("technical.rsi", "technical.macd", "volume.obv", "volume.cmf"):
            face, _, part = name.partition(".")
            for one, other in zip(
                plain.faces[face].components[part].arrays(), signed.faces[face].components[part].arrays(), strict=True
            ):
                np.testing.assert_array_equal(one, other)


class TestTheLaws:
    """A signed prism obeys what every prism does."""

    def test_any_cut_gives_the_same_bits(self, signed):
        for start, stop in ((0, 700), (1_111, 1_112), (1_500, 2_999)):
            part = assemble(signed.prism, Workspace(FRAME), FRAME.start + start, FRAME.start + stop)
            for name in ("confluence", "coverage", "agreement", "reliability"):
                assert getattr(part, name).tobytes() == getattr(signed, name)[start:stop].tobytes(), name

    def test_the_mirror_of_the_market_is_the_mirror_of_the_score(self, signed):
        pivot = float(np.nanmax(FRAME.base.columns["high"])) + 1.0
        other = score(signed.prism, changed(FRAME, mirrored(FRAME.base.columns, pivot)))
        known = np.isfinite(signed.confluence) & np.isfinite(other.confluence)
        assert known.mean() > 0.8
        np.testing.assert_allclose(other.confluence[known], 100.0 - signed.confluence[known], atol=1e-6)
        assert np.ptp(signed.confluence[known]) > 20.0

    def test_all_of_them_by_verify(self):
        found = vt.verify(FRAME, SIGNED, live_bars=60)
        assert found.holds, found


class TestWhatIsSaid:
    """Explanations, contribution tables and signals call a sign what it is."""

    def test_impacts_sum_to_the_score_above(self, signed):
        found = signed.explain(AT)
        assert sum(row.impact for row in found.total) == pytest.approx(found.confluence, abs=1e-9)
        for face in found.total:
            assert sum(row.impact for row in found.faces[face.name]) == pytest.approx(face.score, abs=1e-9)
        rows = {row.name: row for row in found.faces["technical"]}
        assert rows["rsi"].weight == pytest.approx(-0.6)
        assert rows["rsi"].impact == pytest.approx(0.6 * (100.0 - rows["rsi"].score))

    def test_a_high_score_counts_against_at_the_horizon(self, signed):
        rsi = signed.faces["technical"].components["rsi"].arrays().score
        for i, said in (
            (int(np.nanargmax(rsi)), "; a high Relative Strength Index counts against, at 15m"),
            (int(np.nanargmin(rsi)), "; a low Relative Strength Index counts in favour, at 15m"),
        ):
            rows = signed.explain(int(signed.close_times[i])).faces["technical"]
            assert rows[0].words.endswith(said)
            assert "counts" not in rows[1].words

    def test_what_moves_it_furthest_is_signed(self, signed):
        found = signed.explain(AT)
        moved = {row.name: by for _, row, by in found.strongest(4)}
        assert sum(moved.values()) == pytest.approx(found.confluence - 50.0, abs=1e-9)

    def test_the_table_notes_it(self, signed, plain):
        assert AGAINST_NOTE in contribution(signed.explain(AT), "technical").footnote
        assert AGAINST_NOTE not in contribution(plain.explain(AT), "technical").footnote
        text = contribution(signed.explain(AT)).to_text()
        volume = next(row for row in signed.explain(AT).total if row.name == "volume")
        assert volume.weight < -0.2
        assert number(volume.weight, 3) in text
        assert "weights set by hand: no edge shown" in text


class TestWhereTheyAreWritten:
    """In a file of weights, for faces and components; never by default."""

    def test_in_configuration(self):
        given = {"prism.faces.technical.components": {"rsi": -0.2, "ao": 2 / 15}}
        prism = prism_from(Settings.load(overrides=given).prism)
        assert {name: weight for name, _, weight in prism}["technical.rsi"] == -0.2
        assert prism.standing == "weights set by hand: no edge shown"
        assert not prism.is_equal

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"prism.faces.technical.components.rsi": -0.5}, "must sum to 1, signs aside, sum to 1.33"),
            ({"prism.faces.technical.weight": -1.5}, "greater than or equal to -1"),
            ({"prism.timeframes": {"1m": -0.5, "5m": 1.5}}, "greater than or equal to 0"),
        ],
    )
    def test_is_refused_otherwise(self, given, said):
        with pytest.raises(ConfigError, match=said):
            Settings.load(overrides=given)

    def test_reweighting_keeps_sizes_to_one(self):
        with pytest.raises(ConfigError, match=r"components of 'technical', signs aside, sum to 1\.1"):
            PLAIN.reweighted(components={"technical.rsi": -0.7})

    def test_no_weight_that_ships_is_negative(self):
        for prism in (Prism.standard(), Prism.classic()):
            assert min(*prism.face_weights.values(), *(weight for _, _, weight in prism)) > 0.0
