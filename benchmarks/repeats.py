"""Does what is composed come back to what it has played, as music does?

python benchmarks/returns.py

Human excerpts of test works, and as many pieces from nothing, as long as they and sampled as `generate.py` does, of the net alone, with repeats of words alone, and with
repeats of words and voices, as it composes by default. Told are the shares of words after which the last LEAST words or more are a repetition of
what stood earlier in the same excerpt, in the same key and in another, and of no more than NEAR quarters ago; the shares of notes of both outer voices after which the last LEAST_NOTES or more of that voice
go as they went earlier; and the share of pieces that turn in circles: more than CIRCLES of their words are of a repetition that reaches back to what it repeats.
"""

import argparse
from dataclasses import replace

import numpy as np
import record
from ranking import batches, human_excerpts

LEAST, LEAST_NOTES, NEAR, CIRCLES = 16, 8, 4, 0.2  # words, notes, quarters, share of words
BATCH = 64


def returns(what, pieces, corpus, forms):
    """What comes again in some pieces, as a row."""
    from clara.repeats.finder import DISTANCE, LENGTH, TRANSPOSED, find_repeats
    from clara.repeats.outer_voices import find_voice_runs

    rows = []
    for piece in pieces:
        words = corpus.encoding.encode(piece)[0]
        clock = np.cumsum(corpus.encoding.token_steps(words)) / corpus.encoding.steps_per_quarter
        ids = corpus.vocab.to_ids(words)
        found, (run, elsewhere) = find_repeats(forms, ids), find_voice_runs(forms.voices, ids)
        long, moved = found[:, LENGTH] >= LEAST, found[:, TRANSPOSED] == 1
        near = clock - clock[np.arange(len(words)) - found[:, DISTANCE]] <= NEAR
        circles = (long & (found[:, LENGTH] >= found[:, DISTANCE])).mean() > CIRCLES
        voices = [((run >= LEAST_NOTES) & (elsewhere == key)).sum() for key in (0, 1)]
        rows.append(
            [len(words), (long & ~moved).sum(), (long & moved).sum(), (long & near).sum(), len(run), *voices, circles]
        )
    n, same, other, near, notes, sung, sung_elsewhere, _ = np.sum(rows, axis=0)
    return {
        "what": what,
        "pieces": len(pieces),
        "same_key_percent": round(100 * same / n, 1),
        "other_key_percent": round(100 * other / n, 1),
        "near_percent": round(100 * near / n, 1),
        "voices_same_key_percent": round(100 * sung / notes, 1),
        "voices_other_key_percent": round(100 * sung_elsewhere / notes, 1),
        "circles_percent": round(100 * float(np.mean([r[-1] for r in rows])), 1),
    }


def main():
    """Compose, count, keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--model", default="pretrained/notewise-large")
    p.add_argument("--corpus", default="data/notewise-12")
    p.add_argument("--batches", type=int, default=4, help=f"of {BATCH} pieces")
    p.add_argument("--quarters", type=int, default=64)
    p.add_argument("--seed", type=int, default=41)
    args = p.parse_args()
    import torch

    from clara.data.corpus import Corpus
    from clara.generator import Generator
    from clara.repeats.model import Repeats
    from clara.sampling.settings import spread_temperatures
    from clara_app.compose_request import default_settings
    from clara_app.defaults import MAX_TEMPERATURE

    torch.set_num_threads(1)
    corpus, generator = Corpus.load(args.corpus), Generator.load(args.model)
    (model, forms), settings = generator.repeats, default_settings()
    rows = [returns("human", human_excerpts(corpus, args.batches * BATCH, args.quarters, args.seed), corpus, forms)]
    for told, match, heard in (
        (", match 0", 0.0, model),
        (", words alone", 1.0, replace(model, voice_calibration=None)),
        (", words and voices", 1.0, model),
    ):

        def free(seeds, match=match):
            return spread_temperatures(replace(settings, repeat_strength=match), MAX_TEMPERATURE, seeds)

        generator.repeats = Repeats(heard, forms)
        composed = [
            p
            for batch in batches(generator, corpus, args.batches, BATCH, args.quarters, args.seed, free, 1, free=True)
            for p in batch
        ]
        rows.append(returns(f"composed{told}", composed, corpus, forms))
    for row in rows:
        print(row, flush=True)
    record.save("returns", rows, quarters=args.quarters, least_words=LEAST, least_notes=LEAST_NOTES, near_quarters=NEAR)


if __name__ == "__main__":
    main()
