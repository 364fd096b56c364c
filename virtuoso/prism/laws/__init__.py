"""The laws that every component obeys, and the certificate that says so on your own data."""
