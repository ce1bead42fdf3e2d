"""What runs the stages: in one process on SQLite (local)."""
