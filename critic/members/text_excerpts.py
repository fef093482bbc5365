"""Excerpts as ids and windows, and what a frozen encoder makes of them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from clara.devices import choose_device
from clara.encodings.vocab import BOS
from critic.members.base import ClassifierSettings, to_device
from critic.nets.descriptors import window_descriptors
from critic.nets.pooling import window_indices
from critic.nets.text import FrozenTextNet, collate_text

FEATURE_BS = 32  # excerpts in a batch from which a frozen encoder extracts features


class TextExcerpts:
    """Excerpts as ids and windows.

    Parameters
    ----------
    table : DataFrame
        Excerpts, of one split as a rule.
    settings : ClassifierSettings
    tables : int array (n_shifts, vocab_sz), optional
        From `transposition_tables`; with them a random generator transposes excerpts.
    add_descriptors : bool
        Whether batches hold the descriptors of each window.
    """

    def __init__(self, table, settings: ClassifierSettings, tables: np.ndarray | None = None, add_descriptors=False):
        self.table = table.reset_index(drop=True)
        self.settings, self.tables = settings, tables
        self.labels = np.array([settings.classes.index(label) for label in self.table["label"]])
        self.ids, self.windows, self.descriptors = [], [], []
        for tokens in self.table["tokens"]:
            ids, window = self._read(tokens)
            self.ids.append(ids)
            self.windows.append(window)
            if add_descriptors:
                notes, n_steps = settings.encoding.decode(tokens)[0], sum(settings.encoding.token_steps(tokens))
                self.descriptors.append(window_descriptors(notes, n_steps, settings.window_quarters))
        self.lengths = np.array([len(ids) for ids in self.ids])
        self._shifts = {}

    def _read(self, tokens):
        """Return the ids of an excerpt after xxbos, and the window of each; unknown tokens are left out."""
        known = [token in self.settings.vocab.id_of for token in tokens]
        window = window_indices(self.settings.encoding, tokens, self.settings.window_quarters)[known]
        ids = self.settings.vocab.to_ids([BOS, *(token for token, is_known in zip(tokens, known) if is_known)])
        return ids, np.r_[window[:1], window]

    def __len__(self):
        return len(self.ids)

    def n_windows(self, rows: np.ndarray) -> list[int]:
        """Return the number of windows of excerpts."""
        return [int(self.windows[i].max()) + 1 for i in rows]

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> tuple:
        """Return ids, windows, descriptors if there are any, and the label of each window.

        With a random generator each excerpt is transposed, if there are tables.
        """
        pieces = []
        for i in rows:
            ids = self.ids[i]
            if rng is not None and self.tables is not None:
                ids = self.tables[rng.choice(self._possible_shifts(i))][ids]
            descriptors = [self.descriptors[i]] if self.descriptors else []
            pieces.append((ids, self.windows[i], *descriptors))
        labels = torch.from_numpy(np.repeat(self.labels[rows], self.n_windows(rows)))
        return *collate_text(pieces, self.settings.vocab.pad_id), labels

    def _possible_shifts(self, i):
        """Return the rows of the tables that keep every token of an excerpt in range."""
        if i not in self._shifts:
            self._shifts[i] = np.flatnonzero((self.tables[:, np.unique(self.ids[i])] >= 0).all(1))
        return self._shifts[i]


@dataclass(frozen=True)
class WindowFeatures:
    """What the heads on a frozen encoder read.

    Attributes
    ----------
    values : float32 tensor (n_windows, n_features)
    labels : int64 tensor (n_windows,)
    excerpt : int array (n_windows,)
        The excerpt that each window is part of.
    """

    values: Tensor
    labels: Tensor
    excerpt: np.ndarray


@torch.inference_mode()
def extract_features(
    net: FrozenTextNet, excerpts: TextExcerpts, device="cpu", rng: np.random.Generator | None = None
) -> WindowFeatures:
    """Read each excerpt once and return the features of all windows; with rng excerpts are transposed."""
    net.to(choose_device(device)[0])
    order = np.argsort(excerpts.lengths, kind="stable")
    batches = [order[i : i + FEATURE_BS] for i in range(0, len(order), FEATURE_BS)]
    values, labels, owners = [], [], []
    for rows in tqdm(batches, "reading excerpts", leave=False, disable=None, unit=" batches"):
        *inputs, of_windows = excerpts.batch(rows, rng)
        values.append(net.features(*to_device(net, inputs)).cpu())
        labels.append(of_windows)
        owners.append(np.repeat(rows, excerpts.n_windows(rows)))
    return WindowFeatures(torch.cat(values).clone(), torch.cat(labels).clone(), np.concatenate(owners))
