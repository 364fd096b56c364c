"""The run folder: its schema, its writer and its reader."""
