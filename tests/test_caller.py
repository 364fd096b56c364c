"""A message names options in the words of whoever called: flags on the command line, arguments in Python."""

from __future__ import annotations

import re

import pytest

import virtuoso as vt
from tests.builders import hours
from virtuoso.caller import command_line, in_words_of_caller
from virtuoso.cli import main
from virtuoso.errors import NoDataError

PAIRS = {
    "or pass --assume-funding 0.0001 --mark last to go on": "or pass assume_funding=0.0001, mark='last' to go on",
    "pass --assume-funding RATE (per eight hours)": "pass assume_funding=RATE (per eight hours)",
    "raise --max-bad-share above 0.3.": "raise max_bad_share= above 0.3.",
    "Pass --market spot or --market linear once": "Pass market='spot' or market='linear' once",
    "Pass --symbol, such as --symbol BTCUSDT.": "Pass symbol=, such as symbol='BTCUSDT'.",
    "Pass --timeframe 5m.": "Pass timeframe='5m'.",
    "does it need --kind, --time-unit or --time-zone?": "does it need kind=, time_unit= or time_zone=?",
    "such as --timerange 20250101-20250201": "such as start='2025-01-01', end='2025-02-01'",
    "such as --timerange 20250101-, or slower": "such as start='2025-01-01', or slower",
    "Choose a longer --timerange.": "Choose a longer range (start=, end=).",
    'name it: --columns volume="V1",quote_volume="V2"': "name it: columns={'volume': \"V1\", 'quote_volume': \"V2\"}",
    "(--halt enforces it)": "(halt=True enforces it)",
    "Run `virtuoso data verify --rebuild`.": "Run `virtuoso data verify --rebuild`.",
    "Try: virtuoso data import PATH --venue binance-spot": "Try: virtuoso data import PATH --venue binance-spot",
    "the file --evil.csv and a -- dash": "the file --evil.csv and a -- dash",
}


@pytest.mark.parametrize("said", PAIRS)
def test_python_reads_arguments_and_the_command_line_flags(said):
    assert in_words_of_caller(said) == PAIRS[said]
    with command_line():
        assert in_words_of_caller(said) == said
    assert in_words_of_caller(said) == PAIRS[said]


def test_what_lacks_is_asked_for_at_once_and_the_call_that_is_named_works():
    frame = hours(bars=2_000)
    with pytest.raises(NoDataError) as refused:
        vt.backtest(vt.score(frame), record=False)
    words = str(refused.value)
    assert "--" not in words
    assert "Mark prices of" in words
    assert "Funding of" in words
    given = re.search(r"pass (assume_funding=\S+), (mark='last') to", words)
    assert given is not None
    result = vt.backtest(vt.score(frame), record=False, **eval(f"dict({given[1]}, {given[2]})"))
    assert len(result.equity) == 2_000


def test_the_command_line_names_its_flags(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("open_time,open,high,low,close,volume\n1704067200000,1,1,1,1,1\n")
    assert main(["data", "import", "a.csv", "--data", str(tmp_path), "--symbol", "BTCUSDT"]) != 0
    assert "--venue" in capsys.readouterr().err
    with pytest.raises(vt.VirtuosoError, match="Pass venue"):
        vt.import_files("a.csv", data=tmp_path, symbol="BTCUSDT")
