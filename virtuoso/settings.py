"""What the settings of every room have in common: frozen, closed, and silent about secrets.

1. A room declares its settings as a `RoomSettings`: unknown keys are refused, nothing can be changed afterwards.
2. `Table` is the frozen mapping inside them, `Weight` a share between 0 and 1 (`1/6` will do), `SignedWeight` one
   between -1 and 1, `SpanSetting` a stretch of time, `Folder` a path in which ~ is the home directory.
3. `SecretText` names environment variables as `${NAME}`. It prints the names, never the values.

`virtuoso.config` composes the rooms and is the only one to read files and the environment.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from virtuoso.clock import Span
from virtuoso.errors import ConfigError, SecretError

V = TypeVar("V")

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PASSWORD_IN_URL = re.compile(r"://[^/@\s]*:([^@\s]+)@")
LITERAL_SECRET = (
    "holds a literal secret (not shown). Put it into .env or the environment, write ${NAME} here, "
    "and replace the secret where it was issued, since it has been in a file"
)
NUMBERS = (int, float)
_FRACTION = re.compile(r"([+-]?[0-9]+)/([1-9][0-9]*)")
ROUNDING = 1e-6  # weights are written with six digits or more


def shipped(name: str) -> Path:
    """Find a default file that ships with Virtuoso, such as `weights/default.yaml`.

    The wheel carries the checkout's `configs/` as `virtuoso/defaults/`; an editable install reads the checkout.
    """
    package = Path(str(files("virtuoso")))
    installed = package / "defaults"
    return (installed if installed.is_dir() else package.parent / "configs") / name


def refuse_bool(value: object) -> object:
    """Keep `true` and `yes` out of numbers; Python takes them for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "must be a number")
    return value


def fraction(value: object) -> object:
    """Read a share that is written as a fraction, such as `1/6`, which no decimal is; anything else stays.

    Examples
    --------
    >>> fraction("1/4"), fraction(0.3)
    (0.25, 0.3)
    """
    found = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) / int(found[2]) if found else value


def sums_to_one(weights: Iterable[float], what: str) -> None:
    """Refuse weights whose sizes do not sum to 1 within a millionth.

    Raises
    ------
    PydanticCustomError
        With the sum that was found.
    """
    given = tuple(weights)
    total = math.fsum(map(abs, given))
    if abs(total - 1.0) > ROUNDING:
        signs = ", signs aside" if min(given, default=0.0) < 0.0 else ""
        raise PydanticCustomError(
            "weights",
            "{what} must sum to 1{signs}, sum to {total}",
            {"what": what, "signs": signs, "total": f"{total:.6g}"},
        )


class RoomSettings(BaseModel):
    """The settings of one room: frozen, closed, finite."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, validate_default=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: object, info: ValidationInfo) -> object:
        kind = cls.model_fields[str(info.field_name)].annotation
        if kind in NUMBERS:
            return refuse_bool(value)
        if isinstance(value, (list, tuple)) and any(part in NUMBERS for part in get_args(kind)):
            return [refuse_bool(item) for item in value]
        return value


class Table(Mapping[str, V]):
    """A mapping that cannot be changed, can be hashed and travels to other processes."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, V]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (value,) = get_args(source)
        plain = core_schema.dict_schema(core_schema.str_schema(), handler.generate_schema(value))
        dump = core_schema.wrap_serializer_function_ser_schema(lambda table, inner: inner(dict(table)), schema=plain)
        # a Table is a Mapping, not a dict: make it one so that settings can be built from settings
        opened = core_schema.no_info_before_validator_function(lambda v: dict(v) if isinstance(v, cls) else v, plain)
        return core_schema.no_info_after_validator_function(cls, opened, serialization=dump)


def _span(value: object) -> Span:
    if isinstance(value, Span):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("span", "must be a span of time, such as '4h'")
    try:
        return Span(value)
    except ConfigError:
        raise PydanticCustomError("span", "must be a number and one of s, m, h, d, such as '4h'") from None


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise PydanticCustomError("path", "names a home directory that this machine does not know") from None


Folder = Annotated[Path, AfterValidator(_at_home)]
_NUMBER_OR_FRACTION = {"type": "string", "pattern": "^[+-]?[0-9]+/[1-9][0-9]*$"}
Weight = Annotated[
    float,
    Field(ge=0.0, le=1.0),
    BeforeValidator(fraction),
    BeforeValidator(refuse_bool),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _NUMBER_OR_FRACTION]}),
]
SignedWeight = Annotated[
    float,
    Field(ge=-1.0, le=1.0),
    BeforeValidator(fraction),
    BeforeValidator(refuse_bool),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": -1, "maximum": 1}, _NUMBER_OR_FRACTION]}),
]
SpanSetting = Annotated[
    Span,
    PlainValidator(_span),
    PlainSerializer(lambda span: span.text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]*[smhd]$"}),
]


def _refuse_secret(message: str) -> NoReturn:
    raise PydanticCustomError("secret", "{message}", {"message": message})


class SecretText:
    """Text that names environment variables: `SecretText("${BINANCE_API_KEY}", os.environ)`.

    Printed, dumped, hashed, compared and pickled by its text alone; the values are only given by `reveal`. A copy
    that reached another process has none, so that no secret lies in a cache or a run folder.
    """

    __slots__ = ("_values", "text")

    def __init__(self, text: str, env: Mapping[str, str] | None = None) -> None:
        self.text = text
        known = env or {}
        self._values = {name: SecretStr(known[name]) for name in REFERENCE.findall(text) if known.get(name)}

    @property
    def missing(self) -> tuple[str, ...]:
        """Variables that it names and that are not set."""
        return tuple(name for name in REFERENCE.findall(self.text) if name not in self._values)

    def reveal(self, key: str) -> SecretStr:
        """Give the text with its variables filled in.

        Parameters
        ----------
        key : str
            The setting, for the message.

        Raises
        ------
        SecretError
            If a variable is not set.
        """
        if self.missing:
            names = " and ".join(f"${{{name}}}" for name in self.missing)
            raise SecretError(
                f"{key} names {names}, which is not set. Put {self.missing[0]}=... into .env (mode 600) or export it."
            )
        return SecretStr(REFERENCE.sub(lambda match: self._values[match[1]].get_secret_value(), self.text))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"SecretText({self.text!r})"

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type[SecretText], tuple[str]]:
        return SecretText, (self.text,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._read,
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
            json_schema_input_schema=core_schema.str_schema(),
        )

    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> SecretText:
        if isinstance(value, SecretText):
            return value
        if not isinstance(value, str):
            _refuse_secret("must be text that names an environment variable, such as ${BINANCE_API_KEY}")
        if "${" in REFERENCE.sub("", value):
            _refuse_secret("holds a broken reference; write ${NAME}, with letters, digits and _ in the name")
        return cls(value, (info.context or {}).get("env"))


def _only_a_reference(secret: SecretText) -> SecretText:
    if not REFERENCE.fullmatch(secret.text):
        _refuse_secret(LITERAL_SECRET)
    return secret


def _no_literal_password(secret: SecretText) -> SecretText:
    found = _PASSWORD_IN_URL.search(secret.text)
    if found and REFERENCE.sub("", found[1]):
        _refuse_secret("holds a literal password (not shown). Write it as ${NAME} and put it into the environment")
    return secret


_AS_TEXT = WithJsonSchema({"type": "string"})
Secret = Annotated[
    SecretText,
    AfterValidator(_only_a_reference),
    WithJsonSchema({"type": "string", "pattern": f"^{REFERENCE.pattern}$"}),
]
Uri = Annotated[SecretText, AfterValidator(_no_literal_password), _AS_TEXT]
