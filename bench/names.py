"""Whether Whisper writes more names right when it is told the words of the feed: titles, persons, chapters.

    python -m bench.names [--model base] [--device cpu] [--ways none hotwords]

For the demo's episodes: how often each name of `samples/expectations.json` that is said is written so, and the word
error rate, without help, with the feed's words as hotwords, and with them as the initial prompt; batched, as we run it.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from functools import partial
from pathlib import Path

from bench.sound import demo
from bench.words import compare, tokens
from pipeline import weights
from pipeline.feed.chapters import read_chapters
from pipeline.feed.parse import parse
from pipeline.records import ParsedEpisode, ParsedFeed
from pipeline.resources import resource
from pipeline.transcript.hints import hints
from pipeline.transcript.machine import cores
from pipeline.transcript.recognise import Recogniser

WAYS = ("none", "hotwords", "initial_prompt")


def told() -> dict[str, str]:
    """By title of the episode: the words of its feed that may hold names."""
    found = {}
    for name in ("slow-software", "long-table"):
        path = resource("samples") / f"feed-{name}.xml"
        feed: ParsedFeed = parse(path.read_bytes(), "http://127.0.0.1:8765/feed.xml")
        for episode in feed.episodes:
            found[str(episode.title)] = words_of(feed, episode) or ""
    return found


def words_of(feed: ParsedFeed, episode: ParsedEpisode) -> str | None:
    chapters = episode.chapters
    if episode.chapters_url:
        name = episode.chapters_url.rpartition("/")[2]
        chapters = read_chapters((resource("samples") / name).read_bytes())
    return hints(feed.title, episode.title, episode.persons or feed.persons, chapters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base", help="a faster-whisper name or a folder")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    args = parser.parse_args()
    from faster_whisper import WhisperModel

    with tempfile.TemporaryDirectory() as folder:
        use = args.model
        if use == "base" and weights.has_whisper_base():
            use = str(weights.whisper_base(Path(folder)))
        model = WhisperModel(
            use,
            device=args.device,
            compute_type="float16" if args.device == "cuda" else "int8",
            cpu_threads=cores(),
        )
        help_of = told()
        for way in args.ways:
            right = said = errors = words = 0
            wrong = []
            begun = time.process_time()
            for e in demo():
                recogniser = Recogniser(model, device=args.device, beam=5, batch=4)
                words_told = help_of[e["title"]]
                if way == "initial_prompt":
                    recogniser.batched.transcribe = partial(recogniser.batched.transcribe, initial_prompt=words_told)
                told_so = words_told if way == "hotwords" else None
                found = recogniser.transcribe(e["path"], "en", 1e6, lambda _: None, told_so)
                text = "".join(w[2] for w in found["words"])
                true = " ".join(s["text"] for s in e["segments"])
                c = compare(tokens(true), tokens(text))
                errors, words = errors + c.errors, words + c.said
                for name in e["names"]:
                    there, here = (len(re.findall(rf"\b{re.escape(name)}\b", t)) for t in (true, text))
                    right, said = right + min(there, here), said + there
                    if here < there:
                        wrong.append(f"{name} {here}/{there}")
            print(
                f"{way}: names {right}/{said}, WER {errors / words:.2%} ({errors}/{words}), "
                f"{time.process_time() - begun:.0f} CPU-s; wrong: {', '.join(wrong) or 'none'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
