"""Measure the published benchmark of polyphonic music (Boulanger-Lewandowski, Bengio and Vincent 2012).

python benchmarks/polyphonic.py FOLDER_OF_MAT --keep runs/polyphonic

The unit is nats per frame of framewise text (see `frame_model`): the cost of a frame is the sum over its
tokens and the one that ends it, averaged over all frames of the split. Training uses the train split in every
key that fits. The epoch is chosen on valid; test is read once. Besides the network alone, two variants are
measured: the mean of its predictions for transposed copies of a test piece, and dynamic evaluation (Krause et
al. 2018), where the network keeps learning from what it has read of a piece. Networks that an earlier call
trained with the same recipe are reused, so sets can be trained one by one.
"""

import json
import math
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import record
import torch
import torch.nn.functional as F
from frame_model import FRAME_END, PAD, PIECE_START, FrameNet, FrameText, fitting_shifts, load_rolls, repeated_share
from torch.nn.utils.rnn import pad_sequence

FILES = {"JSB": "JSB_Chorales", "Nottingham": "Nottingham", "MuseData": "MuseData", "Piano-midi": "Piano_midi"}
# Test, nats per frame, of models that model the notes of a frame jointly. The last three come from secondary
# sources, from data whose keys may be normalised differently; the last one was never reproduced.
PUBLISHED = {
    "RNN-NADE (Boulanger-Lewandowski 2012)": (5.19, 2.31, 5.60, 7.05),
    "STORN": (6.91, 2.85, 6.16, 7.13),
    "DMM-Aug-NADE": (5.118, 2.305, 6.049, 7.048),
    "TP-LSTM-NADE (Johnson 2017)": (5.88, 1.61, 4.32, 5.44),
    "BALSTM (Johnson 2017)": (5.05, 1.55, 3.90, 4.90),
    "DBN-LSTM (Vohra 2015)": (3.47, 1.32, 3.91, 4.63),
}
WARMUP, MIN_RATE = 0.1, 1e-3  # share of the run in which the learning rate rises; its lowest value, relative
EVAL_TOKENS, EVAL_BS = 400, 64
DYNAMIC_TOKENS, DYNAMIC_RATES, DYNAMIC_DECAY, DYNAMIC_PIECES = 50, (0.0, 1e-4, 3e-4, 1e-3), 1e-3, 12
BASE_RECIPE = {
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
# for much music and few epochs
LOW_DROPOUT = dict.fromkeys(("input_p", "hidden_p", "weight_p", "embed_p", "output_p", "features_p"), 0.05)
RECIPES = {
    "JSB": BASE_RECIPE | {"epochs": 45},
    "Nottingham": BASE_RECIPE | {"epochs": 10},
    "MuseData": BASE_RECIPE | LOW_DROPOUT | {"epochs": 24},
    "Piano-midi": BASE_RECIPE | {"epochs": 40},
}
NET_ARGUMENTS = (
    "emb_sz",
    "n_hid",
    "n_layers",
    "input_p",
    "hidden_p",
    "weight_p",
    "embed_p",
    "output_p",
    "features_p",
)


def main():
    """Train and test, set by set, and save the result."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    if args.trial is not None:
        try_recipe(args)
        return
    rows = [measure_set(args, name) for name in args.only]
    if set(args.only) == set(FILES):
        record.save("polyphonic", rows, recipes=RECIPES, seed=args.seed, published=PUBLISHED)


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("folder", help="Folder of the published .mat files")
    p.add_argument(
        "--only",
        nargs="*",
        choices=list(FILES),
        default=list(FILES),
        help="Sets to train; the result is saved when all four are there",
    )
    p.add_argument("--keep", default="runs/polyphonic", help="Folder of trained networks")
    p.add_argument("--seed", type=int, default=0, help="Random seed")
    p.add_argument("--threads", type=int, default=1, help="Number of CPU threads")
    p.add_argument(
        "--try",
        dest="trial",
        nargs="*",
        metavar="KEY=VALUE",
        help="Change the recipe, measure valid alone, and save nothing",
    )
    return p.parse_args()


def try_recipe(args):
    """Train with a changed recipe and print the cost of valid."""
    changes = {key: json.loads(value) for key, value in (pair.split("=") for pair in args.trial)}
    for name in args.only:
        sets = load_rolls(Path(args.folder) / f"{FILES[name]}.mat")
        _, summary = train(sets, RECIPES[name] | changes, args.seed)
        print(name, args.trial, summary, flush=True)


def measure_set(args, name):
    """Return the row of a set; what an earlier call measured is reused."""
    path = Path(args.keep, f"{name}.pt")
    recipe = RECIPES[name] | {"seed": args.seed}
    sets = load_rolls(Path(args.folder) / f"{FILES[name]}.mat")
    kept = torch.load(path) if path.is_file() else {}
    if kept.get("recipe") != recipe:
        model, summary = train(sets, recipe, args.seed)
        kept = {"recipe": recipe, "weights": model.state_dict(), "summary": summary}
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(kept, path)
    model = build_net(recipe)
    model.load_state_dict(kept["weights"])
    if "plain" not in kept:
        kept["plain"] = {
            "test": round(nats_per_frame(model, sets["test"]), 3),
            "test_all_keys": round(nats_per_frame(model, sets["test"], all_keys=True), 3),
        }
        torch.save(kept, path)
    if "dynamic" not in kept:
        kept["dynamic"] = measure_dynamic(model, sets)
        torch.save(kept, path)
    row = {
        "dataset": name,
        **kept["summary"],
        **kept["plain"],
        **kept["dynamic"],
        "repeated_frames": {split: round(repeated_share(sets[split]), 3) for split in ("valid", "test")},
    }
    print(row, flush=True)
    return row


def measure_dynamic(model, sets):
    """Return the cost of test by dynamic evaluation, at the rate that is best on some valid pieces."""
    sizes = gradient_sizes(model, sets["train"][:DYNAMIC_PIECES])
    valid = sets["valid"][:DYNAMIC_PIECES]
    costs = {rate: evaluate_dynamically(model, valid, sizes, rate) for rate in DYNAMIC_RATES}
    rate = min(costs, key=costs.get)
    test = evaluate_dynamically(model, sets["test"], sizes, rate)
    return {"test_dynamic": round(test, 3), "dynamic_rate": rate}


def build_net(recipe):
    """Return an untrained network."""
    return FrameNet(*(recipe[name] for name in NET_ARGUMENTS), plain=recipe.get("plain", False))


def iterate_windows(text, bs, bptt):
    """Yield windows of bs streams of a text: tokens, context features, next tokens."""
    n_columns = (len(text.tokens) - 1) // bs
    x, y, frame = (
        column[: bs * n_columns].view(bs, n_columns) for column in (text.tokens, text.tokens[1:], text.frame)
    )
    for first in range(0, n_columns, bptt):
        window = slice(first, first + bptt)
        yield x[:, window], text.context(x[:, window], frame[:, window]), y[:, window]


def token_nats(logits, y):
    """Return the cost of every token, (bs, n); the start of a piece and padding cost nothing."""
    nats = F.cross_entropy(logits.transpose(1, 2), y, reduction="none")
    return torch.where((y == PIECE_START) | (y == PAD), 0.0, nats)


@torch.no_grad()
def nats_per_frame(model, rolls, all_keys=False):
    """Return the cost of rolls; `all_keys` averages the predictions for each piece in all keys that fit."""
    model.eval()
    total = 0.0
    by_length = sorted(rolls, key=len)
    if all_keys:
        for roll in by_length:
            shifts = fitting_shifts(roll)
            nats = _read_in_parallel(model, [roll] * len(shifts), shifts)
            total -= float((torch.logsumexp(-nats.double(), 0) - math.log(len(shifts))).sum())
    else:
        for first in range(0, len(by_length), EVAL_BS):
            batch = by_length[first : first + EVAL_BS]
            total += float(_read_in_parallel(model, batch, [0] * len(batch)).double().sum())
    model.train()
    return total / sum(map(len, rolls))


def _read_in_parallel(model, rolls, shifts):
    """Return the cost of the tokens of moved rolls, read side by side: float (n_rolls, longest - 1)."""
    text = FrameText.from_rolls(rolls, shifts)
    starts = [*torch.nonzero(text.tokens == PIECE_START)[:, 0].tolist(), len(text.tokens)]
    spans = list(pairwise(starts))
    tokens = pad_sequence([text.tokens[a:b] for a, b in spans], batch_first=True, padding_value=PAD)
    frame = pad_sequence([text.frame[a:b] for a, b in spans], batch_first=True, padding_value=len(text.rolls) - 1)
    model.reset()
    nats = []
    for first in range(0, tokens.shape[1] - 1, EVAL_TOKENS):
        y = tokens[:, first + 1 : first + 1 + EVAL_TOKENS]
        window = slice(first, first + y.shape[1])
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(tokens[:, window], *text.context(tokens[:, window], frame[:, window]))
        nats.append(token_nats(logits, y))
    return torch.cat(nats, 1)


def gradient_sizes(model, rolls):
    """Return the root mean square of each weight's gradient over windows of rolls, a list of tensors."""
    squares = [torch.zeros_like(parameter) for parameter in model.parameters()]
    n_windows = 0
    for _, gradients in _read_and_learn(model, rolls, lambda gradients: None):
        for square, gradient in zip(squares, gradients):
            square += gradient**2
        n_windows += 1
    return [(square / n_windows).sqrt() for square in squares]


def evaluate_dynamically(model, rolls, sizes, rate):
    """Return the nats per frame by dynamic evaluation; each piece begins with the trained weights."""
    trained = [parameter.detach().clone() for parameter in model.parameters()]
    usual_size = sum(size.sum() for size in sizes) / sum(size.numel() for size in sizes)
    usual_norm = sum((size**2).sum() for size in sizes).sqrt()

    def restore():
        for parameter, value in zip(model.parameters(), trained):
            parameter.data.copy_(value)

    def step(gradients):
        norm = sum((gradient**2).sum() for gradient in gradients).sqrt()
        clipped_rate = rate / max(1.0, float(norm / usual_norm))
        for parameter, value, gradient, size in zip(model.parameters(), trained, gradients, sizes):
            parameter.data.addcdiv_(gradient, size + usual_size, value=-clipped_rate).lerp_(value, DYNAMIC_DECAY)

    total = 0.0
    for roll in rolls:
        total += sum(nats for nats, _ in _read_and_learn(model, [roll], step))
        restore()
    return total / sum(map(len, rolls))


def _read_and_learn(model, rolls, step):
    """Read piece by piece; call `step` with the gradients of each window, and yield its nats and gradients."""
    model.eval()
    for roll in rolls:
        text = FrameText.from_rolls([roll], [0])
        model.reset()
        for x, context, y in iterate_windows(text, 1, DYNAMIC_TOKENS):
            with torch.autocast("cpu", torch.bfloat16):
                nats = token_nats(model(x, *context), y)
            gradients = torch.autograd.grad(nats.mean(), list(model.parameters()))
            step(gradients)
            yield nats.double().sum().item(), gradients


def train(sets, recipe, seed, log=print):
    """Train on a set.

    Parameters
    ----------
    sets : dict
        Rolls by split.
    recipe : dict
        As in `RECIPES`.
    seed : int
    log : callable
        Prints a line for each epoch.

    Returns
    -------
    model : FrameNet
        The averaged weights of the epoch that is best on valid.
    summary : dict
        `valid` (nats per frame), `parameters`, `minutes`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model, average = build_net(recipe), build_net(recipe)
    average.load_state_dict(model.state_dict())
    optimizer = make_optimizer(model, recipe)
    shifts = [fitting_shifts(roll) for roll in sets["train"]]
    start = time.process_time()
    best, best_weights, n_steps = math.inf, None, 0
    for epoch in range(recipe["epochs"]):
        order = rng.permutation(len(shifts))
        text = FrameText.from_rolls([sets["train"][i] for i in order], [rng.choice(shifts[i]) for i in order])
        train_nats, n_steps = train_epoch(model, average, optimizer, text, recipe, epoch, n_steps)
        valid_nats = nats_per_frame(average, sets["valid"])
        minutes = (time.process_time() - start) / 60
        log(
            f"epoch {epoch + 1}/{recipe['epochs']}  train {train_nats:.3f}  valid {valid_nats:.3f}  {minutes:.1f} min",
            flush=True,
        )
        if valid_nats < best:
            best = valid_nats
            best_weights = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    average.load_state_dict(best_weights)
    return average, {
        "valid": round(best, 3),
        "parameters": sum(parameter.numel() for parameter in average.parameters()),
        "minutes": round((time.process_time() - start) / 60, 1),
    }


def make_optimizer(model, recipe):
    """Return AdamW with weight decay for matrices only."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}],
        lr=recipe["lr"],
        betas=(0.8, 0.99),
        weight_decay=recipe["wd"],
        fused=True,
    )


def train_epoch(model, average, optimizer, text, recipe, epoch, n_steps):
    """Train one epoch; return the nats per frame and the number of steps so far."""
    model.reset()
    n_windows = len(range(0, (len(text.tokens) - 1) // recipe["bs"], recipe["bptt"]))
    total_nats = n_frames = 0
    for i, (x, context, y) in enumerate(iterate_windows(text, recipe["bs"], recipe["bptt"])):
        rate = learning_rate((epoch + i / n_windows) / recipe["epochs"])
        for group in optimizer.param_groups:
            group["lr"] = recipe["lr"] * rate
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x, *context)
        loss = token_nats(logits, y).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        optimizer.step()
        n_steps += 1
        move_average(average, model, min(recipe["average"], n_steps / (n_steps + 10)))
        total_nats += loss.item() * y.numel()
        n_frames += int(y.eq(FRAME_END).sum())
    return total_nats / n_frames, n_steps


def learning_rate(progress):
    """Return the learning rate after a share of the run, relative to the highest."""
    rise = min(1.0, progress / WARMUP)
    fall = 0.5 * (1 + math.cos(math.pi * max(0.0, progress - WARMUP) / (1 - WARMUP)))
    return max(MIN_RATE, rise * (MIN_RATE + (1 - MIN_RATE) * fall))


@torch.no_grad()
def move_average(average, model, decay):
    """Move the averaged weights towards the model's."""
    for averaged, parameter in zip(average.parameters(), model.parameters()):
        averaged.lerp_(parameter, 1 - decay)


if __name__ == "__main__":
    main()
