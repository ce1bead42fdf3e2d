"""`podsift transcript`: make and read transcripts."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.shared import App, json_option, print_json
from pipeline.email.render import clock_time
from pipeline.store import transcripts


@click.group()
def transcript() -> None:
    """Make and read transcripts."""


@transcript.command()
@click.argument("audio", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--language", help="Language of the speech, for example en (default: detected).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (the only form so far).")
@click.pass_obj
def make(app: App, audio: Path, language: str | None, as_json: bool) -> None:
    """Transcribe an audio file with Whisper and print its sentences. Needs no database."""
    from rich.console import Console
    from rich.progress import Progress

    from pipeline.audio.probe import probe
    from pipeline.transcript.make import transcript_json
    from pipeline.transcript.whisper import WhisperTranscriber

    transcriber = WhisperTranscriber(app.settings.whisper, app.settings.data_dir)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        facts = probe(audio, max_hours=app.settings.audio.max_hours)
        bar = bars.add_task(f"transcribing {audio.name}", total=facts.duration_s)
        try:
            made = transcriber.transcribe(
                audio, language=language, progress=lambda done: bars.update(bar, completed=done)
            )
        finally:
            transcriber.close()
    print_json(transcript_json(made))


@transcript.command()
@click.argument("episode_id", type=int)
@click.option("--quality", is_flag=True, help="Where it comes from, missing speech, redone spans.")
@json_option
@click.pass_obj
def show(app: App, episode_id: int, quality: bool, as_json: bool) -> None:
    """An episode's transcript: minute, speaker, sentence; `~` marks sponsor reads, which are never quoted."""
    with app.database() as db, db.begin() as conn:
        t = transcripts.load(conn, episode_id)
    if as_json:
        sentences = [
            {"start": s.start, "end": s.end, "speaker": s.speaker, "text": s.text, "mark": s.mark} for s in t.sentences
        ]
        head = {"language": t.language, "duration_s": t.duration_s, "source": t.source, "model": t.model}
        print_json(
            head
            | {"missing_speech_s": t.missing_speech_s, "redone_s": t.redone_s, "quality": t.quality}
            | {"sentences": sentences}
        )
        return
    if quality:
        click.echo(f"source {t.source}, model {t.model or 'none'}, language {t.language or 'unknown'}")
        click.echo(f"missing speech {t.missing_speech_s:.1f} s, redone {t.redone_s:.1f} s of {t.duration_s:.0f} s")
        return
    for s in t.sentences:
        who = f"{s.speaker}: " if s.speaker else ""
        click.echo(f"{clock_time(s.start):>8} {'~' if s.mark else ' '} {who}{s.text}")
