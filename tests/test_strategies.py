"""vt.Strategy: declared once, evaluated in anchored blocks, under the laws, traded like own signals."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import talib

import virtuoso as vt
from tests.builders import market
from tests.laws.strategies import PAIRS, FormingHour, ListOfTheClass, NextClose
from tests.research.scenes import walk
from virtuoso.account.instrument import Instrument
from virtuoso.errors import (
    ConfigError,
    DeclarationError,
    LawBrokenError,
    MissingColumnError,
    ParameterError,
    PrivateCodeError,
)
from virtuoso.prism.component import Component, Feature
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.laws import laws
from virtuoso.prism.laws.findings import Finding
from virtuoso.prism.laws.purity import FreshValues
from virtuoso.research.backtest.judgement import foresight_of, trial_of
from virtuoso.research.validation.plateau import plateau_of, strategies_beside
from virtuoso.signals.rule import apply_rule
from virtuoso.signals.settings import LevelSettings, SignalSettings
from virtuoso.signals.strategy import RuleStrategy, intents

HOW = {"record": False, "mark": "last", "assume_funding": 0.0001}


class EmaCross(vt.Strategy):
    fast = vt.Int(10, low=2, high=100)
    slow = vt.Int(50, low=5, high=300)

    def decide(self, close):
        return np.where(talib.EMA(close, self.fast) > talib.EMA(close, self.slow), 1.0, 0.0)


class Crossing(EmaCross):
    """The same, as entries and exits."""

    def decide(self, close):
        fast, slow = talib.EMA(close, self.fast), talib.EMA(close, self.slow)
        return {"entries": fast > slow, "exits": ~(fast > slow)}


class Range(Feature):
    period = vt.Int(14, low=2, high=100)

    def value(self, high, low):
        return pd.Series(high - low).rolling(self.period).mean().to_numpy()


class HourlyMean(Feature):
    """On a slower clock of its own."""

    def clock(self, timeframe):
        return vt.Timeframe("1h")

    def value(self, close):
        return close.copy()


class Momentum(vt.Component):
    title, source, scale, bands = "Momentum", "tests", vt.Squash(half=0.01), {0: "{value}"}
    n = vt.Int(10, low=2, high=50)

    def value(self, close):
        return np.concatenate((np.full(self.n, np.nan), close[self.n :] / close[: -self.n] - 1.0))[: len(close)]


class Bracketed(vt.Strategy):
    """Inputs of every kind, and levels."""

    enter = vt.Float(60.0, low=50.0, high=90.0, unit="points")
    reach = Range(period=20)
    hour = HourlyMean()
    momentum = Momentum(n=12)

    def decide(self, close, reach, hour, momentum):
        return {
            "entries": (momentum > self.enter) & (close > hour),
            "exits": momentum < 50.0,
            "stop": close - 2.0 * reach,
            "target": [(close + 2.0 * reach, 0.5), (close + 4.0 * reach, 0.5)],
            "size": 0.5,
        }


class Faces(vt.Strategy):
    enter = vt.Float(55.0, low=50.0, high=90.0, unit="points")

    def decide(self, confluence, volume_face):
        return np.where((confluence > self.enter) & (volume_face > 50.0), 1.0, 0.0)


@pytest.fixture(scope="module")
def frame() -> vt.MarketFrame:
    return walk(3, 6_000, step=0.004)


@pytest.fixture(scope="module")
def bars() -> vt.MarketFrame:
    """Few, for the laws."""
    return walk(3, 4_000)


@pytest.fixture(scope="module")
def examined() -> Iterator[Callable[[type[vt.Strategy]], list[Finding]]]:
    """Every law over a strategy, in blocks of 64 bars; one fresh process answers for all of them."""
    few = walk(3, 2_000)
    made = [one().shaped_on(Workspace(few, 64)) for pair in PAIRS.items() for one in pair]
    with FreshValues([(one, few.timeframe) for one in made], few, 64) as elsewhere:

        def findings(of: type[vt.Strategy]) -> list[Finding]:
            found = laws.within(of().shaped_on(Workspace(few, 64)), few, few.timeframe, 64)
            return [
                *found,
                laws.purity_elsewhere(of().shaped_on(Workspace(few)), few, few.timeframe, elsewhere, block=64),
            ]

        yield findings


def decided(strategy: vt.Strategy, frame: vt.MarketFrame) -> dict:
    return strategy.decided(Workspace(frame), frame.start, frame.start + len(frame))


def declare(*arguments: str, body: str = "return close > 0", **attributes: object) -> type[vt.Strategy]:
    made: dict = {}
    exec(f"def decide(self, {', '.join(arguments)}):\n    {body}", {"np": np, "pd": pd}, made)
    return type("Made", (vt.Strategy,), {**made, **attributes})


class TestDeclaring:
    def test_parameters_are_typed_fields_with_ranges(self):
        assert EmaCross().settings() == {"fast": 10, "slow": 50}
        assert repr(EmaCross(fast=5)) == "EmaCross(fast=5)"
        assert EmaCross(fast=5) == EmaCross(fast=5) != EmaCross()
        with pytest.raises(ParameterError, match=r"EmaCross.fast must lie in 2..100"):
            EmaCross(fast=1)
        with pytest.raises(ParameterError, match="Did you mean 'fast'"):
            EmaCross(fest=5)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("clsoe",), "Did you mean 'close'"),
            (("confluense",), "Did you mean 'confluence'"),
            (("close", "n=14"), r"n = vt.Int\(14, low=2, high=50\), and read as self.n"),
            (("*close",), "plain names"),
            (("close", "length"), "a parameter: read it as self.length"),
            (("first",), "names no input"),
            (("close", "atr"), r"Made.atr is a class. Make one of it: atr = ATR\(\)"),
        ],
    )
    def test_an_input_that_there_is_not_is_refused_when_the_class_is_made(self, arguments, said):
        with pytest.raises(DeclarationError, match=said):
            declare(*arguments, length=vt.Int(14, low=2, high=100), atr=vt.ATR)

    def test_what_is_missing_or_misnamed_says_so(self):
        with pytest.raises(DeclarationError, match="strategy's is decide"):
            type("Made", (vt.Strategy,), {"value": lambda self, close: close})
        with pytest.raises(DeclarationError, match="declares no decide"):
            type("Made", (vt.Strategy,), {})()
        with pytest.raises(DeclarationError, match=r"must be a vt\.Prism"):
            type("Made", (vt.Strategy,), {"prism": "standard"})

    def test_is_a_frozen_value_that_travels(self, frame):
        strategy = Bracketed(enter=65)
        decided(strategy, frame)
        again = pickle.loads(pickle.dumps(strategy))
        assert again == strategy
        assert again.outputs is not None
        with pytest.raises(AttributeError, match="frozen"):
            strategy.enter = 70


class TestDeciding:
    def test_decides_what_the_function_says_of_the_whole(self, frame):
        close = frame.base.columns["close"]
        whole = np.where(talib.EMA(close, 10) > talib.EMA(close, 50), 1.0, 0.0)
        found = decided(EmaCross(), frame)["position"]
        assert np.isnan(found[:49]).all()
        assert np.array_equal(found[49:], whole[49:])

    def test_the_last_bar_alone_says_what_the_whole_says(self, frame):
        whole = decided(EmaCross(), frame)["position"]
        for last in (frame.stop - 1, frame.stop - 77, frame.start + 60, frame.start + 1_025):
            cut = frame.until(frame.timeframe.close_time(last))
            assert EmaCross().decided(Workspace(cut), last, last + 1)["position"][0] == whole[last - frame.start]

    def test_inputs_of_every_kind(self, frame):
        found, close = decided(Bracketed(), frame), frame.base.columns["close"]
        assert set(found) == {"entries", "exits", "stop", "target", "size"}
        reach = pd.Series(frame.base.columns["high"] - frame.base.columns["low"]).rolling(20).mean().to_numpy()
        known = np.isfinite(found["stop"])
        assert known.mean() > 0.9
        assert np.allclose(found["stop"][known], (close - 2.0 * reach)[known])
        assert [share for _, share in found["target"]] == [0.5, 0.5]
        assert found["size"] == 0.5
        at = 3_000
        hour = (frame.start + at + 1) // 60 * 60 - 1 - frame.start  # the last base bar of the last closed hour
        score = Momentum(n=12).score(np.array([close[at] / close[at - 12] - 1.0]))[0]
        assert found["entries"][at] == float(score > 60.0 and close[at] > close[hour])

    def test_faces_are_those_of_the_scores(self, frame):
        scores, found = vt.score(frame), decided(Faces(), frame)["position"]
        wanted = np.where((scores.confluence > 55.0) & (scores.faces["volume"].score > 50.0), 1.0, 0.0)
        known = np.isfinite(found)
        assert known.mean() > 0.9
        assert np.array_equal(found[known], wanted[known])
        assert np.isfinite(scores.confluence[known]).all()

    def test_its_own_prism(self, frame):
        prism = vt.Prism.classic().reweighted({"technical": 1.0, "volume": 0.0, "orderflow": 0.0, "orderbook": 0.0,
                                                "price_structure": 0.0, "sentiment": 0.0})  # fmt: skip
        found = decided(type("Other", (Faces,), {"prism": prism, "decide": Faces.decide})(), frame)["position"]
        assert not np.array_equal(found, decided(Faces(), frame)["position"], equal_nan=True)

    def test_bars_that_are_not_known_decide_nothing(self, frame):
        holed = {name: values.copy() for name, values in frame.base.columns.items()}
        holed["close"][3_000:3_010] = np.nan
        other = vt.MarketFrame(frame.instrument, frame.base.__class__(**{**vars(frame.base), "columns": holed}))
        found = decided(EmaCross(), other)["position"]
        assert np.isnan(found[3_000 : 3_010 + 49]).all()
        assert np.isfinite(found[3_060:]).all()

    def test_a_column_that_is_not_there_is_named(self, frame):
        with pytest.raises(MissingColumnError, match="taker_buy_volume"):
            decided(declare("close", "taker_buy_volume")(), frame)


class TestWhatIsGiven:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("pass", "gave None. Does it end without return"),
            ("return {'entry': close > 0}", "Did you mean 'entries'"),
            ("return {'stop': 0.02}", "neither a position nor entries"),
            ("return {'position': close * 0, 'stop': 0.02}", "a position and stop"),
            ("return close[1:] * 0", r"position of shape \(\d+,\)"),
            ("return {'entries': close}", "neither true nor false"),
            ("return close / 0", "infinite"),
            ("return np.array(['a'] * len(close))", "array of numbers or booleans"),
            ("return {'entries': close > 0, 'target': [1, 2, 3, 4]}", "4 targets"),
            ("return {'entries': close > 0, 'stop': 'near'}", "must be a number or an array"),
            ("return {'entries': close > 0, 'stop': float(close[-1])}", "numbers that do not change"),
        ],
    )
    def test_what_cannot_be_traded_is_refused_in_words(self, frame, body, said):
        with np.errstate(all="ignore"), pytest.raises(DeclarationError, match=said):
            decided(declare("close", body=body)(), frame)

    @pytest.mark.parametrize(
        "body", ["close > 100", "pd.Series(close) > 100", "(pd.Series(close) > 100).astype('boolean')"]
    )
    def test_booleans_of_every_kind(self, frame, body):
        found = decided(declare("close", body=f"return {{'entries': {body}}}")(), frame)["entries"]
        assert np.array_equal(found, (frame.base.columns["close"] > 100).astype(float))

    def test_one_value_stands_for_every_bar(self, frame):
        assert (decided(declare("close", body="return 1.0")(), frame)["position"] == 1.0).all()

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("return close.rolling(20).mean()", r"line 2: AttributeError: .*'rolling'.*pd\.Series\(close\)\.rolling"),
            ("if close > 1: return 1", r"np\.where\(condition, this, that\)"),
            ("self.last = close", "Nothing is kept from call to call"),
            ("return undefined", "NameError: name 'undefined'"),
        ],
    )
    def test_a_failure_names_the_strategy_the_line_and_the_cause(self, frame, body, said):
        with pytest.raises(
            PrivateCodeError, match=rf"(?s)Made\(\)\.decide on 1m fails in <string>, {said}|{said}"
        ) as told:
            decided(declare("close", body=body)(), frame)
        assert "Made().decide on 1m fails in <string>, line 2" in str(told.value)

    def test_so_does_a_component(self, frame):
        class Failing(Component):
            title, source, scale, bands = "Failing", "tests", vt.Squash(half=1.0), {0: ""}

            def value(self, close):
                return close.rolling(3)

        with pytest.raises(PrivateCodeError, match=rf"Failing\(\).value on 1m fails in {__file__}, line \d+: Attr"):
            Workspace(frame).values(Failing(), frame.timeframe, frame.start, frame.stop)


class TestLaws:
    @pytest.mark.parametrize("leak", PAIRS, ids=lambda one: one.__name__)
    def test_a_leak_is_found(self, examined, leak):
        broken = [one for one in examined(leak) if one.broken]
        assert any(one.at is not None for one in broken)

    @pytest.mark.parametrize("twin", PAIRS.values(), ids=lambda one: one.__name__)
    def test_the_honest_twin_is_acquitted(self, examined, twin):
        assert [str(one) for one in examined(twin) if not one.holds] == []

    @pytest.mark.parametrize("leak", [NextClose, FormingHour, ListOfTheClass], ids=lambda one: one.__name__)
    def test_a_certificate_names_the_first_bar_of_a_leak_and_none_of_its_twin(self, bars, leak):
        twin = PAIRS[leak]
        ListOfTheClass.seen.clear()  # of the laws before
        found = vt.verify(bars, leak, live_bars=60)
        assert not found.holds
        assert any(one.at is not None and one.node == f"{leak.__name__}()" for one in found.broken)
        assert f"BROKEN for {leak.__name__}() 1m first at 2020-" in str(found)
        honest = vt.verify(bars, twin, live_bars=60)
        assert honest.holds, honest
        assert not honest.untested, honest
        with pytest.raises(LawBrokenError, match=leak.__name__):
            found.broken[0].insist()

    def test_features_components_faces_and_levels_are_under_them_too(self, frame):
        for strategy in (Bracketed(), Faces(enter=52)):
            found = vt.verify(frame, strategy, live_bars=100)
            assert found.holds, found
            assert {one.partition(":")[0] for one in found.untested} <= {"HourlyMean() on 1h"}, found  # 100 hours

    def test_a_private_part_that_leaks_is_named(self, bars):
        class Ahead(Feature):
            def value(self, close):
                return np.append(close[1:], close[-1])

        found = vt.verify(bars, declare("close", "ahead", body="return ahead > close", ahead=Ahead()), live_bars=0)
        assert {one.node for one in found.broken} == {"Made()", "Ahead()"}

    def test_a_strategy_that_never_answers_is_not_tested(self, bars):
        found = vt.verify(bars, declare("close", body="return close * np.nan"))
        assert "never answers" in found.untested[0]


class TestTrading:
    def test_booleans_weights_and_strategies_give_the_same_trades(self, frame):
        fast, slow = (pd.Series(talib.EMA(frame.close.to_numpy(), n), index=frame.close.index) for n in (10, 50))
        up = fast > slow
        ways = [
            vt.backtest(frame, entries=up, exits=~up, **HOW),
            vt.backtest(frame, position=up * 1.0, **HOW),
            vt.backtest(frame, EmaCross, **HOW),
            vt.backtest(frame, EmaCross(), **HOW),
            vt.backtest(frame, strategy=Crossing(), **HOW),
        ]
        for other in ways[1:]:
            assert other.trades.equals(ways[0].trades)
            assert other.run.equity.tobytes() == ways[0].run.equity.tobytes()
        assert len(ways[0].trades) > 50

    def test_it_is_told_who_decided(self, frame):
        result = vt.backtest(frame, EmaCross(fast=5), **HOW)
        told = result.decided_by
        assert (told["name"], told["parameters"]) == ("EmaCross", {"fast": 5, "slow": 50})
        assert told["class"] == f"{__name__}:EmaCross"
        assert len(result.provenance["code"]) == 64
        assert trial_of(result).config != trial_of(vt.backtest(frame, EmaCross, **HOW)).config

    def test_two_frames_are_decided_on_each_by_itself(self, frame):
        other = walk(4, 6_000)
        other = vt.MarketFrame(Instrument(frame.instrument.venue, "ETHUSDT"), other.base)
        both = vt.backtest([frame, other], Bracketed, **HOW)
        assert set(both.trades["symbol"]) == {"BTCUSDT", "ETHUSDT"}

    def test_scores_are_shown_beside(self, frame):
        scores = vt.score(frame)
        result = vt.backtest(scores, Faces, **HOW)
        assert result.trades.equals(vt.backtest(frame, Faces, **HOW).trades.assign(score=result.trades["score"]))
        assert np.isfinite(result.trades["score"]).all()

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"trail": 0.02}, "trail= was given beside EmaCross"),
            ({"rebalance": "bar"}, "an attribute of its class"),
            ({"entries": True}, "only one of them can decide"),
        ],
    )
    def test_what_it_decides_itself_is_not_given_beside(self, frame, given, said):
        with pytest.raises(ConfigError, match=said):
            vt.backtest(frame, EmaCross, **given, **HOW)

    def test_anything_else_is_refused(self, frame):
        with pytest.raises(TypeError, match=r"vt.backtest\(frame, EmaCross\(fast=5\)\)"):
            vt.backtest(frame, EmaCross, fast=5, **HOW)
        with pytest.raises(ConfigError, match="one thing"):
            vt.verify(frame, EmaCross, strategy=EmaCross)
        with pytest.raises(TypeError, match=r"subclass of vt.Strategy, an instance of one, or 'module:Class'"):
            vt.backtest(frame, 5, **HOW)

    def test_its_plateau_is_a_step_of_each_parameter(self, frame):
        told = [name for name, _ in strategies_beside(EmaCross(fast=2, slow=50))]
        assert told == ["fast 3", "slow 40", "slow 62"]
        assert [name for name, _ in strategies_beside(Faces())] == ["enter 68.75"]  # 44 lies below its range
        result = vt.backtest(frame, EmaCross, **HOW)
        found = plateau_of(result)
        assert [case.name for case in found.neighbours] == ["fast 8", "fast 12", "slow 40", "slow 62"]
        other = vt.backtest(frame, EmaCross(fast=8), **HOW)
        assert found.neighbours[0].net == pytest.approx(other.metrics["total_return"])

    def test_foresight_is_tested(self, frame):
        assert foresight_of(vt.backtest(frame, Bracketed, **HOW)).holds is True
        leak = next(iter(PAIRS))
        found = foresight_of(vt.backtest(frame, leak, **HOW))
        assert (found.holds, found.damning) == (False, True)


class TestTheShippedRule:
    """It is a strategy like any other, and decides as it did."""

    @pytest.fixture(scope="module")
    @classmethod
    def market(cls) -> vt.MarketFrame:
        return market(7, bars=4_320)

    RULE = RuleStrategy(vt.Prism.classic(), bull_enter=58, bear_enter=42)

    def test_declares_its_numbers(self):
        assert self.RULE.settings()["bull_enter"] == 58.0
        assert self.RULE.signals == SignalSettings(bull_enter=58.0, bear_enter=42.0)
        assert self.RULE.replace(stop_min=1.0).signals.levels.stop_min == 1.0
        assert repr(self.RULE) == "RuleStrategy(bull_enter=58.0, bear_enter=42.0)"
        with pytest.raises(ConfigError, match="bull_leave < bull_enter"):
            RuleStrategy(bull_enter=52)
        assert set(SignalSettings().levels.model_dump()) | set(SignalSettings().model_dump()) >= set(
            self.RULE.parameters
        )

    def test_every_declared_default_and_range_is_one_of_the_settings(self):
        for name, declared in RuleStrategy.parameters.items():
            room = SignalSettings if name in SignalSettings.model_fields else LevelSettings
            assert declared.default == room.model_fields[name].default

    def test_what_it_says_of_each_bar_is_the_state_of_the_rule(self, market):
        scores = vt.score(market, vt.Prism.classic())
        found = decided(self.RULE, market)["position"]
        assert np.array_equal(found, apply_rule(scores, self.RULE.signals).state)
        assert set(np.unique(found)) == {-1.0, 0.0, 1.0}

    def test_what_it_trades_are_the_intents_of_its_scores(self, market):
        scores = vt.score(market, vt.Prism.classic())
        made = self.RULE.decisions(market).intents
        assert len(made) > 20
        assert made.tobytes() == intents(scores, self.RULE.signals).tobytes()
        shown = vt.backtest(
            scores, settings=vt.Settings.load(overrides={"signals.bull_enter": 58, "signals.bear_enter": 42}), **HOW
        )
        for other in (vt.backtest(scores, self.RULE, **HOW), vt.backtest(market, self.RULE, **HOW)):
            assert other.trades.equals(shown.trades)
            assert other.rule == self.RULE.signals

    def test_obeys_the_laws(self, market):
        few = vt.MarketFrame(market.instrument, market.base.until(market.base.first + 1_500))
        rule = self.RULE.shaped_on(Workspace(few, 64))
        for finding in (
            laws.future(rule, few, few.timeframe, block=64),
            laws.purity(rule, few, few.timeframe, block=64),
        ):
            finding.insist(strictly=True)


class TestNamedModules:
    @pytest.fixture
    def module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        file = tmp_path / "my_ideas.py"
        file.write_text(
            "import numpy as np\nimport virtuoso as vt\n\n\nclass Cross(vt.Strategy):\n"
            "    n = vt.Int(20, low=2, high=100)\n\n    def decide(self, close):\n"
            "        return np.where(close > np.mean(close[:1]), 1.0, 0.0)\n"
        )
        yield file
        sys.modules.pop("my_ideas", None)

    @pytest.mark.usefixtures("module")
    def test_beside_the_notebook_are_found_at_the_end_of_the_path(self, frame):
        assert vt.backtest(frame, "my_ideas:Cross", **HOW).decided_by["class"] == "my_ideas:Cross"
        assert str(Path.cwd()) in sys.path[1:]

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("my_ideas:Cros", "Did you mean 'Cross'"),
            ("my_ideas", "module:Class"),
            ("their_ideas:Cross", "No module named 'their_ideas'.*looked for in the working folder"),
            ("my_ideas:np", "not a subclass of virtuoso.Strategy"),
        ],
    )
    @pytest.mark.usefixtures("module")
    def test_that_are_not_there_say_where_was_looked(self, frame, name, said):
        with pytest.raises((ConfigError, DeclarationError), match=said):
            vt.backtest(frame, name, **HOW)
