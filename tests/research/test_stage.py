"""The stage: funding settles at its own times, and who holds through a gap holds through its settlements."""

import numpy as np

from tests.research.scenes import market
from virtuoso.account.state import FUNDING_INSIDE, FUNDING_OPEN, MARK_OPEN, OPEN
from virtuoso.market.events import events_of
from virtuoso.market.schema.kinds import KINDS
from virtuoso.research.backtest.panel import FundingTerms, Stage

FRAME = market(4, bars=3_000, gaps=True, venue="binance-usdm")
START = FRAME.start * 60_000
EIGHT = 8 * 3_600_000
PAID = np.array([0.0001, 0.0002, 0.0003, 0.0004, 0.0005, 0.0006, 0.0007])


def settled(times, rates):
    columns = {"rate": rates, "hours": np.full(len(times), 8.0), "mark": np.full(len(times), np.nan)}
    return {FRAME.instrument: events_of(KINDS["funding"], np.asarray(times), columns)}


def staged(funding, assume=None):
    return Stage.of([FRAME], funding=funding, terms=FundingTerms(assume, True))


class TestASettlementInAGap:
    """Is paid at the open of the next bar that is known, never forgotten."""

    def test_is_moved_to_the_next_known_bar(self):
        times = START + EIGHT * np.arange(7)
        plain = staged(settled(times, PAID)).bars[:, 0]
        lost = int(np.flatnonzero(np.isnan(plain[:, OPEN]) & (np.arange(len(plain)) > 490))[3])
        moved = times.copy()
        moved[2] = START + lost * 60_000
        found = staged(settled(np.sort(moved), PAID), assume=0.0).bars[:, 0]
        after = lost + int(np.argmax(np.isfinite(found[lost:, OPEN])))
        rate = PAID[int(np.searchsorted(np.sort(moved), moved[2]))]
        assert found[after, FUNDING_OPEN] == rate * found[after, MARK_OPEN]

    def test_every_settlement_is_paid_somewhere(self):
        bars = staged(settled(START + EIGHT * np.arange(7), PAID)).bars[:, 0]
        assert np.count_nonzero(np.nan_to_num(bars[:, [FUNDING_OPEN, FUNDING_INSIDE]])) == 7


class TestAHoleInTheRecording:
    """What is assumed fills the hole alone: what was recorded stays as it was."""

    def test_keeps_the_recorded_rates(self):
        recorded = START + EIGHT * np.array([0, 1, 5, 6])
        stage = staged(settled(recorded, np.full(4, 0.002)), assume=0.0001)
        bars = stage.bars[:, 0]
        at = np.flatnonzero(np.nan_to_num(bars[:, FUNDING_OPEN]))
        rates = bars[at, FUNDING_OPEN] / bars[at, MARK_OPEN]
        np.testing.assert_allclose(rates, [0.002, 0.002, 0.0001, 0.0001, 0.0001, 0.002, 0.002])
        assert any("assumed where none is recorded" in words for words in stage.assumptions)
