"""A decision as a message: what is known, what it means, and what it was made from."""
