"""A million words from untrained nets, read back: how many texts are not what their encoding would have written.

python benchmarks/wellformed.py [--million-words 1] [--chords CORPUS]

A net of random weights asks of the grammar more than a trained one does. Half of the pieces keep to a key,
a range and at most four notes at once as well. A text is malformed where decoding loses anything, where encoding
what was decoded does not give it back (silence at its end aside), where it has not the length that was asked
for, or where a rule is broken. Chordwise text takes its chords from a prepared corpus.
"""

import argparse
import time

import numpy as np
import record

QUARTERS, TOGETHER, SIZES = 64.0, 256, {"emb_sz": 32, "n_hid": 64, "n_layers": 2}
KEY, RANGE, MOST = (2, True), (36, 84), 4


def untrained(encoding, vocab):
    """A checkpoint of random weights."""
    import torch

    from clara.checkpoint import Checkpoint
    from clara.models import awd_lstm

    torch.manual_seed(0)
    tensors = {name: torch.randn(shape) * 0.3 for name, shape in awd_lstm.shapes(SIZES, len(vocab)).items()}
    return Checkpoint("awd_lstm", SIZES, encoding, vocab, tensors, {})


def tune(steps_per_quarter):
    """A random line, whose words are a vocabulary."""
    from clara.music.notes import build_notes

    rng = np.random.default_rng(0)
    gaps = rng.integers(1, 9, 4000)
    start = gaps.cumsum() - gaps[0]
    return build_notes(
        start[:-1],
        start[:-1] + np.minimum(gaps[1:], rng.integers(1, 9, 3999)),
        rng.integers(36, 85, 3999),
        steps_per_quarter=steps_per_quarter,
    )[0]


def fault(encoding, words, constraints):
    """What is wrong with a text, or None."""
    notes, losses = encoding.decode(words)
    if +losses:
        return "decoding loses"
    if sum(encoding.token_steps(words)) != round(QUARTERS * encoding.steps_per_quarter):
        return "length"
    if (
        spoken(encoding.encode(notes)[0]) != spoken(words) and encoding.name != "melodywise"
    ):  # strengths are of the piece's own metre
        return "encoding differs"
    if constraints.pitch_classes is not None:
        if not set((notes.pitch % 12).tolist()) <= constraints.pitch_classes:
            return "key"
        if len(notes) and not RANGE[0] <= notes.pitch.min() <= notes.pitch.max() <= RANGE[1]:
            return "range"
        at = np.concatenate([notes.start, notes.end])
        change = np.repeat([1, -1], len(notes))
        if len(notes) and change[np.lexsort((change, at))].cumsum().max() > MOST:
            return "notes at once"
    return None


def spoken(words):
    """A text without the silence at its end."""
    words = list(words)
    while words and (
        words[-1].startswith(("wait", "rest", "r_")) or words[-2:] == ["frame", "frame"] or words == ["frame"]
    ):
        words.pop()
    return words


def main():
    """Compose, read back, keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--million-words", type=float, default=1.0, help="of each encoding")
    p.add_argument("--chords", help="a prepared corpus of chordwise text")
    args = p.parse_args()
    from clara.data.corpus import Corpus
    from clara.encodings.framewise import Framewise
    from clara.encodings.melodywise import Melodywise
    from clara.encodings.notewise import Chamber, Notewise, Quartet
    from clara.encodings.vocab import Vocab
    from clara.generator import Generator
    from clara.music.keys import scale_pitch_classes
    from clara.sampling.grammars.base import DEFAULT_CONSTRAINTS, Constraints

    kinds = [(e, Vocab.from_encoding(e)) for e in (Notewise(), Chamber(), Quartet(), Framewise())]
    if args.chords:
        corpus = Corpus.load(args.chords)
        kinds.append((corpus.encoding, corpus.vocab))
    melody = Melodywise()
    kinds.append((melody, Vocab.from_encoding(melody, melody.encode(tune(melody.steps_per_quarter))[0])))
    rows = []
    for encoding, vocab in kinds:
        generator = Generator(untrained(encoding, vocab), "float32")
        asked = Constraints(12, 4, scale_pitch_classes(*KEY), {part: RANGE for part in range(len(encoding.prefixes))}, MOST)
        words, texts, faults, began, seed = 0, 0, {}, time.process_time(), 0
        while words < args.million_words * 1e6:
            constraints = (DEFAULT_CONSTRAINTS, asked)[texts // TOGETHER % 2]
            for sample in generator.generate(TOGETHER, QUARTERS, seed=seed, constraints=constraints):
                wrong = fault(encoding, sample.tokens, constraints)
                if wrong:
                    faults[wrong] = faults.get(wrong, 0) + 1
                words, texts = words + len(sample.tokens), texts + 1
            seed += TOGETHER
        rows.append(
            {
                "encoding": encoding.name,
                "words": words,
                "texts": texts,
                "malformed": sum(faults.values()),
                "faults": faults,
            }
        )
        print(rows[-1], round(time.process_time() - began), "s", flush=True)
    record.save("wellformed", rows, quarters=QUARTERS, sizes=SIZES)


if __name__ == "__main__":
    main()
