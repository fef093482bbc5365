"""A light run, from its settings to its folder: a style file, its history and its card.

Contents: `train_style`, `STYLE`.
"""

import time
from pathlib import Path

import pandas as pd
import torch

from clara.checkpoint import Checkpoint, weights_hash
from clara.corpus import Corpus
from clara.errors import BadSetting, CheckpointMismatch
from clara.evaluate import nats_per_quarter
from clara.files import make_folder, write_whole
from clara.style import Style, tune

STYLE, CARD, HISTORY = "style.safetensors", "README.md", "history.csv"


def train_style(args, command=()):
    """Find a style and leave its folder.

    Parameters
    ----------
    args : dict of `train.py`'s flags, `data` and `out` filled in, `pretrained` a folder
    command : the words of the command line, for the record

    Raises
    ------
    ClaraError
        If data, weights or folder do not serve.
    """
    if not args["pretrained"] or args["from_scratch"]:
        raise BadSetting("--light goes with pretrained weights, which it leaves as they are")
    if args["threads"]:
        torch.set_num_threads(args["threads"])
    corpus, base = Corpus.load(args["data"]), Checkpoint.load(args["pretrained"])
    if corpus.vocab != base.vocab:
        raise CheckpointMismatch(f"{args['pretrained']}: its vocabulary is not that of {corpus.folder}, which --light needs")
    out = Path(args["out"])
    if (out / STYLE).exists():
        raise BadSetting(f"{out}: holds a style already; another --out starts anew")
    make_folder(out)
    began = time.perf_counter()
    print(f"{corpus.folder}: {len(corpus.rows('train'))} pieces; a style for {args['pretrained']}", flush=True)
    tensors, history = tune(base, corpus, epochs=args["epochs"], patience=args["patience"], seed=args["seed"],
                            lr=args["lr"] or 2e-3, on_epoch=_told)
    write_whole(out / HISTORY, pd.DataFrame(history).to_csv(index=False))
    info = {"base": weights_hash(args["pretrained"]), "base_folder": Path(args["pretrained"]).name,
            "encoding": corpus.encoding.settings, "command": " ".join(map(str, command)), "date": time.strftime("%Y-%m-%d"),
            "data": {"folder": corpus.folder.name, "fingerprint": corpus.fingerprint, "about": corpus.about,
                     "pieces": len(corpus.rows("train"))}}
    Style(tensors, info).save(out / STYLE)
    style = Style.load(out / STYLE)
    figures = {"minutes": round((time.perf_counter() - began) / 60, 2), "epochs": len(history) - 1}
    held = [s for s in ("valid", "test") if (corpus.manifest["split"] == s).any()] or ["train"]
    figures |= {f"{split}_before": round(nats_per_quarter(base.reader(), corpus, split), 4) for split in held}
    styled = style.onto(base, info["base"], (out / STYLE, args["pretrained"])).reader()
    figures |= {f"{split}_after": round(nats_per_quarter(styled, corpus, split), 4) for split in held}
    Style(tensors, info | {"figures": figures}).save(out / STYLE)
    write_whole(out / CARD, card(info, figures))
    told = ", ".join(f"{s} {figures[f'{s}_before']:.3f} to {figures[f'{s}_after']:.3f} nats/quarter" for s in held)
    print(f"{out / STYLE}: {told}; compose with python generate.py --model {args['pretrained']} --style {out / STYLE}")


def _told(row):
    """Print an epoch's row of the history."""
    print(f"epoch {row['epoch']}  train {row['train_loss']:.4f}  {row['nats_per_quarter']:.3f} nats/quarter", flush=True)


def card(info, figures):
    """A style's card in Markdown."""
    rows = "\n".join(f"| {k.replace('_', ' ')} | {v} |" for k, v in figures.items())
    return f"""# A style for {info['base_folder']}

Initial states and output layer for the weights `{info['base']}`; all else is theirs.

## Data

{info['data']['about'] or 'Not described.'}

{info['data']['pieces']:,} pieces to train on. Fingerprint of the data: `{info['data']['fingerprint']}`.

## Figures

| what | value |
|---|---|
{rows}

Nats per quarter note of held-out pieces, before and after.

## Made by

`{info['command']}`, {info['date']}.
"""
