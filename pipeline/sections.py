"""The sections of the settings, each key with its default, its bounds and what it is for."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)


class DatabaseSettings(Section):
    url: SecretStr | None = Field(
        None, description="PostgreSQL as postgresql://user:password@host/name; unset means SQLite in the data folder"
    )

    @field_validator("url")
    @classmethod
    def _known_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("postgresql://", "postgres://", "sqlite:///")
        ):
            raise ValueError("must begin with postgresql:// (or sqlite:/// and a path)")
        return value


class FeedSettings(Section):
    contact: str = Field(
        "https://example.org/podsift-operator",
        description="address in the User-Agent, so that publishers can reach you",
    )
    allow_hosts: tuple[str, ...] = Field(
        (), description="host or host:port entries that may be fetched although their address is private"
    )
    max_bytes: Annotated[int, Field(ge=10_000)] = Field(15_000_000, description="decoded size limit of a feed document")
    timeout_s: Annotated[float, Field(gt=0)] = Field(20.0, description="total time for one feed document")
    lookback_days: Annotated[int, Field(ge=0)] = Field(
        7,
        description="a new feed's episodes of the last so many days are processed, older ones only kept",
    )
    max_new: Annotated[int, Field(ge=1)] = Field(
        10, description="at most so many episodes of a new feed are processed at first"
    )
    max_pages: Annotated[int, Field(ge=1, le=100)] = Field(
        3, description="pages of a new feed that splits its archive (rel=next) that are read when it is added"
    )


class AudioSettings(Section):
    max_bytes: Annotated[int, Field(ge=100_000)] = Field(1_000_000_000, description="size limit of one audio file")
    max_hours: Annotated[float, Field(gt=0)] = Field(8.0, description="duration limit of one episode")
    min_free_bytes: Annotated[int, Field(ge=0)] = Field(
        2_000_000_000, description="downloads pause while the disk has less free space than this"
    )
    keep: bool = Field(False, description="keep audio after its transcript is stored")
    daily_hours: Annotated[float, Field(ge=0)] = Field(
        0.0, description="hours of audio that are taken up in any 24 hours, fresh before old; 0 means no limit"
    )
    timeout_s: Annotated[float, Field(gt=0)] = Field(3600.0, description="total time for one download")


class WhisperSettings(Section):
    model: str = Field(
        "auto",
        description="auto (by device and memory: base on a CPU, large-v3-turbo on a GPU), a faster-whisper name, or "
        "a folder",
    )
    compute: str = Field(
        "auto",
        pattern=r"^[a-z0-9_]{3,20}$",
        description="CTranslate2's compute type; auto is int8 on a CPU, float16 on a GPU, int8_float16 on a small one",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where Whisper runs")
    threads: Annotated[int, Field(ge=0)] = Field(0, description="CPU threads; 0 means the cores this process may use")
    batch: Annotated[int, Field(ge=0)] = Field(
        0, description="windows decoded together; 0 means 4 on a CPU, 16 on a GPU"
    )
    beam: Annotated[int, Field(ge=1, le=10)] = Field(5, description="beam size")
    slots: Annotated[int, Field(ge=1)] = Field(
        1, description="episodes transcribed at a time, each by a process of its own that takes its part of the cores"
    )


class LlmSettings(Section):
    url: str | None = Field(
        None,
        description="OpenAI-compatible server of the language model, for example http://127.0.0.1:30000; "
        "several that serve the same model are separated by commas; unset means insights are selected without one",
    )
    model: str | None = Field(None, description="name of the served model; unset takes the only one there is")
    api_key: SecretStr | None = Field(None, description="key of the language model's server, if it wants one")
    timeout_s: Annotated[float, Field(gt=0)] = Field(300.0, description="time for one answer of the language model")
    concurrency: Annotated[int, Field(ge=1, le=1024)] = Field(
        16, description="prompts at the language model's server at a time"
    )
    daily_tokens: Annotated[int, Field(ge=0)] = Field(
        0, description="no episode is begun once so many tokens were used in a day (UTC); 0 means no limit"
    )
    share_gpu: bool = Field(
        False,
        description="Whisper and the server (SGLang with --enable-memory-saver) take turns on one GPU; for podsift up "
        "and run on SQLite",
    )
    fallback: bool = Field(
        False, description="while the language model is away, select insights without it; the digest then says so"
    )

    @property
    def urls(self) -> tuple[str, ...]:
        """Each server of the language model, one for most; all serve the same model."""
        return tuple(u.strip() for u in (self.url or "").split(",") if u.strip())

    @field_validator("url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None:
            parts = [u.strip() for u in value.split(",")]
            if not all(re.fullmatch(r"https?://[^/\s?#,]+(/[^\s?#,]*)?", u) for u in parts):
                raise ValueError("must be an http(s) address without a query, or several separated by commas")
        return value


class DigestSettings(Section):
    count: Annotated[int, Field(ge=3, le=10)] = Field(5, description="insights in a digest")
    hour: Annotated[int, Field(ge=0, le=23)] = Field(
        7, description="local hour at which a new subscriber's digest is sent"
    )
    time_zone: str = Field("UTC", description="time zone of a new subscriber, for example Europe/Berlin")
    first_lookback_days: Annotated[int, Field(ge=1)] = Field(
        3, description="a new subscriber's first digest looks back so many days"
    )
    lookback_days: Annotated[int, Field(ge=1)] = Field(
        3, description="later digests look back so many days for insights not sent yet"
    )
    floor: float = Field(0.0, description="insights scored below this are never sent")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        from zoneinfo import available_timezones

        if value not in available_timezones():
            raise ValueError("must be a time zone name such as Europe/Berlin")
        return value


class SmtpSettings(Section):
    host: str | None = Field(None, description="mail server; unset means digests are built and kept, not sent")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(587, description="port of the mail server")
    security: Literal["starttls", "tls", "none"] = Field("starttls", description="how the connection is encrypted")
    username: str | None = Field(None, description="login name, if the server wants one")
    password: SecretStr | None = Field(None, description="login password")
    sender: str = Field("Podsift <podsift@localhost>", description="From of the digest")
    reply_to: str | None = Field(None, description="Reply-To; also where mailto unsubscribing goes, else the sender")
    timeout_s: Annotated[float, Field(gt=0)] = Field(60.0, description="time for one step of the conversation")
    retry_minutes: Annotated[float, Field(ge=0)] = Field(
        30.0, description="a deferred mail is tried again no sooner than this"
    )
    connections: Annotated[int, Field(ge=1, le=50)] = Field(2, description="connections to the mail server at a time")
    per_domain: Annotated[int, Field(ge=1, le=50)] = Field(
        2, description="at most so many mails at a time to one domain of recipients"
    )
    per_minute: Annotated[float, Field(ge=0)] = Field(
        0.0, description="at most so many mails a minute to the mail server, in short bursts; 0 means no limit"
    )
    breaker: Annotated[int, Field(ge=1)] = Field(
        5, description="after so many 421 or 454 answers, or lost connections, in a row the server is left alone"
    )
    dkim_selector: str | None = Field(
        None, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,60}[A-Za-z0-9])?$", description="selector of the DKIM key"
    )
    dkim_domain: str | None = Field(
        None, pattern=r"^[A-Za-z0-9.-]{1,250}$", description="domain that signs; unset is the sender's"
    )
    dkim_key: SecretStr | None = Field(None, description="RSA private key (PEM) that signs mails; unset sends unsigned")


class BounceSettings(Section):
    address: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,20}@[A-Za-z0-9.-]{1,250}$",
        description="where bounces go, as bounce@example.org; each mail gets bounce+ID@example.org. Unset is off",
    )
    maildir: str | None = Field(None, description="maildir folder that bounces arrive in")
    imap_host: str | None = Field(None, description="IMAP server (TLS) that holds the mailbox of bounces")
    imap_port: Annotated[int, Field(ge=1, le=65535)] = Field(993, description="port of the IMAP server")
    imap_username: str | None = Field(None, description="login name of that mailbox")
    imap_password: SecretStr | None = Field(None, description="its password")
    imap_folder: str = Field("INBOX", description="folder of that mailbox; read messages are left, marked as seen")
    webhook_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="lets a mail server post reports as they come to /hooks/bounce of the pages; unset closes it",
    )
    soft_limit: Annotated[int, Field(ge=1)] = Field(5, description="so many soft bounces within the window suppress")
    soft_days: Annotated[int, Field(ge=1)] = Field(14, description="days of that window")


class ChannelSettings(Section):
    allow_hosts: tuple[str, ...] = Field(
        (), description="host or host:port entries that channels may post to although their address is private"
    )


class WebSettings(Section):
    base_url: str | None = Field(
        None,
        description="public address of the web pages, for the links in mails, for example https://digest.example.org; "
        "unset means mails carry no links to them",
    )
    host: str = Field("127.0.0.1", description="address that podsift web listens on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="port that podsift web listens on")
    operator_token: SecretStr | None = Field(
        None, min_length=16, description="opens the operator pages under /ops (16 characters or more); unset closes it"
    )
    with_up: bool = Field(False, description="podsift up serves the pages too")
    open_subscribe: bool = Field(False, description="anybody may subscribe on the page /subscribe")
    public: bool = Field(
        True, description="archive, transcripts and search are open to everybody; false leaves the links in mails only"
    )
    trusted_proxies: str = Field(
        "127.0.0.1", description="addresses of reverse proxies whose X-Forwarded-For is believed, separated by commas"
    )

    @field_validator("base_url")
    @classmethod
    def _site_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.fullmatch(r"https?://[^/\s?#]+(/[^\s?#]*)?", value):
            raise ValueError("must be an http(s) address without a query")
        return value.rstrip("/")


class RetentionSettings(Section):
    """Days; 0 keeps for ever. Insights, digests and what subscribers have had always stay."""

    audio_days: Annotated[int, Field(ge=0)] = Field(
        30, description="audio that is kept (audio.keep) goes so many days after its transcript was made; 0 keeps it"
    )
    transcript_days: Annotated[int, Field(ge=0)] = Field(
        0, description="sentences of transcripts go after so many days, insights keep their quotes; 0 keeps them"
    )
    mail_days: Annotated[int, Field(ge=0)] = Field(
        90, description="the bytes of mails that are over go after so many days, the digests stay; 0 keeps them"
    )
    record_days: Annotated[int, Field(ge=0)] = Field(
        180,
        description="what only tells how things went (polls, model calls, stage runs, dropped candidates, bounces) "
        "goes after so many days; 0 keeps it",
    )
