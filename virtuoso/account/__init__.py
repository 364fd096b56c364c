"""The account: instruments, what a perpetual contract does to an account bar by bar, margin, risk rules and metrics."""
