"""A transcript as a document that players, editors and other programs read: text, SRT, WebVTT, Podcasting 2.0 JSON.

Each form is read back by `transcript.publisher` with the same sentences; WebVTT and JSON with the same speakers and
milliseconds, SRT with speakers where its `Name: text` can be told from text, plain text with whole seconds.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Sequence

from pipeline.records import Sentence, Transcript
from pipeline.transcript import publisher

FORMATS = ("txt", "srt", "vtt", "json")
_MARKUP = re.compile(r"</?[a-zA-Z]|\{\\|&[#\w]")


def export(t: Transcript, form: str, *, marked: bool = True) -> str:
    """The document; `marked=False` leaves out what is marked as sponsor read, greeting or housekeeping."""
    sentences = [s for s in t.sentences if marked or s.mark is None]
    writers: dict[str, Callable[[Sequence[Sentence]], str]] = {"txt": _txt, "srt": _srt, "vtt": _vtt, "json": _json}
    return writers[form](sentences)


def _txt(sentences: Sequence[Sentence]) -> str:
    return "".join(
        f"[{_clock(s.start, '.').partition('.')[0]}] {s.speaker + ': ' if s.speaker else ''}{s.text}\n"
        for s in sentences
    )


def _srt(sentences: Sequence[Sentence]) -> str:
    named = _cues(sentences, names=True)
    if not any(s.speaker for s in sentences):
        return named
    # SRT knows no speakers, so whether `Ann: text` is read as a name depends on the whole document.
    back = publisher.read(named.encode("utf-8"), type="application/x-subrip")
    same = [(s.speaker, s.text) for s in back] == [(s.speaker, s.text) for s in sentences]
    return named if same else _cues(sentences, names=False)


def _cues(sentences: Sequence[Sentence], *, names: bool) -> str:
    cues = []
    for n, s in enumerate(sentences, 1):
        # Players show entities as they stand, so they are used only where the text would be taken for markup.
        text = _escaped(s.text) if _MARKUP.search(s.text) else s.text
        label = f"{s.speaker}: " if names and s.speaker else ""
        cues.append(f"{n}\n{_clock(s.start, ',')} --> {_clock(s.end, ',')}\n{label}{text}\n")
    return "\n".join(cues)


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("{", "&#123;")


def _vtt(sentences: Sequence[Sentence]) -> str:
    cues = ["WEBVTT\n"]
    for s in sentences:
        voice = f"<v {html.escape(s.speaker, quote=False)}>" if s.speaker else ""
        cues.append(f"{_clock(s.start, '.')} --> {_clock(s.end, '.')}\n{voice}{html.escape(s.text, quote=False)}\n")
    return "\n".join(cues)


def _json(sentences: Sequence[Sentence]) -> str:
    segments = [
        {"startTime": round(s.start, 3), "endTime": round(s.end, 3), "body": _plain(s.text)}
        | ({"speaker": _plain(s.speaker)} if s.speaker else {})
        for s in sentences
    ]
    return json.dumps({"version": "1.0.0", "segments": segments}, ensure_ascii=False, indent=1) + "\n"


def _plain(text: str) -> str:
    """The text as it stands, but where a reader that knows of publishers' entities would take a part for one."""
    return text if html.unescape(text) == text else text.replace("&", "&amp;")


def _clock(seconds: float, point: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"
