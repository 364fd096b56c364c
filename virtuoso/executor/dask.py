"""Tasks on the workers of a Dask scheduler, on this machine or, with TLS certificates, on others.

1. A scheduler runs whatever anybody sends it. So it is reached on this machine, or where both sides show certificates.
2. Before the first task every worker is asked what it is: it must run the same Virtuoso and libraries, and see the
   folders that tasks read and write. Workers that join later are asked again with each task.
3. Dask gives the tasks of a lost worker to another one. It gives up after some; these are given to it again, up to
   `MOST_LOSSES`. Where no worker is left, or the scheduler itself is gone, that is an error and no waiting for ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import platform
import queue
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from virtuoso.errors import ConfigError, TaskError, printable
from virtuoso.executor.tasks import path_in, perform, questions, refuse_lost

if TYPE_CHECKING:
    from virtuoso.types import Progress

Client = Any
"""`distributed.Client`, which carries no types, nor do its futures."""
Future = Any

CONNECTED_WITHIN = 15.0
"""Seconds until a scheduler must have answered, and until it must have a worker."""
PATIENCE = 120.0
"""Seconds without any worker, or without the scheduler, after which a run is given up."""
POLLED = 1.0
LIBRARIES = ("numpy", "numba", "scipy", "pandas", "pyarrow", "TA-Lib")
"""Libraries whose versions decide what a task computes."""
OTHER_CODE = "other code"


class Cluster:
    """The workers of a Dask scheduler; see `Executor`.

    Parameters
    ----------
    address : str
        `dask://HOST:PORT` on this machine, or `tls://HOST:PORT`.
    jobs : int, optional
        Not heeded but for its sign: a cluster runs as many tasks at once as its workers have threads.
    folders : iterable of path
        Folders that every worker must see and write to; the working folder if none.

    Raises
    ------
    ConfigError
        Dask is not installed, the scheduler may not be used or does not answer, or a worker is not like this process.
    """

    def __init__(self, address: str, jobs: int | None = None, folders: Iterable[str | Path] = ()) -> None:
        self.address = address
        self._folders = [Path(folder).absolute() for folder in folders] or [Path.cwd()]
        self._client = _connected(address)
        try:
            _check(self._client, address, self._folders)
            self.jobs = sum(self._client.nthreads().values())
        except BaseException:
            self.close()
            raise

    def map(self, function: str, ids: Sequence[Mapping[str, Any]], progress: Progress | None = None) -> list[str]:
        """Run a function once for each of many identifiers."""
        asked = questions(function, ids)
        found, losses = [""] * len(asked), [0] * len(asked)
        ended: queue.SimpleQueue[tuple[int, Future]] = queue.SimpleQueue()
        running: dict[int, Future] = {}

        def give(k: int) -> None:
            running[k] = self._client.submit(
                perform_alike, function, asked[k], code(), key=f"{function}-{uuid.uuid4().hex}", pure=False, retries=0
            )
            running[k].add_done_callback(lambda future: ended.put((k, future)))

        try:
            for k in range(len(asked)):
                give(k)
            for k, future in self._ended(ended, running):
                place = f"{k + 1} of {len(asked)}"
                answer = self._answer(future, losses, k)
                if answer is None:
                    refuse_lost(function, asked[k], place, losses[k], "was lost by the cluster")
                    give(k)
                    continue
                if answer == OTHER_CODE:
                    raise TaskError(
                        f"A worker that joined {self.address} runs another Virtuoso or other libraries than this "
                        "process. Start it from the same environment."
                    )
                found[k] = path_in(answer, function, asked[k], place)
                del running[k]
                if progress is not None:
                    progress("tasks", len(asked) - len(running), len(asked))
        finally:
            if running:
                with contextlib.suppress(Exception):  # the cluster may be gone: the first error is the one that counts
                    self._client.cancel(list(running.values()), force=True)
        return found

    def _ended(
        self, ended: queue.SimpleQueue[tuple[int, Future]], running: Mapping[int, Future]
    ) -> Iterator[tuple[int, Future]]:
        """Give tasks as they end; give up where nobody is left to run them."""
        alive = time.monotonic()
        while running:
            try:
                yield ended.get(timeout=POLLED)
                alive = time.monotonic()
                continue
            except queue.Empty:
                pass
            if self._has_workers():
                alive = time.monotonic()
            elif time.monotonic() - alive > PATIENCE:
                raise TaskError(
                    f"{self.address} has had no worker for {PATIENCE:.0f} s, with {len(running):,} tasks to do. Start "
                    "workers, or look at their logs for what ended them; what was finished is on disk."
                )

    def _has_workers(self) -> bool:
        """Whether the scheduler answers and has a worker."""
        if self._client.status != "running":
            return False
        try:
            return bool(self._client.nthreads())
        except Exception:  # whatever the connection raises: it is not there
            return False

    def _answer(self, future: Future, losses: list[int], k: int) -> str | None:
        """Return the answer of a task; None where its workers were lost, which is counted."""
        from distributed import CancelledError, KilledWorker

        try:
            return str(future.result())
        except KilledWorker as killed:
            losses[k] += int(getattr(killed, "allowed_failures", 0)) + 1
        except CancelledError:  # the scheduler forgot it: it was started anew, or lost its connection
            losses[k] += 1
            if self._client.status != "running":
                raise TaskError(
                    f"The scheduler {self.address} is gone, in the middle of its tasks. Start it again and run the "
                    "same command: what was finished is on disk."
                ) from None
        except Exception as fault:
            said = printable(f"{type(fault).__name__}: {fault}", 500)
            raise TaskError(f"The cluster {self.address} could not run a task: {said}") from fault
        return None

    def close(self) -> None:
        """Leave the scheduler; its workers are not ours to end."""
        with contextlib.suppress(Exception):  # one that is gone cannot be left
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _connected(address: str) -> Client:
    """Open a client to a scheduler."""
    try:
        import distributed
    except ModuleNotFoundError:
        raise ConfigError(
            f"--executor {address} needs Dask, which is not installed. Try: pip install 'virtuoso[dask]'"
        ) from None
    parts = urlsplit(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = parts.hostname, None
    if not host or not port or parts.path.strip("/") or parts.username:
        raise ConfigError(f"--executor {address} is no address of a scheduler. Write {parts.scheme}://HOST:PORT.")
    security: Any = None
    if parts.scheme == "tls":
        security, place = _certificates(address), f"tls://{_in_url(host)}:{port}"
    else:
        place = f"tcp://{_in_url(_loopback(host, address))}:{port}"
    try:
        return distributed.Client(  # type: ignore[no-untyped-call]
            place, timeout=CONNECTED_WITHIN, set_as_default=False, security=security, name="virtuoso"
        )
    except (OSError, TimeoutError, ValueError) as gone:
        raise ConfigError(
            f"No scheduler answers at {address}: {printable(str(gone), 300)}. Start one with `dask scheduler --host "
            "127.0.0.1` and workers with `dask worker`; docs/guides/cluster.md shows the whole of it."
        ) from gone


def _loopback(host: str, address: str) -> str:
    """Return the numeric address of a host that is this machine.

    Raises
    ------
    ConfigError
        It is another one: without certificates anybody on the way could run code here and there.
    """
    try:
        found = {str(one[4][0]) for one in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as unknown:
        raise ConfigError(f"--executor {address} names a host that is not known here: {unknown}.") from unknown
    numbers = [ipaddress.ip_address(one.partition("%")[0]) for one in sorted(found)]
    if not all((getattr(one, "ipv4_mapped", None) or one).is_loopback for one in numbers):
        raise ConfigError(
            f"--executor {address} is another machine, and a Dask scheduler runs whatever anybody sends it. Use "
            f"tls://{_in_url(host)}:PORT with certificates, or an ssh tunnel to 127.0.0.1; docs/guides/cluster.md "
            "shows both."
        )
    return str(next((one for one in numbers if one.version == 4), numbers[0]))


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _certificates(address: str) -> Any:
    """Certificates that Dask's configuration names, all three of them.

    Raises
    ------
    ConfigError
        One is not named, or not there.
    """
    from distributed.security import Security

    security: Any = Security(require_encryption=True)  # type: ignore[no-untyped-call]
    wanted = {
        "CA_FILE": security.tls_ca_file,
        "CLIENT__CERT": security.tls_client_cert,
        "CLIENT__KEY": security.tls_client_key,
    }
    for name, file in wanted.items():
        variable = f"DASK_DISTRIBUTED__COMM__TLS__{name}"
        if not file:
            raise ConfigError(
                f"--executor {address} needs certificates, and {variable} is not set. Dask reads it from the "
                "environment or from ~/.config/dask; docs/guides/cluster.md shows how to make them."
            )
        if "-----BEGIN" not in str(file) and not Path(str(file)).is_file():
            raise ConfigError(f"{variable} names {file}, and there is no such file. Give the path of a PEM file.")
    return security


# --- what a worker is ---


@cache
def code() -> str:
    """Digest of the sources of Virtuoso, of Python, and of the libraries that numbers come from, in this process."""
    home = Path(__file__).parents[1]
    found = hashlib.sha256(platform.python_version().encode())
    for file in sorted(home.rglob("*.py")):
        found.update(file.relative_to(home).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    for name in LIBRARIES:
        try:
            found.update(f"{name} {version(name)}\n".encode())
        except PackageNotFoundError:
            found.update(f"{name} absent\n".encode())
    return found.hexdigest()


def perform_alike(function: str, question: str, expected: str) -> str:
    """Run one task on a worker, if that is like the process that asks."""
    return perform(function, question) if code() == expected else OTHER_CODE


def look(folders: Sequence[str], name: str, token: str) -> dict[str, Any]:
    """Say what a worker is, which of the folders hold a file with the token, and answer with a file beside it.

    Returns
    -------
    dict
        `code`; `folders`, what is wrong with each, empty where it is right; `answer`, the name of the answering file.
    """
    answer = f"{name}.{uuid.uuid4().hex}"
    return {"code": code(), "folders": [_seen(Path(one), name, answer, token) for one in folders], "answer": answer}


def _seen(folder: Path, name: str, answer: str, token: str) -> str:
    try:
        if (folder / name).read_text(encoding="utf-8") != token:
            return "is another folder there"
    except OSError:
        return "is not there, or is another folder"
    try:
        (folder / answer).write_text(token, encoding="utf-8")
    except OSError:
        return "cannot be written there"
    return ""


def _check(client: Client, address: str, folders: Sequence[Path]) -> None:
    """Ask every worker what it is.

    Raises
    ------
    ConfigError
        There is none, one runs another version, or one sees other folders.
    """
    try:
        client.wait_for_workers(1, timeout=CONNECTED_WITHIN)
    except TimeoutError:
        raise ConfigError(f"{address} has no worker. Start one: dask worker {address}") from None
    name, token = f".virtuoso-probe-{uuid.uuid4().hex}", uuid.uuid4().hex
    written = []
    try:
        for folder in folders:
            try:
                (folder / name).write_text(token, encoding="utf-8")
            except OSError as refused:
                raise ConfigError(
                    f"{folder} cannot be written: {refused.strerror}. Workers write there too."
                ) from refused
            written.append(folder / name)
        told = client.run(look, [str(folder) for folder in folders], name, token, on_error="return")
        for worker, found in told.items():
            _judge(worker, found, address, folders, token)
    finally:
        for file in written:
            for left in file.parent.glob(f"{file.name}*"):
                with contextlib.suppress(OSError):
                    left.unlink()


def _judge(worker: str, found: Any, address: str, folders: Sequence[Path], token: str) -> None:
    """Refuse a worker that is not like this process."""
    who = f"The worker {worker} of {address}"
    if not isinstance(found, Mapping):
        said = printable(f"{type(found).__name__}: {found}", 300)
        raise ConfigError(
            f"{who} cannot run Virtuoso: {said}. Install the same version there, with the same libraries."
        )
    if found["code"] != code():
        raise ConfigError(
            f"{who} runs another Virtuoso, Python or {', '.join(LIBRARIES)} than this process. Start it from the same "
            "environment: results would not be the same."
        )
    for folder, wrong in zip(folders, found["folders"], strict=True):
        if not wrong and _written(folder / found["answer"]) != token:
            wrong = "is another folder there"
        if wrong:
            raise ConfigError(
                f"{who}: {folder} {wrong}. Project and data must lie at the same path on every machine, such as on a "
                "shared disk."
            )


def _written(file: Path) -> str:
    """What a worker answered with; a shared disk may show it a little later."""
    until = time.monotonic() + 5.0
    while not file.is_file() and time.monotonic() < until:
        list(file.parent.iterdir())  # makes a network disk look again
        time.sleep(0.05)
    return file.read_text(encoding="utf-8") if file.is_file() else ""
