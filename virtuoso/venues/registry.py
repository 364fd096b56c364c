"""The decoders of files: which there are, and which of them reads a file.

The first decoder that recognises a file by its name and its first bytes reads it. To read a new shape of file, write a
module with `recognises(head)` and a reader, and add a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from virtuoso.errors import UnknownContentError
from virtuoso.venues.files import bars, books, derivatives, funding, liquidations, trades
from virtuoso.venues.files.bars import BARS, RawBars
from virtuoso.venues.files.file_io import Head, head_of
from virtuoso.venues.files.options import AUTO, ImportOptions
from virtuoso.venues.raw_events import RawEvents
from virtuoso.venues.rest import payloads
from virtuoso.venues.streams import binance


class Read(Protocol):
    """Reads the rows of a file, one entry for each kind and symbol; bars are one entry for the whole file."""

    def __call__(self, path: Path, options: ImportOptions, *, now_ms: int) -> Sequence[RawBars | RawEvents]:
        """Read a file as far as the options want it; `now_ms` bounds which times are plausible."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """A reader of files.

    Attributes
    ----------
    kinds : tuple of str
        What its files may hold: 'bars', or names of market/schema/kinds.py.
    recognises : callable
        Whether it can read a file, from its beginning.
    read : callable
        The rows of a file.
    """

    kinds: tuple[str, ...]
    recognises: Callable[[Head], bool]
    read: Read


DECODERS = (
    Decoder(("depth", "ticker", "trades", "liquidations", "prices"), binance.recognises, binance.read_recording),
    Decoder(("depth", "ticker"), books.recognises, books.read_books),
    Decoder(("liquidations",), liquidations.recognises, liquidations.read_liquidations),
    Decoder(("trades",), trades.recognises, trades.read_trades),
    Decoder(tuple(payloads.COLUMNS), payloads.recognises, payloads.read_payloads),
    Decoder(("open_interest", "ratios", "bands", "prices"), derivatives.recognises, derivatives.read_derivatives),
    Decoder(("funding",), funding.recognises, funding.read_funding),
    Decoder((BARS,), bars.recognises, bars.read_bars),
)
"""In the order in which they are asked; bars come last, since their decoder takes every table that no other takes."""


def decode(path: Path, options: ImportOptions, now_ms: int) -> list[RawBars | RawEvents]:
    """Read a file with the first decoder that recognises it and finds what is wanted.

    Raises
    ------
    UnknownContentError
        No decoder does.
    DataError
        The file is damaged, or something would have to be guessed.
    """
    head = head_of(path)
    for decoder in DECODERS:
        if options.kind in (AUTO, *decoder.kinds) and decoder.recognises(head):
            found = [raw for raw in decoder.read(path, options, now_ms=now_ms) if options.kind in (AUTO, raw.kind)]
            if found:
                return found
    raise UnknownContentError(f"{path.name} holds no {options.kind} in a shape that is known.")
