"""The six faces in the order in which they are summed. No magic: a list."""

from virtuoso.prism.faces import orderbook, orderflow, price_structure, sentiment, technical, volume

FACES = (
    technical.FACE,
    volume.FACE,
    orderflow.FACE,
    orderbook.FACE,
    price_structure.FACE,
    sentiment.FACE,
)
