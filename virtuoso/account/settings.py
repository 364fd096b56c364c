"""How much an account may hold and how much it may lose."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from virtuoso.settings import RoomSettings


class TradingSettings(RoomSettings):
    """How large positions are."""

    max_positions: int = Field(10, ge=1, description="Positions open at the same time, at most.")
    base_position_size: float = Field(
        0.01, gt=0, le=1, description="Share of equity that a position risks down to its stop."
    )
    size_by: Literal["risk", "volatility"] = Field(
        "risk",
        description="Whether a position of the rule is sized by what it risks down to its stop, or by how much its "
        "market moves.",
    )
    target_volatility: float = Field(
        0.01,
        gt=0,
        le=0.5,
        description="Standard deviation of a position's day, as a share of equity, where size goes by volatility.",
    )
    max_leverage: float = Field(3.0, ge=1, le=125, description="Notional of all positions over equity, at most.")


class RiskSettings(RoomSettings):
    """Where trading stops."""

    max_drawdown: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="Fall of equity from its peak, as a share, at which trading halts and stays halted; research "
        "reports it, unless `--halt`.",
    )
    position_heat: float = Field(
        0.25, gt=0, le=1, description="Share of equity at risk in all open positions together, at most."
    )
    correlation_limit: float = Field(
        0.7, gt=0, le=1, description="Correlation with an open position above which no further one is opened."
    )
