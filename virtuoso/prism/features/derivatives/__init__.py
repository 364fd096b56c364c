"""What positions tell: open interest, the crowd, activity."""
