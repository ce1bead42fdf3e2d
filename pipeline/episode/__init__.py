"""Which episode is which, and which are processed."""
