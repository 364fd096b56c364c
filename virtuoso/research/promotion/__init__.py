"""The gate between a study and a configuration: what a winner must answer before it is promoted."""
