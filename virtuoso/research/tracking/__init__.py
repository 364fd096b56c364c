"""Every try is written down: the ledger of experiments, and the search that a run was chosen from."""
