"""Files of every kind: written whole or not at all, sealed with sums, cleaned JSON, digests of code."""
