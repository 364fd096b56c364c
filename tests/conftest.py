"""What every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from threadpoolctl import threadpool_limits

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of processes that tests start
threadpool_limits(1, user_api="blas")
"""Each worker has one core: threads of BLAS would wait for each other and burn what the other worker needs."""

KEPT = DirectoryBasedExampleDatabase(Path(__file__).resolve().parents[1] / ".hypothesis" / "examples")
"""Examples that failed; named, since tests work in other folders."""

for _name, _examples in (("dev", 25), ("ci", 60), ("nightly", 2_000)):
    settings.register_profile(
        _name, max_examples=_examples, deadline=None, database=KEPT, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The development data pack; tests that need it are skipped where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("VIRTUOSO_REAL_DATA", beside))
    if not (folder / "MANIFEST.csv").is_file():
        pytest.skip("the real-data pack is not here; set VIRTUOSO_REAL_DATA to its folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder outside the checkout, so that no test writes into the checkout's ledger of trials."""
    before, home = Path.cwd(), tmp_path_factory.mktemp("elsewhere")
    os.chdir(home)
    yield home
    os.chdir(before)


_NUMBERS = count()


@pytest.fixture(scope="module", autouse=True)
def module_folder(outside: Path) -> Iterator[None]:
    """Another working folder for what a file of tests makes once."""
    before, folder = Path.cwd(), outside / f"{next(_NUMBERS)}"
    folder.mkdir()
    os.chdir(folder)
    yield
    os.chdir(before)


@pytest.fixture(autouse=True)
def working_folder(outside: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder for every test: no project, and a ledger of its own."""
    folder = outside / f"{next(_NUMBERS)}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("VIRTUOSO_PROJECT", raising=False)
    monkeypatch.setenv("VIRTUOSO_TRACKING__ENABLED", "false")  # a store of its own for each study takes seconds
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no page of a run where nobody reads it: that takes ten times as long as a backtest."""
    monkeypatch.setattr("virtuoso.reports.tearsheet.write.pages", lambda sheet: {"tearsheet.html": "not drawn"})
    monkeypatch.setattr("virtuoso.reports.tearsheet.write.pdf", lambda sheet: b"not drawn")
    monkeypatch.setattr("virtuoso.reports.study.write.html", lambda page: "not drawn")
    monkeypatch.setattr("virtuoso.reports.study.write.pdf", lambda page: b"not drawn")


@pytest.fixture(autouse=True)
def internal_errors_raise(monkeypatch):
    """An error of ours while a file is imported does not pass for one of the file."""
    monkeypatch.setattr("virtuoso.ingest.importer.INTERNAL_ERRORS_RAISE", True)
