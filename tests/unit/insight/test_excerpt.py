"""Which runs of sentences may be shown, and how well each stands alone."""

from __future__ import annotations

from pipeline.insight.excerpt import MIN_WORDS, READ, possible, readable, standing, titled
from pipeline.insight.opening import opening
from pipeline.insight.passage import words
from pipeline.records import Passage, Sentence, Transcript


def line(number: int, text: str, speaker: str | None = None) -> Sentence:
    return Sentence(number, 5.0 * number, 5.0 * number + 4.9, text, speaker)


def test_an_excerpt_that_points_backwards_stands_less_well() -> None:
    rest = (
        "the age of the oldest job tells you how late you are and that is all a customer feels in the end, "
        "nothing else at all."
    )
    worth = {
        start: standing(Passage(1, 1), Transcript("en", 9.0, (line(0, "Hm."), line(1, f"{start} {rest}")), "whisper"))
        for start in ("Honestly", "So", "That's why", "Yeah, and", "and")
    }
    assert worth["Honestly"] > worth["So"] > worth["Yeah, and"] > worth["That's why"] > worth["and"]


def test_a_that_which_nothing_before_it_names_stands_less_well_and_a_named_one_does_not() -> None:
    rest = (
        "people at a company of any size stop looking at their dashboards and wait for a customer to call them first."
    )

    def worth(start: str) -> float:
        said = (line(0, "Hm."), line(1, f"{start} {rest}"))
        return standing(Passage(1, 1), Transcript("en", 9.0, said, "whisper"))

    plain = worth("Honestly")
    for start in (
        "Without that alert",
        "In both cases",
        "We gave that up, and",
        "I think that that is why",
        "In there",
        "Basically, as they told us",
        "Number seven",
        "Not really.",
        "Nobody who sells software needs that level of control,",
    ):
        assert worth(start) < plain, start
    assert worth("So as they told us") < worth("So as operators told us")
    for start in (
        "We learn from those who say that",
        "The rule that we follow is why",
        "Nobody measures the kinds of things that matter, so",
        "What Tauri has going for it is that",
    ):
        assert worth(start) == plain, start


def test_a_word_that_nobody_can_say_is_no_excerpt() -> None:
    rest = (
        "people at a company of any size stop looking at their dashboards and wait for a customer to call them first."
    )
    for word, stands in (("a" * 5000, False), ("Donaudampfschifffahrtsgesellschaftskapitän", True)):
        said = Transcript("en", 9.0, (line(0, f"{word} {rest}"),), "whisper")
        assert (standing(Passage(0, 0), said) > 0) is stands


def test_excerpts_are_whole_sentences_of_25_to_70_words_around_their_passage() -> None:
    transcript = Transcript("en", 60.0, tuple(line(i, "word " * 14 + "end.") for i in range(8)), "whisper")
    spans = [(p.first, p.last) for p in possible(Passage(3, 5), transcript)]
    assert (3, 5) in spans
    assert (2, 4) in spans
    assert all(2 <= last - first + 1 <= 4 for first, last in spans)
    assert (1, 3) not in spans


def test_half_a_sentence_half_a_quotation_and_an_it_from_before_stand_less_well() -> None:
    rest = "the age of the oldest job tells how late you are, and that is all that a customer feels in the end of a day"
    worth = {
        text: standing(Passage(1, 1), Transcript("en", 9.0, (line(0, "Hm."), line(1, text)), "whisper"))
        for text in (f"Honestly {rest}.", f"I think it's {rest}.", f"Honestly {rest} --", f'Honestly {rest}."')
    }
    whole, pointing, cut, half = worth.values()
    assert whole > pointing > cut
    assert whole > half


def test_of_a_passages_excerpts_the_ones_with_a_claim_are_read() -> None:
    said = (
        "We were at that place for a while and I had this thing with somebody there, you know, and it was fun.",
        "The age of the oldest job tells a customer more than the length of the queue.",
        "Teams measure what is easy to count, and then they wonder why nobody is happy with the numbers.",
        "And then there were some of those other ones that we were going to, you know, do something about, but...",
    )
    transcript = Transcript("en", 60.0, tuple(line(i, text) for i, text in enumerate(said)), "whisper")
    found = readable(Passage(0, 3), transcript)
    assert 1 <= len(found) <= READ
    assert found[0][0].last == 2
    assert titled(Passage(1, 2), transcript) > titled(Passage(3, 3), transcript)
    assert [reads for _, reads in found] == sorted((reads for _, reads in found), reverse=True)


def test_words_that_are_left_out_do_not_count() -> None:
    said = " ".join(f"word{n}" for n in range(MIN_WORDS - 1))
    opened = Transcript("en", 9.0, (line(0, f"And so, you know, {said}."),), "whisper")
    assert list(possible(Passage(0, 0), opened)) == []
    whole = Transcript("en", 9.0, (line(0, f"And so, you know, {said} more."),), "whisper")
    (span,) = possible(Passage(0, 0), whole)
    text = whole.sentences[span.first].text
    assert words(text[opening(text) :]) == MIN_WORDS
