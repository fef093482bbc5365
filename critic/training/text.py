"""A critic or a composer classifier, learned from excerpts.

The encoder of a language model is fine-tuned with a new head (ULMFiT, Howard and Ruder 2018): first the head
alone, then all, lower layers at lower rates, in another key each time a piece is read. Or the encoder is frozen: it stays as it is, each excerpt
is read once (a critic's in some key, a composer's in its own), and the head is learned on what all layers told, in a tenth of
the time. Classes count alike, however many excerpts they have. What is best on valid is kept, and its logits are calibrated there.

Composers, of whom there is little music, go by `critic.training.cross_validation` instead.
"""

import time

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from clara.devices import choose_device
from critic.classifier import FROZEN, HUMAN, new_classifier
from critic.nets.descriptors import counted_by_window
from critic.nets.text import collate, from_tensors, head_of, new_net, to_tensors, where, windows_of
from critic.training.common import WINDOW, Best, class_weights, classes_of

STEPS, STEP_SIZE, DECAY, TELL = 1500, 512, 0.3, 100  # of learning a frozen net's head
LAYER_RATIO = 2.6  # of the rates of neighbouring parameter groups, as in ULMFiT
BUCKET = 16  # batches whose excerpts are sorted by length


class Excerpts:
    """Excerpts of one split as ids, windows and labels.

    Parameters
    ----------
    table : of `read_excerpts`
    encoding, vocab : of the text
    classes : list of str
    quarters : of a window
    counts : whether to count what can be counted, too
    """

    def __init__(self, table, encoding, vocab, classes, quarters=WINDOW, counts=False):
        self.table = table.reset_index(drop=True)
        self.ids = [vocab.to_ids(["xxbos", *[w for w in words if w in vocab.id_of]]) for words in table["tokens"]]
        self.window = [self._windows(encoding, words, vocab, quarters) for words in table["tokens"]]
        self.label = np.array([classes.index(label) for label in table["label"]])
        self.pad, self._fits = vocab.pad_id, {}
        self.counts = (
            [
                counted_by_window(encoding.decode(words)[0], sum(encoding.token_steps(words)), quarters)
                for words in table["tokens"]
            ]
            if counts
            else None
        )

    @staticmethod
    def _windows(encoding, words, vocab, quarters):
        window = windows_of(encoding, words, quarters)[[w in vocab.id_of for w in words]]
        return np.r_[window[:1], window]

    def __len__(self):
        return len(self.ids)

    def batches(self, bs, rng=None, tables=None, balanced=False):
        """Batches of (rows, what `collate` makes of them, label of each window): shuffled, in random keys and balanced where asked, else in order of length."""
        order = np.arange(len(self))
        if balanced:
            many = np.bincount(self.label)
            order = np.concatenate(
                [
                    rng.choice(np.flatnonzero(self.label == c), round(np.sqrt(many.mean() * many[c])), replace=True)
                    for c in np.unique(self.label)
                ]
            )
        if rng is not None:
            order = rng.permutation(order)
            groups = [order[at : at + bs * BUCKET] for at in range(0, len(order), bs * BUCKET)]
            order = np.concatenate([sorted(g, key=lambda i: len(self.ids[i])) for g in groups])
        else:
            order = np.array(sorted(order, key=lambda i: len(self.ids[i])))
        chunks = [order[at : at + bs] for at in range(0, len(order), bs)]
        for c in rng.permutation(len(chunks)) if rng is not None else range(len(chunks)):
            rows = chunks[c]
            pieces = [
                (
                    self.ids[i] if tables is None else tables[rng.choice(self._fitting(i, tables))][self.ids[i]],
                    self.window[i],
                    *([] if self.counts is None else [self.counts[i]]),
                )
                for i in rows
            ]
            label = np.concatenate([np.full(self.window[i].max() + 1, self.label[i]) for i in rows])
            yield rows, collate(pieces, self.pad), torch.from_numpy(label)

    def _fitting(self, i, tables):
        """The shifts, as rows of the tables, that keep every word of an excerpt."""
        if i not in self._fits:
            self._fits[i] = np.flatnonzero((tables[:, np.unique(self.ids[i])] >= 0).all(1))
        return self._fits[i]


def train(
    table,
    encoding,
    vocab,
    arch,
    sizes,
    tensors,
    *,
    train_split="train",
    quarters=WINDOW,
    around=0,
    epochs=4,
    lr=2e-3,
    bs=32,
    dropout=0.3,
    seed=0,
    device="cpu",
    tell=print,
    keep=None,
):
    """Train, keep the best epoch, calibrate.

    Parameters
    ----------
    table : of `read_excerpts`
    encoding, vocab : of the text
    arch, sizes, tensors : the encoder, its dropouts among sizes; tensors None to begin by chance, or a tuned classifier's, of the same classes, to go on from
    train_split : the split to learn from
    quarters : of a window
    around : windows before and after, that one is judged by, too
    epochs : of the whole net; one of the head alone comes before, if there are weights to keep and no head that knows them
    lr : of the head; the encoder's are lower, layer by layer, where they are a language model's
    bs : excerpts at a time
    dropout : of the head
    seed : of everything
    device : as `clara.devices.choose_device` takes it
    tell : function(str) for progress
    keep : function(Critic or ComposerClassifier), called with what is best so far as soon as it is

    Returns
    -------
    Critic or ComposerClassifier
    """
    from clara.encodings.vocab import SHIFTS, transposition_tables
    from clara.models import get_architecture

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    classes, learn, valid = _sets(table, encoding, vocab, train_split, quarters)
    tables = transposition_tables(vocab, encoding, SHIFTS)
    device, bf16, _ = choose_device(device)
    net = new_net(arch, sizes, tensors, vocab, len(classes), dropout, around).to(device)
    groups = [*get_architecture(arch).groups(net.encode.model), list(net.head.parameters())]
    head_alone = int(tensors is not None and not head_of(tensors))
    rates = [lr / LAYER_RATIO ** (len(groups) - 1 - i) if head_alone else lr for i in range(len(groups))]
    opt = torch.optim.AdamW(
        [{"params": list(g), "lr": rate} for g, rate in zip(groups, rates)], betas=(0.8, 0.99), weight_decay=0.01
    )
    per_epoch = sum(1 for _ in learn.batches(bs, np.random.default_rng(0), balanced=len(classes) > 2))
    best = Best(
        tell,
        lambda tensors, temperature: new_classifier(
            arch, sizes, encoding, vocab, tensors, classes, quarters, temperature, around=around
        ),
        keep,
    )
    for epoch in range(head_alone + epochs):
        frozen, began = epoch < head_alone, time.perf_counter()
        for p in net.encode.parameters():
            p.requires_grad_(not frozen)

        def rates_at(i, epoch=epoch, frozen=frozen):
            gone = (epoch - head_alone + i / per_epoch) / epochs
            scale = (
                1.0 if frozen else min(1.0, gone / 0.1 + 1e-3) * max(1e-3, 0.5 * (1 + np.cos(np.pi * max(0.0, gone))))
            )
            return [rate * scale for rate in rates]

        batches = learn.batches(bs, rng, tables, balanced=len(classes) > 2)
        loss = _passed(
            net,
            tqdm(batches, f"epoch {epoch + 1}", per_epoch, leave=False, disable=None, unit=" batches"),
            opt,
            rates_at,
            bf16,
        )
        found = to_tensors(net)
        logits, labels = window_logits(from_tensors(arch, found, len(classes), around=around).to(device), valid, bs)
        best.offer(f"epoch {epoch + 1}/{head_alone + epochs}", loss, found, logits, labels, began=began)
    return best.classifier()


def _passed(net, batches, opt, rates_at, bf16):
    """The mean loss of the windows of some batches, which the net learns one by one; `rates_at(i)` are the rates of the optimiser's groups at the ith."""
    net.train()
    total, n = 0.0, 0
    for i, (_, batch, label) in enumerate(batches):
        for group, rate in zip(opt.param_groups, rates_at(i)):
            group["lr"] = rate
        batch = where(net, batch)
        device = batch[0].device
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = net(*batch)
        loss = F.cross_entropy(logits.float(), label.to(device))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        opt.step()
        total, n = total + loss.detach() * len(label), n + len(label)
    return total / n


def train_frozen(
    table,
    encoding,
    vocab,
    arch,
    sizes,
    tensors,
    *,
    train_split="train",
    quarters=WINDOW,
    counts=False,
    lr=1e-3,
    seed=0,
    device="cpu",
    tell=print,
):
    """Learn heads on the encoder as it is, each from draws of its own; with counts they read what can be counted, too. Else parameters and result as `train`."""
    from clara.encodings.vocab import SHIFTS, transposition_tables

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    classes, learn, valid = _sets(table, encoding, vocab, train_split, quarters, counts)
    tables = transposition_tables(vocab, encoding, SHIFTS) if HUMAN in classes else None
    net = from_tensors(arch, tensors, len(classes), FROZEN, counts).to(choose_device(device)[0])
    (told, labels, _), (valid_told, valid_labels, _) = summaries(net, learn, rng, tables), summaries(net, valid)
    net.cpu().fit(told)
    told, valid_told = net.standardised(told), net.standardised(valid_told)
    weight = class_weights(labels, len(classes))
    best = Best(
        tell,
        lambda found, temperature: new_classifier(
            arch, sizes, encoding, vocab, tensors | found, classes, quarters, temperature, FROZEN
        ),
    )
    for step, loss in learning(net.heads, told, labels, weight, rng, lr):
        with torch.no_grad():
            logits = net.judged(valid_told)
        best.offer(f"step {step}/{STEPS}", loss, to_tensors(net), logits, valid_labels, weight)
    return best.classifier()


def learning(heads, told, labels, weight, rng, lr=1e-3, rows=None):
    """Heads learn, each from draws of its own.

    Parameters
    ----------
    heads : ModuleList of a `critic.nets.text.FrozenNet`, changed in place
    told : float32 tensor (m, …), what they read of each window, standardised
    labels : int64 tensor (m,)
    weight : of classes, float32 tensor (n_classes,)
    rng : numpy Generator, of the draws
    lr : of Adam
    rows : those that are drawn from, int64 array, one that stands there twice twice as often; all where it is None

    Yields
    ------
    (step, loss of late), each `TELL` steps, `STEPS` in all; the heads then judge as they will
    """
    heads.requires_grad_(True)
    opt = torch.optim.AdamW(heads.parameters(), lr=lr, weight_decay=DECAY)
    rows = np.arange(len(told)) if rows is None else rows
    for step in range(1, STEPS + 1):
        heads.train()
        opt.zero_grad()
        for head in heads:
            drawn = torch.from_numpy(rows[rng.integers(len(rows), size=STEP_SIZE)])
            loss = F.cross_entropy(head(told[drawn]), labels[drawn], weight)
            loss.backward()
        opt.step()
        if step % TELL == 0:
            heads.eval()
            yield step, loss.item()


@torch.inference_mode()
def summaries(net, excerpts, rng=None, tables=None):
    """What a frozen net's head reads of all windows, their labels, and of which excerpt they are: tensors float32 (m, …), int64 (m,) and (m,)."""
    found = [
        (
            net.summaries(*where(net, batch)).cpu(),
            label,
            torch.from_numpy(np.repeat(rows, [excerpts.window[i].max() + 1 for i in rows])),
        )
        for rows, batch, label in _watched(excerpts, 32, rng, tables)
    ]
    return tuple(torch.cat(column).clone() for column in zip(*found))


def _watched(excerpts, bs, *how):
    """Their batches, with a bar."""
    return tqdm(
        excerpts.batches(bs, *how), "listening", -(-len(excerpts) // bs), leave=False, disable=None, unit=" batches"
    )


def _sets(table, encoding, vocab, train_split, quarters, counts=False):
    """Classes, excerpts to learn from, excerpts to choose by."""
    classes = classes_of(table)
    return classes, *(
        Excerpts(table[table["split"] == s], encoding, vocab, classes, quarters, counts) for s in (train_split, "valid")
    )


@torch.inference_mode()
def window_logits(net, excerpts, bs=32):
    """Logits (m, n_classes) and labels (m,) of all windows."""
    found = [(net(*where(net, batch)).cpu(), label) for _, batch, label in _watched(excerpts, bs)]
    return torch.cat([logits for logits, _ in found]), torch.cat([label for _, label in found])
