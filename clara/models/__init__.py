"""The architectures of language models, by name.

To add an architecture, write one module that follows the `Architecture` protocol and add it to `ARCHITECTURES`. The
tests in `tests/clara/models/test_models.py` then cover it.
"""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from torch import Tensor, nn

from clara.errors import BadSetting
from clara.models import awd_lstm, lstm, wavenet

__all__ = ["ARCHITECTURES", "Architecture", "InferenceModel", "get_architecture"]


class InferenceModel(Protocol):
    """A network without dropout, to score and compose music with.

    It is an `nn.Module` in float32, and its caller holds its state. A state belongs to a batch of sequences. What it
    consists of is up to the architecture.
    """

    vocab_sz: int
    device: Any

    def to(self, device: Any) -> "InferenceModel":
        """Move the weights to a device, and return the model."""
        ...

    def initial_state(self, bs: int) -> Any:
        """Return the state before the first token, for `bs` sequences."""
        ...

    def __call__(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return logits (bs, seq_len, vocab_sz) for ids (bs, seq_len), and the state after the last token.

        A call with a single token per sequence may overwrite the state that it is given.
        """
        ...

    def hidden(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the input of the output layer, (bs, seq_len, emb_sz), and the state after the last token."""
        ...

    def layer_outputs(self, ids: Tensor, state: Any) -> Tensor:
        """Return features for a classifier, (bs, seq_len, n_features)."""
        ...

    def take(self, state: Any, rows: Tensor) -> Any:
        """Return the state of the sequences `rows`, an int64 tensor (n,) that may repeat a sequence."""
        ...

    def join(self, states: list) -> Any:
        """Return one state with the sequences of several states."""
        ...


class Architecture(Protocol):
    """A module of this package that defines one kind of network."""

    DEFAULTS: Mapping[str, Any]  #: sizes and dropout probabilities; `train.py` has a flag for each
    PER_TOKEN_WEIGHTS: tuple[str, ...]  #: names of the stored weights with one row per token
    InferenceModel: type

    def build(self, config: Mapping[str, Any], vocab_sz: int, pad_id: int) -> nn.Module:
        """Return a network to train.

        It maps ids (bs, seq_len) to a tuple: logits (bs, seq_len, vocab_sz), the output of the last hidden layer, and
        the same after dropout. It carries its state from call to call until `reset()`.
        """
        ...

    def groups(self, model: nn.Module) -> list[list[nn.Parameter]]:
        """Return the parameter groups for discriminative learning rates, the lowest layers first."""
        ...

    def shapes(self, sizes: Mapping[str, Any], vocab_sz: int) -> dict[str, tuple[int, ...]]:
        """Return the shape of every stored weight, by name."""
        ...

    def to_tensors(self, model: nn.Module) -> dict[str, Tensor]:
        """Return every weight of a network once, on the CPU, by its stored name."""
        ...

    def load_tensors(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Copy weights by their stored names into a network."""
        ...

    def hidden_states(self, model: nn.Module, ids: Tensor) -> Tensor:
        """Return the output of the last hidden layer for ids read from the start, to train a classifier on."""
        ...


ARCHITECTURES = {"awd_lstm": awd_lstm, "lstm": lstm, "wavenet": wavenet}


def get_architecture(name: str) -> Architecture:
    """Return the module of an architecture.

    Raises
    ------
    BadSetting
        If no architecture has this name.
    """
    if name not in ARCHITECTURES:
        raise BadSetting(f"no architecture {name!r}; there are: {', '.join(ARCHITECTURES)}")
    return cast(Architecture, ARCHITECTURES[name])  # modules implement the protocol
