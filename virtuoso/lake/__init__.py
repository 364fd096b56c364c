"""The lake: years of bars and events in Parquet, found through manifests, read as of any moment."""
