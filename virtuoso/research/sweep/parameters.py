"""Parameters of a strategy to be swept: a row a configuration, a column a declared parameter.

`ParameterGrid.grid` takes every combination of some values, `draws` takes some at random from the declared ranges.
Values are checked before anything is run, by the ranges that the strategy declares, and so is the room that the results
take.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from virtuoso.clock import Env
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.prism.component import Parameter
from virtuoso.signals.declared import Strategy
from virtuoso.types import Array

MOST_OF_MEMORY = 0.5
"""Share of this machine's memory that the results of a sweep may take."""
DRAWS = 20
"""Times as many draws as configurations, after which those that were found are all that there are."""


@dataclass(frozen=True)
class ParameterGrid:
    """Rows of parameters of one strategy.

    Attributes
    ----------
    strategy : Strategy
        The class, and what is not varied.
    columns : mapping of str to Array, shape (n,)
        Every number that it declares, those that are the same in all rows included.
    """

    strategy: Strategy
    columns: Mapping[str, Array]

    @classmethod
    def grid(cls, strategy: Strategy, values: Mapping[str, ArrayLike]) -> ParameterGrid:
        """Take every combination of some values, in the order of the given columns, the last one fastest.

        Parameters
        ----------
        strategy : Strategy
        values : mapping of str to sequence of numbers
            Such as `{"fast": range(5, 50), "slow": [100, 200]}`; a single number is one value.

        Raises
        ------
        ConfigError
            The strategy declares no such parameter, a column has no values, or the results would not fit into memory.
        ParameterError
            A value lies outside the range that is declared.
        """
        axes = {name: _axis(strategy, name, some) for name, some in values.items()}
        if not axes:
            example = next(iter(numbers(strategy)), "period")
            raise ConfigError(
                f"The grid is empty: name the parameters of {_name(strategy)} to vary, such as "
                f"{{{example!r}: [10, 20]}}, or a number of random draws, such as 500."
            )
        check_memory(prod(len(axis) for axis in axes.values()), len(numbers(strategy)), strategy)
        combined = np.meshgrid(*axes.values(), indexing="ij")
        return cls._made(strategy, {name: part.ravel() for name, part in zip(axes, combined, strict=True)})

    @classmethod
    def draws(cls, strategy: Strategy, n: int, env: Env) -> ParameterGrid:
        """Draw different configurations at random from the declared ranges; the first is the strategy as it is.

        Where the ranges hold fewer than `n` combinations, there are as many as were found.
        """
        declared = numbers(strategy)
        if n < 1:
            raise ConfigError(f"A sweep needs at least one configuration, was asked for {n}.")
        if not declared:
            raise ConfigError(
                f"{_name(strategy)} declares no parameter to draw. Declare one, such as fast = vt.Int(...)."
            )
        check_memory(n, len(declared), strategy)
        random, rows = env.random(), {tuple(float(getattr(strategy, name)) for name in declared): None}
        for _ in range(DRAWS):
            drawn = np.column_stack([_drawn(random, parameter, n) for parameter in declared.values()])
            rows |= dict.fromkeys(map(tuple, drawn.tolist()))
            if len(rows) >= n:
                break
        table = np.array(list(rows)[:n], dtype=np.float64)
        return cls(strategy, {name: table[:, k].copy() for k, name in enumerate(declared)})

    @classmethod
    def _made(cls, strategy: Strategy, varied: Mapping[str, Array]) -> ParameterGrid:
        n = len(next(iter(varied.values())))
        fixed = {name: np.full(n, float(getattr(strategy, name))) for name in numbers(strategy)}
        return cls(strategy, fixed | dict(varied))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __repr__(self) -> str:
        varied = [name for name, values in self.columns.items() if (values != values[0]).any()]
        return f"<{len(self):,} configurations of {self.name}, {', '.join(varied) or 'nothing'} varied>"

    @property
    def name(self) -> str:
        """Name of the strategy's class."""
        return _name(self.strategy)

    @property
    def family(self) -> tuple[str, ...]:
        """What the strategy is called, for telling whether two runs are of one family."""
        return (self.strategy.name,)

    @property
    def identity(self) -> dict[str, Any]:
        """What is not in the columns: the class, where it is written, and parameters that are no numbers."""
        other = {name: repr(value) for name, value in self.strategy.settings().items() if name not in self.columns}
        return {"strategy": f"{type(self.strategy).__module__}:{self.name}", "other": other}

    def __getitem__(self, row: int) -> Strategy:
        """Return the strategy of one configuration, for `vt.backtest`."""
        declared = numbers(self.strategy)
        return self.strategy.replace(**{name: declared[name].kind(self.columns[name][row]) for name in declared})

    def written(self, row: int) -> str:
        """Write one configuration as YAML: class and parameters."""
        import yaml

        given = {name: getattr(self[row], name) for name in self.columns}
        return str(yaml.safe_dump({"strategy": self.identity["strategy"], "parameters": given}, sort_keys=False))


def numbers(strategy: Strategy) -> dict[str, Parameter]:
    """Return the declared numbers of a strategy, by name."""
    return {name: one for name, one in strategy.parameters.items() if isinstance(one, Parameter)}


def check_memory(rows: int, columns: int, strategy: Strategy) -> None:
    """Refuse more configurations than this machine's memory holds the results of, before any is run."""
    each = 8 * (4 * columns + RESULT_COLUMNS)
    room = int(MOST_OF_MEMORY * memory())
    if rows * each > room:
        raise ConfigError(
            f"The grid has {rows:,} configurations of {_name(strategy)}, whose results take "
            f"{rows * each / 2**30:,.1f} GB of this machine's {memory() / 2**30:,.1f}. Widen the steps, or draw at "
            f"random: {room // each:,} fit."
        )


RESULT_COLUMNS = 400
"""Numbers that a sweep keeps of a configuration: figures, their copies, and the equity of some days."""


def memory() -> int:
    """Return the memory of this machine, bytes."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 8 * 2**30  # where the system does not tell


def _axis(strategy: Strategy, name: str, values: ArrayLike) -> Array:
    """Values of one column, each in the declared range, each once."""
    declared = numbers(strategy)
    if name not in declared:
        raise ConfigError(f"{_name(strategy)} has no parameter {name!r}. {did_you_mean(name, declared)}")
    given = list(values) if isinstance(values, range) else np.atleast_1d(np.asarray(values)).tolist()
    if not given:
        raise ConfigError(f"The grid gives no value for {name}: {values!r} is empty.")
    checked = [declared[name].check(_name(strategy), name, value) for value in given]
    return np.array(list(dict.fromkeys(checked)), dtype=np.float64)


def _drawn(random: np.random.Generator, declared: Parameter, n: int) -> Array:
    if declared.kind is int:
        return random.integers(int(declared.low), int(declared.high) + 1, n).astype(np.float64)
    return random.uniform(declared.low, declared.high, n)


def _name(strategy: Strategy) -> str:
    return type(strategy).__name__
