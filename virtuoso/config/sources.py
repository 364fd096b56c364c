"""Where settings come from: strict YAML files, the environment and `.env`.

1. `read_yaml` reads one file as a layer: plain values only, no tags, no anchors, no duplicate keys, nothing that YAML
   1.1 and 1.2 read differently, at most 1 MB.
2. `project_layers` finds the files of a project, `weight_layers` and `calibration_layer` what they name: weights, and
   the table of reliability.
3. `read_environment` joins `.env` and the environment; `environment_layers` turns VIRTUOSO_SECTION__KEY into layers.
4. `option_layers` turns `--set KEY=VALUE` and `--data DIR` into layers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from virtuoso.config.layers import Layer
from virtuoso.errors import ConfigError, SecretError, did_you_mean
from virtuoso.files.plain_yaml import KeyPath, dotted, parse_yaml, text_of
from virtuoso.prism.settings import DEFAULT_WEIGHTS
from virtuoso.settings import shipped

PREFIX = "VIRTUOSO_"
OTHERS_MAY_READ = 0o077
WEIGHT_KEYS = ("timeframes", "faces", "by_regime", "horizon", "standard", "certificate")
OF_ONE_FILE = ("standard", "certificate")
"""What was found out about the weights of a file: another file laid over it does not inherit it."""
SETTING = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_:]+)*")
"""A key as an option names it: `signals.bull_enter`, `prism.timeframes.5m`."""


def read_yaml(file: Path, root: Path) -> Layer:
    """Read one configuration file.

    Parameters
    ----------
    file : Path
        It must exist and hold a mapping; an empty one is a mapping without keys.
    root : Path
        The project's folder; messages name files relative to it.

    Raises
    ------
    ConfigError
        If it is missing, too large, not UTF-8, not plain YAML or not a mapping.
    """
    source = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
    if not file.is_file():
        siblings = [path.name for path in file.parent.glob("*.y*ml")] if file.parent.is_dir() else []
        raise ConfigError(f"There is no configuration file {source}. {did_you_mean(file.name, siblings)}")
    tree, lines = parse_yaml(text_of(file, source), source)
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{source} must hold settings such as 'system: ...', but holds a {type(tree).__name__}.")
    # a section whose lines are all commented out
    tree = {key: value for key, value in tree.items() if value is not None}
    return Layer(source, tree, lines, file.parent)


def project_layers(root: Path, profile: str | None, files: Iterable[str | Path]) -> Iterator[Layer]:
    """Read the shipped base, the project's base, a profile and further files, in the order in which they win.

    Raises
    ------
    ConfigError
        If the profile or a file does not exist; names the nearest one that does.
    """
    own = root / "configs"
    yield read_yaml(shipped("base.yaml"), root)
    if (own / "base.yaml").is_file() and not (own / "base.yaml").samefile(shipped("base.yaml")):
        yield read_yaml(own / "base.yaml", root)
    profiles = profiles_of(root)
    if profile is not None:
        if profile not in profiles:
            raise ConfigError(f"There is no profile {profile!r} in configs/profiles. {did_you_mean(profile, profiles)}")
        yield read_yaml(profiles[profile], root)
    for file in files:
        if str(file) in profiles and not Path(file).is_file():
            raise ConfigError(f"{file} is a profile, not a file. Use profile={str(file)!r}, or -p {file}.")
        yield read_yaml(Path(file).absolute(), root)


def profiles_of(root: Path) -> dict[str, Path]:
    """Return the files of the profiles that a project can name, by name."""
    folders = (shipped("profiles"), root / "configs" / "profiles")  # the project's own win
    return {file.stem: file for folder in folders for file in folder.glob("*.yaml")}


def weight_layers(name: str, origin: Layer | None, root: Path) -> Iterator[Layer]:
    """Read the shipped weights and the file that `prism.weights` names, which alone says what its weights are worth.

    Parameters
    ----------
    name : str
        Looked for beside the file of the project that names it, in the project's `configs/` and folder, then among
        the shipped files.
    origin : Layer or None
        Where the name stands.

    Raises
    ------
    ConfigError
        If there is no such file, or it holds keys that no file of weights has.
    """
    file = _named_file(name, origin, ("prism", "weights"), root, "weights/*.yaml")
    for path in dict.fromkeys((shipped(DEFAULT_WEIGHTS), file)):
        layer = read_yaml(path, root)
        if path != file:
            layer = replace(layer, tree={key: layer.tree[key] for key in layer.tree if key not in OF_ONE_FILE})
        for key in layer.tree:
            if key not in WEIGHT_KEYS:
                raise ConfigError(
                    f"{key} in {layer.where((key,))} does not belong into a file of weights. "
                    f"{did_you_mean(key, WEIGHT_KEYS)}"
                )
        yield replace(layer, tree={**dict.fromkeys(OF_ONE_FILE), **layer.tree}).under("prism")


def calibration_layer(name: str, origin: Layer | None, root: Path) -> Layer:
    """Read the table of reliability that `signals.calibration` names; it is looked for as weights are.

    Raises
    ------
    ConfigError
        If there is no such file.
    """
    file = _named_file(name, origin, ("signals", "calibration"), root, "calibration/*.yaml")
    return read_yaml(file, root).under("signals", "calibration")


def _named_file(name: str, origin: Layer | None, key: KeyPath, root: Path, pattern: str) -> Path:
    """Find a file that a setting names: beside the file of the project that names it, in the project, then shipped."""
    beside = [origin.folder] if origin and origin.folder and not origin.folder.is_relative_to(shipped("")) else []
    candidates = [folder / name for folder in (*beside, root / "configs", root, shipped(""))]
    file = next((candidate for candidate in candidates if candidate.is_file()), None)
    if file is None:
        folders = (root / "configs", shipped(""))
        known = {path.relative_to(folder).as_posix() for folder in folders for path in folder.glob(pattern)}
        where = f" in {origin.where(key)}" if origin else ""
        raise ConfigError(f"{dotted(key)}{where} names {name!r}, which does not exist. {did_you_mean(name, known)}")
    return file


def read_environment(root: Path, env: Mapping[str, str] | None) -> tuple[dict[str, str], frozenset[str]]:
    """Join the project's `.env` and the environment; the environment wins, and empty values count as not set.

    Returns
    -------
    tuple
        The variables, and the names of those that `.env` gave.

    Raises
    ------
    SecretError
        If `.env` holds values and others may read it.
    ConfigError
        If a line of it cannot be read.
    """
    outer = {name: value for name, value in (os.environ if env is None else env).items() if value}
    file = root / ".env"
    inner = _read_dotenv(file) if file.is_file() else {}
    return {**inner, **outer}, frozenset(inner) - frozenset(outer)


def _read_dotenv(file: Path) -> dict[str, str]:
    from dotenv.parser import parse_stream  # only where there is a .env to read

    values: dict[str, str] = {}
    for binding in parse_stream(StringIO(text_of(file, ".env"))):
        if binding.error or (binding.key is not None and binding.value is None):
            raise ConfigError(f".env, line {binding.original.line} is not NAME=value (its text is not shown).")
        if binding.key is not None and binding.value:
            values[binding.key] = binding.value
    mode = file.stat().st_mode & 0o777
    if values and os.name == "posix" and mode & OTHERS_MAY_READ:
        raise SecretError(f".env holds secrets and others may read it (mode {mode:03o}). Run: chmod 600 {file}")
    return values


def environment_layers(
    env: Mapping[str, str], from_dotenv: Container[str], sections: Container[str]
) -> Iterator[Layer]:
    """Turn VIRTUOSO_SECTION__KEY=value into layers, one a variable; VIRTUOSO_DATA is the data root.

    A value that begins with { or [ is read as YAML; any other is taken as it stands, and the setting's own type
    decides what it means.

    Raises
    ------
    ConfigError
        If VIRTUOSO_DATA and VIRTUOSO_DATA__ROOT contradict each other.
    """
    if env.get("VIRTUOSO_DATA", "") != env.get("VIRTUOSO_DATA__ROOT", env.get("VIRTUOSO_DATA", "")):
        raise ConfigError(
            f"VIRTUOSO_DATA is {env['VIRTUOSO_DATA']!r} and VIRTUOSO_DATA__ROOT is {env['VIRTUOSO_DATA__ROOT']!r}; "
            "both mean data.root. Unset one."
        )
    for name in sorted(env):
        keys = name.removeprefix(PREFIX).lower().split("__")
        if not name.startswith(PREFIX) or (len(keys) == 1 and keys[0] not in sections):
            continue
        source = f"{name} in .env" if name in from_dotenv else f"the environment variable {name}"
        value: Any = env[name]
        if value.lstrip().startswith(("{", "[")):
            value, _ = parse_yaml(value, source)
        keys = ["data", "root"] if name == "VIRTUOSO_DATA" else keys
        yield Layer(source, {keys[-1]: value}).under(*keys[:-1])


def layer_of(source: str, key: str, value: Any) -> Layer:
    """Return one setting, by its dotted key, as a layer."""
    *sections, name = key.split(".")
    return Layer(source, {name: value}).under(*sections)


def option_layers(assignments: Iterable[str], data: Path | None = None) -> Iterator[Layer]:
    """Turn options of the command line into layers: each `--set KEY=VALUE`, the later one wins, then `--data`.

    A value is read as YAML: `60` is a number, `true` a yes, `{5m: 0.6, 1h: 0.4}` a table.

    Raises
    ------
    ConfigError
        If one is not KEY=VALUE, or its value is not YAML.
    """
    for text in assignments:
        key, sign, value = text.partition("=")
        if not sign or not SETTING.fullmatch(key.strip()):
            raise ConfigError(
                f"--set {text}: that is not KEY=VALUE. Write a setting with its section, such as "
                "--set signals.bull_enter=60; `virtuoso config show` lists them."
            )
        read, _ = parse_yaml(value, f"--set {key.strip()}")
        yield layer_of("--set", key.strip(), read)
    if data is not None:
        yield layer_of("--data", "data.root", str(data))
