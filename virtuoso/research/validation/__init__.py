"""Statistics that argue back: overfitting, foresight, plateaus, calibration, the verdict."""
