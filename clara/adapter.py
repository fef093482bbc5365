"""Style files: a manner of writing in some hundred kilobytes, beside weights that stay as they are.

A style is the state in which the net begins a piece, and an output layer of its own. All
else is the base's, which the file names by the hash of its weights. `clara.training.adapter_tuning` finds styles.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from clara.errors import CheckpointMismatch
from clara.files import write_atomically


@dataclass
class Style:
    """A style as it stands in its file.

    Attributes
    ----------
    tensors : dict of weights by name, which stand in for the base's or beside them
    info : dict with `base` (hash of its weights), `data`, `figures`
    """

    tensors: dict
    info: dict

    def save(self, path):
        """Write the file, whole, in half precision."""
        stored = {k: v.half().contiguous() for k, v in self.tensors.items()}
        write_atomically(path, save(stored, {"style": json.dumps(self.info)}))

    @classmethod
    def load(cls, path):
        """Read what `save` wrote.

        Raises
        ------
        CheckpointMismatch
            If it is no style file.
        """
        if not Path(path).is_file():
            raise CheckpointMismatch(f"{path}: there is no such style file")
        try:
            with safe_open(path, "pt") as f:
                return cls({k: f.get_tensor(k) for k in f.keys()}, json.loads(f.metadata()["style"]))  # noqa: SIM118 - it is no dict
        except (SafetensorError, TypeError, KeyError, ValueError) as e:
            raise CheckpointMismatch(f"{path}: not a style file ({e})") from e

    def onto(self, checkpoint, weights, told):
        """The checkpoint in this style.

        Parameters
        ----------
        checkpoint : clara.checkpoint.Checkpoint, changed in place
        weights : hash of its weights
        told : the style's name and the model's, for messages

        Raises
        ------
        CheckpointMismatch
            If the style belongs to other weights.
        """
        if self.info.get("base") != weights:
            raise CheckpointMismatch(
                f"{told[0]}: a style for weights {self.info.get('base')}, {told[1]} holds {weights}"
            )
        checkpoint.tensors = checkpoint.tensors | self.tensors
        return checkpoint
