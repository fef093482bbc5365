"""The settings of a training run: one dataclass, a field for each flag of `clara train`."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from clara.errors import BadSetting
from clara.records import Record, describe, read_record

STARTED = "started.json"  # in a run folder: the command, the commit and the settings that it was started with
MODEL_FIELDS = ("emb_sz", "n_hid", "n_layers", "input_p", "hidden_p", "output_p", "embed_p", "weight_p")
PER_CALL_FIELDS = ("out", "resume")  # not part of a run: where it stands, and whether this call continues it
CHANGEABLE_FIELDS = ("resume", "out", "epochs", "patience", "device", "threads")  # when a run is resumed

Size = Annotated[int, Field(ge=1, le=2**16)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class StartedRecord(Record):
    """The content of started.json; `TrainSettings.load` checks its arguments."""

    model_config = ConfigDict(extra="allow")

    arguments: dict[str, JsonValue]
    data: dict[str, JsonValue] = {}
    replay_data: dict[str, JsonValue] = {}
    resumed: list[JsonValue] = []


def read_started(folder: str | Path) -> StartedRecord:
    """Read started.json of a run folder; raise BadSetting if it is missing or broken."""
    return read_record(Path(folder) / STARTED, StartedRecord, BadSetting)


@dataclass(frozen=True)
class TrainSettings:
    """What to train, on what, and how.

    Attributes
    ----------
    data : str
        Folder of a prepared corpus.
    out : str
        Run folder to write.
    encoding : str
        Name of the encoding; `data` must have it.
    replay_data : str or None
        Folder of another prepared corpus, part of which is mixed in against forgetting.
    replay_share : float
        Share of an epoch's tokens that come from `replay_data`.
    pretrained : str or None
        Run folder or name of a shipped model to start from; None only with `from_scratch`.
    from_scratch : bool
        Start from random weights.
    resume : bool
        Continue the run in `out`.
    device, precision : str
        "auto" or the name of a torch device; "auto", "bf16" or "float32".
    threads : int or None
        CPU threads; None for torch's default.
    seed : int
        Seed of weights, order, keys and dropout.
    epochs, patience : int
        Passes over the music, and epochs without progress before the run stops.
    lr : float or None
        Highest learning rate; None for 3e-3 from scratch and 1e-3 for fine-tuning.
    schedule : str
        A name in `clara.training.stages.SCHEDULES`.
    bs : int or None
        Streams side by side; None for 4 to 64, by the amount of music.
    bptt : int
        Tokens of a stream between updates.
    wd, clip : float
        Weight decay, and the largest norm of the gradient.
    moms : tuple of float
        Decay of Adam's two moving averages.
    alpha, beta : float
        Weights of activation regularisation (AR) and temporal activation regularisation (TAR).
    all_layers : bool
        Fine-tune all layers from the first epoch, at one learning rate.
    tensorboard, find_lr : bool
        Also write TensorBoard events; only search a learning rate.
    follow_plans : bool or None
        Read the plan of each piece beside its tokens; None for what the pretrained model does. See `music_learner`.
    arch : str
        Name in `clara.models.ARCHITECTURES`.
    drop_mult : float
        Factor for all dropouts.
    emb_sz, n_hid, n_layers : int or None
        Sizes; None for the architecture's default.
    input_p, hidden_p, output_p, embed_p, weight_p : float or None
        Dropout probabilities; None for the architecture's default.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, allow_inf_nan=False)  # of settings that a file holds

    data: str
    out: str
    encoding: str = "notewise"
    replay_data: str | None = None
    replay_share: float = 0.25
    pretrained: str | None = None
    from_scratch: bool = False
    resume: bool = False
    device: str = "auto"
    precision: str = "auto"
    threads: Size | None = None
    seed: int = 0
    epochs: Annotated[int, Field(ge=1)] = 24
    patience: int = 8
    lr: float | None = None
    schedule: str = "one_cycle"
    bs: Size | None = None
    bptt: Size = 200
    wd: float = 0.01
    moms: tuple[float, ...] = (0.7, 0.99)
    alpha: float = 2.0
    beta: float = 1.0
    clip: float = 0.25
    all_layers: bool = False
    tensorboard: bool = False
    find_lr: bool = False
    follow_plans: bool | None = None
    arch: str = "awd_lstm"
    drop_mult: float = 1.0
    emb_sz: Size | None = None
    n_hid: Size | None = None
    n_layers: Size | None = None
    input_p: Probability | None = None
    hidden_p: Probability | None = None
    output_p: Probability | None = None
    embed_p: Probability | None = None
    weight_p: Probability | None = None

    def model_config(self) -> dict[str, Any]:
        """Return the sizes and dropouts that were chosen, without those left to the architecture.

        Raises
        ------
        BadSetting
            If the architecture does not know one of them.
        """
        from clara.models import get_architecture

        config = {name: getattr(self, name) for name in MODEL_FIELDS if getattr(self, name) is not None}
        known = get_architecture(self.arch).DEFAULTS
        unknown = [f"--{name.replace('_', '-')}" for name in config if name not in known]
        if unknown:
            raise BadSetting(f"{', '.join(unknown)} does not go with --arch {self.arch}")
        return config

    def to_dict(self) -> dict[str, Any]:
        """Return what a run folder records: all fields but those of a single call."""
        return {name: value for name, value in asdict(self).items() if name not in PER_CALL_FIELDS}

    @classmethod
    def load(cls, folder: str | Path) -> "TrainSettings":
        """Return the settings that a run was started with, ready to resume it.

        Raises
        ------
        BadSetting
            If the folder holds no run of this version of Clara.
        """
        path = Path(folder) / STARTED
        if not path.is_file():
            raise BadSetting(f"{folder}: no run to resume there ({STARTED} is missing)")
        arguments = read_started(folder).arguments
        unknown = arguments.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise BadSetting(f"{path}: a run of another version of Clara, with {', '.join(sorted(unknown))}")
        try:
            settings = TypeAdapter(cls).validate_json(json.dumps(arguments | {"out": str(folder), "resume": True}))
        except ValidationError as e:
            raise BadSetting(f"{path}: arguments.{describe(e)}") from e
        return settings
