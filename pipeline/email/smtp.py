"""The conversation with the mail server, one verb at a time."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl

from pipeline.email.reply import Reply, said
from pipeline.settings import SmtpSettings

_PERIOD = re.compile(rb"(?m)^\.")


def connect(smtp: SmtpSettings) -> smtplib.SMTP:
    """Open a session: TLS as set, login when a username is set."""
    assert smtp.host is not None
    tls = ssl.create_default_context()
    server: smtplib.SMTP
    if smtp.security == "tls":
        server = smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=smtp.timeout_s, context=tls)
    else:
        server = smtplib.SMTP(smtp.host, smtp.port, timeout=smtp.timeout_s)
    try:
        if server.sock is not None:
            # The last line of a mail is a small packet of its own, which must not wait for the others' receipts.
            server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.ehlo_or_helo_if_needed()
        if smtp.security == "starttls":
            server.starttls(context=tls)
            server.ehlo()
        if smtp.username:
            server.login(smtp.username, smtp.password.get_secret_value() if smtp.password else "")
    except BaseException:
        server.close()
        raise
    return server


def disconnect(server: smtplib.SMTP) -> None:
    """Say goodbye, or hang up."""
    try:
        server.quit()
    except (OSError, smtplib.SMTPException):
        server.close()


def mail_from(server: smtplib.SMTP, sender: str) -> Reply:
    """MAIL. Raises OSError or SMTPException when the line is lost, as the others do."""
    return said(*server.mail(sender))


def rcpt_to(server: smtplib.SMTP, recipient: str) -> Reply:
    """RCPT."""
    return said(*server.rcpt(recipient))


def data(server: smtplib.SMTP) -> Reply:
    """The DATA command alone; nothing of the mail was sent yet."""
    return said(*server.docmd("DATA"))


def body(server: smtplib.SMTP, message: bytes) -> None:
    """The mail without the dot that ends it: a server that did not get the dot cannot have taken the mail."""
    quoted = _PERIOD.sub(b"..", message)
    server.send(quoted if quoted.endswith(b"\r\n") else quoted + b"\r\n")


def end(server: smtplib.SMTP) -> Reply:
    """The dot, and the server's word on the mail."""
    server.send(b".\r\n")
    return said(*server.getreply())


def reset(server: smtplib.SMTP) -> bool:
    """Forget a mail that was refused; False when the line is lost."""
    try:
        return server.rset()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False
