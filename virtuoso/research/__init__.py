"""Trading the past, and arguing with the result: backtest, sweep, statistics, ledger, cross-check."""
