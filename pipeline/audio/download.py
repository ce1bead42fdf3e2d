"""Downloading audio: streamed, hashed, capped, resumed, and in place only when it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipeline import transport
from pipeline.errors import FetchError, RefusedError, WaitingError
from pipeline.settings import AudioSettings

Progress = Callable[[int, int | None], None]
"""(bytes so far, total bytes if known)."""

STALL_S = 60.0
SMALLEST = 1024


@dataclass(frozen=True, slots=True)
class DownloadedAudio:
    """A whole file; the sha256 is of its bytes, and a transcript's times are bound to it."""

    path: Path
    sha256: str
    bytes: int
    kind: str


def kind_of(head: bytes) -> str | None:
    """What the first bytes say it is; the server's Content-Type is not asked."""
    if head[4:8] == b"ftyp":
        return "mp4"
    for magic, kind in ((b"ID3", "mp3"), (b"OggS", "ogg"), (b"fLaC", "flac"), (b"\x1aE\xdf\xa3", "webm")):
        if head.startswith(magic):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return "wav"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"
    return None


def download(
    client: httpx.Client, url: str, target: Path, settings: AudioSettings, *, progress: Progress | None = None
) -> DownloadedAudio:
    """Fetch `url` to `target`. Raises FetchError, GoneError, RefusedError; WaitingError when the disk is nearly full.

    What an earlier call left in `target.part` is continued when the server proves that it is the same file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, notes = target.with_suffix(".part"), target.with_suffix(".part.json")
    kept = _kept(part, notes)
    headers = {"Accept-Encoding": "identity"}
    if kept:
        headers |= {"Range": f"bytes={kept['size']}-", "If-Range": kept["validator"]}
    until = time.monotonic() + settings.timeout_s
    with transport.stream(client, url, headers) as (r, _hops):
        if r.status_code == 416 and kept:
            _forget(part, notes)
            raise FetchError(f"{transport.redact(url)} changed while it was downloaded; it starts again")
        transport.raise_for_status(url, r.status_code)
        start = kept["size"] if kept and _continues(r, kept) else 0
        total = _total(r, start)
        if total is not None and total > settings.max_bytes:
            raise RefusedError(f"{transport.redact(url)} has {total} bytes, more than audio.max_bytes")
        _require_space(target.parent, (total or 0) - start, settings)
        if start == 0:
            _forget(part, notes)
        _note(notes, r, total)
        size, digest = _receive(r, part, start, url, settings, until, progress, total)
    if total is not None and size != total:
        raise FetchError(f"{transport.redact(url)} ended early", why=f"{size} of {total} bytes came")
    with part.open("rb") as f:
        kind = kind_of(f.read(64))
    if kind is None or size < SMALLEST:
        _forget(part, notes)
        raise RefusedError(f"{transport.redact(url)} is not audio", why=f"{size} bytes that begin like no audio format")
    part.replace(target)
    notes.unlink(missing_ok=True)
    return DownloadedAudio(target, digest, size, kind)


def _kept(part: Path, notes: Path) -> dict[str, Any] | None:
    """What is known of a part file, if it can be continued."""
    try:
        found = json.loads(notes.read_text("utf-8"))
        size = part.stat().st_size
    except (OSError, ValueError):
        return None
    if not size or not isinstance(found, dict) or not found.get("validator"):
        return None
    return found | {"size": size}


def _continues(r: httpx.Response, kept: dict[str, Any]) -> bool:
    """206 with the same start and total."""
    if r.status_code != 206:
        return False
    span, _, total = r.headers.get("content-range", "").removeprefix("bytes ").partition("/")
    same = span.partition("-")[0] == str(kept["size"]) and total == str(kept.get("total"))
    if not same:
        raise FetchError("The server sent another part than asked for; the download starts again")
    return True


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


def _require_space(folder: Path, wanted: int, settings: AudioSettings) -> None:
    free = shutil.disk_usage(folder).free
    if free - max(wanted, 0) < settings.min_free_bytes:
        raise WaitingError(
            "Downloads wait for disk space",
            why=f"{free} bytes free, {wanted} wanted, {settings.min_free_bytes} stay reserved",
            hint="free some space, or lower audio.min_free_bytes",
        )


def _forget(part: Path, notes: Path) -> None:
    part.unlink(missing_ok=True)
    notes.unlink(missing_ok=True)


def _receive(
    r: httpx.Response,
    part: Path,
    start: int,
    url: str,
    settings: AudioSettings,
    until: float,
    progress: Progress | None,
    total: int | None,
) -> tuple[int, str]:
    """Write the body behind what is there; returns size and sha256 of the whole."""
    digest = hashlib.sha256()
    if start:
        with part.open("rb") as f:
            for block in iter(lambda: f.read(1 << 20), b""):
                digest.update(block)
    size = start
    with part.open("ab") as f:
        try:
            for chunk in r.iter_raw(1 << 16):
                size += len(chunk)
                if size > settings.max_bytes:
                    raise RefusedError(f"{transport.redact(url)} is larger than audio.max_bytes ({settings.max_bytes})")
                if time.monotonic() > until:
                    raise FetchError(f"{transport.redact(url)} took longer than {settings.timeout_s:.0f} s")
                f.write(chunk)
                digest.update(chunk)
                if progress:
                    progress(size, total)
        except RefusedError:
            part.unlink(missing_ok=True)
            raise
        f.flush()
        os.fsync(f.fileno())
    return size, digest.hexdigest()
