"""Hostile input at random: readers raise errors of ours or none, and end in time."""
