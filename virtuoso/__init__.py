"""Virtuoso: a vectorized, backtest-first research and trading platform for crypto."""
