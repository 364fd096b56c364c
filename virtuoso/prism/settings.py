"""What the prism weighs: timeframes, faces, components and their parameters.

1. The numbers themselves live in one file, `configs/weights/default.yaml`, which ships in the wheel; `PrismSettings()`
   reads it. Other files and settings are laid over it by `virtuoso.config`.
2. Weights of faces and components may be negative, -1..1: what has one counts as 100 - score, by the size of its
   weight. The sizes of a group sum to 1.
3. A file also says for which hold its weights are meant, and what they have shown (weights.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any

import yaml
from pydantic import Field, PlainValidator, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError, did_you_mean
from virtuoso.prism.weights import Certificate, Standard
from virtuoso.prism.words import REGIMES
from virtuoso.settings import (
    RoomSettings,
    SignedWeight,
    SpanSetting,
    Table,
    Weight,
    fraction,
    shipped,
    sums_to_one,
)

DEFAULT_WEIGHTS = "weights/default.yaml"
_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@lru_cache(maxsize=1)
def shipped_weights() -> Mapping[str, Any]:
    """Read the file of weights that ships with Virtuoso, fractions as numbers; callers must not change it."""
    weights: Mapping[str, Any] = _numbers(yaml.safe_load(shipped(DEFAULT_WEIGHTS).read_text(encoding="utf-8")))
    return weights


def _numbers(value: Any) -> Any:
    return {key: _numbers(item) for key, item in value.items()} if isinstance(value, dict) else fraction(value)


def _refuse_unknown(name: str, known: Iterable[str], what: str, at: tuple[str, ...]) -> None:
    if name not in known:
        said = {"what": what, "hint": did_you_mean(name, known).rstrip("."), "at": at}
        raise PydanticCustomError("unknown", "is not {what}. {hint}", said)


def _parameter(value: object) -> bool | int | float | str:
    if isinstance(value, (bool, int, float, str)) and value not in (float("inf"), float("-inf")) and value == value:
        return value
    raise PydanticCustomError("parameter", "must be a finite number, a text or true or false")


Parameter = Annotated[
    bool | int | float | str,
    PlainValidator(_parameter),
    WithJsonSchema({"type": ["boolean", "integer", "number", "string"]}),
]


class FaceSettings(RoomSettings):
    """One face: its share of the confluence, and its components."""

    weight: SignedWeight = Field(description="Share of the confluence; negative counts against it.")
    components: Table[SignedWeight] = Field(
        description="Share of each component of the face; they sum to 1, signs aside."
    )
    parameters: Table[Table[Parameter]] = Field(
        default_factory=lambda: Table({}),
        description="Parameters that differ from what a component declares, such as `{rsi: {period: 21}}`.",
    )

    @field_validator("components")
    @classmethod
    def _components_sum_to_one(cls, components: Table[float]) -> Table[float]:
        sums_to_one(components.values(), "the weights of a face's components")
        return components


class FacesSettings(RoomSettings):
    """The six faces; their weights sum to 1."""

    technical: FaceSettings
    volume: FaceSettings
    orderflow: FaceSettings
    orderbook: FaceSettings
    price_structure: FaceSettings
    sentiment: FaceSettings

    @model_validator(mode="after")
    def _faces_sum_to_one(self) -> FacesSettings:
        sums_to_one((face.weight for face in self.by_name().values()), "the weights of the six faces")
        return self

    def by_name(self) -> dict[str, FaceSettings]:
        """Return the faces in their order, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class RegimeFaceSettings(RoomSettings):
    """One face in one regime: what is not named is as elsewhere."""

    weight: SignedWeight | None = Field(None, description="Share of the confluence.")
    components: Table[SignedWeight] = Field(
        default_factory=lambda: Table({}), description="Shares of components of the face that differ."
    )


class RegimeSettings(RoomSettings):
    """The weights of faces and components that differ in one regime."""

    faces: Table[RegimeFaceSettings] = Field(
        default_factory=lambda: Table({}), description="Faces whose weights differ."
    )


class PrismSettings(RoomSettings):
    """Timeframes, faces, and the components that users bring."""

    weights: str = Field(
        DEFAULT_WEIGHTS,
        description="File of weights, laid over the shipped ones and under these settings.",
    )
    timeframes: Table[Weight] = Field(
        default_factory=lambda: Table(shipped_weights()["timeframes"]),
        description="Share of each timeframe in a component's score; they sum to 1 and are replaced as a whole.",
    )
    base: str | None = Field(
        None, description="Base timeframe where none is named; the finest stored if absent, or if that is slower."
    )
    faces: FacesSettings = Field(
        default_factory=lambda: FacesSettings.model_validate(shipped_weights()["faces"]), description="The six faces."
    )
    by_regime: Table[RegimeSettings] = Field(
        default_factory=lambda: Table({}),
        description="Weights that differ in a regime, such as `{calm trend: {faces: {technical: {weight: 0.2}}}}`.",
    )
    components: tuple[str, ...] = Field(
        default=(), description="Private components, as `package.module:Class`; they get a weight under their face."
    )

    horizon: SpanSetting | None = Field(
        default_factory=lambda: shipped_weights()["horizon"],
        description="Hold that the weights are meant for; declared in their file.",
    )
    standard: Standard | None = Field(
        None, description="Mean and spread of the confluence over the stretch that the weights were fitted on."
    )
    certificate: Certificate | None = Field(
        default_factory=lambda: shipped_weights()["certificate"],
        description="What the weights have shown; `virtuoso promote` writes it into their file.",
    )

    @field_validator("timeframes")
    @classmethod
    def _is_a_ladder(cls, timeframes: Table[float]) -> Table[float]:
        try:
            ladder = sorted(Timeframe(name) for name in timeframes)
            for slow in ladder:
                slow.ratio(ladder[0])
        except ConfigError as refused:
            raise PydanticCustomError("timeframes", "{message}", {"message": str(refused).rstrip(".")}) from None
        sums_to_one(timeframes.values(), "the weights of the timeframes")
        return Table({timeframe.name: timeframes[timeframe.name] for timeframe in ladder})

    @field_validator("base")
    @classmethod
    def _is_a_timeframe(cls, base: str | None) -> str | None:
        try:
            return None if base is None else Timeframe(base).name
        except ConfigError as refused:
            raise PydanticCustomError("timeframe", "{message}", {"message": str(refused).rstrip(".")}) from None

    @field_validator("by_regime", mode="before")
    @classmethod
    def _regimes_have_faces_with_weights(cls, given: Any) -> Any:
        for regime, other in given.items() if isinstance(given, Mapping) else ():
            at = ("prism", "by_regime", str(regime))
            for key in other if isinstance(other, Mapping) else ():
                _refuse_unknown(str(key), RegimeSettings.model_fields, "a setting of a regime", (*at, str(key)))
            faces = other.get("faces") if isinstance(other, Mapping) else None
            for name, face in faces.items() if isinstance(faces, Mapping) else ():
                for key in face if isinstance(face, Mapping) else ():
                    where = (*at, "faces", str(name), str(key))
                    _refuse_unknown(str(key), RegimeFaceSettings.model_fields, "a setting of a face here", where)
        return given

    @model_validator(mode="after")
    def _regimes_can_be_weighed(self) -> PrismSettings:
        faces = self.faces.by_name()
        for regime, other in self.by_regime.items():
            at = ("prism", "by_regime", regime)
            _refuse_unknown(regime, REGIMES, "a regime", at)
            for name, face in other.faces.items():
                _refuse_unknown(name, faces, "a face", (*at, "faces", name))
                for component in face.components:
                    where = (*at, "faces", name, "components", component)
                    _refuse_unknown(component, faces[name].components, f"a component of the {name} face", where)
                sums_to_one(
                    {**faces[name].components, **face.components}.values(), f"the weights of {name} in a {regime}"
                )
            weights = {name: face.weight for name, face in faces.items()}
            own = {name: face.weight for name, face in other.faces.items() if face.weight is not None}
            sums_to_one({**weights, **own}.values(), f"the weights of the six faces in a {regime}")
        return self

    @field_validator("components")
    @classmethod
    def _name_classes(cls, components: tuple[str, ...]) -> tuple[str, ...]:
        for name in components:
            if not _CLASS.fullmatch(name):
                raise PydanticCustomError("component", "must be package.module:Class, was '{name}'", {"name": name})
        if len(set(components)) < len(components):
            raise PydanticCustomError("component", "names a component twice")
        return components
