"""Stage `backtest`: trade the signals of a symbol.

By hand: `python pipelines/backtest.py BTCUSDT`.
"""

import sys
from pathlib import Path

from virtuoso import workflows
from virtuoso.config.sources import read_yaml


def main(symbol: str) -> None:
    """Write the run folder `backtests/SYMBOL` below the data root."""
    params = read_yaml(Path("params.yaml").absolute(), Path.cwd()).tree
    root = Path(params["data"])
    frame = workflows.load(symbol, params["score"]["timeframe"], venue=params["import"]["venue"], data=root)
    scores = workflows.score(frame, cache=workflows.block_cache(root))
    result = workflows.backtest(scores, data=root, **params["backtest"])
    folder, _ = workflows.save_run(result, root / "backtests" / symbol)
    print(f"{len(result.trades)} trades, written to {folder}")


if __name__ == "__main__":
    main(sys.argv[1])
