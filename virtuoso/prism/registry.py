"""The prism that settings describe: their weights and parameters, and the components that users bring."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from virtuoso.errors import ConfigError, DeclarationError, PrivateCodeError, VirtuosoError, did_you_mean, failure
from virtuoso.prism.component import Component
from virtuoso.prism.face import Face
from virtuoso.prism.faces import FACES
from virtuoso.prism.prism import Prism
from virtuoso.prism.settings import FaceSettings, PrismSettings
from virtuoso.project import project


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
    return Prism(faces, weights, dict(settings.timeframes))


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
    module, _, name = path.partition(":")
    root = project().root  # refuses one that another user owns: code of private components runs from it
    for folder in map(str, (Path.cwd(), root)):
        if folder not in sys.path:
            sys.path.append(folder)  # at the end: a module beside the notebook hides none that is installed
    try:
        found = getattr(import_module(module), name, None)
        if isinstance(found, type) and issubclass(found, Component):
            return found()
    except (VirtuosoError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"prism.components names {path!r}, but {missing}. It is looked for in the working folder, in the root of "
            f"the project ({root}) and on PYTHONPATH."
        ) from None
    except BaseException as fault:  # SystemExit too: a component does not end the program that asks for its scores
        raise PrivateCodeError(f"prism.components names {path!r}, whose code fails {failure(fault)}.") from fault
    raise DeclarationError(f"prism.components names {path!r}, which is not a subclass of virtuoso.Component.")


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
