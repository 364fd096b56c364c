"""The trial ledger: nothing that was tried is forgotten, and nothing counts twice."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest

from virtuoso.account.metrics import DAY_MS
from virtuoso.clock import Env
from virtuoso.errors import ConfigError, SchemaVersionError, UnreadableFileError
from virtuoso.prism.face import Face
from virtuoso.prism.faces.technical import RSI
from virtuoso.prism.prism import Prism
from virtuoso.research.tracking.experiments import (
    MOST_DAYS,
    SHIPPED,
    Trial,
    TrialCount,
    TrialLedger,
    family_of,
    mean_correlation,
    sharpes,
    symbol_of,
)
from virtuoso.research.validation.overfitting import Moments, effective_trials

DAYS = 200


def noise(seed, configurations=1, days=DAYS):
    return 0.01 * np.random.default_rng(seed).standard_normal((days, configurations))


def trial(config="a", returns=None, **how) -> Trial:
    given = {"command": "virtuoso backtest", "instruments": ("binance-usdm:BTCUSDT",), "first": 0,
             "stop": DAYS * DAY_MS, "data": "d", "config": config, "family": (config,)} | how  # fmt: skip
    return Trial(**given).seen(noise(len(config)) if returns is None else returns)


@pytest.fixture
def ledger(tmp_path):
    return TrialLedger(tmp_path / "trials", env=Env(now_ms=5))


def record_many(folder, names):
    mine = TrialLedger(folder)
    return [mine.record(trial(name)) for name in names]


class TestRecording:
    """A run is written once, whole."""

    def test_comes_back_as_it_was(self, ledger):
        once = trial(returns=noise(1, 7))
        assert ledger.record(once)
        (found,) = ledger.trials()
        assert found == replace(once, when=5)
        assert found.daily == pytest.approx(once.daily, rel=1e-8)

    def test_what_is_not_known_comes_back_unknown(self, ledger):
        ledger.record(trial(returns=np.zeros((DAYS, 1))))
        (found,) = ledger.trials()
        assert found.moving == 0
        assert np.isnan([found.sharpe, found.variance, found.correlation]).all()

    def test_the_same_run_twice_counts_once(self, ledger):
        assert ledger.record(trial())
        assert not ledger.record(replace(trial(), command="asked again in other words"))
        assert ledger.tried(trial()).configurations == 1

    def test_another_configuration_or_other_data_is_another_run(self, ledger):
        for one in (trial(), trial("b"), trial(data="e"), trial(stop=(DAYS + 1) * DAY_MS)):
            assert ledger.record(one)
        assert len(ledger.trials()) == 4

    def test_several_processes_write_beside_each_other(self, tmp_path):
        shared = [f"config {k}" for k in range(12)]
        with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
            list(pool.map(record_many, [tmp_path] * 3, [shared, shared[::-1], [*shared[3:], "own"]]))
        assert sorted(t.config for t in TrialLedger(tmp_path).trials()) == sorted([*shared, "own"])

    def test_returns_of_long_histories_are_not_kept(self, ledger):
        ledger.record(trial(returns=noise(1, 1, MOST_DAYS + 1)))
        assert len(ledger.trials()[0].daily) == 0

    def test_what_a_dying_writer_left_is_not_a_trial(self, ledger):
        ledger.record(trial())
        (ledger.folder / ".half.json.77.tmp").write_text('{"schema"')
        (ledger.folder / ".half.json").write_text('{"schema"')
        assert len(ledger.trials()) == 1

    @pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": "x"}'])
    def test_a_damaged_file_is_named(self, ledger, text):
        ledger.record(trial())
        (ledger.folder / "ruined.json").write_text(text)
        with pytest.raises(UnreadableFileError, match=r"ruined\.json is not a trial.*backup"):
            ledger.trials()

    def test_a_newer_schema_is_refused(self, ledger):
        ledger.record(trial())
        path = next(ledger.folder.glob("*.json"))
        path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))
        with pytest.raises(SchemaVersionError, match="Update"):
            ledger.trials()

    def test_refuses_what_is_not_a_trial(self):
        with pytest.raises(ConfigError, match="one configuration or more"):
            Trial("", ("x",), 0, 1, "", "", configurations=0)
        with pytest.raises(ConfigError, match="stretch of time"):
            Trial("", ("x",), 1, 1, "", "")


class TestTheSameData:
    """Tries count on the same instruments over a stretch that overlaps."""

    @pytest.mark.parametrize(
        ("how", "counts"),
        [
            ({"first": DAY_MS, "data": "e"}, True),  # a day less is not other data
            ({"instruments": ("binance-usdm:ETHUSDT", "binance-usdm:BTCUSDT"), "data": "e"}, True),
            ({"instruments": ("binance-usdm:ETHUSDT",), "data": "e"}, False),
            ({"first": DAYS * DAY_MS, "stop": 2 * DAYS * DAY_MS, "data": "e"}, False),  # what follows is new
        ],
    )
    def test_counts(self, ledger, how, counts):
        ledger.record(trial("b", **how))
        assert ledger.tried(trial()).configurations == 1 + counts

    def test_this_run_counts_even_before_it_is_recorded(self, ledger):
        assert ledger.tried(trial()).runs == 1


class TestFamilies:
    """Tries of one family count wherever they were made."""

    def test_elsewhere_is_counted_and_told_apart(self, ledger):
        how = {"instruments": ("ETHUSDT binance-usdm",), "data": "e", "family": ("a",)}
        for k in range(3):
            ledger.record(trial(f"{k}", **how, first=k))
        ledger.record(trial("another family", **(how | {"family": ("b", "c")})))
        ledger.record(trial("on this data", family=("b",)))
        found = ledger.tried(trial("a", family=("a", "d")))
        assert (found.configurations, found.elsewhere, found.runs) == (5, 3, 5)
        assert str(found) == "5 tries: 2 on this data, 3 of the same family elsewhere"
        assert str(TrialCount.of([trial()])) == "1 try on this data"

    def test_other_venues_and_spellings_are_the_same_symbol(self, ledger):
        for k, name in enumerate(("binance-spot:BTCUSDT", "BTCUSDT binance-spot", "BTCUSDT bybit-linear")):
            ledger.record(trial(f"{k}", instruments=(name,), data=name, family=(name,)))
        assert ledger.tried(trial()).configurations == 4
        assert ledger.tried(trial()).elsewhere == 0
        assert symbol_of("1000PEPEUSDT binance-usdm") == symbol_of("PEPEUSDT binance-spot")

    def test_what_ships_is_one_family_and_ones_own_joins_it(self):
        class Tilt(RSI):
            """One's own."""

        standard = Prism.classic()
        own = standard.joined("technical", {Tilt(): 0.1})
        assert family_of(standard) == family_of(standard.reweighted({"technical": 0.19, "volume": 0.10})) == (SHIPPED,)
        assert family_of(own) == (SHIPPED, "tilt")
        alone = Prism((Face("technical", "Technical", {Tilt(): 1.0}),), {"technical": 1.0})
        assert family_of(alone) == ("tilt",)


class TestOlderLedgers:
    """What was recorded before there were families still counts."""

    def test_schema_1_is_read(self, ledger):
        ledger.record(trial("old", family=("x",)))
        (path,) = ledger.folder.glob("*.json")
        values = json.loads(path.read_bytes())
        del values["family"]
        path.write_text(json.dumps(values | {"schema": 1}))
        (found,) = ledger.trials()
        assert found == replace(trial("old", family=("x",)), family=(SHIPPED,), when=5)
        assert ledger.tried(trial("new", instruments=("ETHUSDT x",), family=(SHIPPED,))).elsewhere == 1

    def test_what_a_dying_writer_left_is_swept_by_the_next_count(self, ledger):
        ledger.record(trial())
        dead, alive = (ledger.folder / f".half.json.{pid}.tmp" for pid in (4_194_305, os.getppid()))
        for left in (dead, alive):
            left.write_text("{")
        ledger.tried(trial())
        assert (dead.exists(), alive.exists()) == (False, True)


class TestWhatTheyAmountTo:
    """Number, variance and correlation are those of all configurations together."""

    def test_a_search_split_over_runs_is_the_same_search(self):
        returns = noise(3, 30)
        whole = TrialCount.of([trial(returns=returns)])
        parts = TrialCount.of([trial(str(k), returns[:, 10 * k : 10 * k + 10]) for k in range(3)])
        assert parts.configurations == whole.configurations == 30
        assert parts.variance == pytest.approx(whole.variance)

    def test_singles_have_the_variance_and_correlation_of_the_search(self):
        returns = 0.7 * noise(4) + 0.7 * noise(5, 12)
        whole = TrialCount.of_search(returns)
        singles = TrialCount.of([trial(str(k), column) for k, column in enumerate(returns.T)])
        assert singles.variance == pytest.approx(whole.variance)
        assert singles.correlation == pytest.approx(whole.correlation, abs=0.02)
        assert singles.effective == pytest.approx(whole.effective, rel=0.05)

    def test_copies_of_one_configuration_are_one_try(self):
        returns = np.repeat(noise(6), 40, axis=1)
        assert TrialCount.of_search(returns).effective == pytest.approx(1.0)
        assert TrialCount.of([trial(str(k), returns[:, 0]) for k in range(40)]).effective == pytest.approx(1.0)

    def test_independent_configurations_are_as_many_tries(self):
        assert TrialCount.of_search(noise(7, 50, 2_000)).effective == pytest.approx(50, rel=0.05)

    def test_runs_on_other_days_count_as_independent(self):
        other = trial("b", noise(9), first=150 * DAY_MS)
        assert TrialCount.of([trial(returns=noise(9)), trial("b", noise(9))]).effective == pytest.approx(1.0)
        assert TrialCount.of([trial(returns=noise(9)), other]).effective == pytest.approx(2.0, abs=0.3)
        assert TrialCount.of([trial(), replace(other, daily=np.empty(0))]).effective == 2.0

    def test_never_fewer_than_the_largest_run_alone(self):
        returns = noise(8, 40)
        search, copies = trial(returns=returns), trial("b", np.repeat(returns[:, :1], 400, axis=1))
        assert TrialCount.of([search, copies]).effective >= search.effective

    def test_configurations_that_never_trade_count_but_have_no_ratio(self):
        returns = np.column_stack((noise(2, 5), np.zeros((DAYS, 5))))
        found = TrialCount.of_search(returns)
        assert found.configurations == 10
        assert found.variance == pytest.approx(np.var([Moments.of(x).sharpe for x in noise(2, 5).T], ddof=1))

    def test_the_variance_of_the_others_leaves_one_out(self):
        found = TrialCount.of([trial(returns=noise(4, 4)), trial("b", noise(4, 6)[:, 4:])])
        ratios = [Moments.of(x).sharpe for x in np.column_stack((noise(4, 4), noise(4, 6)[:, 4:])).T]
        for k, own in enumerate(ratios):
            assert found.variance_beside(own) == pytest.approx(np.var(np.delete(ratios, k), ddof=1))
        assert np.isnan(TrialCount.of_search(noise(4, 2)).variance_beside(0.1))

    def test_the_variance_of_one_try_is_not_known(self):
        assert np.isnan(TrialCount.of([trial()]).variance)
        assert TrialCount.of([trial()]).effective == 1.0
        assert TrialCount.of([]).configurations == 0


class TestMeasures:
    """The quick measures are those of the textbook."""

    def test_mean_correlation_is_that_of_all_pairs(self):
        returns = 0.5 * noise(1) + noise(2, 6)
        table = np.corrcoef(returns.T)
        assert mean_correlation(returns) == pytest.approx(table[np.triu_indices(6, 1)].mean())

    def test_sharpe_ratios_are_those_of_the_moments(self):
        returns = noise(3, 5)
        returns[3:9, 1] = np.nan
        returns[:, 2] = 0.01
        returns[2:, 4] = np.nan
        assert sharpes(returns) == pytest.approx([Moments.of(x).sharpe for x in returns.T], nan_ok=True)

    def test_effective_number_of_one_search_is_the_formula(self):
        returns = 0.5 * noise(1) + noise(2, 6)
        assert TrialCount.of_search(returns).effective == pytest.approx(effective_trials(6, mean_correlation(returns)))
