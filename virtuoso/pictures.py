"""`.plot()` and `.chart()`: what draws an object, named by the front door: no package below the reports knows it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

_PAINTERS: dict[str, str] = {}
_CHARTERS: dict[str, str] = {}


def register(painters: Mapping[str, str], charters: Mapping[str, str]) -> None:
    """Say what draws objects of a class, and what makes charts of them: its name, and `package.module:function`."""
    _PAINTERS.update(painters)
    _CHARTERS.update(charters)


class Plottable:
    """An object that can be drawn."""

    __slots__ = ()

    def plot(self, ax: Any = None, **how: Any) -> Any:
        """Draw it with matplotlib.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where; axes of their own if absent.
        **how
            See `virtuoso.reports.plots`, which draws.

        Returns
        -------
        matplotlib Axes
        """
        home = _PAINTERS.get(type(self).__name__)
        if home is None:
            raise TypeError(f"Nothing draws a {type(self).__name__} yet. Try .to_pandas().plot().")
        return _function(home)(self, ax, **how)


class Chartable(Plottable):
    """An object of which there is a chart that can be moved."""

    __slots__ = ()

    def chart(self) -> Any:
        """Return an interactive chart: the last line of a cell shows it, `.save("chart.html")` writes it.

        Returns
        -------
        virtuoso.reports.interactive.Chart
        """
        return _function(_CHARTERS[type(self).__name__])(self)


def _function(home: str) -> Any:
    module, _, name = home.partition(":")
    return getattr(import_module(module), name)
