"""Weights say what they are worth: equal ones by default, and no more than their certificate holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.archives import JANUARY, bars, env, minutes
from tests.builders import market
from tests.lake.test_lake import put
from virtuoso import workflows
from virtuoso.clock import Span, Timeframe
from virtuoso.config import Settings, show
from virtuoso.errors import ConfigError
from virtuoso.lake.lake import Lake
from virtuoso.prism.engine.score import score
from virtuoso.prism.faces import FACES
from virtuoso.prism.prism import Prism
from virtuoso.prism.registry import prism_from
from virtuoso.prism.weights import Certificate
from virtuoso.signals.message.provenance import provenance
from virtuoso.signals.settings import SignalSettings

DIGEST = "0123456789abcdef" * 4


def promoted(prism: Prism, **changed) -> Prism:
    told = {"verdict": "ship", "study": "slow-weights", "tries": 2_000, "date": "2026-11-30", **changed}
    return replace(prism, certificate=Certificate(**{"prism": prism.fingerprint, **told}))


def load(project: Path, text: str) -> Settings:
    (project / "configs" / "weights").mkdir(parents=True, exist_ok=True)
    (project / "configs/weights/mine.yaml").write_text(text)
    return Settings.load(root=project, env={}, overrides={"prism.weights": "weights/mine.yaml"})


class TestEqualWeights:
    """Every component counts the same, whatever its face."""

    def test_make_confluence_the_mean_of_the_known_components(self):
        scores = score(Prism.standard(), market(3, bars=2_500, lit=True))
        parts = [part.arrays() for face in scores.faces.values() for part in face.components.values()]
        weight = np.array([np.where(np.isfinite(part.score), part.coverage, 0.0) for part in parts])
        points = np.array([np.nan_to_num(part.score) for part in parts])
        total = weight.sum(axis=0)
        with np.errstate(invalid="ignore"):
            mean = (weight * points).sum(axis=0) / total
        known = np.isfinite(scores.confluence)
        assert known.mean() > 0.9
        assert len(np.unique((weight > 0).sum(axis=0)[known])) > 3, "with any coverage"
        np.testing.assert_allclose(scores.confluence[known], mean[known], atol=1e-9)
        np.testing.assert_allclose(scores.coverage, total / 41, atol=1e-12)

    def test_are_those_of_the_shipped_file(self):
        assert prism_from(Settings().prism).fingerprint == Prism.standard().fingerprint
        assert Prism.standard().is_equal
        assert not Prism.classic().is_equal

    def test_of_faces_are_their_shares_of_the_components(self):
        counts = {face.name: len(face.components) for face in FACES}
        assert Prism.standard().face_weights == {name: n / 41 for name, n in counts.items()}

    def test_leave_out_what_had_no_weight(self):
        one = Prism.classic().reweighted(components={"technical.rsi": 0.0, "technical.ao": 0.4}).equalised()
        assert [weight for name, _, weight in one if name.startswith("technical")] == [0.0, *[0.2] * 5]
        assert one.face_weights["technical"] == 5 / 40
        assert one.is_equal


class TestTheStanding:
    """One line: which weights are in force, and what they have shown."""

    @pytest.mark.parametrize(
        ("weights", "line"),
        [
            ("default", "equal weights: no edge shown"),
            ("classic", "classic weights: no edge shown"),
            ("slow", "equal weights: no edge shown"),
        ],
    )
    def test_of_what_ships(self, weights, line):
        settings = Settings.load(overrides={"prism.weights": f"weights/{weights}.yaml"})
        assert prism_from(settings.prism).standing == line
        assert settings.prism.certificate.verdict == "no edge shown"
        assert show(settings)["weights"] == line

    def test_of_weights_set_by_hand(self):
        changed = {"prism.faces.technical.components": {"rsi": 0.3, "ao": 1 / 3 - 0.3}}
        assert prism_from(Settings.load(overrides=changed).prism).standing == "weights set by hand: no edge shown"

    def test_of_promoted_ones(self):
        prism = promoted(replace(Prism.classic(), horizon=Span("1d")))
        assert prism.is_promoted
        assert prism.standing == (
            "weights of study slow-weights, for a hold of 1d: passed the gate after 2,000 tries on 2026-11-30"
        )

    def test_of_forced_ones_says_so_for_good(self):
        prism = promoted(Prism.classic(), verdict="discard", forced=True, failed=("deflated Sharpe", "costs"))
        assert not prism.is_promoted
        assert prism.standing == (
            "weights of study slow-weights: forced past the gate after 2,000 tries, which refused them: "
            "deflated Sharpe, costs"
        )

    def test_a_certificate_is_about_one_prism(self):
        prism = promoted(Prism.classic())
        other = prism.reweighted(components={"technical.rsi": 0.30, "technical.ao": 0.10})
        assert not other.is_promoted
        assert other.standing == "weights set by hand, others than study slow-weights gave: no edge shown"

    def test_stands_in_explanations_and_provenance(self):
        scores = score(Prism.standard(), market(3, bars=2_000))
        assert repr(scores.explain()).splitlines()[-1].strip() == "equal weights: no edge shown"
        assert "equal weights: no edge shown" in scores.explain()._repr_html_()
        source = provenance(scores.prism, scores.workspace, SignalSettings(), scores.start + len(scores) - 1)
        assert source.weights == "equal weights: no edge shown"


class TestAFileOfWeights:
    """Beside timeframes and faces it says what it is meant for, and what it has shown."""

    def test_says_horizon_standard_and_certificate(self, tmp_path):
        settings = load(
            tmp_path,
            "horizon: 2d\nstandard: {mean: 51.5, sd: 7.25}\n"
            f"certificate: {{verdict: ship, study: mine, tries: 40, prism: {DIGEST}, date: '2026-11-30',"
            " passed: [deflated Sharpe]}\n",
        )
        prism = prism_from(settings.prism)
        assert (prism.horizon, prism.usual.mean, prism.usual.sd) == (Span("2d"), 51.5, 7.25)
        assert prism.certificate.passed == ("deflated Sharpe",)
        assert Settings.model_validate(settings.masked()).prism == settings.prism

    def test_inherits_no_certificate(self, tmp_path):
        settings = load(tmp_path, "timeframes: {1h: 1.0}")
        assert settings.prism.certificate is None
        assert settings.prism.horizon == Span("4h")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("certificate: {verdit: ship}", r"verdit in configs/weights/mine\.yaml, line 1: not a setting.*'verdict'"),
            ("certificate: {verdict: shipp}", r"Did you mean 'ship'\?"),
            ("certificate: {verdict: ship}", r"needs study, tries and prism beside the verdict ship"),
            ("certificate: {verdict: discard, study: a, tries: 1, prism: %s}", "needs forced: true"),
            ("certificate: {verdict: ship, study: a, tries: 1, prism: %s, forced: true}", "and with no other"),
            ("certificate: {verdict: ship, study: a, tries: 1, prism: %s, failed: [costs]}", "lists failed questions"),
            ("standard: {mean: 50}", r"standard\.sd .*required"),
            ("standard: {mean: 50, sd: 0}", r"standard\.sd .*greater than 0"),
            ("horizn: 4h", "'horizon'"),
            ("horizon: soon", "must be a number and one of s, m, h, d"),
        ],
    )
    def test_is_refused_in_the_words_of_the_file(self, tmp_path, text, said):
        with pytest.raises(ConfigError, match=said):
            load(tmp_path, text % DIGEST if "%s" in text else text)

    def test_takes_fractions(self, tmp_path):
        settings = load(tmp_path, "faces: {technical: {components: {rsi: 1/4, ao: 1/12}}}")
        assert settings.prism.faces.technical.components["ao"] == 1 / 12
        for text in ("1/0", "a/2", "3/2"):
            with pytest.raises(ConfigError, match=r"components\.rsi"):
                load(tmp_path, f"faces: {{technical: {{components: {{rsi: {text}}}}}}}")


class TestTheSlowProfile:
    """4h and 1d, from bars of a minute, an hour or four."""

    @pytest.mark.parametrize("stored", ["1m", "1h", "4h"])
    def test_scores_four_hours_and_days(self, tmp_path, stored):
        clock = Timeframe(stored)
        n = 40 * 86_400_000 // clock.ms
        put(Lake(tmp_path / "data" / "lake", env=env()), minutes(n, JANUARY, clock.ms), bars(n), timeframe=clock)
        slow = Settings.load(profile="slow", root=tmp_path, env={})
        frame = workflows.load("BTCUSDT", data=tmp_path / "data", settings=slow)
        assert frame.timeframe == Timeframe("4h")
        assert prism_from(slow.prism).ladder(frame.timeframe) == [(Timeframe("4h"), 0.5), (Timeframe("1d"), 0.5)]
        assert workflows.load("BTCUSDT", "1d", data=tmp_path / "data", settings=slow).timeframe == Timeframe("1d")
        plain = workflows.load("BTCUSDT", data=tmp_path / "data", settings=Settings())
        assert plain.timeframe == clock

    def test_holds_for_days(self):
        slow = Settings.load(profile="slow")
        assert (slow.prism.horizon, slow.signals.max_age) == (Span("3d"), Span("3d"))
        assert Settings.load(profile="fast", env={}).fingerprint() == Settings().fingerprint()
