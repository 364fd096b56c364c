"""docs/guides/venue.md and `virtuoso venue` say what there is."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import ccxt.pro
import pytest
import yaml

from tests.venues.wire.calls import CALLS, OF_BINANCE
from virtuoso.venues.wire import Scenario, venue_session
from virtuoso.venues.wire.faults import ARCHIVE, REST, STREAM, Kind

GUIDE = (Path(__file__).parents[3] / "docs/guides/venue.md").read_text()


def test_the_table_of_calls_is_the_one_that_is_tested():
    table = [line for line in GUIDE.splitlines() if re.match(r"\| (Markets|Market data|Streams|End)", line)]
    both, binance = (
        {name for row in table for name in re.findall(r"`(\w+)`", row.split("|")[column])} for column in (2, 3)
    )
    assert both == set(CALLS)
    assert binance == set(OF_BINANCE)
    assert f"{len(CALLS)} unified calls on both exchanges, {len(OF_BINANCE)} more on Binance" in GUIDE


def test_the_table_of_faults_names_every_kind():
    kinds = set(get_args(Kind))
    assert kinds == {*REST, *STREAM, *ARCHIVE}
    assert kinds <= set(re.findall(r"`(\w+)`", GUIDE.partition("| kind |")[2]))


def test_the_scenario_of_the_guide_is_one():
    text = re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert text is not None
    assert len(Scenario.read(yaml.safe_load(text[1])).faults) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="a signal is sent")
def test_the_verb_serves_ccxt_until_it_is_interrupted():
    command = [sys.executable, "-m", "virtuoso.cli", "venue", "BTCUSDT", "--days", "1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            said += running.stdout.readline()
        where = re.search(r"venue_session\('(.+)', (\d+)\)", said)
        assert where is not None

        async def ask() -> float:
            async with venue_session(where[1], int(where[2])) as session:
                exchange = ccxt.pro.binanceusdm({"session": session})
                ticker = await exchange.fetch_ticker("BTC/USDT:USDT")
                await exchange.close()
                return float(ticker["last"])

        assert asyncio.run(ask()) > 1_000.0
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
        assert running.wait(timeout=10) == 0
    assert "served 2 requests" in rest
    assert not Path(where[1]).exists()  # the authority is thrown away with the server
