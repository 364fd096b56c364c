"""What components share: swings, levels, zones, profiles, windows, what is usual."""
