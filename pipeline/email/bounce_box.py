"""Where bounces arrive: a maildir folder, or a mailbox over IMAP with TLS. Each report is taken in a transaction."""

from __future__ import annotations

import contextlib
import imaplib
import logging
import os
import ssl
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline.clock import Clock
from pipeline.email import bounce
from pipeline.errors import ConfigError, FetchError, PodsiftError
from pipeline.settings import BounceSettings, Settings
from pipeline.store.database import Database

log = logging.getLogger(__name__)
MOST = 2000
"""Reports in one go; the rest waits for the next."""
TIMEOUT_S = 30.0


def configured(settings: Settings) -> bool:
    """Whether there is a place to look for bounces."""
    return settings.bounce.maildir is not None or settings.bounce.imap_host is not None


def collect(db: Database, settings: Settings, clock: Clock, maildir: Path | None = None) -> Counter[str]:
    """Take what arrived, from `maildir` or else from where the settings say. Returns the number by kind.

    Raises ConfigError, and FetchError when the mailbox cannot be reached.
    """
    done: Counter[str] = Counter()
    place = settings.bounce
    folder = maildir or (Path(place.maildir) if place.maildir else None)
    if folder is not None:
        for path in _waiting(folder):
            _take(db, settings, clock, _head(path), done)
            _mark_read(folder, path)
    if maildir is None and place.imap_host is not None:
        with _mailbox(place) as box:
            for number in _unseen(box, place.imap_folder):
                _take(db, settings, clock, _fetched(box, number), done)
                box.store(number, "+FLAGS.SILENT", r"(\Seen)")
    return done


def _take(db: Database, settings: Settings, clock: Clock, data: bytes, done: Counter[str]) -> None:
    with db.begin() as conn:
        happened = bounce.take(conn, settings, data, clock.now())
    done[happened.kind] += 1
    if happened.suppressed:
        done["suppressed"] += 1


# --- maildir ---------------------------------------------------------------------------------------------------------


def _waiting(folder: Path) -> Iterator[Path]:
    new = folder / "new"
    if not new.is_dir():
        raise ConfigError(f"{folder} is not a maildir", why="it has no folder named new", hint="set bounce.maildir")
    for path in sorted(new.iterdir())[:MOST]:
        # A link may lead anywhere, and a pipe may never end.
        if stat.S_ISREG(path.lstat().st_mode):
            yield path


def _head(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as f:
        return f.read(bounce.MAX_BYTES)


def _mark_read(folder: Path, path: Path) -> None:
    cur = folder / "cur"
    cur.mkdir(exist_ok=True)
    path.rename(cur / f"{path.name.partition(':')[0]}:2,S")


# --- IMAP ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _mailbox(place: BounceSettings) -> Iterator[imaplib.IMAP4_SSL]:
    assert place.imap_host is not None
    if not place.imap_username or place.imap_password is None:
        raise ConfigError("bounce.imap_username and bounce.imap_password are needed with bounce.imap_host")
    try:
        box = imaplib.IMAP4_SSL(
            place.imap_host, place.imap_port, ssl_context=ssl.create_default_context(), timeout=TIMEOUT_S
        )
        try:
            box.login(place.imap_username, place.imap_password.get_secret_value())
            yield box
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                box.logout()
    except (OSError, imaplib.IMAP4.error) as e:
        raise FetchError("The mailbox of bounces cannot be read", why=str(e)[:300], hint="check bounce.imap_*") from e


def _unseen(box: imaplib.IMAP4_SSL, folder: str) -> list[str]:
    status, said = box.select('"' + folder.replace("\\", "\\\\").replace('"', '\\"') + '"')
    if status != "OK":
        raise FetchError(f"The folder {folder} cannot be opened", why=str(said)[:300], hint="check bounce.imap_folder")
    _, found = box.search(None, "UNSEEN")
    return [n.decode("ascii") for n in (found[0] or b"").split()[:MOST] if n.isdigit()]


def _fetched(box: imaplib.IMAP4_SSL, number: str) -> bytes:
    # A part of the message, so that a large one costs no more; PEEK, so that a crash leaves it unseen.
    _, parts = box.fetch(number, f"(BODY.PEEK[]<0.{bounce.MAX_BYTES}>)")
    return next((bytes(p[1])[: bounce.MAX_BYTES] for p in parts if isinstance(p, tuple)), b"")


def collect_quietly(db: Database, settings: Settings, clock: Clock) -> None:
    """Before a morning's mails: what fails is logged, and stops no mail."""
    if not configured(settings):
        return
    try:
        done = collect(db, settings, clock)
    except PodsiftError as e:
        log.error("bounces: %s", e)  # noqa: TRY400 - our own error says it all
        return
    if done:
        log.info("bounces: %s", ", ".join(f"{n} {kind}" for kind, n in sorted(done.items())))
