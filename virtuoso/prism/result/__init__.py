"""What scoring gives: scores, faces, and why each is what it is."""
