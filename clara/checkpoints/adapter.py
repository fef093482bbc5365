"""Adapters: a style in a file of a few hundred kilobytes, added to a model whose weights stay as they are.

An adapter holds an initial state and an output layer. All other weights come from the base model, which the file names
by the hash of its weights. `clara.training.adapter_tuning` trains adapters.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from clara.checkpoints.checkpoint import Checkpoint, weights_hash
from clara.checkpoints.weights import check_shapes, read_weights
from clara.errors import CheckpointMismatch
from clara.files import write_atomically
from clara.records import Hash, Record, parse_record

METADATA_KEY = "adapter"


class AdapterInfo(Record):
    """The metadata of an adapter file."""

    model_config = ConfigDict(extra="allow")  # figures and the like

    base: Hash
    base_folder: str = ""


@dataclass
class Adapter:
    """Weights that replace or complete those of a base model.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Weights by name: `output.weight`, `output.bias` and `initial_state.…` (see
        `clara.models.awd_lstm.InferenceModel`).
    info : dict
        `base` (hash of the base model's weights), `base_folder`, `data` and `figures`.
    path : str or Path, optional
        The file that it was loaded from, for messages.
    """

    tensors: dict[str, torch.Tensor]
    info: dict[str, Any]
    path: str | Path | None = None

    def save(self, path: str | Path) -> None:
        """Write the adapter to a file, in half precision.

        Raises
        ------
        CannotWrite
            If the file cannot be written.
        """
        stored = {name: tensor.half().contiguous() for name, tensor in self.tensors.items()}
        write_atomically(path, save(stored, {METADATA_KEY: json.dumps(self.info)}))

    @classmethod
    def load(cls, path: str | Path) -> "Adapter":
        """Read an adapter from a file.

        Raises
        ------
        CheckpointMismatch
            If the file does not exist or is not an adapter.
        """
        if not Path(path).is_file():
            raise CheckpointMismatch(f"{path}: no such adapter file")
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata()[METADATA_KEY]
        except (SafetensorError, OSError, TypeError, KeyError) as e:
            raise CheckpointMismatch(f"{path}: not an adapter file ({e})") from e
        info = parse_record(metadata, AdapterInfo, path).model_dump(exclude_unset=True)
        return cls(read_weights(path), info, path)

    def apply_to(self, checkpoint: Checkpoint, model: str | Path) -> Checkpoint:
        """Return a checkpoint with this adapter's weights.

        Parameters
        ----------
        checkpoint : Checkpoint
            The base model; it is not changed.
        model : str or Path
            Where the base model was loaded from: a folder or the name of a shipped model.

        Raises
        ------
        CheckpointMismatch
            If the adapter was trained for other weights.
        """
        weights = weights_hash(model)
        if self.info.get("base") != weights:
            raise CheckpointMismatch(
                f"{self.path or 'adapter'}: trained for weights {self.info.get('base')}, {model} has {weights}"
            )
        self._check_shapes(checkpoint)
        return replace(checkpoint, tensors=checkpoint.tensors | self.tensors)

    def _check_shapes(self, checkpoint):
        """Raise CheckpointMismatch unless the weights are those of an adapter for this base model."""
        base = {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()}
        expected = {"output.weight": base["embedding.weight"], "output.bias": base["output.bias"]}
        for name, shape in base.items():
            if name.endswith("weight_hh_l0"):
                layer = name.split(".")[1]
                expected |= {f"initial_state.{layer}.{kind}": (1, 1, shape[1]) for kind in "hc"}
        actual = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        check_shapes(actual, expected, self.path or "adapter", "the base model")
