"""Read weights from a safetensors file, after its header was compared with what the config asks for; write them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import nn

from clara.errors import CheckpointMismatch
from clara.files import write_atomically

FLOAT_TYPES = ("F16", "BF16", "F32", "F64")
COUNTER = "num_batches_tracked"  # of a batch norm; the only whole number among the weights

Shapes = Mapping[str, tuple[int, ...]]
N = TypeVar("N", bound=nn.Module)


def read_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight in a file, from its header alone.

    Raises
    ------
    CheckpointMismatch
        If the file is missing or broken, or a weight is of an integer type.
    """
    try:
        with safe_open(path, "pt") as file:
            headers = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            types = {name: header.get_dtype() for name, header in headers.items()}
            shapes = {name: tuple(header.get_shape()) for name, header in headers.items()}
    except (SafetensorError, OSError, ValueError) as e:
        raise CheckpointMismatch(f"{path}: a broken file of weights ({e}); copy it again") from e
    for name, dtype in types.items():
        if dtype not in FLOAT_TYPES and not name.endswith(COUNTER):
            raise CheckpointMismatch(f"{path}: {name} is of type {dtype}, not a floating point number")
    return shapes


def check_shapes(actual: Shapes, expected: Shapes, source: Any, names: str = "the config") -> None:
    """Raise CheckpointMismatch for the first weight whose shape in a file is not the expected one.

    Parameters
    ----------
    actual, expected : dict of str to tuple of int
    source : path
        The file of weights, for the message.
    names : str
        What asks for the expected shapes, for the message.
    """
    for name in sorted(expected.keys() | actual.keys()):
        if expected.get(name) != actual.get(name):
            raise CheckpointMismatch(
                f"{source}: {name} has shape {actual.get(name)} there and {expected.get(name)} by {names}"
            )


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Return the weights in a file.

    Raises
    ------
    CheckpointMismatch
        If the file is missing or broken, or a weight is of an integer type, infinite or not a number.
    """
    read_shapes(path)
    try:
        tensors = load(Path(path).read_bytes())
    except (SafetensorError, OSError) as e:
        raise CheckpointMismatch(f"{path}: a broken file of weights ({e}); copy it again") from e
    check_finite(tensors, path)
    return tensors


def load_network(build: Callable[[], N], path: str | Path) -> N:
    """Return a network with the weights in a file, in float32 and in evaluation mode.

    Parameters
    ----------
    build : function
        Returns a new network; called only on torch's meta device before the file is known to fit.
    path : path

    Raises
    ------
    CheckpointMismatch
        If the file is missing or broken, or holds weights of other names or shapes.
    """
    with torch.device("meta"):
        blank = build()
    shapes = {name: tuple(tensor.shape) for name, tensor in blank.state_dict().items()}
    check_shapes(read_shapes(path), shapes, path)
    network = build()
    network.load_state_dict({name: tensor.float() for name, tensor in read_weights(path).items()})
    return network.eval()


def save_network(network: nn.Module, path: str | Path) -> None:
    """Write the weights of a network in half precision, atomically."""
    tensors = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(path, save(tensors))


def check_finite(tensors: Mapping[str, torch.Tensor], source: Any) -> None:
    """Raise CheckpointMismatch if a weight is infinite or not a number; `source` is for the message."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointMismatch(f"{source}: {name} holds infinite values or NaN; copy the file again")
