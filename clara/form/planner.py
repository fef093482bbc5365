"""Compose plans: a small language model over bars, trained on the plans of a corpus.

`config.json` has the sizes, the time signatures and how the planner was trained; `model.safetensors` has the weights in
half precision. Loading checks that they agree.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, JsonValue
from safetensors.torch import save

from clara.checkpoints.shipped_models import find_model
from clara.checkpoints.weights import check_shapes, read_shapes, read_weights
from clara.errors import BadSetting, CheckpointMismatch
from clara.files import make_folder, write_atomically
from clara.form.forms import Form
from clara.form.plan import MAX_BARS, N_KEYS, NEW, UNKNOWN, Plan
from clara.form.plan_composer import PlanComposer
from clara.form.plan_constraints import PlanRequest
from clara.form.plan_start import PlanStart, table_shapes
from clara.form.plan_tokens import ATTRIBUTES, KINDS, PlanRows, bar_quarters
from clara.form.planner_network import NetworkSizes, PlannerNetwork
from clara.music.bars import MAX_SIGNATURE_NUMBER
from clara.records import Record, read_record

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHIPPED_PLANNER = "planner"
FORMAT = 1
MAX_QUARTERS = 10_000
MAX_PLANS_TOGETHER = 256
SIGNATURE_DRAW, UPBEAT_DRAW, HOME_DRAW = range(3)

_Size = Annotated[int, Field(ge=1, le=1024)]
_SignatureNumber = Annotated[int, Field(ge=1, le=MAX_SIGNATURE_NUMBER)]


class PlannerConfig(Record):
    """The content of config.json.

    Attributes
    ----------
    planner : int
        Version of the format.
    sizes : dict of str to int
        Of `NetworkSizes`, without the number of time signatures.
    time_signatures : list of (numerator, denominator)
    training, figures : dict, optional
        How the planner was trained, and how good it is.
    """

    planner: int
    sizes: dict[str, _Size]
    time_signatures: Annotated[
        list[Annotated[list[_SignatureNumber], Field(min_length=2, max_length=2)]], Field(min_length=1, max_length=200)
    ]
    training: dict[str, JsonValue] | None = None
    figures: dict[str, JsonValue] | None = None


@dataclass
class Planner:
    """A language model over the bars of pieces.

    Attributes
    ----------
    network : PlannerNetwork
        In double precision.
    start : PlanStart
        Tables of time signatures, upbeats, home keys and lengths.
    info : dict
        `training` and `figures`, as in config.json.

    Examples
    --------
    >>> planner = Planner.load("planner")
    >>> plan, = planner.compose([1], 16, time_signature=(3, 4))
    >>> len(plan), plan.time_signatures[0][1:]
    (16, (3, 4))
    """

    network: PlannerNetwork
    start: PlanStart
    info: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path = SHIPPED_PLANNER) -> "Planner":
        """Load a planner from its folder, or a shipped one by its name.

        Raises
        ------
        MissingModel
            If there is no such folder.
        CheckpointMismatch
            If a file is missing or broken, or the weights do not fit the config.
        """
        path = find_model(folder)
        config = read_record(path / CONFIG, PlannerConfig)
        if config.planner != FORMAT:
            raise CheckpointMismatch(f"{path / CONFIG}: planner format {config.planner}, but this Clara reads {FORMAT}")
        signatures = tuple((numerator, denominator) for numerator, denominator in config.time_signatures)
        try:
            sizes = NetworkSizes(len(signatures), **config.sizes)
        except TypeError as e:
            raise CheckpointMismatch(f"{path / CONFIG}: sizes do not fit ({e})") from e
        with torch.device("meta"):
            expected = {name: tuple(t.shape) for name, t in PlannerNetwork(sizes).state_dict().items()}
        expected |= table_shapes(len(signatures))
        check_shapes(read_shapes(path / WEIGHTS), expected, path / WEIGHTS)
        tensors = {name: tensor.double() for name, tensor in read_weights(path / WEIGHTS).items()}
        tables = {name: torch.softmax(tensors.pop(name), -1).numpy() for name in table_shapes(len(signatures))}
        network = PlannerNetwork(sizes).double().eval()
        network.load_state_dict(tensors)
        info = {name: value for name in ("training", "figures") if (value := getattr(config, name)) is not None}
        return cls(network, PlanStart(signatures, tables), info)

    def save(self, folder: str | Path) -> None:
        """Write config.json and the weights, each atomically."""
        path = make_folder(folder)
        tensors = dict(self.network.state_dict())
        tensors |= {name: torch.from_numpy(table).log() for name, table in self.start.tables.items()}
        sizes = asdict(self.network.sizes)
        del sizes["n_signatures"]
        config = {"planner": FORMAT, "sizes": sizes, "time_signatures": self.start.signatures, **self.info}
        write_atomically(path / WEIGHTS, save({name: t.half().contiguous() for name, t in tensors.items()}))
        write_atomically(path / CONFIG, json.dumps(config, indent=1) + "\n")

    def compose(
        self,
        seeds: Sequence[int],
        n_bars: int | None = None,
        *,
        quarters: float | None = None,
        time_signature: tuple[int, int] | None = None,
        home: int | None = None,
        temperature: float = 1.0,
        beginning: Plan | None = None,
        form: Form | None = None,
        ending: bool = False,
        attributes: Sequence[str] = ATTRIBUTES,
        steps_per_quarter: int = 12,
    ) -> list[Plan]:
        """Compose plans.

        Parameters
        ----------
        seeds : sequence of n ints
            One for each plan, which depends on no other plan; see `clara.sampling.settings.piece_seeds`.
        n_bars : int, optional
            Number of bars of each plan, those of the beginning included.
        quarters : float, optional
            Instead of `n_bars`: the length that the whole bars of each plan come nearest to.
        time_signature : (numerator, denominator), optional
            Of the first bar (default: drawn for each plan; of the beginning).
        home : int, optional
            Home key, numbered as in `Plan` (default: drawn for each plan; of the beginning).
        temperature : float
            Lower is more predictable.
        beginning : Plan, optional
            Bars that each plan begins with, exactly as they are.
        form : Form, optional
            How the bars return, counted from the first bar of the piece; what it leaves open is composed. Without a
            length, a plan is as long as its form.
        ending : bool
            Whether the last bars are in the home key.
        attributes : sequence of str
            What to compose beside time signatures and returns; the rest stays open.
        steps_per_quarter : int
            Grid of the plans (default: 12; of the beginning).

        Returns
        -------
        list of n Plans

        Raises
        ------
        BadSetting
            If a length, time signature or key is out of range, the form is longer than the piece, or the beginning
            leaves no bar to compose.
        """
        if form is not None:
            n_bars = len(form) if n_bars is None and quarters is None else n_bars
            time_signature = time_signature or form.time_signature
        _check_request(seeds, n_bars, quarters, temperature, home)
        n_kept = 0
        if beginning is not None:
            steps_per_quarter, n_kept = beginning.steps_per_quarter, len(beginning)
            home = beginning.home if home is None and beginning.home != UNKNOWN else home
        if time_signature is not None:
            _check_signature(time_signature, steps_per_quarter)
        requests = []
        for seed in seeds:
            at = np.random.default_rng([seed, 1]).random(3)
            key = home if home is not None else self.start.draw_home(at[HOME_DRAW])
            start = beginning or self._draw_start(n_bars, quarters, time_signature, steps_per_quarter, at)
            length = n_bars or _bars_of_quarters(start, n_kept, quarters)
            if length <= n_kept:
                raise BadSetting(f"the beginning has {n_kept} bars already; ask for more than that, not {length}")
            if form is not None and length < len(form):
                raise BadSetting(f"the form has {len(form)} bars, but the piece only {length}; ask for a longer piece")
            requests.append(PlanRequest(start, n_kept, key, length, seed, quarters, form, ending=ending))
        plans = []
        for first in range(0, len(requests), MAX_PLANS_TOGETHER):
            part = requests[first : first + MAX_PLANS_TOGETHER]
            plans += PlanComposer(self.network, self.start.signatures, part, temperature, attributes).compose()
        return plans

    def complete(
        self, plan: Plan, *, seed: int, temperature: float = 1.0, home: int | None = None, ending: bool = False
    ) -> Plan:
        """Return a plan whose open relations and attributes are composed; all that is known stays.

        Parameters
        ----------
        plan : Plan
        seed : int
        temperature : float
        home : int, optional
            Home key (default: that of the plan, or drawn).
        ending : bool
            Whether the last bars are in the home key, where the plan leaves their key open.

        Raises
        ------
        BadSetting
            If a bar cannot return as the plan says.
        """
        if home is None:
            at = np.random.default_rng([seed, 1]).random(3)
            home = plan.home if plan.home != UNKNOWN else self.start.draw_home(at[HOME_DRAW])
        plan = replace(plan, home=home)
        request = PlanRequest(plan, 0, home, len(plan), seed, known=plan, ending=ending)
        (composed,) = PlanComposer(self.network, self.start.signatures, [request], temperature).compose()
        filled = {}
        for name in ATTRIBUTES:
            known = getattr(plan, name)
            filled[name] = np.where(known == UNKNOWN, getattr(composed, name), known)
        for name in ("source", "shift", "relation"):
            filled[name] = np.where(plan.relation == UNKNOWN, getattr(composed, name), getattr(plan, name))
        return replace(plan, **filled)

    def nats(self, plan: Plan) -> float:
        """Return the cost of a plan in nats: the negative log-probability of all that it says."""
        return sum(self.nats_by_kind(plan).values())

    def nats_by_kind(self, plan: Plan) -> dict[str, float]:
        """Return the cost of a plan in nats by what is said.

        The kinds are `length`, `upbeat` and `home` and those of `clara.form.plan_tokens.KINDS`. What a plan leaves open
        costs nothing, and what else it says is reckoned without it.
        """
        costs = {**self.start.nats(plan)}
        with torch.no_grad():
            log_probs = self.network(PlanRows.from_plans([plan], self.start.signatures))
        for kind, values in log_probs.items():
            costs[KINDS[kind]] = costs.get(KINDS[kind], 0.0) - float(values.sum())
        return costs

    def _draw_start(self, n_bars, quarters, time_signature, steps_per_quarter, at):
        """Draw time signature and upbeat of a new piece, and return its first bar, open."""
        if time_signature is None:
            fits = [bar_quarters(s) * steps_per_quarter % 1 == 0 for s in self.start.signatures]
            if not any(fits):
                raise BadSetting(f"no time signature of the planner fits {steps_per_quarter} steps per quarter note")
            index = self.start.draw_signature(n_bars, quarters, np.array(fits), at[SIGNATURE_DRAW])
            time_signature = self.start.signatures[index]
        upbeat = self.start.draw_upbeat(time_signature, steps_per_quarter, at[UPBEAT_DRAW])
        return open_bar(time_signature, upbeat, steps_per_quarter)


def open_bar(time_signature: tuple[int, int], upbeat_steps: int, steps_per_quarter: int) -> Plan:
    """Return a plan of one bar of which nothing is known but its time signature and where the music begins.

    Parameters
    ----------
    time_signature : (numerator, denominator)
    upbeat_steps : int
        Steps from the beginning of the music to the next barline; 0 for a full bar.
    steps_per_quarter : int
    """
    steps = int(bar_quarters(time_signature) * steps_per_quarter)
    first = upbeat_steps - steps if upbeat_steps else 0
    numerator, denominator = time_signature
    unknown = np.array([UNKNOWN])
    return Plan(
        begin=np.array([first, first + steps]),
        numerator=np.array([numerator]),
        denominator=np.array([denominator]),
        relation=np.array([NEW]),
        source=unknown,
        shift=np.array([0]),
        **dict.fromkeys(ATTRIBUTES, unknown),
        steps_per_quarter=steps_per_quarter,
    )


def _bars_of_quarters(start, n_kept, quarters):
    """Return the number of bars whose length is nearest to a number of quarters."""
    steps = start.begin[-1] - start.begin[-2]
    rest = quarters * start.steps_per_quarter - start.n_steps
    return max(n_kept + 1, len(start) + round(rest / steps))


def _check_request(seeds, n_bars, quarters, temperature, home):
    """Raise BadSetting for a request that cannot be met."""
    if not len(seeds):
        raise BadSetting("no seeds: give one for each plan")
    if min(seeds) < 0:
        raise BadSetting(f"seed {min(seeds)}: must be at least 0")
    if (n_bars is None) == (quarters is None):
        raise BadSetting("give the length of a plan either in bars or in quarters")
    if n_bars is not None and not 1 <= n_bars <= MAX_BARS:
        raise BadSetting(f"{n_bars} bars: a plan has from 1 to {MAX_BARS:,}")
    if quarters is not None and not 0 < quarters <= MAX_QUARTERS:
        raise BadSetting(f"{quarters} quarters: a plan has from 1 to {MAX_QUARTERS:,}")
    if not 0 < temperature < float("inf"):
        raise BadSetting(f"temperature {temperature}: must be above 0")
    if home is not None and not 0 <= home < N_KEYS:
        raise BadSetting(f"home key {home}: must be from 0 (C major) to {N_KEYS - 1} (B minor)")


def _check_signature(time_signature, steps_per_quarter):
    """Raise BadSetting for a time signature that is none, or that the grid cannot hold."""
    numerator, denominator = time_signature
    if not (1 <= numerator <= MAX_SIGNATURE_NUMBER and 1 <= denominator <= MAX_SIGNATURE_NUMBER):
        raise BadSetting(f"{numerator}/{denominator}: both must be from 1 to {MAX_SIGNATURE_NUMBER}")
    if 4 * numerator * steps_per_quarter % denominator:
        raise BadSetting(
            f"{numerator}/{denominator}: a bar has no whole number of steps at {steps_per_quarter} per quarter note; "
            "choose another time signature or a finer grid"
        )
