"""Writing to the lake: merges, staged changes, one transaction a kind, maintenance."""
