"""Learn to judge by what can be counted.

Each excerpt is counted whole and, once more, a part of it, since pieces may be shorter than the excerpts. Classes count alike. One cycle of
rates (Smith and Topin 2017); what is best on valid is kept, and its logits are calibrated there.
"""

import time

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from clara.music.notes import crop
from critic.classifier import HUMAN, LEAST_QUARTERS, STATISTICS, new_classifier
from critic.features.descriptors import extract_descriptors
from critic.nets.descriptors import SIZES, DescriptorNet
from critic.training.common import WINDOW, Best, class_weights, classes_of

DECAY = 0.1


def train_statistics(
    table, encoding, vocab, *, train_split="train", quarters=WINDOW, epochs=15, lr=2e-3, bs=512, seed=0, tell=print
):
    """Train, keep the best epoch, calibrate.

    Parameters
    ----------
    table : of `critic.excerpts.read_excerpts`
    encoding, vocab : of the text, which is decoded
    train_split : the split to learn from
    quarters : of a window, which the excerpts' labels hold for
    epochs : passes over the excerpts
    lr : the highest rate
    bs : excerpts at a time
    seed : of everything
    tell : function(str) for progress

    Returns
    -------
    Critic or ComposerClassifier
    """
    torch.manual_seed(seed)
    rng, classes = np.random.default_rng(seed), classes_of(table)
    told, labels = _counted(table[table["split"] == train_split], encoding, classes, rng)
    valid, valid_labels = _counted(table[table["split"] == "valid"], encoding, classes)
    net = DescriptorNet(len(classes), **SIZES)
    net.standard.fit(told)
    told, valid = net.standard(told), net.standard(valid)
    weight, valid_weight = (
        None if HUMAN in classes else class_weights(some, len(classes)) for some in (labels, valid_labels)
    )
    bs = min(bs, len(told))
    n_batches = len(told) // bs
    opt = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=epochs * n_batches)
    best = Best(
        tell,
        lambda tensors, temperature: new_classifier(
            STATISTICS, dict(SIZES), encoding, vocab, tensors, classes, quarters, temperature, STATISTICS
        ),
    )
    for epoch in range(epochs):
        net.train()
        began, total = time.perf_counter(), 0.0
        orders = [torch.from_numpy(rng.permutation(len(told))) for _ in net.heads]
        for at in range(0, n_batches * bs, bs):
            opt.zero_grad()
            for head, order in zip(net.heads, orders):
                rows = order[at : at + bs]
                loss = F.cross_entropy(head(told[rows]), labels[rows], weight)
                loss.backward()
                total += loss.item() / (n_batches * len(orders))
            opt.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            logits = net.judged(valid)
        best.offer(
            f"epoch {epoch + 1}/{epochs}",
            total,
            {f"head.{k}": v.detach().clone() for k, v in net.state_dict().items()},
            logits,
            valid_labels,
            valid_weight,
            began,
        )
    return best.classifier()


def _counted(table, encoding, classes, rng=None):
    """What is counted in excerpts, float32 tensor (n, N_NUMBERS), and labels; with rng a part of each, too."""
    told, labels = [], []
    for words, label in zip(
        tqdm(table["tokens"], "counting", leave=False, disable=None, unit=" excerpts"), table["label"]
    ):
        notes = encoding.decode(words)[0]
        parts = [notes, random_crop(notes, rng)] if rng is not None else [notes]
        told += [extract_descriptors(part) for part in parts if len(part)]
        labels += [classes.index(label) for part in parts if len(part)]
    return torch.from_numpy(np.stack(told)), torch.tensor(labels)


def random_crop(notes, rng):
    """Some quarters of an excerpt, on end."""
    step, quarters = notes.steps_per_quarter, int(notes.end.max(initial=0)) // notes.steps_per_quarter
    length = int(rng.integers(min(int(LEAST_QUARTERS), quarters), quarters + 1))
    first = int(rng.integers(quarters - length + 1))
    return crop(notes, first * step, (first + length) * step)
