"""Find how much matches must count for while composing, that as much comes again as in music: python -m clara.training.repeat_strength MODEL CORPUS

A match model (`clara.repeats.model`) knows how often a match goes on in music. A piece that is composed begins fewer of them, by chance alone, and
comes back to what it has held less than music does. So pieces are composed from nothing, what comes again in them is compared with excerpts of music,
and the gains of matches in the same key and in another are set by it, over and over; those that came nearest are kept.
"""

from dataclasses import replace

import numpy as np

from clara import cli
from clara.encodings.vocab import tokenize
from clara.errors import BadSetting, NoData
from clara.repeats.finder import LENGTH, MOVED, RepeatFinder
from clara.training.repeat_fit import model_and_corpus

EXAMPLES = """
python -m clara.training.repeat_strength runs/mine data/notewise-12     # its config.json tells them, its weights stay
"""
LEAST = 8  # words of a match that is heard as one
EXCERPTS = 2000  # of music, that pieces are compared with
POWER = 0.3  # of what is missing, that a gain is multiplied by: what comes again grows by more than its gain
WIDEST = 2.5  # gains are at most so much, and at least one part of so many
NONE = 1e-3  # of a share: what is less is as little


def coming_again(texts, forms):
    """How much of a text comes again: float64 (2,), the shares of words that end a match of LEAST words or more, in the same key and in another, medians of some texts.

    The median, since a few pieces that repeat nearly everything are much of a mean.

    Parameters
    ----------
    texts : list of int arrays, each a piece without control words
    forms : clara.repeats.finder.TranspositionTable of their vocabulary
    """
    found = [RepeatFinder.matches(forms, ids) for ids in texts]
    return np.median(
        [[((told[:, LENGTH] >= LEAST) & (told[:, MOVED] == moved)).mean() for moved in (0, 1)] for told in found],
        axis=0,
    )


def excerpts(corpus, quarters, n, rng):
    """n excerpts of some quarters, of pieces that are not held out to test with, longer ones oftener, as int arrays of word ids; raises NoData where none is so long."""
    from clara.music.notes import crop

    step, rows = corpus.encoding.steps_per_quarter, corpus.manifest
    rows = rows[(rows["split"] != "test") & (rows["quarters"] >= quarters)]
    if not len(rows):
        raise NoData(f"{corpus.folder}: no piece to learn from lasts {quarters:g} quarters; --quarters asks for less")
    texts, notes, chance = [], {}, np.sqrt(rows["quarters"].to_numpy(dtype=np.float64))
    for i in rng.choice(len(rows), size=n, p=chance / chance.sum()):
        if i not in notes:
            notes[i] = corpus.encoding.decode(corpus.tokens(rows["piece"].iloc[i]))[0]
        at = int(rng.integers(int(rows["quarters"].iloc[i] - quarters) + 1))
        texts.append(
            corpus.vocab.to_ids(
                tokenize(crop(notes[i], at * step, round((at + quarters) * step)), corpus.encoding, corpus.vocab)[0]
            )
        )
    return [ids for ids in texts if len(ids)]


def find_gains(generator, of_music, compose, rounds, tell=print):
    """The gains with which what is composed comes again as music does.

    Parameters
    ----------
    generator : clara.generator.Generator with a match model; what it composes with is set to what was found
    of_music : float64 (2,), as `coming_again`, of music
    compose : function(round) -> list of int arrays, what it composes now
    rounds : how often to compose
    tell : function(str) for progress

    Returns
    -------
    gains : float64 (2,), in the same key and in another
    found : float64 (2,), what came again with them
    """
    model, forms = generator.repeats
    gains, tried = model.gains, []
    for i in range(rounds):
        generator.repeats = replace(model, gains=gains), forms
        found = coming_again(compose(i), forms)
        missing = np.where(
            of_music > NONE, np.log(np.maximum(of_music, NONE) / np.maximum(found, NONE)), 0.0
        )  # else there is nothing to go by
        tried.append((np.abs(missing).sum(), gains, found))
        tell(
            f"gains {gains[0]:.2f} and {gains[1]:.2f}: {100 * found[0]:.1f} % comes again in the same key, {100 * found[1]:.1f} % in another; "
            f"of music {100 * of_music[0]:.1f} and {100 * of_music[1]:.1f} %"
        )
        gains = np.clip(gains * np.exp(POWER * missing), 1 / WIDEST, WIDEST)
    _, gains, found = min(tried, key=lambda one: one[0])
    generator.repeats = replace(model, gains=gains), forms
    return gains, found


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    what = p.add_argument_group("model and music").add_argument
    what(
        "model",
        metavar="MODEL",
        help="run folder or shipped model; it has a match model, its config.json is written anew, its weights stay",
    )
    what(
        "corpus",
        metavar="CORPUS",
        help="folder that data_prep.prepare wrote; its pieces, test aside, tell how much of music comes again",
    )
    how = p.add_argument_group("what is composed").add_argument
    how("--pieces", type=cli.at_least(1), default=256, metavar="N", help="that are composed each time")
    how("--rounds", type=cli.at_least(1), default=5, metavar="N", help="how often")
    how("--quarters", type=cli.above(0), default=64.0, metavar="X", help="length in quarter notes")
    how(
        "--temperature",
        type=cli.number_range,
        default="0.85:1.1",
        metavar="X[:Y]",
        help="0.8 is tame, 1.2 is wild; as generate.py has it by itself",
    )
    how(
        "--top-p",
        type=cli.within(1e-6, 1),
        default=0.98,
        metavar="P",
        help="only the likeliest words that together have probability P",
    )
    how("--seed", type=cli.at_least(0), default=0, metavar="N", help="of what is left to chance")
    run = p.add_argument_group("run").add_argument
    run("--threads", type=cli.at_least(1), default=1, metavar="N", help="CPU threads")
    return p


def main(argv=None):
    """Compose, compare, keep, report."""
    args = parser().parse_args(argv)
    with cli.show_status("loading"):
        from clara.generator import Generator
        from clara.sampling.settings import SamplingSettings, spread_temperatures

        checkpoint, corpus = model_and_corpus(args.model, args.corpus)
    if not checkpoint.repeat_model():
        raise BadSetting(f"{args.model} has no match model; python -m clara.training.repeat_fit finds one")
    generator = Generator(checkpoint)
    plain = SamplingSettings(temperature=args.temperature[0], top_p=args.top_p)

    def compose(i):
        first = args.seed + i * args.pieces
        settings = spread_temperatures(plain, args.temperature[1], range(first, first + args.pieces))
        return [
            corpus.vocab.to_ids(s.tokens)
            for s in generator.generate(args.pieces, args.quarters, settings=settings, seed=first, threads=args.threads)
        ]

    of_music = coming_again(
        excerpts(corpus, args.quarters, EXCERPTS, np.random.default_rng(args.seed)), generator.repeats[1]
    )
    gains, found = find_gains(generator, of_music, compose, args.rounds)
    checkpoint.info["match"] = generator.repeats[0].told
    checkpoint.save(args.model)
    print(f"kept {gains[0]:.2f} and {gains[1]:.2f}: {100 * found[0]:.1f} and {100 * found[1]:.1f} %")
    return 0


if __name__ == "__main__":
    cli.run(main)
