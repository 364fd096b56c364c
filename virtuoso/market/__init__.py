"""A market in memory: bars, events, gaps, the frame of an instrument, and its growing end."""
