"""A GGUF model served by llama.cpp in this process (xllamacpp), for a machine without a GPU. OpenAI-compatible."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, UsageError

MAGIC = b"GGUF"
PARALLEL = 2
"""Prompts at a time; each has the whole context."""


def serve(
    path: Path,
    *,
    host: str,
    port: int,
    context: int,
    threads: int,
    stop: threading.Event,
    say: Callable[[str], None],
    api_key: str | None = None,
) -> None:
    """Serve until `stop`. Raises ConfigError without xllamacpp, UsageError for a file that is no model."""
    try:
        with path.open("rb") as f:
            right = f.read(len(MAGIC)) == MAGIC
    except OSError as e:
        raise UsageError(f"{path} cannot be read", why=str(e), hint="give the path of a .gguf file") from e
    if not right:
        raise UsageError(f"{path} is no GGUF file", hint="podsift llm models --json names where GGUF files are")
    try:
        import xllamacpp
    except ImportError as e:
        raise ConfigError("llama.cpp is not installed", why=str(e), hint="pip install 'podsift[llm]'") from e
    params: Any = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {path.stem}
    params.hostnames, params.port = [host], port
    params.n_parallel, params.n_ctx = PARALLEL, PARALLEL * context
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.endpoint_metrics = True
    # Thinking would fill an answer before it begins; nobody needs its pages.
    params.enable_reasoning = 0
    params.ui = False
    if api_key:
        params.api_keys = [api_key]
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as e:
        hint = "its messages above say why: not enough memory, or a kind of model that this llama.cpp does not know"
        raise UsageError(f"llama.cpp cannot serve {path}", why=str(e), hint=hint) from e
    say(f"{path.stem} at {server.listening_address}; Ctrl-C ends it")
    stop.wait()
    del server  # which ends its threads
