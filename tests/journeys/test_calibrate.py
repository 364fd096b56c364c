"""From history to a table of reliability to signals that say what it tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from virtuoso.cli import main
from virtuoso.venues.simulator import simulate, write_archive

RULE = "signals: {min_coverage: 0.1, max_age: 2h, bull_enter: 56, bull_leave: 52, bear_enter: 44, bear_leave: 48}\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with three weeks of simulated minutes."""
    home = tmp_path_factory.mktemp("calibrate")
    write_archive(home / "raw", simulate(["BTCUSDT"], days=21, seed=11))
    assert main(["data", "import", str(home / "raw"), "--venue", "simulated", "--data", str(home / "data"), "-q"]) == 0
    return home / "data"


@pytest.fixture
def virtuoso(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict]:
    """Run a command with --json in an empty project that has a rule of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/base.yaml").write_text(RULE)

    def run(*arguments: str) -> dict:
        assert main([*arguments, "-i", "5m", "--data", str(root), "--json", "-q"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_what_is_not_better_than_the_base_rate_is_not_written(virtuoso, tmp_path):
    found = virtuoso("calibrate", "BTCUSDT")
    assert found["calibration"]["signals"] > 100
    assert not found["is_better"]
    assert found["file"] is None
    assert not (tmp_path / "configs/calibration").exists()


def test_a_table_that_is_named_makes_reliability_a_probability(virtuoso, tmp_path):
    found = virtuoso("calibrate", "BTCUSDT", "--force")
    assert found["file"] == "configs/calibration/5m.yaml"
    before = virtuoso("signals", "list", "BTCUSDT")["signals"]
    (tmp_path / "configs/base.yaml").write_text(RULE.replace("}", ", calibration: calibration/5m.yaml}"))
    after = virtuoso("signals", "list", "BTCUSDT")["signals"]
    assert {signal["reliability_basis"] for signal in before} == {"heuristic"}
    assert {signal["reliability_basis"] for signal in after if signal["targets"]} == {"calibrated"}
    assert [signal["stop_loss"] for signal in after] == [signal["stop_loss"] for signal in before]
