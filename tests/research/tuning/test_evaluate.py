"""What a trial did is what a sweep and a backtest of the same configuration do, whatever it is evaluated beside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.research.tuning.markets import changed_after, evaluator, frame, points, settings, study, until
from virtuoso import workflows
from virtuoso.account.metrics import returns_of
from virtuoso.clock import Timeframe
from virtuoso.demo.ideas import EmaCross
from virtuoso.errors import ConfigError, DataError, NoDataError, PrivateCodeError
from virtuoso.executor import executor
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.score import score
from virtuoso.research.backtest.account import funding_terms
from virtuoso.research.backtest.backtest import backtest as run_backtest
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.parameters import ParameterGrid
from virtuoso.research.sweep.strategies import sweep_strategy
from virtuoso.research.sweep.sweep import Sweep
from virtuoso.research.tuning.evaluate import Evaluator, _cuts, changes, task
from virtuoso.research.tuning.objective import judge
from virtuoso.research.tuning.parts import RulePart, load_parts, whole_days
from virtuoso.signals.strategy import RuleStrategy

FIELDS = ("daily", "traded", "turned", "costs", "sums")


class Here:
    """An executor that runs tasks in this process, one after another."""

    def __init__(self, jobs: int) -> None:
        self.jobs, self.ran = jobs, 0

    def map(self, name, ids, progress=None):
        assert name == "virtuoso.research.tuning.evaluate:task"
        done = []
        for one in ids:
            done.append(task(json.loads(json.dumps(one))))
            self.ran += 1
        return done


def same(one, other) -> None:
    for a, b in zip(one.returns, other.returns, strict=True):
        for name in FIELDS:
            assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name
    assert (one.failed, one.pruned) == (other.failed, other.pruned)


class TestWeights:
    def test_a_generation_is_the_sweep_of_the_same_configurations(self):
        made = evaluator(search={"weights": True, "thresholds": True, "levels": True})
        tried = points(made.space, 20)
        found = made.evaluate(tried, made.rounds[-1]).returns[0]
        (part,) = made._loaded
        configurations = Configurations.of(made.space.prism, settings().signals, made.space.decode(tried).columns)
        swept = Sweep(score(made.space.prism, part.frame), configurations, part.panel, part.account).run()
        assert found.daily.tobytes() == swept.daily_returns.tobytes()
        assert found.trades.sum() > 100
        whole = len(swept.close_times) * 3_600_000 % 86_400_000 == 0
        if whole:
            np.testing.assert_array_equal(found.trades, swept.column("trades"))
        assert len(found.days) == made.days["all"]
        assert (found.days % 86_400_000 == 0).all()

    def test_the_prior_is_the_backtest_of_what_is_in_force(self):
        made = evaluator()
        found = made.evaluate(made.space.prior[None], made.rounds[-1]).returns[0]
        (part,) = made._loaded
        scores = score(made.space.prism, part.frame)
        ran = run_backtest(
            [scores], part.account, strategy=RuleStrategy.of([scores], settings().signals),
            funding_terms=funding_terms(0.0001, "last"),
        )  # fmt: skip
        days = made._parts[0].sweep.days
        np.testing.assert_array_equal(found.daily[:, 0], returns_of(ran.equity.to_numpy()[days], part.account.cash))
        assert found.trades[0] > 0

    def test_an_overlay_reproduces_the_trial(self, working_folder):
        made = evaluator(search={"weights": True, "thresholds": True, "components": {"technical.rsi.period": [7, 28]}})
        tried = points(made.space, 3)
        found = made.evaluate(tried, made.rounds[-1]).returns[0]
        file = working_folder / "overlay.yaml"
        file.write_text(yaml.safe_dump(made.space.overlay(tried[2])))
        laid = settings().load(file, env={}, overrides={"prism.timeframes": dict(settings().prism.timeframes)})
        again = Evaluator.on(study(), laid, {"all": [frame()]})
        prior = again.evaluate(again.space.prior[None], again.rounds[-1]).returns[0]
        assert prior.daily[:, 0].tobytes() == found.daily[:, 2].tobytes()

    def test_costs_and_turnover_are_those_of_the_account(self):
        made = evaluator()
        found = made.evaluate(points(made.space, 6), made.rounds[-1]).returns[0]
        assert (found.turnover[found.trades > 0] > 0.0).all()
        traded = found.turned > 0.0
        taker = made._loaded[0].account.taker
        fees = found.costs[traded] / found.turned[traded]
        assert (fees > 0.0).mean() > 0.95  # a few received more funding than they paid
        assert np.median(fees) == pytest.approx(taker + 0.0002, rel=0.5)
        np.testing.assert_allclose(found.gross - found.costs, found.daily, atol=1e-15)


class TestRegimes:
    SEARCH = {"weights": ["faces", "technical"], "thresholds": ["enter"], "by_regime": True}

    def test_without_differences_trials_are_those_of_one_set_of_weights(self):
        made = evaluator(search=self.SEARCH)
        one = evaluator(search={name: part for name, part in self.SEARCH.items() if name != "by_regime"})
        tried = points(made.space, 6)
        plain = made.space.without_regimes(tried)
        same_point = plain[:, [made.space.names.index(name) for name in one.space.names]]
        found, alone = made.evaluate(plain, made.rounds[-1]), one.evaluate(same_point, one.rounds[-1])
        assert found.returns[0].daily.tobytes() == alone.returns[0].daily.tobytes()
        assert found.returns[0].daily.tobytes() != made.evaluate(tried, made.rounds[-1]).returns[0].daily.tobytes()

    def test_an_overlay_reproduces_the_trial(self, working_folder):
        made = evaluator(search=self.SEARCH)
        tried = points(made.space, 2)
        found = made.evaluate(tried, made.rounds[-1]).returns[0]
        file = working_folder / "overlay.yaml"
        file.write_text(yaml.safe_dump(made.space.overlay(tried[1])))
        laid = settings().load(file, env={}, overrides={"prism.timeframes": dict(settings().prism.timeframes)})
        again = Evaluator.on(study(), laid, {"all": [frame()]})
        prior = again.evaluate(again.space.prior[None], again.rounds[-1]).returns[0]
        assert prior.daily[:, 0].tobytes() == found.daily[:, 1].tobytes()


class TestParameters:
    def test_other_parameters_give_what_scoring_anew_gives(self):
        search = {"weights": ["faces"], "components": {"technical.rsi.period": [7, 28], "technical.macd.fast": [5, 20]}}
        made = evaluator(search=search)
        tried = points(made.space, 4)
        found = made.evaluate(tried, made.rounds[-1]).returns[0]
        decoded, (part,) = made.space.decode(tried), made._loaded
        for row in range(4):
            prism = made.space.prism_of(decoded.parameters[row])
            own = {name: values[row] for name, values in decoded.columns.items()}
            alone = Sweep(
                score(prism, part.frame), Configurations.of(prism, settings().signals, own), part.panel, part.account
            ).run()
            assert found.daily[:, row].tobytes() == alone.daily_returns[:, 0].tobytes()

    def test_other_weights_of_timeframes_give_what_scoring_anew_gives(self):
        made = evaluator(search={"weights": ["timeframes"]})
        tried = points(made.space, 2)
        found = made.evaluate(tried, made.rounds[-1]).returns[0]
        clocks = {name: float(values[1]) for name, values in made.space.decode(tried).timeframes.items()}
        prism, (part,) = made.space.prism_of({}, clocks), made._loaded
        alone = Sweep(
            score(prism, part.frame), Configurations.of(prism, settings().signals, {}), part.panel, part.account
        ).run()
        assert found.daily[:, 1].tobytes() == alone.daily_returns[:, 0].tobytes()

    def test_only_what_differs_is_computed_and_nothing_of_it_stays(self, monkeypatch):
        made = evaluator(search={"weights": ["faces"], "components": {"technical.rsi.period": [7, 28]}})
        part = made.part(0)
        assert isinstance(part, RulePart)
        workspace, asked = part._scores.workspace, set()
        made.evaluate(points(made.space, 3), made.rounds[-1])  # charts are read
        before = workspace.nodes()
        compute = type(workspace).compute

        def watched(self, buffer, buffers, start, stop):
            if buffer.ready[1] < stop:
                asked.add(type(buffer.node).__name__)
            return compute(self, buffer, buffers, start, stop)

        monkeypatch.setattr(type(workspace), "compute", watched)
        made.evaluate(points(made.space, 12, seed=4), made.rounds[-1])
        assert "RSI" in asked
        assert not asked & {"MACD", "CCI", "AO", "WilliamsR", "OBV", "CMF"}
        assert workspace.nodes() == before
        assert len(workspace.aggregators) == 1

    def test_a_component_that_cannot_be_fails_its_trials_alone(self, monkeypatch):
        made = evaluator(search={"weights": ["faces"], "components": {"technical.rsi.period": [7, 28]}})
        tried = points(made.space, 3)
        at = made.space.names.index("components.technical.rsi.period")
        tried[:, at] = [14, 20, 14]
        scored = Sweep.reparameterised

        def refuses(self, prism):
            if prism["technical.rsi"].period == 20:
                raise PrivateCodeError("RSI(period=20).value fails: no such thing.")
            return scored(self, prism)

        monkeypatch.setattr(Sweep, "reparameterised", refuses)
        found = made.evaluate(tried, made.rounds[-1])
        assert found.failed[0] is None
        assert found.failed[2] is None
        assert "no such thing" in found.failed[1]
        assert np.isnan(found.returns[0].daily[:, 1]).all()
        assert np.isfinite(found.returns[0].daily[:, [0, 2]]).all()
        judged = judge(made.study, found.returns, made.rounds[-1], made.space.distance(tried), found.failed)
        assert judged.reasons[1] == found.failed[1]
        assert np.isnan(judged.values[1]).all()


class TestStrategies:
    def test_trials_of_a_strategy_are_its_sweep(self):
        made = evaluator(strategy="virtuoso.demo.ideas:EmaCross", search={"parameters": True})
        tried = points(made.space, 10)
        found = made.evaluate(tried, made.rounds[-1]).returns[0]
        values, (part,) = made.space.decode(tried).values, made._loaded
        grid = ParameterGrid(EmaCross(), {name: values[name] for name in ("fast", "slow")})
        swept = sweep_strategy(part.frame, grid, panel=part.panel, account=part.account)
        assert found.daily.tobytes() == swept.daily_returns.tobytes()
        assert found.trades.sum() > 10


class TestColumns:
    @pytest.mark.parametrize("search", [
        {"weights": True, "thresholds": ["enter"]},
        {"weights": ["faces"], "components": {"technical.rsi.period": [13, 15]}},
    ])  # fmt: skip
    def test_any_cut_gives_the_same_bytes_and_leaves_no_file(self, search, tmp_path):
        made = evaluator(search=search, objectives=["sharpe", "linear_ic"])
        made.write(tmp_path)
        tried = points(made.space, 13)
        alone = made.evaluate(tried, made.rounds[0])
        for jobs in (1, 3, 13):
            executor = Here(jobs)
            same(alone, made.evaluate(tried, made.rounds[0], executor, tmp_path))
            assert executor.ran == jobs
        assert list((tmp_path / "generations").iterdir()) == []

    def test_answers_are_named_by_what_they_hold(self, tmp_path):
        made = evaluator()
        made.write(tmp_path)

        class Liar(Here):
            def map(self, name, ids, progress=None):
                paths = super().map(name, ids)
                Path(paths[0]).write_bytes(b"torn")
                return paths

        with pytest.raises(DataError, match="does not hold what its name says"):
            made.evaluate(points(made.space, 3), made.rounds[0], Liar(2), tmp_path)

    @pytest.mark.parametrize(("n", "jobs"), [(1, 4), (256, 2), (255, 4), (7, 7), (1000, 1)])
    def test_columns_are_all_of_the_generation_once(self, n, jobs):
        cuts = _cuts(n, jobs)
        assert [k for a, b in cuts for k in range(a, b)] == list(range(n))
        assert len(cuts) >= min(n, jobs)

    def test_a_round_is_evaluated_as_far_as_it_goes(self):
        made = evaluator()
        tried = points(made.space, 4)
        first, whole = (made.evaluate(tried, made.rounds[k]).returns[0] for k in (0, -1))
        days = made.rounds[0].windows["all"].stop
        assert len(first.daily) == days < len(whole.daily)
        for name in ("daily", "traded", "turned", "costs"):
            assert getattr(first, name).tobytes() == getattr(whole, name)[:days].tobytes()


class TestNothingOfLaterDays:
    @pytest.mark.parametrize("search", [
        {"weights": True, "thresholds": {"enter": [4, 9]}, "components": {"technical.rsi.period": [7, 28]}},
    ])  # fmt: skip
    def test_other_bars_after_the_end_of_a_train_window_change_no_value_of_the_round(self, search):
        told = {"search": search, "objectives": ["sharpe", "linear_ic", "max_drawdown", "turnover"]}
        made = evaluator(**told)
        tried, first = points(made.space, 8), made.rounds[0]
        starts = made.day_starts["all"]
        stop = int(starts[first.windows["all"].train_stop]) // Timeframe("1h").ms
        planted = evaluator(changed_after(frame(), stop), **told)
        shorter = evaluator(until(frame(), stop), **told | {"walk_forward": {"splits": 0, "least": "30d"}})
        judged = [
            judge(one.study, one.evaluate(tried, round_).returns, round_, one.space.distance(tried))
            for one, round_ in ((made, first), (planted, planted.rounds[0]), (shorter, shorter.rounds[0]))
        ]
        assert np.isfinite(judged[0].values).all(axis=1).sum() >= 5
        for other in judged[1:]:
            assert judged[0].values.tobytes() == other.values.tobytes()
            assert judged[0].reasons == other.reasons
        assert judged[0].outside.tobytes() != judged[1].outside.tobytes()  # what was planted is there
        winners = [int(np.nanargmax(one.values[:, 0])) for one in judged]
        assert len(set(winners)) == 1  # that of a study whose data ends there


class TestSeveral:
    def test_instruments_share_the_capital_equally(self):
        one, other = frame(), frame(12, symbol="ETHUSDT")
        both, alone = evaluator(one, other), [evaluator(one), evaluator(other)]
        tried = points(both.space, 5)
        found = both.evaluate(tried, both.rounds[-1]).returns[0]
        apart = [each.evaluate(tried, each.rounds[-1]).returns[0] for each in alone]
        np.testing.assert_allclose(found.daily, (apart[0].daily + apart[1].daily) / 2.0, rtol=1e-12, atol=1e-18)
        np.testing.assert_array_equal(found.traded, apart[0].traded + apart[1].traded)

    def test_one_that_is_listed_later_shares_from_then_on(self):
        one, other = frame(), frame(12, symbol="ETHUSDT")
        late = MarketFrame(other.instrument, replace(other.base.since(other.base.first + 24 * 40), complete=True))
        both = evaluator(one, late)
        alone = evaluator(one)
        tried = points(both.space, 3)
        found = both.evaluate(tried, both.rounds[-1]).returns[0]
        single = alone.evaluate(tried, alone.rounds[-1]).returns[0]
        offset = both.places[1].offset
        assert offset == 40
        assert found.daily[:offset].tobytes() == single.daily[:offset].tobytes()

    def test_scenarios_are_judged_each_by_itself_and_reduced(self):
        told = {"scenarios": {"a": {"symbols": "BTCUSDT"}, "b": {"symbols": "ETHUSDT"}}, "shrink": 0.0}
        markets = {"a": [frame()], "b": [frame(12, symbol="ETHUSDT")]}
        judged = {}
        for by in ("mean", "worst", "quantile"):
            made = Evaluator.on(study(**told, reducer=by), settings(), markets)
            tried = points(made.space, 6)
            found = made.evaluate(tried, made.rounds[0])
            judged[by] = judge(made.study, found.returns, made.rounds[0], made.space.distance(tried)).inside
            alone = np.column_stack([
                judge(made.study, [one], made.rounds[0], made.space.distance(tried)).inside[:, 0]
                for one in found.returns
            ])  # fmt: skip
        np.testing.assert_allclose(judged["mean"][:, 0], alone.mean(axis=1))
        np.testing.assert_allclose(judged["worst"][:, 0], alone.min(axis=1))
        np.testing.assert_allclose(judged["quantile"][:, 0], np.quantile(alone, 0.25, axis=1))


class TestPruning:
    def test_the_hopeless_are_dropped_after_a_part_and_the_others_are_as_without(self, tmp_path):
        markets = [frame(), frame(12, symbol="ETHUSDT"), frame(13, symbol="SOLUSDT")]
        plain, pruned = evaluator(*markets), evaluator(*markets, pruning={"keep": 0.5, "least": 2})
        tried = points(plain.space, 12)
        whole, found = (one.evaluate(tried, one.rounds[0]) for one in (plain, pruned))
        gone = [k for k, why in enumerate(found.pruned) if why]
        assert len(gone) == 9
        assert sum("BTCUSDT" in str(why) for why in found.pruned) == 6
        assert np.isnan(found.returns[0].daily[:, gone]).all()
        stayed = [k for k in range(12) if k not in gone]
        for name in ("daily", "traded", "turned", "costs"):
            assert (
                getattr(found.returns[0], name)[:, stayed].tobytes()
                == getattr(whole.returns[0], name)[:, stayed].tobytes()
            )
        pruned.write(tmp_path)
        same(found, pruned.evaluate(tried, pruned.rounds[0], Here(3), tmp_path))


class TestWhatIsRefused:
    def test_identity_names_what_changed(self):
        before = evaluator().identity
        other = evaluator(frame(12)).identity
        assert changes(before, dict(before)) == []
        assert changes(before, other) == ["data of all BTCUSDT simulated"]
        assert changes(before, {**before, "code": "x", "space": "y"}) == ["space", "code"]

    def test_no_whole_day(self):
        with pytest.raises(NoDataError, match="no whole day"):
            whole_days(until(frame(), frame().base.first + 5))

    def test_windows_begin_and_end_at_midnight(self):
        cut = whole_days(MarketFrame(frame().instrument, frame().base.since(frame().base.first + 7)))
        assert cut.start * 3_600_000 % 86_400_000 == 0
        assert cut.stop * 3_600_000 % 86_400_000 == 0

    def test_trailing_stops_and_other_regimes_are_refused_with_the_remedy(self):
        calm = settings().model_copy(
            update={"signals": settings().signals.model_copy(update={"regimes": ("calm range",)})}
        )
        with pytest.raises(ConfigError, match="A sweep enters in every regime"):
            Evaluator.on(study(), calm, {"all": [frame()]})


class TestStored:
    @pytest.fixture
    def home(self, tmp_path_factory):
        from tests.markets import record_once
        from virtuoso.lake.lake import Lake
        from virtuoso.venues.simulator import write_recordings

        folder = tmp_path_factory.mktemp("stored")
        write_recordings(folder / "raw", record_once()(("BTCUSDT",), 12, 7, trade_days=0, book_days=0))
        workflows.import_files(folder / "raw", venue="simulated", data=folder / "data")
        return Lake(folder / "data" / "lake")

    def test_a_study_is_laid_over_what_is_stored_and_ends_before_the_hold_out(self, home, tmp_path):
        day = 86_400_000
        told = {"market": {"symbols": "BTCUSDT", "timeframe": "1h"}, "walk_forward": {"splits": 0, "least": "3d"}}
        made = Evaluator.of(study(**told), settings(), home)
        assert made.days["all"] >= 10
        start, end = made.stretches["all"]["BTCUSDT simulated"]
        sealed = start + 7 * day
        held = Evaluator.of(study(**told, holdout={"start": sealed, "end": end}), settings(), home)
        assert held.days["all"] == 7
        assert held.stretches["all"]["BTCUSDT simulated"] == (start, sealed)
        inside = study(**told | {"market": {"symbols": "BTCUSDT", "timeframe": "1h", "start": sealed}},
                       holdout={"start": sealed, "end": end})  # fmt: skip
        with pytest.raises(ConfigError, match="inside or behind the hold-out"):
            list(load_parts(inside, settings(), home))
        made.write(tmp_path)
        tried = points(made.space, 5)
        alone = made.evaluate(tried, made.rounds[-1])

        class Elsewhere(Here):
            """Tasks in a process that knows nothing of this one: what it needs is read from the folder."""

            def map(self, name, ids, progress=None):
                from virtuoso.research.tuning import evaluate

                evaluate._READY.clear()
                return super().map(name, ids)

        same(alone, made.evaluate(tried, made.rounds[-1], Elsewhere(2), tmp_path))
        for where in ("threads", "processes"):
            with executor(2, where) as several:
                told_of = []
                found = made.evaluate(
                    tried, made.rounds[-1], several, tmp_path, lambda *told, to=told_of: to.append(told)
                )
                same(alone, found)
                assert told_of[-1][1:] == (2, 2)
        folder = tmp_path / "identity.json"
        told = json.loads(folder.read_text())
        told["data"] = dict.fromkeys(told["data"], "0" * 64)
        folder.write_text(json.dumps(told))
        with pytest.raises(DataError, match="with other data of all BTCUSDT"):
            made.evaluate(tried, made.rounds[-1], Elsewhere(2), tmp_path)
