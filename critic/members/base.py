"""What the members of an ensemble have in common."""

import builtins
import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from clara.checkpoints.checkpoint import CONFIG, VOCAB, WEIGHTS
from clara.checkpoints.weights import check_shapes, read_shapes, read_weights
from clara.encodings import make_encoding
from clara.encodings.vocab import Vocab
from clara.errors import BadSetting
from clara.files import make_folder, write_atomically
from clara.records import parse_record, read_record
from critic.data.table import HUMAN
from critic.members.memory import Memory
from critic.members.storage import (
    ClassifierConfig,
    MemberConfig,
    NetConfig,
    read_vocab,
    require_files,
    write_config,
)
from critic.nets.inputs import Text

Net = TypeVar("Net", bound=nn.Module)
MIN_QUARTERS = 8.0  # shortest piece that can be scored, if a window is not shorter still


@dataclass(frozen=True)
class ClassifierSettings:
    """What a classifier reads, and its classes.

    Attributes
    ----------
    encoding : Encoding
    vocab : Vocab
    classes : tuple of str
        The columns of its log-probabilities.
    window_quarters : float
        Length of a window; each window gets log-probabilities of its own.
    """

    encoding: Any
    vocab: Vocab
    classes: tuple[str, ...]
    window_quarters: float

    @property
    def is_critic(self) -> bool:
        """Return whether the classes are human and generated, not composers."""
        return HUMAN in self.classes

    @property
    def min_quarters(self) -> float:
        """Return the length of the shortest piece that can be scored."""
        return min(MIN_QUARTERS, self.window_quarters)

    def to_config(self) -> dict:
        """Return the entries of `config.json`."""
        return {
            "encoding": self.encoding.settings,
            "classes": list(self.classes),
            "window_quarters": self.window_quarters,
        }

    @classmethod
    def from_config(cls, config: ClassifierConfig, vocab: Vocab) -> "ClassifierSettings":
        """Build settings from `config.json`; raises BadSetting if it names a class twice."""
        if len(set(config.classes)) < len(config.classes):
            raise BadSetting("classes: a class twice")
        encoding = make_encoding(config.encoding.to_dict())
        return cls(encoding, vocab, tuple(config.classes), config.window_quarters)


class Member(ABC):
    """A network with the features that it reads, its training and its folder.

    Parameters
    ----------
    settings : ClassifierSettings
    tensors : dict of str to Tensor
        Weights by their stored names.
    net_settings : dict
        What `build_net` needs to build the network; stored as `net` in `config.json`.
    temperature : float
        The logits are divided by it; this calibrates them (Guo et al. 2017).
    info : dict, optional
        `training`, `versions` and `figures`, for `config.json` and the model card.

    Attributes
    ----------
    net : nn.Module
        The network, ready for inference.
    memory : Memory or None
        What the member knows of the parts of pieces that it has read; see `remembering`.
    """

    type: ClassVar[str]  #: name in `MEMBERS`, in `config.json` and after `--member`
    title: ClassVar[str]  #: what it is, in a few words
    reads_text: ClassVar[bool] = False  #: whether its weights depend on the vocabulary
    net_config: ClassVar["builtins.type[NetConfig]"]  #: schema of `net_settings`
    max_batch_size: ClassVar[int]  #: largest batch in units of `size`, padding included; it bounds memory

    def __init__(
        self,
        settings: ClassifierSettings,
        tensors: dict[str, Tensor],
        net_settings: dict,
        temperature: float = 1.0,
        info: dict | None = None,
    ):
        self.settings, self.tensors, self.net_settings = settings, tensors, net_settings
        self.temperature, self.info = temperature, info or {}
        self.net = self.build_net()
        self.memory: Memory | None = None

    def remembering(self) -> Self:
        """Return this member with a memory: of a text that has grown, it reads only what is new.

        The log-probabilities are the same. A member that uses no memory reads every text whole.
        """
        member = copy.copy(self)
        member.memory = Memory()
        return member

    @abstractmethod
    def build_net(self) -> nn.Module:
        """Return the network with its weights, ready for inference."""

    @classmethod
    def new_net(cls, settings: ClassifierSettings, net_settings: dict) -> nn.Module:
        """Return a network with random weights; members with an encoder check their weights in another way."""
        raise NotImplementedError

    @abstractmethod
    def prepare(self, text: Text) -> Any:
        """Return the features of one piece."""

    @abstractmethod
    def size(self, piece: Any) -> int:
        """Return the size of a prepared piece in a batch; known parts need not count."""

    @abstractmethod
    def n_windows(self, piece: Any) -> int:
        """Return the number of windows of a prepared piece."""

    @abstractmethod
    def logits(self, pieces: list) -> Tensor:
        """Return the logits of each window of prepared pieces, (n_windows, n_classes), and remember known parts."""

    @classmethod
    @abstractmethod
    def train(cls, table, settings: ClassifierSettings, training=None, **options) -> "Member":
        """Train a member on excerpts.

        Parameters
        ----------
        table : DataFrame
            From `critic.data.table.read_excerpts`.
        settings : ClassifierSettings
        training : TrainSettings, optional
            Default: the member's `TRAINING`.
        **options
            `start` (a member to continue from), `log`, `on_improvement`; more for some members.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return a phrase for the model card."""

    @property
    def members(self) -> list[tuple["Member", float]]:
        """Return the member itself with weight 1, as an `Ensemble` has them."""
        return [(self, 1.0)]

    def load_head(self, net: Net) -> Net:
        """Load the weights into a network without an encoder, and make it ready for inference."""
        weights = {
            name.removeprefix("head."): v.float() if v.is_floating_point() else v for name, v in self.tensors.items()
        }
        net.load_state_dict(weights)
        return net.eval().requires_grad_(False)

    def window_log_probs(self, texts: Sequence[Text | list[str]]) -> list[np.ndarray]:
        """Return the log-probabilities of each window, a list of float32 arrays (n_windows, n_classes).

        Parameters
        ----------
        texts : sequence of Text or list of str
            Pieces, or their tokens without control tokens, none of them silent.
        """
        return score_members([self], texts)[0]

    def batches(self, texts: list[Text]) -> Iterator[tuple[list[int], list]]:
        """Yield batches of pieces of similar size, large ones first: their indices and the prepared pieces."""
        prepared = [self.prepare(text) for text in texts]
        by_size = sorted(range(len(prepared)), key=lambda i: self.size(prepared[i]))
        while by_size:
            n = max(1, self.max_batch_size // max(1, self.size(prepared[by_size[-1]])))
            rows = by_size[-n:]
            del by_size[-n:]
            yield rows, [prepared[i] for i in rows]

    @torch.inference_mode()
    def score_batch(self, pieces: list) -> list[np.ndarray]:
        """Return the log-probabilities (n_windows, n_classes) of each prepared piece."""
        log_probs = (self.logits(pieces) / self.temperature).log_softmax(1).cpu().numpy()
        return np.split(log_probs, np.cumsum([self.n_windows(piece) for piece in pieces])[:-1])

    @classmethod
    def best_model(
        cls, settings: ClassifierSettings, net_settings: dict, valid_labels, log, on_improvement=None, encoder=None
    ):
        """Return a `BestModel` that makes members of this class.

        Parameters
        ----------
        settings, net_settings
            Of the member.
        valid_labels : int array or tensor (n,)
            Classes of the validation excerpts; they count alike in the loss.
        log, on_improvement
            As in `train`.
        encoder : dict of str to Tensor, optional
            Weights of a frozen encoder, which the trained network does not hold.
        """
        from critic.training.callbacks import BestModel, class_weights  # fastai is slow to import

        weights = class_weights(torch.as_tensor(valid_labels), len(settings.classes))
        return BestModel(
            lambda tensors, temperature: cls(settings, (encoder or {}) | tensors, net_settings, temperature),
            weights,
            log,
            on_improvement,
        )

    def save(self, folder: str | Path) -> None:
        """Write `config.json`, `model.safetensors` in half precision, and `vocab.txt`.

        Raises
        ------
        CannotWrite
        """
        folder = make_folder(folder)
        stored = {
            name: (v.half() if v.is_floating_point() else v).contiguous() for name, v in self.tensors_to_store().items()
        }
        self.settings.vocab.save(folder / VOCAB)
        write_atomically(folder / WEIGHTS, save(stored))
        write_config(folder, self.to_config(folder))

    def tensors_to_store(self) -> dict[str, Tensor]:
        """Return the weights that belong into the folder."""
        return self.tensors

    def to_config(self, folder: Path) -> dict:
        """Return the content of `config.json` in a folder."""
        return {
            "type": self.type,
            "net": self.net_settings,
            **self.settings.to_config(),
            "temperature": self.temperature,
            "n_parameters": sum(v.numel() for v in self.tensors.values()),
            **self.info,
        }

    @classmethod
    def load(cls, folder: Path) -> "Member":
        """Read the folder of a member; `critic.members.storage.load_folder` turns errors into CheckpointMismatch."""
        config, net, settings = cls.read_settings(folder)
        with torch.device("meta"):  # has shapes, but no weights
            state = cls.new_net(settings, net).state_dict()
        expected = {f"head.{name}": tuple(v.shape) for name, v in state.items()}
        check_shapes(read_shapes(folder / WEIGHTS), expected, folder / WEIGHTS, CONFIG)
        return cls(settings, read_weights(folder / WEIGHTS), net, config.temperature, config.info())

    @classmethod
    def read_settings(cls, folder: Path) -> tuple[MemberConfig, dict, ClassifierSettings]:
        """Return the config of a folder, the settings of its network, and the settings of the member."""
        require_files(folder, WEIGHTS, VOCAB)
        config = read_record(folder / CONFIG, MemberConfig)
        net = parse_record(json.dumps(config.net), cls.net_config, f"{folder / CONFIG}: net")
        settings = ClassifierSettings.from_config(config, read_vocab(folder / VOCAB))
        return config, net.model_dump(), settings


def to_device(net: nn.Module, batch: Sequence) -> list:
    """Move the tensors of a batch to the device of a network."""
    device = next(net.parameters()).device
    return [part.to(device) if isinstance(part, Tensor) else part for part in batch]


def score_members(members: list[Member], texts: Sequence[Text | list[str]]) -> list[list[np.ndarray]]:
    """Score pieces by several members at once.

    Each batch is scored on one thread while the next are prepared. The number of threads changes neither the batches
    nor the results.

    Parameters
    ----------
    members : list of Member
        Of one encoding.
    texts : sequence of Text or list of str
        Pieces, or their tokens.

    Returns
    -------
    list, for each member, of float32 arrays (n_windows, n_classes), one for each piece
    """
    encoding = members[0].settings.encoding
    texts = [text if isinstance(text, Text) else Text(text, encoding) for text in texts]
    threads = torch.get_num_threads()
    results: list[list] = [[None] * len(texts) for _ in members]
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            jobs = [
                (result, rows, pool.submit(member.score_batch, batch))
                for member, result in zip(members, results)
                for rows, batch in member.batches(texts)
            ]
            for result, rows, job in jobs:
                for i, log_probs in zip(rows, job.result()):
                    result[i] = log_probs
    finally:
        torch.set_num_threads(threads)
    return results
