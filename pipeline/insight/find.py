"""Findings in terms of the transcript file they were made from, for tools that read JSON."""

from __future__ import annotations

from typing import Any

from pipeline.records import Findings, Transcript


def findings_json(findings: Findings, transcript: Transcript) -> dict[str, Any]:
    """`writer`, every passage with its score, the insights best first. `first` and `last` are indices into the
    segments of the input, where the transcript knows them, else sentence numbers."""
    return {
        "writer": findings.origin.writer,
        "passages": [{**_segments(p.first, p.last, transcript), "score": round(p.score, 6)} for p in findings.passages],
        "insights": [
            {
                "title": i.title,
                "insight": i.text,
                "quote": i.quote,
                **_segments(i.first, i.last, transcript),
                "start_s": round(i.start_s, 3),
                "end_s": round(i.end_s, 3),
                "speaker": i.speaker,
                "score": round(i.score, 6),
            }
            for i in findings.insights
        ],
    }


def _segments(first: int, last: int, transcript: Transcript) -> dict[str, int]:
    opening, closing = transcript.sentences[first].segments, transcript.sentences[last].segments
    return {"first": opening[0] if opening else first, "last": closing[1] if closing else last}
