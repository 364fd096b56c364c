"""The report of a study that argues: a page and the same on paper, from its run folder alone."""
