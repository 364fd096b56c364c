"""Budgets of requests, enforced as the venues do: refused, then banned."""

from __future__ import annotations

from virtuoso.venues.wire.binance_rest import weight
from virtuoso.venues.wire.request import Refusal, Request

BINANCE_WINDOW, BYBIT_WINDOW = 60_000, 5_000
PATIENCE = 10
"""Refusals in a row after which Binance bans."""
BAN = 120_000
"""The shortest ban of Binance, ms."""
BYBIT_BAN = 600_000
_BANNED = (
    "Way too many requests; IP({ip}) banned until {until}. Please use the websocket for live updates to avoid bans."
)
_TOO_MANY = (
    "Too many requests; current limit of IP({ip}) is {most} requests per minute. "
    "Please use the websocket for live updates to avoid polling the API."
)
_DATA_PATH, _DATA_MOST, _DATA_WINDOW = "/futures/data/", 1_000, 300_000


class Banned(Refusal):
    """Refused for a while; `retry_after` is in seconds."""

    def __init__(self, status: int, code: int, message: str, retry_after: int) -> None:
        super().__init__(status, code, message)
        self.retry_after = retry_after


class Window:
    """Counts in stretches of the clock that begin at its multiples."""

    def __init__(self, length: int) -> None:
        self.length, self.number, self.used = length, -1, 0

    def add(self, cost: int, now: int) -> int:
        """Count a request; gives what was used in this stretch."""
        if now // self.length != self.number:
            self.number, self.used = now // self.length, 0
        self.used += cost
        return self.used

    def left(self, now: int) -> int:
        """Whole seconds until the next stretch, rounded up."""
        return -(-(self.length - now % self.length) // 1_000)


class BinanceLimits:
    """The weight of a minute, and requests of /futures/data in five; for all clients of an address together."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._minute, self._data = Window(BINANCE_WINDOW), Window(_DATA_WINDOW)
        self._refused, self._banned_until = 0, 0

    def spend(self, request: Request) -> dict[str, str]:
        """Take a request out of the budget; gives the headers that say so.

        Raises
        ------
        Banned
            429 above the budget, 418 after too many of those.
        """
        now, ip = request.now, "127.0.0.1"
        if now < self._banned_until:
            self._banned(ip, now)
        used = self._minute.add(weight(request.path, dict(request.params)), now)
        if used <= self.most:
            self._refused = 0
        else:
            self._refused += 1
            if self._refused > PATIENCE:
                self._banned_until = now + BAN
                self._banned(ip, now)
            raise Banned(429, -1003, _TOO_MANY.format(ip=ip, most=self.most), self._minute.left(now))
        if request.path.startswith(_DATA_PATH) and self._data.add(1, now) > _DATA_MOST:
            raise Banned(429, -1003, _TOO_MANY.format(ip=ip, most=_DATA_MOST), self._data.left(now))
        return {"X-MBX-USED-WEIGHT-1M": str(used)}

    def ban(self, now: int, seconds: int) -> None:
        """Ban now."""
        self._banned_until = now + seconds * 1_000

    def _banned(self, ip: str, now: int) -> None:
        left = -(-(self._banned_until - now) // 1_000)
        raise Banned(418, -1003, _BANNED.format(ip=ip, until=self._banned_until), left)


class BybitLimits:
    """Requests of five seconds; for all clients of an address together."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._window, self._banned_until = Window(BYBIT_WINDOW), 0

    def spend(self, request: Request) -> dict[str, str]:
        """Take a request out of the budget; gives the headers that say so.

        Raises
        ------
        Banned
            403 above the budget, and for ten minutes after.
        """
        now = request.now
        if now < self._banned_until:
            raise Banned(403, 0, "access too frequent", -(-(self._banned_until - now) // 1_000))
        used = self._window.add(1, now)
        if used > self.most:
            self.ban(now, BYBIT_BAN // 1_000)
            raise Banned(403, 0, "access too frequent", BYBIT_BAN // 1_000)
        resets = (now // BYBIT_WINDOW + 1) * BYBIT_WINDOW
        return {
            "X-Bapi-Limit": str(self.most),
            "X-Bapi-Limit-Status": str(self.most - used),
            "X-Bapi-Limit-Reset-Timestamp": str(resets),
        }

    def ban(self, now: int, seconds: int) -> None:
        """Ban now."""
        self._banned_until = now + seconds * 1_000
