"""Import of files into the lake: decode, identify, validate, merge, commit."""
