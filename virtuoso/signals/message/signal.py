"""The signal: the contract between Virtuoso and whoever consumes what it says.

1. A `Signal` is a frozen record that validates itself: no NaN, no infinity, nothing invented. What is not known is
   null, and why is said beside it (`reason` of a face or component, `unknown` for the rest).
2. `score` of a face is the sum of its components' impacts, `score` of the signal the sum of its faces' impacts.
3. Two views, `momentum` and `price_action`, stand beside the six faces with weight and impact 0.
4. The id follows from instrument, time, data, configuration and code: the same signal made twice is the same signal.

`schema()` is what docs/api/signal.schema.json holds.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from virtuoso.clock import iso
from virtuoso.errors import SchemaVersionError, UnreadableFileError
from virtuoso.prism.features.divergence import KINDS
from virtuoso.signals.message.provenance import Provenance

SCHEMA_VERSION: Literal["1.0"] = "1.0"
ID_DIGITS = 24

Number = float | None
FileKind = Literal["json", "pdf", "chart"]
DivergenceType = Literal[
    "none", "regular_bullish", "hidden_bullish", "regular_bearish", "hidden_bearish", "timeframe_bullish",
    "timeframe_bearish",
]  # fmt: skip
assert DivergenceType.__args__ == KINDS  # type: ignore[attr-defined]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _score(text: str) -> Any:
    return Field(ge=0, le=100, description=text)


class TimeframeScore(_Record):
    """A component on one timeframe, as the base timeframe sees it."""

    score: Number = _score("0 most bearish, 50 neutral, 100 most bullish; null where not known.")
    value: Number = Field(description="Raw value, in the component's own unit.")


class ComponentScore(_Record):
    """A component, its timeframes blended."""

    score: Number = _score("After divergence.")
    raw_score: Number = _score("Before divergence.")
    value: Number = Field(description="Raw value on the fastest timeframe on which it is known.")
    weight: float = Field(
        ge=-1, le=1, description="Effective weight within the face: of what is known; negative counts as 100 - score."
    )
    impact: Number = Field(description="Size of the weight times what counts; impacts sum to the face's score.")
    divergence_bonus: float = Field(ge=-10, le=10, description="Points that divergence adds.")
    divergence_type: DivergenceType = Field(description="Kind of the divergence that adds most.")
    interpretation: str = Field(description="One sentence, from the raw value.")
    reason: str = Field("", description="Why it is not known; empty where it is.")
    timeframes: dict[str, TimeframeScore] = Field(description="The component on each timeframe of the ladder.")


class FaceScore(_Record):
    """A face of the prism, or a view of some of its components."""

    score: Number = _score("After divergence.")
    impact: Number = Field(description="Size of the weight times what counts; impacts sum to the signal's score.")
    weight: float = Field(
        ge=-1, le=1, description="Effective weight in the confluence: of what is known; negative counts as 100 - score."
    )
    interpretation: str = Field(description="One sentence.")
    reason: str = Field("", description="Why it is not known; empty where it is.")
    components: dict[str, ComponentScore] = Field(description="Its components by name; empty for a view.")


def _no_files() -> dict[FileKind, str | None]:
    return {"json": None, "pdf": None, "chart": None}


class Target(_Record):
    """Where a part of the position is taken off."""

    price: float = Field(gt=0, description="In quote currency.")
    size: float = Field(ge=0, le=1, description="Share of the position; the sizes of a signal sum to 1.")


class ScoreHistory(_Record):
    """What prices did after scores like this one, as it was known when the signal was made."""

    text: str = Field(description="All of it in one line.")
    horizon: str = Field(description="How long what followed was held: the hold of the weights, else a signal's age.")
    score_from: Number = _score("Lowest score that is like this one; null where the score is not known.")
    score_to: Number = _score("Below which they lie.")
    bars: int = Field(ge=0, description="Bars with such scores whose hold had ended.")
    windows: int = Field(ge=0, description="Holds among them that do not overlap.")
    mean_bp: Number = Field(description="Mean move, bp; null with too few of them.")
    low_bp: Number = Field(description="95 % interval of the mean, by blocks of time.")
    high_bp: Number = Field(description="95 % interval of the mean, by blocks of time.")
    up: Number = Field(ge=0, le=1, description="Share of them after which the price stood higher.")
    cost_bp: float = Field(ge=0, description="A round trip as a taker, bp.")
    funding_bp: Number = Field(description="What a long pays over the hold, bp; null where it is not known.")


class Signal(_Record):
    """What Virtuoso says of one instrument at the close of one bar, and why."""

    schema_version: Literal["1.0"] = Field(SCHEMA_VERSION, description="Version of this schema.")
    id: str = Field(pattern=r"^[0-9a-f]{24}$", description="Digest of instrument, time, data, configuration and code.")
    status: Literal["active", "lapsed"] = Field("active", description="Active until `expires_at`.")
    expires_at: int = Field(description="When it lapses, ms UTC.")
    reliability_basis: Literal["heuristic", "calibrated"] = Field(
        "heuristic", description="Whether reliability has been calibrated against outcomes."
    )
    simulated: bool = Field(description="Whether the market was made by the simulator.")
    symbol: str = Field(pattern=r"^[A-Z0-9]{2,30}$", description="Compact, such as BTCUSDT.")
    venue: str = Field(description="Where it is traded, market included, such as binance-usdm.")
    timeframe: str = Field(description="The base timeframe.")
    signal: Literal["BULLISH", "BEARISH", "NEUTRAL"] = Field(description="State of the rule.")
    reason: str = Field(description="Why the rule is in this state.")
    score: Number = _score("Confluence: weighted mean of the known faces.")
    reliability: Number = Field(ge=0, le=1, description="0..1, see `reliability_basis`.")
    coverage: float = Field(ge=0, le=1, description="Share of the weight that is known.")
    agreement: Number = Field(ge=0, le=1, description="1 minus the weighted dispersion of the faces.")
    effective_inputs: Number = Field(ge=0, description="Independent inputs that the component scores carry.")
    price: Number = Field(gt=0, description="Close of the bar, quote currency.")
    timestamp: int = Field(description="Close time of the bar, ms UTC.")
    components: dict[str, FaceScore] = Field(description="The six faces, and the views `momentum` and `price_action`.")
    entry_price: Number = Field(gt=0, description="Limit price, or for a market entry the close it was decided at.")
    entry_type: Literal["market", "retest"] | None = Field(description="At the next open, or with a limit.")
    entry_expires_at: int | None = Field(description="When an unfilled limit lapses, ms UTC.")
    stop_loss: Number = Field(gt=0, description="Price that proves the idea wrong.")
    targets: dict[Literal["target1", "target2", "target3"], Target] = Field(
        description="Empty where there is no entry."
    )
    history: ScoreHistory | None = Field(
        None, description="What followed scores like this one; null in signals of an earlier version."
    )
    weights: str = Field("", description="Which weights are in force, and what they have shown.")
    insights: list[str] = Field(description="What the faces say when they are read together.")
    actionable_insights: list[str] = Field(description="Bias, risk, key levels, timing, strategy.")
    unknown: dict[str, str] = Field(description="Why each of the fields above is null.")
    provenance: Provenance = Field(description="From which data, configuration and code it was made.")
    file_references: dict[FileKind, str | None] = Field(
        default_factory=_no_files,
        description="Paths of its files; null for one that is not written.",
    )

    def __repr__(self) -> str:
        score = "not known" if self.score is None else f"{self.score:.1f}"
        return f"<Signal {self.signal} {self.symbol} {self.venue} {self.timeframe} {iso(self.timestamp)} score {score}>"

    def at(self, now_ms: int) -> Signal:
        """The signal as it stands at a moment: lapsed from `expires_at` on."""
        return self.model_copy(update={"status": "active" if now_ms < self.expires_at else "lapsed"})

    def to_json(self) -> str:
        """Write it as JSON: valid always, UTF-8, with a line end."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "the text") -> Signal:
        """Read a signal.

        Parameters
        ----------
        text : str or bytes
        where : str
            What it was read from, for the message.

        Raises
        ------
        SchemaVersionError
            Written by a version that this one cannot read.
        UnreadableFileError
            Not a signal.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as refused:
            first = refused.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the whole"
            if first["loc"] == ("schema_version",):
                raise SchemaVersionError(
                    f"{where} has schema_version {first['input']!r}, this Virtuoso reads {SCHEMA_VERSION!r}. Update it."
                ) from None
            raise UnreadableFileError(
                f"{where} is not a signal: {place}: {first['msg']}. Move it out of the reports folder."
            ) from None


def signal_id(venue: str, symbol: str, timeframe: str, timestamp: int, source: Provenance) -> str:
    """Return the id of a signal: 24 hexadecimal digits."""
    text = "|".join((venue, symbol, timeframe, str(timestamp), source.data, source.config, source.code))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def schema() -> dict[str, Any]:
    """JSON schema of a signal, as docs/api/signal.schema.json holds it."""
    made: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return made | Signal.model_json_schema(mode="serialization")
