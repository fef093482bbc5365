"""Learn to judge by piano rolls, from scratch.

Each time an excerpt is looked at it is in another key, and another run of its quarters, so that it is not learned by heart; classes count alike. One cycle of
rates (Smith and Topin 2017); of the running mean of the weights what is best on valid is kept, and its logits are calibrated there.
"""

import time

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from clara.devices import choose_device
from clara.errors import BadSetting
from critic.classifier import HUMAN, new_classifier
from critic.nets.piano_roll import KEYS, SIZES, PianoRollNet, roll
from critic.training.common import WINDOW, Best, class_weights, classes_of, running_mean

SHIFT = 6  # semitones up or down while it learns
DECAY = 0.05
LEAST = 0.5  # of an excerpt's quarters, a run of which is looked at each time


class Rolls:
    """Excerpts of one split as piano rolls, a bit for each key and step, and labels.

    Parameters
    ----------
    table : of `critic.excerpts.read_excerpts`
    encoding : of the text, which is decoded
    classes : list of str
    device : that holds them
    """

    def __init__(self, table, encoding, classes, device="cpu"):
        self.label, self.steps_per_quarter = (
            np.array([classes.index(label) for label in table["label"]]),
            encoding.steps_per_quarter,
        )
        self.n_steps = [sum(encoding.token_steps(words)) for words in table["tokens"]]
        packed = np.zeros((len(table), 2, KEYS, -(-max(self.n_steps) // 8)), dtype=np.uint8)
        for i, (words, steps) in enumerate(
            zip(tqdm(table["tokens"], "drawing rolls", leave=False, disable=None, unit=" excerpts"), self.n_steps)
        ):
            one = np.packbits(roll(encoding.decode(words)[0], steps), axis=2, bitorder="little")
            packed[i, :, :, : one.shape[2]] = one
        self.packed = torch.from_numpy(packed).to(device)

    def rolls(self, rows, shift=None, runs=None):
        """Some excerpts, int array (n,), moved by semitones, int array (n,), as `collate_rolls` would give them; of each only a run, int array (n, 2) of
        first step and number of steps, where that is given."""
        device, n_steps = self.packed.device, [self.n_steps[i] for i in rows] if runs is None else runs[:, 1].tolist()
        bits = (
            self.packed[torch.as_tensor(rows, device=device)][..., None]
            >> torch.arange(8, dtype=torch.uint8, device=device)
        ) & 1
        found = bits.flatten(3)
        if runs is not None:
            first, many = torch.as_tensor(runs, device=device).T
            at = torch.arange(max(n_steps), device=device)
            there = at < many[:, None]
            found = (
                found.gather(
                    3, torch.where(there, first[:, None] + at, 0)[:, None, None].expand(-1, *found.shape[1:3], -1)
                )
                * there[:, None, None]
            )
        found = found[..., : max(n_steps)].float()
        if shift is not None:
            source = torch.arange(KEYS, device=device) - torch.as_tensor(shift, device=device)[:, None]
            there = (source >= 0) & (source < KEYS)
            index = source.clamp(0, KEYS - 1)[:, None, :, None].expand_as(found)
            found = found.gather(2, index) * there[:, None, :, None]
        return found.contiguous(memory_format=torch.channels_last), n_steps

    def runs(self, rows, rng):
        """A run of each of some excerpts, whole quarters of it and at least LEAST of them, int array (n, 2)."""
        quarters = np.array([self.n_steps[i] for i in rows]) // self.steps_per_quarter
        many = np.maximum(1, np.round(quarters * rng.uniform(LEAST, 1, len(rows)))).astype(np.int64)
        first = rng.integers(np.maximum(quarters - many, 0) + 1)
        return np.stack([first, many], 1) * self.steps_per_quarter

    def batches(self, bs, rng):
        """Indices, shuffled and in classes of balanced size, as int arrays; what is left over waits for the next pass."""
        many = np.bincount(self.label)
        order = (
            np.concatenate(
                [
                    rng.choice(np.flatnonzero(self.label == c), round(np.sqrt(many.mean() * many[c])))
                    for c in np.unique(self.label)
                ]
            )
            if len(set(many)) > 1
            else np.arange(len(self.label))
        )
        order = rng.permutation(order)
        return [order[at : at + bs] for at in range(0, len(order) - bs + 1, bs)] or [order]


def train_rolls(
    table,
    encoding,
    vocab,
    *,
    train_split="train",
    quarters=WINDOW,
    start=None,
    epochs=8,
    lr=3e-3,
    bs=64,
    seed=0,
    device="cpu",
    tell=print,
    keep=None,
):
    """Train, keep the best epoch, calibrate.

    Parameters
    ----------
    table : of `critic.excerpts.read_excerpts`
    encoding, vocab : of the text, which is decoded
    train_split : the split to learn from
    quarters : of a window
    start : Classifier of this kind, classes and windows, whose weights are the start, or None
    epochs : passes over the excerpts
    lr : the highest rate
    bs : excerpts at a time
    seed : of everything
    device : as `clara.devices.choose_device` takes it
    tell : function(str) for progress
    keep : function(Critic or ComposerClassifier), called with what is best so far as soon as it is

    Returns
    -------
    Critic or ComposerClassifier

    Raises
    ------
    BadSetting
        If the start is of another kind.
    """
    torch.manual_seed(seed)
    rng, classes = np.random.default_rng(seed), classes_of(table)
    if start and (start.kind, start.classes, start.window_quarters, start.encoding.steps_per_quarter) != (
        "rolls",
        classes,
        quarters,
        encoding.steps_per_quarter,
    ):
        raise BadSetting(
            "the start must read piano rolls of the same grid, tell the same classes and judge the same windows"
        )
    device, bf16, _ = choose_device(device)
    learn, valid = (Rolls(table[table["split"] == s], encoding, classes, device) for s in (train_split, "valid"))
    net = PianoRollNet(len(classes), encoding.steps_per_quarter, quarters, **SIZES)
    if start:
        net.load_state_dict({k.removeprefix("head."): v for k, v in start.tensors.items()})
    net.to(device, memory_format=torch.channels_last)
    per_epoch = len(learn.batches(bs, np.random.default_rng(0)))
    opt = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=epochs * per_epoch)
    mean = running_mean(net)
    weight = None if HUMAN in classes else class_weights(torch.from_numpy(valid.label), len(classes))
    best = Best(
        tell,
        lambda tensors, temperature: new_classifier(
            "rolls", dict(SIZES), encoding, vocab, tensors, classes, quarters, temperature, "rolls"
        ),
        keep,
    )
    for epoch in range(epochs):
        began, batches = (
            time.perf_counter(),
            tqdm(learn.batches(bs, rng), f"epoch {epoch + 1}", per_epoch, leave=False, disable=None, unit=" batches"),
        )
        loss = _passed(net, learn, batches, rng, opt, schedule, mean, bf16)
        logits, labels = _told(mean.module, valid, bs)
        found = {f"head.{k}": v.detach().cpu().clone() for k, v in mean.module.state_dict().items()}
        best.offer(f"epoch {epoch + 1}/{epochs}", loss, found, logits, labels, weight, began)
    return best.classifier()


def _passed(net, learn, batches, rng, opt, schedule, mean, bf16):
    """The mean loss of some batches of rows, which the net learns one by one, in other keys and runs, while a running mean follows."""
    net.train()
    total, n, device = 0.0, 0, next(net.parameters()).device
    for rows in batches:
        rolls, n_steps = learn.rolls(rows, rng.integers(-SHIFT, SHIFT + 1, len(rows)), learn.runs(rows, rng))
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = net(rolls, n_steps).float()
        loss = F.cross_entropy(logits, labels_of(learn.label[rows], n_steps, net).to(device))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        schedule.step()
        mean.update_parameters(net)
        total, n = total + loss.detach() * len(rows), n + len(rows)
    return total / n


def labels_of(labels, n_steps, net):
    """Labels (n,) of excerpts as those of their windows, int64 (m,)."""
    return torch.from_numpy(np.repeat(labels, [len(net.spans(steps)) for steps in n_steps]))


@torch.inference_mode()
def _told(net, excerpts, bs):
    """Logits (m, n_classes) and labels (m,) of all windows."""
    net.eval()
    found = []
    for rows in np.split(np.arange(len(excerpts.label)), range(bs, len(excerpts.label), bs)):
        rolls, n_steps = excerpts.rolls(rows)
        found.append((net(rolls, n_steps).cpu(), labels_of(excerpts.label[rows], n_steps, net)))
    return tuple(torch.cat(column) for column in zip(*found))
