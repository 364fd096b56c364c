"""One request as a venue sees it, its parameters read strictly, and the ways to refuse it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from virtuoso.venues.wire.listing import Listing
from virtuoso.venues.wire.world import World

Json = dict[str, Any] | list[Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked.

    Attributes
    ----------
    world : World
    now : int, ms
        The venue's time when it came.
    method, host, path : str
    params : mapping of str to str
        Of the query, and of the body where there is one.
    query : str
        As it was sent, before decoding: signatures are made over it.
    body : str
    headers : mapping of str to str
    """

    world: World
    now: int
    method: str
    host: str
    path: str
    params: Mapping[str, str]
    query: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered.

    Attributes
    ----------
    body : bytes
    status : int
    headers : dict of str to str
    content_type : str
    """

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Refusal(Exception):
    """The venue says no, in its own protocol.

    Attributes
    ----------
    status : int
        Of HTTP.
    code : int
        Of the venue.
    message : str
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status, self.code, self.message = status, code, message


Route = Callable[[Request], Json]


class Params:
    """Reads parameters; each venue says with its own `refuse(name, reason)` what it answers to a bad one."""

    def __init__(self, request: Request, refuse: Callable[[str, str], Refusal]) -> None:
        self._request, self._refuse = request, refuse

    def text(self, name: str, default: str | None = None) -> str:
        """Give a text; without a default it must be there."""
        value = self._request.params.get(name) or default
        if value is None:
            raise self._refuse(name, "missing")
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """Give a whole number; without a default it must be there."""
        value = self._request.params.get(name)
        if not value:
            if default is None:
                raise self._refuse(name, "missing")
            return default
        try:
            return int(value)
        except ValueError:
            raise self._refuse(name, "invalid") from None

    def has(self, name: str) -> bool:
        """Say whether it was sent."""
        return bool(self._request.params.get(name))

    def limit(self, default: int, most: int, *, least: int = 1, clip: bool = False) -> int:
        """Give `limit`; above the most it is refused, or clipped where the venue does that."""
        limit = self.whole("limit", default)
        if clip:
            return min(max(limit, least), most)
        if not least <= limit <= most:
            raise self._refuse("limit", "invalid")
        return limit

    def listing(self) -> Listing:
        """Give the coin that `symbol` names."""
        found = self._request.world.listings.get(self.text("symbol"))
        if found is None:
            raise self._refuse("symbol", "unknown")
        return found

    def listings(self) -> list[Listing]:
        """Give the coin that `symbol` names, all where none is named."""
        return [self.listing()] if self.has("symbol") else list(self._request.world.listings.values())
