"""Configurations of a sweep: weights, thresholds and measures of levels, one row each.

| columns | are |
|---|---|
| `technical`, `volume` ... | weights of the faces; each row sums to 1 |
| `technical.rsi` ... | weights of components within their face |
| `calm trend.technical`, `calm trend.technical.rsi` ... | the same in a regime in which the prism weighs otherwise |
| `bull_enter` ... `min_coverage` | thresholds of the rule |
| `stop_buffer` ... `target3_r` | measures of the levels, in ATR and R |

A column that is absent stays what the prism and the settings say. What is no column is the same for all: component
parameters, timeframes, `max_age`, and what the map of levels is drawn from. Row 0 of `around` is what is in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from virtuoso.clock import Env
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.prism.prism import Prism, RegimeWeights
from virtuoso.research.tracking.experiments import family_of
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array

THRESHOLDS = ("bull_enter", "bull_leave", "bear_leave", "bear_enter", "min_coverage")
MEASURES = ("stop_buffer", "stop_min", "stop_max", "min_target_r", "target_gap_r", "retest_reach")
TARGETS = ("target1_r", "target2_r", "target3_r")
ROUNDING = 1e-6


@dataclass(frozen=True)
class Configurations:
    """Rows of weights, thresholds and measures.

    Attributes
    ----------
    given : Prism
        What is not varied, and the defaults of what is.
    settings : SignalSettings
    columns : mapping of str to Array, shape (n,)
        Every column, those that are the same in all rows included.
    """

    given: Prism
    settings: SignalSettings
    columns: Mapping[str, Array]

    @classmethod
    def of(cls, prism: Prism, settings: SignalSettings, table: Mapping[str, ArrayLike]) -> Configurations:
        """Take a table of what is varied.

        Parameters
        ----------
        prism : Prism
        settings : SignalSettings
        table : mapping of str to array, shape (n,)

        Raises
        ------
        ConfigError
            An unknown column, columns of different lengths, or a row that no configuration file could hold.
        """
        defaults = in_force(prism, settings)
        given = {name: np.atleast_1d(np.asarray(values, dtype=np.float64)) for name, values in table.items()}
        for name in given:
            if name not in defaults:
                raise ConfigError(f"A sweep cannot vary {name!r}. {did_you_mean(name, defaults)}")
        lengths = {len(values) for values in given.values()} or {1}
        if len(lengths) > 1 or 0 in lengths:
            raise ConfigError(f"Columns of a sweep have one value a configuration, were of {sorted(lengths)} rows.")
        n = lengths.pop()
        columns = {name: given.get(name, np.full(n, value)) for name, value in defaults.items()}
        made = cls(prism, settings, columns)
        made._check()
        return made

    @classmethod
    def grid(cls, prism: Prism, settings: SignalSettings, values: Mapping[str, ArrayLike]) -> Configurations:
        """Take every combination of some values, in the order of the given columns, the last one fastest.

        Raises
        ------
        ConfigError
            As `of`.
        """
        axes = [np.atleast_1d(np.asarray(some, dtype=np.float64)) for some in values.values()]
        if not axes or any(axis.size == 0 for axis in axes):
            raise ConfigError("A grid needs values of at least one column, such as {'bull_enter': [60, 65]}.")
        combined = np.meshgrid(*axes, indexing="ij")
        return cls.of(prism, settings, {name: part.ravel() for name, part in zip(values, combined, strict=True)})

    @classmethod
    def around(
        cls, prism: Prism, settings: SignalSettings, n: int, env: Env, *,
        concentration: float = 60.0, points: float = 6.0, stretch: float = 0.35,
    ) -> Configurations:  # fmt: skip
        """Draw configurations around what is in force; row 0 is that itself.

        Parameters
        ----------
        prism, settings : see `Configurations`
        n : int
        env : Env
            Where they are drawn from.
        concentration : float
            Of the Dirichlet draws of weights around the default ones: the larger, the nearer.
        points : float
            Distance of the thresholds from the default ones, at most.
        stretch : float, 0..1
            Share by which distances of stops and targets are longer or shorter, at most.
        """
        if n < 1:
            raise ConfigError(f"A sweep needs at least one configuration, was asked for {n}.")
        random, defaults = env.random(), in_force(prism, settings)
        columns = {name: np.full(n, value) for name, value in defaults.items()}
        groups = []
        for lead, own in weightings(prism):
            groups.append([f"{lead}{face.name}" for face in own.faces])
            groups += [[f"{lead}{face.name}.{component.name}" for component in face.components] for face in own.faces]
        for group in groups:
            names = [name for name in group if defaults[name] != 0.0]
            weights, signs = (np.array([of(defaults[name]) for name in names]) for of in (np.abs, np.sign))
            if len(names) > 1:
                drawn = random.dirichlet(concentration * weights / weights.sum(), n) * weights.sum() * signs
                columns |= dict(zip(names, drawn.T.copy(), strict=True))
        enter, leave = random.uniform(-points, points, (2, n))
        columns["bull_leave"] = np.clip(defaults["bull_leave"] + leave / 2.0, 50.0, 98.0)
        columns["bull_enter"] = np.clip(defaults["bull_enter"] + enter, columns["bull_leave"] + 1.0, 100.0)
        columns["bear_leave"] = np.clip(defaults["bear_leave"] - leave / 2.0, 2.0, 50.0)
        columns["bear_enter"] = np.clip(defaults["bear_enter"] - enter, 0.0, columns["bear_leave"] - 1.0)
        for scaled in (["stop_buffer"], ["stop_min", "stop_max"], ["min_target_r", "target_gap_r", *TARGETS]):
            factor = random.uniform(1.0 - stretch, 1.0 + stretch, n)
            columns |= {name: defaults[name] * factor for name in scaled}
        for name, values in columns.items():
            values[0] = defaults[name]
        made = cls(prism, settings, columns)
        made._check()
        return made

    def __len__(self) -> int:
        return len(self.columns["bull_enter"])

    def __repr__(self) -> str:
        varied = [name for name, values in self.columns.items() if (values != values[0]).any()]
        return f"<{len(self):,} configurations, {len(varied)} columns varied>"

    @property
    def family(self) -> tuple[str, ...]:
        """What the prism is made of, for telling whether two runs are of one family."""
        return family_of(self.given)

    @property
    def identity(self) -> dict[str, Any]:
        """What is not in the columns: the prism and the settings."""
        return {
            "prism": self.given.fingerprint,
            "signals": self.settings.model_dump(mode="json", exclude={"reports"}),
        }

    def prism(self, row: int) -> Prism:
        """Give the prism of one configuration, for the full backtest."""
        made = {lead: self._weights(lead, own, row) for lead, own in weightings(self.given)}
        plain = replace(self.given, by_regime={}).reweighted(*made.pop(""))
        return replace(plain, by_regime={lead.removesuffix("."): RegimeWeights(*own) for lead, own in made.items()})

    def _weights(self, lead: str, prism: Prism, row: int) -> tuple[dict[str, float], dict[str, float]]:
        """Weights of faces, and of components by dotted name, those included of which there is no data."""
        faces = {face.name: float(self.columns[f"{lead}{face.name}"][row]) for face in prism.faces}
        parts = {name: float(self.columns[f"{lead}{name}"][row]) for name, _, _ in prism}
        absent = {f"{face.name}.{name}": w for face in prism.faces for name, w in face.unavailable.items()}
        return faces, parts | absent

    def signal_settings(self, row: int) -> SignalSettings:
        """Give the settings of one configuration, for the full backtest.

        Raises
        ------
        ConfigError
            If no configuration file could hold them.
        """
        changed = {name: float(self.columns[name][row]) for name in THRESHOLDS}
        measures: dict[str, object] = {name: float(self.columns[name][row]) for name in MEASURES}
        measures["target_r"] = tuple(float(self.columns[name][row]) for name in TARGETS)
        levels = {name: getattr(self.settings.levels, name) for name in type(self.settings.levels).model_fields}
        rest = {name: getattr(self.settings, name) for name in type(self.settings).model_fields}
        try:
            drawn = type(self.settings.levels).model_validate(levels | measures)
            return type(self.settings).model_validate(rest | changed | {"levels": drawn})
        except ValueError as refused:
            raise ConfigError(f"Configuration {row} of the sweep cannot be: {refused}") from None

    def overlay(self, row: int) -> dict[str, Any]:
        """Return one configuration as settings: laid over those in force, the full backtest is this configuration."""

        def of(name: str) -> float:
            return float(self.columns[name][row])

        weights: dict[str, dict[str, object]] = {}
        for lead, prism in weightings(self.given):
            weights[lead] = faces = {}
            for face in prism.faces:
                own = {component.name: of(f"{lead}{face.name}.{component.name}") for component in face.components}
                faces[face.name] = {"weight": of(f"{lead}{face.name}"), "components": own | dict(face.unavailable)}
        prisms: dict[str, object] = {"faces": weights.pop("")}
        if weights:
            prisms["by_regime"] = {lead.removesuffix("."): {"faces": faces} for lead, faces in weights.items()}
        levels: dict[str, object] = {name: of(name) for name in MEASURES}
        levels["target_r"] = [of(name) for name in TARGETS]
        return {"prism": prisms, "signals": {name: of(name) for name in THRESHOLDS} | {"levels": levels}}

    def written(self, row: int) -> str:
        """Write one configuration as YAML; see `overlay`."""
        import yaml

        return yaml.safe_dump(self.overlay(row), sort_keys=False)

    @cached_property
    def face_weights(self) -> Array:
        """Weights of the faces, those of each regime that has its own after each other, shape (n, n_sets * n_faces)."""
        sets = weightings(self.given)
        return np.column_stack([self.columns[f"{lead}{face.name}"] for lead, own in sets for face in own.faces])

    @cached_property
    def thresholds(self) -> Array:
        """Thresholds of the rule, shape (n, 5)."""
        return np.column_stack([self.columns[name] for name in THRESHOLDS])

    @cached_property
    def measures(self) -> Array:
        """Measures of the levels, shape (n, 9)."""
        return np.column_stack([self.columns[name] for name in (*MEASURES, *TARGETS)])

    @cached_property
    def shares(self) -> Array:
        """Share of each component in its face, as the prism's assembly takes it, shape (n, n_sets * n_components)."""
        blocks = []
        for lead, face in ((lead, face) for lead, own in weightings(self.given) for face in own.faces):
            if face.components:
                unavailable = sum(map(abs, face.unavailable.values()))
                part = np.column_stack([self.columns[f"{lead}{face.name}.{one.name}"] for one in face.components])
                total = np.array([sum(map(abs, row)) + unavailable for row in part.tolist()])[:, None]
                blocks.append(np.divide(part, total, out=np.zeros_like(part), where=total > 0.0))
        return np.hstack(blocks)

    def _check(self) -> None:
        """Refuse rows that no configuration file could hold, naming the first."""
        c, given = self.columns, in_force(self.given, self.settings)
        weights = {lead + name for lead, own in weightings(self.given) for name in (*own.face_weights, *_names(own))}
        for name in c:
            wrong, side = ~np.isfinite(c[name]), "below"
            if name in weights or name in (*MEASURES, *TARGETS):
                turned = given[name] < 0.0  # a sweep varies sizes of weights; signs are set in a file
                side = "above" if turned else "below"
                wrong |= c[name] > 0.0 if turned else c[name] < 0.0
            self._refuse(wrong, f"{name} is not known or {side} 0")
        sizes = np.split(np.abs(self.face_weights), 1 + len(self.given.by_regime), axis=1)
        for regime, own in zip(("", *self.given.by_regime), sizes, strict=True):
            where = f" in a {regime}" if regime else ""
            off = np.abs(own.sum(axis=1) - 1.0) > ROUNDING
            self._refuse(off, f"the weights of the faces do not sum to 1{where}")
        bull = (c["bull_leave"] >= 50.0) & (c["bull_leave"] < c["bull_enter"]) & (c["bull_enter"] <= 100.0)
        bear = (c["bear_leave"] <= 50.0) & (c["bear_enter"] < c["bear_leave"]) & (c["bear_enter"] >= 0.0)
        order = "0 <= bear_enter < bear_leave <= 50 <= bull_leave < bull_enter <= 100 does not hold"
        self._refuse(~(bull & bear), order)
        self._refuse(~((c["stop_min"] > 0.0) & (c["stop_min"] <= c["stop_max"])), "0 < stop_min <= stop_max is broken")
        reached = c["min_target_r"]
        for name in TARGETS:
            self._refuse(c[name] < reached, f"{name} is nearer than min_target_r and target_gap_r allow")
            reached = c[name] + c["target_gap_r"]

    def _refuse(self, wrong: np.ndarray, why: str) -> None:
        if wrong.any():
            raise ConfigError(f"Configuration {int(np.flatnonzero(wrong)[0])} of the sweep cannot be: {why}.")


def weightings(prism: Prism) -> list[tuple[str, Prism]]:
    """Return what leads the columns of each set of weights, such as `calm trend.`, and the prism of that set alone."""
    regimes = [(f"{regime}.", prism.in_regime(regime)) for regime in prism.by_regime]
    return [("", replace(prism, by_regime={})), *regimes]


def _names(prism: Prism) -> list[str]:
    return [name for name, _, _ in prism]


def in_force(prism: Prism, settings: SignalSettings) -> dict[str, float]:
    """What is in force, by column."""
    levels, weights = settings.levels, dict[str, float]()
    for lead, own in weightings(prism):
        weights |= {f"{lead}{face.name}": float(own.face_weights[face.name]) for face in own.faces}
        weights |= {f"{lead}{name}": float(weight) for name, _, weight in own}
    return {
        **weights,
        **{name: float(getattr(settings, name)) for name in THRESHOLDS},
        **{name: float(getattr(levels, name)) for name in MEASURES},
        **dict(zip(TARGETS, (float(r) for r in levels.target_r), strict=True)),
    }
