"""`podsift llm`: which model to serve, how to start it, and how fast it answers."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import click
import psutil

from pipeline.cli.shared import App, json_option, print_json, print_rows
from pipeline.errors import ConfigError, UsageError
from pipeline.insight import catalog
from pipeline.insight.catalog import Choice
from pipeline.insight.gpus import gpus


@click.group()
def llm() -> None:
    """Choose, serve and measure a language model."""


def _row(choice: Choice) -> dict[str, Any]:
    m, p = choice.model, choice.precision
    return {
        "model": m.name,
        "total_b": m.total_b,
        "active_b": m.active_b,
        "context": m.context,
        "licence": m.licence,
        "thinking": m.thinking,
        "precision": p.name,
        "repository": p.repository,
        "weights_gib": p.weights_gib,
        "needed_gib": round(p.needed_gib, 1),
        "gpus": choice.gpus,
        "gguf": m.gguf,
        "sources": dict(m.sources),
    }


COLUMNS = ("model", "total_b", "active_b", "context", "licence", "thinking", "precision", "needed_gib")


@llm.command("models")
@json_option
def models_(as_json: bool) -> None:
    """The catalogue: sparse MoE models, what they need (worked out, not measured), and where each figure is from."""
    rows = [_row(Choice(m, p, 0)) for m in catalog.models() for p in m.precisions]
    print_rows([{k: v for k, v in row.items() if k != "gpus"} for row in rows], COLUMNS, "No models.", as_json)


@llm.command()
@json_option
def recommend(as_json: bool) -> int:
    """The models that this machine's GPUs can hold, best first. Exit code 1 when there is none."""
    found = gpus()
    choices = catalog.fitting(found)
    if as_json:
        print_json({"gpus": [{"name": g.name, "memory_gib": g.memory_gib} for g in found], "fit": _rows(choices)})
        return 0 if choices else 1
    if not found:
        click.echo("No NVIDIA GPU was found. Without a model podsift selects insights, and needs none.")
        click.echo("Any OpenAI-compatible server can be named in llm.url. On this CPU, slowly: download a GGUF file of")
        for m, gib in catalog.on_cpu(psutil.virtual_memory().total):
            click.echo(
                f"  {m.name}, {m.active_b:g} of {m.total_b:g} billion parameters at work: {m.gguf}, ~{gib:.0f} GiB"
            )
        click.echo("and podsift llm serve --gguf FILE (pip install 'podsift[llm]').")
        return 1
    click.echo(", ".join(f"{g.name} {g.memory_gib:.0f} GiB" for g in found))
    print_rows(_rows(choices), (*COLUMNS, "gpus"), "None of the catalogue fits.", False)
    if choices:
        click.echo(f"podsift llm serve --model {choices[0].model.name} --precision {choices[0].precision.name}")
    return 0 if choices else 1


def _rows(choices: list[Choice]) -> list[dict[str, Any]]:
    return [_row(choice) for choice in choices]


@llm.command()
@click.option("--model", help="A model of the catalogue (default: the best that fits).")
@click.option("--precision", help="One of its precisions (default: the highest that fits).")
@click.option("--python", default="python3", show_default=True, help="Python of the environment that has SGLang.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=30000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--context", type=click.IntRange(2048), help=f"Tokens of context (default: {catalog.CONTEXT}).")
@click.option("--gguf", type=click.Path(path_type=Path), help="Serve this file with llama.cpp on the CPU instead.")
@click.option("--print", "only_print", is_flag=True, help="Print the command instead of running it.")
@click.pass_obj
def serve(
    app: App,
    model: str | None,
    precision: str | None,
    python: str,
    host: str,
    port: int,
    context: int | None,
    gguf: Path | None,
    only_print: bool,
) -> None:
    """Start SGLang with a model of the catalogue, in place of this process; with --gguf llama.cpp within it."""
    if gguf is not None:
        _llama(app, gguf, host, port, context or catalog.CONTEXT)
        return
    choice = _choice(model, precision, must_fit=not only_print)
    command = catalog.sglang_command(choice, python=python, host=host, port=port, context=context)
    click.echo(shlex.join(command), err=not only_print)
    if only_print:
        return
    program = shutil.which(python)
    if program is None:
        raise ConfigError(f"{python} is not there", hint="give --python the one that has SGLang (podsift[sglang])")
    os.execv(program, command)  # noqa: S606 - a fixed list of arguments


def _llama(app: App, path: Path, host: str, port: int, context: int) -> None:
    from pipeline.cli.up import stopped
    from pipeline.insight import llama
    from pipeline.transcript.machine import cores

    settings = app.settings
    key = settings.llm.api_key.get_secret_value() if settings.llm.api_key else None
    llama.serve(
        path,
        host=host,
        port=port,
        context=context,
        threads=cores(),
        stop=stopped(),
        say=click.echo,
        api_key=key,
    )


def _choice(name: str | None, precision: str | None, *, must_fit: bool) -> Choice:
    found = gpus()
    if name is None:
        fitting = catalog.fitting(found)
        if not fitting:
            raise UsageError(
                "No model of the catalogue fits this machine's GPUs",
                hint="podsift llm serve --model NAME --print for another machine, or --gguf FILE on this CPU",
            )
        return fitting[0]
    m = catalog.model(name)
    wanted = [p for p in m.precisions if precision in (None, p.name)]
    if not wanted:
        raise UsageError(
            f"{m.name} is not listed in {precision}", hint=f"one of {', '.join(p.name for p in m.precisions)}"
        )
    for p in sorted(wanted, key=lambda p: -p.weights_gib):
        count = catalog.gpus_for(p, found)
        if count:
            return Choice(m, p, count)
    smallest = min(wanted, key=lambda p: p.weights_gib)
    if must_fit:
        has = sum(gpu.memory_gib for gpu in found)
        raise UsageError(
            f"{m.name} needs about {smallest.needed_gib:.0f} GiB of GPU memory", why=f"{has:.0f} GiB found"
        )
    return Choice(m, smallest, 1)


@llm.command()
@click.option("--prompts", default=128, show_default=True, type=click.IntRange(2, 10_000), help="One-token questions.")
@json_option
@click.pass_obj
def bench(app: App, prompts: int, as_json: bool) -> None:
    """Measure the served model: one-token questions on a shared beginning, and one answer in JSON."""
    measured = asyncio.run(_measure(app, prompts))
    if as_json:
        print_json(measured)
        return
    for key, value in measured.items():
        click.echo(f"{key.replace('_', ' '):24} {value}")


async def _measure(app: App, prompts: int) -> dict[str, Any]:
    from pipeline.insight.llm import Label, LlmCall, Message, open_model

    calls: list[LlmCall] = []
    shared = Message("system", "You check statements about numbers and answer in one word, Yes or No. " * 40)
    chats = [[shared, Message("user", f"Is {k} an even number? Answer Yes or No.")] for k in range(prompts)]
    schema = {
        "type": "object",
        "properties": {"words": {"type": "array", "maxItems": 40, "items": {"type": "string", "maxLength": 20}}},
        "required": ["words"],
        "additionalProperties": False,
    }
    ask = [Message("user", 'Name 40 vegetables as one JSON object, {"words": [...]}, without line breaks.')]
    async with open_model(app.settings.llm, record=calls.append, clock=app.clock) as model:
        began = time.perf_counter()
        answers = await model.yes_no(chats, Label("bench"))
        asked_s = time.perf_counter() - began
        read = sum(c.prompt_tokens or 0 for c in calls)
        cached = sum(c.cached_tokens or 0 for c in calls)
        calls.clear()
        began = time.perf_counter()
        await model.chat_json(ask, schema, 500, Label("bench"))
        wrote_s = time.perf_counter() - began
        wrote = sum(c.completion_tokens or 0 for c in calls)
        facts = model.facts
    right = sum((answer > 0) == (k % 2 == 0) for k, answer in enumerate(answers))
    return {
        "model": facts.model,
        "server": facts.server,
        "questions_a_second": round(prompts / asked_s, 1),
        "right": f"{right} of {prompts}",
        "prompt_tokens": read,
        "cached_share": round(cached / read, 3) if read else None,
        "tokens_written_a_second": round(wrote / wrote_s, 1),
    }
