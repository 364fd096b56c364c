"""Where tasks run: threads, processes, or a Dask cluster; a task carries identifiers only.

1. A task is a function by name, `package.module:function`, and identifiers that JSON can hold. It reads what they name,
   writes a file named by its content and returns that file's path. So a task may run twice: losing a worker costs a
   retry and nothing else, and results are the same wherever it runs.
2. `executor` opens one of three: threads of this process (kernels leave the interpreter alone, nothing is copied),
   other processes, or the workers of a Dask scheduler.
3. A task that raises is a `TaskError` with its traceback; one whose worker is lost is run again, up to a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

from virtuoso.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from virtuoso.types import Progress

THREADS, PROCESSES = "threads", "processes"
CLUSTERS = ("dask", "tls")
"""Schemes of the addresses of Dask schedulers."""


class Executor(Protocol):
    """Runs tasks. Its workers live until `close`, or until the end of a `with` block."""

    jobs: int
    """How many tasks run at once, as far as that is known."""

    def map(self, function: str, ids: Sequence[Mapping[str, Any]], progress: Progress | None = None) -> list[str]:
        """Run a function once for each of many identifiers.

        Parameters
        ----------
        function : str
            `package.module:function`; it is called with a dict and returns a path.
        ids : sequence of mapping
            What JSON can hold, one a task; at most `virtuoso.executor.tasks.MOST_TASKS`.
        progress : callable, optional
            Called with `tasks`, how many are done, and how many there are.

        Returns
        -------
        list of str
            Paths, in the order of `ids`, whatever order the tasks end in.

        Raises
        ------
        ConfigError
            There is no such function, an identifier is not JSON, or there are too many tasks.
        TaskError
            A task raised, returned no path, or lost its worker too often.
        """

    def close(self) -> None:
        """Let the workers go; they start again with the next task."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        """Let the workers go."""


def executor(jobs: int | None = None, where: str | None = None, folders: Iterable[str | Path] = ()) -> Executor:
    """Open an executor.

    Parameters
    ----------
    jobs : int, optional
        Tasks at once; as many as this process may use cores if absent or -1. A cluster has as many as its workers.
    where : str, optional
        `threads` if absent, `processes`, `dask://HOST:PORT` on this machine, or `tls://HOST:PORT` with the certificates
        that Dask's configuration names.
    folders : iterable of path
        Of a cluster: folders that every worker must see and write to as this process does; the working folder if none.

    Raises
    ------
    ConfigError
        There is no such place, it may not be used as it is, or its workers run another version or see other folders.

    Examples
    --------
    >>> executor(1).map("virtuoso.executor.tasks:echo", [{"path": "a"}, {"path": "b"}])
    ['a', 'b']
    """
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0 or jobs < -1):
        raise ConfigError(f"--jobs {jobs} runs nothing. Give a number from 1, or -1 for every core.")
    from virtuoso.executor.local import Processes, Threads

    if where is None or where == THREADS:
        return Threads(jobs)
    if where == PROCESSES:
        return Processes(jobs)
    scheme = urlsplit(where).scheme if "://" in where else ""
    if scheme in CLUSTERS:
        from virtuoso.executor.dask import Cluster

        return Cluster(where, jobs, folders)
    if scheme == "tcp":
        raise ConfigError(f"--executor {where} is Dask's own way to write it. Write dask{where.removeprefix('tcp')}.")
    known = [THREADS, PROCESSES, "dask://HOST:PORT", "tls://HOST:PORT"]
    raise ConfigError(f"--executor {where} is none that there is. {did_you_mean(where, known)}")
