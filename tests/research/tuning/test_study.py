"""A study is what its file says, or an error that names the file, the line and the nearest right name."""

from __future__ import annotations

import copy

import pytest
import yaml

from virtuoso.errors import ConfigError
from virtuoso.research.tuning.study import OBJECTIVE_NAMES, SAMPLERS, Study, studies
from virtuoso.settings import shipped

PLAIN = {"name": "plain", "market": {"symbols": ["BTCUSDT"], "timeframe": "5m"}, "search": {"weights": True}}


def wrong(**changed) -> str:
    with pytest.raises(ConfigError) as refused:
        Study.of({**PLAIN, **changed}, "configs/studies/plain.yaml")
    return str(refused.value)


def write(folder, name, text):
    (folder / "configs" / "studies").mkdir(parents=True, exist_ok=True)
    file = folder / "configs" / "studies" / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return file


TEXT = """\
market:
  symbols: BTCUSDT
  start: '2024-01-01'
search:
  weights: [faces]
  components: {technical.rsi.period: [7, 21]}
"""


class TestReading:
    def test_by_name_and_by_path_are_the_same_study(self, working_folder):
        file = write(working_folder, "mine", TEXT)
        by_name, by_path = Study.read("mine", working_folder), Study.read(file, working_folder)
        assert by_name == by_path
        assert by_name.digest == by_path.digest
        assert by_name.name == "mine"
        assert by_name.market.symbols == ("BTCUSDT",)

    def test_a_project_covers_what_ships(self, working_folder):
        write(working_folder, "default", TEXT)
        assert Study.read("default", working_folder).market.symbols == ("BTCUSDT",)
        assert "demo" in studies(working_folder)

    @pytest.mark.parametrize("name", ["default", "demo"])
    def test_what_ships_can_be_read(self, name, working_folder):
        study = Study.read(name, working_folder)
        assert study.name == name
        assert study.walk_forward.splits > 0

    def test_an_unknown_name_tells_the_nearest(self, working_folder):
        write(working_folder, "momentum", TEXT)
        with pytest.raises(ConfigError, match="Did you mean 'momentum'"):
            Study.read("momentun", working_folder)
        with pytest.raises(ConfigError, match=r"Did you mean 'momentum\.yaml'"):
            Study.read(working_folder / "configs" / "studies" / "momentums.yaml", working_folder)

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("samplr: tpe", ["samplr in configs/studies/mine.yaml, line 7", "Did you mean 'sampler'"]),
            ("sampler: tep", ["sampler in configs/studies/mine.yaml, line 7", "'tep'", "Did you mean 'tpe'"]),
            ("walk_forward: {splts: 3}", ["walk_forward.splts", "line 7", "Did you mean 'splits'"]),
            ("terms: {fee: 0.1}", ["terms.fee", "Did you mean 'fees'"]),
            ("objectives: [sharpe, calmr]", ["objectives[1]", "Did you mean 'calmar'"]),
            ("scenarios: {crash: {strt: 20240101}}", ["scenarios.crash.strt", "Did you mean 'start'"]),
            ("pruning: {kep: 0.5}", ["pruning.kep", "Did you mean 'keep'"]),
            ("holdout: {start: 20250101}", ["holdout.end", "is missing"]),
            ("seed: 0\nseed: 1", ["stands twice", "lines 7 and 8"]),
            ("trials: yes", ["trials", "must be a number"]),
        ],
    )
    def test_what_is_wrong_is_named_with_file_line_and_remedy(self, line, said, working_folder):
        write(working_folder, "mine", TEXT + line + "\n")
        with pytest.raises(ConfigError) as refused:
            Study.read("mine", working_folder)
        for part in said:
            assert part in str(refused.value)

    def test_no_code_is_run_by_a_study(self, working_folder):
        write(working_folder, "mine", "market: !!python/object/apply:os.system ['true']\n")
        with pytest.raises(ConfigError, match="tags"):
            Study.read("mine", working_folder)


WRONG = [None, True, 0, -1, 1.5, float("nan"), "x", "", [], {}, [1], {"a": 1}, {"a": [1, 2, 3]}, {1: 2}, [[1]], "1d",
         10**30, {"a": ["b", "c"]}, {"a": [True, 2]}]  # fmt: skip
WHOLE = {
    "name": "whole", "market": {"symbols": ["BTCUSDT"], "timeframe": "5m", "start": 20240101, "end": 20250101},
    "scenarios": {"a": {"start": 20240201}}, "reducer": "mean", "objectives": ["sharpe"], "shrink": 0.5, "seed": 1,
    "search": {"weights": ["faces"], "thresholds": {"enter": [4, 30]}, "components": ["technical.rsi.period"]},
    "walk_forward": {"splits": 3, "purge": "1d"}, "pruning": {"keep": 0.5}, "terms": {"fees": 0.001},
    "holdout": {"start": 20250101, "end": 20250201},
}  # fmt: skip


def places(tree, path=()):
    yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from places(value, (*path, key))


def read(tree):
    try:
        return Study.of(tree), ""
    except ConfigError as refused:
        return None, str(refused)


@pytest.mark.parametrize("path", [path for path in places(WHOLE) if path], ids=str)
def test_whatever_stands_at_a_place_it_is_a_study_or_an_error_that_says_why(path):
    for value in WRONG:
        tree = copy.deepcopy(WHOLE)
        place = tree
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        study, said = read(tree)
        if study is None:
            assert "the study" in said
            assert "{{" not in said
        else:
            assert Study.of(yaml.safe_load(study.written())) == study


class TestWriting:
    @pytest.mark.parametrize("file", sorted(shipped("studies").glob("*.yaml")), ids=lambda file: file.stem)
    def test_read_again_it_is_the_same_study(self, file):
        study = Study.read(file)
        again = Study.of(yaml.safe_load(study.written()))
        assert again == study
        assert again.digest == study.digest
        assert again.written() == study.written()

    def test_every_key_changes_the_digest(self):
        base = Study.of(PLAIN).digest
        for changed in ({"seed": 1}, {"trials": 7}, {"shrink": 0.1}, {"holdout": {"start": 20250101, "end": 20250201}},
                        {"terms": {"fees": 0.001}}, {"walk_forward": {"embargo": "2d"}}):  # fmt: skip
            assert Study.of({**PLAIN, **changed}).digest != base

    def test_nothing_can_be_changed(self):
        with pytest.raises(ValueError, match="frozen"):
            Study.of(PLAIN).seed = 3


class TestWhatFitsTogether:
    def test_a_strategy_varies_parameters_alone(self):
        own = {"strategy": "ideas:EmaCross", "search": {"parameters": ["fast"]}}
        assert Study.of({**PLAIN, **own}).strategy == "ideas:EmaCross"
        assert "varies parameters" in wrong(strategy="ideas:EmaCross")
        assert "belong to a strategy" in wrong(search={"parameters": ["fast"]})
        assert "linear_ic" in wrong(**own, objectives=["linear_ic"])

    def test_nothing_varied_is_refused(self):
        assert "varies nothing" in wrong(search={})
        assert "varies nothing" in wrong(search={"weights": False, "thresholds": []})

    def test_one_objective_for_cmaes(self):
        assert "takes one objective" in wrong(objectives=["sharpe", "turnover"], sampler="cmaes")
        assert "twice" in wrong(objectives=["sharpe", "sharpe"])

    def test_scenarios_take_what_they_leave_out_from_the_market(self):
        scenarios = {"bull": {"start": 20240101, "end": 20240301}, "bear": {"symbols": ["ETHUSDT"]}}
        study = Study.of({**PLAIN, "scenarios": scenarios, "reducer": "worst"})
        assert study.markets["bull"].symbols == ("BTCUSDT",)
        assert study.markets["bear"].symbols == ("ETHUSDT",)
        assert {market.timeframe for market in study.markets.values()} == {"5m"}
        assert study.reducer.by == "worst"
        assert Study.of(yaml.safe_load(study.written())) == study
        assert "one timeframe" in wrong(scenarios={"a": {"timeframe": "1h"}, "b": {}})

    @pytest.mark.parametrize("end", [20240101, 20231231])
    def test_a_stretch_has_length(self, end):
        assert "ends before it starts" in wrong(market={"symbols": "BTCUSDT", "start": 20240101, "end": end})
        assert "ends before it starts" in wrong(holdout={"start": 20240101, "end": end})

    def test_trials_are_those_of_all_rounds_together(self):
        study = Study.of({**PLAIN, "trials": 2_000, "walk_forward": {"splits": 6}})
        assert sum(study.trials_of(k) for k in range(study.rounds)) == 2_000

    def test_ranges_begin_with_the_lower_end(self):
        assert "lower end first" in wrong(search={"components": {"technical.rsi.period": [28, 7]}})

    def test_names_are_those_that_are_documented(self):
        assert set(SAMPLERS) == {"tpe", "cmaes", "nsga2", "nsga3", "random", "qmc"}
        assert {"sharpe", "net_return", "max_drawdown", "calmar", "sortino", "profit_factor"} < set(OBJECTIVE_NAMES)


@pytest.mark.parametrize("quote", ["", '"'])
def test_dates_need_no_quotes(tmp_path, quote):
    path = tmp_path / "dated.yaml"
    path.write_text(
        f"market: {{symbols: [BTCUSDT], start: {quote}2024-01-01{quote}}}\nsearch: {{thresholds: [enter]}}\n"
        f"holdout: {{start: {quote}2024-07-01{quote}, end: {quote}2025-01-01{quote}}}\n"
    )
    found = Study.read(path)
    assert found.holdout is not None
    assert (found.holdout.end - found.holdout.start) == 184 * 86_400_000
