"""Count malformed texts: a million tokens from untrained networks, read back.

python benchmarks/wellformed.py [--million-tokens 1] [--chords CORPUS]

A network with random weights demands more of the grammar than a trained one. Half of the pieces must
also keep to a key, a range and at most four notes at once. A text is malformed if decoding loses
anything, if encoding the decoded notes gives another text (except for silence at the end), if its
length is not the requested one, or if a constraint is broken. Chordwise text takes its chords from a
prepared corpus.
"""

import time
from collections import Counter

import numpy as np
import record

QUARTERS, BATCH_PIECES = 64.0, 256
SIZES = {"emb_sz": 32, "n_hid": 64, "n_layers": 2}
WEIGHT_SCALE = 0.3
KEY, RANGE, MAX_NOTES = (2, True), (36, 84), 4  # D major; MIDI numbers; at once
SILENCE_PREFIXES = ("wait", "rest", "r_")


def main():
    """Compose, read back and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("--million-tokens", type=float, default=1.0, help="Tokens of each encoding, in millions")
    p.add_argument("--chords", metavar="CORPUS", help="Folder of a prepared corpus of chordwise text")
    args = p.parse_args()
    rows = []
    for encoding, vocab in list_encodings(args.chords):
        start = time.process_time()
        rows.append(count_faults(encoding, vocab, args.million_tokens * 1e6))
        print(rows[-1], round(time.process_time() - start), "s", flush=True)
    record.save("wellformed", rows, quarters=QUARTERS, sizes=SIZES)


def list_encodings(chords):
    """Return pairs of encoding and vocabulary."""
    from clara.data.corpus import Corpus
    from clara.encodings.framewise import Framewise
    from clara.encodings.melodywise import Melodywise
    from clara.encodings.notewise import Chamber, Notewise, Quartet
    from clara.encodings.vocab import Vocab

    encodings = (Notewise(), Chamber(), Quartet(), Framewise())
    pairs = [(encoding, Vocab.from_encoding(encoding)) for encoding in encodings]
    if chords:
        corpus = Corpus.load(chords)
        pairs.append((corpus.encoding, corpus.vocab))
    melodywise = Melodywise()
    tokens, _ = melodywise.encode(random_line(melodywise.steps_per_quarter))
    pairs.append((melodywise, Vocab.from_encoding(melodywise, tokens)))
    return pairs


def count_faults(encoding, vocab, min_tokens):
    """Compose at least `min_tokens` tokens and return a row."""
    from clara.generation.generator import Generator
    from clara.music.keys import scale_pitch_classes
    from clara.sampling.constraints import DEFAULT_CONSTRAINTS, Constraints

    generator = Generator(untrained_checkpoint(encoding, vocab), "float32")
    ranges = dict.fromkeys(range(len(encoding.prefixes)), RANGE)
    strict = Constraints(12, 4, scale_pitch_classes(*KEY), ranges, MAX_NOTES)
    n_tokens = n_texts = 0
    faults = Counter()
    while n_tokens < min_tokens:
        constraints = (DEFAULT_CONSTRAINTS, strict)[n_texts // BATCH_PIECES % 2]
        for sample in generator.generate(BATCH_PIECES, QUARTERS, seed=n_texts, constraints=constraints):
            fault = find_fault(encoding, sample.tokens, constraints)
            if fault:
                faults[fault] += 1
            n_tokens += len(sample.tokens)
            n_texts += 1
    return {
        "encoding": encoding.name,
        "tokens": n_tokens,
        "texts": n_texts,
        "malformed": faults.total(),
        "faults": dict(faults),
    }


def untrained_checkpoint(encoding, vocab):
    """Return a checkpoint of random weights."""
    import torch

    from clara.checkpoints.checkpoint import Checkpoint
    from clara.models import awd_lstm

    torch.manual_seed(0)
    shapes = awd_lstm.shapes(SIZES, len(vocab))
    tensors = {name: torch.randn(shape) * WEIGHT_SCALE for name, shape in shapes.items()}
    return Checkpoint("awd_lstm", SIZES, encoding, vocab, tensors, {})


def random_line(steps_per_quarter):
    """Return a random melody, whose tokens make a vocabulary."""
    from clara.music.notes import build_notes

    rng = np.random.default_rng(0)
    gaps = rng.integers(1, 9, 4000)
    start = gaps.cumsum() - gaps[0]
    duration = np.minimum(gaps[1:], rng.integers(1, 9, 3999))
    pitch = rng.integers(36, 85, 3999)
    return build_notes(start[:-1], start[:-1] + duration, pitch, steps_per_quarter=steps_per_quarter)[0]


def find_fault(encoding, tokens, constraints):
    """Return what is wrong with a text, or None."""
    notes, losses = encoding.decode(tokens)
    if +losses:
        return "decoding loses"
    if sum(encoding.token_steps(tokens)) != round(QUARTERS * encoding.steps_per_quarter):
        return "length"
    # The beat strengths of melodywise depend on the piece's own time signature.
    if encoding.name != "melodywise" and without_final_silence(encoding.encode(notes)[0]) != without_final_silence(
        tokens
    ):
        return "encoding differs"
    return find_broken_constraint(notes, constraints)


def find_broken_constraint(notes, constraints):
    """Return which constraint the notes break, or None."""
    if constraints.pitch_classes is None:
        return None
    if not set((notes.pitch % 12).tolist()) <= constraints.pitch_classes:
        return "key"
    if not len(notes):
        return None
    if not RANGE[0] <= notes.pitch.min() <= notes.pitch.max() <= RANGE[1]:
        return "range"
    steps = np.concatenate([notes.start, notes.end])
    change = np.repeat([1, -1], len(notes))
    sounding = change[np.lexsort((change, steps))].cumsum()  # ends before starts
    return "notes at once" if sounding.max() > MAX_NOTES else None


def without_final_silence(tokens):
    """Return a text without the silence at its end."""
    tokens = list(tokens)
    while tokens:
        is_empty_frame = tokens[-2:] == ["frame", "frame"] or tokens == ["frame"]
        if not (is_empty_frame or tokens[-1].startswith(SILENCE_PREFIXES)):
            break
        tokens.pop()
    return tokens


if __name__ == "__main__":
    main()
