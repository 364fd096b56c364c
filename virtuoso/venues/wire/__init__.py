"""The simulated exchange on the wire: Binance USD-M and Bybit linear as unpatched ccxt knows them, on loopback."""

from virtuoso.venues.wire.faults import Fault, Scenario
from virtuoso.venues.wire.server import API_KEY, API_SECRET, Venue
from virtuoso.venues.wire.session import HOSTS, venue_session
from virtuoso.venues.wire.world import VenueClock, World

__all__ = ["API_KEY", "API_SECRET", "HOSTS", "Fault", "Scenario", "Venue", "VenueClock", "World", "venue_session"]
