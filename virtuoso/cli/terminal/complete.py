"""What a shell completes: symbols, timeframes and venues that are stored, profiles, runs and settings.

Each function gets what was typed so far and gives the values that begin so. It reads the manifest or a folder and no
table; where something is wrong it gives nothing, since a shell can say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from virtuoso.config import Settings
    from virtuoso.lake.lake import Coverage

USUAL = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "1d")
"""Timeframes that are offered where nothing is stored."""


def symbols(ctx: typer.Context, incomplete: str) -> list[str]:
    """Symbols that are stored."""
    return _begin((series.symbol for series in _stored(ctx)), incomplete)


def venues(ctx: typer.Context, incomplete: str) -> list[str]:
    """Venues of what is stored."""
    return _begin((series.venue for series in _stored(ctx)), incomplete)


def timeframes(ctx: typer.Context, incomplete: str) -> list[str]:
    """The usual timeframes from the finest on that is stored, and what else is stored."""
    from virtuoso.clock import Timeframe

    stored = {series.timeframe for series in _stored(ctx)}
    finest = min((Timeframe(name).ms for name in stored), default=0)
    fits = {name for name in USUAL if Timeframe(name).ms >= finest}
    return _begin(sorted(stored | fits, key=lambda name: Timeframe(name).ms), incomplete)


def profiles(ctx: typer.Context, incomplete: str) -> list[str]:
    """Profiles of the project, and those that ship."""
    from virtuoso.config.sources import profiles_of

    return _begin(sorted(profiles_of(Path.cwd())), incomplete)


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """`last`, and the runs of the project."""
    from virtuoso.runs.catalog import LAST

    try:
        home = _settings(ctx).signals.reports / "runs"
        names = sorted(path.name for path in home.glob("[!.]*") if path.is_dir())
    except Exception:  # a shell can say nothing
        return []
    return _begin([LAST, *names], incomplete)


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """Settings that `--set` takes, with the equals sign."""
    from virtuoso.config import keys

    return _begin((f"{key.name}=" for key in keys() if "[]" not in key.name), incomplete)


def _begin(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _stored(ctx: typer.Context) -> list[Coverage]:
    from virtuoso.workflows import lake

    try:
        return lake(settings=_settings(ctx)).coverage()
    except Exception:  # a shell can say nothing
        return []


def _settings(ctx: typer.Context) -> Settings:
    """Settings of the call as far as it was typed: its data root, configuration and profile."""
    from virtuoso.config import Settings
    from virtuoso.config.sources import option_layers

    given: dict[str, Any] = ctx.params
    data, config = given.get("data"), given.get("config") or ()
    layers = option_layers((), Path(data) if data else None)
    return Settings.load(*config, profile=given.get("profile"), layers=layers)
