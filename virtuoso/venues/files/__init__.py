"""Tables in files: one reader, and a decoder for each kind of content."""
