"""Compare Clara with networks and tokens of other libraries, at equal size and training time.

python benchmarks/peers.py CORPUS [--minutes 3]     # needs pip install miditok transformers

Each system learns from the same training pieces of a notewise corpus, in random keys, from random weights, for the
same processor time on one thread, with about as many parameters (the n-gram counts everything, in all keys, as fast as
it can). The cost of the same valid pieces is the sum over all tokens of a piece and its end, over its quarter notes:

- All tokens are made from the same notes on the grid of the corpus, and the notes that do not come back are counted. So
  a cost per quarter compares; one per token does not.
- A transformer sees at most CONTEXT tokens, and each token of a piece has at least half as many before it. The LSTM
  carries its state through the whole piece.
- REMI also writes bars of four quarters, which the other tokens leave out.

Tokens per second are those of training and of composing BATCH pieces side by side; memory is the peak of the process.
Each system runs in a process of its own. --work keeps what was measured, so that an interrupted run can be resumed, and
the composed pieces as MIDI files, for python benchmarks/fresh_judge.py --folder.
"""

import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import record
from ngram import NGram
from peer_transformers import CONTEXT, LEARNING_RATE, compose, make_transformer, piece_nats, train

SIZES = {"emb_sz": 256, "n_hid": 512, "n_layers": 2}  # of the small shipped model
RECIPE = {"bs": 32, "bptt": 160, "schedule": "flat_cos", "drop_mult": 0.2, "regularize": False}
ORDER = 7  # of the n-gram
KEYS = range(-6, 6)  # transpositions in semitones
BATCH, QUARTERS, TEMPERATURE, TOP_P = 64, 64, 0.95, 0.98  # of composing
SYSTEMS = {  # name: (network, tokens)
    "Clara's AWD-LSTM, notewise": ("clara", "notewise"),
    "GPT-2, MidiTok REMI": ("gpt2", "REMI"),
    "GPT-2, MidiTok TSD": ("gpt2", "TSD"),
    "Llama, MidiTok TSD": ("llama", "TSD"),
    "GPT-2, notewise": ("gpt2", "notewise"),
    "7-gram, notewise": ("ngram", "notewise"),
    "7-gram, MidiTok TSD": ("ngram", "TSD"),
}


def main():
    """Measure each system in a process of its own and save the result."""
    args = parse_arguments()
    if args.one:
        row = measure(args.one, args)
        (system_folder(args, args.one) / "row.json").write_text(json.dumps(row) + "\n")
        return
    rows = []
    for name in args.only or SYSTEMS:
        path = system_folder(args, name) / "row.json"
        if not path.is_file():
            flags = ["--minutes", str(args.minutes), "--lr", str(args.lr), "--work", str(args.work)]
            flags += ["--seed", str(args.seed), "--quarters", str(args.quarters)]
            subprocess.run([sys.executable, "-W", "ignore", __file__, args.corpus, *flags, "--one", name], check=True)
        rows.append(json.loads(path.read_text()))
        print(rows[-1], flush=True)
    if not args.only:
        record.save(
            "peers",
            rows,
            minutes=args.minutes,
            seed=args.seed,
            lr=args.lr,
            context=CONTEXT,
            batch=BATCH,
            quarters=args.quarters,
        )


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("corpus", help="Folder of a notewise corpus")
    p.add_argument("--minutes", type=float, default=3.0, help="Minutes of processor time to train for")
    p.add_argument("--lr", type=float, default=LEARNING_RATE, help="Highest learning rate of the transformers")
    p.add_argument("--quarters", type=int, default=QUARTERS, help="Length of composed pieces; 0 composes nothing")
    p.add_argument("--seed", type=int, default=0, help="Random seed of weights, order and composing")
    p.add_argument("--work", type=Path, default=Path("runs/peers"), help="Folder for rows and composed pieces")
    p.add_argument("--only", nargs="+", choices=list(SYSTEMS), help="Measure these systems, and save no result")
    p.add_argument("--one", choices=list(SYSTEMS), help="Measure this system in this process (the script itself does)")
    return p.parse_args()


def system_folder(args, name):
    """Return the folder for what is kept of a system."""
    folder = args.work / "".join(c if c.isalnum() else "-" for c in name.lower())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def measure(name, args):
    """Train a system, and return its row."""
    import torch

    from clara.data.corpus import Corpus
    from clara_app.tuning.trial import shorten_valid

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    network, tokens = SYSTEMS[name]
    corpus = shorten_valid(Corpus.load(args.corpus))
    text = read_notewise(corpus) if tokens == "notewise" else read_miditok(corpus, tokens)
    run = {"clara": run_clara, "gpt2": run_transformer, "llama": run_transformer, "ngram": run_ngram}[network]
    row = run(network, text, args, system_folder(args, name))
    quarters = float(corpus.quarters("valid").sum())
    return {
        "system": name,
        "nats_per_quarter": round(row.pop("nats") / quarters, 3),
        "tokens_per_quarter": round(sum(len(ids) - 1 for ids in text.valid) / quarters, 2),
        "vocabulary": text.vocab_sz,
        "changed_notes": text.changed_notes,
        "notes": int(corpus.rows("valid")["notes"].sum()),
        **row,
        "megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


@dataclass
class Text:
    """The pieces of a corpus as token ids.

    Attributes
    ----------
    train, valid : list of int arrays
        Each piece with the tokens for its beginning and its end.
    tables : int array (12, vocab_sz)
        The id of each token in another key, or -1 if it leaves the range.
    changed_notes : int
        Number of notes of the valid pieces that decoding does not bring back.
    corpus : Corpus
    tokenizer : MidiTok's, or None
    """

    train: list[np.ndarray]
    valid: list[np.ndarray]
    tables: np.ndarray
    changed_notes: int
    corpus: object
    tokenizer: object = None

    @property
    def vocab_sz(self) -> int:
        """Number of tokens."""
        return self.tables.shape[1]

    def transposed(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a piece in a random key in which it stays in the range."""
        in_keys = self.tables[:, ids]
        return in_keys[rng.choice(np.flatnonzero((in_keys >= 0).all(1)))]

    def windows(self, bs: int, length: int, seed: int) -> Iterator[np.ndarray]:
        """Yield arrays (bs, length) of all training pieces end to end, again and again in other orders and keys."""
        rng = np.random.default_rng(seed)
        rest = np.zeros(0, dtype=np.int64)
        while True:
            for i in rng.permutation(len(self.train)):
                rest = np.concatenate([rest, self.transposed(self.train[i], rng)])
                while len(rest) >= bs * length:
                    yield rest[: bs * length].reshape(bs, length)
                    rest = rest[bs * length :]


def read_notewise(corpus):
    """Return the pieces in the tokens of the corpus."""
    from clara.encodings.vocab import transposition_tables

    tables = transposition_tables(corpus.vocab, corpus.encoding, KEYS).astype(np.int64)
    train, valid = ([ids.astype(np.int64) for ids in corpus.ids(split)] for split in ("train", "valid"))
    return Text(train, valid, tables, 0, corpus)


def read_miditok(corpus, name):
    """Return the pieces in the tokens of MidiTok, on the grid of the corpus, without velocity and tempo."""
    import miditok

    config = miditok.TokenizerConfig(
        pitch_range=(21, 109),
        beat_res={(0, 12): corpus.encoding.steps_per_quarter},
        use_velocities=False,
        special_tokens=["PAD", "BOS", "EOS"],
    )
    tokenizer = getattr(miditok, name)(config)
    changed = 0

    def tokens_of(piece):
        nonlocal changed
        notes, _ = corpus.encoding.decode(corpus.tokens(piece))
        ids = encode_miditok(tokenizer, notes)
        changed += count_changed(tokenizer, ids, notes)
        return np.array([tokenizer["BOS_None"], *ids, tokenizer["EOS_None"]])

    train = [tokens_of(piece) for piece in corpus.rows("train")["piece"]]
    changed = 0
    valid = [tokens_of(piece) for piece in corpus.rows("valid")["piece"]]
    return Text(train, valid, pitch_tables(tokenizer.vocab), changed, corpus, tokenizer)


def encode_miditok(tokenizer, notes) -> list[int]:
    """Return the token ids of notes, as one track in 4/4."""
    from clara.music.midi import to_symusic_score

    score = to_symusic_score(replace(notes, time_signatures=((0, 4, 4),)))
    [track] = tokenizer(score)
    return list(track.ids)


def count_changed(tokenizer, ids, notes) -> int:
    """Return how many notes do not come back from token ids."""
    score = tokenizer.decode([ids])
    scale = notes.steps_per_quarter / score.ticks_per_quarter
    wanted = Counter(zip(notes.start.tolist(), notes.duration.tolist(), notes.pitch.tolist()))
    found = Counter(
        (round(note.time * scale), round(note.duration * scale), note.pitch)
        for track in score.tracks
        for note in track.notes
    )
    return (wanted - found).total()


def pitch_tables(vocab: dict[str, int]) -> np.ndarray:
    """Return the id of each of MidiTok's tokens in each key, int64 (12, vocab_sz); -1 outside the range."""
    tables = np.tile(np.arange(len(vocab)), (len(KEYS), 1))
    for token, i in vocab.items():
        kind, value = token.split("_", 1)
        if kind == "Pitch":
            tables[:, i] = [vocab.get(f"Pitch_{int(value) + shift}", -1) for shift in KEYS]
    return tables


def run_clara(_, text, args, folder):
    """Train Clara's AWD-LSTM; return its part of the row."""
    from clara.generation.generator import Generator
    from clara.models.likelihood import nats_per_piece
    from clara.music.midi import write_midi
    from clara.sampling.settings import SamplingSettings
    from clara_app.tuning.recipe import Recipe
    from clara_app.tuning.trial import TrialSettings, run_trial

    recipe = Recipe(str(text.corpus.folder), **SIZES, **RECIPE)
    result, learn = run_trial(recipe, TrialSettings(args.minutes, seed=args.seed))
    checkpoint = learn.to_checkpoint()
    nats = nats_per_piece(checkpoint.inference_model(), text.valid, text.corpus.vocab.pad_id).sum()
    row = {
        "nats": float(nats),
        "parameters": result.n_parameters,
        "million_tokens": round(result.n_tokens / 1e6, 2),
        "training_tokens_per_second": round(result.n_tokens / (60 * args.minutes)),
    }
    if args.quarters:
        settings = SamplingSettings(temperature=TEMPERATURE, top_p=TOP_P)
        generator = Generator(checkpoint)
        generator.generate(2, 4.0, settings=settings)  # compiles
        start = time.process_time()
        samples = generator.generate(
            BATCH, float(args.quarters), settings=settings, seed=args.seed, ending=False, threads=1
        )
        seconds = time.process_time() - start
        row["composing_tokens_per_second"] = round(sum(len(sample.tokens) for sample in samples) / seconds)
        for i, sample in enumerate(samples):
            write_midi(sample.notes, folder / f"{i:03}.mid")
    return row


def run_transformer(kind, text, args, folder):
    """Train a transformer; return its part of the row."""
    from clara.music.midi import write_midi

    model = make_transformer(kind, text.vocab_sz)
    n_tokens = train(model, text, 60 * args.minutes, args.lr, args.seed)
    row = {
        "nats": sum(piece_nats(model, ids) for ids in text.valid),
        "parameters": sum(p.numel() for p in model.parameters()),
        "million_tokens": round(n_tokens / 1e6, 2),
        "training_tokens_per_second": round(n_tokens / (60 * args.minutes)),
    }
    if args.quarters:
        tokens_per_quarter = sum(map(len, text.valid)) / text.corpus.quarters("valid").sum()
        n_wanted = round(1.3 * args.quarters * tokens_per_quarter)
        start = time.process_time()
        pieces = compose(model, int(text.valid[0][0]), BATCH, n_wanted, TEMPERATURE, TOP_P)
        row["composing_tokens_per_second"] = round(pieces.size / (time.process_time() - start))
        for i, ids in enumerate(pieces.tolist()):
            if text.tokenizer:
                text.tokenizer.decode([ids]).dump_midi(folder / f"{i:03}.mid")
            else:
                notes, _ = text.corpus.encoding.decode(_without_control(text.corpus.vocab, ids))
                write_midi(notes, folder / f"{i:03}.mid")
    return row


def _without_control(vocab, ids):
    """Return the tokens of composed ids but for those that begin and end pieces."""
    return [token for token in vocab.to_tokens(ids) if not token.startswith("xx")]


def run_ngram(_, text, args, folder):
    """Count runs of tokens in all keys; return its part of the row."""
    start = time.process_time()
    in_keys = [transposed for ids in text.train for transposed in text.tables[:, ids] if (transposed >= 0).all()]
    model = NGram(ORDER, text.vocab_sz).fit(in_keys)
    seconds = time.process_time() - start
    n_tokens = sum(map(len, in_keys))
    return {
        "nats": -sum(model.log_probs(ids).sum() for ids in text.valid),
        "parameters": model.n_parameters,
        "million_tokens": round(n_tokens / 1e6, 2),
        "training_tokens_per_second": round(n_tokens / seconds),
    }


if __name__ == "__main__":
    main()
