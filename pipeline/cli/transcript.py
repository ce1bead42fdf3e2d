"""`podsift transcript`: make and read transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from pipeline.cli.shared import App, json_option, print_json
from pipeline.email.render import clock_time
from pipeline.records import Transcript
from pipeline.store import transcripts
from pipeline.transcript.export import FORMATS
from pipeline.transcript.export import export as write_document


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
@click.option("--quality", is_flag=True, help="Source, confidence, missing speech, redone spans, marks and reasons.")
@json_option
@click.pass_obj
def show(app: App, episode_id: int, quality: bool, as_json: bool) -> None:
    """An episode's transcript: minute, speaker, sentence; `~` marks what is never quoted, such as sponsor reads."""
    with app.database() as db, db.begin() as conn:
        t = transcripts.load(conn, episode_id)
    if as_json:
        print_json(_document(t, sentences=not quality))
    elif quality:
        for line in quality_lines(t):
            click.echo(line)
    else:
        for s in t.sentences:
            who = f"{s.speaker}: " if s.speaker else ""
            click.echo(f"{clock_time(s.start):>8} {'~' if s.mark else ' '} {who}{s.text}")


@transcript.command()
@click.argument("episode_id", type=int)
@click.option("--format", "form", type=click.Choice(FORMATS), default="txt", show_default=True, help="Form.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file (default: standard output).")
@click.option("--without-marked", is_flag=True, help="Leave out sponsor reads, greetings and housekeeping.")
@click.pass_obj
def export(app: App, episode_id: int, form: str, output: Path | None, without_marked: bool) -> None:
    """An episode's transcript as text, SRT, WebVTT or Podcasting 2.0 JSON."""
    with app.database() as db, db.begin() as conn:
        t = transcripts.load(conn, episode_id)
    document = write_document(t, form, marked=not without_marked)
    if output is None:
        click.echo(document, nl=False)
        return
    output.write_text(document, "utf-8")
    click.echo(f"{len(t.sentences)} sentences in {output}", err=True)


def _document(t: Transcript, *, sentences: bool) -> dict[str, Any]:
    head: dict[str, Any] = {"language": t.language, "duration_s": t.duration_s, "source": t.source, "model": t.model}
    head |= {"missing_speech_s": t.missing_speech_s, "redone_s": t.redone_s, "quality": t.quality}
    head |= {"confidence": t.confidence, "poor": t.poor, "marks": _marks(t)}
    if sentences:
        head["sentences"] = [
            {"start": s.start, "end": s.end, "speaker": s.speaker, "text": s.text, "mark": s.mark, "reason": s.reason}
            for s in t.sentences
        ]
    return head


def _marks(t: Transcript) -> list[dict[str, Any]]:
    """Stretches of sentences with the same mark."""
    found: list[dict[str, Any]] = []
    for mark, group in groupby(t.sentences, key=lambda s: s.mark):
        held = list(group)
        if mark is not None:
            reasons = dict.fromkeys(s.reason for s in held if s.reason)
            found.append(
                {
                    "start": held[0].start,
                    "end": held[-1].end,
                    "mark": mark,
                    "sentences": len(held),
                    "reasons": [*reasons],
                }
            )
    return found


def quality_lines(t: Transcript) -> list[str]:
    """How good a transcript is and why, a line a fact."""
    q = t.quality
    lines = [f"source {t.source}, model {t.model or 'none'}, language {t.language or 'unknown'}"]
    if t.poor:
        lines.append(f"POOR, gives no insights: {t.poor}")
    if t.confidence is not None:
        lines.append(f"confidence {t.confidence:.0%} (mean of the words)")
    if "speech_s" in q:
        share = t.missing_speech_s / q["speech_s"] if q["speech_s"] else 0.0
        lines.append(f"missing speech {t.missing_speech_s:.1f} s, {share:.1%} of {q['speech_s']:.0f} s of speech")
        lines += (f"  nothing made out {_span(span)}" for span in q.get("missing", ()))
        suspects = ", ".join(f"{n} {why}" for why, n in sorted(q.get("suspects", {}).items()))
        lines.append(f"heard again {t.redone_s:.1f} s of {t.duration_s:.0f} s" + (f" ({suspects})" if suspects else ""))
        lines += (f"  heard again {_span(span)}" for span in q.get("redone", ()))
        if q.get("dropped_words"):
            lines.append(f"dropped {q['dropped_words']} words that nobody said (music or silence)")
    if "times" in q:
        lines.append(f"times {q['times']}")
    if q.get("inserted_s"):
        lines.append(f"inserted into the audio {q['inserted_s']:.0f} s that the publisher's text does not have")
    lines += (f"refused {reason}" for reason in q.get("publisher_refused", ()))
    for m in _marks(t):
        lines.append(
            f"marked {m['mark']} {_span((m['start'], m['end']))}: {'; '.join(m['reasons']) or 'no reason kept'}"
        )
    return lines


def _span(span: Sequence[float]) -> str:
    return f"{clock_time(span[0])} to {clock_time(span[1])}"
