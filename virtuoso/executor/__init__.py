"""Where tasks run: threads, processes, or a Dask cluster; a task carries identifiers only."""
