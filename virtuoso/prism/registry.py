"""The prism that settings describe: their weights and parameters, and the components that users bring."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from virtuoso.errors import ConfigError, DeclarationError, PrivateCodeError, VirtuosoError, did_you_mean, failure
from virtuoso.prism.component import Component
from virtuoso.prism.face import Face
from virtuoso.prism.faces import FACES
from virtuoso.prism.prism import Prism, RegimeWeights
from virtuoso.prism.settings import FaceSettings, PrismSettings, RegimeSettings
from virtuoso.project import project

Kind = TypeVar("Kind")


def prism_from(settings: PrismSettings) -> Prism:
    """Build the prism that settings describe: their weights, parameters and private components.

    Parameters
    ----------
    settings : PrismSettings

    Returns
    -------
    Prism

    Raises
    ------
    ConfigError
        If a weight or parameter names a component that does not exist.
    ParameterError
        If a parameter lies outside its range.
    """
    private = [private_component(path) for path in settings.components]
    chosen = settings.faces.by_name()
    for component in private:
        if not any(component.name in face.components for face in chosen.values()):
            raise ConfigError(
                f"The private component {component!r} has no weight. Give it one under a face, such as "
                f"prism.faces.technical.components.{component.name}: 0.1, and lower the others to make room."
            )
    faces = tuple(_face(face, chosen[face.name], private) for face in FACES)
    weights = {name: face.weight for name, face in chosen.items()}
    return Prism(
        faces,
        weights,
        dict(settings.timeframes),
        {regime: _in_regime(other) for regime, other in settings.by_regime.items()},
        horizon=settings.horizon,
        usual=settings.standard,
        certificate=settings.certificate,
    )


def _in_regime(settings: RegimeSettings) -> RegimeWeights:
    """Return the weights that settings name for one regime."""
    faces = {name: face.weight for name, face in settings.faces.items() if face.weight is not None}
    parts = {f"{name}.{part}": w for name, face in settings.faces.items() for part, w in face.components.items()}
    return RegimeWeights(faces, parts)


def private_component(path: str) -> Component:
    """Import a component named `package.module:Class` and make it with its defaults.

    Raises
    ------
    ConfigError
        There is no such module, or the root of the project belongs to another user.
    PrivateCodeError
        Importing it or making the component fails: names the file, the line and what Python says.
    DeclarationError
        It is no component.
    """
    found = private_class(path, "prism.components", Component)
    try:
        return found()
    except VirtuosoError:
        raise
    except Exception as fault:
        raise PrivateCodeError(f"prism.components names {path!r}, whose code fails {failure(fault)}.") from fault


def private_class(path: str, said: str, kind: type[Kind]) -> type[Kind]:
    """Import a class of the user's that is named `package.module:Class`.

    Parameters
    ----------
    path : str
        The module is looked for in the working folder, in the root of the project and on PYTHONPATH.
    said : str
        Who names it, for errors: `prism.components`, `strategy`.
    kind : type
        What it must be a subclass of: Component, Strategy.

    Raises
    ------
    ConfigError
        There is no such module, or the root of the project belongs to another user.
    PrivateCodeError
        Importing it fails: names the file, the line and what Python says.
    DeclarationError
        It is no such class.
    """
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise ConfigError(f"{said} names {path!r}; a class is named as module:Class, such as my_module:EmaCross.")
    root = project().root  # refuses one that another user owns: private code runs from it
    for folder in map(str, (Path.cwd(), root)):
        if folder not in sys.path:
            sys.path.append(folder)  # at the end: a module beside the notebook hides none that is installed
    try:
        holder = import_module(module)
    except (VirtuosoError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"{said} names {path!r}, but {missing}. It is looked for in the working folder, in the root of "
            f"the project ({root}) and on PYTHONPATH."
        ) from None
    except BaseException as fault:  # SystemExit too: private code does not end the program that uses it
        raise PrivateCodeError(f"{said} names {path!r}, whose code fails {failure(fault)}.") from fault
    found = getattr(holder, name, None)
    if isinstance(found, type) and issubclass(found, kind):
        return found
    there = [key for key, one in vars(holder).items() if isinstance(one, type) and issubclass(one, kind)]
    hint = did_you_mean(name, [one for one in there if one != kind.__name__]) if found is None else ""
    raise DeclarationError(
        f"{said} names {path!r}, which is not a subclass of virtuoso.{kind.__name__}. {hint}".rstrip()
    )


def _face(face: Face, settings: FaceSettings, private: list[Component]) -> Face:
    """Lay settings over one face."""
    known = {component.name: component for component in (*face.components, *face.gates, *private)}
    names = [*known, *face.unavailable]
    for name in (*settings.components, *settings.parameters):
        if name not in names:
            raise ConfigError(f"The {face.name} face has no component {name!r}. {did_you_mean(name, names)}")
    for name in settings.parameters:
        known[name] = known[name].replace(**settings.parameters[name])
    components = {known[name]: weight for name, weight in settings.components.items() if name in known}
    unavailable = {name: weight for name, weight in settings.components.items() if name in face.unavailable}
    gates = tuple(gate.replace(**known[gate.name].settings()) for gate in face.gates)
    return replace(face, components=components, gates=gates, unavailable=unavailable)
