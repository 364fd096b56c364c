"""Recorded streams, message by message."""
