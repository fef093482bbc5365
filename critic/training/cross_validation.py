"""A composer classifier on a frozen encoder, whose learning is settled by cross-validation.

Of most composers there are so few works that those of valid alone tell nothing sure. Works of train and valid are dealt into folds, each composer's
evenly; the heads of each fold learn from the other folds and judge their own. What all pieces, so judged, cost decides how long heads learn, how
sure they are, and how far a composer's share of the music goes into the answer (logit adjustment after training, Menon et al. 2021); half of
the cost is the mean over pieces, half that over composers. Then heads learn from all. Excerpts of the split `more` are drawn half as often, and never judged.
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from clara.devices import choose_device
from clara.errors import BadSetting
from critic.classifier import FROZEN, new_classifier
from critic.data.composers import EXTRA_SPLIT
from critic.evaluation import accuracy_by_excerpt_and_piece, mean_log_probs
from critic.nets.text import from_tensors, to_tensors
from critic.training.common import class_weights, classes_of
from critic.training.text import TELL, Excerpts, learning, summaries

FOLDS = 5
JUDGED = ("train", "valid")  # splits
PATIENCE = 2 * TELL  # steps without progress, after which no more is learned
ADJUSTMENTS = np.linspace(0, 1, 21)  # of the logarithm of a composer's share, what may be taken from its logit
TEMPERATURES = np.geomspace(0.25, 8, 61)  # that logits may be divided by


def train_folded(
    table,
    encoding,
    vocab,
    arch,
    sizes,
    tensors,
    *,
    folds=FOLDS,
    quarters,
    counts=False,
    lr=1e-3,
    seed=0,
    device="cpu",
    tell=print,
):
    """Learn heads that tell composers apart.

    Parameters
    ----------
    table : of `critic.excerpts.read_excerpts`, of composers; train, valid and more are learned from
    encoding, vocab : of the text
    arch, sizes, tensors : the encoder
    folds : how many, at least 2
    quarters : of a window
    counts : whether the heads read what can be counted, too
    lr : of the heads
    seed : of the folds, the heads and their draws
    device : of the encoder, as `clara.devices.choose_device` takes it
    tell : function(str) for progress

    Returns
    -------
    classifier : ComposerClassifier
    figures : dict, accuracies by excerpt and by piece of train and valid, each judged by heads that had not met its work

    Raises
    ------
    BadSetting
        If nobody has two works to deal.
    """
    torch.manual_seed(seed)
    classes = classes_of(table)
    learn = Excerpts(table[table["split"].isin((*JUDGED, EXTRA_SPLIT))], encoding, vocab, classes, quarters, counts)
    judged = learn.table["split"].isin(JUDGED).to_numpy()
    fold = folds_of(learn.table["work"].to_numpy(), learn.label, judged, folds, np.random.default_rng(seed))
    if len(np.unique(fold[judged])) < 2:
        raise BadSetting("cross-validation needs a composer with two works in train and valid; --folds 1 goes without")
    net = from_tensors(arch, tensors, len(classes), FROZEN, counts).to(choose_device(device)[0])
    told, labels, excerpt = summaries(net, learn)
    net.cpu().fit(told)
    windows = _Windows(net.standardised(told), labels, excerpt.numpy(), judged[excerpt], fold[excerpt])
    share = windows.share(len(classes))
    best = None
    for step, logits in _out_of_fold(net.heads, windows, lr, seed):
        look = _look(step, logits[windows.judged], share, learn, windows.excerpt[windows.judged])
        tell(
            f"step {step}  cost {look.cost:.4f}  adjusted by {look.adjusted:.2f}  temperature {look.temperature:.2f}  "
            + "  ".join(f"{k.replace('_', ' ')} {v:.3f}" for k, v in look.figures.items())
        )
        best = look if best is None or look.cost < best.cost else best
        if step - best.step >= PATIENCE:
            break
    for step, _ in windows.learned(
        net.heads, np.ones(len(labels), dtype=bool), len(classes), np.random.default_rng(seed), lr
    ):
        if step == best.step:
            break
    with torch.no_grad():
        for head in net.heads:
            head[-1].bias -= torch.from_numpy(best.adjusted * share).float()
    return new_classifier(
        arch, sizes, encoding, vocab, tensors | to_tensors(net), classes, quarters, best.temperature, FROZEN
    ), best.figures


def folds_of(work, label, judged, folds, rng):
    """The fold of each excerpt, int64 (n,), of its work, its class, and whether it is judged, all (n,).

    Works stay whole, and those of a class are dealt evenly; what is not judged is in the fold of its work, and in none, -1, where no excerpt of that is judged.
    """
    fold = np.full(len(work), -1)
    for c in np.unique(label):
        for i, one in enumerate(rng.permutation(np.unique(work[(label == c) & judged]))):
            fold[(work == one) & (label == c)] = i % folds
    return fold


@dataclass(frozen=True)
class _Windows:
    """What is learned from: `told` float32 tensor (m, …), `labels` int64 tensor (m,), and as arrays (m,) the excerpt, whether it is judged, and its fold."""

    told: torch.Tensor
    labels: torch.Tensor
    excerpt: np.ndarray
    judged: np.ndarray
    fold: np.ndarray

    def share(self, n_classes):
        """The logarithm of each class's share of what is drawn, (n_classes,)."""
        many = np.bincount(self.labels[self._drawn(slice(None))].numpy(), minlength=n_classes).clip(1)
        return np.log(many / many.sum())

    def learned(self, heads, some, n_classes, rng, lr):
        """`learning` from some of them, a mask (m,)."""
        rows = self._drawn(some)
        return learning(heads, self.told, self.labels, class_weights(self.labels[rows], n_classes), rng, lr, rows)

    def _drawn(self, some):
        """Rows of some, those that are judged twice."""
        return np.repeat(np.arange(len(self.judged))[some], 1 + self.judged[some])


def _out_of_fold(heads, windows, lr, seed):
    """Each `TELL` steps (step, logits of all windows float32 (m, n_classes)), by copies of the heads that learned from the other folds; NaN of those in none."""
    folds = np.unique(windows.fold[windows.judged])
    n_classes = heads[0][-1].out_features
    copies = [deepcopy(heads) for _ in folds]
    learners = [
        windows.learned(some, windows.fold != f, n_classes, np.random.default_rng([seed, f]), lr)
        for f, some in zip(folds, copies)
    ]
    for looks in zip(*learners):
        logits = torch.full((len(windows.told), n_classes), torch.nan)
        with torch.no_grad():
            for f, some in zip(folds, copies):
                own = torch.from_numpy(windows.fold == f)
                logits[own] = torch.stack([head(windows.told[own]) for head in some]).mean(0)
        yield looks[0][0], logits


@dataclass(frozen=True)
class _Look:
    """What heads would be worth that learned for so many steps, at the temperature and the adjustment that cost least."""

    step: int
    cost: float
    temperature: float
    adjusted: float
    figures: dict


def _look(step, logits, share, learn, excerpt):
    """A `_Look` at out-of-fold logits of windows, of which `excerpt` (m,) tells the excerpt, with the logarithm of each class's share (n_classes,)."""
    rows, of = np.unique(excerpt, return_inverse=True)
    told = mean_log_probs(logits.log_softmax(1).numpy(), of)
    piece, label = learn.table["piece"].to_numpy()[rows], learn.label[rows]
    _, first, of = np.unique(piece, return_index=True, return_inverse=True)
    whole, truth = mean_log_probs(told, of), label[first]
    cost, adjusted, temperature = min(
        (_cost(whole - a * share, t, truth), a, t) for a in ADJUSTMENTS for t in TEMPERATURES
    )
    return _Look(
        step,
        cost,
        float(temperature),
        float(adjusted),
        accuracy_by_excerpt_and_piece(told - adjusted * share, label, piece),
    )


def _cost(logits, temperature, truth):
    """Half the mean nats over pieces, half the mean over classes: logits (n, n_classes) of pieces and their classes (n,)."""
    told = logits / temperature
    nats = np.logaddexp.reduce(told, axis=1) - told[np.arange(len(truth)), truth]
    return (
        float(nats.mean() + (np.bincount(truth, weights=nats) / np.bincount(truth).clip(1))[np.unique(truth)].mean())
        / 2
    )
