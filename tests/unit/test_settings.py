"""Settings fail loudly: the key, its problem, the accepted form."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.settings import Settings, keys, load


def read(tmp_path: Path, toml: str = "", **env: str) -> Settings:
    path = tmp_path / "podsift.toml"
    path.write_text(toml)
    return load(path, env)


def test_environment_wins_over_file(tmp_path: Path) -> None:
    found = read(tmp_path, '[smtp]\nhost = "a"\nport = 25\n', PODSIFT_SMTP_HOST="b")
    assert (found.smtp.host, found.smtp.port) == ("b", 25)


def test_relative_data_dir_is_beside_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, 'data_dir = "here"').data_dir == tmp_path / "here"


def test_secret_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    found = read(tmp_path, PODSIFT_SMTP_PASSWORD_FILE=str(secret))
    assert found.smtp.password is not None and found.smtp.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("toml", "env", "said"),
    [
        ("[smtp]\nhots = 'a'", {}, "did you mean smtp.host?"),
        ("", {"PODSIFT_SMPT_HOST": "a"}, "did you mean PODSIFT_SMTP_HOST?"),
        ("[smtp]\nport = 99999", {}, "smtp.port"),
        ("", {"PODSIFT_DIGEST_HOUR": "25"}, "PODSIFT_DIGEST_HOUR"),
        ("[digest]\ntime_zone = 'Mars/Olympus'", {}, "Europe/Berlin"),
        ("smtp = 3", {"PODSIFT_SMTP_PORT": "1"}, "[smtp]"),
        ("not toml", {}, "not valid TOML"),
        ("", {"PODSIFT_SMTP_PASSWORD_FILE": "/nowhere"}, "cannot be read"),
        ("", {"PODSIFT_SMTP_PASSWORD_FILE": "/nowhere", "PODSIFT_SMTP_PASSWORD": "x"}, "Both"),
        ("", {"PODSIFT_DATABASE_URL": "mysql://x"}, "postgresql://"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, toml: str, env: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as e:
        read(tmp_path, toml, **env)
    assert said in f"{e.value} {e.value.hint}"


def test_a_secret_is_never_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as e:
        read(tmp_path, PODSIFT_DATABASE_URL="mysql://user:hunter2@host/db")
    assert "hunter2" not in f"{e.value} {e.value.hint}"


def test_variables_are_unique() -> None:
    assert len(keys()) == len(set(keys().values()))
