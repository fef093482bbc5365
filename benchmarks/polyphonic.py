"""The published table: nats per frame on the four sets of Boulanger-Lewandowski, Bengio and Vincent (2012).

python benchmarks/polyphonic.py FOLDER_OF_MAT --keep runs/polyphonic


Framewise text (see `frames`), a frame's cost the sum over its words with the one that ends
it, averaged over all frames of the split, the first of each piece among them. Training sees
the train split in every key that fits; the epoch is chosen on valid, test is read once.
Beside the net alone stand the mean of its predictions for transposed copies of a test piece, and
dynamic evaluation (Krause et al. 2018): the net goes on learning from what it has read of a piece.
Nets that an earlier call trained by the same recipe are taken from where they were kept, so sets can be trained one by one.
"""

import argparse
import json
import math
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import record
import torch
import torch.nn.functional as F
from frames import BEGIN, PAD, FrameNet, Text, fitting, load, repeated
from torch.nn.utils.rnn import pad_sequence

FILES = {"JSB": "JSB_Chorales", "Nottingham": "Nottingham", "MuseData": "MuseData", "Piano-midi": "Piano_midi"}
# Test, nats per frame, of those that model the notes of a frame jointly; the last three from secondary sources, on data whose
# keys may be normalised otherwise, and the last one never reproduced.
PUBLISHED = {
    "RNN-NADE (Boulanger-Lewandowski 2012)": (5.19, 2.31, 5.60, 7.05),
    "STORN": (6.91, 2.85, 6.16, 7.13),
    "DMM-Aug-NADE": (5.118, 2.305, 6.049, 7.048),
    "TP-LSTM-NADE (Johnson 2017)": (5.88, 1.61, 4.32, 5.44),
    "BALSTM (Johnson 2017)": (5.05, 1.55, 3.90, 4.90),
    "DBN-LSTM (Vohra 2015)": (3.47, 1.32, 3.91, 4.63),
}
WARM, LEAST = 0.1, 1e-3  # share of the run in which the rate rises; lowest rate
EVAL_WORDS, EVAL_BS = 400, 64
DYNAMIC_WORDS, DYNAMIC_RATES, DYNAMIC_DECAY, DYNAMIC_PIECES = 50, (0.0, 1e-4, 3e-4, 1e-3), 1e-3, 12
PLAIN = {
    "emb_sz": 256,
    "n_hid": 512,
    "n_layers": 2,
    "input_p": 0.2,
    "hidden_p": 0.2,
    "weight_p": 0.2,
    "embed_p": 0.05,
    "output_p": 0.2,
    "features_p": 0.2,
    "bs": 32,
    "bptt": 100,
    "lr": 4e-3,
    "wd": 0.05,
    "clip": 0.5,
    "average": 0.998,
}
MUCH = PLAIN | {
    k: 0.05 for k in ("input_p", "hidden_p", "weight_p", "embed_p", "output_p", "features_p")
}  # of music, for so few epochs
RECIPES = {
    "JSB": PLAIN | {"epochs": 45},
    "Nottingham": PLAIN | {"epochs": 10},
    "MuseData": MUCH | {"epochs": 24},
    "Piano-midi": PLAIN | {"epochs": 40},
}
SIZES = ("emb_sz", "n_hid", "n_layers", "input_p", "hidden_p", "weight_p", "embed_p", "output_p", "features_p")


def batches(text, bs, bptt):
    """Windows of bs streams: words, features, the words after."""
    columns = (len(text.words) - 1) // bs
    x, y, frame = (t[: columns * bs].view(bs, columns) for t in (text.words, text.words[1:], text.frame))
    for at in range(0, columns, bptt):
        here = slice(at, at + bptt)
        yield x[:, here], text.beside(x[:, here], frame[:, here]), y[:, here]


def cost(logits, y):
    """Nats of every word, (bs, n); a piece's beginning and what pads it cost nothing."""
    nats = F.cross_entropy(logits.transpose(1, 2), y, reduction="none")
    return torch.where((y == BEGIN) | (y == PAD), 0.0, nats)


@torch.no_grad()
def nats_per_frame(model, rolls, in_keys=False):
    """Of rolls, in nats; in_keys: with the mean of what the net predicts for the piece in all keys that fit."""
    model.eval()
    total = 0.0
    order = sorted(range(len(rolls)), key=lambda i: len(rolls[i]))
    if in_keys:
        for i in order:
            shifts = fitting(rolls[i])
            nats = _read(model, [rolls[i]] * len(shifts), shifts)
            total -= float((torch.logsumexp(-nats.double(), 0) - math.log(len(shifts))).sum())
    else:
        for at in range(0, len(order), EVAL_BS):
            here = [rolls[i] for i in order[at : at + EVAL_BS]]
            total += float(_read(model, here, [0] * len(here)).double().sum())
    model.train()
    return total / sum(map(len, rolls))


def _read(model, rolls, shifts):
    """Nats of the words of rolls moved by shifts, read side by side: float (n_rolls, longest - 1)."""
    text = Text.of(rolls, shifts)
    begins = [*torch.nonzero(text.words == BEGIN)[:, 0].tolist(), len(text.words)]
    words, frame = (
        pad_sequence([t[a:b] for a, b in pairwise(begins)], batch_first=True, padding_value=filler)
        for t, filler in ((text.words, PAD), (text.frame, len(text.rolls) - 1))
    )
    model.reset()
    nats = []
    for at in range(0, words.shape[1] - 1, EVAL_WORDS):
        y = words[:, at + 1 : at + 1 + EVAL_WORDS]
        x, here = words[:, at : at + y.shape[1]], frame[:, at : at + y.shape[1]]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x, *text.beside(x, here))
        nats.append(cost(logits, y))
    return torch.cat(nats, 1)


def gradient_sizes(model, rolls):
    """Root mean square of each weight's gradient over windows of training pieces, a list of tensors."""
    squares, n = [torch.zeros_like(p) for p in model.parameters()], 0
    for _, grads in _read_and_learn(model, rolls, lambda grads: None):
        for s, g in zip(squares, grads):
            s += g**2
        n += 1
    return [(s / n).sqrt() for s in squares]


def dynamic(model, rolls, sizes, rate):
    """Nats per frame while learning: each piece begins with the weights as they were trained."""
    start = [p.detach().clone() for p in model.parameters()]
    usual, most = sum(s.sum() for s in sizes) / sum(s.numel() for s in sizes), sum((s**2).sum() for s in sizes).sqrt()

    def restart():
        for p, p0 in zip(model.parameters(), start):
            p.data.copy_(p0)

    def step(grads):
        longer = max(1.0, float(sum((g**2).sum() for g in grads).sqrt() / most))  # than usual: cut to that
        for p, p0, g, s in zip(model.parameters(), start, grads, sizes):
            p.data.addcdiv_(g, s + usual, value=-rate / longer).lerp_(p0, DYNAMIC_DECAY)

    total = 0.0
    for roll in rolls:
        total += sum(nats for nats, _ in _read_and_learn(model, [roll], step))
        restart()
    return total / sum(map(len, rolls))


def _read_and_learn(model, rolls, step):
    """Read piece by piece; of each window its nats, then its gradients, with which `step` is called."""
    model.eval()
    for roll in rolls:
        text = Text.of([roll], [0])
        model.reset()
        for x, beside, y in batches(text, 1, DYNAMIC_WORDS):
            with torch.autocast("cpu", torch.bfloat16):
                nats = cost(model(x, *beside), y)
            grads = torch.autograd.grad(nats.mean(), list(model.parameters()))
            step(grads)
            yield nats.double().sum().item(), grads


def net(recipe):
    """An untrained net."""
    return FrameNet(*(recipe[k] for k in SIZES), plain=recipe.get("plain", False))


def train(sets, recipe, seed, tell=print):
    """The averaged net of the epoch that is best on valid, and what the training was."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model, mean = net(recipe), net(recipe)
    mean.load_state_dict(model.state_dict())
    decays = [p for p in model.parameters() if p.ndim > 1], [p for p in model.parameters() if p.ndim <= 1]
    opt = torch.optim.AdamW(
        [{"params": decays[0]}, {"params": decays[1], "weight_decay": 0.0}],
        lr=recipe["lr"],
        betas=(0.8, 0.99),
        weight_decay=recipe["wd"],
        fused=True,
    )
    keys = [fitting(roll) for roll in sets["train"]]
    began, best, kept, step = time.process_time(), math.inf, None, 0
    for epoch in range(recipe["epochs"]):
        order = rng.permutation(len(keys))
        text = Text.of([sets["train"][i] for i in order], [rng.choice(keys[i]) for i in order])
        model.reset()
        windows = list(range(0, (len(text.words) - 1) // recipe["bs"], recipe["bptt"]))
        nats = n = 0
        for i, (x, beside, y) in enumerate(batches(text, recipe["bs"], recipe["bptt"])):
            gone = (epoch + i / len(windows)) / recipe["epochs"]
            rate = min(1.0, gone / WARM) * (
                LEAST + (1 - LEAST) * 0.5 * (1 + math.cos(math.pi * max(0.0, gone - WARM) / (1 - WARM)))
            )
            for group in opt.param_groups:
                group["lr"] = recipe["lr"] * max(LEAST, rate)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(x, *beside)
            loss = cost(logits, y).mean()
            opt.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
            opt.step()
            step += 1
            follow(mean, model, min(recipe["average"], step / (step + 10)))
            nats, n = nats + loss.item() * y.numel(), n + sum(y.eq(88).flatten().tolist())
        valid = nats_per_frame(mean, sets["valid"])
        tell(
            f"epoch {epoch + 1}/{recipe['epochs']}  train {nats / n:.3f}  valid {valid:.3f}  {(time.process_time() - began) / 60:.1f} min",
            flush=True,
        )
        if valid < best:
            best, kept = valid, {k: v.clone() for k, v in mean.state_dict().items()}
    mean.load_state_dict(kept)
    return mean, {
        "valid": round(best, 3),
        "parameters": sum(p.numel() for p in mean.parameters()),
        "minutes": round((time.process_time() - began) / 60, 1),
    }


@torch.no_grad()
def follow(mean, model, decay):
    """Move the averaged weights towards the model's."""
    for a, b in zip(mean.parameters(), model.parameters()):
        a.lerp_(b, 1 - decay)


def main():
    """Train and test, set by set."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("folder")
    p.add_argument(
        "--only", nargs="*", choices=list(FILES), default=list(FILES), help="train these; the result waits for all four"
    )
    p.add_argument("--keep", default="runs/polyphonic", help="where trained nets are kept")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument(
        "--try",
        dest="trial",
        nargs="*",
        default=None,
        metavar="KEY=VALUE",
        help="change the recipe, look at valid alone, keep no result",
    )
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    if args.trial is not None:
        for name in args.only:
            changed = {k: json.loads(v) for k, v in (t.split("=") for t in args.trial)}
            print(
                name,
                args.trial,
                train(load(Path(args.folder) / f"{FILES[name]}.mat"), RECIPES[name] | changed, args.seed)[1],
                flush=True,
            )
        return
    rows = [tested(args, name) for name in args.only]
    if set(args.only) == set(FILES):
        record.save("polyphonic", rows, recipes=RECIPES, seed=args.seed, published=PUBLISHED)


def tested(args, name):
    """A set's row: what its training was and what it came to, kept or found now."""
    path, recipe = Path(args.keep, f"{name}.pt"), RECIPES[name] | {"seed": args.seed}
    sets = load(Path(args.folder) / f"{FILES[name]}.mat")
    found = torch.load(path) if path.is_file() else {}
    if found.get("recipe") != recipe:
        model, told = train(sets, recipe, args.seed)
        found = {"recipe": recipe, "weights": model.state_dict(), "told": told}
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(found, path)
    model = net(recipe)
    model.load_state_dict(found["weights"])
    if "plain" not in found:
        found["plain"] = {
            "test": round(nats_per_frame(model, sets["test"]), 3),
            "test_in_keys": round(nats_per_frame(model, sets["test"], in_keys=True), 3),
        }
        torch.save(found, path)
    if "dynamic" not in found:
        sizes = gradient_sizes(model, sets["train"][:DYNAMIC_PIECES])
        rates = {rate: dynamic(model, sets["valid"][:DYNAMIC_PIECES], sizes, rate) for rate in DYNAMIC_RATES}
        rate = min(rates, key=rates.get)
        found["dynamic"] = {"test_dynamic": round(dynamic(model, sets["test"], sizes, rate), 3), "dynamic_rate": rate}
        torch.save(found, path)
    row = {
        "set": name,
        **found["told"],
        **found["plain"],
        **found["dynamic"],
        "repeated": {split: round(repeated(sets[split]), 3) for split in ("valid", "test")},
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
