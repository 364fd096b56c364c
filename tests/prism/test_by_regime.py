"""Weights by regime: each bar is weighed by the regime that could be seen at its close, in prism and sweep alike."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import virtuoso as vt
from tests.builders import market
from tests.research.test_sweep import summed, trust
from virtuoso.clock import Env
from virtuoso.config import Settings
from virtuoso.errors import ConfigError
from virtuoso.prism.engine.regimes import UNKNOWN_REGIME, regimes_at
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.face import Face
from virtuoso.prism.faces.technical import ADX, MACD, RSI
from virtuoso.prism.faces.volume import CMF, OBV
from virtuoso.prism.prism import Prism, RegimeWeights
from virtuoso.prism.registry import prism_from
from virtuoso.prism.weights import Certificate
from virtuoso.prism.words import REGIMES
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.promotion.promote import weights_file
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.scores import ScoreMatrix
from virtuoso.research.sweep.sweep import Sweep
from virtuoso.signals.decision import decide
from virtuoso.signals.rule import apply_rule
from virtuoso.signals.settings import SignalSettings

PLAIN = Prism(
    (
        Face("technical", "Technical", {RSI(): 0.6, MACD(): 0.4}, gates=(ADX(),)),
        Face("volume", "Volume", {OBV(): 0.5, CMF(): 0.5}),
    ),
    {"technical": 0.7, "volume": 0.3},
    {"1m": 0.6, "5m": 0.4},
)
OWN = {
    "calm trend": RegimeWeights({"technical": 0.2, "volume": 0.8}, {"technical.rsi": 0.0, "technical.macd": 1.0}),
    "volatile range": RegimeWeights(components={"volume.obv": -0.9, "volume.cmf": 0.1}),
}
PRISM = replace(PLAIN, by_regime=OWN)
ARRAYS = ("confluence", "raw_confluence", "coverage", "agreement", "effective_inputs", "reliability")


@cache
def frame():
    return market(7, bars=6_000)


@cache
def scores():
    return score(PRISM, frame())


@cache
def codes():
    found = scores()
    return regimes_at(PRISM, found.workspace, np.arange(found.start, found.start + len(found)))


class TestEachBar:
    """It is weighed by its own regime, to the bit."""

    def test_has_the_bits_of_the_prism_of_its_regime(self):
        seen = 0
        for code in (UNKNOWN_REGIME, *range(len(REGIMES))):
            here = codes() == code
            own = PRISM.in_regime(REGIMES[code]) if code != UNKNOWN_REGIME else PLAIN
            assert not own.by_regime
            alone = score(own, frame())
            for name in set(ARRAYS) - {"effective_inputs"}:  # of all components that count in any regime
                np.testing.assert_array_equal(getattr(scores(), name)[here], getattr(alone, name)[here])
            for face in ("technical", "volume"):
                np.testing.assert_array_equal(scores().faces[face].score[here], alone.faces[face].score[here])
            seen += bool(here.sum() > 50)
        assert seen >= 4
        assert not np.array_equal(scores().confluence, score(PLAIN, frame()).confluence, equal_nan=True)

    def test_is_the_same_in_any_stretch_and_alone(self):
        whole = scores()
        edges = np.flatnonzero(np.diff(codes()))[:12]
        stretches = [(700, 2_900), *((int(i) - 1, int(i) + 3) for i in edges), *((int(i), int(i) + 1) for i in edges)]
        workspace = Workspace(frame())
        for start, stop in stretches:
            part = assemble(PRISM, workspace, whole.start + start, whole.start + stop)
            for name in ARRAYS:
                assert getattr(part, name).tobytes() == getattr(whole, name)[start:stop].tobytes(), (name, start)

    def test_knows_nothing_of_later_bars(self):
        cut = 4_000
        until = frame().until((frame().base.first + cut) * frame().timeframe.ms)
        early = score(PRISM, until)
        n = len(early)
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(early, name), getattr(scores(), name)[:n])

    def test_is_the_same_over_long_stretches_and_from_the_cache(self, tmp_path):
        long = market(9, bars=18_000)
        found = [score(PRISM, long, cache_folder=folder) for folder in (None, tmp_path, tmp_path)]
        short = assemble(PRISM, Workspace(long), long.start + 16_000, long.start + 17_000)
        for name in ARRAYS:
            assert getattr(found[0], name).tobytes() == getattr(found[1], name).tobytes()
            assert getattr(found[0], name).tobytes() == getattr(found[2], name).tobytes()
            assert getattr(found[0], name)[16_000:17_000].tobytes() == getattr(short, name).tobytes()
        plain = score(PLAIN, long, cache_folder=tmp_path)
        assert plain.confluence.tobytes() == score(PLAIN, long).confluence.tobytes()

    def test_obeys_the_laws(self):
        assert vt.verify(market(7, bars=3_000), PRISM, live_bars=60).holds

    def test_is_judged_by_the_rule_as_any_other(self):
        settings = SignalSettings(min_coverage=0.1, max_age="2h", bull_enter=58, bear_enter=42)
        whole, later = apply_rule(scores(), settings), scores()[3_000:]
        np.testing.assert_array_equal(apply_rule(later, settings).state, whole.state[3_000:])


class TestTheSweep:
    """A column of each component for every set of weights, and the arithmetic of the prism."""

    SETTINGS = SignalSettings(
        min_coverage=0.1, max_age="2h", bull_enter=58.0, bull_leave=52.0, bear_leave=48.0, bear_enter=42.0
    )

    @staticmethod
    def panel():
        return SimulationPanel.of([frame()], terms=FundingTerms(assume=0.0003, mark_is_last=True))

    @pytest.mark.parametrize("concentration", [60.0, 4.0])
    def test_decides_bit_for_bit_as_the_prism(self, concentration):
        tried = Configurations.around(PRISM, self.SETTINGS, 8, Env(seed=3), concentration=concentration, points=12.0)
        swept, changes = Sweep(scores(), tried, self.panel()), 0
        for row in range(len(tried)):
            own = assemble(tried.prism(row), scores().workspace, scores().start, scores().start + len(scores()))
            full = decide(own, tried.signal_settings(row))
            at, to, _ = swept.decisions(row, row + 1)
            assert (at.tobytes(), to.tobytes()) == (full.at.astype(np.int64).tobytes(), full.state.tobytes())
            changes += len(at)
        assert changes > 300
        assert len({tried.prism(row).fingerprint for row in range(len(tried))}) == len(tried)

    def test_has_the_bits_of_confluence_and_reliability(self):
        tried = Configurations.around(PRISM, self.SETTINGS, 4, Env(seed=5))
        matrix = ScoreMatrix.of(scores(), self.SETTINGS).by_regime(PRISM, scores().workspace)
        shares = np.ascontiguousarray(tried.shares[:, matrix.columns])
        run = np.repeat(np.arange(len(matrix.coverage)), np.diff(matrix.edges))
        for row in range(len(tried)):
            own = assemble(tried.prism(row), scores().workspace, scores().start, scores().start + len(scores()))
            for i in range(700, len(scores()), 41):
                if not own.coverage[i] > 0.0:
                    continue
                t = i + matrix.lead
                args = (matrix.face, shares[row], tried.face_weights[row])
                found = summed(matrix.points[t], matrix.coverage[run[t]], *args)
                assert found == (own.confluence[i], own.coverage[i])
                assert trust(matrix.points[t], matrix.coverage[run[t]], matrix.gates[t], *args) == own.reliability[i]

    def test_row_0_is_what_is_in_force_and_a_file_holds_any_row(self, tmp_path):
        prism = prism_from(Settings.load(overrides={"prism.by_regime": {"calm trend": {"faces": {}}}}).prism)
        tried = Configurations.around(prism, self.SETTINGS, 3, Env(seed=2))
        assert tried.prism(0).in_regime("calm trend").fingerprint == Prism.standard().fingerprint
        (tmp_path / "best.yaml").write_text(tried.written(2))
        read = prism_from(Settings.load(tmp_path / "best.yaml", root=tmp_path, env={}).prism)
        assert read.fingerprint == tried.prism(2).fingerprint
        assert read.in_regime("calm trend").fingerprint != replace(read, by_regime={}).fingerprint

    def test_promoted_they_are_those_of_their_certificate(self, tmp_path):
        prism = prism_from(Settings.load(overrides={"prism.by_regime": {"calm trend": {"faces": {}}}}).prism)
        tried = Configurations.around(prism, self.SETTINGS, 2, Env(seed=2))
        own = Certificate(verdict="ship", study="mine", tries=40, prism=tried.prism(1).fingerprint)
        text = weights_file(tried.overlay(1), dict(prism.timeframes), "4h", None, own)
        (tmp_path / "configs" / "weights").mkdir(parents=True)
        (tmp_path / "configs/weights/mine.yaml").write_text(text)
        settings = Settings.load(root=tmp_path, env={}, overrides={"prism.weights": "weights/mine.yaml"})
        assert prism_from(settings.prism).is_promoted
        assert prism_from(settings.prism).by_regime

    def test_a_column_of_a_regime_is_varied_and_checked_as_any_other(self):
        tried = Configurations.of(PRISM, self.SETTINGS, {"calm trend.technical": [0.3], "calm trend.volume": [0.7]})
        assert tried.prism(0).in_regime("calm trend").face_weights == {"technical": 0.3, "volume": 0.7}
        assert replace(tried.prism(0), by_regime={}).face_weights == PLAIN.face_weights
        for table, said in (
            ({"calm trend.technical": [0.3]}, "do not sum to 1 in a calm trend"),
            ({"calm trnd.technical": [0.3]}, "Did you mean 'calm trend.technical'"),
            ({"volatile range.volume.obv": [0.9]}, r"volatile range\.volume\.obv is not known or above 0"),
        ):
            with pytest.raises(ConfigError, match=said):
                Configurations.of(PRISM, self.SETTINGS, table)
        panel, tried = self.panel(), Configurations.of(PLAIN, self.SETTINGS, {})
        with pytest.raises(ConfigError, match="the regimes that it weighs by differ"):
            Sweep(scores(), tried, panel)


class TestWhatIsSaid:
    """An explanation shows the weights of its bar's regime."""

    @pytest.mark.parametrize("regime", ["calm trend", "volatile range", "calm range"])
    def test_by_the_weights_of_the_regime(self, regime):
        i = int(np.flatnonzero((codes() == REGIMES.index(regime)) & (scores().coverage > 0.99))[0])
        found = scores().explain(int(scores().close_times[i]))
        weights = {row.name: row.weight for row in found.total}
        wanted = PRISM.in_regime(regime)
        assert weights == pytest.approx(dict(wanted.face_weights))
        assert sum(row.impact for row in found.total) == pytest.approx(found.confluence, abs=1e-9)
        inside = {row.name: row.weight for face in found.faces.values() for row in face}
        assert inside == pytest.approx({name.split(".")[1]: weight for name, _, weight in wanted})
        own = regime in OWN
        assert found.standing == f"weights set by hand: no edge shown; those of {f'a {regime}' if own else 'no regime'}"

    def test_faces_lead_by_the_weights_of_their_bar(self):
        at = np.array([5_000, 1_500, 3_000])
        weights = scores().weights_of_faces(at)
        for k, i in enumerate(at):
            code = codes()[i]
            own = PLAIN if code == UNKNOWN_REGIME else PRISM.in_regime(REGIMES[code])
            assert weights[:, k].tolist() == list(own.face_weights.values())


class TestInAFile:
    """`by_regime` beside `faces`: what a regime does not name is as elsewhere."""

    TEXT = """by_regime:
  calm trend:
    faces: {technical: {weight: 5/41, components: {rsi: 1/3, ao: 0}}, volume: {weight: 8/41}}
"""

    def load(self, folder, text):
        (folder / "configs" / "weights").mkdir(parents=True, exist_ok=True)
        (folder / "configs/weights/mine.yaml").write_text(text)
        return Settings.load(root=folder, env={}, overrides={"prism.weights": "weights/mine.yaml"})

    def test_makes_the_prism(self, tmp_path):
        settings = self.load(tmp_path, self.TEXT)
        prism = prism_from(settings.prism)
        own = prism.in_regime("calm trend")
        assert own.face_weights["technical"] == 5 / 41
        assert {name: weight for name, _, weight in own}["technical.rsi"] == 1 / 3
        assert prism.in_regime("calm range").fingerprint == Prism.standard().fingerprint
        assert prism.fingerprint != Prism.standard().fingerprint
        assert "in a calm trend: technical 0.121951" in repr(prism)
        assert not prism.is_equal
        assert prism.equalised().fingerprint == Prism.standard().fingerprint
        assert Settings.model_validate(settings.masked()).prism == settings.prism

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("by_regime: {calm trnd: {faces: {}}}", r"mine\.yaml, line 1: is not a regime\. Did you mean 'calm trend'"),
            ("by_regime: {calm trend: {faces: {techncal: {}}}}", "is not a face. Did you mean 'technical'"),
            (
                "by_regime: {calm trend: {faces: {technical: {components: {rsii: 0.1}}}}}",
                "is not a component of the technical face. Did you mean 'rsi'",
            ),
            (
                "by_regime: {calm trend: {faces: {technical: {components: {rsi: 0.5}}}}}",
                "weights of technical in a calm trend must sum to 1, sum to 1.33",
            ),
            ("by_regime: {calm trend: {faces: {technical: {weight: 0.5}}}}", "six faces in a calm trend must sum to 1"),
            ("by_regime: {calm trend: {face: {}}}", "Did you mean 'faces'"),
            ("by_regime: {calm trend: {faces: {technical: {wieght: 0.1}}}}", "Did you mean 'weight'"),
        ],
    )
    def test_is_refused_in_the_words_of_the_file(self, tmp_path, text, said):
        with pytest.raises(ConfigError, match=said):
            self.load(tmp_path, text)

    def test_is_refused_in_python(self):
        with pytest.raises(ConfigError, match="Did you mean 'calm trend'"):
            replace(PLAIN, by_regime={"calm trent": RegimeWeights()})
        with pytest.raises(ConfigError, match=r"face weights sum to 1\.2"):
            replace(PLAIN, by_regime={"calm trend": RegimeWeights({"technical": 0.9})})
