"""What exchanges and their archives send, decoded under our names and not validated yet."""
