"""The driver of a study: the same trials however often it dies, however many work, and whatever a trial does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import optuna
import pytest

from tests.research.tuning.servers import PASSWORD, binaries, server
from tests.research.tuning.small import SmallEvaluator, study_of
from virtuoso.errors import NoDataError, VirtuosoError
from virtuoso.research.tracking.experiments import TrialLedger
from virtuoso.research.tuning.driver import Driver, collected
from virtuoso.research.tuning.objective import directions
from virtuoso.research.tuning.result import StudyResult, best_of, front_of
from virtuoso.research.tuning.samplers import SAMPLERS
from virtuoso.research.tuning.storage import trials_of
from virtuoso.runs.write import write_run

KILLS = 10


def run(study, folder: Path, where=None, *, heartbeat=30.0, record=lambda trial: None, progress=None, **given):
    """Run a study to its end; give what it found."""
    evaluator = SmallEvaluator(study, **given)
    names = [one.name for one in evaluator.rounds]
    place = folder / "journal.log" if where is None else where
    with trials_of(study.name, names, evaluator.space, directions(study), place, heartbeat=heartbeat) as trials:
        Driver(study, evaluator, trials, folder, record=record, progress=progress).run()
        return collected(study, evaluator, trials, folder)


def rows(found: StudyResult):
    """All trials, without what depends on where and when they ran."""
    table = found.to_pandas().sort_values(["round", "number"]).reset_index(drop=True)
    return table


def same(one: StudyResult, other: StudyResult) -> None:
    for name, values in one.files().items():
        assert values == other.files()[name], name


class TestAStudy:
    def test_makes_as_many_trials_as_are_wanted(self, tmp_path):
        found = run(study_of(trials=61), tmp_path)
        assert found.n_trials == 61
        counts = found.to_pandas()["round"].value_counts()
        assert counts.to_dict() == {"walk-1": 20, "walk-2": 20, "final": 21}

    def test_takes_the_best_in_sample(self, tmp_path):
        found = run(study_of(), tmp_path)
        table = found.to_pandas()
        for chosen in found.chosen:
            own = table[table["round"] == chosen.round_name]
            assert own.loc[own["value"].idxmax(), "number"] == chosen.number

    def test_reports_the_test_days_of_its_winners(self, tmp_path):
        found, evaluator = run(study_of(), tmp_path), SmallEvaluator(study_of())
        days, first = found.walk_forward, 0
        for chosen, one in zip(found.chosen, evaluator.rounds[:-1], strict=False):
            window = one.windows["all"]
            whole = evaluator.evaluate(chosen.point[None], one).returns[0].daily[:, 0]
            count = window.test_stop - window.test_first
            assert days["return"][first : first + count].tolist() == whole[window.test_first :].tolist()
            assert (days["date"][first : first + count] == evaluator.starts[window.test_first : window.test_stop]).all()
            first += count
        assert first == len(days["date"])

    def test_shows_how_far_it_is(self, tmp_path):
        seen = []
        run(study_of(), tmp_path, progress=lambda *told: seen.append(told))
        assert seen[-1][1:] == (60, 60)
        assert all(total == 60 for _, _, total in seen)
        assert "walk-1, best" in seen[0][0]
        assert seen[0][0].endswith("/s")

    def test_records_every_generation_as_tries(self, tmp_path):
        ledger = TrialLedger(tmp_path / "trials")
        run(study_of(), tmp_path, record=ledger.record)
        entries = ledger.trials()
        assert sum(one.configurations for one in entries) == 60
        assert {one.command for one in entries} == {"tune"}
        run(study_of(), tmp_path / "again", record=ledger.record)
        assert sum(one.configurations for one in ledger.trials()) == 60  # the same tries are the same

    def test_of_several_objectives_has_a_front(self, tmp_path):
        study = study_of(objectives=["sharpe", "max_drawdown"], sampler="nsga2", trials=96)
        found = run(study, tmp_path)
        assert found.winner.number in found.front
        assert "nearest to the ideal point" in found.config["winner_rule"]
        table = found.to_pandas().query("round == 'final'").set_index("number")
        front = table.loc[list(found.front), ["value_sharpe", "value_max_drawdown"]].to_numpy()
        every = table[["value_sharpe", "value_max_drawdown"]].to_numpy()
        for own in front:
            assert not ((every >= own).all(axis=1) & (every > own).any(axis=1)).any()

    def test_is_read_from_its_folder_as_it_was_found(self, tmp_path):
        study = study_of()
        found = run(study, tmp_path)
        write_run(found, tmp_path / "result")
        same(found, StudyResult.read(study, tmp_path))

    def test_that_has_no_result_says_so(self, tmp_path):
        with pytest.raises(NoDataError, match="virtuoso tune small"):
            StudyResult.read(study_of(), tmp_path)


@pytest.mark.parametrize("sampler", SAMPLERS)
class TestTheSameTrials:
    def test_with_more_of_them_later(self, tmp_path, sampler):
        at_once = run(study_of(sampler=sampler), tmp_path / "one")
        run(study_of(sampler=sampler, trials=31), tmp_path / "other")
        same(at_once, run(study_of(sampler=sampler), tmp_path / "other"))

    def test_where_a_trial_fails(self, tmp_path, sampler):
        """E53: a value that is not a number, and an evaluation that raises, are failures with a reason."""
        found = run(
            study_of(sampler=sampler), tmp_path, unknown=lambda p: p[0] < 0.2, raises=lambda p: p[0] > 0.8,
        )  # fmt: skip
        table = found.to_pandas()
        failed = table[table["state"] == "fail"]
        assert len(table) == 60
        assert len(failed)
        assert (failed["x"].lt(0.2) | failed["x"].gt(0.8)).all()
        assert set(failed["reason"]) <= {
            "equity is not known on some days of all",
            "ValueError: it does not work there",
        }
        assert failed["value"].isna().all()


class TestAStudyThatIsWrong:
    def test_stops_after_its_first_generation(self, tmp_path):
        with pytest.raises(VirtuosoError, match=r"No trial of the first generation of walk-1.*it does not work there"):
            run(study_of(), tmp_path, raises=lambda p: True)

    def test_without_a_value_says_why(self, tmp_path):
        with pytest.raises(NoDataError, match=r"No trial of walk-1 .* equity is not known"):
            run(study_of(), tmp_path, unknown=lambda p: True)

    def test_that_is_interrupted_goes_on(self, tmp_path):
        """Ctrl-C: the generation waits, and nobody died."""
        study, calls = study_of(), []

        def press(point):
            calls.append(point)
            if len(calls) == 30:
                raise KeyboardInterrupt
            return False

        with pytest.raises(KeyboardInterrupt):
            run(study, tmp_path / "one", raises=press)
        same(run(study, tmp_path / "one"), run(study, tmp_path / "other"))


# --- kill -9 ---


def _child(study, folder, where, heartbeat=30.0):
    run(study, folder, where, heartbeat=heartbeat, seconds=0.02)
    os._exit(0)


def started(study, folder, where=None, heartbeat=30.0):
    child = multiprocessing.get_context("fork").Process(target=_child, args=(study, folder, where, heartbeat))
    child.start()
    return child


def killed(study, folder, where=None, kills=KILLS, longest=0.25):
    """Kill the driver of a study at random moments; give how often it was, and what was told before and after each.

    Where the machine is so slow that no driver told anything before it was killed, later ones are given more time.
    """
    rng, count, told = np.random.default_rng(5), 0, []
    while count < kills or not any(len(before) < len(after) for before, after in told):
        if count and count % kills == 0:
            longest *= 2.0
        before = told_in(study, folder, where)
        child = started(study, folder, where)
        time.sleep(float(rng.uniform(0.02, longest)))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        if child.exitcode == 0:
            break
        count += 1
        told.append((before, told_in(study, folder, where)))
    return count, told


def told_in(study, folder, where):
    """Numbers and values of all completed trials, as Optuna reads them."""
    if where is None and not (folder / "journal.log").is_file():
        return {}
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if where is None:
        data = (folder / "journal.log").read_bytes()
        copy = folder / "copy.log"
        copy.write_bytes(data[: data.rfind(b"\n") + 1])
        storage = JournalStorage(JournalFileBackend(str(copy)))
    else:
        storage = RDBStorage(where.replace("postgresql:", "postgresql+psycopg:"))
    found = {
        (summary.study_name, one.number): one.values
        for summary in optuna.get_all_study_summaries(storage)
        for one in optuna.load_study(study_name=summary.study_name, storage=storage).trials
        if one.state == optuna.trial.TrialState.COMPLETE
    }
    if where is not None:
        storage.remove_session()
        storage.engine.dispose()
    return found


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
class TestADriverThatIsKilled:
    def test_ten_times_loses_no_trial_and_changes_none(self, tmp_path):
        study = study_of(trials=1_800, generation=6, sampler="cmaes")
        count, told = killed(study, tmp_path / "killed")
        assert count >= KILLS
        for before, after in told:
            assert before.items() <= after.items()
        assert any(len(before) < len(after) for before, after in told)
        same(run(study, tmp_path / "whole"), run(study, tmp_path / "killed"))


needs_postgres = pytest.mark.skipif(binaries() is None, reason="no PostgreSQL here: apt-get install postgresql")


@pytest.fixture(scope="module")
def postgres():
    with server() as url:
        yield url


@needs_postgres
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
class TestPostgres:
    def test_ten_kills_lose_no_trial_and_change_none(self, tmp_path, postgres):
        study = study_of(name="killed", trials=1_800, generation=6, sampler="cmaes")
        count, told = killed(study, tmp_path / "killed", postgres, longest=4.0)
        assert count >= KILLS
        for before, after in told:
            assert before.items() <= after.items()
        assert any(len(before) < len(after) for before, after in told)
        same(run(study, tmp_path / "whole"), run(study, tmp_path / "killed", postgres))

    def test_two_drivers_run_no_trial_twice(self, tmp_path, postgres):
        study = study_of(name="two", trials=600, generation=10)
        drivers = [started(study, tmp_path / f"{k}", postgres) for k in range(2)]
        for one in drivers:
            one.join(120)
            assert one.exitcode == 0
        found = run(study, tmp_path / "third", postgres)
        assert found.n_trials == 600
        storage = optuna.storages.RDBStorage(postgres.replace("postgresql:", "postgresql+psycopg:"))
        owners = set()
        for name in ("walk-1", "walk-2", "final"):
            trials = optuna.load_study(study_name=f"two/{name}", storage=storage).trials
            places = [tuple(one.user_attrs["place"]) for one in trials]
            assert len(places) == len(set(places)) == 200
            assert [one.number for one in trials] == list(range(200))
            owners |= {one.user_attrs["driver"] for one in trials}
        storage.remove_session()
        storage.engine.dispose()
        assert len(owners) == 2
        same(found, run(study, tmp_path / "alone"))  # random points do not depend on what was told

    def test_a_dead_driver_is_taken_over_by_a_living_one(self, tmp_path, postgres):
        study = study_of(name="taken", trials=300, generation=10)
        one, other = (started(study, tmp_path / f"{k}", postgres) for k in range(2))
        time.sleep(0.6)
        os.kill(one.pid, signal.SIGKILL)
        one.join()
        other.join(120)
        assert other.exitcode == 0
        assert run(study, tmp_path / "third", postgres).n_trials == 300

    def test_no_password_is_in_any_file(self, tmp_path, postgres):
        run(study_of(name="secret"), tmp_path, postgres)
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or PASSWORD.encode() not in file.read_bytes()


def test_the_front_of_equal_trials_is_all_of_them(tmp_path):
    """And the winner is the earliest."""
    study = study_of()
    evaluator = SmallEvaluator(study)
    names = [one.name for one in evaluator.rounds]
    with trials_of("s", names, evaluator.space, ("maximize",), tmp_path / "journal.log") as trials:
        from virtuoso.research.tuning.storage import Outcome

        claims = trials.claim("final", [(0, k) for k in range(4)], np.tile(evaluator.space.prior, (4, 1)))
        assert claims is not None
        trials.tell("final", claims, [Outcome("complete", (1.0,))] * 4)
        kept = trials.kept("final")
    assert len(front_of(kept, ("maximize",))) == 4
    assert best_of(kept, ("maximize",)).told.slot == 0
