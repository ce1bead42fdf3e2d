"""Where shipped files lie: beside the package in a checkout, inside it in an installed wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """Path of a shipped folder or file: `templates/...`, `migrations`, `samples`, or a file of `pipeline/data`.

    Raises FileNotFoundError when the installation is incomplete.
    """
    for root in (PACKAGE / "_shipped", PACKAGE.parent, PACKAGE / "data"):
        path = root / name
        if path.exists():
            return path
    raise FileNotFoundError(f"{name} is not part of this installation of podsift; install it again")
