"""Measure whether composed music returns to what it has said, as human music does.

python benchmarks/repeats.py MODEL

Human excerpts of test works are compared with as many pieces of the same length, composed without a
prompt and sampled as `generate.py` does: by the network alone, with repeats of tokens, and with repeats
of tokens and outer voices (the default).

Measured are the shares of tokens that end a repetition of at least MIN_TOKENS tokens of an earlier passage
of the same excerpt, in the same key and in another, and of a passage at most NEAR_QUARTERS ago; the shares
of notes of the outer voices that end a repetition of at least MIN_NOTES notes; and the share of pieces in
loops, where more than LOOP_SHARE of the tokens repeat what directly precedes them.
"""

from dataclasses import replace

import numpy as np
import record
from excerpts import compose_batches, default_settings_of_seeds, human_excerpts

MIN_TOKENS, MIN_NOTES, NEAR_QUARTERS, LOOP_SHARE = 16, 8, 4, 0.2
BATCH_PIECES = 64


def main():
    """Compose, count and save the result."""
    args = parse_arguments()
    import torch

    from clara.data.corpus import Corpus
    from clara.generation.generator import Generator
    from clara.repeats.model import Repeats

    torch.set_num_threads(1)
    corpus, generator = Corpus.load(args.corpus), Generator.load(args.model)
    model, table = generator.repeats
    human = human_excerpts(corpus, args.batches * BATCH_PIECES, args.quarters, args.seed)
    rows = [count_repeats("human", human, corpus, table)]
    variants = (
        ("composed without the repeat model", 0.0, model),
        ("composed with repeats of tokens", 1.0, replace(model, voice_calibration=None)),
        ("composed with repeats of tokens and outer voices", 1.0, model),
    )
    for title, strength, variant in variants:
        generator.repeats = Repeats(variant, table)
        pieces = compose_pieces(generator, corpus, strength, args)
        rows.append(count_repeats(title, pieces, corpus, table))
    for row in rows:
        print(row, flush=True)
    record.save(
        "repeats",
        rows,
        quarters=args.quarters,
        min_tokens=MIN_TOKENS,
        min_notes=MIN_NOTES,
        near_quarters=NEAR_QUARTERS,
        loop_share=LOOP_SHARE,
    )


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("model", metavar="MODEL", help="Folder of a model with a repeat model")
    p.add_argument("--corpus", default="data/notewise-12", help="Folder of the model's corpus")
    p.add_argument("--batches", type=int, default=4, help=f"Number of batches of {BATCH_PIECES} pieces")
    p.add_argument("--quarters", type=int, default=64, help="Length of a piece in quarters")
    p.add_argument("--seed", type=int, default=41, help="Random seed")
    return p.parse_args()


def compose_pieces(generator, corpus, repeat_strength, args):
    """Return pieces composed without a prompt at a repeat strength."""
    default = default_settings_of_seeds()

    def settings_of_seeds(seeds):
        return [replace(settings, repeat_strength=repeat_strength) for settings in default(seeds)]

    batches = compose_batches(
        generator, corpus, args.batches, BATCH_PIECES, args.quarters, args.seed, settings_of_seeds, no_prompt=True
    )
    return [piece for batch in batches for piece in batch]


def count_repeats(title, pieces, corpus, table):
    """Return the row of some pieces."""
    counts = np.array([count_in_piece(piece, corpus, table) for piece in pieces])
    tokens, same_key, other_key, near, notes, voices_same_key, voices_other_key, loops = counts.sum(0).tolist()
    return {
        "music": title,
        "pieces": len(pieces),
        "same_key_percent": round(100 * same_key / tokens, 1),
        "other_key_percent": round(100 * other_key / tokens, 1),
        "near_percent": round(100 * near / tokens, 1),
        "outer_voices_same_key_percent": round(100 * voices_same_key / notes, 1),
        "outer_voices_other_key_percent": round(100 * voices_other_key / notes, 1),
        "loops_percent": round(100 * loops / len(pieces), 1),
    }


def count_in_piece(piece, corpus, table):
    """Return the counts of a piece, in the order that `count_repeats` names them."""
    from clara.repeats.finder import DISTANCE, LENGTH, TRANSPOSED, find_repeats
    from clara.repeats.outer_voices import find_voice_runs

    tokens = corpus.encoding.encode(piece)[0]
    quarter = np.cumsum(corpus.encoding.token_steps(tokens)) / corpus.encoding.steps_per_quarter  # after each token
    ids = corpus.vocab.to_ids(tokens)
    repeats = find_repeats(table, ids)
    run_length, run_transposed = find_voice_runs(table.voices, ids)
    length, distance = repeats[:, LENGTH], repeats[:, DISTANCE]
    is_repeat = length >= MIN_TOKENS
    is_transposed = repeats[:, TRANSPOSED] == 1
    is_near = quarter - quarter[np.arange(len(tokens)) - distance] <= NEAR_QUARTERS
    is_adjacent = length >= distance
    is_voice_repeat = run_length >= MIN_NOTES
    return [
        len(tokens),
        (is_repeat & ~is_transposed).sum(),
        (is_repeat & is_transposed).sum(),
        (is_repeat & is_near).sum(),
        len(run_length),
        (is_voice_repeat & (run_transposed == 0)).sum(),
        (is_voice_repeat & (run_transposed == 1)).sum(),
        (is_repeat & is_adjacent).mean() > LOOP_SHARE,
    ]


if __name__ == "__main__":
    main()
