"""`virtuoso report RUN`: the tear sheet of any run, by folder or by name."""

import json

import pytest

from tests.reports.run_folders import run_folder
from virtuoso.cli import main


@pytest.fixture
def virtuoso(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def test_a_folder_is_reported(virtuoso, tmp_path):
    folder = run_folder(tmp_path / "one")
    code, out, _ = virtuoso("report", folder)
    assert code == 0
    assert f"-> {folder / 'tearsheet.html'}" in out
    assert (folder / "tearsheet.pdf").is_file()


def test_a_run_is_found_by_its_name_and_written_elsewhere(virtuoso, tmp_path):
    folder = run_folder(tmp_path / "reports" / "runs" / "one")
    code, out, _ = virtuoso("report", "one", "--out", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out)["html"] == str(tmp_path / "out" / "tearsheet.html")
    assert not (folder / "tearsheet.html").exists()


def test_a_name_that_is_none_is_refused_with_the_one_that_was_meant(virtuoso, tmp_path):
    run_folder(tmp_path / "reports" / "runs" / "BTCUSDT_1h_ab12")
    code, _, err = virtuoso("report", "BTCUSDT_1h_ba12")
    assert code == 3
    assert "There is no run BTCUSDT_1h_ba12" in err
    assert "Did you mean" in err
    assert "BTCUSDT_1h_ab12" in err
