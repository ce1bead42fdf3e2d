"""Trains the shipped passage ranker on graded episodes, and says how well it does on unseen ones.

    python -m bench.train_ranker ../shared          # pipeline/data/ranker.onnx.z, an hour on two threads
    python -m bench.train_ranker ../shared --folds  # figures on unseen episodes, and the regression in ranker.json

Deterministic: the same episodes, embedding file and packages on the same kind of processor give the same weights.
Cross-validation leaves whole episodes out, because passages of one episode are alike. Needs PyTorch, which the product
does not; docs/ranker.md says how to make an environment for it. What was trained stays in the temporary folder, so that
an interrupted run goes on where it was, and the second command trains nothing that the first one has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer

from bench.squeeze import coded
from pipeline import weights
from pipeline.insight import features
from pipeline.insight.embed import Embedder, MiniLmEmbedder, Vectors
from pipeline.insight.passage import passages
from pipeline.insight.rank import ENCODER, READ, VOCABULARY
from pipeline.insight.reading import VALUES, EncoderReader, Pair, pair
from pipeline.records import Passage, Sentence, Transcript
from pipeline.resources import PACKAGE, resource

VERSION = "encoder-2"
COMMON = 8_000
"""Tokens of the vocabulary, which begins with the frequent ones, that are kept in any case; of the others those which
the episodes have: half of the room. Rarer words are read in pieces."""
FOLDS = 3
"""Each trains an encoder."""
READ_SHARE = 2.0
"""What each of the encoder's values is worth in hand features."""
PENALTY = 3000.0
"""0.44 to 0.45 nDCG@5 anywhere from 300 to 3000."""
EMBEDDING_SHARE = 0.5
"""Standardised embedding columns are worth half a hand feature: 384 of them would drown 42."""
SCREENED = (0.25, 0.4)
"""Shares of the passages that hand features alone put lowest: the first is not read, which saves a quarter of the time
and of the insights 3 %; from there up to the second what the encoder says counts more and more, so that a passage near
the border does not leap when something elsewhere in the episode changes."""
INSIGHT = 3
KEPT = Path(tempfile.gettempdir()) / "podsift-ranker"
HAND = slice(0, len(features.NAMES))
READ_COLUMNS = slice(HAND.stop, HAND.stop + len(READ))
SHIPPED = slice(0, READ_COLUMNS.stop)
MEANING = slice(READ_COLUMNS.stop, None)
"""The embedding: for rankers to compare with; what is shipped does not use it."""
TOP = 5
SPEAKER_COLUMNS = [features.NAMES.index(name) for name in ("voices", "speaker_share", "speaker_runs_on")]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Graded:
    """One graded episode: `grades` 0..4 and a row of regression inputs for each of its passages.

    The READ columns of `columns` are unknown (NaN) until an encoder that did not see the episode has read it.
    """

    name: str
    grades: Array
    columns: Array
    cut: Sequence[Passage]
    transcript: Transcript
    pairs: Sequence[Pair]
    """In tokens of the whole vocabulary; what ships has a part of it."""

    @property
    def show(self) -> str:
        return self.name.rsplit("-", 1)[0]


@dataclass(frozen=True)
class Model:
    """A fitted ridge regression on standardised columns; a missing value counts as the average."""

    centre: Array
    weight: Array
    intercept: float

    def __call__(self, columns: Array) -> Array:
        values: Array = np.nan_to_num(columns - self.centre) @ self.weight + self.intercept
        return values


def read_transcript(path: Path) -> Transcript:
    """A transcript whose segments are sentences already."""
    segments = json.loads(path.read_text("utf-8"))["segments"]
    return Transcript(
        "en",
        segments[-1]["endTime"],
        tuple(
            Sentence(i, s["startTime"], s["endTime"], s["body"], s.get("speaker"), None, (i, i))
            for i, s in enumerate(segments)
        ),
        "publisher",
    )


def read_graded(shared: Path, embedder: Embedder) -> list[Graded]:
    """Every graded episode; stops when the product would cut an episode otherwise than the graders did."""
    tokenizer = BertWordPieceTokenizer(str(resource("minilm-vocab.txt")), lowercase=True)
    found = []
    for path in sorted((shared / "gold").glob("*.json")):
        gold = json.loads(path.read_text("utf-8"))
        transcript = read_transcript(shared / "transcripts" / path.name)
        cut = passages(transcript)
        if [[p.first, p.last] for p in cut] != gold["spans"]:
            raise SystemExit(f"{path.name}: passage.py no longer cuts as the graders did")
        unread = np.full((len(cut), VALUES), np.nan)
        columns = np.hstack([features.matrix(cut, transcript), unread, _vectors(cut, transcript, embedder)])
        pairs = [pair(p, transcript, tokenizer) for p in cut]
        grades = np.array(gold["grades"], dtype=np.float64)
        found.append(Graded(path.stem, grades, columns, cut, transcript, pairs))
    return found


def _vectors(cut: Sequence[Passage], transcript: Transcript, embedder: Embedder) -> Vectors:
    texts = [features.text_of(transcript, p.first, p.last) for p in cut]
    key = hashlib.sha256("\0".join([embedder.name, *texts]).encode()).hexdigest()[:24]
    cache = KEPT / f"{key}.npy"
    if not cache.exists():
        KEPT.mkdir(exist_ok=True)
        np.save(cache, embedder.embed(texts))
    kept: Vectors = np.load(cache)
    return kept


class Tuner:
    """Tunes encoders on some of the episodes and squeezes them, each once."""

    def __init__(self, episodes: Sequence[Graded]):
        # Needs PyTorch, which the figures of kept values and the tests do not.
        from bench import ranker_encoder, ranker_squeeze

        self._encoder, self._squeeze = ranker_encoder, ranker_squeeze
        self._episodes = episodes
        self._books = [ranker_encoder.Book(e.pairs, e.grades) for e in episodes]

    @cached_property
    def _below(self) -> Any:
        return self._encoder.below(self._books)

    def tuned(self, chosen: Sequence[int]) -> Path:
        """The weights tuned on the `chosen` episodes."""
        target = self._kept([self._encoder.SETTINGS], chosen).with_suffix(".pt")
        if not target.exists():
            print(f"tuning an encoder on {len(chosen)} episodes", flush=True)
            self._encoder.save(self._encoder.train(self._books, self._below, chosen), target)
        return target

    def squeezed(self, parts: Sequence[Path], chosen: Sequence[int]) -> tuple[Path, Path]:
        """The mean of tuned weights as the file that ships, calibrated on the `chosen` episodes, and its vocabulary."""
        from bench import ranker_export

        settings = [self._squeeze.SETTINGS, COMMON, [p.name for p in parts]]
        kept = self._kept(settings, chosen)
        target, vocabulary = kept.with_suffix(".onnx.z"), kept.with_suffix(".txt")
        if not target.exists():
            print(f"squeezing the mean of {len(parts)} encoders", flush=True)
            words = resource("minilm-vocab.txt").read_text("utf-8").split("\n")
            some = [self._episodes[i] for i in chosen]
            rows = vocabulary_of(some, words)
            vocabulary.write_text("\n".join(words[i] for i in rows), "utf-8")
            tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
            own = [pair(p, e.transcript, tokenizer) for e in some for p in e.cut]
            net = self._squeeze.squeezed(self._encoder.average(parts), rows, own)
            graph = ranker_export.graph_of(self._squeeze.arrays(net), self._encoder.LAYERS)
            work = target.with_suffix(".part")
            work.write_bytes(coded(graph.SerializeToString()))
            work.replace(target)
        return target, vocabulary

    def _kept(self, settings: Any, chosen: Sequence[int]) -> Path:
        digest = hashlib.sha256(json.dumps(settings).encode())
        for i in chosen:
            e = self._episodes[i]
            digest.update(json.dumps([e.name, e.pairs, e.grades.tolist()]).encode())
        KEPT.mkdir(exist_ok=True)
        return KEPT / digest.hexdigest()[:24]


def vocabulary_of(episodes: Sequence[Graded], words: Sequence[str]) -> list[int]:
    """Which of the words are kept, in their order."""
    seen = {t for e in episodes for both in e.pairs for part in both for t in part}
    return [i for i, w in enumerate(words) if w and not w.startswith("[unused") and (i < COMMON or i in seen)]


def read_unseen(episodes: Sequence[Graded], folds: Sequence[int], tuner: Tuner) -> list[Graded]:
    """Every episode read by an encoder that saw none of its fold."""
    found = list(episodes)
    for fold in sorted(set(folds)):
        chosen = others(folds, fold)
        encoder, vocabulary = tuner.squeezed([tuner.tuned(chosen)], chosen)
        left = unseen(folds, fold)
        kept = encoder.with_suffix(".npy")
        if not kept.exists():
            print(f"reading the {len(left)} episodes left out", flush=True)
            # By the same code that reads in the product.
            reader = EncoderReader(encoder, hashlib.sha256(encoder.read_bytes()).hexdigest(), vocabulary)
            np.save(kept, np.vstack([reader.read(episodes[i].cut, episodes[i].transcript) for i in left]))
        parts = np.split(np.load(kept), np.cumsum([len(episodes[i].grades) for i in left])[:-1])
        for i, part in zip(left, parts, strict=True):
            columns = episodes[i].columns.copy()
            columns[:, READ_COLUMNS] = part
            found[i] = replace(episodes[i], columns=columns)
    return found


def others(folds: Sequence[int], fold: int) -> list[int]:
    """Episodes of the other folds."""
    return [i for i, f in enumerate(folds) if f != fold]


def unseen(folds: Sequence[int], fold: int) -> list[int]:
    """Episodes of the fold."""
    return [i for i, f in enumerate(folds) if f == fold]


def folds_of(count: int) -> list[int]:
    """The fold of each of `count` episodes."""
    order = np.random.default_rng(0).permutation(count)
    return [int(f) for f in np.argsort(order) % FOLDS]


Columns = Sequence[slice]
ALL: Columns = (SHIPPED,)


def fit(episodes: Sequence[Graded], columns: Columns = ALL) -> Model:
    """Ridge on gain (2^grade - 1) over some of the columns; the rest get weight 0."""
    rows = np.nan_to_num(np.vstack([e.columns for e in episodes]))
    gain = np.concatenate([2.0**e.grades - 1 for e in episodes])
    centre, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    worth = 1 / spread
    worth[READ_COLUMNS] *= READ_SHARE
    worth[MEANING] *= EMBEDDING_SHARE
    chosen = np.zeros(rows.shape[1])
    for some in columns:
        chosen[some] = worth[some]
    standard = (rows - centre) * chosen
    inner = np.linalg.solve(
        standard.T @ standard + PENALTY * np.eye(standard.shape[1]), standard.T @ (gain - gain.mean())
    )
    return Model(centre, inner * chosen, float(gain.mean()))


@dataclass(frozen=True)
class Screen:
    """Which passages are not read, by hand features alone, and what is assumed that the encoder would say of them."""

    model: Model
    least: float
    sure: float
    unread: Array

    @classmethod
    def of(cls, episodes: Sequence[Graded]) -> Screen:
        """From episodes whose passages all were read."""
        rows = np.vstack([e.columns for e in episodes])
        model = fit(episodes, (HAND,))
        values = model(rows)
        least, sure = (float(q) for q in np.quantile(values, SCREENED))
        return cls(model, least, sure, rows[values < least, READ_COLUMNS].mean(axis=0))

    def __call__(self, episode: Graded) -> Graded:
        """The episode as it is when the screened passages are not read."""
        columns = episode.columns.copy()
        trust = np.clip((self.model(columns) - self.least) / (self.sure - self.least), 0, 1)[:, None]
        columns[:, READ_COLUMNS] = self.unread + trust * (columns[:, READ_COLUMNS] - self.unread)
        return replace(episode, columns=columns)


def ndcg(grades: Array, scores: Array) -> float:
    """nDCG of the five best by `scores`, gain 2^grade - 1."""
    gain = 2.0**grades - 1
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    best = np.sort(gain)[::-1][:TOP] @ discount
    return float(gain[np.argsort(-scores, kind="stable")[:TOP]] @ discount / best)


def precision(grades: Array, scores: Array) -> float:
    """Share of grade 3 or 4 among the five best by `scores`."""
    return float((grades[np.argsort(-scores, kind="stable")[:TOP]] >= INSIGHT).mean())


def out_of_fold(episodes: Sequence[Graded], groups: Sequence[Any], columns: Columns) -> list[Array]:
    """Each episode's values by a regression that saw no episode of its group."""
    values: list[Array] = [np.zeros(0)] * len(episodes)
    for group in sorted(set(groups)):
        model = fit([e for e, g in zip(episodes, groups, strict=True) if g != group], columns)
        for i, episode in enumerate(episodes):
            if groups[i] == group:
                values[i] = model(episode.columns)
    return values


def shipped(episodes: Sequence[Graded], groups: Sequence[Any], hidden: Sequence[int] = ()) -> list[Array]:
    """As `out_of_fold`, of what ships: screened, and the regression on the rest."""
    values: list[Array] = [np.zeros(0)] * len(episodes)
    for group in sorted(set(groups)):
        others_ = [e for e, g in zip(episodes, groups, strict=True) if g != group]
        screen = Screen.of(others_)
        model = fit([screen(e) for e in others_])
        for i, episode in enumerate(episodes):
            if groups[i] == group:
                columns = episode.columns.copy()
                columns[:, list(hidden)] = np.nan
                values[i] = model(screen(replace(episode, columns=columns)).columns)
    return values


def row(label: str, episodes: Sequence[Graded], values: Sequence[Array]) -> str:
    """A line of the table: mean and standard error over episodes."""
    both = np.array([[f(e.grades, v) for f in (ndcg, precision)] for e, v in zip(episodes, values, strict=True)])
    mean, error = both.mean(axis=0), both.std(axis=0, ddof=1) / np.sqrt(len(both))
    return f"| {label} | {mean[0]:.3f} ± {error[0]:.3f} | {mean[1]:.3f} ± {error[1]:.3f} |"


def random_row(episodes: Sequence[Graded], draws: int = 200) -> str:
    """The expectation over `draws` random orders of each episode."""
    rng = np.random.default_rng(0)
    both = np.array(
        [
            np.mean(
                [[f(e.grades, order) for f in (ndcg, precision)] for order in rng.random((draws, len(e.grades)))],
                axis=0,
            )
            for e in episodes
        ]
    )
    mean, error = both.mean(axis=0), both.std(axis=0, ddof=1) / np.sqrt(len(both))
    return f"| random | {mean[0]:.3f} ± {error[0]:.3f} | {mean[1]:.3f} ± {error[1]:.3f} |"


def heuristic(columns: Array) -> Array:
    """A sensible hand-made order: long, specific, reasoned talk without small talk, all counted equally."""
    signs = {
        "log_words": 1,
        "numbers": 1,
        "content_share": 1,
        "causal": 1,
        "contrast": 1,
        "compare": 1,
        "research": 1,
        "hedge": -1,
        "small_talk": -1,
        "show_talk": -1,
        "questions": -1,
    }
    total: Array = np.zeros(len(columns))
    for name, sign in signs.items():
        column = columns[:, features.NAMES.index(name)]
        total += sign * (column - column.mean()) / (column.std() + 1e-9)
    return total


def calibrate(values: Array, hits: Array, steps: int = 50) -> tuple[float, float]:
    """Slope and offset of a logistic curve from values to the share of hits, by Newton's method."""
    rows = np.column_stack([values, np.ones_like(values)])
    found = np.zeros(2)
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-rows @ found))
        found += np.linalg.solve((rows * (chance * (1 - chance))[:, None]).T @ rows, rows.T @ (hits - chance))
    return float(found[0]), float(found[1])


def document(
    model: Model, screen: Screen, curve: tuple[float, float], embedder: str, encoder: str, episodes: int
) -> dict[str, Any]:
    """What ranker.json holds: for each column its centre, its weight and its weight in the screen, to 7 digits."""

    def short(value: float) -> float:
        return float(f"{value:.7g}")

    rows = zip([*features.NAMES, *READ], model.centre, model.weight, screen.model.weight, strict=False)
    return {
        "version": VERSION,
        "embedder": embedder,
        "encoder_sha256": encoder,
        "trained_on": f"{episodes} graded episodes of Changelog Media's transcripts (CC BY-SA 4.0); see docs/ranker.md",
        "intercept": short(model.intercept),
        "slope": short(curve[0]),
        "offset": short(curve[1]),
        "least": short(screen.least - screen.model.intercept),
        "sure": short(screen.sure - screen.model.intercept),
        "unread": [short(value) for value in screen.unread],
        "columns": [[name, *map(short, numbers)] for name, *numbers in rows],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path, help="folder with gold/ and transcripts/")
    parser.add_argument("--folds", action="store_true", help="cross-validate, and fit the regression anew")
    parser.add_argument("--out", type=Path, default=PACKAGE / "data" / "ranker.json")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    arguments = parser.parse_args()

    embedder = MiniLmEmbedder(weights.minilm(), resource("minilm-vocab.txt"))
    episodes = read_graded(arguments.shared, embedder)
    folds = folds_of(len(episodes))
    tuner = Tuner(episodes)
    text = json.loads(arguments.out.read_text("utf-8"))
    if arguments.folds:
        read = read_unseen(episodes, folds, tuner)
        values = shipped(read, folds)
        print_figures(read, folds, values)
        grades = np.concatenate([e.grades for e in episodes])
        curve = calibrate(np.concatenate(values), (grades >= INSIGHT).astype(np.float64))
        print_calibration(np.concatenate(values), grades, curve)
        screen = Screen.of(read)
        text = document(
            fit([screen(e) for e in read]), screen, curve, embedder.name, text["encoder_sha256"], len(episodes)
        )
    else:
        # Each of the folds' encoders missed a part of the episodes; their mean has seen all.
        every = range(len(episodes))
        parts = [*(tuner.tuned(others(folds, fold)) for fold in sorted(set(folds))), tuner.tuned(every)]
        encoder, vocabulary = tuner.squeezed(parts, every)
        whole = encoder.read_bytes()
        text["encoder_sha256"] = hashlib.sha256(whole).hexdigest()
        if not arguments.dry_run:
            arguments.out.with_name(ENCODER).write_bytes(whole)
            arguments.out.with_name(VOCABULARY).write_bytes(vocabulary.read_bytes())
        print(f"{ENCODER}: {len(whole):,} bytes, sha256 {text['encoder_sha256']}")
    if not arguments.dry_run:
        arguments.out.write_text(json.dumps(text, separators=(",", ":")) + "\n", "utf-8")


def print_figures(episodes: Sequence[Graded], folds: Sequence[int], values: Sequence[Array]) -> None:
    """The table of rankers, each on episodes that it has not seen."""
    log_words = features.NAMES.index("log_words")
    ridge: Columns = (HAND, MEANING)
    lines: list[Callable[[], str]] = [
        lambda: random_row(episodes),
        lambda: row("longest", episodes, [e.columns[:, log_words] for e in episodes]),
        lambda: row("hand-made heuristic", episodes, [heuristic(e.columns) for e in episodes]),
        lambda: row("ridge, features only", episodes, out_of_fold(episodes, folds, (HAND,))),
        lambda: row("ridge, embedding only", episodes, out_of_fold(episodes, folds, (MEANING,))),
        lambda: row("ridge, both", episodes, out_of_fold(episodes, folds, ridge)),
        lambda: row("encoder, worth", episodes, [e.columns[:, READ_COLUMNS][:, 0] for e in episodes]),
        lambda: row("encoder, order", episodes, [e.columns[:, READ_COLUMNS][:, 1] for e in episodes]),
        lambda: row("all three", episodes, out_of_fold(episodes, folds, (slice(None),))),
        lambda: row("features and encoder", episodes, out_of_fold(episodes, folds, ALL)),
        lambda: row("**the same, the lowest quarter not read (shipped)**", episodes, values),
        lambda: row("shipped, speakers unknown", episodes, shipped(episodes, folds, SPEAKER_COLUMNS)),
    ]
    grades = np.concatenate([e.grades for e in episodes])
    print(f"{len(episodes)} episodes, {len(grades)} passages, {(grades >= INSIGHT).mean():.1%} of grade 3 or 4\n")
    print("| ranker | nDCG@5 | precision@5 (grade 3 or 4) |\n|---|---|---|")
    for line in lines:
        print(line(), flush=True)


def print_calibration(values: Array, grades: Array, curve: tuple[float, float]) -> None:
    """What a score means."""
    chance = 1 / (1 + np.exp(-(curve[0] * values + curve[1])))
    print("\n| score | passages | of grade 3 or 4 | of grade 0 |\n|---|---|---|---|")
    for low, high in pairwise((0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)):
        inside = (chance >= low) & (chance < high)
        if inside.any():
            print(
                f"| {low:.2f} to {high:.2f} | {inside.sum()} | {(grades[inside] >= INSIGHT).mean():.1%} "
                f"| {(grades[inside] == 0).mean():.1%} |"
            )


if __name__ == "__main__":
    main()
