"""Compare ways to write music as text: nats per quarter note after the same training time.

python benchmarks/encoding_likelihood.py CORPUS [--million-tokens 15] [--only NAME…] [--jobs 2]

The files and the split of CORPUS are used; each file is read again for each encoding and grid.
Every encoding is lossless on its grid, which is checked piece by piece. Figures of one grid
compare with each other; those of 4 and 12 steps do not, because 4 steps hold less music.

Each encoding trains the same AWD-LSTM (except for the rows of its embedding) from the same seed in
all keys, for the time in which notewise reads --million-tokens. How many tokens another encoding
reads in that time is measured batch by batch beside notewise, because a clock would also measure
other work on the machine. Valid and test works are held out; a piece costs the sum over all its
tokens, xxeos included.

Chordwise with holds has so many chords that only the most frequent shapes are one token each, in
all keys. The others are spelled: a token for each key, and one that ends the chord.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import record
from timed_training import Schedule, make_batch_timer, train_on_tokens

CONFIG = {
    "emb_sz": 128,
    "n_hid": 256,
    "n_layers": 2,
    "input_p": 0.1,
    "hidden_p": 0.1,
    "output_p": 0.1,
    "embed_p": 0.0,
    "weight_p": 0.1,
}
BS, BPTT, LEARNING_RATE, WARMUP = 64, 200, 6e-3, 0.1
NOTEWISE_VOCAB_SZ = {12: 203, 4: 187}  # by steps per quarter
TIMING_ROUNDS = 8
ROWS_FOLDER = Path("runs/encodings")  # rows that were already measured
# (steps per quarter, name)
ENCODINGS = [
    (12, "notewise"),
    (12, "notewise, starts before ends"),
    (12, "notewise, high notes first"),
    (12, "notewise with bar tokens"),
    (12, "durations"),
    (12, "durations with bar tokens"),
    (12, "chordwise with holds, 200 chord shapes"),
    (4, "notewise"),
    (4, "notewise with bar tokens"),
    (4, "durations"),
    (4, "chordwise with holds, 20 chord shapes"),
]


def main():
    """Measure all encodings and save the result."""
    args = parse_arguments()
    if args.one:
        steps_per_quarter, name = int(args.one[0]), args.one[1]
        row = measure(args.corpus, name, steps_per_quarter, args.million_tokens, args.seed)
        row_path(args, steps_per_quarter, name).write_text(json.dumps(row) + "\n")
        return
    rows = measure_all(args, [encoding for encoding in ENCODINGS if args.only is None or encoding[1] in args.only])
    for row in rows:
        print(
            f"{row['steps_per_quarter']:3d} {row['encoding']:40s} {row['nats_per_quarter']:7.3f} nats/quarter "
            f"{row['tokens_per_quarter']:6.2f} tokens/quarter {row['vocabulary']:6d} in the vocabulary "
            f"{row['parameters']:9,d} parameters {row['tokens_per_second']:7,d} tokens/s {row['epochs']:5.2f} epochs"
        )
    record.save(
        "encodings",
        rows,
        million_tokens=args.million_tokens,
        seed=args.seed,
        sizes=CONFIG,
        bs=BS,
        bptt=BPTT,
        lr=LEARNING_RATE,
    )


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("corpus", help="Folder of a prepared corpus")
    p.add_argument("--million-tokens", type=float, default=15.0, help="Tokens that notewise reads, in millions")
    p.add_argument("--jobs", type=int, default=2, help="Number of encodings at a time, with a thread each")
    p.add_argument("--seed", type=int, default=0, help="Random seed")
    p.add_argument("--only", nargs="*", metavar="NAME", help="Encodings to measure (all if not given)")
    p.add_argument("--one", nargs=2, metavar=("STEPS", "NAME"), help="Measure one encoding in this process")
    return p.parse_args()


def measure_all(args, encodings):
    """Measure each encoding in a process of its own, --jobs at a time; return the rows in order."""
    ROWS_FOLDER.mkdir(parents=True, exist_ok=True)
    waiting = [encoding for encoding in encodings if not row_path(args, *encoding).is_file()]
    running = []
    while waiting or running:
        while waiting and len(running) < args.jobs:
            running.append(start_process(args, *waiting.pop(0)))
        time.sleep(1)
        if any(process.poll() for process in running):
            raise SystemExit(f"a run failed, see {ROWS_FOLDER}")
        running = [process for process in running if process.poll() is None]
    return [json.loads(row_path(args, *encoding).read_text()) for encoding in encodings]


def start_process(args, steps_per_quarter, name):
    """Start this script for one encoding."""
    flags = ["--million-tokens", str(args.million_tokens), "--seed", str(args.seed)]
    command = [sys.executable, "-W", "ignore", __file__, args.corpus, *flags, "--one", str(steps_per_quarter), name]
    with row_path(args, steps_per_quarter, name).with_suffix(".log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def row_path(args, steps_per_quarter, name):
    """Return where the row of one encoding is kept until all are measured."""
    slug = name.replace(", ", "-").replace(" ", "-")
    return ROWS_FOLDER / f"{args.million_tokens:g}M-seed{args.seed}-{steps_per_quarter}-{slug}.json"


def measure(folder, name, steps_per_quarter, million_tokens, seed):
    """Train one encoding and return its row."""
    import torch

    from clara.data.corpus import Corpus
    from clara.data.stream_loader import StreamDataLoader
    from clara.encodings.vocab import SHIFTS, Vocab, transposition_tables
    from clara.models import awd_lstm
    from clara.models.likelihood import nats_per_piece

    torch.set_num_threads(1)
    corpus = Corpus.load(folder)
    train = read_split(corpus, "train", steps_per_quarter)
    held_out = read_split(corpus, "valid", steps_per_quarter) + read_split(corpus, "test", steps_per_quarter)
    encoding = build_encoding(name, steps_per_quarter, train)
    vocab = Vocab([*Vocab.from_encoding(encoding).tokens])
    train_ids = [encode_and_check(encoding, vocab, notes) for notes in train]
    held_out_ids = [encode_and_check(encoding, vocab, notes) for notes in held_out]
    torch.manual_seed(seed)
    loader = StreamDataLoader(train_ids, BS, BPTT, tables=transposition_tables(vocab, encoding, SHIFTS), seed=seed)
    tokens_per_second, speed = measure_speed(len(vocab), NOTEWISE_VOCAB_SZ[steps_per_quarter])
    schedule = Schedule(int(million_tokens * 1e6 * speed), LEARNING_RATE, WARMUP)
    n_read, model = train_on_tokens(loader, "awd_lstm", CONFIG, vocab, encoding, schedule)
    tensors = awd_lstm.to_tensors(model)
    nats = nats_per_piece(awd_lstm.InferenceModel(tensors), held_out_ids, vocab.pad_id).sum()
    quarters = sum(notes.quarters for notes in held_out)
    return {
        "steps_per_quarter": steps_per_quarter,
        "encoding": name,
        "nats_per_quarter": round(float(nats) / quarters, 3),
        "tokens_per_quarter": round(sum(map(len, held_out_ids)) / quarters, 2),
        "vocabulary": len(vocab),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "tokens_per_second": round(tokens_per_second),
        "million_tokens": round(n_read / 1e6, 2),
        "epochs": round(n_read / loader.n_tokens, 2),
    }


def read_split(corpus, split, steps_per_quarter):
    """Return the NoteSequences of a split."""
    from clara.music.midi import read_midi

    return [read_midi(path, steps_per_quarter=steps_per_quarter)[0] for path in corpus.rows(split)["source"]]


def build_encoding(name, steps_per_quarter, train):
    """Return the encoding of a name; `train` are the NoteSequences whose chords a vocabulary may use."""
    import other_encodings

    from clara.encodings.notewise import Notewise

    classes = {
        "notewise": Notewise,
        "notewise, starts before ends": other_encodings.EndsLast,
        "notewise, high notes first": other_encodings.Descending,
        "notewise with bar tokens": other_encodings.Barred,
        "durations": other_encodings.Durations,
        "durations with bar tokens": other_encodings.BarredDurations,
    }
    if name in classes:
        return classes[name](steps_per_quarter)
    n_shapes = int(name.split()[-3])  # "chordwise with holds, 200 chord shapes"
    return build_chord_encoding(steps_per_quarter, train, n_shapes)


def build_chord_encoding(steps_per_quarter, train, n_shapes):
    """Return chordwise with holds, where the most frequent chord shapes are one token each."""
    import other_encodings

    from clara.encodings.chordwise import Chordwise

    chordwise = Chordwise(steps_per_quarter, holds=True)
    spelled = other_encodings.SpelledChords(steps_per_quarter)
    token_counts = Counter(token for notes in train for token in chordwise.encode(notes)[0])
    shape_counts = Counter()
    for token, n in token_counts.items():
        shape_counts[spelled.shape(token)] += n
    shapes = [shape for shape, _ in shape_counts.most_common() if not shape.startswith("rest")]
    return other_encodings.SpelledChords(steps_per_quarter, frozenset(shapes[:n_shapes]))


def encode_and_check(encoding, vocab, notes):
    """Return the ids of a piece, after checking that nothing is lost."""
    import numpy as np

    tokens, losses = encoding.encode(notes)
    if encoding.decode(tokens)[0] != encoding.fold_to_range(notes)[0]:
        raise SystemExit(f"{encoding.name}: a piece did not come back ({losses})")
    return np.array([vocab.bos_id, *vocab.to_ids(tokens), vocab.eos_id], dtype=np.int16)


def measure_speed(vocab_sz, notewise_vocab_sz):
    """Return training tokens per second with a vocabulary, and the speed relative to notewise."""
    timer, notewise_timer = (
        make_batch_timer("awd_lstm", CONFIG, size, BS, BPTT) for size in (vocab_sz, notewise_vocab_sz)
    )
    rounds = [(timer(), notewise_timer()) for _ in range(TIMING_ROUNDS)]
    seconds, notewise_seconds = (min(column) for column in zip(*rounds))
    # A few rows of the embedding cost less than this can measure.
    nearly_equal = 0.75 < vocab_sz / notewise_vocab_sz < 1.25
    return BS * BPTT / seconds, 1.0 if nearly_equal else notewise_seconds / seconds


if __name__ == "__main__":
    main()
