"""In whose language a message speaks.

Messages name options as the command line has them, `--mark last`. Who calls `vt.backtest` reads arguments instead,
`mark='last'`: what leaves a function of the front door is turned into them, once, by `at_the_door`. Whole commands,
which begin with `virtuoso` and a verb, stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from virtuoso.errors import VirtuosoError

P = ParamSpec("P")
Answer = TypeVar("Answer")
_LITERALS = "last|none|spot|linear|simulated|auto"
_PAIRS = r'\w+="[^"]*"(?:,\w+="[^"]*")*'
_VALUE = rf'"[^"]*"|{_PAIRS}|[A-Z][A-Z0-9_]+\b|\d{{8}}-(?:\d{{8}})?|\d[\w.]*\w|\d|(?:{_LITERALS})\b'
_PLACEHOLDERS = frozenset({"RATE", "PATH", "FILE", "DIR", "N", "PARAMETER"})
_SWITCHES = frozenset({"anyway", "dry-run", "exhaustive", "halt", "limits", "no-volume", "prefer", "recorded"})
"""Options that stand alone on the command line and are True in Python."""
_OPTIONS = _SWITCHES | {
    "assume-funding", "at", "because", "cash", "columns", "data", "executor", "fees", "inside", "jobs", "kind",
    "leverage", "maker", "margin", "mark", "market", "max-bad-share", "max-revised-share", "memory", "reset-halt",
    "risk", "seed", "slippage", "storage", "symbol", "taker", "time-format", "time-unit", "time-zone", "timeframe",
    "timeout", "timerange", "trail", "trials", "venue",
}  # fmt: skip
"""All options that messages name: nothing else that begins with two dashes, such as the name of a file, is touched."""
_RENAMED = {"timerange": "range (start=, end=)", "memory": "memory_mb=", "timeout": "seconds="}
_SPOKEN = re.compile(
    rf"(?P<command>`[^`]*`|\bvirtuoso [a-z]+\b[^`;()]*)"
    rf"|(?<![\w-])--(?P<name>[a-z][a-z-]*[a-z])(?:[ =](?P<value>{_VALUE}))?(?P<next> (?=--))?"
)
_on_the_command_line = False


@contextmanager
def command_line() -> Iterator[None]:
    """Let messages speak the language of the command line, for as long as a verb runs."""
    global _on_the_command_line
    before, _on_the_command_line = _on_the_command_line, True
    try:
        yield
    finally:
        _on_the_command_line = before


def at_the_door(function: Callable[P, Answer]) -> Callable[P, Answer]:
    """Return a function whose errors speak to whoever called it."""

    @wraps(function)
    def asked(*arguments: P.args, **named: P.kwargs) -> Answer:
        try:
            return function(*arguments, **named)
        except VirtuosoError as error:
            error.args = tuple(in_words_of_caller(one) if isinstance(one, str) else one for one in error.args)
            raise

    return asked


def in_words_of_caller(message: str) -> str:
    """Return a message whose options are those of whoever called: of the command line, or arguments of Python.

    Examples
    --------
    >>> in_words_of_caller("Import them, or pass --assume-funding 0.0001 --mark last.")
    "Import them, or pass assume_funding=0.0001, mark='last'."
    >>> in_words_of_caller("Pass --venue, one of them. Try: virtuoso data list --venue binance-spot")
    'Pass venue=, one of them. Try: virtuoso data list --venue binance-spot'
    """
    return message if _on_the_command_line or "--" not in message else _SPOKEN.sub(_argument, message)


def _argument(found: re.Match[str]) -> str:
    if found["command"]:
        return found["command"]
    name, value = found["name"], found["value"]
    if name not in _OPTIONS:
        return found[0]
    after = ", " if found["next"] else ""
    if name == "timerange" and value:
        start, _, end = value.partition("-")
        return f"start={_day(start)!r}" + (f", end={_day(end)!r}" if end else "") + after
    said = _RENAMED.get(name, name.replace("-", "_"))
    if value is None:
        return (f"{said}=True" if name in _SWITCHES else said if name in _RENAMED else f"{said}=") + after
    if name == "columns":
        return (
            "columns={" + ", ".join(f"{key!r}: {of}" for key, of in re.findall(r'(\w+)=("[^"]*")', value)) + "}" + after
        )
    plain = value in _PLACEHOLDERS or value.startswith('"') or re.fullmatch(r"[\d.]+", value)
    return f"{said}={value if plain else repr(value)}" + after


def _day(digits: str) -> str:
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
