"""The portfolio backtest: many instruments, one wallet, the account bar by bar, and what came of it."""
