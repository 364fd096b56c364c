"""Thousands of configurations over the component scores of one market."""
