"""The decoders of files: which there are, and which of them reads a file.

The first decoder that recognises a file by its name and its first bytes reads it. To read a new shape of file, write a
module with `recognises(head)` and a reader, and add a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from virtuoso.errors import UnknownContentError, UnreadableFileError
from virtuoso.venues.files import bars, books, derivatives, funding, liquidations, trades
from virtuoso.venues.files.bars import BARS, RawBars
from virtuoso.venues.files.file_io import Head, check_regular, checked_digest, decoding, head_of
from virtuoso.venues.files.options import AUTO, ImportOptions
from virtuoso.venues.raw_events import RawEvents
from virtuoso.venues.rest import payloads
from virtuoso.venues.streams import binance


class Read(Protocol):
    """Reads the rows of a file part by part: of each an entry for each kind and symbol, of bars one for all."""

    def __call__(self, path: Path, options: ImportOptions, *, now_ms: int) -> Iterator[RawBars | RawEvents]:
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


def decode(
    path: Path, options: ImportOptions, now_ms: int, seen: Callable[[RawBars | RawEvents], None] | None = None
) -> Iterator[RawBars | RawEvents]:
    """Read a file, part by part, with the first decoder that recognises it and finds what is wanted.

    Parameters
    ----------
    path : Path
    options : ImportOptions
    now_ms : int, ms
    seen : callable, optional
        Called with all that is read, before it is given or, being of another kind than the wanted one, is not.

    Yields
    ------
    RawBars or RawEvents

    Raises
    ------
    UnknownContentError
        No decoder does.
    DataError
        The file is damaged, changes while it is read, or something would have to be guessed.
    """
    stamp = check_regular(path)
    head = _head_of(path)
    found = False
    with decoding(path):
        for decoder in DECODERS:
            if found or options.kind not in (AUTO, *decoder.kinds) or not decoder.recognises(head):
                continue
            try:
                for raw in decoder.read(path, options, now_ms=now_ms):
                    if seen is not None:
                        seen(raw)
                    if options.kind in (AUTO, raw.kind):
                        found = True
                        yield raw
            except UnknownContentError as error:
                raise UnknownContentError(f"{error}{_holds(head, options)}") from None
    if not found:
        raise UnknownContentError(
            f"{path.name} holds no {options.kind} in a shape that is known.{_holds(head, options)}"
        )
    if check_regular(path) != stamp:
        raise UnreadableFileError(f"{path} changed while it was read. Import it again when nobody writes to it.")


def _holds(head: Head, options: ImportOptions) -> str:
    """Say what a file seems to hold that is not wanted."""
    if options.kind == AUTO:
        return ""
    others = [decoder.kinds[0] for decoder in DECODERS[:-1] if decoder.recognises(head)]
    if bars.names_prices(head):
        others.append(BARS)
    others = [kind for kind in others if kind != options.kind]
    return f" It seems to hold {others[0]}: pass --kind {others[0]}, or leave it out." if others else ""


def _head_of(path: Path) -> Head:
    """Return the beginning of a file; of one that is damaged say first whether it differs from its checksum."""
    try:
        return head_of(path)
    except UnreadableFileError:
        checked_digest(path)
        raise
