"""What goes wrong, by a file and a seed: the same scenario meets the same requests in the same way.

| kind | what a client sees |
|---|---|
| error | the status, code and message that are given |
| rate_limited | 429 (Binance) or code 10006 (Bybit), with Retry-After |
| banned | 418 (Binance) or 403 (Bybit) until the ban is over |
| server_error | a page of HTML with status 502, or the one that is given |
| maintenance | 503 with the venue's own words |
| html, empty, malformed | status 200 with a page, with nothing, with JSON that ends too early |
| truncated | fewer bytes than the header promised, then the connection is closed |
| disconnect, hang | no answer: closed at once, or never |
| stale | answers of `ms` ago |
| skew | a server clock that is `ms` ahead, or behind where it is negative |
| holes | bars are missing: the share `part` of them, the same ones each time |
| silence | a stream says nothing for `ms`, and its connection stays alive |
| gap | a message of a stream is lost |
| bad_frame | a message of a stream ends too early |
| close | the websocket is closed |
| no_pong | pings are not answered |
| missing_file, bad_zip, bad_checksum | of the archive host |
"""

from __future__ import annotations

import zlib
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from virtuoso.clock import parse_time
from virtuoso.errors import ConfigError

REST = (
    "error", "rate_limited", "banned", "server_error", "maintenance", "html", "empty", "malformed", "truncated",
    "disconnect", "hang", "stale", "skew", "holes",
)  # fmt: skip
STREAM = ("silence", "gap", "bad_frame", "close", "no_pong")
ARCHIVE = ("missing_file", "bad_zip", "bad_checksum")
Kind = Literal[
    "error", "rate_limited", "banned", "server_error", "maintenance", "html", "empty", "malformed", "truncated",
    "disconnect", "hang", "stale", "skew", "holes", "silence", "gap", "bad_frame", "close", "no_pong",
    "missing_file", "bad_zip", "bad_checksum",
]  # fmt: skip


class Fault(BaseModel):
    """One thing that goes wrong.

    Attributes
    ----------
    kind : str
        As the table above.
    venue : {"binance", "bybit", "archive"}, optional
        Only there.
    match : str
        Path of the request, or name of the stream, with `*`.
    share : float
        Share of the requests or messages that it meets.
    times : int, optional
        How often at most.
    since, until : int or str, optional
        Venue time, ms or text.
    status, code, message
        Of `error`; the status also of `server_error`.
    retry_after : int, seconds
        Of `rate_limited` and `banned`.
    ms : int
        Of `stale`, `skew` and `silence`.
    part : float
        Of `holes`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    venue: Literal["binance", "bybit", "archive"] | None = None
    match: str = "*"
    share: float = Field(1.0, ge=0.0, le=1.0)
    times: int | None = Field(None, ge=1)
    since: int | None = None
    until: int | None = None
    status: int = Field(0, ge=0, le=599)
    code: int = 0
    message: str = ""
    retry_after: int = Field(1, ge=0)
    ms: int = 60_000
    part: float = Field(0.1, ge=0.0, le=1.0)

    @field_validator("since", "until", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        return parse_time(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_a_code(self) -> Self:
        if self.kind == "error" and not (self.status and self.code):
            raise ValueError("a fault of the kind error needs status and code, such as status: 400, code: -1121")
        return self


class Scenario(BaseModel):
    """What goes wrong in a run of the venue.

    Attributes
    ----------
    seed : int
        Of every draw.
    latency_ms : pair of float
        Bounds of the time before an answer.
    faults : list of Fault
    weight_per_minute, requests_per_5s : int
        Budgets of Binance and of Bybit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    latency_ms: tuple[float, float] = (0.0, 0.0)
    faults: tuple[Fault, ...] = ()
    weight_per_minute: int = Field(2_400, ge=1)
    requests_per_5s: int = Field(600, ge=1)

    @field_validator("latency_ms")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.0 <= value[0] <= value[1]:
            raise ValueError("latency_ms is the least and the most, such as [40, 150]")
        return value

    @classmethod
    def read(cls, given: Any, origin: str = "the scenario") -> Scenario:
        """Read what a YAML or JSON document holds.

        Raises
        ------
        ConfigError
            With the key and the value that are wrong.
        """
        try:
            return cls.model_validate(given or {})
        except ValidationError as fault:
            first = fault.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise ConfigError(
                f"In {origin}, {where}: {first['msg']}, was {first.get('input')!r}. "
                "docs/guides/venue.md lists the keys."
            ) from None

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Read a YAML file."""
        try:
            given = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
            raise ConfigError(f"The scenario {path} cannot be read: {fault}") from None
        if given is not None and not isinstance(given, dict):
            raise ConfigError(f"The scenario {path} is not a table of keys, it is a {type(given).__name__}.")
        return cls.read(given, str(path))


class Faults:
    """Says what goes wrong now. The draw for a request depends on the seed, on what was asked and how often."""

    scenario: Scenario

    def __init__(self, scenario: Scenario) -> None:
        self.replace(scenario)

    def add(self, fault: Fault) -> None:
        """Let one more thing go wrong from now on."""
        self.scenario = self.scenario.model_copy(update={"faults": (*self.scenario.faults, fault)})

    def replace(self, scenario: Scenario) -> None:
        """Begin another scenario."""
        self.scenario = scenario
        self.met: Counter[int] = Counter()
        self._asked: Counter[str] = Counter()

    def latency(self, what: str) -> float:
        """Draw the seconds before an answer."""
        low, high = self.scenario.latency_ms
        return (low + (high - low) * self._draw("latency", what, self._count(f"latency {what}"))) / 1_000.0

    def meet(self, kinds: tuple[str, ...], venue: str, what: str, now: int) -> Fault | None:
        """Give the first fault of these kinds that meets a request or a message."""
        for number, fault in enumerate(self.scenario.faults):
            if fault.kind in kinds and self._applies(number, fault, venue, what, now):
                self.met[number] += 1
                return fault
        return None

    def hole(self, fault: Fault, symbol: str, open_time: int) -> bool:
        """Say whether a bar is one of those that are missing: always the same ones."""
        return self._draw("hole", symbol, open_time) < fault.part

    def _applies(self, number: int, fault: Fault, venue: str, what: str, now: int) -> bool:
        if (fault.venue or venue) != venue or not fnmatchcase(what, fault.match):
            return False
        if not (fault.since or 0) <= now < (fault.until or 2**62):
            return False
        if fault.times is not None and self.met[number] >= fault.times:
            return False
        if fault.share >= 1.0:
            return True
        # A file that is bad stays bad; a request that fails may be answered the next time.
        count = 0 if fault.kind in ARCHIVE else self._count(f"{number} {what}")
        return self._draw(f"fault {number}", what, count) < fault.share

    def _count(self, what: str) -> int:
        self._asked[what] += 1
        return self._asked[what]

    def _draw(self, purpose: str, what: str, count: int) -> float:
        """Draw from [0, 1): a hash, so that requests at the same time do not take each other's draws."""
        mixed = zlib.crc32(f"{self.scenario.seed}|{purpose}|{what}|{count}".encode())
        mixed = (mixed ^ (mixed >> 16)) * 0x7FEB352D & 0xFFFFFFFF  # crc32 alone is linear: neighbours would be alike
        mixed = (mixed ^ (mixed >> 15)) * 0x846CA68B & 0xFFFFFFFF
        return (mixed ^ (mixed >> 16)) / 2**32
