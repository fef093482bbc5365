"""A recipe: what a trial chooses, from the corpus to the temperature."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

SIZES = ("emb_sz", "n_hid", "n_layers")
SAMPLING = ("temperature", "top_p")


@dataclass(frozen=True)
class Recipe:
    """How a model is trained and how it composes; the defaults are those of `clara train` and of composing.

    Attributes
    ----------
    data : str
        Folder of the corpus, which decides on encoding and grid.
    emb_sz, n_hid, n_layers : int or None
        Sizes of an AWD-LSTM; None for those of the pretrained model.
    drop_mult : float
        Factor for all dropouts.
    lr : float
        Highest learning rate.
    schedule : str
        A name in `clara.training.stages.SCHEDULES`.
    bs, bptt : int
        Streams side by side, and tokens between updates.
    wd : float
        Weight decay.
    regularize : bool
        Whether activations are regularized (AR and TAR, with the weights 2 and 1).
    temperature, top_p : float or None
        Of sampling; None where nothing is composed.
    """

    data: str
    emb_sz: int | None = 400
    n_hid: int | None = 600
    n_layers: int | None = 4
    drop_mult: float = 1.0
    lr: float = 3e-3
    schedule: str = "one_cycle"
    bs: int = 16
    bptt: int = 200
    wd: float = 0.01
    regularize: bool = True
    temperature: float | None = None
    top_p: float | None = None

    def sizes(self) -> dict[str, int]:
        """Return the sizes that it chooses."""
        return {name: getattr(self, name) for name in SIZES if getattr(self, name) is not None}

    def flags(self, pretrained: str | None = None) -> list[str]:
        """Return the flags of `clara train` that train by it, on as many epochs as one likes."""
        regularization = [] if self.regularize else ["--alpha", "0", "--beta", "0"]
        sizes = [part for name, size in self.sizes().items() for part in (f"--{name.replace('_', '-')}", str(size))]
        start = ["--pretrained", pretrained, "--all-layers"] if pretrained else ["--from-scratch"]
        rates = ["--drop-mult", f"{self.drop_mult:g}", "--lr", f"{self.lr:.2g}", "--wd", f"{self.wd:.2g}"]
        batches = ["--schedule", self.schedule, "--bs", str(self.bs), "--bptt", str(self.bptt)]
        return ["--data", self.data, *start, *sizes, *rates, *batches, *regularization]


def suggest_recipe(trial: Any, corpora: Sequence[str], pretrained: bool, composes: bool) -> Recipe:
    """Let a trial choose a recipe.

    Parameters
    ----------
    trial : optuna.Trial
    corpora : sequence of str
        Folders to choose from.
    pretrained : bool
        Fine-tune, so that the sizes are given.
    composes : bool
        Also choose how to sample.
    """
    sizes: dict[str, Any] = dict.fromkeys(SIZES)
    if not pretrained:
        sizes = {
            "emb_sz": trial.suggest_int("emb_sz", 64, 448, step=64),
            "n_hid": trial.suggest_int("n_hid", 128, 1024, step=128),
            "n_layers": trial.suggest_int("n_layers", 1, 4),
        }
    sampling = {}
    if composes:
        sampling = {
            "temperature": trial.suggest_float("temperature", 0.7, 1.2),
            "top_p": trial.suggest_float("top_p", 0.9, 1.0),
        }
    return Recipe(
        data=trial.suggest_categorical("data", list(corpora)) if len(corpora) > 1 else corpora[0],
        **sizes,
        drop_mult=trial.suggest_float("drop_mult", 0.02, 1.0, log=True),
        lr=trial.suggest_float("lr", 3e-4, 2e-2, log=True),
        schedule=trial.suggest_categorical("schedule", ["one_cycle", "flat_cos"]),
        bs=trial.suggest_categorical("bs", [4, 8, 16, 32, 64]),
        bptt=trial.suggest_categorical("bptt", [60, 100, 160, 200]),
        wd=trial.suggest_float("wd", 1e-3, 0.1, log=True),
        regularize=trial.suggest_categorical("regularize", [True, False]),
        **sampling,
    )


def default_choices(corpora: Sequence[str], pretrained: bool, composes: bool) -> dict[str, Any]:
    """Return the choices of the default recipe, as a trial makes them; parameters as for `suggest_recipe`."""
    recipe = Recipe(corpora[0], lr=1e-3 if pretrained else 3e-3, temperature=0.9, top_p=0.98)
    choices = asdict(recipe) | {"emb_sz": 384, "n_hid": 640}  # the nearest in the space
    left_out = (
        *(SIZES if pretrained else ()),
        *(() if composes else SAMPLING),
        *(() if len(corpora) > 1 else ["data"]),
    )
    return {name: value for name, value in choices.items() if name not in left_out}
