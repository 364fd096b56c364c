"""The signal: valid JSON always, nothing invented, impacts that sum, an id that follows from what it was made of."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.signals import scenes
from virtuoso.errors import SchemaVersionError, UnreadableFileError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.score import score
from virtuoso.prism.face import Face
from virtuoso.prism.faces.technical import MACD, RSI
from virtuoso.prism.prism import Prism
from virtuoso.signals.message.build import VIEWS
from virtuoso.signals.message.signal import Signal, schema
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import signal_at, signals

SCHEMA = Path(__file__).parents[3] / "docs" / "api" / "signal.schema.json"


@cache
def issued() -> list[Signal]:
    return signals(scenes.scores(), scenes.SETTINGS)[-60:]


class TestImpacts:
    """Impact is effective weight times score; impacts sum to what they are part of."""

    def test_of_faces_sum_to_the_confluence(self):
        for signal in issued():
            impacts = [face.impact for face in signal.components.values() if face.impact is not None]
            assert sum(impacts) == pytest.approx(signal.score, abs=1e-9)

    def test_of_components_sum_to_their_face(self):
        for signal in issued():
            for name, face in signal.components.items():
                if face.score is not None and name not in VIEWS:
                    impacts = [part.impact for part in face.components.values() if part.impact is not None]
                    assert sum(impacts) == pytest.approx(face.score, abs=1e-9)

    def test_weights_are_those_of_what_is_known_and_sum_to_one(self):
        for signal in issued():
            assert sum(face.weight for face in signal.components.values()) == pytest.approx(1.0)
            for face in signal.components.values():
                if face.impact:
                    assert sum(part.weight for part in face.components.values()) == pytest.approx(1.0)

    def test_a_score_is_its_raw_score_and_its_divergence_clipped(self):
        for signal in issued():
            for face in signal.components.values():
                for part in face.components.values():
                    if part.score is not None:
                        adjusted = min(max(part.raw_score + part.divergence_bonus, 0.0), 100.0)
                        assert part.score == pytest.approx(adjusted, abs=1e-12)


class TestViews:
    """Summaries beside the six faces that weigh nothing."""

    def test_stand_beside_the_faces(self):
        assert list(issued()[0].components) == [face.name for face in scenes.PRISM.faces] + list(VIEWS)

    def test_are_means_of_what_is_known(self):
        for signal in issued():
            for view, (_, members) in VIEWS.items():
                parts = [signal.components[m.partition(".")[0]].components[m.partition(".")[2]] for m in members]
                known = [part.score for part in parts if part.score is not None]
                found = signal.components[view]
                assert (found.weight, found.impact) == (0.0, 0.0)
                assert found.score == (pytest.approx(sum(known) / len(known)) if known else None)

    def test_are_not_known_where_none_of_their_components_is(self):
        early = signal_at(scenes.scores(), scenes.SETTINGS, (scenes.frame().base.first + 5) * 60_000)
        assert early.components["momentum"].score is None
        assert early.components["momentum"].reason == "none of its components is known"


class TestWhatIsNotKnown:
    """Null, with a reason beside it."""

    def early(self) -> Signal:
        return signal_at(scenes.scores(), scenes.SETTINGS, (scenes.frame().base.first + 5) * 60_000)

    def test_is_null_and_says_why(self):
        written = json.loads(self.early().to_json())
        for name in ("score", "reliability", "agreement", "effective_inputs", "entry_price", "stop_loss"):
            assert written[name] is None
            assert written["unknown"][name]
        assert written["signal"] == "NEUTRAL"
        assert written["reason"] == "confluence is not known"

    def test_holds_for_faces_and_components(self):
        for face in self.early().components.values():
            for part in (face, *face.components.values()):
                assert (part.score is None) == bool(part.reason)

    def test_every_null_of_an_issued_signal_has_a_reason(self):
        for signal in issued():
            written = json.loads(signal.to_json())
            nulls = {name for name, value in written.items() if value is None or value == {}} - {"unknown"}
            assert nulls == set(written["unknown"])

    def test_a_signal_that_was_stopped_by_a_gap_has_no_score(self):
        state = scenes.frame().base.state
        number = scenes.frame().base.first + int((state == 3).nonzero()[0][-1])
        stopped = signal_at(scenes.scores(), scenes.SETTINGS, (number + 1) * 60_000)
        assert stopped.price is None
        assert stopped.unknown["price"].startswith("gap")

    def test_no_nan_gets_in(self):
        written = issued()[0].model_dump()
        with pytest.raises(ValidationError):
            Signal.model_validate(written | {"score": float("nan")})
        with pytest.raises(ValidationError):
            Signal.model_validate(written | {"price": float("inf")})


class TestTheContract:
    """The schema is committed, and what is written is what is read."""

    def test_the_committed_schema_is_current(self):
        assert json.loads(SCHEMA.read_text(encoding="utf-8")) == schema(), (
            "write it anew: python -c 'import json; from virtuoso.signals.message.signal import schema; "
            "print(json.dumps(schema(), indent=2))' > docs/api/signal.schema.json"
        )

    def test_what_is_written_is_read_back(self):
        for signal in issued():
            assert Signal.from_json(signal.to_json()) == signal

    def test_it_holds_the_keys_of_the_product(self):
        written = json.loads(issued()[0].to_json())
        assert set(written) >= {
            "schema_version", "id", "status", "expires_at", "reliability_basis", "symbol", "venue", "timeframe",
            "signal", "score", "reliability", "coverage", "price", "timestamp", "components", "entry_price",
            "stop_loss", "targets", "insights", "actionable_insights", "provenance", "file_references",
        }  # fmt: skip
        rsi = written["components"]["technical"]["components"]["rsi"]
        assert set(rsi) >= {
            "score", "raw_score", "value", "weight", "impact", "divergence_bonus", "divergence_type",
            "interpretation", "timeframes",
        }  # fmt: skip
        assert list(rsi["timeframes"]) == ["1m", "5m", "30m", "4h"]
        assert set(written["provenance"]) >= {"data", "config", "code", "model"}
        assert set(written["file_references"]) == {"json", "pdf", "chart"}

    def test_it_lapses_after_max_age(self):
        signal = issued()[0]
        assert signal.expires_at == signal.timestamp + scenes.SETTINGS.max_age.ms
        assert signal.at(signal.expires_at - 1).status == "active"
        assert signal.at(signal.expires_at).status == "lapsed"

    def test_a_simulated_market_says_so(self):
        assert issued()[0].simulated

    def test_another_version_is_refused_with_the_remedy(self):
        newer = issued()[0].to_json().replace('"schema_version": "1.0"', '"schema_version": "9.0"')
        with pytest.raises(SchemaVersionError, match=r"'9\.0', this Virtuoso reads '1\.0'"):
            Signal.from_json(newer, where="some.json")

    @pytest.mark.parametrize("text", ["", "{", "{}", "[1]", '{"score": NaN}'])
    def test_what_is_no_signal_is_refused(self, text):
        with pytest.raises(UnreadableFileError, match=r"some\.json is not a signal"):
            Signal.from_json(text, where="some.json")

    def test_rounding_at_the_edge_of_a_scale_is_no_error(self):
        pinned = Prism((Face("technical", "Technical", {RSI(): 0.7, MACD(): 0.1}),), {"technical": 0.3})
        found = signal_at(score(pinned, scenes.frame(), block=scenes.BLOCK), SignalSettings(min_coverage=0.0))
        assert found.components["technical"].weight == pytest.approx(1.0)


class TestTheId:
    """The same signal made twice is the same signal; other data, settings or time make another one."""

    def test_is_repeated(self):
        assert signals(scenes.scores(), scenes.SETTINGS)[-1].id == issued()[-1].id

    def test_no_two_are_alike(self):
        assert len({signal.id for signal in issued()}) == len(issued())

    def test_depends_on_the_settings(self):
        other = scenes.SETTINGS.model_copy(update={"bull_leave": 54.0})
        at = issued()[-1].timestamp
        assert signal_at(scenes.scores(), other, at).id != issued()[-1].id

    def test_depends_on_the_data(self):
        base = scenes.frame().base
        changed = {name: values.copy() for name, values in base.columns.items()}
        changed["volume"][10] *= 2.0  # days before: no score moves, but it went in
        other = MarketFrame(scenes.frame().instrument, replace(base, columns=changed))
        made = signal_at(score(scenes.PRISM, other, block=scenes.BLOCK), scenes.SETTINGS, issued()[-1].timestamp)
        assert made.score == issued()[-1].score
        assert made.id != issued()[-1].id

    def test_does_not_depend_on_where_reports_are_kept(self):
        other = scenes.SETTINGS.model_copy(update={"reports": Path("elsewhere")})
        assert signal_at(scenes.scores(), other, issued()[-1].timestamp).id == issued()[-1].id
