"""What feeds a net one word for each of many texts, and carries their states.

A stepper has `begin(state, rows)`, which forks texts off a reader's state of some, `take(rows)`,
`step(ids) -> logits` and `state(text)`, which a reader can go on from. What it gives a text does not hang on the others of the batch, to the last
bit.
"""

import json
import time

import numpy as np
import torch

from clara.errors import BadSetting
from clara.sampling.int8 import Int8Net, Int8Stepper

PRECISIONS = ("auto", "int8", "float32")
TILE, DEVICE_TILE = (
    16,
    128,
)  # texts at a time on a CPU and elsewhere, always: a product of other sizes may add up in another order
TRIAL_TEXTS, TRIAL_STEPS = 16, 12


class FloatStepper:
    """Any net in float32, by its reader, in tiles of one size."""

    def __init__(self, reader):
        self.reader, self.n, self.tiles = reader, 0, []
        self.tile = TILE if reader.device.type == "cpu" else DEVICE_TILE

    def begin(self, state, rows):
        """As `Int8Stepper.begin`."""
        self.tiles = [state]
        self.take(rows)

    def take(self, rows):
        """As `Int8Stepper.take`."""
        whole = self.reader.join(self.tiles)
        filled = torch.from_numpy(np.pad(rows, (0, -len(rows) % self.tile), mode="edge")).to(self.reader.device)
        self.tiles, self.n = [self.reader.take(whole, part) for part in filled.split(self.tile)], len(rows)

    def state(self, text):
        """As `Int8Stepper.state`."""
        return self.reader.take(
            self.tiles[text // self.tile], torch.tensor([text % self.tile], device=self.reader.device)
        )

    @torch.inference_mode()
    def step(self, ids):
        """As `Int8Stepper.step`."""
        filled = torch.from_numpy(np.pad(ids, (0, -len(ids) % self.tile))).to(self.reader.device)
        logits = []
        for i, part in enumerate(filled.split(self.tile)):
            told, self.tiles[i] = self.reader(part[:, None], self.tiles[i])
            logits.append(told[:, 0])
        return torch.cat(logits)[: self.n].float().cpu().numpy()


def stepper_maker(reader, precision="auto"):
    """How to make steppers of a net that share its weights, and the precision that they work in.

    Parameters
    ----------
    reader : of `clara.models`
    precision : in `PRECISIONS`; auto takes what was faster here when it was first asked, and keeps to it

    Returns
    -------
    make : function() -> stepper
    precision : str

    Raises
    ------
    BadSetting
        If there is no such precision, or not for this net.
    """
    if precision not in PRECISIONS:
        raise BadSetting(f"no precision {precision!r}; there are: {', '.join(PRECISIONS)}")
    fits = hasattr(reader, "rnns") and reader.device.type == "cpu"
    if precision == "int8" and not fits:
        raise BadSetting("--precision int8 is for LSTM nets on a CPU")
    if precision == "float32" or not fits:
        return lambda: FloatStepper(reader), "float32"
    net = Int8Net(reader)
    makers = {"int8": lambda: Int8Stepper(net), "float32": lambda: FloatStepper(reader)}
    precision = _measured(reader, makers) if precision == "auto" else precision
    return makers[precision], precision


def _measured(reader, makers):
    """The fastest of the makers' precisions for nets of this shape, measured once and kept."""
    from clara.files import cache_folder, write_atomically

    kept = cache_folder() / "precision.json"
    try:
        known = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    shape = " ".join(str(tuple(p.shape)) for p in reader.parameters())
    if known.get(shape) not in makers:
        known[shape] = min(makers, key=lambda name: _seconds(reader, makers[name]()))
        write_atomically(kept, json.dumps(known, indent=1) + "\n")
    return known[shape]


def _seconds(reader, stepper):
    """Of a step, at best."""
    stepper.begin(reader.initial_state(TRIAL_TEXTS), np.arange(TRIAL_TEXTS))
    best, ids = float("inf"), np.zeros(TRIAL_TEXTS, dtype=np.int64)
    for _ in range(TRIAL_STEPS):
        began = time.perf_counter()
        stepper.step(ids)
        best = min(best, time.perf_counter() - began)
    return best
