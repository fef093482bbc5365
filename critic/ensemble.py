"""Blend voices into one critic or composer classifier.

Usage: python -m critic.ensemble VOICE VOICE… --excerpts EXCERPTS --out FOLDER

Voices are what `critic.train` left, of the same text, classes and windows: a net on a language model's encoder, one that reads
piano rolls (--rolls), one that reads what can be counted (--statistics), one that sees self-similarity (--similarity). What the blend says is the weighted sum of their log-probabilities; the weights, none below zero, are those that cost
least on valid, so that the sum is calibrated, too. With --least none is below that, with --even all have one weight, so that who is surest has most to say and none is all but left out. A voice that shares a model's encoder goes on sharing it. Voices that err in different places make the
steadier judge together.
"""

import sys
import time
from pathlib import Path

import numpy as np

from clara import cli

EXAMPLES = """
python -m critic.ensemble runs/voice-text runs/voice-rolls runs/voice-statistics runs/voice-similarity --excerpts runs/excerpts --out runs/critic
"""


def blend(voices, table, split="valid", even=False, least=0.0):
    """Weigh voices by what costs least.

    Parameters
    ----------
    voices : list of Critic, or of ComposerClassifier; text first
    table : of `critic.excerpts.read_excerpts`
    split : that is weighed by
    even : whether all have one weight
    least : that a voice may weigh

    Returns
    -------
    Critic or ComposerClassifier

    Raises
    ------
    BadSetting
        If they cannot be blended.
    """
    from scipy.optimize import minimize

    type(voices[0]).blended([(voice, 1.0) for voice in voices])  # raises before anything is read
    table = table[table["split"] == split].reset_index(drop=True)
    window_log_probs = [voice.window_log_probs(table["tokens"].tolist()) for voice in voices]
    labels = np.repeat(
        [voices[0].classes.index(label) for label in table["label"]], [len(c) for c in window_log_probs[0]]
    )
    told = np.stack([np.concatenate(c) for c in window_log_probs]).astype(np.float64)  # (voices, windows, classes)
    if even:
        told = told.sum(0, keepdims=True)
    many = np.bincount(labels, minlength=told.shape[2])
    weight = (1 / many.clip(1))[labels] / len(np.unique(labels))

    def cost(w):
        logits = np.tensordot(w, told, 1)
        logp = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        apart = told[:, np.arange(len(labels)), labels] - (np.exp(logp)[None] * told).sum(2)
        return -(weight * logp[np.arange(len(labels)), labels]).sum(), -(apart * weight).sum(1)

    found = minimize(
        cost,
        np.full(len(told), max(least, 1 / len(voices))),
        jac=True,
        method="L-BFGS-B",
        bounds=[(least, None)] * len(told),
    )
    weights = np.broadcast_to(found.x, len(voices))
    return type(voices[0]).blended([(voice, round(float(w), 4)) for voice, w in zip(voices, weights)])


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music("voices", nargs="+", metavar="VOICE", help="folders that critic.train wrote; those that read text first")
    music(
        "--excerpts",
        required=True,
        metavar="EXCERPTS",
        help="folder that critic.excerpts wrote; its valid split weighs",
    )
    how = p.add_argument_group("weights").add_mutually_exclusive_group().add_argument
    how("--even", action="store_true", help="all voices have one weight")
    how("--least", type=cli.at_least(0, float), default=0.0, metavar="X", help="that a voice weighs at least")
    music(
        "--most",
        type=cli.at_least(2),
        metavar="N",
        help="of the excerpts of a split; to weigh by and to tell figures of, without it all",
    )
    run = p.add_argument_group("run").add_argument
    run("--out", required=True, metavar="FOLDER", help="folder to write; new or empty")
    run("--threads", type=cli.at_least(1), default=1, metavar="N", help="CPU threads; for the nets")
    return p


def main(argv=None):
    """Parse, weigh, report."""
    args = parser().parse_args(argv)
    with cli.show_status("loading"):
        import torch  # heavy imports wait for --help

        from critic.evaluation import evaluate
        from critic.training.text import HUMAN
    from clara.checkpoint import versions
    from clara.files import make_empty_folder, write_atomically
    from clara.training.model_cards import CARD
    from critic.classifier import ComposerClassifier, Critic
    from critic.data.table import read_excerpts
    from critic.training.model_cards import classifier_card

    torch.set_num_threads(args.threads)
    table, made = read_excerpts(args.excerpts)
    if args.most:
        table = table.sample(frac=1, random_state=0).groupby("split", sort=False).head(args.most)
    kind = Critic if HUMAN in set(table["label"]) else ComposerClassifier
    voices, began = [kind.load(folder) for folder in args.voices], time.perf_counter()
    out, blended = make_empty_folder(args.out), blend(voices, table, even=args.even, least=args.least)
    blended.info = {
        "training": {
            "arguments": vars(args),
            "command": " ".join(["python", "-m", "critic.ensemble", *map(str, sys.argv[1:])]),
            "excerpts": {k: made[k] for k in ("fingerprint", "about", "seed")},
            "date": time.strftime("%Y-%m-%d"),
            "minutes": round((time.perf_counter() - began) / 60, 1),
        },
        "versions": versions(),
        "figures": {s: evaluate(blended, table, s) for s in ("valid", "test")},
    }
    blended.save(Path(out))
    write_atomically(Path(out) / CARD, classifier_card(blended))
    print(f"{out}: " + ", ".join(f"{weight:g} {folder}" for folder, (_, weight) in zip(args.voices, blended.voices)))
    print(
        "; ".join(
            f"{split} " + ", ".join(f"{name} {value:.3f}" for name, value in told.items())
            for split, told in blended.info["figures"].items()
        )
    )
    return 0


if __name__ == "__main__":
    cli.run(main)
