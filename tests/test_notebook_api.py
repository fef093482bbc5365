"""The six lines of README's notebook, run as they are written, with tiny models in place of the shipped ones."""

import re

import matplotlib.pyplot as plt
import pytest
import tiny
from examples import REPOSITORY

from clara.music.midi import write_midi

pytestmark = pytest.mark.slow


@pytest.fixture
def tiny_models(tmp_path, monkeypatch):
    """Put tiny models in place of the shipped ones."""
    shipped = tmp_path / "pretrained"
    tiny.checkpoint().save(shipped / "notewise")
    tiny.classifier().save(shipped / "critic-notewise")
    monkeypatch.setattr("clara.checkpoints.shipped_models.shipped_models_folder", lambda: shipped)


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    """Run in a folder with music."""
    folder = tmp_path / "work"
    (folder / "my_midis").mkdir(parents=True)
    for seed in range(4):
        write_midi(tiny.tune(seed), folder / "my_midis" / f"{seed}.mid")
    write_midi(tiny.tune(9), folder / "bach.mid")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def notebook_of_readme():
    """Return the code of README's section "In a notebook"."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return re.search(r"## In a notebook\n.*?```python\n(.*?)```", text, re.DOTALL)[1]


def test_the_notebook_of_the_readme_runs_as_written(tiny_models, working_folder, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    code = notebook_of_readme()
    assert len([line for line in code.splitlines() if line and not line.startswith("from")]) == 6
    names = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    plt.close("all")
    assert len(names["pieces"]) == 64 and all(piece.prompt_quarters > 0 for piece in names["pieces"])
    assert len(opened) >= 1
