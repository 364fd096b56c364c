"""The search space of a study, from what is declared: a point is a vector, and what it means is decoded here.

| name | a coordinate is |
|---|---|
| `weights.technical`, `weights.technical.rsi`, `weights.timeframes.4h` | log-ratio of the weight to what is in force |
| `weights.calm trend.technical` | log-ratio of the weight in that regime to what it is elsewhere |
| `thresholds.bull_enter`, `thresholds.bear_enter` | the threshold |
| `thresholds.bull_leave`, `thresholds.bear_leave` | share of the way from 50 to the entry at which a side is left |
| `thresholds.enter`, `thresholds.leave` | the same of both sides alike: distance of the entry from 50, and the share |
| `thresholds.min_coverage` | the share of weight |
| `components.technical.rsi.period`, `levels.stop_buffer`, `parameters.fast` | the value |

1. Weights of a group (the faces, the components of a face, the timeframes) are `softmax(log(in force) + coordinates)`:
   on the simplex whatever the point, and what is in force at 0. A member without weight stays out unless it is named;
   named, it begins with UNWEIGHTED of the group. Source: Aitchison (1982), J. R. Stat. Soc. B 44, 139-177.
   In a regime they are `softmax(log(in force there) + coordinates + those of the regime)`: at 0 as they are elsewhere.
2. Thresholds are in order by construction: 0 <= bear_enter < bear_leave <= 50 <= bull_leave < bull_enter <= 100.
3. Parameters have the ranges that components and strategies declare; a study narrows a range and never widens it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.prism.component import Component, Parameter
from virtuoso.prism.prism import Prism, RegimeWeights
from virtuoso.research.sweep.grid import MEASURES, TARGETS, Configurations, in_force
from virtuoso.research.sweep.parameters import numbers
from virtuoso.research.tuning.study import Range, Study
from virtuoso.signals.declared import Strategy
from virtuoso.signals.settings import LevelSettings, SignalSettings
from virtuoso.types import Array

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

ALL = "*"
FACES, COMPONENTS, TIMEFRAMES = "faces", "components", "timeframes"
UNWEIGHTED = 0.01
"""Share of its group with which a member begins that has no weight in force and is named."""
ENTER = (51.0, 95.0)
"""Where bull_enter may lie; bear_enter in its mirror."""
LEAVE = (0.0, 0.95)
"""Share of the way from 50 to the entry."""
REACH = 3.0
"""Levels without a range go from a third to three times what is in force, within what is declared."""
FAR = 0.05
THRESHOLD_AXES = ("bull_enter", "bull_leave", "bear_enter", "bear_leave", "enter", "leave", "min_coverage")


class Axis(NamedTuple):
    """One coordinate: its name, its inclusive range, whether it is a whole number, and what is in force."""

    name: str
    low: float
    high: float
    whole: bool
    prior: float


class Group(NamedTuple):
    """Weights that share a sum.

    Attributes
    ----------
    name : str
        `faces`, a face, or `timeframes`; of a regime with `calm trend.` before it.
    members : tuple of str
        Those that are varied.
    at : tuple of int
        Their coordinates.
    weights : tuple of float
        At the prior; the sum of their sizes is what they share. One that counts against keeps its sign.
    beside : tuple of int
        Of a regime the coordinates of the same members elsewhere; empty where it is of none.
    """

    name: str
    members: tuple[str, ...]
    at: tuple[int, ...]
    weights: tuple[float, ...]
    beside: tuple[int, ...] = ()


class Decoded(NamedTuple):
    """What some points mean.

    Attributes
    ----------
    columns : mapping of str to Array, shape (n,)
        Weights, thresholds and measures as `Configurations.of` takes them.
    parameters : tuple of dict
        Parameters of components by dotted name, one dict a point.
    timeframes : mapping of str to Array, shape (n,)
        Weights of timeframes; empty where they are not varied.
    values : mapping of str to Array, shape (n,)
        Parameters of the strategy.
    """

    columns: Mapping[str, Array]
    parameters: tuple[dict[str, float], ...]
    timeframes: Mapping[str, Array]
    values: Mapping[str, Array]


@dataclass(frozen=True)
class Space:
    """The search space of a study.

    Attributes
    ----------
    axes : tuple of Axis
    groups : tuple of Group
    prism : Prism
        In force; of a strategy the one that it names or the standard one, and not varied.
    signals : SignalSettings
        In force.
    strategy : Strategy or None
    """

    axes: tuple[Axis, ...]
    groups: tuple[Group, ...]
    prism: Prism
    signals: SignalSettings
    strategy: Strategy | None = None

    @classmethod
    def of(
        cls,
        study: Study,
        prism: Prism,
        signals: SignalSettings,
        strategy: Strategy | None = None,
        known: Iterable[str] | None = None,
    ) -> Space:
        """Make the space of a study.

        Parameters
        ----------
        study : Study
        prism : Prism
        signals : SignalSettings
        strategy : Strategy, optional
            That of the study, with the parameters in force.
        known : iterable of str, optional
            Dotted names of the components that the data knows; the weights of others are left alone. All if absent.

        Raises
        ------
        ConfigError
            A name that there is not, a range wider than what is declared, or nothing that could be varied.
        """
        maker = _Maker(study, prism, signals, strategy, None if known is None else frozenset(known))
        axes, groups = maker.made()
        return cls(axes, groups, weighed_by_regime(study, prism), signals, strategy)

    def __repr__(self) -> str:
        kinds: dict[str, int] = {}
        for axis in self.axes:
            kind = axis.name.split(".")[0]
            kinds[kind] = kinds.get(kind, 0) + 1
        said = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
        return f"<Space of {len(self.axes)} dimensions: {said}>"

    def __len__(self) -> int:
        return len(self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates, in their order."""
        return tuple(axis.name for axis in self.axes)

    @property
    def low(self) -> Array:
        """Least value of each coordinate, shape (d,)."""
        return np.array([axis.low for axis in self.axes])

    @property
    def high(self) -> Array:
        """Largest value of each coordinate, shape (d,)."""
        return np.array([axis.high for axis in self.axes])

    @property
    def prior(self) -> Array:
        """What is in force, untuned, shape (d,); the nearest point where a study leaves it out."""
        return np.array([axis.prior for axis in self.axes])

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The coordinates as Optuna has them, by name."""
        from optuna.distributions import FloatDistribution, IntDistribution

        return {
            axis.name: IntDistribution(int(axis.low), int(axis.high))
            if axis.whole
            else FloatDistribution(axis.low, axis.high)
            for axis in self.axes
        }

    def distance(self, points: Array) -> Array:
        """Return the mean squared log-ratio of the weights to the prior, shape (n,); 0 where none is varied.

        What is common to a group changes no weight and does not count.
        """
        given = self._checked(points)
        if not self.groups:
            return np.zeros(len(given))
        total, count = np.zeros(len(given)), 0
        for group in self.groups:
            apart = given[:, group.at] - given[:, group.at].mean(axis=1, keepdims=True)
            total, count = total + (apart * apart).sum(axis=1), count + len(group.at)
        return np.asarray(total / count)

    @property
    def has_regimes(self) -> bool:
        """Whether weights may differ by regime."""
        return any(group.beside for group in self.groups)

    def without_regimes(self, points: Array) -> Array:
        """Return points whose weights are the same in every regime: what weights by regime have to beat."""
        plain = np.array(points, dtype=np.float64)
        for group in self.groups:
            if group.beside:
                plain[..., group.at] = 0.0
        return plain

    def decode(self, points: Array) -> Decoded:
        """Return what points mean.

        Parameters
        ----------
        points : Array, shape (n, d)
            Whole numbers are rounded.

        Raises
        ------
        ConfigError
            A coordinate lies outside its range, or is not known.
        """
        given = self._checked(points)
        columns, timeframes = self._weights(given)
        by_name = {axis.name: given[:, k] for k, axis in enumerate(self.axes)}
        columns |= self._thresholds(by_name) | self._levels(by_name)
        varied = [axis for axis in self.axes if axis.name.startswith("components.")]
        parameters = tuple(
            {axis.name.removeprefix("components."): float(by_name[axis.name][row]) for axis in varied}
            for row in range(len(given))
        )
        values = {name.split(".", 1)[1]: by_name[name] for name in by_name if name.startswith("parameters.")}
        return Decoded(columns, parameters, timeframes, values)

    def prism_of(self, parameters: Mapping[str, float], timeframes: Mapping[str, float] | None = None) -> Prism:
        """Return the prism in force with other parameters of components, and other weights of timeframes."""
        if not parameters and not timeframes:
            return self.prism
        changed: dict[Component, Component] = {}
        for dotted, value in parameters.items():
            component, name = dotted.rsplit(".", 1)
            before = self.prism[component]
            kind = _parameters(before)[name].kind
            changed[before] = changed.get(before, before).replace(**{name: kind(value)})
        faces = tuple(
            replace(face, components={changed.get(one, one): weight for one, weight in face.components.items()})
            for face in self.prism.faces
        )
        clocks = dict(timeframes) if timeframes else dict(self.prism.timeframes)
        return replace(self.prism, faces=faces, timeframes=clocks)

    def strategy_of(self, point: Array) -> Strategy:
        """Return the strategy of one point.

        Raises
        ------
        ConfigError
            The study tunes the shipped rule.
        """
        if self.strategy is None:
            raise ConfigError("This study tunes the shipped rule and has no strategy: overlay(point) is its settings.")
        values, declared = self.decode(point[None]).values, numbers(self.strategy)
        return self.strategy.replace(**{name: declared[name].kind(values[name][0]) for name in values})

    def overlay(self, point: Array) -> dict[str, Any]:
        """Return what one point is as settings.

        Parameters
        ----------
        point : Array, shape (d,)

        Returns
        -------
        dict
            Of the shipped rule: what a file for `-c` holds, so that a backtest with it is this configuration. Of a
            strategy: `strategy`, `module:Class`, and its `parameters`.
        """
        if self.strategy is not None:
            made = self.strategy_of(point)
            cls = type(made)
            return {
                "strategy": f"{cls.__module__}:{cls.__qualname__}",
                "parameters": {name: getattr(made, name) for name in numbers(made)},
            }
        found = self.decode(point[None])
        clocks = {name: float(values[0]) for name, values in found.timeframes.items()}
        prism = self.prism_of(found.parameters[0], clocks)
        overlay = Configurations.of(prism, self.signals, found.columns).overlay(0)
        faces: dict[str, Any] = overlay["prism"]["faces"]
        for dotted, value in found.parameters[0].items():
            face, component, name = dotted.split(".")
            kind = _parameters(self.prism[f"{face}.{component}"])[name].kind
            faces[face].setdefault("parameters", {}).setdefault(component, {})[name] = kind(value)
        if clocks:
            overlay["prism"]["timeframes"] = clocks
        return overlay

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits of names, ranges, prior and what is in force."""
        in_it = {
            "axes": [list(axis) for axis in self.axes],
            "groups": [[group.name, *group.members] for group in self.groups],
            "in force": self.prism.fingerprint if self.strategy is None else repr(self.strategy),
        }
        return hashlib.sha256(json.dumps(in_it, sort_keys=True).encode()).hexdigest()

    def _checked(self, points: Array) -> Array:
        """Return points as rows within the ranges, whole numbers rounded."""
        given = np.atleast_2d(np.asarray(points, dtype=np.float64))
        if given.ndim != 2 or given.shape[1] != len(self.axes):
            raise ConfigError(f"A point has {len(self.axes)} coordinates, was given {given.shape[-1]}.")
        whole = np.array([axis.whole for axis in self.axes])
        given = np.where(whole, np.round(given), given)
        wrong = ~((given >= self.low) & (given <= self.high))  # NaN is wrong too
        if wrong.any():
            row, k = (int(at[0]) for at in np.nonzero(wrong))
            axis = self.axes[k]
            raise ConfigError(f"{axis.name} of point {row} is {given[row, k]:g}, outside {axis.low:g}..{axis.high:g}.")
        return given

    def _weights(self, points: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        """Weights of faces and components by column, and those of timeframes."""
        columns: dict[str, Array] = {}
        clocks: dict[str, Array] = {}
        for group in self.groups:
            prior = np.array(group.weights)
            moved = points[:, group.at]
            if group.beside:
                moved = moved + points[:, group.beside]
            logs = np.log(np.abs(prior)) + moved
            raised = np.exp(logs - logs.max(axis=1, keepdims=True))
            shared = np.sign(prior) * raised / raised.sum(axis=1, keepdims=True) * np.abs(prior).sum()
            untouched = (points[:, (*group.at, *group.beside)] == 0.0).all(axis=1)
            shared[untouched] = prior  # not merely nearly: what is in force is compared with, bit for bit
            of = clocks if group.name == TIMEFRAMES else columns
            of |= {member: shared[:, k].copy() for k, member in enumerate(group.members)}
        if clocks:
            n = len(points)
            clocks = {name: clocks.get(name, np.full(n, weight)) for name, weight in self.prism.timeframes.items()}
        return columns, clocks

    def _thresholds(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """Thresholds of the rule that are varied, in order whatever the point."""
        s, found = self.signals, {}
        both, share = given.get("thresholds.enter"), given.get("thresholds.leave")
        for side, sign in (("bull", 1.0), ("bear", -1.0)):
            entry, exit_ = given.get(f"thresholds.{side}_enter"), given.get(f"thresholds.{side}_leave", share)
            if entry is None and both is not None:
                entry = 50.0 + sign * both
            if entry is None and exit_ is None:
                continue
            now = float(getattr(s, f"{side}_enter"))
            entry = np.full(len(exit_), now) if entry is None and exit_ is not None else np.asarray(entry)
            part = np.full(len(entry), _share(s, side)) if exit_ is None else exit_
            found[f"{side}_enter"] = entry
            leave = 50.0 + part * (entry - 50.0)
            unchanged = (entry == now) & (part == _share(s, side))
            found[f"{side}_leave"] = np.where(unchanged, getattr(s, f"{side}_leave"), leave)
        if "thresholds.min_coverage" in given:
            found["min_coverage"] = given["thresholds.min_coverage"]
        return found

    def _levels(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """Measures of levels that are varied: stops and targets are put into their order."""
        own = {name.split(".", 1)[1]: values for name, values in given.items() if name.startswith("levels.")}
        if not own:
            return {}
        n, fixed = len(next(iter(own.values()))), in_force(self.prism, self.signals)
        all_of = {name: own.get(name, np.full(n, fixed[name])) for name in (*MEASURES, *TARGETS)}
        all_of["stop_max"] = np.maximum(all_of["stop_max"], all_of["stop_min"])
        reached = all_of["min_target_r"]
        for name in TARGETS:
            all_of[name] = np.maximum(all_of[name], reached)
            reached = all_of[name] + all_of["target_gap_r"]
        return all_of


class _Maker:
    """Makes the axes of a study, and refuses names and ranges that there are not."""

    def __init__(
        self,
        study: Study,
        prism: Prism,
        signals: SignalSettings,
        strategy: Strategy | None,
        known: frozenset[str] | None,
    ) -> None:
        self.study, self.prism, self.signals, self.strategy, self.known = study, prism, signals, strategy, known
        self.axes: list[Axis] = []
        self.groups: list[Group] = []

    def made(self) -> tuple[tuple[Axis, ...], tuple[Group, ...]]:
        """Make all of it."""
        self._weights()
        self._thresholds()
        self._components()
        self._levels()
        self._strategy()
        if not self.axes and self.strategy is not None:
            raise ConfigError(
                f"{self.study.where('strategy')}: {type(self.strategy).__name__} declares no number to vary. Declare "
                "one in its class, such as period = vt.Int(14, low=2, high=50)."
            )
        if not self.axes:
            raise ConfigError(
                f"{self.study.where('search')} leaves nothing to vary: each group of weights has one member that the "
                "data knows. Name thresholds, levels or parameters of components as well."
            )
        return tuple(self.axes), tuple(self.groups)

    def _refuse(self, name: str, known: Iterable[str], *key: str, hint: str = "") -> NoReturn:
        raise ConfigError(f"{self.study.where('search', *key)} names {name!r}. {hint}{did_you_mean(name, known)}")

    # --- weights ---

    def _weights(self) -> None:
        named = self.study.search.weights
        faces = {face.name: face for face in self.prism.faces}
        dotted = {name: component for name, component, _ in self.prism}
        unavailable = {f"{face.name}.{name}": face.name for face in self.prism.faces for name in face.unavailable}
        for name in named:
            if name in unavailable:
                self._refuse(name, dotted, "weights", hint="No data of it is stored, so its weight tunes nothing. ")
            if name not in {ALL, FACES, COMPONENTS, TIMEFRAMES, *faces, *dotted}:
                self._refuse(name, {FACES, COMPONENTS, TIMEFRAMES, *faces, *dotted}, "weights")
        whole = ALL in named
        if whole or FACES in named:
            alive = {
                name for name, face in faces.items() if any(self._is_known(f"{name}.{c.name}") for c in face.components)
            }
            weights = {name: float(self.prism.face_weights[name]) for name in faces}
            self._group(FACES, weights, alive, set())
        for face in faces.values():
            mine = {name for name in named if name.startswith(f"{face.name}.")}
            if whole or COMPONENTS in named or face.name in named or mine:
                own = {f"{face.name}.{one.name}": weight for one, weight in face.components.items()}
                self._group(face.name, own, {name for name in own if self._is_known(name)}, mine)
        for regime in self.study.search.by_regime:
            self._in_regime(regime)
        if TIMEFRAMES in named:
            self._group(TIMEFRAMES, dict(self.prism.timeframes), set(self.prism.timeframes), set())

    def _is_known(self, dotted: str) -> bool:
        return self.known is None or dotted in self.known

    def _group(self, group: str, weights: Mapping[str, float], alive: set[str], named: set[str]) -> None:
        """Add a group of weights; one that has a single member is none."""
        members = [name for name in weights if (weights[name] != 0.0 and name in alive) or name in named]
        if len(members) < 2:
            return
        shares = {name: weights[name] for name in members}
        total = sum(abs(weight) for weight in shares.values())
        new = [name for name in members if shares[name] == 0.0]
        if new:
            total = total or 1.0
            room = 1.0 - UNWEIGHTED * len(new)
            shares = {name: UNWEIGHTED * total if name in new else weight * room for name, weight in shares.items()}
        prefix = "weights.timeframes." if group == TIMEFRAMES else "weights."
        span, first = self.study.search.span, len(self.axes)
        self.axes += [Axis(f"{prefix}{name}", -span, span, False, 0.0) for name in members]
        at = tuple(range(first, len(self.axes)))
        self.groups.append(Group(group, tuple(members), at, tuple(shares[name] for name in members)))

    def _in_regime(self, regime: str) -> None:
        """Add the groups once more for a regime, around what is in force in it."""
        elsewhere, there = self.prism, self.prism.in_regime(regime)
        for group in [one for one in self.groups if not one.beside]:
            now, own = _weights_of(elsewhere), _weights_of(there)
            first, span = len(self.axes), self.study.search.span
            self.axes += [Axis(f"weights.{regime}.{name}", -span, span, False, 0.0) for name in group.members]
            weights = zip(group.members, group.weights, strict=True)
            shares = tuple(own[name] if own[name] != now[name] else share for name, share in weights)
            at, members = tuple(range(first, len(self.axes))), tuple(f"{regime}.{name}" for name in group.members)
            self.groups.append(Group(f"{regime}.{group.name}", members, at, shares, group.at))

    # --- thresholds ---

    def _thresholds(self) -> None:
        given = dict(self.study.search.thresholds)
        if ALL in given:
            given = dict.fromkeys(("bull_enter", "bull_leave", "bear_enter", "bear_leave")) | {
                name: ends for name, ends in given.items() if name != ALL
            }
        for name in given:
            if name not in THRESHOLD_AXES:
                self._refuse(name, THRESHOLD_AXES, "thresholds")
        for both, one in (("enter", "_enter"), ("leave", "_leave")):
            if both in given and any(f"{side}{one}" in given for side in ("bull", "bear")):
                raise ConfigError(
                    f"{self.study.where('search', 'thresholds')} names {both}, which is of both sides, beside "
                    f"bull{one} or bear{one}. Keep one or the other."
                )
        s = self.signals
        far = (s.bull_enter - 50.0 + 50.0 - s.bear_enter) / 2.0
        declared = {
            "bull_enter": (*ENTER, s.bull_enter),
            "bear_enter": (100.0 - ENTER[1], 100.0 - ENTER[0], s.bear_enter),
            "enter": (ENTER[0] - 50.0, ENTER[1] - 50.0, far),
            "bull_leave": (*LEAVE, _share(s, "bull")),
            "bear_leave": (*LEAVE, _share(s, "bear")),
            "leave": (*LEAVE, (_share(s, "bull") + _share(s, "bear")) / 2.0),
            "min_coverage": (0.0, 1.0, s.min_coverage),
        }
        for name, ends in given.items():
            low, high, now = declared[name]
            self._axis("thresholds", name, Parameter(now, low, high, "", float), now, ends)

    # --- parameters ---

    def _components(self) -> None:
        weighted = {name for name, _, weight in self.prism if weight != 0.0 and self._is_known(name)}
        every = {name: component for name, component, _ in self.prism}
        declared = {
            f"{name}.{one}": parameter
            for name, component in every.items()
            for one, parameter in _parameters(component).items()
        }
        wanted: dict[str, Range | None] = {}
        for name, ends in self.study.search.components.items():
            if name == ALL:
                wanted |= {one: None for one in declared if one.rsplit(".", 1)[0] in weighted and one not in wanted}
            elif name in declared:
                wanted[name] = ends
            elif name in every and ends is None:
                wanted |= {one: None for one in declared if one.startswith(f"{name}.") and one not in wanted}
            elif name in every:
                own = ", ".join(f"{name}.{one}" for one in _parameters(every[name]))
                raise ConfigError(
                    f"{self.study.where('search', 'components', name)} gives a range to a component; give it to one "
                    f"of its parameters: {own or 'it declares none'}."
                )
            else:
                self._refuse(name, {*declared, *every}, "components", name)
        for name, ends in wanted.items():
            component, parameter = name.rsplit(".", 1)
            self._axis("components", name, declared[name], getattr(every[component], parameter), ends)

    def _levels(self) -> None:
        given, now = dict(self.study.search.levels), in_force(self.prism, self.signals)
        names = (*MEASURES, *TARGETS)
        if ALL in given:
            given = dict.fromkeys(names) | {name: ends for name, ends in given.items() if name != ALL}
        for name, ends in given.items():
            if name not in names:
                of_map = "The map of levels is the same for all trials: set it, and run a study of each. "
                self._refuse(name, names, "levels", name, hint=of_map if name in LevelSettings.model_fields else "")
            low, high = _declared(name)
            if ends is None:
                ends = (max(low, now[name] / REACH), min(high, now[name] * REACH)) if now[name] > 0.0 else (low, 1.0)
            self._axis("levels", name, Parameter(now[name], low, high, "", float), now[name], ends)

    def _strategy(self) -> None:
        if self.strategy is None:
            return
        given, declared = dict(self.study.search.parameters), numbers(self.strategy)
        if ALL in given:
            given = dict.fromkeys(declared) | {name: ends for name, ends in given.items() if name != ALL}
        for name, ends in given.items():
            if name not in declared:
                self._refuse(name, declared, "parameters", name)
            self._axis("parameters", name, declared[name], getattr(self.strategy, name), ends)

    def _axis(self, kind: str, name: str, declared: Parameter, now: float, ends: Range | None) -> None:
        """Add one axis; a range may be narrower than what is declared, never wider."""
        low, high = (declared.low, declared.high) if ends is None else ends
        if low < declared.low or high > declared.high:
            raise ConfigError(
                f"{self.study.where('search', kind, name)} goes from {low:g} to {high:g}, but {declared.low:g} to "
                f"{declared.high:g} is declared. A study narrows a range and never widens it."
            )
        whole = declared.kind is int
        if whole:
            low, high = float(np.ceil(low)), float(np.floor(high))
            if low > high:
                raise ConfigError(f"{self.study.where('search', kind, name)} holds no whole number. Widen the range.")
        self.axes.append(Axis(f"{kind}.{name}", float(low), float(high), whole, float(np.clip(now, low, high))))


def weighed_by_regime(study: Study, prism: Prism) -> Prism:
    """Return the prism in which each regime that a study names has weights of its own, which are those elsewhere."""
    named: dict[str, RegimeWeights] = {}
    for regime in study.search.by_regime:
        named[regime] = prism.by_regime.get(regime, RegimeWeights())
    return replace(prism, by_regime={**prism.by_regime, **named}) if named else prism


def _weights_of(prism: Prism) -> dict[str, float]:
    """Weights of faces and of components, by name."""
    return {**prism.face_weights, **{name: weight for name, _, weight in prism}}


def _share(signals: SignalSettings, side: str) -> float:
    """Share of the way from 50 to the entry at which a side is left, as it is in force."""
    enter, leave = float(getattr(signals, f"{side}_enter")), float(getattr(signals, f"{side}_leave"))
    return (leave - 50.0) / (enter - 50.0)


def _parameters(component: Component) -> dict[str, Parameter]:
    """Return the numbers that a component declares."""
    return {name: one for name, one in component.parameters.items() if isinstance(one, Parameter)}


def _declared(measure: str) -> tuple[float, float]:
    """Range of a measure of levels, as its setting declares it; distances of targets as those between them."""
    name = "min_target_r" if measure in TARGETS else measure
    low, high = 0.0, np.inf
    for limit in LevelSettings.model_fields[name].metadata:
        low = max(low, float(getattr(limit, "ge", low)), float(getattr(limit, "gt", -FAR)) + FAR)
        high = min(high, float(getattr(limit, "le", high)), float(getattr(limit, "lt", high)))
    return low, high
