"""Which spelling of music is learned best: nats per quarter note for each, in the same time.

python benchmarks/encodings.py CORPUS [--million-words 15] [--only NAME…] [--jobs 2]

CORPUS is a folder that data_prep.prepare wrote; its manifest tells the files and the split,
and each file is read anew for each spelling and grid. Every spelling is lossless on its
grid, which is checked piece by piece; figures of one grid compare with each other, those
of 4 steps and 12 do not, as 4 steps hold less music. Each trains the same AWD-LSTM (but
for the rows of its embedding) from the same seed in all keys, for the same time, under one
cosine of the rate. The time is that in which notewise reads so many words: how many words
another spelling reads in it is measured by turns, batch by batch beside notewise, as a
clock alone would tell what else the machine did. Held out are the valid and test
works; each piece costs the sum over all its words, xxeos among them. Chordwise with holds
has so many chords that only the most frequent shapes are one word each, in all their
places; the others are spelled, a word for each key and one to end the chord.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import record
from budget import batch_seconds, learn

SIZES = {
    "emb_sz": 128,
    "n_hid": 256,
    "n_layers": 2,
    "input_p": 0.1,
    "hidden_p": 0.1,
    "output_p": 0.1,
    "embed_p": 0.0,
    "weight_p": 0.1,
}
BS, BPTT, LR, WARM = 64, 200, 6e-3, 0.1
NOTEWISE_WORDS = {12: 203, 4: 187}  # vocabulary
TURNS = 8
PARTIAL = Path("runs/encodings")  # what is measured already


def spelling(name, steps_per_quarter, train):
    """The spelling of a name; `train` are the NoteSequences that a vocabulary may know."""
    import spellings

    from clara.encodings.notewise import Notewise

    plain = {
        "notewise": Notewise,
        "ends last": spellings.EndsLast,
        "descending": spellings.Descending,
        "bars": spellings.Barred,
        "durations": spellings.Durations,
        "durations, bars": spellings.BarredDurations,
    }
    if name in plain:
        return plain[name](steps_per_quarter)
    from clara.encodings.chordwise import Chordwise

    every, chordwise = spellings.SpelledChords(steps_per_quarter), Chordwise(steps_per_quarter, holds=True)
    words = Counter(w for notes in train for w in chordwise.encode(notes)[0])
    shapes = Counter()
    for word, n in words.items():
        shapes[every.shape(word)] += n
    kept = [s for s, _ in shapes.most_common() if not s.startswith("rest")][: int(name.split()[-2])]
    return spellings.SpelledChords(steps_per_quarter, frozenset(kept))


SPELLINGS = [
    *(
        (12, name)
        for name in (
            "notewise",
            "ends last",
            "descending",
            "bars",
            "durations",
            "durations, bars",
            "chordwise, holds, 200 shapes",
        )
    ),
    *((4, name) for name in ("notewise", "bars", "durations", "chordwise, holds, 20 shapes")),
]


def read(corpus, split, steps_per_quarter):
    """The NoteSequences of a split."""
    from clara.music.midi import read_midi

    return [read_midi(path, steps_per_quarter=steps_per_quarter)[0] for path in corpus.rows(split)["source"]]


def tokenize(way, vocab, notes):
    """Ids of a piece, after checking that nothing is lost."""
    import numpy as np

    words, losses = way.encode(notes)
    inside = way.fold_to_range(notes)[0]
    if way.decode(words)[0] != inside:
        raise SystemExit(f"{way.name}: a piece did not come back ({losses})")
    return np.array([vocab.bos_id, *vocab.to_ids(words), vocab.eos_id], dtype=np.int16)


def measure(folder, name, steps_per_quarter, million_words, seed):
    """Train one spelling and give its row."""
    import torch

    from clara.data.corpus import Corpus
    from clara.data.dataloaders import SHIFTS, PieceLoader
    from clara.encodings.vocab import Vocab, transposition_tables
    from clara.models import awd_lstm
    from clara.models.likelihood import nats_per_piece

    torch.set_num_threads(1)
    corpus = Corpus.load(folder)
    train, held = (
        read(corpus, "train", steps_per_quarter),
        [n for split in ("valid", "test") for n in read(corpus, split, steps_per_quarter)],
    )
    way = spelling(name, steps_per_quarter, train)
    vocab = Vocab([*Vocab.from_encoding(way).tokens])
    train_ids, held_ids = ([tokenize(way, vocab, n) for n in side] for side in (train, held))
    torch.manual_seed(seed)
    loader = PieceLoader(train_ids, BS, BPTT, tables=transposition_tables(vocab, way, SHIFTS), seed=seed)
    per_second, share = speeds(len(vocab), NOTEWISE_WORDS[steps_per_quarter])
    words, model = learn(
        loader, "awd_lstm", SIZES, len(vocab), vocab.pad_id, words=int(million_words * 1e6 * share), lr=LR, warm=WARM
    )
    quarters = sum(n.quarters for n in held)
    nats = nats_per_piece(awd_lstm.InferenceModel(awd_lstm.to_tensors(model)), held_ids, vocab.pad_id).sum()
    n_words = sum(map(len, held_ids))
    return {
        "steps_per_quarter": steps_per_quarter,
        "spelling": name,
        "nats_per_quarter": round(float(nats) / quarters, 3),
        "words_per_quarter": round(n_words / quarters, 2),
        "vocabulary": len(vocab),
        "parameters": sum(t.numel() for t in awd_lstm.to_tensors(model).values()),
        "words_per_second": round(per_second),
        "million_words": round(words / 1e6, 2),
        "epochs": round(words / loader.n_tokens, 2),
    }


def speeds(vocab_sz, notewise_sz):
    """Words per second that training reads with a vocabulary, and how many times notewise's that is."""
    ours, notewise = (batch_seconds("awd_lstm", SIZES, size, BS, BPTT) for size in (vocab_sz, notewise_sz))
    taken = [(ours(), notewise()) for _ in range(TURNS)]
    least = [min(t) for t in zip(*taken)]
    alike = 0.75 < vocab_sz / notewise_sz < 1.25  # a few rows of the embedding cost less than this can measure
    return BS * BPTT / least[0], 1.0 if alike else least[1] / least[0]


def run_all(args, wanted):
    """Each spelling in a process of its own, some at a time; rows in the order of SPELLINGS."""
    PARTIAL.mkdir(parents=True, exist_ok=True)
    waiting = [w for w in wanted if not partial(args, *w).is_file()]
    running = []
    while waiting or running:
        while waiting and len(running) < args.jobs:
            steps, name = waiting.pop(0)
            log = partial(args, steps, name).with_suffix(".log").open("w")
            running.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-W",
                        "ignore",
                        __file__,
                        args.corpus,
                        "--million-words",
                        str(args.million_words),
                        "--seed",
                        str(args.seed),
                        "--one",
                        str(steps),
                        name,
                    ],
                    stdout=log,
                    stderr=log,
                )
            )
        time.sleep(1)
        failed = [p for p in running if p.poll()]
        if failed:
            raise SystemExit(f"a run failed, see {PARTIAL}")
        running = [p for p in running if p.poll() is None]
    return [json.loads(partial(args, *w).read_text()) for w in wanted]


def partial(args, steps, name):
    """Where the row of one spelling is kept meanwhile."""
    return PARTIAL / f"{args.million_words:g}M-seed{args.seed}-{steps}-{name.replace(', ', '-').replace(' ', '-')}.json"


def main():
    """Measure all and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("corpus")
    p.add_argument("--million-words", type=float, default=15.0, help="that notewise reads; the others the same time")
    p.add_argument("--jobs", type=int, default=2, help="at a time, a thread each")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--only", nargs="*", default=None, metavar="NAME", help="only these spellings")
    p.add_argument("--one", nargs=2, metavar=("STEPS", "NAME"), help="measure one in this process, keep it aside")
    args = p.parse_args()
    if args.one:
        steps, name = int(args.one[0]), args.one[1]
        row = measure(args.corpus, name, steps, args.million_words, args.seed)
        partial(args, steps, name).write_text(json.dumps(row) + "\n")
        return
    rows = run_all(args, [w for w in SPELLINGS if args.only is None or w[1] in args.only])
    for r in rows:
        print(
            f"{r['steps_per_quarter']:3d} {r['spelling']:18s} {r['nats_per_quarter']:7.3f} nats/quarter "
            f"{r['words_per_quarter']:6.2f} words/quarter {r['vocabulary']:6d} words {r['parameters']:9,d} parameters "
            f"{r['words_per_second']:7,d} words/s {r['epochs']:5.2f} epochs"
        )
    record.save(
        "encodings", rows, million_words=args.million_words, seed=args.seed, sizes=SIZES, bs=BS, bptt=BPTT, lr=LR
    )


if __name__ == "__main__":
    main()
