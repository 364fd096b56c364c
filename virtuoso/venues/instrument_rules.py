"""Rules of instruments from Binance's `exchangeInfo`: steps of price and size, least size and notional.

The answer says nothing about fees, which depend on the account, so they are not known here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from virtuoso.account.instrument import compact
from virtuoso.errors import AmbiguousError

RULES_COLUMNS = ("price_step", "size_step", "min_size", "min_notional", "maker_fee", "taker_fee")
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


def _is_ours(market: Any) -> bool:
    try:
        compact(market["symbol"])
    except AmbiguousError:
        return False
    return bool(market.get("contractType", "PERPETUAL") == "PERPETUAL")
