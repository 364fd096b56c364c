"""How a command speaks: its options, its answer, tables, JSON, log messages."""
