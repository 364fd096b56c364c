"""Where things are: settings, the lake, and the folders of what is derived from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from virtuoso.config import Settings
from virtuoso.lake.lake import Lake

if TYPE_CHECKING:
    from virtuoso.market.frame import MarketFrame

NAME_DIGITS = 10
"""Of the digest in the name of what is written: enough to tell runs apart, short enough to be said."""


def settings_of(settings: Settings | None) -> Settings:
    """Those that are given; as files and environment say if absent."""
    return settings if settings is not None else Settings.load()


def data_root(data: str | Path | None, settings: Settings | None) -> Path:
    """The folder of all data: the one that is given, else that of the configuration."""
    if data is not None:
        return Path(data)
    return settings_of(settings).data.root


def lake(data: str | Path | None = None, settings: Settings | None = None) -> Lake:
    """Open the lake under a data root (`data/` or what configuration says)."""
    return Lake(data_root(data, settings) / "lake")


def block_cache(data: str | Path | None = None, settings: Settings | None = None) -> Path:
    """Folder of the score cache under a data root; deleting it loses nothing."""
    return data_root(data, settings) / "scores" / "blocks"


def scores_file(frame: MarketFrame, data: str | Path | None = None, settings: Settings | None = None) -> Path:
    """Where scores are written if nobody says otherwise: `scores/{venue}_{symbol}_{timeframe}.parquet`."""
    name = f"{frame.instrument.venue}_{frame.instrument.symbol}_{frame.timeframe}.parquet"
    return data_root(data, settings) / "scores" / name
