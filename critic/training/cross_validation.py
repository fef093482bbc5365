"""Train a composer classifier on a frozen encoder, with cross-validation.

Most composers left so few works that the validation works alone decide nothing. The works of train and valid are dealt
into folds, each composer's evenly. Heads learn from all folds but one and classify that one. The cost of these
out-of-fold answers decides three things: how long heads learn, at which temperature, and how much of the logarithm of
a composer's share of the music is taken from the logit (logit adjustment after training, Menon et al. 2021). Half of
the cost is the mean over pieces, half the mean over composers. Then heads learn from all works.

Excerpts of the split `extra` are drawn half as often as the others and never judged.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from fastai.callback.core import CancelFitException  # type: ignore[attr-defined]  made by fastai at run time
from torch import Tensor

from clara.errors import BadSetting
from critic.data.composers import EXTRA_SPLIT
from critic.evaluation import excerpt_and_piece_accuracy, mean_log_probs
from critic.members.base import ClassifierSettings
from critic.members.text import TextMember, TextNetSettings
from critic.members.text_excerpts import TextExcerpts, extract_features
from critic.nets.text import FrozenTextNet, frozen_training_net, stored_tensors, text_heads
from critic.training.batches import HeadLoader
from critic.training.callbacks import ValidationLogits, class_weights
from critic.training.learner import classifier_learner
from critic.training.settings import TrainSettings

FOLDS = 5
JUDGED_SPLITS = ("train", "valid")
NO_FOLD = -1  # of excerpts whose work is not judged; every head learns from them
PATIENCE = 2  # epochs without progress after which training stops
ADJUSTMENTS = np.linspace(0, 1, 21)  # shares of the logarithm of a composer's share that are tried
TEMPERATURES = np.geomspace(0.25, 8, 61)  # that are tried


def train_with_folds(
    table,
    settings: ClassifierSettings,
    net_settings: TextNetSettings,
    training: TrainSettings = TextMember.HEAD_TRAINING,
    *,
    folds: int = FOLDS,
    log: Callable[[str], None] = print,
) -> tuple[TextMember, dict[str, float]]:
    """Train heads that recognize composers.

    Parameters
    ----------
    table : DataFrame
        Excerpts of composers, from `critic.data.table.read_excerpts`; train, valid and extra are learned from.
    settings : ClassifierSettings
    net_settings : TextNetSettings
        With the weights of the encoder.
    training : TrainSettings
        `epochs` is the most that heads may learn.
    folds : int
        At least 2.
    log : function(str)

    Returns
    -------
    member : TextMember
    figures : dict
        Out-of-fold accuracies by excerpt and by piece.

    Raises
    ------
    BadSetting
        If no composer has two works to deal.
    """
    net_settings = net_settings.with_default_sizes()
    torch.manual_seed(training.seed)
    data = _read_windows(table, settings, net_settings, training, folds)
    best = _select_epoch(data, training, log)
    n_heads = len(data.net.heads)
    heads = _train_heads(data, [drawn_rows(data.judged)] * n_heads, training, best.epoch)
    with torch.no_grad():
        for head in heads:
            head[-1].bias -= torch.from_numpy(best.adjustment * data.log_share).float()
    data.net.heads = heads
    tensors = (net_settings.tensors or {}) | stored_tensors(data.net)
    return TextMember(settings, tensors, net_settings.to_config(), best.temperature), best.figures


@dataclass(frozen=True)
class _Windows:
    """What the heads learn from.

    Attributes
    ----------
    net : FrozenTextNet, with heads of random weights
    excerpts : TextExcerpts
    features : float32 tensor (n_windows, n_features), standardized
    labels : int64 tensor (n_windows,)
    excerpt, judged, fold : arrays (n_windows,), the excerpt of each window, whether it is judged, and its fold
    """

    net: FrozenTextNet
    excerpts: TextExcerpts
    features: Tensor
    labels: Tensor
    excerpt: np.ndarray
    judged: np.ndarray
    fold: np.ndarray

    @property
    def n_classes(self):
        """Return the number of composers."""
        return len(self.excerpts.settings.classes)

    @property
    def log_share(self):
        """Return the logarithm of each composer's share of the windows that are drawn, (n_classes,)."""
        return log_shares(self.labels[torch.from_numpy(drawn_rows(self.judged))].numpy(), self.n_classes)


def _read_windows(table, settings, net_settings, training, folds):
    """Return the _Windows of a table."""
    table = table[table["split"].isin((*JUDGED_SPLITS, EXTRA_SPLIT))]
    excerpts = TextExcerpts(table, settings, add_descriptors=net_settings.add_descriptors)
    judged = excerpts.table["split"].isin(JUDGED_SPLITS).to_numpy()
    rng = np.random.default_rng(training.seed)
    fold = assign_folds(excerpts.table["work"].to_numpy(), excerpts.labels, judged, folds, rng)
    if len(np.unique(fold[judged])) < 2:
        raise BadSetting("cross-validation needs a composer with two works in train and valid; use --folds 1 instead")
    net = frozen_training_net(
        net_settings.arch, net_settings.tensors, len(settings.classes), net_settings.add_descriptors
    )
    features = extract_features(net, excerpts, training.device)
    net.cpu().fit_standardization(features.values)
    owner = features.excerpt
    return _Windows(net, excerpts, net.standardize(features.values), features.labels, owner, judged[owner], fold[owner])


def assign_folds(
    work: np.ndarray, label: np.ndarray, judged: np.ndarray, folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Deal works into folds, those of each class evenly.

    Parameters
    ----------
    work, label, judged : arrays (n,)
        Work and class of each excerpt, and whether it is judged.
    folds : int
    rng : numpy random generator

    Returns
    -------
    int array (n,)
        The fold of each excerpt's work; NO_FOLD where no excerpt of the work is judged.
    """
    fold = np.full(len(work), NO_FOLD)
    for c in np.unique(label):
        works = rng.permutation(np.unique(work[(label == c) & judged]))
        for i, one_work in enumerate(works):
            fold[(work == one_work) & (label == c)] = i % folds
    return fold


def drawn_rows(judged: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Return the rows of a mask (n,); judged rows come twice, so that they are drawn twice as often."""
    mask = np.ones(len(judged), dtype=bool) if mask is None else mask
    return np.repeat(np.flatnonzero(mask), 1 + judged[mask])


def log_shares(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the logarithm of each class's share of labels (n,), float (n_classes,)."""
    counts = np.bincount(labels, minlength=n_classes).clip(1)
    return np.log(counts / counts.sum())


def _select_epoch(data, training, log):
    """Train a set of heads for each fold, and return the EpochResult of the epoch with the lowest cost."""
    folds = np.unique(data.fold[data.judged])
    n_heads = len(data.net.heads)
    rows = [drawn_rows(data.judged, data.fold != fold) for fold in folds for _ in range(n_heads)]
    selector = SelectEpoch(data, folds, log)
    _train_heads(data, rows, training, training.epochs, [selector])
    return selector.best


def _train_heads(data, rows_of_heads, training, epochs, cbs=()):
    """Train heads that draw from rows of their own, and return them."""
    heads = text_heads(data.features.shape[1], data.n_classes, len(rows_of_heads))
    drawn = data.labels[torch.from_numpy(drawn_rows(data.judged))]
    learn = classifier_learner(
        heads,
        HeadLoader(data.features, data.labels, rows_of_heads, training.bs, training.batches_per_epoch, training.seed),
        [],
        replace(training, device="cpu"),  # small batches are faster there
        cbs=cbs,
        class_weights=class_weights(drawn, data.n_classes),
    )
    with learn.no_bar():
        learn.fit(epochs, training.lr)
    return heads.eval()


@dataclass(frozen=True)
class EpochResult:
    """What heads are worth after an epoch, at the temperature and the adjustment with the lowest cost.

    Attributes
    ----------
    epoch : int
    cost : float
    temperature : float
        The logits are divided by it.
    adjustment : float
        Share of the logarithm of a composer's share that is taken from the logit.
    figures : dict
        Accuracies by excerpt and by piece.
    """

    epoch: int
    cost: float
    temperature: float
    adjustment: float
    figures: dict[str, float]


class SelectEpoch(ValidationLogits):
    """Classify each fold with the heads that did not learn from it, and keep the epoch with the lowest cost.

    Parameters
    ----------
    data : _Windows
    folds : int array (n_folds,)
        The heads of the learner belong to these folds, as many to each.
    log : function(str)

    Attributes
    ----------
    best : EpochResult
    """

    def __init__(self, data, folds, log):
        self.data, self.folds, self.write_line = data, folds, log
        self.best = None

    def after_validate(self):
        """Judge the epoch; stop training if there was no progress."""
        logits = self._out_of_fold_logits()
        judged = self.data.judged
        result = judge_epoch(
            self.epoch + 1, logits[judged], self.data.log_share, self.data.excerpts, self.data.excerpt[judged]
        )
        figures = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in result.figures.items())
        self.write_line(
            f"epoch {result.epoch}  train {self.train_loss:.4f}  cost {result.cost:.4f}  "
            f"adjustment {result.adjustment:.2f}  temperature {result.temperature:.2f}  {figures}"
        )
        if self.best is None or result.cost < self.best.cost:
            self.best = result
        elif result.epoch - self.best.epoch >= PATIENCE:
            raise CancelFitException

    def _out_of_fold_logits(self):
        """Return the logits of all windows, float32 (n_windows, n_classes); NaN where a window is in no fold."""
        logits = torch.full((len(self.data.features), self.data.n_classes), torch.nan)
        n_heads = len(self.model) // len(self.folds)
        for i, fold in enumerate(self.folds):
            rows = torch.from_numpy(self.data.fold == fold)
            heads = self.model[i * n_heads : (i + 1) * n_heads]
            logits[rows] = heads(self.data.features[rows])
        return logits


def judge_epoch(
    epoch: int, logits: Tensor, log_share: np.ndarray, excerpts: TextExcerpts, excerpt: np.ndarray
) -> EpochResult:
    """Find the adjustment and the temperature with the lowest cost.

    Parameters
    ----------
    epoch : int
    logits : float32 tensor (n_windows, n_classes)
        Out-of-fold logits of judged windows.
    log_share : float array (n_classes,)
        Logarithm of each composer's share of the music.
    excerpts : TextExcerpts
    excerpt : int array (n_windows,)
        The excerpt of each window.
    """
    rows, group = np.unique(excerpt, return_inverse=True)
    by_excerpt = mean_log_probs(logits.log_softmax(1).numpy(), group)
    piece, labels = excerpts.table["piece"].to_numpy()[rows], excerpts.labels[rows]
    _, first, group = np.unique(piece, return_index=True, return_inverse=True)
    by_piece = mean_log_probs(by_excerpt, group)
    cost, adjustment, temperature = min(
        (_cost((by_piece - adjustment * log_share) / temperature, labels[first]), adjustment, temperature)
        for adjustment in ADJUSTMENTS
        for temperature in TEMPERATURES
    )
    figures = excerpt_and_piece_accuracy(by_excerpt - adjustment * log_share, labels, piece)
    return EpochResult(epoch, cost, float(temperature), float(adjustment), figures)


def _cost(logits, labels):
    """Return half the mean loss over pieces plus half the mean over classes, in nats, for logits (n, n_classes)."""
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
    by_class = (np.bincount(labels, weights=losses) / np.bincount(labels).clip(1))[np.unique(labels)]
    return float(losses.mean() + by_class.mean()) / 2
