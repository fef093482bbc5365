"""What the folder of a generator says about it: its size, and the corpus that it was trained on."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from clara.checkpoints.checkpoint import CONFIG
from clara.checkpoints.shipped_models import find_model
from clara.errors import BadSetting
from clara.records import Record, read_record


class ModelArguments(Record):
    """The part of a model's training flags that says what it was trained on."""

    data: str | None = None


class ModelTraining(Record):
    """What a model records of its training."""

    arguments: ModelArguments = ModelArguments()


class TrainedModel(Record):
    """The part of a model's `config.json` that says how large it is and how it was trained."""

    n_parameters: Annotated[int, Field(ge=1)]
    training: ModelTraining | None = None


def read_trained_model(model: str | Path) -> TrainedModel:
    """Read the `config.json` of a run folder or a shipped model.

    Raises
    ------
    MissingModel
        If there is no such model.
    CheckpointMismatch
        If the file is missing or broken.
    """
    return read_record(find_model(model) / CONFIG, TrainedModel)


def corpus_of(model: str | Path) -> str:
    """Return the folder of the corpus that a model was trained on.

    Raises
    ------
    BadSetting
        If the model does not record it, or if it is not there.
    MissingModel, CheckpointMismatch
        If the model cannot be read.
    """
    training = read_trained_model(model).training
    corpus = training and training.arguments.data
    if not corpus:
        raise BadSetting(f"{model}: it does not record the corpus that it was trained on; name one (--corpus)")
    if not Path(corpus).is_dir():
        raise BadSetting(f"{model}: it was trained on {corpus}, which is not here; name a corpus (--corpus)")
    return corpus
