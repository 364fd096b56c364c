"""The simulated venue: a market made from a seed, everything it makes is named *simulated*."""

from virtuoso.venues.simulator.archive import write_archive, write_recordings
from virtuoso.venues.simulator.coin_profiles import DEFAULT_SYMBOLS, Coin, coin
from virtuoso.venues.simulator.market import START, VENUE, Recording, SimulatedBars, outages, record, regimes, simulate
from virtuoso.venues.simulator.price_factors import REGIME_NAMES
from virtuoso.venues.simulator.stylised_facts import book_every, order_facts, order_signs, stylised_facts

__all__ = [
    "DEFAULT_SYMBOLS",
    "REGIME_NAMES",
    "START",
    "VENUE",
    "Coin",
    "Recording",
    "SimulatedBars",
    "book_every",
    "coin",
    "order_facts",
    "order_signs",
    "outages",
    "record",
    "regimes",
    "simulate",
    "stylised_facts",
    "write_archive",
    "write_recordings",
]
