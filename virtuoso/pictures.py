"""`.plot()`: what draws an object, registered by the front door, so that no package below the reports knows of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

_PAINTERS: dict[str, str] = {}


def register(painters: Mapping[str, str]) -> None:
    """Say what draws objects of a class: its name, and `package.module:function`."""
    _PAINTERS.update(painters)


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
        module, _, name = home.partition(":")
        return getattr(import_module(module), name)(self, ax, **how)
