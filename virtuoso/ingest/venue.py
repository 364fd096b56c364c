"""The venue of an import: a token that names its market, said by the caller and never guessed."""

from __future__ import annotations

from collections.abc import Collection

from virtuoso.account import markets
from virtuoso.account.instrument import Instrument
from virtuoso.errors import AmbiguousError, ConfigError, did_you_mean

MARKETS = ("spot", "linear")


def venue_of(said: str | None, market: str | None, stored: Collection[str]) -> tuple[str, str]:
    """Return the token under which rows are stored, and a note where the caller said less.

    Parameters
    ----------
    said : str or None
        What the caller calls the venue.
    market : str or None
        'spot' or 'linear', where the token does not say it.
    stored : collection of str
        Tokens that the lake knows.

    Raises
    ------
    AmbiguousError
        There is none, it names no market and nothing stored tells it, or its contracts are not linear.
    ConfigError
        `market` is none, or contradicts the token.
    """
    if market is not None and market not in MARKETS:
        raise ConfigError(f"--market {market!r} is none of spot, linear. {did_you_mean(market, MARKETS)}")
    if said is None:
        raise AmbiguousError(
            "Files do not say which venue their rows are from, and spot and perpetual share their symbols. "
            "Pass --venue, such as binance-spot, binance-usdm or bitfinex-spot."
        )
    Instrument(said, "BTCUSDT")  # says now if it is no venue
    if refused := markets.why_refused(said):
        raise AmbiguousError(
            f"{said} trades {refused}. Virtuoso trades spot and linear perpetual contracts; nothing of it is stored."
        )
    named = markets.named_market(said)
    if named and market and named != market:
        raise ConfigError(f"--venue {said} is {named}, --market says {market}. Leave out one of them.")
    if said in stored and market in (None, "spot" if markets.is_spot(said) else "linear"):
        return said, ""
    if named and (other := _held_as(said, stored)):
        return other, f"stored as {other}, as the lake calls that market"
    near = "" if market else markets.near_miss(said)
    if near:
        raise AmbiguousError(f"{said!r} is no venue that is known. {near} If it is right, pass --market as well.")
    return (said, "") if named else _with_market(said, market, stored)


def _held_as(said: str, stored: Collection[str]) -> str:
    """Return the one token under which a lake holds the market of another; empty if there is none, or several."""
    exchange, market = markets.split(said)[0], markets.named_market(said)
    held = [one for one in stored if (markets.split(one)[0], markets.named_market(one)) == (exchange, market)]
    return held[0] if len(held) == 1 else ""


def _with_market(said: str, market: str | None, stored: Collection[str]) -> tuple[str, str]:
    """Complete a token that names no market."""
    if market is not None:
        return f"{said}-{market}", f"stored as {said}-{market}"
    held = sorted(venue for venue in stored if markets.split(venue)[0] == said and markets.named_market(venue))
    if len(held) == 1:
        return held[0], f"stored as {held[0]}, which the lake holds"
    if held:
        raise AmbiguousError(f"{said!r} may be {' or '.join(held)}, which the lake holds. Pass --venue, one of them.")
    raise AmbiguousError(
        f"{said!r} does not say its market, and spot and perpetual share their symbols. Pass --market spot or "
        f"--market linear once; the lake then knows {said}-spot or {said}-linear. {did_you_mean(said, markets.KNOWN)}"
    )
