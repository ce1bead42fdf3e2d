"""Serving a GGUF file: what is no such file, and a machine without llama.cpp, are told before anything starts."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from pipeline.cli.main import run
from pipeline.errors import ConfigError, UsageError
from pipeline.insight import llama


def serve(path: Path) -> None:
    stop = threading.Event()
    llama.serve(path, host="127.0.0.1", port=0, context=2048, threads=1, stop=stop, say=print)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        serve(tmp_path / "none.gguf")
    (tmp_path / "x.gguf").write_bytes(b"<html>")
    with pytest.raises(UsageError, match="no GGUF"):
        serve(tmp_path / "x.gguf")


def test_without_llama_cpp_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(ConfigError, match="not installed"):
        serve(tmp_path / "x.gguf")


def test_a_broken_model_is_llama_cpps_to_refuse(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="llama.cpp is not installed (pip install 'podsift[llm]')")
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(UsageError, match="cannot serve"):
        serve(tmp_path / "x.gguf")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["llm", "serve", "--gguf", "none.gguf"]) == 2
    assert "cannot be read" in capsys.readouterr().err
