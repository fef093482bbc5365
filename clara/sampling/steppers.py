"""Steppers: they run a model for one token of many texts at a time and carry the states of the texts.

What a stepper computes for a text does not depend on the other texts of the batch, to the last bit.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from clara.errors import BadSetting
from clara.files import cache_folder, write_atomically
from clara.models import InferenceModel
from clara.sampling.int8 import Int8Model, Int8Stepper

PRECISIONS = ("auto", "int8", "float32")
# Texts per matrix product. The size is always the same, because a product of another size may add in another order.
CPU_TILE, GPU_TILE = 16, 128
TRIAL_TEXTS, TRIAL_STEPS = 16, 12  # for timing a precision


class Stepper(Protocol):
    """What runs a model for one token of many texts at a time."""

    def begin(self, state: Any, rows: np.ndarray) -> None:
        """Start texts from a state of the model.

        Parameters
        ----------
        state : Any
            The model's state of some texts.
        rows : int64 array (n,)
            Which of these texts each of the n new texts continues.
        """

    def take(self, rows: np.ndarray) -> None:
        """Keep only the texts in `rows`, an int64 array (n,) that may repeat a text."""

    def state_of(self, text: int) -> Any:
        """Return the model's state of one text, by its index."""

    def step(self, ids: np.ndarray, context: np.ndarray | None = None) -> np.ndarray:
        """Return the logits that follow a token of each text.

        Parameters
        ----------
        ids : int64 array (n,)
        context : int64 array (n, n_columns), optional
            Rows of the model's table of contexts, for a model that follows plans.

        Returns
        -------
        float32 array (n, vocab_sz)
            The next call may overwrite it.
        """
        ...


class FloatStepper:
    """Runs any model in float32, in tiles of a fixed number of texts; see `Stepper`."""

    def __init__(self, model: InferenceModel):
        self.model = model
        self.n_texts = 0
        self.tiles = []  # the model's state of each tile of texts
        self.tile_size = CPU_TILE if model.device.type == "cpu" else GPU_TILE

    def begin(self, state, rows):
        """Start texts from a state of the model."""
        self.tiles = [state]
        self.take(rows)

    def take(self, rows):
        """Keep only the texts in `rows`."""
        whole = self.model.join(self.tiles)
        padded = np.pad(rows, (0, -len(rows) % self.tile_size), mode="edge")
        tile_rows = torch.from_numpy(padded).to(self.model.device).split(self.tile_size)
        self.tiles = [self.model.take(whole, part) for part in tile_rows]
        self.n_texts = len(rows)

    def state_of(self, text):
        """Return the model's state of one text."""
        row = torch.tensor([text % self.tile_size], device=self.model.device)
        return self.model.take(self.tiles[text // self.tile_size], row)

    @torch.inference_mode()
    def step(self, ids, context=None):
        """Return the logits that follow a token of each text."""
        inputs = ids if context is None else np.concatenate([ids[:, None], context], axis=1)
        padding = ((0, -len(ids) % self.tile_size), (0, 0))
        padded = np.pad(inputs, padding[: inputs.ndim])
        tile_ids = torch.from_numpy(padded).to(self.model.device).split(self.tile_size)
        tile_logits = []
        for i, part in enumerate(tile_ids):
            logits, self.tiles[i] = self.model(part[:, None], self.tiles[i])
            tile_logits.append(logits[:, 0])
        return torch.cat(tile_logits)[: self.n_texts].float().cpu().numpy()


def stepper_factory(model: InferenceModel, precision: str = "auto") -> tuple[Callable[[], Stepper], str]:
    """Return a function that makes steppers, which share the model's weights, and their precision.

    Parameters
    ----------
    model : InferenceModel
    precision : str
        One of `PRECISIONS`. ``"auto"`` takes the precision that was faster on this machine when it was first timed.

    Returns
    -------
    make_stepper : callable
    precision : str
        ``"int8"`` or ``"float32"``.

    Raises
    ------
    BadSetting
        If the precision is unknown or does not suit the model.
    """
    if precision not in PRECISIONS:
        raise BadSetting(f"no precision {precision!r}; there are: {', '.join(PRECISIONS)}")
    is_cpu_lstm = hasattr(model, "rnns") and model.device.type == "cpu"
    if precision == "int8" and not is_cpu_lstm:
        raise BadSetting("--precision int8 is for LSTM models on a CPU; use float32 or auto")
    if precision == "float32" or not is_cpu_lstm:
        return lambda: FloatStepper(model), "float32"
    int8_model = Int8Model(model)
    factories = {"int8": lambda: Int8Stepper(int8_model), "float32": lambda: FloatStepper(model)}
    if precision == "auto":
        precision = _fastest_precision(model, factories)
    return factories[precision], precision


def _fastest_precision(model, factories):
    """Return the fastest precision for models of this shape, timed once and kept in the cache folder."""
    cache_file = cache_folder() / "precision.json"
    try:
        fastest = json.loads(cache_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        fastest = {}
    if not isinstance(fastest, dict):  # broken
        fastest = {}
    shapes = " ".join(str(tuple(p.shape)) for p in model.parameters())
    if fastest.get(shapes) not in factories:
        fastest[shapes] = min(factories, key=lambda name: _seconds_per_step(model, factories[name]()))
        write_atomically(cache_file, json.dumps(fastest, indent=1) + "\n")
    return fastest[shapes]


def _seconds_per_step(model, stepper):
    """Return the shortest time of a step."""
    stepper.begin(model.initial_state(TRIAL_TEXTS), np.arange(TRIAL_TEXTS))
    ids = np.zeros(TRIAL_TEXTS, dtype=np.int64)
    shortest = float("inf")
    for _ in range(TRIAL_STEPS):
        start = time.perf_counter()
        stepper.step(ids)
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
