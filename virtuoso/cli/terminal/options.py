"""The options that mean the same everywhere, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from virtuoso.cli.terminal import complete

OUT_FOLDER = "Write into this folder."
RUN = "A run folder, its name or the beginning of it, or last: the newest."

Symbol = Annotated[
    str, typer.Argument(metavar="SYMBOL", help="Such as BTCUSDT or BTC/USDT:USDT.", autocompletion=complete.symbols)
]
Symbols = Annotated[
    list[str],
    typer.Argument(
        metavar="SYMBOL...",
        help="One or many, such as BTCUSDT ETHUSDT; one wallet for all.",
        autocompletion=complete.symbols,
    ),
]
Timeframe = Annotated[
    str | None,
    typer.Option(
        "-i",
        "--timeframe",
        metavar="TF",
        help="Base timeframe; the finest stored if absent.",
        autocompletion=complete.timeframes,
    ),
]
Timerange = Annotated[
    str | None,
    typer.Option("--timerange", metavar="FROM-TO", help="Such as 20250704-20251031, UTC, the end excluded."),
]
Venue = Annotated[
    str | None,
    typer.Option(
        "--venue", metavar="VENUE", help="Such as binance-usdm, where several have it.", autocompletion=complete.venues
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything that is drawn.")]

Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data root; else VIRTUOSO_DATA, configuration, data/.")
]
Config = Annotated[
    list[Path] | None, typer.Option("-c", "--config", metavar="FILE", help="YAML settings; repeatable, later wins.")
]
Profile = Annotated[
    str | None,
    typer.Option(
        "-p",
        "--profile",
        metavar="NAME",
        help="Settings of configs/profiles/NAME.yaml.",
        autocompletion=complete.profiles,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting, such as signals.bull_enter=60; repeatable.",
        autocompletion=complete.settings,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else there.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, no notes, no next command.")]
Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        show_default=False,
        help="All of the answer instead of one screen, and a log on stderr; -vv logs more.",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Tracebacks instead of two-line errors.")]


def _share(help_text: str) -> Any:
    return typer.Option(metavar="SHARE", help=help_text)


# of `data import`
Kind = Annotated[str, typer.Option("--kind", metavar="KIND", help="bars, trades, depth, funding ...; auto finds out.")]
SymbolOfFiles = Annotated[str | None, typer.Option("--symbol", metavar="SYMBOL", help="Where files do not say it.")]
VenueOfFiles = Annotated[
    str | None, typer.Option("--venue", metavar="VENUE", help="Such as binance-usdm; files do not say it.")
]
TimeframeOfFiles = Annotated[
    str | None, typer.Option("-i", "--timeframe", metavar="TF", help="Where files do not say it.")
]
MarketOfFiles = Annotated[
    str | None, typer.Option("--market", metavar="MARKET", help="spot or linear, once, where --venue does not say it.")
]
TimeUnit = Annotated[str, typer.Option(metavar="UNIT", help="s, ms, us or ns; auto decides by their size.")]
TimeFormat = Annotated[
    str | None, typer.Option(metavar="FORMAT", help='Of times that are not ISO 8601, such as "%d.%m.%Y %H:%M".')
]
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=COLUMN,...", help='Of bars, such as time=unix,volume="Volume BTC"; repeatable.'),
]
NoVolume = Annotated[bool, typer.Option("--no-volume", help="Store prices of bars alone; volume is then not known.")]
TimeZone = Annotated[str | None, typer.Option(metavar="ZONE", help="Of times without one, such as Europe/Berlin.")]
MaxBadShare = Annotated[float | None, _share("Of rows that may be refused.")]
MaxRevisedShare = Annotated[float | None, _share("Of stored rows that may be contradicted.")]
Prefer = Annotated[
    bool, typer.Option("--prefer", help="These files are right where others contradict them, now and later.")
]

# of `backtest`
Fees = Annotated[float | None, _share("Of the notional of each fill, maker and taker alike.")]
Maker = Annotated[float | None, _share("Fee of limits and targets, such as 0.0002.")]
Taker = Annotated[float | None, _share("Fee of market fills and stops, such as 0.0005.")]
Slippage = Annotated[float | None, _share("Of the price of each market fill, such as 0.0002.")]
Risk = Annotated[float | None, _share("Of the equity, lost at the stop.")]
Cash = Annotated[float | None, typer.Option(metavar="AMOUNT", help="Equity at the start, quote currency.")]
Leverage = Annotated[float | None, typer.Option(metavar="X", help="At which perpetuals are opened.")]
Margin = Annotated[str | None, typer.Option(metavar="MODE", help="isolated or cross; isolated if absent.")]
Mark = Annotated[str | None, typer.Option(metavar="last", help="The last price where the mark price is not known.")]
AssumeFunding = Annotated[
    float | None, typer.Option(metavar="RATE", help="Per eight hours, where funding is not known.")
]
Trail = Annotated[float | None, typer.Option(metavar="R", help="Distance at which stops trail the best price.")]
Strategy = Annotated[
    str | None,
    typer.Option("--strategy", metavar="MODULE:CLASS", help="A vt.Strategy of yours, such as my_module:EmaCross."),
]
Param = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="One parameter of the strategy, such as fast=5; repeatable."),
]
Halt = Annotated[
    bool, typer.Option("--halt", help="Stop entering once equity has fallen by risk.max_drawdown; else it is reported.")
]
ResetHalt = Annotated[
    int | None, typer.Option(metavar="DAYS", min=0, help="With --halt: lift it after so many; 0 never.")
]
Intrabar = Annotated[
    str | None,
    typer.Option(metavar="TF", help="Finer bars that resolve the intrabar path, or none; what is stored if absent."),
]
NoRecord = Annotated[
    bool, typer.Option("--no-record", help="Do not count this run as a try; it can then never get the verdict ship.")
]
NoReport = Annotated[
    bool, typer.Option("--no-report", help="Write no page now; `virtuoso report last` writes it at any later time.")
]
Jobs = Annotated[int | None, typer.Option("-j", "--jobs", metavar="N", help="Tasks at once; every core if absent.")]
Executor = Annotated[
    str | None,
    typer.Option("--executor", metavar="WHERE", help="threads, processes, dask://HOST:PORT or tls://HOST:PORT."),
]
Track = Annotated[
    bool,
    typer.Option("--track", help="Write the run to MLflow too: `tracking.uri`, a file of this project by default."),
]
Explained = Annotated[
    str | None, typer.Option(metavar="WHY", help="Why a result that no market pays is right; kept with the run.")
]
Bounds = Annotated[bool, typer.Option("--bounds", help="Show the figures under optimistic fills beside it.")]
CrossCheck = Annotated[
    bool, typer.Option("--crosscheck", help="Trade the same through vectorbt too, and list the trades that differ.")
]
Fills = Annotated[
    str, typer.Option(metavar="ENGINE", help="contract, or vectorbt to cross-check one symbol without funding.")
]
