"""A training run from its settings to a finished run folder."""

import ctypes
import json
import platform
import subprocess
import time
from pathlib import Path

import torch

from clara.checkpoint import Checkpoint, versions, weights_hash
from clara.data.corpus import Corpus
from clara.data.dataloaders import dataloaders
from clara.devices import choose_device
from clara.errors import BadSetting, CheckpointMismatch
from clara.files import make_folder, write_atomically
from clara.models import get_architecture
from clara.models.likelihood import nats_per_quarter
from clara.rendering.plots import plot_history
from clara.training import learner as learning
from clara.training.callbacks import ALONE, HISTORY, STATE, CheckpointCallback, ProgressLogger, load_state
from clara.training.distributed import AverageGradients
from clara.training.init_weights import adapt_to_vocab, from_scratch
from clara.training.model_cards import CARD, model_card
from clara.training.repeat_fit import fit_to

STARTED = "started.json"
M_MMAP_THRESHOLD, LARGE = -3, 2**22  # of glibc's malloc.h; bytes
FRESH_LR, TUNING_LR = 3e-3, 1e-3
FEWEST_STREAMS, MOST_STREAMS, UPDATES = 4, 64, 50
MODEL_FLAGS = ("emb_sz", "n_hid", "n_layers", "input_p", "hidden_p", "output_p", "embed_p", "weight_p")


def train(args, command=(), world=ALONE):
    """Train a model and leave its run folder.

    Parameters
    ----------
    args : dict of `train.py`'s flags, `data` and `out` filled in, `pretrained` a folder or None
    command : the words of the command line, for the record
    world : clara.training.distributed.World, the processes that train together

    Returns
    -------
    bool, True if Ctrl-C ended it early

    Raises
    ------
    ClaraError
        If data, weights, flags or the run folder do not serve.
    """
    if args["threads"]:
        torch.set_num_threads(args["threads"])
    device, bf16, told = choose_device(args["device"], args["precision"])
    corpus = Corpus.load(args["data"])
    if corpus.encoding.name != args["encoding"]:
        raise BadSetting(f"{args['data']} is {corpus.encoding.name} text, --encoding says {args['encoding']}")
    start = _starting_weights(args, corpus)
    args = args | {
        "bs": args["bs"] or default_batch_size(int(corpus.rows("train")["tokens"].sum()), args["bptt"], world.size)
    }
    others = _others(args, corpus)
    out = _folder(args, command, world)
    sizes = start.sizes if start else model_config(args)
    return_memory()
    torch.manual_seed(args["seed"])
    dls, valid_split = dataloaders(
        corpus, args["bs"], args["bptt"], device, args["seed"], world, others, args.get("replay_share") or 0.0
    )
    learn = _learner(args, corpus, dls, sizes, valid_split, bf16)
    _begin_weights(learn, args, corpus, start)
    print(
        f"{told}; {corpus.folder}: {len(dls.train.dataset)} pieces, {dls.train.n_tokens:,} words; "
        f"{'fine-tuning ' + args['pretrained'] if start else 'from scratch'}, "
        f"{sum(p.numel() for p in learn.model.parameters()):,} parameters",
        flush=True,
    )
    if args.get("find_lr"):
        found = learning.find_lr(learn, out / "lr_find.png")
        print(f"{out / 'lr_find.png'}: the loss falls fastest about --lr {found:.1e}")
        return False
    if valid_split == "train":
        print("no piece is held out (too few works): the valid figures below are those of the training pieces")
    if args.get("tensorboard") and world.first:
        learn.add_cb(learning.tensorboard(out / "tensorboard"))
    base = Checkpoint(
        args["arch"],
        sizes,
        corpus.encoding,
        corpus.vocab,
        {},
        {"training": _record(args, out, corpus, start), "versions": versions()},
    )
    interrupted = _fit(learn, args, out, base, start is not None, world)
    if world.first:
        _finish(learn, out, corpus, valid_split, interrupted)
    return interrupted


def return_memory():
    """Have the allocator give blocks of LARGE bytes and more back to the system when they are freed; whether it does.

    glibc raises that size by itself up to 32 MB. The logits of a large vocabulary then leave holes in its heap: a training
    of chordwise text grew to 18 GB. Other systems' allocators are left as they are.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE))
    except (AttributeError, OSError, TypeError):
        return False


def _folder(args, command, world):
    """The folder to write into: a run's, or for a rate search one that is no run's."""
    out = Path(args["out"])
    if args.get("find_lr"):
        if world.size > 1:
            raise BadSetting("--find-lr trains nothing: one process does")
        make_folder(out)
    elif world.first:
        _claim(args, command)
    world.wait()
    return out


def _claim(args, command):
    """Make the run folder, new unless resuming, with what the run was started by in it."""
    out, command = Path(args["out"]), " ".join(map(str, command))
    if args["resume"]:
        started = json.loads((out / STARTED).read_text(encoding="utf-8"))
        history = (out / HISTORY).read_text(encoding="utf-8").splitlines() if (out / HISTORY).is_file() else [""]
        done = {"command": command, "after_epoch": len(history) - 1}
        started["resumed"] = [*started.get("resumed", []), done]
        write_atomically(out / STARTED, json.dumps(started, indent=1) + "\n")
        return
    if (out / STARTED).exists():
        raise BadSetting(f"{out}: holds a run already; --resume {out} goes on with it, another --out starts anew")
    make_folder(out)
    started = {
        "command": command,
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d"),
        "arguments": {k: v for k, v in args.items() if k not in ("resume", "out")},
    }
    write_atomically(out / STARTED, json.dumps(started, indent=1) + "\n")


def run_settings(folder):
    """The flags that a run folder was made with, but for its own name.

    Raises
    ------
    BadSetting
        If there is no run in it.
    """
    path = Path(folder) / STARTED
    if not path.is_file():
        raise BadSetting(f"{folder}: no run to resume there ({STARTED} is missing)")
    return json.loads(path.read_text(encoding="utf-8"))["arguments"]


def default_batch_size(words, bptt, world_size=1):
    """How many streams to read side by side, so that an epoch takes some UPDATES steps: 4 to 64, a multiple of world_size.

    Parameters
    ----------
    words : to train on
    bptt : words of a stream between updates
    world_size : processes that share them
    """
    wanted = min(MOST_STREAMS, max(FEWEST_STREAMS, words // (UPDATES * bptt)))
    return max(1, wanted // world_size) * world_size


def _others(args, corpus):
    """The Corpus to mix in, or None."""
    if not args.get("replay_data"):
        return None
    others = Corpus.load(args["replay_data"])
    if others.vocab != corpus.vocab:
        raise BadSetting(f"--replay-data {args['replay_data']}: its vocabulary is not that of {corpus.folder}")
    return others


def model_config(args):
    """Sizes and dropouts of the architecture: its own, but for the flags that are given.

    Raises
    ------
    BadSetting
        If a flag is given that the architecture does not know.
    """
    defaults = get_architecture(args["arch"]).DEFAULTS
    given = {k: args[k] for k in MODEL_FLAGS if args.get(k) is not None}
    strange = [f"--{k.replace('_', '-')}" for k in given if k not in defaults]
    if strange:
        raise BadSetting(f"{', '.join(strange)} does not go with --arch {args['arch']}")
    return defaults | given


def _starting_weights(args, corpus):
    """The pretrained Checkpoint to start from, or None."""
    if args["from_scratch"] or not args["pretrained"]:
        return None
    folder, start = Path(args["pretrained"]), Checkpoint.load(args["pretrained"])
    if start.arch != args["arch"]:
        raise CheckpointMismatch(
            f"{folder}: its architecture is {start.arch}, not {args['arch']}; --from-scratch does without"
        )
    if start.vocab != corpus.vocab:
        start.tensors, kept, kindred = adapt_to_vocab(start, corpus.vocab)
        print(f"{folder}: {kept:,} of {len(corpus.vocab):,} words keep their weights, {kindred:,} begin as the piano's")
    return start


def _begin_weights(learn, args, corpus, start):
    """Put in the weights before the first step."""
    module = get_architecture(args["arch"])
    if start:
        module.load_tensors(learn.model, start.tensors)
    else:  # of a run that is resumed too: its first epoch may not have ended
        tables = learn.dls.train.tables.cpu().numpy()
        module.load_tensors(learn.model, from_scratch(module.to_tensors(learn.model), corpus, tables))


def _learner(args, corpus, dls, sizes, valid_split, bf16):
    """The Learner for these settings; dropouts from the flags, sizes as given."""
    dropouts = {k: min(0.99, p * args["drop_mult"]) for k, p in model_config(args).items() if k.endswith("_p")}
    tokens_per_quarter = dls.valid.n_tokens / corpus.quarters(valid_split).sum()
    return learning.music_learner(
        dls,
        args["arch"],
        sizes | dropouts,
        corpus.vocab,
        tokens_per_quarter=tokens_per_quarter,
        alpha=args["alpha"],
        beta=args["beta"],
        clip=args["clip"],
        moms=args["moms"],
        wd=args["wd"],
        bf16=bf16,
        path=args["out"],
    )


def _fit(learn, args, out, base, tuning, world):
    """Train through its stages with everything kept in the run folder; True if Ctrl-C ended it."""
    plan = learning.stages(
        args["epochs"],
        args["lr"] or (TUNING_LR if tuning else FRESH_LR),
        args["schedule"],
        len(learn.splitter(learn.model)),
        gradual=tuning,
    )
    history, opt_state = [], None
    if args["resume"] and (out / STATE).is_file():
        history, opt_state = load_state(learn, out / STATE)
        print(f"resuming after epoch {len(history)}")
    epochs = sum(s.epochs for s in plan)
    dl = learn.dls.train
    words = (epochs - len(history)) * dl.bs * ((dl.n_tokens - 1) // dl.bs)
    folder = CheckpointCallback(out, lambda learn, to: keep(learn, to, base), history, args["patience"], world)
    progress_logger = ProgressLogger(words, epochs, world)
    learn.add_cbs([folder, progress_logger, *([AverageGradients(world)] if world.size > 1 else [])])
    try:
        learning.fit(
            learn, plan, args["seed"], done=len(history), opt_state=opt_state, discriminative=tuning, rank=world.rank
        )
    except RuntimeError as e:
        if not learning.is_out_of_memory(e):
            raise
        fits = learning.largest_batch(learn, args["bs"] // world.size, args["bptt"]) * world.size
        advice = f"--bs {fits} fits" if fits else "not even one stream fits: take a smaller net or --bptt"
        raise learning.OutOfDeviceMemory(
            f"{args['bs']} streams of {args['bptt']} words do not fit the memory of {learn.dls.device}; {advice}"
        ) from e
    except KeyboardInterrupt:
        if not folder.history and world.first:
            keep(learn, out, base)
        return True
    finally:
        progress_logger.close()
    return False


def keep(learn, folder, base):
    """Save the model as it is now, for generating."""
    base.tensors = get_architecture(base.arch).to_tensors(learn.model)
    base.save(folder)


def _finish(learn, out, corpus, valid_split, interrupted):
    """Exact figures of the best weights, config, plot and card."""
    history = learn.checkpoint.history
    best = Checkpoint.load(out)
    figures = {"epochs": len(history), "minutes": history[-1]["minutes"] if history else 0.0}
    figures |= {"interrupted": True} if interrupted else {}
    if history:
        plot_history(history, out / "loss.png")
    if not interrupted and valid_split == "valid":
        figures |= fit_to(best, corpus, learn.dls.device)
    elif not interrupted:  # nothing that a match model could be fitted to
        figures["train_nats_per_quarter"] = round(
            nats_per_quarter(best.inference_model().to(learn.dls.device), corpus, "train"), 4
        )
    best.info["figures"] = figures
    best.save(out)
    write_atomically(out / CARD, model_card(best))
    told = ", ".join(f"{k.split('_')[0]} {v:.3f} nats/quarter" for k, v in figures.items() if "nats" in k)
    print(f"{out}: {told or 'interrupted, usable'}; compose with python generate.py --model {out}")


def _record(args, out, corpus, start):
    """What the run was made from, for config.json."""
    rows = corpus.rows("train")
    started = json.loads((out / STARTED).read_text(encoding="utf-8"))
    return started | {
        "arguments": {k: v for k, v in args.items() if k not in ("resume", "out")},
        "data": {
            "folder": corpus.folder.name,
            "fingerprint": corpus.fingerprint,
            "about": corpus.about,
            "pieces": len(rows),
            "tokens": int(rows["tokens"].sum()),
            "quarters": float(rows["quarters"].sum()),
        },
        "started_from": weights_hash(args["pretrained"]) if start else None,
        "machine": platform.processor() or platform.machine(),
    }


def _commit():
    """The commit of this code, or None outside a repository."""
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or None if asked.returncode == 0 else None
