"""Speech recognition of one file with faster-whisper: batched, checked, and sequentially again where it failed.

Runs in the child process only. The settings are the measured ones: word timestamps on, because without them a segment
may begin 20 s early; `without_timestamps=True`, because its opposite loses words in batched mode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.audio.decode import SAMPLE_RATE, Samples, decode, stretches
from pipeline.errors import RefusedError
from pipeline.transcript import quality
from pipeline.transcript.base import Word
from pipeline.transcript.quality import Span
from pipeline.transcript.voice import pack, speech_of

BLOCK_S = {"cpu": 600.0, "cuda": 1800.0}
"""A block's spectrograms take 1 MB for each 30 s; a GPU's batches of 16 want longer blocks."""
_CUT_WITHIN_S = 60.0
_JOIN_GAPS_S = 2.0
_MARGIN_S = 0.2
_LANGUAGE_WINDOWS = 4
_SPANS_KEPT = 200
_CODES = {"iw": "he", "in": "id", "nb": "no", "cmn": "zh", "fil": "tl", "ji": "yi"}

Emit = Callable[[float], None]


class Recogniser:
    """A loaded model. `transcribe` is not thread-safe."""

    def __init__(self, model: Any, *, device: str, beam: int, batch: int):
        from faster_whisper import BatchedInferencePipeline

        self.model = model
        self.batched = BatchedInferencePipeline(model)
        self.device, self.beam, self.batch = device, beam, batch
        self._hints: str | None = None

    def transcribe(
        self, path: Path, language: str | None, max_s: float, emit: Emit, hints: str | None = None
    ) -> dict[str, Any]:
        """Words with times and what was checked, as plain data. Raises RefusedError for what is not audio."""
        self._hints = hints
        code = self._code(language)
        words: list[Word] = []
        missing: list[tuple[float, float]] = []
        redone: list[tuple[float, float]] = []
        speech_s = duration_s = 0.0
        dropped = 0
        suspects: Counter[str] = Counter()
        for offset, audio, speech in self._blocks(path, max_s):
            if speech and code is None:
                code = self._detect(audio, speech)
            heard, block_suspects, again = self._block(audio, speech, code, offset, emit)
            found = quality.without_phantoms(heard, speech)
            dropped += len(heard) - len(found)
            words += (replace(w, start=round(w.start + offset, 3), end=round(w.end + offset, 3)) for w in found)
            suspects += block_suspects
            speech_s += quality.total_s(speech)
            missing += _moved(quality.missed(speech, ((w.start, w.end) for w in found)), offset)
            redone += _moved(again, offset)
            duration_s = offset + audio.size / SAMPLE_RATE
            emit(duration_s)
        return {
            "language": code,
            "duration_s": round(duration_s, 2),
            "words": [[word.start, word.end, word.text] for word in words],
            "speech_s": round(speech_s, 2),
            "missing_speech_s": round(quality.total_s(missing), 2),
            "redone_s": round(quality.total_s(redone), 2),
            "missing": missing[:_SPANS_KEPT],
            "redone": redone[:_SPANS_KEPT],
            "dropped_words": dropped,
            "confidence": quality.confidence(words),
            "suspects": dict(suspects),
        }

    def hear(
        self, path: Path, language: str | None, spans: Sequence[tuple[float, float]]
    ) -> list[list[tuple[float, float, str]]]:
        """Words of short spans, batched only, with their times in the file: to check somebody else's times."""
        code = self._code(language)
        found = []
        for (start, _), audio in zip(spans, stretches(path, spans), strict=True):
            speech = speech_of(audio)
            if speech and code is None:
                code = self._detect(audio, speech)
            words = [w for _, each in self._decode_batched(audio, speech, code) for w in each] if code else []
            found.append([(round(w.start + start, 3), round(w.end + start, 3), w.text) for w in words])
        return found

    def words(self, path: Path, language: str) -> list[str]:
        """The bare words of a short file, batched only: for the self-test."""
        audio = np.concatenate(list(decode(path, 60.0)))
        return [word.text for _, found in self._decode_batched(audio, speech_of(audio), language) for word in found]

    def _blocks(self, path: Path, max_s: float) -> Iterator[tuple[float, Samples, list[tuple[float, float]]]]:
        """Offset, samples and speech of consecutive blocks, cut in the longest silence near a block's end."""
        pieces = decode(path, BLOCK_S[self.device])
        rest: Samples = np.zeros(0, np.float32)
        offset, current = 0.0, next(pieces)
        for following in chain(pieces, (None,)):
            audio = np.concatenate((rest, current)) if rest.size else current
            length_s = audio.size / SAMPLE_RATE
            if offset + length_s > max_s:
                raise RefusedError(
                    f"{path.name} lasts more than {max_s / 3600:g} hours", why="longer than its header says"
                )
            speech = speech_of(audio)
            if following is None:
                yield offset, audio, speech
                return
            cut_s = _cut(speech, length_s)
            cut = int(cut_s * SAMPLE_RATE)
            yield offset, audio[:cut], [(a, min(b, cut_s)) for a, b in speech if a < cut_s]
            offset, rest, current = offset + cut / SAMPLE_RATE, audio[cut:].copy(), following

    def _block(
        self, audio: Samples, speech: list[tuple[float, float]], language: str | None, offset: float, emit: Emit
    ) -> tuple[list[Word], Counter[str], list[tuple[float, float]]]:
        suspects: Counter[str] = Counter()
        words: list[Word] = []
        if not speech or language is None:
            return words, suspects, []
        before = ""
        for span, found in self._decode_batched(audio, speech, language):
            reason = quality.suspicion(span, quality.overlap_s(speech, span.start, span.end), before, self._hints)
            before = span.text
            if reason is None:
                words += found
            else:
                suspects[reason] += 1
            emit(offset + span.end)
        words.sort(key=lambda word: word.start)
        # A dropped span leaves speech without words, so one rule finds what to hear again: dropped and never heard.
        gaps = quality.joined(quality.missed(speech, ((w.start, w.end) for w in words)), _JOIN_GAPS_S)
        for start, end in gaps:
            words += self._again(audio, start, end, speech, language)
            emit(offset + end)
        words.sort(key=lambda word: word.start)
        return words, suspects, gaps

    def _decode_batched(
        self, audio: Samples, speech: Sequence[tuple[float, float]], language: str
    ) -> Iterator[tuple[Span, list[Word]]]:
        packed = pack(audio, speech)
        if not packed.windows:
            return
        # Half a sample more, so that seconds come back as the same sample.
        clips = [{"start": (a + 0.5) / SAMPLE_RATE, "end": (b + 0.5) / SAMPLE_RATE} for a, b in packed.windows]
        segments, _ = self.batched.transcribe(
            packed.samples,
            language=language,
            beam_size=self.beam,
            batch_size=self.batch,
            word_timestamps=True,
            without_timestamps=True,
            clip_timestamps=clips,
            hotwords=self._hints,
        )
        yield from _spans(segments, packed.time)

    def _again(
        self, audio: Samples, start: float, end: float, speech: list[tuple[float, float]], language: str
    ) -> list[Word]:
        """Words of one stretch by sequential decoding with Whisper's own safeguards; none where they fail as well."""
        begin = max(0.0, start - _MARGIN_S)
        clip = audio[int(begin * SAMPLE_RATE) : int((end + _MARGIN_S) * SAMPLE_RATE)]
        segments, _ = self.model.transcribe(
            clip,
            language=language,
            beam_size=self.beam,
            word_timestamps=True,
            condition_on_previous_text=False,
            hallucination_silence_threshold=2,
            vad_filter=False,
        )
        kept: list[Word] = []
        for span, found in _spans(segments, lambda seconds, _: seconds + begin):
            if quality.suspicion(span, quality.overlap_s(speech, span.start, span.end)) is None:
                kept += (word for word in found if start <= (word.start + word.end) / 2 <= end)
        return kept

    def _detect(self, audio: Samples, speech: list[tuple[float, float]]) -> str:
        """The language with the highest summed probability over windows spread across the block's speech."""
        if not self.model.model.is_multilingual:
            return "en"
        step = max(1, len(speech) // _LANGUAGE_WINDOWS)
        totals: Counter[str] = Counter()
        for start, _ in speech[::step][:_LANGUAGE_WINDOWS]:
            window = audio[int(start * SAMPLE_RATE) : int((start + 30.0) * SAMPLE_RATE)]
            _, _, probabilities = self.model.detect_language(audio=window)
            totals.update(dict(probabilities))
        return max(totals, key=lambda code: totals[code])

    def _code(self, language: str | None) -> str | None:
        """A feed's language tag as one that the model knows, else None: then it is detected."""
        if not self.model.model.is_multilingual:
            return "en"
        primary = (language or "").strip().lower().replace("_", "-").partition("-")[0]
        code = _CODES.get(primary, primary)
        return code if code in self.model.supported_languages else None


def _spans(segments: Iterable[Any], time: Callable[[float, float], float]) -> Iterator[tuple[Span, list[Word]]]:
    """Spans with words; `time` turns a word's seconds, with those of its middle, into the audio's."""
    for segment in segments:
        words = []
        for w in segment.words or ():
            start, end = float(w.start), max(float(w.start), float(w.end))
            middle = (start + end) / 2
            words.append(
                Word(round(time(start, middle), 3), round(time(end, middle), 3), w.word, round(float(w.probability), 3))
            )
        if words:
            span = Span(words[0].start, words[-1].end, segment.text, segment.avg_logprob, segment.no_speech_prob)
            yield span, words


def _moved(spans: Iterable[tuple[float, float]], offset: float) -> list[tuple[float, float]]:
    return [(round(start + offset, 2), round(end + offset, 2)) for start, end in spans]


def _cut(speech: list[tuple[float, float]], length_s: float) -> float:
    """The middle of the longest silence in the last minute; the end of a block that has none."""
    begin = max(0.0, length_s - _CUT_WITHIN_S)
    edges = [begin, *chain.from_iterable((a, b) for a, b in speech if b > begin), length_s]
    silences = [(b - a, (a + b) / 2) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a and a >= begin]
    longest = max(silences, default=(0.0, length_s))
    return longest[1] if longest[0] > 0 else length_s
