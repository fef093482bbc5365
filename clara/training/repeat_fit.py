"""Fit a match model to a net that was trained without.

Usage: python -m clara.training.repeat_fit MODEL CORPUS

`train.py` does it by itself at the end of a training; this is for older runs, and for another corpus.
"""

from pathlib import Path

from clara import cli
from clara.errors import BadSetting

EXAMPLES = """
python -m clara.training.repeat_fit runs/mine data/notewise-12     # its config.json and its card tell of it, its weights stay
"""


def fit_to(checkpoint, corpus, device="cpu"):
    """Fit a match model to valid pieces and keep it in a checkpoint's `info`, not on disk.

    Parameters
    ----------
    checkpoint : clara.checkpoint.Checkpoint
    corpus : clara.data.corpus.Corpus of its vocabulary, with valid pieces
    device : torch device

    Returns
    -------
    dict : nats per quarter note of valid and, where there is one, test, by the net alone and with matches
    """
    from clara.repeats.finder import TranspositionTable
    from clara.repeats.model import RepeatModel, read  # heavy imports wait for --help

    reader, forms, figures, with_match = (
        checkpoint.inference_model().to(device),
        TranspositionTable(checkpoint.vocab, checkpoint.encoding),
        {},
        {},
    )
    for split in ("valid", "test"):
        if (corpus.manifest["split"] == split).any():
            told, quarters = read(reader, corpus.ids(split), forms, corpus.vocab.pad_id), corpus.quarters(split).sum()
            if split == "valid":
                model = RepeatModel.fit(told)
                checkpoint.info["match"] = model.told
            figures[f"{split}_nats_per_quarter"] = round(-sum(t.target.sum() for t in told) / quarters, 4)
            with_match[f"{split}_nats_per_quarter_with_match"] = round(
                sum(model.nats(t).sum() for t in told) / quarters, 4
            )
    return figures | with_match


def model_and_corpus(model, corpus):
    """The Checkpoint and the Corpus of two folders; raises BadSetting where they know different words, and as their `load` do."""
    from clara.checkpoint import Checkpoint
    from clara.data.corpus import Corpus

    checkpoint, music = Checkpoint.load(model), Corpus.load(corpus)
    if checkpoint.vocab != music.vocab:
        raise BadSetting(f"{model} and {corpus} know different words")
    return checkpoint, music


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    what = p.add_argument_group("model and music").add_argument
    what(
        "model",
        metavar="MODEL",
        help="run folder or shipped model; its config.json and its card are written anew, its weights stay",
    )
    what(
        "corpus",
        metavar="CORPUS",
        help="folder that data_prep.prepare wrote; those pieces that the model was trained beside, its valid ones above all",
    )
    run = p.add_argument_group("run").add_argument
    run("--threads", type=cli.at_least(1), default=1, metavar="N", help="CPU threads")
    return p


def main(argv=None):
    """Fit, keep, report."""
    args = parser().parse_args(argv)
    with cli.show_status("loading"):
        import torch

        from clara.files import write_atomically
        from clara.training.model_cards import CARD, model_card

        checkpoint, corpus = model_and_corpus(args.model, args.corpus)
    torch.set_num_threads(args.threads)
    if not (corpus.manifest["split"] == "valid").any():
        raise BadSetting(f"{args.corpus}: no valid pieces to fit to")
    checkpoint.info["figures"] = checkpoint.info["figures"] | fit_to(checkpoint, corpus)
    checkpoint.save(args.model)
    write_atomically(Path(args.model, CARD), model_card(checkpoint))
    print(
        "; ".join(
            f"{name.replace('_', ' ')} {value:g}"
            for name, value in checkpoint.info["figures"].items()
            if "nats" in name
        )
    )
    return 0


if __name__ == "__main__":
    cli.run(main)
