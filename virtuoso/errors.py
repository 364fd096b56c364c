"""What can go wrong, drawn as a tree; a test keeps the drawing true.

VirtuosoError
  ConfigError              a setting is unknown, impossible or missing
    SecretError            a secret is missing, exposed or of the wrong kind
  DataError                the market data cannot answer what was asked
    UnreadableFileError    a file is not what it should be
      UnknownContentError  it holds something that no decoder knows
    AmbiguousError         Virtuoso would have to guess (symbol, unit, zone, venue)
    MissingColumnError     a component or a subscript names a column that there is not
    NoDataError            nothing is stored for what was asked
    NotLoadedError         it exists in the store but was not loaded
    SealedError            a study has sealed that stretch of history as its hold-out
      BrokenChainError     the ledger of hold-outs is not what was written, so nothing is read
    StoreError             the lake itself
      CorruptFileError     bytes differ from their checksum
      ManifestError        no generation of the manifest can be read
      SchemaVersionError   written by a version this one cannot read
      LockedError          another process is writing
  DeclarationError         a component or feature is declared wrongly
    ParameterError         a parameter lies outside its range
    PrivateCodeError       the code of a private component cannot be imported, or ends the program
  LawBrokenError           a component broke a law of the prism
  RefusedError             the gate of promotion refused what was found
  TaskError                a task of an executor failed, or lost its worker too often

Every message says what, where, which value, and the remedy. `exit_code` is what the command line returns.
Values in it come from files and may be anything: `printable` keeps messages short and harmless to a terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from traceback import extract_tb

LONGEST_MESSAGE = 4_000
"""Characters of a message that are kept, the first and the last ones: what is wrong stands first, the remedy last."""
LONGEST_NAME = 100
"""Characters above which a name is no misspelling of anything; comparing takes time that grows with its square."""
LONGEST_SAID = 500
"""Characters that are kept of what somebody else's error says."""
_CONTROL = {*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")}
_DIRECTION = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # they reorder what is read
_SEPARATORS = {0x2028, 0x2029}
_ESCAPED = {c: ascii(chr(c))[1:-1] for c in _CONTROL | _DIRECTION | _SEPARATORS}


def printable(text: str, longest: int = LONGEST_MESSAGE) -> str:
    r"""Make a text fit for a terminal: control characters are written out, and of a long one the middle is left out.

    Examples
    --------
    >>> print(printable("\x1b[31mred"))
    \x1b[31mred
    """
    if len(text) > longest:
        left_out = len(text) - longest
        text = f"{text[: longest * 3 // 4]} ... ({left_out:,} characters left out) ... {text[-(longest // 4) :]}"
    return text.translate(_ESCAPED)


def failure(fault: BaseException, file: str | None = None) -> str:
    """Say where code failed and how: `in ema.py, line 7: NameError: name 'pd' is not defined`.

    Of a syntax error the place is that of the text that cannot be read, else that of the innermost call, or of the
    innermost one in a file that is named: what a library raises is met in the line that called it.
    """
    if isinstance(fault, SyntaxError) and fault.filename:
        return f"in {fault.filename}, line {fault.lineno}: {type(fault).__name__}: {fault.msg}"
    said = f"{type(fault).__name__}: {printable(str(fault), LONGEST_SAID)}".removesuffix(": ")
    calls = extract_tb(fault.__traceback__)
    calls = [call for call in calls if call.filename == file] or calls  # type: ignore[assignment]
    return f"in {calls[-1].filename}, line {calls[-1].lineno}: {said}" if calls else said


class VirtuosoError(Exception):
    """Anything Virtuoso refuses to do, with the reason."""

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


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


class UnknownContentError(UnreadableFileError):
    """A file holds something that no decoder knows; an import skips it."""


class AmbiguousError(DataError):
    """Virtuoso would have to guess."""


class MissingColumnError(DataError, KeyError):
    """A component needs a column that the frame does not carry, or a subscript names none; a `KeyError` as well."""

    __str__ = Exception.__str__  # a KeyError would show its message in quotes


class NoDataError(DataError):
    """Nothing is stored for what was asked."""


class NotLoadedError(DataError):
    """The bars exist but were not loaded; their absence must not look like a gap."""


class SealedError(DataError):
    """A study has sealed that stretch of history as its hold-out."""


class BrokenChainError(SealedError):
    """The ledger of hold-outs is not what was written."""


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


class PrivateCodeError(DeclarationError):
    """The code of a private component cannot be imported, or ends the program."""


class LawBrokenError(VirtuosoError):
    """A component broke a law of the prism."""

    exit_code = 4


class RefusedError(VirtuosoError):
    """The gate of promotion refused what was found."""

    exit_code = 5


class TaskError(VirtuosoError):
    """A task of an executor failed, or lost its worker too often; the traceback of the worker is a note of it."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which known name is nearest, or list what there is.

    Examples
    --------
    >>> did_you_mean("closee", ["close", "open"])
    "Did you mean 'close'?"
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6) if len(name) <= LONGEST_NAME else []
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "None is known."


def and_more(count: int, what: str, before: str = " and at ") -> str:
    """Say how many more there are beside the one that is named; nothing where there is none.

    Examples
    --------
    >>> and_more(1, "bar"), and_more(1_200, "bar"), and_more(0, "bar")
    (' and at 1 more bar', ' and at 1,200 more bars', '')
    """
    return f"{before}{count:,} more {what}{'s' if count > 1 else ''}" if count else ""


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
