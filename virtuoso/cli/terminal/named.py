"""A strategy that is named on the command line: `--strategy my_module:EmaCross --param fast=5`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from virtuoso.errors import ConfigError

if TYPE_CHECKING:
    from virtuoso.signals.declared import Strategy


def strategy_named(path: str | None, params: Sequence[str] | None) -> Strategy | None:
    """Return the strategy of the user's module with its parameters; None where none is named.

    Raises
    ------
    ConfigError
        --param without --strategy, or not as NAME=VALUE; or there is no such module.
    """
    if path is None:
        if params:
            raise ConfigError(
                f"--param {params[0]} is a parameter of a strategy. Name it with --strategy MODULE:CLASS."
            )
        return None
    from virtuoso.signals.declared import strategy_of

    return strategy_of(path, dict(map(_parameter, params or ())), "--strategy")


def _parameter(said: str) -> tuple[str, float]:
    name, equals, value = said.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not equals or number != number:
        raise ConfigError(f"--param {said} gives no number. Write --param NAME=VALUE, such as --param fast=5.")
    return name.strip(), number
