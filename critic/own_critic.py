"""Find the critic that was trained for a model.

`clara critic runs/mine` writes the folder `runs/mine-critic`. A critic records the hash of the weights of each model
whose music it learned from. A model uses the critic in the folder beside it if the critic learned from its present
weights. Shipped models use the shipped critics.
"""

import sys
from pathlib import Path

from clara.checkpoints.checkpoint import CONFIG, weights_hash
from clara.checkpoints.shipped_models import find_model, is_shipped
from clara.records import Hash, Name, Record, read_record
from critic.members.storage import require_files

SUFFIX = "-critic"


class TrainedExcerpts(Record):
    """What a critic records of the excerpts that it learned from: the hash of the weights of each model by its name."""

    models: dict[Name, Hash] = {}


class Training(Record):
    """What a critic records of its training."""

    excerpts: TrainedExcerpts = TrainedExcerpts()


class TrainedCritic(Record):
    """The part of a critic's `config.json` that says for which models it was trained."""

    training: Training = Training()


def own_critic_folder(model: str | Path) -> Path:
    """Return the folder for a model's own critic, `runs/mine-critic` for the model `runs/mine`."""
    folder = Path(model)
    if folder.name in ("", ".."):  # a path such as `.` has no name
        folder = folder.resolve()
    return folder.with_name(folder.name + SUFFIX)


def find_own_critic(model: str | Path) -> str | None:
    """Return the folder of a model's own critic, or None if it has none.

    A critic that learned from other weights is not used; a warning on stderr says so.

    Parameters
    ----------
    model : str or Path
        A run folder or the name of a shipped model.

    Raises
    ------
    MissingModel
        If there is no such model.
    CheckpointMismatch
        If the folder beside the model holds something else than a critic, or cannot be read.
    """
    folder = find_model(model)
    critic = own_critic_folder(folder)
    if is_shipped(folder) or not critic.is_dir() or not any(critic.iterdir()):
        return None
    require_files(critic, CONFIG)
    trained = read_record(critic / CONFIG, TrainedCritic).training.excerpts.models
    if weights_hash(folder) in trained.values():
        return str(critic)
    print(
        f"warning: {critic} learned from other weights than {folder} holds now, so the shipped critic ranks; train it "
        f"again (clara critic {folder}), or use it as it is (--critic {critic})",
        file=sys.stderr,
    )
    return None
