"""From scores to decisions: rule, levels, regime, reliability, and the strategy behind which they stand."""
