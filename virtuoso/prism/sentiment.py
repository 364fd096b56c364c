"""The sentiment face: how the crowd is positioned.

It needs funding, open interest, ratios and liquidations, which the store does not hold yet.
"""

from __future__ import annotations

from virtuoso.prism.face import Face

FACE = Face(
    "sentiment",
    "Sentiment",
    waiting={
        "funding_rate": 0.20,
        "liquidations": 0.20,
        "long_short_ratio": 0.15,
        "volatility": 0.18,
        "market_activity": 0.15,
        "risk": 0.12,
    },
)
