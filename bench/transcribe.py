"""What our transcription costs and gets right, beside bare faster-whisper in the same run on the same audio.

    python -m bench.transcribe [--rounds 3] [--only CLIP...] [--also AUDIO TEXT]... [--repeat N]
    python -m bench.transcribe --device cuda --model large-v3-turbo --batch 16 --workers 2

The audio is the demo's, a mix of it with music, silence and an outro, and what installed packages carry
(`pip install moonshine-voice`: a reading from Dickens); `--also` adds files with their text. Each system runs in a
process of its own with the same model, beam, batch and threads; rounds take turns. CPU-seconds are of all its
processes, without loading. `--repeat` puts the demo's episodes one after the other N times, as one long file.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from bench.names import told as words_told
from bench.recognisers import SYSTEMS
from bench.sound import demo, mix, repeated
from bench.words import compare, tokens
from pipeline import weights
from pipeline.transcript.machine import cores

DICKENS = Path(__file__).parent / "data/two_cities.txt"


@dataclass(frozen=True)
class Clip:
    """A file, what is said in it, and (seconds, text) of stretches whose start is known."""

    name: str
    path: Path
    text: str
    starts: tuple[tuple[float, str], ...] = ()
    after_music: int | None = None
    """Which of `starts` is the first sentence after music."""


def clips(args: argparse.Namespace, folder: Path) -> list[Clip]:
    """The audio of a run."""
    found = []
    for e in demo():
        starts = tuple((s["start"], s["text"]) for s in e["segments"])
        music = e["music_s"] is not None
        found.append(Clip(e["id"], e["path"], " ".join(t for _, t in starts), starts, 0 if music else None))
    path, starts, first = mix(folder / "mix.wav")
    found.append(Clip("mix", path, " ".join(t for _, t in starts), starts, first))
    spec = find_spec("moonshine_voice")
    if spec is not None and spec.origin is not None:
        found.append(Clip("two-cities", Path(spec.origin).parent / "assets/two_cities.wav", DICKENS.read_text("utf-8")))
    found += [Clip(Path(a).stem, Path(a), Path(t).read_text("utf-8")) for a, t in args.also]
    if args.repeat:
        path, starts = repeated(folder / "long.wav", args.repeat)
        found = [Clip(f"demo x {args.repeat}", path, " ".join(t for _, t in starts), starts, 0)]
    return found


def recognise(system: str, request: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.recognisers", system],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def seconds(path: Path) -> float:
    from pipeline.audio.probe import probe

    return probe(path, max_hours=100.0).duration_s


def start_errors(clip: Clip, words: Sequence[tuple[float, float, str]]) -> tuple[list[float], float | None]:
    """Seconds from the true start of each known stretch to the recognised one; that of the first after music."""
    heard = [(token, start) for start, _, text in words for token in tokens(text)]
    said: list[str] = []
    at: list[int] = []
    for _, text in clip.starts:
        at.append(len(said))
        said += tokens(text)
    match = compare(said, [t for t, _ in heard]).match
    errors, first = [], None
    for n, ((true, _), place) in enumerate(zip(clip.starts, at, strict=True)):
        found = match[place] if place < len(match) else None
        if found is not None:
            errors.append(heard[found][1] - true)
            first = errors[-1] if n == clip.after_music else first
    return errors, first


def report(system: str, clips: Sequence[Clip], durations: Sequence[float], rounds: Sequence[dict[str, Any]]) -> None:
    last = rounds[-1]["files"]
    errors = said = 0
    starts: list[float] = []
    after: list[float] = []
    for clip, file in zip(clips, last, strict=True):
        c = compare(tokens(clip.text), tokens(" ".join(w for _, _, w in file["words"])))
        errors, said = errors + c.errors, said + c.said
        found, first = start_errors(clip, file["words"])
        starts += found
        after += [] if first is None else [first]
    cpu = min(sum(f["cpu_s"] for f in r["files"]) for r in rounds)
    wall = min(sum(f["wall_s"] for f in r["files"]) for r in rounds)
    speech, missing = (sum(f[k] for f in last) for k in ("speech_s", "missing_s"))
    off = sorted(abs(e) for e in starts)
    print(
        f"| {system} | {wall / sum(durations):.3f} | {cpu / sum(durations):.3f} "
        f"| {min(r['load_cpu_s'] for r in rounds):.1f} | {max(r['peak_bytes'] for r in rounds) / 1e6:.0f} "
        f"| {errors / said:.2%} ({errors}/{said}) | {missing / speech:.2%} "
        f"| {median(off):.2f} / {off[int(0.95 * (len(off) - 1))]:.2f} / {off[-1]:.2f} ({len(off)}) "
        f"| {', '.join(f'{e:+.2f}' for e in after)} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--also", nargs=2, metavar=("AUDIO", "TEXT"), action="append", default=[])
    parser.add_argument("--repeat", type=int, default=0, help="one long file instead: the demo's episodes N times")
    parser.add_argument("--only", nargs="+", metavar="CLIP", help="such as mix, two-cities, slow-software-01")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--model", default="base", help="a faster-whisper name or a folder")
    parser.add_argument("--batch", type=int, default=0, help="0 is 4 on a CPU, 16 on a GPU")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--language", default="en")
    parser.add_argument("--workers", type=int, default=1, help="so many processes of each system side by side")
    parser.add_argument("--json", type=Path, help="write everything here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        use = args.model
        if use == "base" and weights.has_whisper_base():
            use = str(weights.whisper_base(cache / "models"))
        audio = [c for c in clips(args, cache) if not args.only or c.name in args.only]
        durations = [seconds(c.path) for c in audio]
        request = {
            "files": [str(c.path) for c in audio],
            "language": args.language,
            "device": args.device,
            "model": use,
            "setting": args.model,
            "compute": "float16" if args.device == "cuda" else "int8",
            "threads": max(1, cores() // args.workers),
            "batch": args.batch or (16 if args.device == "cuda" else 4),
            "beam": args.beam,
            "cache": folder,
            "hints": {str(e["path"]): words_told()[e["title"]] for e in demo()},
        }
        results: dict[str, list[dict[str, Any]]] = {system: [] for system in args.systems}
        for _ in range(args.rounds):
            for system in args.systems:
                begun = time.monotonic()
                with ThreadPoolExecutor(args.workers) as pool:
                    done = list(pool.map(lambda _, s=system: recognise(s, request), range(args.workers)))
                results[system].append(done[0])
                if args.workers > 1:
                    spent = time.monotonic() - begun
                    print(f"{system}: {args.workers} x {sum(durations):.0f} s in {spent:.0f} s, loading included")
        model = re.sub(r".*/", "", use)
        print(
            f"{len(audio)} files, {sum(durations):.0f} s; {model} {request['compute']}, beam {args.beam}, "
            f"batch {request['batch']}, {request['threads']} threads, best of {args.rounds}\n\n"
            "| system | real-time factor | CPU-s an audio second | CPU-s to load | peak MB | WER | missing speech "
            "| start off: median / 95 % / most (s) | first after music (s) |\n|---|---|---|---|---|---|---|---|---|"
        )
        for system, rounds in results.items():
            report(system, audio, durations, rounds)
        for system in [s for s in ("ours", "told") if s in results and "batched" in results]:
            ratios = [
                sum(f["cpu_s"] for f in o["files"]) / sum(f["cpu_s"] for f in b["files"])
                for o, b in zip(results[system], results["batched"], strict=True)
            ]
            print(f"\n{system} to batched, CPU-seconds, by round: {', '.join(f'{r:.3f}' for r in ratios)}")
        if args.json:
            args.json.write_text(json.dumps({"clips": [c.name for c in audio], "results": results}), "utf-8")


if __name__ == "__main__":
    main()
