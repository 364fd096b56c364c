"""Recorded answers of REST endpoints."""
