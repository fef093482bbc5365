"""Fit a repeat model to a trained network.

Usage: python -m clara.training.repeat_fit MODEL CORPUS

`train.py` fits one at the end of each training. This command is for a model without one, or for another corpus.
"""

from clara import cli
from clara.errors import BadSetting

EXAMPLES = """
python -m clara.training.repeat_fit runs/mine data/notewise-12     # updates its config.json and model card
"""


def fit_to(checkpoint, corpus, device="cpu") -> dict[str, float]:
    """Fit a repeat model to the valid pieces of a corpus and put it into a checkpoint's `info`; nothing is saved.

    Parameters
    ----------
    checkpoint : clara.checkpoints.checkpoint.Checkpoint
    corpus : clara.data.corpus.Corpus
        With the checkpoint's vocabulary, and with valid pieces.
    device : str or torch.device

    Returns
    -------
    dict of str to float
        Nats per quarter note of valid and, if there are any, test pieces: by the network alone, and with repeats.
    """
    from clara.repeats.candidates import score_pieces
    from clara.repeats.finder import TranspositionTable
    from clara.repeats.model import RepeatModel

    network = checkpoint.inference_model().to(device)
    table = TranspositionTable(checkpoint.vocab, checkpoint.encoding)
    figures, figures_with_repeats = {}, {}
    for split in ("valid", "test"):
        if not (corpus.manifest["split"] == split).any():
            continue
        pieces = score_pieces(network, corpus.ids(split), table, corpus.vocab.pad_id)
        if split == "valid":
            repeat_model = RepeatModel.fit(pieces)
            checkpoint.info["repeats"] = repeat_model.to_dict()
        quarters = corpus.quarters(split).sum()
        nats = -sum(piece.next_log_prob.sum() for piece in pieces)
        nats_with_repeats = sum(repeat_model.nats(piece).sum() for piece in pieces)
        figures[f"{split}_nats_per_quarter"] = round(nats / quarters, 4)
        figures_with_repeats[f"{split}_nats_per_quarter_with_repeats"] = round(nats_with_repeats / quarters, 4)
    return figures | figures_with_repeats


def parser():
    """Return the command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    inputs = p.add_argument_group("model and music").add_argument
    inputs(
        "model", metavar="MODEL", help="run folder; its config.json and its model card are rewritten, its weights stay"
    )
    inputs(
        "corpus",
        metavar="CORPUS",
        help="folder that data_prep.prepare wrote, with the valid pieces of the model's training",
    )
    run = p.add_argument_group("run").add_argument
    run("--threads", type=cli.at_least(1), default=1, metavar="N", help="Number of CPU threads (default: 1).")
    return p


def main(argv=None):
    """Fit a repeat model, save it and print its figures."""
    args = parser().parse_args(argv)
    with cli.show_status("loading"):
        import torch  # heavy imports would slow down --help

        from clara.checkpoints.checkpoint import Checkpoint
        from clara.checkpoints.shipped_models import find_model
        from clara.data.corpus import Corpus
        from clara.files import write_atomically
        from clara.training.model_cards import CARD, model_card

        checkpoint, corpus = Checkpoint.load(args.model), Corpus.load(args.corpus)
    torch.set_num_threads(args.threads)
    if checkpoint.vocab != corpus.vocab:
        raise BadSetting(
            f"{args.model} and {args.corpus} have different vocabularies; encode the music as for the model"
        )
    if not (corpus.manifest["split"] == "valid").any():
        raise BadSetting(f"{args.corpus}: no valid pieces to fit to")
    checkpoint.info["figures"] |= fit_to(checkpoint, corpus)
    folder = find_model(args.model)
    checkpoint.save(folder)
    write_atomically(folder / CARD, model_card(checkpoint))
    figures = [
        f"{name.replace('_', ' ')} {value:g}" for name, value in checkpoint.info["figures"].items() if "nats" in name
    ]
    print("; ".join(figures))
    return 0


if __name__ == "__main__":
    cli.run(main)
