"""SQL lives here; callers speak records."""
