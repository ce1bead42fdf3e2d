"""Audio: fetched, probed, decoded, and deleted again."""
