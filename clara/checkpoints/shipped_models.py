"""Find the trained models that are part of Clara, by name and from any folder."""

from pathlib import Path

from clara.errors import ClaraError

CONFIG = "config.json"


class MissingModel(ClaraError):
    """A model that is neither a folder nor one of the shipped models."""


def shipped_models_folder() -> Path:
    """Return the folder of the shipped models: `clara/pretrained` in a wheel, `pretrained` in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "pretrained"
    return installed if installed.is_dir() else package.parent / "pretrained"


def shipped_model_names() -> list[str]:
    """Return the names of the shipped models, sorted."""
    return sorted(path.parent.name for path in shipped_models_folder().glob(f"*/{CONFIG}"))


def find_model(model: str | Path) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    model : str or Path
        A run folder, or the name of a shipped model such as ``"notewise"``. A folder that exists takes precedence.

    Raises
    ------
    MissingModel
        If there is no such folder and no shipped model has this name.
    """
    path = Path(model)
    if path.is_dir():
        return path
    names = shipped_model_names()
    shipped = shipped_models_folder() / path.name
    if path.name in names and path.parent in (Path(), Path("pretrained")):
        return shipped
    known = ", ".join(names) or "none: the weights are missing from this installation, so install Clara again"
    raise MissingModel(f"{model}: no such model folder; the shipped models are {known}")


def is_shipped(model: str | Path) -> bool:
    """Return whether `find_model` returns the folder of a shipped model."""
    return find_model(model).resolve().parent == shipped_models_folder().resolve()
