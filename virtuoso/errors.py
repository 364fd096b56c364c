"""What can go wrong, drawn as a tree; a test keeps the drawing true.

VirtuosoError
  ConfigError              a setting is unknown, impossible or missing
    SecretError            a secret is missing, exposed or of the wrong kind
  DataError                the market data cannot answer what was asked
    UnreadableFileError    a file is not what it should be
    AmbiguousError         Virtuoso would have to guess (symbol, unit, zone, venue)
    MissingColumnError     a component needs a column that the frame does not carry
    NoDataError            nothing is stored for what was asked
    NotLoadedError         it exists in the store but was not loaded
    StoreError             the lake itself
      CorruptFileError     bytes differ from their checksum
      ManifestError        no generation of the manifest can be read
      SchemaVersionError   written by a version this one cannot read
      LockedError          another process is writing
  DeclarationError         a component or feature is declared wrongly
    ParameterError         a parameter lies outside its range
  LawBrokenError           a component broke a law of the prism

Every message says what, where, which value, and the remedy. `exit_code` is what the command line returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class VirtuosoError(Exception):
    """Anything Virtuoso refuses to do, with the reason."""

    exit_code = 1


class ConfigError(VirtuosoError):
    """A setting is unknown, impossible or missing."""

    exit_code = 2


class SecretError(ConfigError):
    """A secret is missing, exposed or of the wrong kind."""


class DataError(VirtuosoError):
    """The market data cannot answer what was asked."""

    exit_code = 3


class UnreadableFileError(DataError):
    """A file is not what it should be."""


class AmbiguousError(DataError):
    """Virtuoso would have to guess."""


class MissingColumnError(DataError):
    """A component needs a column that the frame does not carry."""


class NoDataError(DataError):
    """Nothing is stored for what was asked."""


class NotLoadedError(DataError):
    """The bars exist but were not loaded; their absence must not look like a gap."""


class StoreError(DataError):
    """The lake itself."""


class CorruptFileError(StoreError):
    """The bytes of a stored file differ from their checksum."""


class ManifestError(StoreError):
    """No generation of the manifest can be read."""


class SchemaVersionError(StoreError):
    """The lake was written by a version that this one cannot read."""


class LockedError(StoreError):
    """Another process is writing to the lake."""


class DeclarationError(VirtuosoError):
    """A component or feature is declared wrongly."""

    exit_code = 2


class ParameterError(DeclarationError):
    """A parameter lies outside its range."""


class LawBrokenError(VirtuosoError):
    """A component broke a law of the prism."""

    exit_code = 4


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which known name is nearest, or list what there is.

    Examples
    --------
    >>> did_you_mean("closee", ["close", "open"])
    "Did you mean 'close'?"
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "None is known."


def check_room(what: str, written: int, room: int) -> None:
    """Refuse a table that overflowed: a kernel counts what does not fit into it, and does not write it.

    Raises
    ------
    DataError
        More was counted than there was room for.
    """
    if written > room:
        raise DataError(
            f"There was room for {room:,} {what}, and {written:,} came: the result would lack some and is not given. "
            "This is a fault of Virtuoso, report it with the command and its settings."
        )
