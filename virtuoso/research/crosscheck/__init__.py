"""The same intents through vectorbt, compared trade by trade."""
