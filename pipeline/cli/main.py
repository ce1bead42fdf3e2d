"""`podsift`: the groups, the errors in three lines, and the exit codes.

0 ok, 1 failed, 2 usage, 3 not found, 4 configuration, 5 partly failed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pipeline import __version__
from pipeline.cli.shared import App
from pipeline.errors import PodsiftError

# Loaded when called: `podsift --help` must not wait for onnxruntime.
COMMANDS = {
    "backup": "database, settings and secret key as one file",
    "channel": "other ways out: webhooks, chats, folders of notes",
    "clock": "order what falls due (PostgreSQL)",
    "config": "settings as they are in force",
    "db": "the database's schema",
    "demo": "the whole way on the bundled sample shows",
    "digest": "preview, build, send and read digests",
    "doctor": "check everything that a morning's digest needs",
    "episode": "episodes and where they stand",
    "eval": "how good a writer is, and whether another could take its place",
    "export": "everything in open formats",
    "feed": "the shows to follow",
    "healthcheck": "a quick yes or no, for containers",
    "init": "write podsift.toml with a secret key",
    "insight": "find and list insights",
    "job": "what waits, runs or failed",
    "llm": "choose, serve and measure a language model",
    "mail": "bounces, suppressed addresses, servers that are left alone",
    "metrics": "figures for Prometheus",
    "outbox": "mails and what became of them",
    "prune": "delete what is older than the settings keep",
    "restore": "an installation out of a backup",
    "rank": "the passage ranker, and training it on what your language model found",
    "run": "one pass: poll, process, build, send, exit",
    "stats": "what each day brought, and what it cost",
    "subscriber": "who gets the digest",
    "transcript": "make and read transcripts",
    "up": "keep going: all parts, watched",
    "web": "serve the archive, search and the subscribers' pages",
    "worker": "do what waits in the queues (PostgreSQL)",
}


class Lazy(click.Group):
    """Commands named in COMMANDS, each in a module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"pipeline.cli.{name}")
        return getattr(module, name)  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "-c", type=click.Path(path_type=Path), help="Configuration file (default: ./podsift.toml).")
@click.version_option(__version__, prog_name="podsift")
@click.pass_context
def podsift(ctx: click.Context, config: Path | None) -> None:
    """Podcast feeds in, five proven insights a day by e-mail out."""
    ctx.obj = App(config)


def main(argv: list[str] | None = None) -> None:
    """The console script."""
    sys.exit(run(argv))


def run(argv: list[str] | None = None) -> int:
    """Run a command line; returns the exit code. Our own errors are three lines: what, why, what to do."""
    try:
        result: Any = podsift.main(argv, prog_name="podsift", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except PodsiftError as e:
        click.echo(f"error: {e.message}", err=True)
        cause = e.cause()
        if cause:
            click.echo(f"  why: {cause}", err=True)
        if e.hint:
            click.echo(f"  try: {e.hint}", err=True)
        return e.exit_code
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        return 1
    except click.ClickException as e:
        e.show()
        return e.exit_code
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (podsift ... | head); nothing is wrong.
        sys.stderr.close()
        return 0
