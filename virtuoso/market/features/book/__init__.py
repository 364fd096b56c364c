"""The order book: rebuilt from messages, sampled, and told as columns of bars."""
