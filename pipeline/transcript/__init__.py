"""Audio or a publisher's document in, numbered sentences with speaker and second out."""
