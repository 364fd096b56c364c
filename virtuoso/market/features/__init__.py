"""Events become columns of bars: trades, order books, what derivatives tell."""
