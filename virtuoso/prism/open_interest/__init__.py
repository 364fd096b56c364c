"""What the open positions of a market say at one moment, and where they would be forced out."""
