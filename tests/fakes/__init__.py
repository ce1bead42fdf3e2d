"""Stand-ins for what cannot run in a test."""
