"""Measure how much choosing among fillings of a gap helps the music after the gap.

python benchmarks/filling.py MODEL CORPUS [--candidates 64]

The first 24 quarters of valid and test pieces are taken, and quarters 8 to 12 are composed again. The
fillings are ranked by the likelihood of the 4 quarters after the gap; the 8 quarters after those have no
say in the choice. Costs are nats per quarter given a mean filling, the most likely filling and the
original.
"""

import time

import numpy as np
import record

GAP_START, GAP_END, JUDGED_END, PIECE_END = 8, 12, 16, 24  # quarters
SPANS = ((GAP_END, JUDGED_END), (JUDGED_END, PIECE_END))
TEMPERATURE, TOP_P = 0.95, 0.98


def main():
    """Fill, measure and save the result."""
    args = parse_arguments()
    import torch

    from clara.data.corpus import Corpus
    from clara.generation.generator import Generator
    from clara.music.notes import crop

    torch.set_num_threads(1)
    generator, corpus = Generator.load(args.model), Corpus.load(args.corpus)
    steps_per_quarter = generator.encoding.steps_per_quarter
    costs = []  # of each piece, (2 spans, 3)
    start = time.process_time()
    for ids in corpus.ids("valid") + corpus.ids("test"):
        notes = generator.encoding.decode(corpus.vocab.to_tokens(ids.tolist()[1:-1]))[0]
        if notes.quarters < PIECE_END + 1 or len(costs) == args.pieces:
            continue
        piece = crop(notes, 0, PIECE_END * steps_per_quarter)
        costs.append(measure_piece(generator, piece, args.candidates))
        print(len(costs), np.mean(costs, 0).round(3).tolist(), flush=True)
    seconds_per_piece = (time.process_time() - start) / len(costs)
    record.save(
        "filling",
        make_rows(np.array(costs)),
        pieces=len(costs),
        candidates=args.candidates,
        gap=[GAP_START, GAP_END],
        seconds_per_piece=round(seconds_per_piece, 2),
    )


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("model", help="Model folder or name")
    p.add_argument("corpus", help="Folder of the model's corpus")
    p.add_argument("--candidates", type=int, default=64, help="Number of fillings of each gap")
    p.add_argument("--pieces", type=int, default=40, help="Largest number of pieces")
    return p.parse_args()


def measure_piece(generator, piece, n_candidates):
    """Return, for both spans, the nats per quarter given the mean and the most likely filling and the original."""
    from clara.sampling.settings import SamplingSettings

    settings = SamplingSettings(temperature=TEMPERATURE, top_p=TOP_P)
    fillings = generator.fill(piece, GAP_START, GAP_END, n_candidates, settings, seed=0)
    texts = [sample.tokens for sample, _ in fillings] + [generator.tokenize(piece)[0]]
    costs = [span_cost(generator, texts, *span) for span in SPANS]
    return [(cost[:-1].mean(), cost[0], cost[-1]) for cost in costs]


def span_cost(generator, texts, start, end):
    """Return the nats per quarter of the tokens between two quarters, given those before, for each text."""
    from clara.models.likelihood import nats_per_piece

    nats = []
    for quarter in (end, start):
        prefixes = [text[: tokens_before(generator.encoding, text, quarter)] for text in texts]
        ids = [generator.vocab.to_ids(["xxbos", *prefix]) for prefix in prefixes]
        nats.append(nats_per_piece(generator.model, ids, generator.vocab.pad_id).numpy())
    return (nats[0] - nats[1]) / (end - start)


def tokens_before(encoding, tokens, quarter):
    """Return how many tokens of a notewise text come before a quarter, including the ends of notes there."""
    token_starts = np.cumsum([0, *encoding.token_steps(tokens)])
    step = quarter * encoding.steps_per_quarter
    return sum(
        start < step or (start == step and token.startswith("end")) for start, token in zip(token_starts, tokens)
    )


def make_rows(costs):
    """Return a row for each span from costs (n, 2 spans, 3)."""
    rows = []
    for i, (start, end) in enumerate(SPANS):
        mean_filling, most_likely, original = costs[:, i].mean(0)
        improved = (costs[:, i, 1] < costs[:, i, 0]).mean()
        rows.append(
            {
                "quarters": f"{start} to {end}",
                "mean_filling": round(float(mean_filling), 3),
                "most_likely_filling": round(float(most_likely), 3),
                "original": round(float(original), 3),
                "improved_percent_of_pieces": round(100 * float(improved)),
            }
        )
    return rows


if __name__ == "__main__":
    main()
