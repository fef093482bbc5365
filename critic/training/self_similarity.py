"""Learn to judge by self-similarity, from scratch.

Each time an excerpt is looked at it is whole or, as often, a run of its columns, since pieces may be shorter than the excerpts and so that none is learned by heart.
Classes count alike. One cycle of rates (Smith and Topin 2017); of the running mean of the weights what is best on valid is kept, and its logits are
calibrated there.
"""

import time

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from clara.devices import choose_device
from critic.classifier import HUMAN, LEAST_QUARTERS, SIMILARITY, new_classifier
from critic.features.segments import STEPS_PER_QUARTER
from critic.nets.self_similarity import COLUMN, SIZES, SelfSimilarityNet, self_similarity_matrices, struck
from critic.training.common import WINDOW, Best, class_weights, classes_of, running_mean

DECAY = 0.1
WHOLE = 0.5  # of the times that an excerpt is looked at
STEEPEST = 1.0  # norm of gradients


def train_similarity(
    table,
    encoding,
    vocab,
    *,
    train_split="train",
    quarters=WINDOW,
    epochs=8,
    lr=2e-3,
    bs=64,
    seed=0,
    device="cpu",
    tell=print,
    keep=None,
):
    """Train, keep the best epoch, calibrate; parameters and result as `critic.training.descriptors.train_statistics`, and

    Parameters
    ----------
    device : as `clara.devices.choose_device` takes it
    keep : function(Critic or ComposerClassifier), called with what is best so far as soon as it is
    """
    torch.manual_seed(seed)
    rng, classes, device = np.random.default_rng(seed), classes_of(table), choose_device(device)[0]
    (told, labels), (valid, valid_labels) = (
        _struck(table[table["split"] == split], encoding, classes) for split in (train_split, "valid")
    )
    weight, valid_weight = (
        None if HUMAN in classes else class_weights(some, len(classes)) for some in (labels, valid_labels)
    )
    net = SelfSimilarityNet(len(classes), **SIZES).to(device)
    bs = min(bs, len(told))
    n_batches = len(told) // bs
    opt = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=epochs * n_batches)
    mean = running_mean(net)
    best = Best(
        tell,
        lambda tensors, temperature: new_classifier(
            SIMILARITY, dict(SIZES), encoding, vocab, tensors, classes, quarters, temperature, SIMILARITY
        ),
        keep,
    )
    for epoch in range(epochs):
        net.train()
        began, total, order = time.perf_counter(), 0.0, rng.permutation(len(told))
        for at in tqdm(range(0, n_batches * bs, bs), f"epoch {epoch + 1}", leave=False, disable=None, unit=" batches"):
            rows = order[at : at + bs]
            logits = net.judged(self_similarity_matrices([_looked_at(told[i], rng) for i in rows], device))
            loss = F.cross_entropy(logits, labels[rows].to(device), weight if weight is None else weight.to(device))
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), STEEPEST)
            opt.step()
            schedule.step()
            mean.update_parameters(net)
            total += loss.detach() / n_batches
        logits = _judged(mean.module, valid, bs, device)
        found = {f"head.{k}": v.detach().cpu().clone() for k, v in mean.module.state_dict().items()}
        best.offer(f"epoch {epoch + 1}/{epochs}", float(total), found, logits, valid_labels, valid_weight, began)
    return best.classifier()


def _struck(table, encoding, classes):
    """Of excerpts what `critic.nets.self_similarity.struck` tells, and labels."""
    told = [
        struck(encoding.decode(words)[0])
        for words in tqdm(table["tokens"], "decoding", leave=False, disable=None, unit=" excerpts")
    ]
    return told, torch.tensor([classes.index(label) for label in table["label"]])


def _looked_at(told, rng):
    """An excerpt, int64 (n, 3), whole or a run of its columns, of which the first is then 0."""
    many, least = int(told[-1, 0]) + 1, int(LEAST_QUARTERS) * STEPS_PER_QUARTER // COLUMN
    if rng.random() < WHOLE or many <= least:
        return told
    length = int(rng.integers(least, many + 1))
    first = int(rng.integers(many - length + 1))
    run = told[(told[:, 0] >= first) & (told[:, 0] < first + length)]
    return run - [first, 0, 0]


@torch.inference_mode()
def _judged(net, told, bs, device):
    """Logits (n, n_classes) of excerpts, whole."""
    net.eval()
    return torch.cat(
        [net.judged(self_similarity_matrices(told[at : at + bs], device)).cpu() for at in range(0, len(told), bs)]
    )
