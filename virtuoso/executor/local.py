"""Tasks on this machine: in threads of this process, or in processes of their own.

A process is asked and answers in lines of text (worker.py); a thread here waits for each. What a process dies of
befalls its own task alone, which is run again by the next one.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from virtuoso.executor.tasks import MOST_LOSSES, path_in, perform, questions, refuse_lost

if TYPE_CHECKING:
    from virtuoso.types import Progress


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Local:
    """What both kinds have in common.

    Parameters
    ----------
    jobs : int, optional
        Tasks at once; every core if absent or -1.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self.jobs = cores() if jobs in (None, -1) else int(jobs)

    def close(self) -> None:
        """Let the workers go."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Threads(_Local):
    """Threads of this process: nothing is copied, and kernels run beside each other; see `Executor.map`."""

    def map(self, function: str, ids: Sequence[Mapping[str, Any]], progress: Progress | None = None) -> list[str]:
        """Run a function once for each of many identifiers; with one job in the calling thread."""
        asked = questions(function, ids)
        found = [""] * len(asked)
        if self.jobs == 1:
            for k, question in enumerate(asked):
                found[k] = path_in(perform(function, question), function, question, f"{k + 1} of {len(asked)}")
                if progress is not None:
                    progress("tasks", k + 1, len(asked))
            return found
        pool = ThreadPoolExecutor(self.jobs)
        try:
            running = {pool.submit(perform, function, question): k for k, question in enumerate(asked)}
            for done, future in enumerate(as_completed(running), 1):
                k = running[future]
                found[k] = path_in(future.result(), function, asked[k], f"{k + 1} of {len(asked)}")
                if progress is not None:
                    progress("tasks", done, len(asked))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return found


class Processes(_Local):
    """Processes of their own, which keep what they have prepared until `close`; see `Executor.map`."""

    def __init__(self, jobs: int | None = None) -> None:
        super().__init__(jobs)
        self._workers: list[_Worker] = []
        self._end = weakref.finalize(self, _stop, self._workers)

    def map(self, function: str, ids: Sequence[Mapping[str, Any]], progress: Progress | None = None) -> list[str]:
        """Run a function once for each of many identifiers."""
        asked = questions(function, ids)
        while len(self._workers) < min(self.jobs, len(asked)):
            self._workers.append(_Worker())
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for k in range(len(asked)):
            waiting.put(k)
        answers: queue.SimpleQueue[tuple[int, str, int, str]] = queue.SimpleQueue()
        stop = threading.Event()
        crew = [
            threading.Thread(target=_serve, args=(worker, function, asked, waiting, answers, stop), daemon=True)
            for worker in self._workers[: len(asked)]
        ]
        found = [""] * len(asked)
        try:
            for thread in crew:
                thread.start()
            for done in range(1, len(asked) + 1):
                k, answer, losses, cause = answers.get()
                place = f"{k + 1} of {len(asked)}"
                refuse_lost(function, asked[k], place, losses, cause)
                found[k] = path_in(answer, function, asked[k], place)
                if progress is not None:
                    progress("tasks", done, len(asked))
        except BaseException:
            stop.set()
            self.close()  # what still runs is of no use to anybody
            raise
        finally:
            for thread in crew:
                if thread.ident is not None:
                    thread.join()
        return found

    def close(self) -> None:
        """End the processes; they start again with the next task."""
        _stop(self._workers)


def _serve(
    worker: _Worker,
    function: str,
    asked: Sequence[str],
    waiting: queue.SimpleQueue[int],
    answers: queue.SimpleQueue[tuple[int, str, int, str]],
    stop: threading.Event,
) -> None:
    """Give one process task after task; one that it dies of is given again, up to a limit.

    What comes of each: its number, its answer, how many workers it lost, and what the last one died of.
    """
    while not stop.is_set():
        try:
            k = waiting.get_nowait()
        except queue.Empty:
            return
        losses, answer = 0, worker.ask(function, asked[k])
        while answer is None and losses < MOST_LOSSES - 1 and not stop.is_set():
            losses, answer = losses + 1, worker.ask(function, asked[k])
        answers.put((k, answer or "", losses + (answer is None), worker.cause))
    worker.end()  # one that was started while all were let go


class _Worker:
    """A process that runs one task at a time; it is started when it is first asked."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.cause = ""

    def ask(self, function: str, question: str) -> str | None:
        """Return the answer to a task; None where the process died of it."""
        process = self._process = self._process or _started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{function}\t{question}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except (OSError, ValueError):  # it died, or was ended by `close`
            answer = ""
        if answer.endswith("\n"):
            return answer
        self.end()
        return None

    def end(self) -> None:
        """End the process and remember what it died of."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.kill()
        code = process.wait()
        self.cause = f"was ended by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _started() -> subprocess.Popen[str]:
    """Start a worker that finds modules where this process does."""
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    surroundings = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "PYTHONPATH": paths}
    return subprocess.Popen(
        [sys.executable, "-m", "virtuoso.executor.worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env=surroundings,
    )  # fmt: skip


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.end()
    workers.clear()
