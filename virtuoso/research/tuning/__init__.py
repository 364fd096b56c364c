"""A study tunes weights, thresholds and parameters on the past alone, and keeps every trial."""
