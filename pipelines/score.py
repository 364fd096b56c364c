"""Stage `score`: score every bar of a symbol.

By hand: `python pipelines/score.py BTCUSDT`.
"""

import sys
from pathlib import Path

from virtuoso import workflows
from virtuoso.config.sources import read_yaml


def main(symbol: str) -> None:
    """Write `scores/SYMBOL.parquet` below the data root, one row a bar."""
    params = read_yaml(Path("params.yaml").absolute(), Path.cwd()).tree
    root = Path(params["data"])
    frame = workflows.load(symbol, params["score"]["timeframe"], venue=params["import"]["venue"], data=root)
    scores = workflows.score(frame, cache=workflows.block_cache(root))
    scores.to_parquet(root / "scores" / f"{symbol}.parquet")
    print(scores)


if __name__ == "__main__":
    main(sys.argv[1])
