"""The simulated venue: a market made from a seed, everything it makes is named *simulated*."""

from virtuoso.venues.simulator.archive import write_archive
from virtuoso.venues.simulator.coins import DEFAULT_SYMBOLS, Coin, coin
from virtuoso.venues.simulator.factors import REGIME_NAMES
from virtuoso.venues.simulator.facts import stylised_facts
from virtuoso.venues.simulator.market import START, VENUE, SimulatedBars, outages, regimes, simulate

__all__ = [
    "DEFAULT_SYMBOLS",
    "REGIME_NAMES",
    "START",
    "VENUE",
    "Coin",
    "SimulatedBars",
    "coin",
    "outages",
    "regimes",
    "simulate",
    "stylised_facts",
    "write_archive",
]
