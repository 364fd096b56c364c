"""The orderflow face: who is aggressive. It needs trades and open interest, which the store does not hold yet."""

from __future__ import annotations

from virtuoso.prism.face import Face

FACE = Face(
    "orderflow",
    "Orderflow",
    waiting={
        "cvd": 0.25,
        "trade_flow": 0.20,
        "imbalance": 0.15,
        "open_interest": 0.15,
        "pressure": 0.10,
        "liquidity": 0.10,
        "liquidity_zones": 0.05,
    },
)
