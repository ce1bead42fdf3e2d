"""A whole installation as one file, and back; and everything in open formats."""
