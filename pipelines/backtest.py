"""Stage `backtest`: trade the signals of a symbol.

By hand: `python pipelines/backtest.py BTCUSDT`.
"""

import sys
from pathlib import Path

from virtuoso import workflows
from virtuoso.config.sources import read_yaml
from virtuoso.files.atomic import Disk
from virtuoso.files.json import to_json

TOLD = ("total_return", "sharpe", "max_drawdown", "trades", "turnover", "fees", "funding", "slippage")


def main(symbol: str) -> None:
    """Write the run folder `backtests/SYMBOL` below the data root, and a few of its figures beside those of others."""
    params = read_yaml(Path("params.yaml").absolute(), Path.cwd()).tree
    root = Path(params["data"])
    frame = workflows.load(symbol, params["score"]["timeframe"], venue=params["import"]["venue"], data=root)
    scores = workflows.score(frame, cache=workflows.block_cache(root))
    result = workflows.backtest(scores, data=root, **params["backtest"])
    folder, _ = workflows.save_run(result, root / "backtests" / symbol, report=False)
    figures = {"result_hash": result.result_hash, **{name: result.metrics[name] for name in TOLD}}
    Disk().write(root / "metrics" / f"backtest_{symbol}.json", to_json(figures).encode())
    print(f"{len(result.trades)} trades, written to {folder}")


if __name__ == "__main__":
    main(sys.argv[1])
