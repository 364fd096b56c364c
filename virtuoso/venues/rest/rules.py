"""Rules of instruments from Binance's `exchangeInfo` and maintenance tiers from its `leverageBracket`.

`exchangeInfo` says nothing about fees, which depend on the account, so they are not known here. Its field
`maintMarginPercent` is a relic of the time before tiers and is not read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from virtuoso.account.instrument import compact
from virtuoso.errors import AmbiguousError

RULES_COLUMNS = ("price_step", "size_step", "min_size", "min_notional", "maker_fee", "taker_fee")
TIER_COLUMNS = ("floor", "rate", "leverage")
_FILTERS = {  # our name: filter and its fields, the first that is there
    "price_step": (("PRICE_FILTER", "tickSize"),),
    "size_step": (("LOT_SIZE", "stepSize"),),
    "min_size": (("LOT_SIZE", "minQty"),),
    "min_notional": (("MIN_NOTIONAL", "notional"), ("MIN_NOTIONAL", "minNotional"), ("NOTIONAL", "minNotional")),
}


def rules_of(answer: Any) -> dict[str, dict[str, float]]:
    """Rules of every symbol of an answer; NaN where it does not say, or says 0 for no rule.

    Symbols that are no spot or linear perpetual market (`BTCUSDT_250926`) are left out.
    """
    found: dict[str, dict[str, float]] = {}
    for market in answer["symbols"]:
        if not _is_ours(market):
            continue
        filters = {rule["filterType"]: rule for rule in market.get("filters", [])}
        values = dict.fromkeys(RULES_COLUMNS, np.nan)
        for name, places in _FILTERS.items():
            said = [float(filters[kind][field]) for kind, field in places if field in filters.get(kind, {})]
            values[name] = said[0] if said and said[0] > 0 else np.nan
        found[compact(market["symbol"])] = values
    return found


def tiers_of(market: Any) -> list[dict[str, float]]:
    """Maintenance tiers of one symbol of an answer.

    Deductions (`cum`) follow from floors and rates, so they are not kept.
    """
    fields = {"floor": "notionalFloor", "rate": "maintMarginRatio", "leverage": "initialLeverage"}
    return [{name: float(tier[field]) for name, field in fields.items()} for tier in market["brackets"]]


def _is_ours(market: Any) -> bool:
    try:
        compact(market["symbol"])
    except AmbiguousError:
        return False
    return bool(market.get("contractType", "PERPETUAL") == "PERPETUAL")
