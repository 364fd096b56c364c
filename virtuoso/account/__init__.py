"""Instruments now; the perpetual contract, risk and metrics stand on this floor too."""
