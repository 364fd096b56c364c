"""When a score becomes a signal, for how long it is one, and where its entry, stop and targets lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from virtuoso.clock import Span, Timeframe
from virtuoso.errors import ConfigError
from virtuoso.prism.words import REGIMES, RegimeName
from virtuoso.settings import Folder, RoomSettings, SpanSetting, sums_to_one
from virtuoso.signals.calibration import Calibration

Three = tuple[float, float, float]


class LevelSettings(RoomSettings):
    """Entry, stop and targets: drawn from confirmed structure and measured in ATR and R (entry to stop)."""

    timeframe: str = Field(
        "30m", description="Timeframe whose swings and ATR are used; the slowest of the ladder where it is not in it."
    )
    atr_period: int = Field(14, ge=2, le=500, description="Bars of that timeframe behind its ATR.")
    memory: int = Field(240, ge=20, le=2000, description="Bars of that timeframe for which a swing stays a level.")
    weakest: float = Field(0.5, gt=0, le=10, description="What a level must be worth, in clear and fresh swings.")
    apart: float = Field(0.5, ge=0, le=10, description="Levels nearer to each other than this many ATR are one.")
    walls: bool = Field(True, description="Whether lasting walls of the book are levels, where the book is known.")
    squeezes: bool = Field(
        False,
        description="Whether estimated squeeze points are levels, where open interest is known; some ms a decision.",
    )
    stop_buffer: float = Field(0.25, ge=0, le=5, description="Distance of the stop beyond the level, in ATR.")
    stop_min: float = Field(0.75, gt=0, le=20, description="Distance from entry to stop in ATR, at least.")
    stop_max: float = Field(3.0, gt=0, le=50, description="Distance from entry to stop in ATR, at most.")
    min_target_r: float = Field(1.0, gt=0, le=20, description="Distance of the first target in R, at least.")
    target_gap_r: float = Field(0.5, gt=0, le=20, description="Distance between two targets in R, at least.")
    target_r: Three = Field(
        (1.5, 2.5, 4.0), description="Where each target stands in R if no opposing level lies nearer."
    )
    target_sizes: Three = Field(
        (0.5, 0.3, 0.2), description="Share of the position taken off at each target; they sum to 1."
    )
    entry: Literal["market", "retest"] = Field(
        "market", description="At the next open, or with a limit at the nearest level on the way back."
    )
    retest_reach: float = Field(1.0, gt=0, le=10, description="Distance in ATR within which a level is waited for.")
    retest_expiry: SpanSetting = Field(Span("1h"), description="How long a limit entry waits before it lapses.")

    @field_validator("timeframe")
    @classmethod
    def _is_a_timeframe(cls, name: str) -> str:
        try:
            return Timeframe(name).name
        except ConfigError as refused:
            raise PydanticCustomError("timeframe", "{message}", {"message": str(refused).rstrip(".")}) from None

    @field_validator("target_sizes")
    @classmethod
    def _sizes_sum_to_one(cls, sizes: Three) -> Three:
        sums_to_one(sizes, "the sizes of the targets")
        if min(sizes) < 0:
            raise PydanticCustomError("sizes", "must not be negative")
        return sizes

    @model_validator(mode="after")
    def _targets_stand_in_order(self) -> LevelSettings:
        if self.stop_min > self.stop_max:
            raise PydanticCustomError(
                "stops",
                "needs stop_min <= stop_max, has {low}, {high}",
                {"low": f"{self.stop_min:g}", "high": f"{self.stop_max:g}"},
            )
        reached = self.min_target_r
        for k, r in enumerate(self.target_r, 1):
            if r < reached:
                raise PydanticCustomError(
                    "targets",
                    "places target{k} at {r} R, nearer than min_target_r and target_gap_r allow ({least} R)",
                    {"k": k, "r": f"{r:g}", "least": f"{reached:g}"},
                )
            reached = r + self.target_gap_r
        return self


class CostSettings(RoomSettings):
    """What a trade costs as a taker: beside it a signal says what moves were worth, and `min_edge` is measured in it.

    A backtest with `min_edge` takes those of its account instead.
    """

    taker: float = Field(0.0005, ge=0, lt=0.1, description="Fee of a fill, of its notional.")
    slippage: float = Field(
        0.0002, ge=0, lt=0.1, description="What a fill is worse than the price seen; half the recorded spread if more."
    )
    funding: float | None = Field(
        None,
        gt=-0.1,
        lt=0.1,
        description="Rate that longs pay per eight hours, where none is recorded. Not known if absent.",
    )


LEAST_EDGE = 2.0
"""Round trips that an expected move exceeds, at least: one pays for the trade, one for the error of the estimate."""


class SignalSettings(RoomSettings):
    """Thresholds of the rule with hysteresis, the coverage it asks for, and where signals are written."""

    bull_enter: float = Field(68.0, description="Confluence at or above which BULLISH begins.")
    bull_leave: float = Field(55.0, description="Confluence below which BULLISH ends.")
    bear_leave: float = Field(45.0, description="Confluence above which BEARISH ends.")
    bear_enter: float = Field(32.0, description="Confluence at or below which BEARISH begins.")
    min_coverage: float = Field(
        0.40, ge=0, le=1, description="Share of weight known, below which the signal is NEUTRAL."
    )
    max_age: SpanSetting = Field(Span("4h"), description="How long a signal lives; also the memory of the rule.")
    regimes: tuple[RegimeName, ...] = Field(
        REGIMES, min_length=1, description="Regimes in which positions are entered; elsewhere none is."
    )
    calibration: Calibration | None = Field(
        None, description="Calibration that makes reliability a percentage; a rank without one."
    )
    levels: LevelSettings = Field(default_factory=LevelSettings, description="Entry, stop and targets.")
    min_edge: float = Field(
        0.0,
        ge=0,
        description="Round trips that the net move expected of a hold exceeds where a position is entered, at least 2; "
        "0 enters by the thresholds.",
    )
    history: int = Field(
        500, ge=30, le=10_000, description="Holds that the history of scores reaches back, 150,000 bars at most."
    )
    costs: CostSettings = Field(default_factory=CostSettings, description="What a trade costs as a taker.")
    reports: Folder = Field(Path("reports"), description="Folder for the JSON, chart and PDF of signals.")

    @field_validator("min_edge")
    @classmethod
    def _edge_pays_for_more_than_the_trade(cls, k: float) -> float:
        if 0.0 < k < LEAST_EDGE:
            raise PydanticCustomError("min_edge", "must be 0 (off) or at least {least}", {"least": f"{LEAST_EDGE:g}"})
        return k

    @model_validator(mode="after")
    def _thresholds_do_not_cross(self) -> SignalSettings:
        bear_enter, bear_leave, bull_leave, bull_enter = (
            self.bear_enter,
            self.bear_leave,
            self.bull_leave,
            self.bull_enter,
        )
        if not 0 <= bear_enter < bear_leave <= 50 <= bull_leave < bull_enter <= 100:
            raise PydanticCustomError(
                "thresholds",
                "needs 0 <= bear_enter < bear_leave <= 50 <= bull_leave < bull_enter <= 100, "
                f"has {bear_enter:g}, {bear_leave:g}, {bull_leave:g}, {bull_enter:g}",
            )
        return self
