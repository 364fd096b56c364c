"""What the caller says about files that are imported; decoders and checks read it, nobody copies it."""

from __future__ import annotations

from dataclasses import dataclass

from virtuoso.clock import Timeframe
from virtuoso.venues.files.timestamps import TimeUnit

AUTO = "auto"
MAX_BAD_SHARE = 0.001
"""Largest share of bad rows in a batch that is stored (reliability B3)."""
MAX_REVISED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the caller says about files, and how strictly their rows are checked.

    Attributes
    ----------
    venue : str
        Such as 'binance-spot'; empty where nobody says it.
    symbol : str or None
        Of the rows; of a file with several symbols, only this one is taken.
    kind : str
        'auto' finds out what a file holds; 'bars' or a name of market/schema/kinds.py takes that alone.
    timeframe : Timeframe or None
        Of bars.
    time_unit : str
        Of numeric times; 'auto' decides from their size.
    time_zone : str or None
        Of times that carry none.
    time_format : str or None
        Of times as text, in the codes of `strftime`.
    columns : tuple of (str, str)
        Our name of a column of bars, and the file's.
    no_volume : bool
        Bars are stored without volume.
    max_bad_share, max_revised_share : float
        Largest share of rows that may be rejected, and of stored rows that may be contradicted.
    prefer : bool
        Whether the files are right where they contradict others, whatever is imported later.
    """

    venue: str = ""
    symbol: str | None = None
    kind: str = AUTO
    timeframe: Timeframe | None = None
    time_unit: TimeUnit = "auto"
    time_zone: str | None = None
    time_format: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    no_volume: bool = False
    max_bad_share: float = MAX_BAD_SHARE
    max_revised_share: float = MAX_REVISED_SHARE
    prefer: bool = False


DEFAULTS = ImportOptions()
