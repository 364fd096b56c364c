"""The six faces, in the order in which they are summed."""

from __future__ import annotations

from virtuoso.prism import orderbook, orderflow, price_structure, sentiment, technical, volume

FACES = (
    technical.FACE,
    volume.FACE,
    orderflow.FACE,
    orderbook.FACE,
    price_structure.FACE,
    sentiment.FACE,
)
