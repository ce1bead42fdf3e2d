"""Selecting, composing and freezing the daily digest."""
