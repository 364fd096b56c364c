"""Joins that see events too early are accused by the law of arrival; the join of the lake is acquitted.

The components are honest: what leaks is how events become columns of bars. Each leak was met in the wild: open interest
joined by the time it describes, a book joined to the nearest bar, a funding rate spread over the hours before it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.archives import bars, env, minutes
from tests.happenings import MINUTE, START, depth, funding, open_interest
from tests.laws.leaks import Example
from virtuoso.account.instrument import Instrument
from virtuoso.clock import UNIT_MS, Timeframe
from virtuoso.lake.lake import Lake
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.events import Events
from virtuoso.market.rows import traded_rows
from virtuoso.prism.laws import laws
from virtuoso.types import Array

PERP, M5 = Instrument("binance-usdm", "BTCUSDT"), Timeframe("5m")
N = 288
EVENTS = {
    "open_interest": open_interest(n=N),
    "depth": depth(seed=4, messages=20_000, levels=12),
    "funding": funding(3, hours=6),
}
EARLY_MS = {"open_interest": MINUTE, "depth": 2_000, "funding": 6 * UNIT_MS["h"]}
"""By how much each leaking join is too early: the lag, a snapshot just after the close, the whole interval."""


class Contracts(Example):
    """Open interest now against an hour ago."""

    period = 12

    def value(self, open_interest: Array) -> Array:
        """Change, shape (n_bars,)."""
        return _change(open_interest, 12)


class BestBid(Example):
    """The best bid and how much waits there."""

    period = 2

    def value(self, bid_size: Array) -> Array:
        """Size, shape (n_bars,)."""
        return bid_size - 3.0


class Rate(Example):
    """The funding rate in force."""

    period = 2

    def value(self, funding_rate: Array) -> Array:
        """Basis points, shape (n_bars,)."""
        return 1e4 * funding_rate - 1.0


def _change(x: Array, n: int) -> Array:
    out = np.full(len(x), np.nan)
    out[n:] = x[n:] - x[:-n]
    return out


NODES = {"open_interest": Contracts(), "depth": BestBid(), "funding": Rate()}


def lake(path, events: Events) -> Lake:
    """A day of bars, and events of one kind."""
    made = Lake(path, env=env())
    with made.writing() as writer:
        writer.add(Batch(PERP, traded_rows(minutes(N, START, M5.ms), bars(N), M5.ms), M5))
        writer.add(Batch(PERP, events))
        writer.commit()
    return made


def decisions(kind: str) -> list[int]:
    """Closes after which each kind has something to say; around settlements for funding."""
    if kind == "funding":
        return [START + hour * UNIT_MS["h"] for hour in (5, 7, 11, 13)]
    return [START + k * M5.ms for k in (150, 200, 231, 287)]


@pytest.mark.parametrize("kind", sorted(EVENTS))
class TestAJoin:
    """Decides with what had arrived by the close, and with nothing else."""

    def test_of_the_lake_is_acquitted(self, kind, tmp_path):
        honest = lake(tmp_path, EVENTS[kind])
        finding = laws.arrival(
            NODES[kind],
            lambda moment: honest.frame("BTCUSDT", "5m", end=moment, as_of=moment),
            lambda moment: honest.frame("BTCUSDT", "5m", end=moment),
            M5, decisions(kind), block=64,
        )  # fmt: skip
        assert finding.holds, str(finding)

    def test_that_counts_events_before_they_arrive_is_accused(self, kind, tmp_path):
        events = EVENTS[kind]
        honest = lake(tmp_path / "honest", events)
        early = lake(tmp_path / "early", replace(events, available_at=events.available_at - EARLY_MS[kind]))
        finding = laws.arrival(
            NODES[kind],
            lambda moment: honest.frame("BTCUSDT", "5m", end=moment, as_of=moment),
            lambda moment: early.frame("BTCUSDT", "5m", end=moment),
            M5, decisions(kind), block=64,
        )  # fmt: skip
        assert not finding.holds
        assert finding.worst > 0, str(finding)
