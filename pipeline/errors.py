"""Every error that Podsift raises on purpose.

The tree says what the engine does with a failure::

    PodsiftError                 message, ids, what to do next
    ├── TransientError           the same call may work later: retried with backoff, attempts are counted
    │   ├── FetchError           a server that is slow, away or answers 5xx/429
    │   ├── DatabaseAwayError    the database does not answer: what runs ends, its rows are as they were
    │   ├── AnswerError          an answer of a language model that is cut short, or not what was asked for
    │   └── MailDeferred         a 4xx answer, or a failure before DATA
    ├── WaitingError             a dependency is away (language model, disk space): waits and says so, counts no attempt
    ├── PermanentError           the same input can never work: the item ends as failed, visible, others go on
    │   ├── RefusedError         refused at the edge: private address, too large, not audio, hostile
    │   ├── GoneError            404/410: it is not there
    │   ├── ParseError           a document that cannot be read
    │   │   └── ExhaustedError   reading it took more time or memory than a document may
    │   └── MailRefused          a 5xx answer for this recipient
    ├── UncertainError           it may or may not have happened: a person decides (mail after DATA)
    ├── ConfigError              a setting is missing or wrong (exit code 4)
    ├── NotFoundError            an id or name that is not in the database (exit code 3)
    ├── UsageError               a command that cannot be carried out as given (exit code 2)
    └── PausedError              the whole run must pause (mail policy or authentication refused); nobody is at fault

An exception's docstring is its default message.
"""

from __future__ import annotations


class PodsiftError(Exception):
    """Podsift could not go on."""

    exit_code = 1

    def __init__(self, message: str | None = None, *, hint: str | None = None, why: str | None = None, **ids: object):
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.why = why
        """The cause in one sentence, when there is no chained exception that says it."""
        self.hint = hint
        """What to do or run next, as a sentence or a command."""
        self.ids = ids
        super().__init__(self.message)

    def __str__(self) -> str:
        parts = [self.message]
        if self.ids:
            parts.append(" ".join(f"{k}={v}" for k, v in self.ids.items()))
        cause = self.cause()
        if cause:
            parts.append(cause)
        return ": ".join(parts)

    def cause(self) -> str | None:
        """The reason as one line: `why`, else the chained exception."""
        if self.why:
            return self.why
        inner = self.__cause__
        if inner is None:
            return None
        text = str(inner).strip()
        return (
            text
            if isinstance(inner, PodsiftError)
            else f"{type(inner).__name__}: {text}"
            if text
            else type(inner).__name__
        )


class TransientError(PodsiftError):
    """This failed, and may work later."""

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after_s: float | None = None,
        hint: str | None = None,
        why: str | None = None,
        **ids: object,
    ):
        super().__init__(message, hint=hint, why=why, **ids)
        self.retry_after_s = retry_after_s
        """Seconds the other side asked us to wait, when it did."""


class FetchError(TransientError):
    """A server could not be reached or answered with an error."""


class DatabaseAwayError(TransientError):
    """The database does not answer."""


class AnswerError(TransientError):
    """The language model's answer cannot be used."""


class MailDeferred(TransientError):  # noqa: N818 - named for the SMTP reply class
    """The mail server asked to try again later."""


class WaitingError(TransientError):
    """Something that this step needs is away."""


class PermanentError(PodsiftError):
    """This can never work with the same input."""


class RefusedError(PermanentError):
    """Refused: the input breaks a limit or a rule."""


class GoneError(PermanentError):
    """It is not there any more."""


class ParseError(PermanentError):
    """The document cannot be read."""


class ExhaustedError(ParseError):
    """Reading the document took more time or memory than it may."""


class MailRefused(PermanentError):  # noqa: N818 - named for the SMTP reply class
    """The mail server refused this recipient."""


class UncertainError(PodsiftError):
    """It may or may not have happened; a person has to look."""


class PausedError(PodsiftError):
    """The run has to pause until a person changes something."""


class ConfigError(PodsiftError):
    """A setting is missing or wrong."""

    exit_code = 4


class NotFoundError(PodsiftError):
    """There is no such thing."""

    exit_code = 3


class UsageError(PodsiftError):
    """The command cannot be carried out as given."""

    exit_code = 2
