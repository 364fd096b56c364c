"""Threads and processes: results in order, errors with their traceback, losses that cost a retry and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from virtuoso.errors import ConfigError, TaskError
from virtuoso.executor import executor
from virtuoso.executor.local import Processes, Threads, cores
from virtuoso.executor.tasks import MOST_LOSSES, MOST_TASKS

WORK = "tests.executor.work"
BOTH = ["threads", "processes"]


def ids(folder: Path, n: int, **more) -> list[dict]:
    return [{"k": k, "folder": str(folder), **more} for k in range(n)]


def told(paths: list[str]) -> list[str]:
    return [Path(path).read_text() for path in paths]


@pytest.fixture(scope="module", params=BOTH)
def place(request):
    with executor(2, request.param) as opened:
        yield opened


class TestResults:
    def test_in_the_order_of_ids_whoever_is_first(self, place, tmp_path):
        asked = [{**one, "wait": 0.05 * (one["k"] % 3)} for one in ids(tmp_path, 9)]
        seen = []
        found = place.map(f"{WORK}:square", asked, lambda *progress: seen.append(progress))
        assert told(found) == [f"{k} {k * k}\n" for k in range(9)]
        assert seen == [("tasks", k, 9) for k in range(1, 10)]

    def test_nothing_to_do(self, place):
        assert place.map(f"{WORK}:square", []) == []

    def test_the_same_everywhere(self, tmp_path):
        found = [executor(jobs, where).map(f"{WORK}:square", ids(tmp_path, 5)) for where in BOTH for jobs in (1, 2, 8)]
        assert all(one == found[0] for one in found)

    def test_what_a_task_prints_is_no_answer(self, tmp_path):
        with executor(1, "processes") as one:
            assert told(one.map(f"{WORK}:chatty", ids(tmp_path, 3))) == ["0 0\n", "1 1\n", "2 4\n"]

    def test_processes_live_from_one_map_to_the_next_and_end_with_the_block(self, tmp_path):
        with executor(2, "processes") as opened:
            first, again = (set(opened.map(f"{WORK}:pid", [{}] * 8)) for _ in range(2))
            assert len(first) <= 2
            assert again <= first
            assert str(os.getpid()) not in first
        for pid in first:
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid), 0)


class TestWhatIsRefused:
    @pytest.mark.parametrize("jobs", [0, -2, True, 1.5, "2"])
    def test_jobs(self, jobs):
        with pytest.raises(ConfigError, match="number from 1, or -1"):
            executor(jobs)

    def test_every_core(self):
        assert executor().jobs == executor(-1).jobs == cores() == executor(None, "processes").jobs

    @pytest.mark.parametrize(
        ("where", "said"),
        [
            ("thread", "Did you mean 'threads'"),
            ("ray://x", "Known: "),
            ("tcp://127.0.0.1:8786", "dask://127.0.0.1:8786"),
        ],
    )
    def test_places(self, where, said):
        with pytest.raises(ConfigError, match=said):
            executor(where=where)

    def test_functions(self, place):
        for name, said in (
            ("square", "package.module:function"),
            (f"{WORK}:sqare", "Did you mean 'square'"),
            ("no_such_module_at_all:f", "cannot be imported"),
        ):
            with pytest.raises(ConfigError, match=said):
                place.map(name, [{}])

    @pytest.mark.parametrize("wrong", [{"x": object()}, {"x": float("nan")}, {"x": {1, 2}}, ["x"], "x", 3])
    def test_ids_that_are_not_json(self, place, wrong):
        with pytest.raises(ConfigError, match=r"not JSON|are a mapping"):
            place.map(f"{WORK}:square", [wrong])

    def test_too_many(self, place):
        with pytest.raises(ConfigError, match="chunks 3 times as large"):
            place.map(f"{WORK}:square", [{}] * (2 * MOST_TASKS + 1))


class TestATaskThatFails:
    def test_is_an_error_with_its_name_and_traceback(self, place, tmp_path):
        with pytest.raises(TaskError, match=r"Task \d of 4, tests.executor.work:odd\(.*OddError: odd \d 2") as caught:
            place.map(f"{WORK}:odd", ids(tmp_path, 4))
        assert "in odd" in "".join(caught.value.__notes__)

    def test_and_the_next_tasks_run(self, place, tmp_path):
        with pytest.raises(TaskError):
            place.map(f"{WORK}:odd", ids(tmp_path, 4))
        assert told(place.map(f"{WORK}:square", ids(tmp_path, 2))) == ["0 0\n", "1 1\n"]

    def test_no_path(self, place):
        with pytest.raises(TaskError, match="returned a NoneType"):
            place.map(f"{WORK}:nothing", [{}])

    def test_one_that_ends_the_program(self, place):
        with pytest.raises(TaskError, match="SystemExit: 3"):
            place.map(f"{WORK}:exits", [{}])

    def test_an_error_of_ours_keeps_its_exit_code(self, place):
        with pytest.raises(TaskError, match="has no function") as caught:
            place.map(f"{WORK}:refuses", [{}])
        assert caught.value.exit_code == ConfigError.exit_code


class TestALostProcess:
    def test_costs_a_retry_of_its_own_task(self, tmp_path):
        with executor(2, "processes") as opened:
            found = opened.map(f"{WORK}:dies", ids(tmp_path, 6, killer=2, times=4))
        assert told(found) == [f"{k} {k * k}\n" for k in range(6)]
        assert len(list(tmp_path.glob("died-2-*"))) == 4

    def test_too_often_names_task_and_cause(self, tmp_path):
        said = rf"Task 2 of 3, .*dies\(.*lost its worker {MOST_LOSSES} times.*SIGKILL.*memory"
        with executor(2, "processes") as opened, pytest.raises(TaskError, match=said):
            opened.map(f"{WORK}:dies", ids(tmp_path, 3, killer=1, times=99))

    def test_killed_from_outside_again_and_again(self, tmp_path):
        """Twenty workers killed in the middle of tasks: the results are those of one process."""
        with executor(2, "processes") as opened:
            kills = Killer(tmp_path, 20)
            kills.start()
            found = opened.map(f"{WORK}:square", ids(tmp_path, 40, wait=0.1))
            kills.stop()
        assert kills.killed == 20
        assert found == executor(1).map(f"{WORK}:square", ids(tmp_path, 40))

    def test_a_driver_that_is_gone_leaves_no_process(self, tmp_path):
        code = f"""
            from virtuoso.executor import executor
            import os
            opened = executor(1, "processes")
            print(opened.map("{WORK}:pid", [{{}}])[0], flush=True)
            os.kill(os.getpid(), 9)
        """
        home = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        told = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], env=home, stdout=subprocess.PIPE, text=True, check=False
        )
        pid = int(told.stdout)
        for _ in range(100):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
        pytest.fail("the worker outlived its driver")

    def test_ctrl_c_ends_the_processes(self, tmp_path):
        opened = Processes(2)

        def interrupt(stage: str, done: int, total: int) -> None:
            raise KeyboardInterrupt

        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            opened.map(f"{WORK}:square", ids(tmp_path, 2, wait=0) + ids(tmp_path, 6, wait=30), interrupt)
        assert time.monotonic() - begun < 15.0


class Killer(threading.Thread):
    """Kills whoever is in the middle of a task, as often as is wanted."""

    def __init__(self, folder: Path, times: int, ready: Callable[[], bool] = lambda: True) -> None:
        super().__init__(daemon=True)
        self.folder, self.times, self.killed, self.ready = folder, times, 0, ready
        self.over = threading.Event()

    def stop(self) -> None:
        self.over.set()
        self.join()

    def run(self) -> None:
        met: set[str] = set()
        while self.killed < self.times and not self.over.is_set():
            for mark in list(self.folder.rglob("begun-*")) if self.ready() else []:
                if str(mark) not in met and self.killed < self.times:
                    met.add(str(mark))
                    try:
                        os.kill(int(mark.name.rpartition("-")[2]), 9)
                    except ProcessLookupError:
                        continue
                    self.killed += 1
                    break
            time.sleep(0.02)


def test_threads_share_what_this_process_holds(tmp_path):
    assert set(Threads(2).map(f"{WORK}:pid", [{}] * 4)) == {str(os.getpid())}
