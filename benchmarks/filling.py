"""Filling a gap: how likely what comes after it is, given one filling, the likeliest of many, and the original.

python benchmarks/filling.py MODEL CORPUS [--candidates 64]

Of valid and test pieces the first 24 quarters stand, of which 8 to 12 are composed anew. Fillings are
weighed by the 4 quarters after the gap; the 8 quarters after those had no say in the choice.
Costs are nats per quarter note; "one" is the mean of all candidates.
"""

import argparse
import time

import numpy as np
import record

START, END, SOON, WHOLE = 8, 12, 16, 24


def before(encoding, text, quarter):
    """How many words of a notewise text come before a quarter, the ends of notes there among them."""
    reached = np.cumsum([0, *encoding.token_steps(text)])
    there = quarter * encoding.steps_per_quarter
    return sum(at < there or at == there and word.startswith("end") for at, word in zip(reached, text))


def cost(generator, words, start, end):
    """Nats per quarter of the words that lie between two quarters, given all before them, for each text."""
    from clara.models.likelihood import nats_per_piece

    nats = []
    for until in (end, start):
        texts = [generator.vocab.to_ids(["xxbos", *text[: before(generator.encoding, text, until)]]) for text in words]
        nats.append(nats_per_piece(generator.model, texts, generator.vocab.pad_id).numpy())
    return (nats[0] - nats[1]) / (end - start)


def main():
    """Fill, weigh, keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("model")
    p.add_argument("corpus")
    p.add_argument("--candidates", type=int, default=64)
    p.add_argument("--pieces", type=int, default=40)
    args = p.parse_args()
    import torch

    from clara.data.corpus import Corpus
    from clara.generator import Generator
    from clara.music.notes import crop
    from clara.sampling.settings import SamplingSettings

    torch.set_num_threads(1)
    generator, corpus = Generator.load(args.model), Corpus.load(args.corpus)
    step, found, began = generator.encoding.steps_per_quarter, [], time.process_time()
    for ids in [p for split in ("valid", "test") for p in corpus.ids(split)]:
        notes = generator.encoding.decode(corpus.vocab.to_tokens(ids.tolist()[1:-1]))[0]
        if notes.quarters < WHOLE + 1 or len(found) == args.pieces:
            continue
        piece = crop(notes, 0, WHOLE * step)
        fillings = generator.fill(
            piece, START, END, args.candidates, SamplingSettings(temperature=0.95, top_p=0.98), seed=0
        )
        texts = [sample.tokens for sample, _ in fillings] + [generator.tokenize(piece)[0]]
        soon, later = (cost(generator, texts, *ends) for ends in ((END, SOON), (SOON, WHOLE)))
        found.append([(c[:-1].mean(), c[0], c[-1]) for c in (soon, later)])
        print(len(found), np.mean(found, 0).round(3).tolist(), flush=True)
    means = np.mean(found, 0)
    wins = [(np.array([f[i][1] for f in found]) < np.array([f[i][0] for f in found])).mean() for i in (0, 1)]
    rows = [
        {
            "quarters": f"{a} to {b}",
            "one": round(float(m[0]), 3),
            "likeliest": round(float(m[1]), 3),
            "original": round(float(m[2]), 3),
            "likelier_in_percent_of_pieces": round(100 * float(w)),
        }
        for (a, b), m, w in zip(((END, SOON), (SOON, WHOLE)), means, wins)
    ]
    record.save(
        "filling",
        rows,
        pieces=len(found),
        candidates=args.candidates,
        gap=[START, END],
        seconds_per_piece=round((time.process_time() - began) / len(found), 2),
    )


if __name__ == "__main__":
    main()
