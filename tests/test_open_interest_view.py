"""`virtuoso explain --open-interest`: its view on the terminal and as JSON."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from tests.builders import market
from tests.prism.open_interest.test_analysis import KEYS, calm, scene
from virtuoso.cli.terminal.open_interest import open_interest_view
from virtuoso.errors import MissingColumnError
from virtuoso.files.json import plain
from virtuoso.prism.engine.score import score
from virtuoso.prism.open_interest.analysis import analyse
from virtuoso.prism.open_interest.report import OpenInterest
from virtuoso.prism.prism import Prism


def printed(found: OpenInterest) -> str:
    out = io.StringIO()
    console = Console(file=out, width=100, highlight=False)
    for part in open_interest_view(found):
        console.print(part)
    return out.getvalue()


@pytest.fixture(scope="module")
def lit() -> OpenInterest:
    return analyse(market(bars=4_000, lit=True))


class TestTheTerminal:
    def test_fits_a_hundred_columns(self, lit):
        assert max(map(len, printed(lit).splitlines())) <= 100

    def test_shows_every_part(self, lit):
        out = printed(lit)
        for part in ("score", "with price", "funding", "Change of open interest", "Structure", "In words"):
            assert part in out
        for clock in lit.timeframe_structure:
            assert f"\n{clock} " in out

    def test_marks_what_is_estimated(self, lit):
        assert lit.concentration.levels
        assert "Liquidation levels, estimated" in printed(lit)

    def test_shows_a_dash_and_the_reason_where_nothing_is_known(self):
        out = printed(analyse(scene(*calm(200))))
        assert "Not known" in out
        assert "funding: the source has no funding" in out
        assert "nan" not in out.lower()


class TestJson:
    def test_has_the_keys_of_the_room_and_null_for_what_is_not_known(self):
        found = plain(analyse(scene(*calm(200))).to_dict())
        assert set(found) >= KEYS
        assert found["funding"]["rate"] is None
        assert found["score"] is not None


class TestFromScores:
    def test_a_scored_market_reads_the_same_room(self):
        frame = market(bars=3_000, lit=True)
        scores = score(Prism.classic(), frame.within(frame.timeframe.open_time(frame.stop - 2), None))
        assert repr(scores.open_interest().to_dict()) == repr(analyse(frame).to_dict())
        assert np.isfinite(scores.open_interest().score)

    def test_spot_is_refused(self):
        frame = market(bars=600)
        scores = score(Prism.classic(), frame.within(frame.timeframe.open_time(frame.stop - 2), None))
        with pytest.raises(MissingColumnError, match="no column open_interest"):
            scores.open_interest()
