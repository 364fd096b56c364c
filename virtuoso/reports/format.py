"""How numbers are written, in one place: a sign where there is a direction, a dash where nothing is known."""

from __future__ import annotations

DASH = "\N{EN DASH}"
NOT_TESTABLE = "not testable"
MINUS = "\N{MINUS SIGN}"  # as wide as a plus


def number(value: float, decimals: int = 2, *, signed: bool = False) -> str:
    """Write `1234.5` as `1,234.50`; NaN as a dash.

    Examples
    --------
    >>> number(1234.5), number(0.004, 1, signed=True), number(float("nan")) == DASH
    ('1,234.50', '0.0', True)
    """
    if value != value:
        return DASH
    text = f"{value:,.{decimals}f}"
    if float(text.replace(",", "")) == 0.0:
        return text.lstrip("-")
    text = text.replace("-", MINUS)
    return f"+{text}" if signed and not text.startswith(MINUS) else text


def percent(value: float, decimals: int = 1, *, signed: bool = False) -> str:
    """Write a share as `12.3 %`; NaN as a dash."""
    return DASH if value != value else f"{number(100.0 * value, decimals, signed=signed)} %"


def whole(value: float) -> str:
    """Write a count as `12,345`; NaN as a dash."""
    return number(value, 0)


def price(value: float) -> str:
    """Write a price with the digits that matter: `64,250.5`, `0.00001234`.

    Examples
    --------
    >>> price(64250.5), price(0.98765), price(0.00001234)
    ('64,250.5', '0.98765', '0.00001234')
    """
    if value != value:
        return DASH
    decimals = max(0, 6 - len(f"{abs(value):.0f}")) if abs(value) >= 1.0 else 5
    while 0.0 < abs(value) < 1.0 and abs(value) * 10.0**decimals < 1_000.0 and decimals < 12:
        decimals += 1
    text = number(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def plural(count: float, one: str, many: str | None = None) -> str:
    """Write `1 trade`, `2 trades`."""
    return f"{whole(count)} {one if count == 1 else many or one + 's'}"
