"""Downloading audio: streamed, hashed, capped, resumed, and in place only when it is whole."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipeline import transport
from pipeline.audio import space
from pipeline.errors import FetchError, RefusedError, WaitingError
from pipeline.settings import AudioSettings

Progress = Callable[[int, int | None], None]
"""(bytes so far, total bytes if known)."""

SMALLEST = 1024
SPACE_EVERY = 16 << 20
"""Free space is looked at again after so many bytes, as a length need not be stated."""


@dataclass(frozen=True, slots=True)
class DownloadedAudio:
    """A whole file; the sha256 is of its bytes, and a transcript's times are bound to it."""

    path: Path
    sha256: str
    bytes: int
    kind: str
    content_type: str | None = None
    """What the server called it; `kind` is what it is."""


def kind_of(head: bytes) -> str | None:
    """What the first bytes say it is; the server's Content-Type is not asked."""
    if head[4:8] == b"ftyp":
        return "mp4"
    if head.startswith(b"OggS") and b"OpusHead" in head:
        return "opus"
    for magic, kind in ((b"ID3", "mp3"), (b"OggS", "ogg"), (b"fLaC", "flac"), (b"\x1aE\xdf\xa3", "webm")):
        if head.startswith(magic):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return "wav"
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac"
    return "mp3" if _mpeg_frame(head) else None


def _mpeg_frame(head: bytes) -> bool:
    """A frame header without reserved values; the sync bits alone are also how a UTF-16 text begins."""
    if len(head) < 3 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer, bitrate, rate = (head[1] >> 3) & 3, (head[1] >> 1) & 3, head[2] >> 4, (head[2] >> 2) & 3
    return version != 1 and layer != 0 and bitrate != 15 and rate != 3


def download(
    client: httpx.Client, url: str, target: Path, settings: AudioSettings, *, progress: Progress | None = None
) -> DownloadedAudio:
    """Fetch `url` to `target`. Raises FetchError, GoneError, RefusedError; WaitingError when the disk is nearly full.

    What an earlier call left in `target.part` is continued when the server proves that it is the same file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with space.alone(target):
        space.require(target, 0, settings.min_free_bytes)  # before anybody is asked for what there is no room for
        return _download(client, url, target, settings, progress)


def _download(
    client: httpx.Client, url: str, target: Path, settings: AudioSettings, progress: Progress | None
) -> DownloadedAudio:
    part, notes = target.with_suffix(".part"), target.with_suffix(".part.json")
    kept = _kept(part, notes)
    headers = {"Accept-Encoding": "identity"}
    if kept:
        headers |= {"Range": f"bytes={kept['size']}-", "If-Range": kept["validator"]}
    with transport.stream(client, url, headers, timeout_s=settings.timeout_s) as (r, _hops):
        if r.status_code == 416 and kept:
            _forget(part, notes)
            raise FetchError(f"{transport.redact(url)} changed while it was downloaded; it starts again")
        transport.raise_for_status(url, r)
        if r.status_code == 206 and not (kept and _continues(r, kept)):
            # Nothing of ours can be continued with it, and alone it is not the file: the next attempt asks for all.
            _forget(part, notes)
            raise FetchError(f"{transport.redact(url)} sent another part than asked for; it starts again")
        start = kept["size"] if kept and r.status_code == 206 else 0
        total = _total(r, start)
        if total is not None and total > settings.max_bytes:
            raise RefusedError(f"{transport.redact(url)} has {total} bytes, more than audio.max_bytes")
        with space.counting(target.parent):
            space.require(target, (total or 0) - start, settings.min_free_bytes)
            if start == 0:
                _forget(part, notes)
            _note(notes, r, total)
        try:
            size, digest = _receive(r, target, start, url, settings, progress, total)
        except RefusedError:
            _forget(part, notes)
            raise
        except OSError as e:
            if e.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise WaitingError("Downloads wait for disk space", hint="free some space in the data folder") from e
    if total is not None and size != total:
        raise FetchError(f"{transport.redact(url)} ended early", why=f"{size} of {total} bytes came")
    with part.open("rb") as f:
        kind = kind_of(f.read(64))
    if kind is None or size < SMALLEST:
        _forget(part, notes)
        raise RefusedError(f"{transport.redact(url)} is not audio", why=f"{size} bytes that begin like no audio format")
    part.replace(target)
    _sync_folder(target.parent)
    notes.unlink(missing_ok=True)
    return DownloadedAudio(target, digest, size, kind, r.headers.get("content-type"))


def _sync_folder(folder: Path) -> None:
    """The new name survives a power cut only when its folder is written too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _kept(part: Path, notes: Path) -> dict[str, Any] | None:
    """What is known of a part file, if it can be continued."""
    try:
        found = json.loads(notes.read_text("utf-8"))
        size = part.stat().st_size
    except (OSError, ValueError):
        return None
    # Without a length nobody could tell whether what comes belongs to it.
    if not size or not isinstance(found, dict) or not found.get("validator") or found.get("total") is None:
        return None
    return found | {"size": size}


def _continues(r: httpx.Response, kept: dict[str, Any]) -> bool:
    """The same start and total."""
    span, _, total = r.headers.get("content-range", "").removeprefix("bytes ").partition("/")
    return (span.partition("-")[0], total) == (str(kept["size"]), str(kept.get("total")))


def _total(r: httpx.Response, start: int) -> int | None:
    length = r.headers.get("content-length", "")
    if not length.isdecimal() or r.headers.get("content-encoding", "identity") != "identity":
        return None
    return start + int(length)


def _note(notes: Path, r: httpx.Response, total: int | None) -> None:
    """Keep what a later call needs to continue: a strong ETag, else Last-Modified."""
    etag = r.headers.get("etag", "")
    validator = etag if etag and not etag.startswith("W/") else r.headers.get("last-modified", "")
    if r.status_code == 200:
        notes.write_text(json.dumps({"validator": validator, "total": total}), "utf-8")


def _forget(part: Path, notes: Path) -> None:
    part.unlink(missing_ok=True)
    notes.unlink(missing_ok=True)


def _receive(
    r: httpx.Response,
    target: Path,
    start: int,
    url: str,
    settings: AudioSettings,
    progress: Progress | None,
    total: int | None,
) -> tuple[int, str]:
    """Write the body behind what is there; returns size and sha256 of the whole."""
    part, digest = target.with_suffix(".part"), hashlib.sha256()
    if start:
        with part.open("rb") as f:
            for block in iter(lambda: f.read(1 << 20), b""):
                digest.update(block)
    size = looked = start
    with part.open("ab") as f:
        for chunk in r.iter_raw(1 << 16):
            size += len(chunk)
            if size > settings.max_bytes:
                raise RefusedError(f"{transport.redact(url)} is larger than audio.max_bytes ({settings.max_bytes})")
            if size - looked >= SPACE_EVERY:
                space.require(target, (total or size) - size, settings.min_free_bytes)
                looked = size
            f.write(chunk)
            digest.update(chunk)
            if progress:
                progress(size, total)
        f.flush()
        os.fsync(f.fileno())
    return size, digest.hexdigest()
