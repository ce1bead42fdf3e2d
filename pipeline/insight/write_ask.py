"""Asks a served model for insights: of every part of a transcript, of passages that brought none, and once more for
what came in the wrong length. A part that fails is left out and counted; the others go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.errors import AnswerError, PodsiftError, RefusedError
from pipeline.insight.injected import to_a_machine
from pipeline.insight.llm_base import LanguageModel, Message
from pipeline.insight.llm_wire import together
from pipeline.insight.prompts import lines, prompt
from pipeline.insight.write_parts import CHARS_A_TOKEN, Part, around, halves, missed, parts, room
from pipeline.insight.write_schema import (
    ANSWER_TOKENS,
    REWRITE_SCHEMA,
    REWRITE_TOKENS,
    SCHEMA,
    Written,
    faults,
    read,
    rewritten,
)
from pipeline.records import Dropped, EpisodeContext, Passage, Sentence, Transcript

FOCUS = 4
"""Passages that are asked about by themselves."""
HALVED = 2
"""A part that is too long is cut in two so often at most."""
MARGIN = 300
"""Tokens for titles, hints and the chat template."""


class Asker:
    """For one transcript. `dropped` collects what could not be used."""

    def __init__(self, model: LanguageModel, transcript: Transcript, context: EpisodeContext):
        self._model, self._transcript = model, transcript
        self._about = {"show": _harmless(context.show), "title": _harmless(context.title)}
        self.dropped: list[Dropped] = []
        self._answered = 0
        self._failure: PodsiftError | None = None

    async def read_all(self, sentences: Sequence[Sentence], ranked: Sequence[Passage]) -> list[Written]:
        """Insights of all parts. Raises what LanguageModel says; a part that is answered unusably brings none."""
        system = prompt("extract").messages(**self._about, lines=(), promising=(), most=1)[0]
        taken = ANSWER_TOKENS + MARGIN + len(system.content) // CHARS_A_TOKEN
        cut = parts(sentences, ranked, room(self._model.facts.context, taken))
        if len(cut) > 1:
            await self._model.warm([system], prompt("extract").label)
        return await self._ask_all(cut)

    async def read_missed(
        self, sentences: Sequence[Sentence], ranked: Sequence[Passage], proven: Iterable[Sequence[int]]
    ) -> list[Written]:
        """Insights of the best passages of which nothing that is `proven` cites a sentence, each asked about nearly by
        itself: whatever was said elsewhere in its part cannot have it passed over twice. Raises AnswerError when
        nothing at all was answered usably."""
        passed = missed(ranked, proven, FOCUS)
        found = await self._ask_all(part for p in passed if (part := around(sentences, p)).sentences)
        if not self._answered:
            raise AnswerError(
                "The language model answered no part of the transcript usably",
                why=str(self._failure),
                hint="podsift doctor asks it a question; a larger or instruction-tuned model may help",
            )
        return found

    async def mend(self, written: Sequence[Written]) -> list[Written]:
        """Those of the right length as they are, the others written anew once."""
        right = {i: w for i, w in enumerate(written) if not faults(w)}
        wrong = [(i, w) for i, w in enumerate(written) if i not in right]
        for (i, _), after in zip(wrong, await together(self._rewrite(w) for _, w in wrong), strict=True):
            if isinstance(after, Written):
                right[i] = after
            else:
                self.dropped.append(after)
        return [right[i] for i in sorted(right)]

    async def _ask_all(self, asked: Iterable[Part]) -> list[Written]:
        return [w for found in await together(self._ask(part) for part in asked) for w in found]

    async def _ask(self, part: Part, halved: int = 0) -> list[Written]:
        try:
            answer = await self._model.chat_json(self._messages(part), SCHEMA, ANSWER_TOKENS, prompt("extract").label)
        except RefusedError as e:
            smaller = halves(part) if halved < HALVED else ()
            if not smaller:
                return self._failed("refused", part, e)
            return [w for found in await together(self._ask(half, halved + 1) for half in smaller) for w in found]
        except AnswerError as e:
            return self._failed("unreadable", part, e)
        self._answered += 1
        found, dropped = read(answer, part, self._transcript)
        self.dropped += dropped
        return list(found)

    def _messages(self, part: Part) -> tuple[Message, ...]:
        shown = lines(part.sentences)
        return prompt("extract").messages(**self._about, lines=shown, promising=part.promising, most=part.most)

    def _failed(self, reason: str, part: Part, error: PodsiftError) -> list[Written]:
        self._failure = error
        first, last = part.sentences[0].number, part.sentences[-1].number
        self.dropped.append(Dropped(reason, f"sentences {first} to {last}: {error}"))
        return []

    async def _rewrite(self, written: Written) -> Written | Dropped:
        ask = prompt("rewrite")
        cited = lines(self._transcript.sentences[n] for n in written.evidence)
        messages = ask.messages(lines=cited, title=written.title, text=written.text, faults=faults(written))
        try:
            return rewritten(await self._model.chat_json(messages, REWRITE_SCHEMA, REWRITE_TOKENS, ask.label), written)
        except (AnswerError, RefusedError) as e:
            return Dropped("length", f"{written.title}: {e}")


def _harmless(text: str | None) -> str | None:
    return None if text is None or to_a_machine(text) else text
