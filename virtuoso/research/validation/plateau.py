"""The plateau of a backtest: its neighbours are run, one thing a step lower and higher, all the rest as it was.

| step | of |
|---|---|
| 2 points | the score at which a signal begins, of both sides; that at which it ends |
| x 0.8 and x 1.25 | the age of a signal; stops; the room behind their levels; targets |
| x 0.8 and x 1.25 | every declared parameter of every component together: a faster and a slower prism |
| x 0.8 and x 1.25 | each declared parameter of a strategy of one's own, by itself; whole numbers by 1 at least |

The faster and the slower prism score anew, so they are run up to MOST_SCORED bars, and where the bars before the first
are stored. Intents that were handed in have no rule: their stops and their targets are moved instead. What was run is
in the names of the neighbours; a step that changes nothing tells nothing and is left out. They are diagnostics: nothing
is chosen among them, so that none counts as a try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Span
from virtuoso.errors import ConfigError, DataError, ParameterError, VirtuosoError
from virtuoso.prism.component import Component, Parameter
from virtuoso.prism.engine.score import score
from virtuoso.prism.prism import Prism
from virtuoso.research.backtest import engine
from virtuoso.research.backtest.figures import PortfolioFigures
from virtuoso.research.validation.stress import Case, Plateau
from virtuoso.signals.declared import Strategy
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import intents

POINTS = 2.0
SHORTER, LONGER = 0.8, 1.25
MOST_SCORED = 100_000
"""Bars of all instruments together up to which neighbours are scored anew."""

Made = Mapping[Instrument, np.ndarray]


def plateau_of(result: PortfolioFigures) -> Plateau:
    """Run the neighbours of a backtest.

    Parameters
    ----------
    result : PortfolioFigures
    """
    chosen = Case.of("chosen", result.run)
    cases = []
    for name, make in _beside(result):
        done = engine.run(result.panel, make(), result.account)
        if not np.array_equal(done.equity, result.run.equity):
            cases.append(Case.of(name, done))
    return Plateau(chosen, cases)


def _beside(result: PortfolioFigures) -> Iterator[tuple[str, Callable[[], Made]]]:
    """Yield the name of each neighbour, and what makes its intents."""
    if result.rule is not None:
        return _of_rule(result, result.rule)
    if isinstance(result.strategy, Strategy):
        return _of_strategy(result, result.strategy)
    return _handed_in(result)


def _of_strategy(result: PortfolioFigures, strategy: Strategy) -> Iterator[tuple[str, Callable[[], Made]]]:
    def told(found: Made) -> Callable[[], Made]:
        return lambda: found

    for name, beside in strategies_beside(strategy):
        try:
            yield name, told({frame.instrument: beside.decisions(frame).intents for frame in result.frames})
        except VirtuosoError:  # a step that its function does not bear: a window of one bar, a zero
            continue


def strategies_beside(strategy: Strategy) -> Iterator[tuple[str, Strategy]]:
    """Strategies with one parameter a step lower or higher, by name; those outside its declared range are left out."""
    for name, declared in strategy.parameters.items():
        if not isinstance(declared, Parameter):
            continue
        value = getattr(strategy, name)
        for factor in (SHORTER, LONGER):
            moved = value * factor if value else (factor - 1.0) * (declared.high - declared.low)
            if declared.kind is int:
                moved = value + max(round(abs(moved - value)), 1) * (1 if factor > 1.0 else -1)
            if declared.low <= moved <= declared.high:
                yield f"{name} {moved:g}", strategy.replace(**{name: moved})


def _of_rule(result: PortfolioFigures, rule: SignalSettings) -> Iterator[tuple[str, Callable[[], Made]]]:
    def made(settings: SignalSettings) -> Callable[[], Made]:
        return lambda: {one.frame.instrument: intents(one, settings) for one in result.scores}

    def told(found: Made) -> Callable[[], Made]:
        return lambda: found

    for name, settings in settings_beside(rule):
        yield name, made(settings)
    if sum(len(one) for one in result.scores) > MOST_SCORED:
        return
    for name, factor in (("faster components", SHORTER), ("slower components", LONGER)):
        scored = _scored(result, factor, rule)
        if scored is not None:
            yield name, told(scored)


def _scored(result: PortfolioFigures, factor: float, rule: SignalSettings) -> Made | None:
    """Intents of the scores of a faster or slower prism; None where history before the first bar is not at hand."""
    beside = prism_beside(result.scores[0].prism, factor)
    if beside.fingerprint == result.scores[0].prism.fingerprint:
        return None
    try:
        return {frame.instrument: intents(score(beside, frame), rule) for frame in result.frames}
    except DataError:
        return None


def settings_beside(rule: SignalSettings) -> Iterator[tuple[str, SignalSettings]]:
    """Settings with one thing a step lower or higher, by name; those that no configuration could hold are left out."""
    levels = rule.levels
    for sign in (-1.0, 1.0):
        step = sign * POINTS
        tried: dict[str, dict[str, Any]] = {
            f"enter {step:+g}": {"bull_enter": rule.bull_enter + step, "bear_enter": rule.bear_enter - step},
            f"leave {step:+g}": {"bull_leave": rule.bull_leave + step, "bear_leave": rule.bear_leave - step},
        }
        factor = SHORTER if sign < 0.0 else LONGER
        own: dict[str, dict[str, Any]] = {
            f"stops x {factor:g}": {"stop_min": levels.stop_min * factor, "stop_max": levels.stop_max * factor},
            f"room behind levels x {factor:g}": {"stop_buffer": levels.stop_buffer * factor},
            f"targets x {factor:g}": {
                "min_target_r": levels.min_target_r * factor,
                "target_gap_r": levels.target_gap_r * factor,
                "target_r": tuple(r * factor for r in levels.target_r),
            },
        }
        tried[f"age x {factor:g}"] = {"max_age": Span(f"{max(round(rule.max_age.ms * factor / 60_000), 1)}m")}
        if rule.min_edge > 0.0:  # then thresholds and age decide nothing
            tried = {
                f"edge x {factor:g}": {"min_edge": rule.min_edge * factor},
                f"history x {factor:g}": {"history": round(rule.history * factor)},
            }
        for name, change in own.items():
            moved = _valid(levels, change)
            if moved is not None:
                tried[name] = {"levels": moved}
        for name, change in tried.items():
            settings = _valid(rule, change)
            if settings is not None:
                yield name, settings


def _valid(given: Any, change: Mapping[str, Any]) -> Any:
    """Give the settings with a change, or None if they refuse it."""
    kept = {name: getattr(given, name) for name in type(given).model_fields}
    try:
        return type(given).model_validate(kept | dict(change))
    except (ValueError, ConfigError):
        return None


def prism_beside(prism: Prism, factor: float) -> Prism:
    """Give the same prism with every declared parameter times a factor, within its range."""
    faces = []
    for face in prism.faces:
        components = {_component_beside(component, factor): weight for component, weight in face.components.items()}
        faces.append(replace(face, components=components))
    return replace(prism, faces=tuple(faces))


def _component_beside(component: Component, factor: float) -> Component:
    moved = {}
    for name, declared in component.parameters.items():
        if isinstance(declared, Parameter):
            value = min(max(getattr(component, name) * factor, declared.low), declared.high)
            moved[name] = round(value) if declared.kind is int else value
    try:
        return component.replace(**moved)
    except ParameterError:
        return component


def _handed_in(result: PortfolioFigures) -> Iterator[tuple[str, Callable[[], Made]]]:
    def made(field: str, factor: float) -> Callable[[], Made]:
        return lambda: {name: _moved(own, field, factor) for name, own in result.intents_of.items()}

    for field in ("stop", "target"):
        if any(np.isfinite(own[field]).any() for own in result.intents_of.values()):
            for factor in (SHORTER, LONGER):
                yield f"{field}s x {factor:g}", made(field, factor)


def _moved(given: np.ndarray, field: str, factor: float) -> np.ndarray:
    """The same intents with their stops or targets nearer to where they enter, or farther."""
    moved = given.copy()
    at = np.where(np.isnan(given["entry"]), given["price"], given["entry"])
    at = at if given[field].ndim == 1 else at[:, None]
    moved[field] = at + factor * (given[field] - at)
    return moved
