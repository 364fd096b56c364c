"""The simulated venue: a market made from a seed, everything it makes is named *simulated*."""

from virtuoso.venues.simulator.archive import write_archive, write_recordings
from virtuoso.venues.simulator.coins import DEFAULT_SYMBOLS, Coin, coin
from virtuoso.venues.simulator.factors import REGIME_NAMES
from virtuoso.venues.simulator.facts import book_every, order_facts, order_signs, stylised_facts
from virtuoso.venues.simulator.market import START, VENUE, Recording, SimulatedBars, outages, record, regimes, simulate

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
