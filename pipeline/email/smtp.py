"""The conversation with the mail server: opening it, then one verb at a time."""

from __future__ import annotations

import smtplib
import socket
import ssl
from functools import lru_cache

from pipeline.email.line import Line
from pipeline.email.reply import Reply
from pipeline.settings import SmtpSettings


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """Made once: reading the authorities' certificates takes 25 ms of CPU."""
    return ssl.create_default_context()


@lru_cache(maxsize=1)
def _our_name() -> str:
    """What EHLO says, as smtplib would find it out for each connection."""
    name = socket.getfqdn()
    return name if "." in name else "[127.0.0.1]"


def connect(smtp: SmtpSettings) -> smtplib.SMTP:
    """Open a session: TLS as set, login when a username is set."""
    assert smtp.host is not None
    server: smtplib.SMTP
    if smtp.security == "tls":
        server = smtplib.SMTP_SSL(
            smtp.host, smtp.port, local_hostname=_our_name(), timeout=smtp.timeout_s, context=_trusted()
        )
    else:
        server = smtplib.SMTP(smtp.host, smtp.port, local_hostname=_our_name(), timeout=smtp.timeout_s)
    try:
        if server.sock is not None:
            # The last line of a mail is a small packet of its own, which must not wait for the others' receipts.
            server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.ehlo_or_helo_if_needed()
        if smtp.security == "starttls":
            server.starttls(context=_trusted())
            server.ehlo()
        if smtp.username:
            server.login(smtp.username, smtp.password.get_secret_value() if smtp.password else "")
    except BaseException:
        server.close()
        raise
    return server


async def mail_from(line: Line, sender: str) -> Reply:
    """MAIL. The address is plain, as `addresses.check` leaves it.

    Raises OSError or SMTPException when the line is lost, as the others do.
    """
    return await line.ask(f"MAIL FROM:<{sender}>")


async def rcpt_to(line: Line, recipient: str) -> Reply:
    """RCPT."""
    return await line.ask(f"RCPT TO:<{recipient}>")


async def data(line: Line) -> Reply:
    """The DATA command alone; nothing of the mail was sent yet."""
    return await line.ask("DATA")


async def body(line: Line, message: bytes) -> None:
    """The mail and the dot that ends it. When this raises, the dot was not handed over: no server takes such a mail."""
    await line.write(ready(message))


async def end(line: Line) -> Reply:
    """The server's word on the mail."""
    return await line.reply()


async def reset(line: Line) -> bool:
    """Forget a mail that was refused; False when the line is lost."""
    try:
        return (await line.ask("RSET")).code == 250
    except (OSError, smtplib.SMTPException):
        return False


def ready(message: bytes) -> bytes:
    """A message as DATA takes it: dots that begin a line doubled, the last line ended, and the dot alone.

    RFC 5321, 4.1.1.4 and 4.5.2. Pure.
    """
    lines = message.split(b"\n")  # a third of the time that searching for "\n." takes
    if any(line.startswith(b".") for line in lines):
        message = b"\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    return message + (b".\r\n" if message.endswith(b"\r\n") else b"\r\n.\r\n")
