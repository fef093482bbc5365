"""The state from which an interrupted run is resumed: weights, optimizer and history in one safetensors file."""

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from clara.errors import CheckpointMismatch
from clara.files import write_atomically
from clara.records import Record, parse_record

STATE = "state.safetensors"
METADATA_KEY = "run"


class StateMetadata(Record):
    """What the file holds beside tensors."""

    history: list[dict[str, JsonValue]]
    scalars: list[dict[str, JsonValue]]
    hypers: list[dict[str, JsonValue]]


def save_state(learn: Any, path: str | Path, history: list[dict]) -> None:
    """Write all that resuming needs: weights and optimizer in float32, and the history.

    Raises
    ------
    CannotWrite
        If the file cannot be written.
    """
    tensors = {f"model.{name}": p.detach() for name, p in learn.model.named_parameters()}
    scalars = []
    for i, state in enumerate(learn.opt.state_dict()["state"]):
        tensors |= {f"opt.{i}.{k}": v for k, v in state.items() if isinstance(v, torch.Tensor)}
        scalars.append({k: v for k, v in state.items() if not isinstance(v, torch.Tensor)})
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"history": history, "scalars": scalars, "hypers": [dict(h) for h in learn.opt.hypers]}
    write_atomically(path, save(tensors, {METADATA_KEY: json.dumps(metadata, default=float)}))


def load_state(learn: Any, path: str | Path) -> tuple[list[dict], dict[str, Any]]:
    """Put the weights of a state file into a learner's model.

    Returns
    -------
    history : list of dict
        A row for each finished epoch.
    opt_state : dict
        For `clara.training.stages.fit_stages`.

    Raises
    ------
    CheckpointMismatch
        If the file does not exist, is broken, or belongs to a model of other sizes.
    """
    tensors, metadata = _read_state(Path(path))
    parameters = dict(learn.model.named_parameters())
    expected_shapes = {f"model.{name}": p.shape for name, p in parameters.items()}
    if expected_shapes != {name: t.shape for name, t in tensors.items() if name.startswith("model.")}:
        raise CheckpointMismatch(f"{path}: made by a model of other sizes than the flags ask for")
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(tensors[f"model.{name}"])
    device = next(iter(parameters.values())).device
    states = []
    for i, scalars in enumerate(metadata["scalars"]):
        prefix = f"opt.{i}."
        averages = {name.removeprefix(prefix): t.to(device) for name, t in tensors.items() if name.startswith(prefix)}
        states.append(averages | scalars)
    learn.model.reset()
    return metadata["history"], {"state": states, "hypers": metadata["hypers"]}


def _read_state(path):
    """Return the tensors and the metadata of a state file."""
    if not path.is_file():
        raise CheckpointMismatch(f"{path}: nothing to resume from; no epoch was finished")
    try:
        with safe_open(path, "pt") as file:
            text = file.metadata()[METADATA_KEY]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, TypeError, KeyError) as e:
        raise CheckpointMismatch(f"{path}: not the state of a run ({e})") from e
    return tensors, parse_record(text, StateMetadata, path).model_dump()
