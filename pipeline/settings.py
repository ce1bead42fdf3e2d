"""Typed settings from podsift.toml and PODSIFT_* variables; fails loudly.

Order, later wins: defaults, podsift.toml (`--config`, `PODSIFT_CONFIG`, else ./podsift.toml), environment.
A variable is `PODSIFT_<SECTION>_<KEY>` (`PODSIFT_SMTP_HOST`), `PODSIFT_<KEY>` for the top level (`PODSIFT_DATA_DIR`);
with `_FILE` behind it the value is read from that file, so that secrets need not stand in the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError

from pipeline.errors import ConfigError
from pipeline.sections import (
    AudioSettings as AudioSettings,
)
from pipeline.sections import (
    BounceSettings as BounceSettings,
)
from pipeline.sections import (
    ChannelSettings as ChannelSettings,
)
from pipeline.sections import (
    DatabaseSettings as DatabaseSettings,
)
from pipeline.sections import (
    DigestSettings as DigestSettings,
)
from pipeline.sections import (
    FeedSettings as FeedSettings,
)
from pipeline.sections import (
    LlmSettings as LlmSettings,
)
from pipeline.sections import (
    RetentionSettings as RetentionSettings,
)
from pipeline.sections import (
    Section as Section,
)
from pipeline.sections import (
    SmtpSettings as SmtpSettings,
)
from pipeline.sections import (
    WebSettings as WebSettings,
)
from pipeline.sections import (
    WhisperSettings as WhisperSettings,
)

CONFIG_NAME = "podsift.toml"
_NOT_SETTINGS = {"PODSIFT_CONFIG", "PODSIFT_TEST_POSTGRES_URL"}


class Settings(Section):
    data_dir: Path = Field(Path("podsift-data"), description="folder for the database, audio and logs")
    secret_key: SecretStr | None = Field(
        None, description="keys as id:key pairs, newest first, separated by commas; `podsift init` makes one"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")
    log_format: Literal["text", "json"] = Field("text", description="form of a log line")
    metrics_file: Path | None = Field(
        None,
        description="podsift run and podsift up write their metrics to this file, for node_exporter's textfile "
        "collector (a name that ends with .prom)",
    )
    database: DatabaseSettings = DatabaseSettings()  # type: ignore[call-arg]
    feed: FeedSettings = FeedSettings()  # type: ignore[call-arg]
    audio: AudioSettings = AudioSettings()  # type: ignore[call-arg]
    whisper: WhisperSettings = WhisperSettings()  # type: ignore[call-arg]
    llm: LlmSettings = LlmSettings()  # type: ignore[call-arg]
    digest: DigestSettings = DigestSettings()  # type: ignore[call-arg]
    smtp: SmtpSettings = SmtpSettings()  # type: ignore[call-arg]
    bounce: BounceSettings = BounceSettings()  # type: ignore[call-arg]
    channel: ChannelSettings = ChannelSettings()  # type: ignore[call-arg]
    web: WebSettings = WebSettings()  # type: ignore[call-arg]
    retention: RetentionSettings = RetentionSettings()  # type: ignore[call-arg]

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL; PostgreSQL always through psycopg 3."""
        if self.database.url is None:
            return f"sqlite:///{(self.data_dir / 'podsift.db').absolute()}"
        url = self.database.url.get_secret_value()
        for prefix in ("postgresql://", "postgres://"):
            if url.startswith(prefix):
                return "postgresql+psycopg://" + url.removeprefix(prefix)
        return url

    @property
    def on_postgres(self) -> bool:
        return self.database_url.startswith("postgresql")


def keys() -> dict[str, tuple[str, ...]]:
    """Every setting's path by its variable's name: `PODSIFT_SMTP_HOST` -> `("smtp", "host")`."""
    found: dict[str, tuple[str, ...]] = {}
    for name, info in Settings.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, Section):
            for key in section.model_fields:
                found[f"PODSIFT_{name}_{key}".upper()] = (name, key)
        else:
            found[f"PODSIFT_{name}".upper()] = (name,)
    return found


def config_path(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The configuration file that is read, None without one. Raises ConfigError when a named one is not there."""
    env = os.environ if environ is None else environ
    path = config or (Path(env["PODSIFT_CONFIG"]) if env.get("PODSIFT_CONFIG") else None)
    if path is not None and not path.is_file():
        raise ConfigError(f"The configuration file {path} does not exist", hint="podsift init writes one")
    return path or (Path(CONFIG_NAME) if Path(CONFIG_NAME).is_file() else None)


def load(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. Raises ConfigError with the key, its problem and the accepted form."""
    env = os.environ if environ is None else environ
    path = config_path(config, env)
    values: dict[str, Any] = {}
    sources: dict[tuple[str, ...], str] = {}
    if path is not None:
        values = _read_toml(path)
        if isinstance(values.setdefault("data_dir", "podsift-data"), str):
            # A relative folder means beside the file, so that cron and systemd find the same data.
            values["data_dir"] = str(path.absolute().parent / values["data_dir"])
    for key, value, source in _from_environment(env):
        sources[key] = source
        _put(values, key, value)
    try:
        return Settings.model_validate(values)
    except ValidationError as e:
        raise _config_error(e, sources, path) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path} is not valid TOML", hint="podsift config show --help explains the form") from e
    except OSError as e:
        raise ConfigError(f"{path} cannot be read", hint="check the file's permissions") from e


def _from_environment(env: Mapping[str, str]) -> list[tuple[tuple[str, ...], Any, str]]:
    known = keys()
    found: list[tuple[tuple[str, ...], Any, str]] = []
    for name in sorted(env):
        if not name.startswith("PODSIFT_") or name in _NOT_SETTINGS:
            continue
        if name in known:
            value = env[name]
        elif name.endswith("_FILE") and name.removesuffix("_FILE") in known:
            if name.removesuffix("_FILE") in env:
                raise ConfigError(f"Both {name} and {name.removesuffix('_FILE')} are set", hint="keep one of them")
            try:
                value = Path(env[name]).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as e:
                raise ConfigError(
                    f"{name} names a file that cannot be read: {env[name]}", hint="check path and permissions"
                ) from e
        else:
            raise ConfigError(
                f"{name} is not a setting",
                why=_nearest(name, list(known)),
                hint="podsift config show lists all settings",
            )
        key = known[name.removesuffix("_FILE") if name not in known else name]
        found.append((key, _split(key, value), name))
    return found


def _split(key: tuple[str, ...], value: str) -> Any:
    if key == ("feed", "allow_hosts"):
        return [part.strip() for part in value.split(",") if part.strip()]
    return None if value == "" else value


def _put(values: dict[str, Any], key: tuple[str, ...], value: Any) -> None:
    for part in key[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"[{part}] must be a section", hint=f"write it as [{part}] with keys below")
    if value is None:
        values.pop(key[-1], None)
    else:
        values[key[-1]] = value


def _nearest(name: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else "no setting has that name"


def _config_error(e: ValidationError, sources: Mapping[tuple[str, ...], str], path: Path | None) -> ConfigError:
    first = e.errors()[0]
    key = tuple(str(part) for part in first["loc"] if not isinstance(part, int))
    where = sources.get(key[:2], sources.get(key[:1], str(path) if path else "the settings"))
    dotted = ".".join(key)
    if first["type"] == "extra_forbidden":
        names = [".".join(k) for k in keys().values()]
        return ConfigError(
            f"{dotted} in {where} is not a setting",
            why=_nearest(dotted, names),
            hint="podsift config show lists all settings",
        )
    return ConfigError(f"{dotted} in {where} is wrong", why=first["msg"].removeprefix("Value error, "), hint=_form(key))


def _form(key: tuple[str, ...]) -> str:
    section: Any = Settings
    info = None
    for part in key:
        info = section.model_fields.get(part)
        if info is None:
            return "podsift config show lists all settings"
        section = info.annotation
    return f"expected: {info.description}" if info and info.description else "podsift config show lists all settings"
