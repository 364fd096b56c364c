"""Stage `backtest`: trade the signals of a symbol.

By hand: `python pipelines/backtest.py BTCUSDT`.
"""

import sys
from pathlib import Path

from virtuoso import verbs
from virtuoso.config_files import read_yaml


def main(symbol: str) -> None:
    """Write the run folder `backtests/SYMBOL` below the data root."""
    params = read_yaml(Path("params.yaml").absolute(), Path.cwd()).tree
    root = Path(params["data"])
    frame = verbs.load(symbol, params["score"]["timeframe"], venue=params["import"]["venue"], data=root)
    scores = verbs.score(frame, cache=verbs.block_cache(root))
    result = verbs.backtest(scores, data=root, **params["backtest"])
    folder, _ = verbs.save_run(result, root / "backtests" / symbol)
    print(f"{len(result.trades)} trades, written to {folder}")


if __name__ == "__main__":
    main(sys.argv[1])
