"""Podsift: podcast feeds in, five proven insights a day by e-mail out."""

__version__ = "0.1.0"
