"""The settings of a run: composed from the rooms, read from YAML, silent about secrets.

1. `Settings.load` lays the shipped base, the project's `configs/base.yaml`, a profile, the -c files, the environment
   and what the caller sets over each other; later wins.
2. `${NAME}` is filled in from the environment and `.env`; secrets keep the name and are asked for by
   `settings.secret` when a private call needs them.
3. The result is checked as one tree of frozen models. What is wrong is a `ConfigError` that names the key, the
   value, the file and the remedy.
4. `show` says what is in force and why; `fingerprint` is what provenance records.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from virtuoso.account.settings import RiskSettings, TradingSettings
from virtuoso.config import shown
from virtuoso.config.layers import Layer, Merged
from virtuoso.config.reference import Key, explained, keys_of, table_of
from virtuoso.config.sources import (
    calibration_layer,
    environment_layers,
    layer_of,
    project_layers,
    read_environment,
    weight_layers,
)
from virtuoso.errors import ConfigError, SecretError, VirtuosoError, did_you_mean
from virtuoso.files.plain_yaml import KeyPath, dotted
from virtuoso.prism.settings import DEFAULT_WEIGHTS, PrismSettings, shipped_weights
from virtuoso.settings import LITERAL_SECRET, REFERENCE, Folder, RoomSettings, Secret, SecretText, Uri
from virtuoso.signals.settings import SignalSettings

FUTURES_VENUES = {"binance": "binance-usdm"}  # elsewhere linear contracts are called linear
TEST_KEY = re.compile(r"TESTNET|SANDBOX", re.IGNORECASE)
SHOWN_ERRORS = 10
WHOLE = frozenset(  # replaced, not mixed with another
    (
        *(("prism", name) for name in ("timeframes", "by_regime", "standard", "certificate")),
        ("signals", "calibration"),
    )
)


class SystemSettings(RoomSettings):
    """What kind of run this is, and how much it says."""

    environment: Literal["development", "research", "paper", "production"] = Field(
        "development", description="`production` means real orders and refuses testnet keys."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="The least severe message that is written."
    )
    debug_mode: bool = Field(False, description="Show tracebacks instead of one-line errors.")


class DataSettings(RoomSettings):
    """Where market history lives."""

    root: Folder = Field(
        Path("data"), description="Folder of raw, lake and scores; `VIRTUOSO_DATA` and `--data` set it."
    )


class ExchangeSettings(RoomSettings):
    """One market of one exchange."""

    name: str = Field(pattern=r"^[a-z][a-z0-9]*$", description="The exchange as ccxt calls it, such as `binance`.")
    type: Literal["spot", "futures"] = Field(description="Which of its markets.")
    api_key: Secret | None = Field(None, description="Reference to the key, such as `${BINANCE_API_KEY}`.")
    api_secret: Secret | None = Field(None, description="Reference to the secret, such as `${BINANCE_API_SECRET}`.")
    testnet: bool = Field(False, description="Talk to the exchange's test network.")

    @property
    def venue(self) -> str:
        """The venue token of its instruments: `binance-usdm`, `binance-spot`, `bybit-linear`."""
        return f"{self.name}-spot" if self.type == "spot" else FUTURES_VENUES.get(self.name, f"{self.name}-linear")


class AlertSettings(RoomSettings):
    """Alerts; the room is not built yet and has no keys, so any key is refused instead of ignored."""


class ApiSettings(RoomSettings):
    """Where the signals API listens."""

    host: str = Field(
        "127.0.0.1", min_length=1, description="Address to listen on; the default answers this machine alone."
    )
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")


class TrackingSettings(RoomSettings):
    """Where experiments are tracked."""

    uri: Uri = Field(
        default=SecretText("sqlite:///experiments/tracking.db"),
        description="MLflow tracking store; a password in it is written as `${NAME}`.",
    )
    enabled: bool = Field(
        True, description="Whether studies and what is promoted of them are written to MLflow; `--track` writes a run."
    )
    studies: Uri | None = Field(
        None,
        description="Database of studies, such as `postgresql://USER:${PASSWORD}@HOST/NAME`; if absent, a journal in "
        "the folder of each.",
    )


class Credentials(NamedTuple):
    """What a private call signs with; printed, it shows stars."""

    api_key: SecretStr
    api_secret: SecretStr


class Settings(RoomSettings):
    """Everything that can be set, checked as a whole."""

    system: SystemSettings = Field(default_factory=SystemSettings)
    data: DataSettings = Field(default_factory=DataSettings)
    exchanges: tuple[ExchangeSettings, ...] = Field(default=(), description="Markets that are read and traded.")
    prism: PrismSettings = Field(default_factory=PrismSettings)
    signals: SignalSettings = Field(default_factory=SignalSettings)
    trading: TradingSettings = Field(default_factory=TradingSettings)
    risk: RiskSettings = Field(default_factory=RiskSettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)

    _origins: dict[KeyPath, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _markets_are_distinct(self) -> Settings:
        venues: set[str] = set()
        for venue in (exchange.venue for exchange in self.exchanges):
            if venue in venues:
                raise PydanticCustomError(
                    "exchanges", "lists {venue} twice; keep one", {"venue": venue, "at": ("exchanges",)}
                )
            venues.add(venue)
        return self

    @model_validator(mode="after")
    def _production_has_no_test_keys(self) -> Settings:
        for i, exchange in enumerate(self.exchanges if self.system.environment == "production" else ()):
            secrets = [secret.text for secret in (exchange.api_key, exchange.api_secret) if secret]
            if exchange.testnet or any(TEST_KEY.search(text) for text in secrets):
                raise PydanticCustomError(
                    "secret",
                    "uses a test network or its keys ({found}), but system.environment is production. "
                    "Set system.environment to paper, or testnet to false with keys of the real exchange",
                    {"found": ", ".join(["testnet: true"] * exchange.testnet + secrets), "at": ("exchanges", i)},
                )
        return self

    @model_validator(mode="after")
    def _one_position_fits_the_heat(self) -> Settings:
        if self.trading.base_position_size > self.risk.position_heat:
            raise PydanticCustomError(
                "heat",
                "is more than risk.position_heat {heat}, so that no position could ever be opened",
                {"heat": self.risk.position_heat, "at": ("trading", "base_position_size")},
            )
        return self

    @classmethod
    def load(
        cls,
        *files: str | Path,
        profile: str | None = None,
        root: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
        layers: Iterable[Layer] = (),
    ) -> Settings:
        """Read the settings in force.

        Parameters
        ----------
        *files : str or Path
            Further YAML files, later wins.
        profile : str, optional
            `configs/profiles/{profile}.yaml`, the project's or else the shipped one.
        root : str or Path, optional
            The project's folder, with `configs/` and `.env`; the working directory if not given.
        env : mapping, optional
            The environment; `os.environ` if not given.
        overrides : mapping, optional
            Settings by dotted key, such as `{"signals.bull_enter": 60}`; they win over files and environment.
        layers : iterable of Layer
            What options of the command line say (`option_layers`); they win over everything.

        Raises
        ------
        ConfigError
            If a key is unknown or a value impossible: names the key, the value, the file and the remedy.
        SecretError
            If a file holds a literal secret, `.env` can be read by others, or production is given test keys.
        """
        folder = Path.cwd() if root is None else Path(root).absolute()
        variables, from_dotenv = read_environment(folder, env)
        laid = [
            *project_layers(folder, profile, files),
            *environment_layers(variables, from_dotenv, cls.model_fields),
            *(layer_of("overrides", key, value) for key, value in (overrides or {}).items()),
            *layers,
        ]
        return _validated(_merged(laid, folder, variables), variables)

    def __repr__(self) -> str:
        return shown.text_of(self.fingerprint(), self._sections())

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return shown.html_of(self.fingerprint(), self._sections())

    def _sections(self) -> dict[str, list[shown.Shown]]:
        return shown.sections_of(self.masked(), Settings().masked())

    def exchange(self, name: str) -> ExchangeSettings:
        """Find a configured market by its venue (`binance-usdm`) or, where there is one, its exchange (`binance`).

        Raises
        ------
        ConfigError
            If none or more than one is configured.
        """
        found = [exchange for exchange in self.exchanges if name in (exchange.venue, exchange.name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(f"{name!r} has several markets here: {', '.join(e.venue for e in found)}. Name one.")
        venues = {known for exchange in self.exchanges for known in (exchange.venue, exchange.name)}
        raise ConfigError(f"No exchange {name!r} is configured under exchanges. {did_you_mean(name, venues)}")

    def secret(self, exchange: str) -> Credentials:
        """Give the keys of a configured market, for a private call.

        Raises
        ------
        SecretError
            If a key is not configured or its variable is not set; the message names it.
        """
        market = self.exchange(exchange)
        revealed = []
        for name in Credentials._fields:
            secret: SecretText | None = getattr(market, name)
            if secret is None:
                raise SecretError(
                    f"{market.venue} has no {name}, which a private call needs. "
                    f"Write {name}: ${{{market.name.upper()}_{name.upper()}}} under its entry in exchanges."
                )
            revealed.append(secret.reveal(f"{name} of {market.venue}"))
        return Credentials(*revealed)

    def masked(self) -> dict[str, Any]:
        """Give everything as plain values; secrets are the names of their variables, so that it can be loaded again."""
        return self.model_dump(mode="json")

    def fingerprint(self, *sections: str) -> str:
        """Hash what is in force, without secrets; what provenance records.

        Parameters
        ----------
        *sections : str
            Sections to hash, such as `prism` and `signals`; all if none is given.

        Returns
        -------
        str
            64 hexadecimal digits of SHA-256.
        """
        for section in sections:
            if section not in type(self).model_fields:
                raise ConfigError(f"There is no section {section!r}. {did_you_mean(section, type(self).model_fields)}")
        # where weights were read from does not matter, they are under prism.faces and prism.timeframes; nor what is
        # said of them, nor which timeframe is taken where none is named
        outside = {"prism": {"weights", "certificate", "base"}}
        values = self.model_dump(mode="json", include=set(sections) or None, exclude=outside)
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Give the JSON schema of a configuration file, for editors."""
        return cls.model_json_schema()


def keys() -> list[Key]:
    """Every setting there is, with its default as JSON; items of a list are written `exchanges[].name`."""
    return list(keys_of(Settings, Settings().masked()))


def reference() -> str:
    """Write the table of docs/guides/configuration.md; a test keeps the page equal to it."""
    return table_of(keys())


def show(settings: Settings) -> dict[str, Any]:
    """Say what is in force and why, for `virtuoso config show`.

    Returns
    -------
    dict
        `settings` (secrets as the names of their variables), `origins` (who set each value that is not the default),
        `secrets` (whether each variable is set), `weights` (which are in force and what they have shown) and
        `fingerprint`.
    """
    masked, defaults = settings.masked(), Settings().masked()
    secrets = [secret for e in settings.exchanges for secret in (e.api_key, e.api_secret) if secret]
    secrets += [secret for secret in (settings.tracking.uri, settings.tracking.studies) if secret]
    return {
        "settings": masked,
        "origins": {
            dotted(path): where
            for path, where in sorted(settings._origins.items())
            if _at(masked, path) != _at(defaults, path)
        },
        "secrets": {
            name: "not set" if name in secret.missing else "set"
            for secret in secrets
            for name in REFERENCE.findall(secret.text)
        },
        "weights": _standing(settings),
        "fingerprint": settings.fingerprint(),
    }


def _standing(settings: Settings) -> str:
    """Say which weights are in force; private components that cannot be imported must not hide the other settings."""
    from virtuoso.prism.registry import prism_from  # every component, which reading settings does without

    try:
        return prism_from(settings.prism).standing
    except VirtuosoError as fault:
        return f"not known: {fault}"


def _at(tree: Any, path: KeyPath) -> Any:
    for part in path:
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _merged(layers: list[Layer], root: Path, env: Mapping[str, str]) -> Merged:
    """Lay the weights, then the layers, then the table of reliability that they name, over each other."""
    upper = Merged(WHOLE)
    for layer in layers:
        _refuse_literal_secrets(layer, layer.tree, ())
        upper.add(layer)
    filled = upper.filled(env, _secrets())
    section, signals = filled.get("prism"), filled.get("signals")
    name = section.get("weights", DEFAULT_WEIGHTS) if isinstance(section, dict) else DEFAULT_WEIGHTS
    origin = upper.origin(("prism", "weights"))
    merged = Merged(WHOLE)
    for layer in weight_layers(name, origin, root) if isinstance(name, str) else ():
        merged.add(layer)
    for layer in layers:
        merged.add(layer)
    table = signals.get("calibration") if isinstance(signals, dict) else None
    if isinstance(table, str):
        merged.add(calibration_layer(table, upper.origin(("signals", "calibration")), root))
    return merged


def _refuse_literal_secrets(layer: Layer, value: Any, path: KeyPath) -> None:
    """Find them wherever they stand, also where a later layer would cover them: the file still holds them."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        here = (*path, name)
        if name in Credentials._fields and item is not None and not REFERENCE.fullmatch(str(item)):
            raise SecretError(f"{dotted(here)} in {layer.where(here)}: {LITERAL_SECRET}.")
        _refuse_literal_secrets(layer, item, here)


def _validated(merged: Merged, env: Mapping[str, str]) -> Settings:
    """Check a merged tree as a whole."""
    tree = merged.filled(env, _secrets())
    _refuse_unknown_components(merged)
    try:
        settings = Settings.model_validate(tree, context={"env": env})
    except ValidationError as broken:
        errors = broken.errors(include_url=False)
        refusal = SecretError if any(error["type"] == "secret" for error in errors) else ConfigError
        # not chained: pydantic's own error carries the values
        raise refusal("\n".join(explained(error, merged, keys()) for error in errors[:SHOWN_ERRORS])) from None
    settings._origins = {path: layer.where(path) for path, layer in merged.origins()}
    return settings


@lru_cache(maxsize=1)
def _secrets() -> frozenset[str]:
    return frozenset(key.name for key in keys() if key.is_secret)


def _refuse_unknown_components(merged: Merged) -> None:
    """Find misspelt components before their weights spoil a sum; private ones are judged where they are imported."""
    faces = merged.raw(("prism", "faces"))
    for face, shipped_face in shipped_weights()["faces"].items():
        settings = faces.get(face) if isinstance(faces, dict) else None
        for table in ("components", "parameters"):
            names = settings.get(table) if isinstance(settings, dict) else None
            for name in names if isinstance(names, dict) else ():
                if name not in shipped_face["components"] and not merged.raw(("prism", "components")):
                    path = ("prism", "faces", face, table, name)
                    raise ConfigError(
                        f"{dotted(path)} {merged.where(path)}: not a component of the {face} face. "
                        f"{did_you_mean(name, shipped_face['components'])} "
                        "Private components are named in prism.components."
                    )
