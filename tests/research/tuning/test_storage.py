"""The storage of a study: nothing told is lost, nothing damaged stops it, one driver at a time works on a journal."""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.research.tuning.small import Plane
from virtuoso.errors import ConfigError, LockedError
from virtuoso.research.tuning.journal import OwnedLock, quarantine_of
from virtuoso.research.tuning.owner import is_dead, me
from virtuoso.research.tuning.samplers import COMPLETE, FAIL, PRUNED, Sampler
from virtuoso.research.tuning.storage import MOST_RETRIES, WORKER_DIED, Outcome, trials_of

SPACE, SIZE = Plane(), 6
SAMPLER = Sampler("random", ("maximize",), SIZE, 0)


def opened(where, **given):
    given = {"patience": 0.5, "heartbeat": 30.0} | given
    return trials_of("s", ["walk-1", "final"], SPACE, ("maximize",), where, **given)


def claimed(trials, generation=0, name="final", count=SIZE):
    points = SAMPLER.ask(SPACE, name, generation, [], count)
    claims = trials.claim(name, [(generation, slot) for slot in range(count)], points)
    assert claims is not None
    return claims


def outcome(claim, state=COMPLETE):
    value = (float(claim.point[0]),) if state == COMPLETE else ()
    figures = {"in_sharpe": claim.point[0], "out_sharpe": float("nan")}
    return Outcome(state, value, "" if state == COMPLETE else "no trade", figures)


def fill(where, generations=2, states=None):
    """Tell some generations; give what is kept."""
    with opened(where) as trials:
        for generation in range(generations):
            claims = claimed(trials, generation)
            trials.tell("final", claims, [outcome(one, (states or [COMPLETE] * SIZE)[one.slot]) for one in claims])
        return [(one.told.generation, one.told.slot, one.told.values) for one in trials.kept("final")]


def leave_running(where):
    """A driver that claims a generation and dies."""
    with opened(where) as trials:
        claimed(trials)
        os._exit(9)


def in_child(function, *given):
    child = multiprocessing.get_context("fork").Process(target=function, args=given)
    child.start()
    child.join(60)
    return child


@pytest.fixture(params=["journal", "sqlite"])
def where(request: pytest.FixtureRequest, tmp_path: Path):
    return tmp_path / "journal.log" if request.param == "journal" else f"sqlite:///{tmp_path}/studies.db"


class TestAStorage:
    def test_keeps_what_was_told(self, where):
        states = [COMPLETE, FAIL, PRUNED, COMPLETE, COMPLETE, COMPLETE]
        before = fill(where, states=states)
        with opened(where) as trials:
            kept = trials.kept("final")
            assert [(one.told.generation, one.told.slot, one.told.values) for one in kept] == before
            assert [one.told.state for one in kept[:3]] == [COMPLETE, FAIL, PRUNED]
            assert kept[1].outcome.reason == "no trade"
            assert np.isnan(kept[0].outcome.figures["out_sharpe"])
            assert np.array_equal(kept[0].told.point, SPACE.prior)

    def test_keeps_points_to_the_last_bit(self, where):
        with opened(where) as trials:
            claims = claimed(trials)
            trials.tell("final", claims, [outcome(one) for one in claims])
        with opened(where) as trials:
            for claim, kept in zip(claims, trials.kept("final"), strict=True):
                assert claim.point.tobytes() == kept.told.point.tobytes()

    def test_is_one_that_optuna_reads(self, where):
        fill(where)
        storage = RDBStorage(where) if isinstance(where, str) else JournalStorage(JournalFileBackend(str(where)))
        study = optuna.load_study(study_name="s/final", storage=storage)
        assert len(study.trials) == 2 * SIZE
        assert set(study.best_trial.params) == set(SPACE.names)
        assert [one.number for one in study.trials] == list(range(2 * SIZE))

    def test_gives_a_place_once(self, where):
        with opened(where) as trials:
            claimed(trials)
            trials.kept("final")
            assert trials.places("final") == {(0, slot) for slot in range(SIZE)}

    def test_of_other_objectives_is_refused(self, where):
        fill(where)
        with (
            pytest.raises(ConfigError, match="other objectives"),
            trials_of("s", ["walk-1", "final"], SPACE, ("minimize",), where, patience=0.5),
        ):
            pass

    def test_lets_what_was_given_up_wait_without_counting_a_death(self, where):
        with opened(where) as trials:
            for _ in range(MOST_RETRIES + 2):
                if not trials.open("final"):
                    claims = claimed(trials)
                else:
                    claims = trials.claim("final", [], np.empty((0, 4)), trials.open("final"))
                trials.release("final", claims)
                trials.kept("final")
            waiting = trials.open("final")
            assert [row.place for row in waiting] == [(0, slot, 0) for slot in range(SIZE)]


class TestADeadDriver:
    """E50: what it left running is failed, and the same points wait in the same places, three times."""

    def test_leaves_nothing_running(self, where):
        assert in_child(leave_running, where).exitcode == 9
        said = []
        with opened(where, say=said.append) as trials:
            trials.kept("final")
            waiting = trials.open("final")
            assert [row.state for row in waiting] == ["waiting"] * SIZE
            assert [row.place for row in waiting] == [(0, slot, 1) for slot in range(SIZE)]
            points = SAMPLER.ask(SPACE, "final", 0, [], SIZE)
            claims = trials.claim("final", [], np.empty((0, 4)), waiting)
            assert np.array_equal([one.point for one in claims], points)
            assert trials.tell("final", claims, [outcome(one) for one in claims]) == SIZE
            assert len(trials.kept("final")) == SIZE
        assert f"{SIZE} trials" in said[0]

    def test_is_forgiven_three_times(self, where):
        def again(where):
            with opened(where) as trials:
                trials.kept("final")
                rows = [row for row in trials.open("final") if row.state == "waiting"]
                trials.claim("final", [], np.empty((0, 4)), rows)
                os._exit(9)

        in_child(leave_running, where)
        for _ in range(MOST_RETRIES):
            in_child(again, where)
        with opened(where) as trials:
            kept = trials.kept("final")
            assert [one.told.state for one in kept] == [FAIL] * SIZE
            assert {one.outcome.reason for one in kept} == {WORKER_DIED}
            assert not trials.open("final")

    def test_that_was_no_driver_of_ours_is_failed_too(self, tmp_path):
        where = tmp_path / "journal.log"
        fill(where, 1)
        study = optuna.load_study(study_name="s/final", storage=JournalStorage(JournalFileBackend(str(where))))
        study.ask(SPACE.distributions)
        with opened(where) as trials:
            trials.kept("final")
            (row,) = trials.open("final")
            assert (row.state, row.place) == ("waiting", (-1, SIZE, 1))

    def test_of_a_living_driver_nothing_is_taken(self, tmp_path):
        where = f"sqlite:///{tmp_path}/studies.db"
        with opened(where) as one:
            claims = claimed(one)
            with opened(where) as other:
                other.kept("final")
                assert {row.state for row in other.open("final")} == {"running"}
                assert other.claim("final", [(0, 0)], SPACE.prior[None]) is None
            assert one.tell("final", claims, [outcome(claim) for claim in claims]) == SIZE

    def test_whose_heartbeat_stopped_is_taken_over(self, tmp_path):
        """Of a process on another host nothing else is known."""
        where = f"sqlite:///{tmp_path}/studies.db"
        with opened(where) as one:
            one._backend.owner = "elsewhere pid 1 since 5"
            claims = claimed(one)
            time.sleep(1.1)
            with opened(where, heartbeat=0.3) as other:
                other.kept("final")
                assert {row.state for row in other.open("final")} == {"waiting"}
            assert one.tell("final", claims, [outcome(claim) for claim in claims]) == 0


class TestADamagedJournal:
    """E51: it is mended when it is opened, and no completed trial is lost."""

    @pytest.mark.parametrize("cut", [1, 2, 40, 200])
    def test_torn_at_its_end(self, tmp_path, cut):
        where = tmp_path / "journal.log"
        before = fill(where)
        with opened(where) as trials:
            claimed(trials, 2)
        whole = where.read_bytes()
        last = whole.rstrip(b"\n").rfind(b"\n") + 1
        where.write_bytes(whole[: min(last + cut, len(whole) - 1)])
        said = []
        with opened(where, say=said.append) as trials:
            told = [(one.told.generation, one.told.slot, one.told.values) for one in trials.kept("final")]
            assert told == before
            assert len(trials.open("final")) == SIZE - 1
            claims = trials.claim("final", [], np.empty((0, 4)), trials.open("final"))
            trials.tell("final", claims, [outcome(one) for one in claims])
        assert "torn" in said[0]
        assert quarantine_of(where).is_file()
        assert len(
            optuna.load_study(study_name="s/final", storage=JournalStorage(JournalFileBackend(str(where)))).trials
        )

    @pytest.mark.parametrize(
        "foreign",
        [b"not json at all", b"{}", b'{"op_code": 77, "worker_id": "x"}', b"[1, 2]", b"null", b'{"type": 1}',
         b"\xff\xfe", b'{"op_code": 4, "worker_id": "x"}', b'{"op_code": "6", "trial_id": 0}'],
    )  # fmt: skip
    @pytest.mark.parametrize("place", ["end", "middle", "start"])
    def test_with_a_foreign_record(self, tmp_path, foreign, place):
        where = tmp_path / "journal.log"
        before = fill(where)
        lines = where.read_bytes().splitlines(keepends=True)
        at = {"end": len(lines), "middle": len(lines) // 2, "start": 0}[place]
        where.write_bytes(b"".join([*lines[:at], foreign + b"\n", *lines[at:]]))
        for _ in range(2):
            with opened(where) as trials:
                assert [(o.told.generation, o.told.slot, o.told.values) for o in trials.kept("final")] == before
        assert foreign in quarantine_of(where).read_bytes()
        assert quarantine_of(where).read_bytes().count(foreign) == 1

    def test_with_a_damaged_record_of_a_trial_loses_that_one_alone(self, tmp_path):
        """Trials are numbered by their records: the others keep their numbers and their values."""
        where = tmp_path / "journal.log"
        before = fill(where)
        lines = where.read_bytes().splitlines(keepends=True)
        made = [k for k, line in enumerate(lines) if b'"op_code":4' in line]
        lines[made[2]] = lines[made[2]][:100] + b"#" + lines[made[2]][101:150] + b"\n"
        where.write_bytes(b"".join(lines))
        with opened(where) as trials:
            kept = [(one.told.generation, one.told.slot, one.told.values) for one in trials.kept("final")]
        assert kept == before[:2] + before[3:]


class TestALock:
    def test_of_a_dead_driver_is_broken(self, tmp_path):
        path = tmp_path / "journal.log.lock"
        child = in_child(lambda: (OwnedLock(path).acquire(), os._exit(9)))
        assert is_dead(path.read_text())
        assert child.exitcode == 9
        start = time.monotonic()
        assert OwnedLock(path, 5.0).acquire()
        assert time.monotonic() - start < 1.0
        assert path.read_text() == me()

    def test_of_a_pid_that_is_somebody_else_by_now_is_broken(self, tmp_path):
        path = tmp_path / "journal.log.lock"
        path.write_text(me().rpartition(" since ")[0] + " since 12345")
        assert OwnedLock(path, 5.0).acquire()

    @pytest.mark.parametrize("text", [me(), "elsewhere pid 1 since 5", ""], ids=["own", "elsewhere", "nobody"])
    def test_of_whoever_may_live_is_an_error_in_the_end(self, tmp_path, text):
        """E52: clear, and nothing of the journal is touched."""
        where = tmp_path / "journal.log"
        before = fill(where)
        data = where.read_bytes()
        lock = tmp_path / "journal.log.lock"
        lock.write_text(text)
        start = time.monotonic()
        with pytest.raises(LockedError, match=r"journal\.log\.lock"), opened(where, patience=0.4):
            pass
        assert time.monotonic() - start >= 0.4
        assert where.read_bytes() == data
        lock.unlink()
        with opened(where) as trials:
            assert len(trials.kept("final")) == len(before)

    def test_is_held_from_the_first_to_the_last_trial(self, tmp_path):
        where = tmp_path / "journal.log"
        with opened(where):
            assert (tmp_path / "journal.log.lock").read_text() == me()
            with pytest.raises(LockedError), opened(where, patience=0.2):
                pass
        assert not (tmp_path / "journal.log.lock").exists()


class TestALockedDatabase:
    def test_is_waited_for(self, tmp_path):
        where = f"sqlite:///{tmp_path}/studies.db"
        before = fill(where, 1)
        blocker = sqlite3.connect(tmp_path / "studies.db", isolation_level=None)
        with opened(where, patience=0.3) as trials:
            blocker.execute("BEGIN EXCLUSIVE")
            with pytest.raises(LockedError, match="is locked or away"):
                claimed(trials, 1)
            blocker.execute("ROLLBACK")
            claims = claimed(trials, 1)
            assert len(trials.kept("final")) == len(before)
            trials.tell("final", claims, [outcome(one) for one in claims])
            assert len(trials.kept("final")) == 2 * SIZE

    def test_that_is_none_of_ours_is_refused(self):
        with pytest.raises(ConfigError, match=r"mysql://u:\*\*\*@h/db is neither"), opened("mysql://u:secret@h/db"):
            pass

    def test_shows_no_password(self, tmp_path):
        with pytest.raises(LockedError) as refused, opened("postgresql://u:sesame@127.0.0.1:9/db", patience=0.2):
            pass
        assert "sesame" not in str(refused.value)


def test_a_journal_syncs_twice_a_generation(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("virtuoso.research.tuning.journal.os.fsync", lambda handle: synced.append(handle))
    with opened(tmp_path / "journal.log") as trials:
        synced.clear()
        claims = claimed(trials)
        trials.tell("final", claims, [outcome(one) for one in claims])
    assert len(synced) == 2


def test_a_batch_that_cannot_be_written_leaves_no_half(tmp_path, monkeypatch):
    where = tmp_path / "journal.log"
    before = fill(where)
    data = where.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    with opened(where) as trials:
        monkeypatch.setattr("virtuoso.research.tuning.journal.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            claimed(trials, 2)
        monkeypatch.undo()
    assert where.read_bytes() == data
    with opened(where) as trials:
        assert len(trials.kept("final")) == len(before)


def test_states_are_those_of_optuna():
    assert {one.name.lower() for one in TrialState} == {"running", "waiting", COMPLETE, PRUNED, FAIL}
    assert json.dumps({"a": None})
