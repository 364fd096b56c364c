"""The orderbook face: who is waiting. It needs the order book, which the store does not hold yet."""

from __future__ import annotations

from virtuoso.prism.face import Face

FACE = Face(
    "orderbook",
    "Orderbook",
    waiting={
        "imbalance": 0.20,
        "ofi": 0.18,
        "depth": 0.17,
        "mpi": 0.12,
        "liquidity": 0.10,
        "absorption_exhaustion": 0.10,
        "dom_momentum": 0.08,
        "obps": 0.05,
    },
)
