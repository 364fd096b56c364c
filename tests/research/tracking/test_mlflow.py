"""Runs in a real MLflow store: what stands there, what must not, and what becomes of a run when there is no store."""

from __future__ import annotations

import math
import os
import shutil
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import virtuoso as vt
from tests.test_own_signals import market
from virtuoso import workflows
from virtuoso.config import Settings
from virtuoso.research.tracking import mlflow as tracking
from virtuoso.research.tracking.mlflow import BACKTESTS, STARS, known_secrets, masked, open_store, track_run

URI = "sqlite:///experiments/tracking.db"
CANARIES = {
    "BINANCE_API_KEY": "canary-key-5f1c9d", "BINANCE_API_SECRET": "canary-secret-77aa01", "MY_TOKEN": "canary-token-31",
    "DB_PASSWORD": "canary-password-9",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A project with secrets in its surroundings and its configuration, and one tracked backtest."""
    root = tmp_path_factory.mktemp("project")
    (root / "virtuoso.toml").touch()
    (root / "configs").mkdir()
    (root / "configs" / "base.yaml").write_text(
        "exchanges:\n- {name: binance, type: futures, api_key: '${BINANCE_API_KEY}', "
        "api_secret: '${BINANCE_API_SECRET}'}\n"
    )
    return root


@pytest.fixture(scope="module")
def surroundings(home):
    patch = pytest.MonkeyPatch()
    for name, value in CANARIES.items():
        patch.setenv(name, value)
    patch.chdir(home)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def result(home, surroundings):
    frame = market()
    up = frame.close.ewm(span=10).mean() > frame.close.ewm(span=30).mean()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("virtuoso.reports.tearsheet.write.pages", lambda sheet: {"tearsheet.html": "<p>drawn</p>"})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return vt.backtest(
                frame, entries=up, exits=~up, settings=Settings.load(root=home), track=True,
                explained=f"see postgres://me:{CANARIES['DB_PASSWORD']}@db/x",
            )  # fmt: skip


@pytest.fixture(scope="module")
def run(home, result):
    with open_store(URI, home) as store:
        return store.client.get_run(result.tracked.run_id)


class TestWhatStandsThere:
    def test_a_run_of_the_experiment(self, home, result, run):
        assert result.tracked.reason == ""
        assert (result.tracked.experiment, result.tracked.store) == (BACKTESTS, URI)
        assert run.info.status == "FINISHED"
        assert run.info.run_name.startswith("own_signals-BTCUSDT-1h-")
        assert f"tracked: run {result.tracked.run_id[:8]} of {BACKTESTS}" in repr(result)
        assert (home / "experiments" / "tracking.db").is_file()

    def test_parameters_by_dotted_path(self, run, result):
        found = run.data.params
        assert found["terms.cash"] == "10000.0"
        assert found["decided_by.name"] == "own signals"
        assert found["settings.risk.max_drawdown"] == "0.15"
        assert found["terms.slippage"] == "0.0002"

    def test_figures_without_what_is_not_known(self, run, result):
        found = run.data.metrics
        known = {name for name, value in result.metrics.items() if math.isfinite(value)}
        assert known <= set(found)
        assert {name for name, value in result.metrics.items() if not math.isfinite(value)}.isdisjoint(found)
        assert all(math.isfinite(value) for value in found.values())
        assert found["total_return"] == pytest.approx(result.metrics["total_return"], rel=1e-15)
        assert found["buy_and_hold.total_return"] == result.benchmark_metrics["total_return"]

    def test_what_it_is_and_was_made_of(self, run, result):
        tags = run.data.tags
        assert tags["result_hash"] == result.result_hash
        assert tags["simulated"] == "false"
        assert tags["verdict"] in ("discard", "iterate")
        assert tags["seed"] == "0"
        assert result.frame.fingerprint in tags.values()
        assert tags["version.numba"]
        assert [one.dataset.digest for one in run.inputs.dataset_inputs] == [result.frame.fingerprint[:36]]

    def test_the_run_folder_as_artifacts(self, home, run, result):
        place = Path(run.info.artifact_uri.removeprefix("file://"))
        assert place.is_relative_to(home / "experiments" / "artifacts" / "virtuoso-backtest")
        saved = next((home / "reports" / "runs").iterdir())
        kept = {file.name: file.read_bytes() for file in (place / "run").iterdir()}
        wanted = {file.name: file.read_bytes() for file in saved.iterdir()}
        without = {"config.json"} & (set(wanted) - set(kept))  # it holds the password that was planted in a text
        assert kept == {name: data for name, data in wanted.items() if name not in without}
        assert {"tearsheet.html", "trades.parquet", "metrics.json", "provenance.json"} <= set(kept)


class TestNothingSecret:
    @pytest.mark.parametrize("name", CANARIES)
    def test_is_in_any_file_of_it(self, home, result, run, name):
        files = [file for file in (home / "experiments").rglob("*") if file.is_file()]
        assert len(files) > 10
        assert [file for file in files if CANARIES[name].encode() in file.read_bytes()] == []

    def test_no_command_line_and_no_user(self, run):
        assert not {"mlflow.source.name", "mlflow.user"} & set(run.data.tags)

    def test_passwords_in_addresses(self):
        assert masked("postgresql://me:hidden@db/x and s3cret!", ["s3cret!"]) == (
            f"postgresql://me:{STARS}@db/x and {STARS}"
        )
        assert known_secrets(["abcdefgh"], {"A_TOKEN": "ttttttt", "PATH": "pppppppp", "KEY": "k"}) == (
            "abcdefgh", "ttttttt",
        )  # fmt: skip

    def test_an_unreachable_server_is_told_without_its_password(self, home, result, caplog):
        port = closed_port()
        told = track_run(folder_of(home), f"http://me:canary%2Durl@127.0.0.1:{port}", home)
        assert told.run_id == ""
        assert "canary" not in told.line + repr(told) + caplog.text
        assert STARS in told.reason


class TestAStoreThatIsNotThere:
    """A result is never lost: it is said why it is not tracked, and the run goes on."""

    @pytest.mark.parametrize("uri", ["http://127.0.0.1:{port}", "postgresql://u:p@127.0.0.1:{port}/db", "nosuch://x"])
    def test_by_address(self, home, result, uri):
        told = track_run(folder_of(home), uri.format(port=closed_port()), home)
        assert told.run_id == ""
        assert "cannot be written" in told.line

    def test_a_file_that_is_no_store(self, home, result, tmp_path):
        (tmp_path / "t.db").write_bytes(b"no database at all" * 100)
        assert "not a database" in track_run(folder_of(home), f"sqlite:///{tmp_path}/t.db", home).reason

    def test_a_variable_that_is_not_set(self, home, surroundings, monkeypatch):
        monkeypatch.chdir(home)
        monkeypatch.setenv("VIRTUOSO_TRACKING__URI", "postgresql://u:${NOT_SET_AT_ALL}@db/x")
        frame = market()
        found = vt.backtest(frame, position=(frame.close > 0) * 0.0, record=False)
        told = workflows.track(found, folder_of(home), settings=Settings.load(root=home))
        assert "NOT_SET_AT_ALL" in told.reason
        assert told.line in repr(found)


class TestTheStore:
    def test_tracking_twice_is_two_runs(self, home, result):
        first, again = (track_run(folder_of(home), URI, home) for _ in range(2))
        assert first.run_id != again.run_id

    def test_an_experiment_that_was_deleted_comes_back(self, home, result):
        with open_store(URI, home) as store:
            store.client.delete_experiment(store.experiment(BACKTESTS))
        assert track_run(folder_of(home), URI, home).reason == ""

    def test_a_project_that_was_moved_finds_its_artifacts(self, home, result, tmp_path):
        moved = tmp_path / "moved"
        shutil.copytree(home, moved)
        with open_store(URI, moved) as store:
            found = store.client.get_run(result.tracked.run_id)
            assert found.info.artifact_uri.startswith((moved / "experiments").as_uri())
            assert {one.path for one in store.client.list_artifacts(result.tracked.run_id)} == {"run"}
        told = track_run(folder_of(home), URI, moved)
        with open_store(URI, moved) as store:
            assert str(moved) in store.client.get_run(told.run_id).info.artifact_uri

    def test_surroundings(self, result):
        assert {name: os.environ[name] for name in tracking.SURROUNDINGS} == tracking.SURROUNDINGS
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"

    @pytest.mark.slow
    def test_two_first_openers(self, home, result, tmp_path):
        """Two processes open a fresh store at once: both write, and none meets the other's migrations."""
        code = (
            "import sys; from pathlib import Path; from virtuoso.research.tracking.mlflow import track_run; "
            "folder, root = map(Path, sys.argv[1:]); "
            "print(track_run(folder, 'sqlite:///experiments/tracking.db', root).line)"
        )
        surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(folder_of(home)), str(tmp_path)],
                stdout=subprocess.PIPE, text=True, env=surroundings,
            )
            for _ in range(2)
        ]  # fmt: skip
        told = [process.communicate(timeout=300)[0] for process in started]
        assert all("tracked: run" in line for line in told), told
        with open_store(URI, tmp_path) as store:
            number = store.client.get_experiment_by_name(BACKTESTS).experiment_id
            assert len(store.client.search_runs([number])) == 2

    def test_a_store_that_another_opens_is_waited_for(self, home, result, monkeypatch):
        from virtuoso.files.atomic import writer_lock

        monkeypatch.setattr(tracking, "WAITED", 0.3)
        with writer_lock(home / "experiments" / ".tracking.lock"):
            told = track_run(folder_of(home), URI, home)
        assert "is being written by the process" in told.reason


def test_the_command_line_says_where(home, surroundings, monkeypatch, capsys):
    from virtuoso.cli import main

    monkeypatch.chdir(home)
    assert main(["backtest", "--help"]) == 0
    assert "--track" in capsys.readouterr().out


def folder_of(home: Path) -> Path:
    return next((home / "reports" / "runs").iterdir())


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
