"""The market that a venue serves, and its clock.

The same seed, first day and symbols are the same market; time only adds to its end. The clock is given: the wall
clock for people, one that stands still until it is moved for tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from virtuoso.clock import Env, iso, parse_time
from virtuoso.errors import ConfigError
from virtuoso.venues.simulator import DEFAULT_SYMBOLS, START, record
from virtuoso.venues.wire.listing import DAY, Listing


class VenueClock:
    """What the venue takes for now.

    Parameters
    ----------
    at : int, optional
        Where the clock stands, ms; the wall clock if absent.
    speed : float
        How fast it runs against the wall clock; at 0 it only moves when it is moved.
    env : Env, optional
        Where the wall clock comes from.
    """

    def __init__(self, at: int | None = None, *, speed: float = 1.0, env: Env | None = None) -> None:
        if speed < 0.0:
            raise ConfigError(f"The speed of a venue's clock is 0 or more, was {speed:g}.")
        self._env = env or Env()
        self.speed = speed
        self._began = self._env.stopwatch()
        self._at = self._env.now_ms() if at is None else at

    def now(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return self._at + int((self._env.stopwatch() - self._began) * 1_000.0 * self.speed)

    def advance(self, ms: int) -> int:
        """Move the clock forward; gives where it stands then."""
        if ms < 0:
            raise ConfigError(f"A venue's clock only moves forward, was asked for {ms} ms.")
        self._at += ms
        return self.now()


@dataclass(frozen=True, slots=True)
class World:
    """A simulated market with history and a future that nobody sees yet.

    Attributes
    ----------
    listings : dict of str to Listing
    first, end : int, ms
        Where the history begins, and where the future ends: then prices stand still.
    seed : int
    """

    listings: dict[str, Listing]
    first: int
    end: int
    seed: int

    @classmethod
    def made(
        cls,
        symbols: Iterable[str] = DEFAULT_SYMBOLS,
        *,
        seed: int = 7,
        start: str = START,
        days: int = 30,
        ahead: int = 1,
        stream_days: int = 3,
    ) -> World:
        """Make one.

        Parameters
        ----------
        symbols : iterable of str
        seed : int
        start : str
            First day of the history, UTC.
        days : int
            Length of the history.
        ahead : int
            Days of the future.
        stream_days : int
            How many days of the history have every trade and every change of the book, besides the future.

        Raises
        ------
        ConfigError
            As of `simulate`, or if there is no future.
        """
        if ahead < 1:
            raise ConfigError(f"A venue needs a future of at least 1 day to live in, was {ahead}.")
        detailed = min(stream_days, days) + ahead
        made = record(symbols, days + ahead, seed, start, trade_days=detailed, book_days=detailed)
        first = parse_time(start)
        return cls({s: Listing(r) for s, r in made.items()}, first, first + (days + ahead) * DAY, seed)

    def describe(self, now: int) -> str:
        """Say what is served, in a line."""
        names = ", ".join(self.listings)
        return f"{names} from {iso(self.first)} to {iso(now)}, more until {iso(self.end)}, seed {self.seed}"
