"""Every documented error, raised by the venue and caught by unpatched ccxt: the class is that of production.

ccxt chooses by address; a venue at http://127.0.0.1 would turn the codes of futures into a plain ExchangeError.
"""

from __future__ import annotations

import asyncio

import ccxt
import pytest

from tests.venues.wire.error_codes import BINANCE, BYBIT
from tests.venues.wire.serving import Served

PAIRS = [("binance", *row) for row in BINANCE] + [("bybit", *row) for row in BYBIT]


@pytest.mark.parametrize(("venue", "status", "code", "words", "expected"), PAIRS, ids=[f"{p[0]} {p[2]}" for p in PAIRS])
def test_an_error_code_is_the_class_of_production(
    served: Served, loop: asyncio.AbstractEventLoop, venue: str, status: int, code: int, words: str, expected: str
):
    served.fault(kind="error", status=status, code=code, message=words)
    try:
        with pytest.raises(ccxt.BaseError) as caught:
            loop.run_until_complete(served.exchange(venue).fetch_time())
    finally:
        served.mend()
    assert type(caught.value).__name__ == expected


def test_there_are_at_least_a_hundred_and_twenty_codes_each_once():
    assert len(PAIRS) >= 120
    assert len({(venue, code) for venue, _, code, *_ in PAIRS}) == len(PAIRS)
