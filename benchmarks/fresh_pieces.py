"""The excerpts that a fresh judge compares: composed by a command, and human."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from record import REPOSITORY, current_commit

from clara.data.corpus import MANIFEST, Corpus
from clara.errors import BadMusicFile, NoData, NoNotes
from clara.music.midi import read_midi, write_midi
from clara.music.notes import NoteSequence, crop

STEPS_PER_QUARTER = 12
SEED_STRIDE = 1000  # between runs, because piece i of a run may use its seed + i (as Clara once did)
SETTINGS_FILE, PROMPT_FILE = "command.json", "prompt.mid"


@dataclass(frozen=True)
class Excerpt:
    """A piece to judge.

    Attributes
    ----------
    notes : NoteSequence
        At 12 steps per quarter.
    group : str
        Excerpts of one group are never on both sides of a split: a work, a run, or a prompt.
    """

    notes: NoteSequence
    group: str


def first_quarters(notes: NoteSequence, quarters: int) -> NoteSequence:
    """Return the beginning of a piece, without whole quarters of silence before it."""
    first = int(notes.start[0]) // notes.steps_per_quarter * notes.steps_per_quarter
    return crop(notes, first, first + quarters * notes.steps_per_quarter)


def human_pieces(folder: str | Path) -> Iterator[tuple[NoteSequence, str]]:
    """Yield the pieces of a prepared corpus or of a folder of MIDI files, each with the name of its work."""
    if (Path(folder) / MANIFEST).is_file():
        corpus = Corpus.load(folder)
        for piece, work in zip(corpus.manifest["piece"], corpus.manifest["work"]):
            yield corpus.encoding.decode(corpus.tokens(piece))[0], f"work {work}"
        return
    for path in sorted(Path(folder).rglob("*.mid")):
        yield read_midi(path, steps_per_quarter=STEPS_PER_QUARTER)[0], f"work {path.stem}"


def human_excerpts(folder: str | Path, quarters: int, prompt_quarters: int = 0) -> list[Excerpt]:
    """Return one excerpt of each human piece that is long enough.

    Parameters
    ----------
    folder : path
        A prepared corpus or a folder of MIDI files.
    quarters : int
        Length of an excerpt.
    prompt_quarters : int
        How much of the piece comes before the excerpt; 0 for openings.
    """
    excerpts = []
    for notes, work in human_pieces(folder):
        whole = first_quarters(notes, prompt_quarters + quarters)
        excerpt = crop(whole, prompt_quarters * STEPS_PER_QUARTER, (prompt_quarters + quarters) * STEPS_PER_QUARTER)
        first = int(notes.start[0]) // STEPS_PER_QUARTER
        is_long_enough = notes.quarters - first >= prompt_quarters + quarters  # a rest at the end is no reason
        if len(excerpt) and is_long_enough:
            excerpts.append(Excerpt(excerpt, work))
    return excerpts


def prompts(folder: str | Path, quarters: int, prompt_quarters: int, n: int, seed: int) -> list[Excerpt]:
    """Return the openings of n held-out pieces, of different works, in random order.

    Every piece sounds up to the end of the opening, so that a continuation begins there, and is long enough.
    Held-out pieces are the test and valid splits of a corpus, or all of a folder of MIDI files.
    """
    if (Path(folder) / MANIFEST).is_file():
        corpus = Corpus.load(folder)
        held_out = corpus.manifest[corpus.manifest["split"] != "train"]
        pieces = [
            (corpus.encoding.decode(corpus.tokens(piece))[0], f"work {work}")
            for piece, work in zip(held_out["piece"], held_out["work"])
        ]
    else:
        pieces = list(human_pieces(folder))
    chosen = {}
    for i in np.random.default_rng(seed).permutation(len(pieces)):
        notes, work = pieces[i]
        opening = first_quarters(notes, prompt_quarters)
        if opening.quarters == prompt_quarters and notes.quarters >= prompt_quarters + quarters:
            chosen.setdefault(work, Excerpt(opening, work))
    if len(chosen) < n:
        raise NoData(f"{folder}: only {len(chosen)} held-out works give a prompt; {n} are needed")
    return list(chosen.values())[:n]


def compose(command: str, work_folder: str | Path, n_pieces: int, seed: int, prompt_list: list[Excerpt]) -> list[Path]:
    """Run a command with one seed after the other until it has written enough pieces.

    Finished runs are kept, so an interrupted call can be repeated.

    Parameters
    ----------
    command : str
        A command that takes --seed and --out, and --prompt if there are prompts.
    work_folder : path
        Folder of the runs. It remembers the command, and refuses another one.
    n_pieces : int
    seed : int
        Of the first run.
    prompt_list : list of Excerpt
        Runs continue these in turn; empty to compose from nothing.

    Returns
    -------
    list of Path
        Folders of the runs, in order.

    Raises
    ------
    NoData
        If the folder belongs to another command, or a run writes no pieces.
    """
    work_folder = Path(work_folder)
    _remember_command(work_folder, {"command": command, "seed": seed, "prompts": [p.group for p in prompt_list]})
    runs, n = [], 0
    while n < n_pieces:
        folder = work_folder / f"run-{len(runs):04d}"
        if not folder.is_dir():
            prompt = prompt_list[len(runs) % len(prompt_list)] if prompt_list else None
            _compose_run(command, folder, seed + SEED_STRIDE * len(runs), prompt)
        runs.append(folder)
        n += len(piece_paths(folder))
        print(f"{n} pieces in {len(runs)} runs", flush=True)
    return runs


def _remember_command(folder, settings):
    """Write down the command of a work folder, or check that it is the same as before."""
    path = folder / SETTINGS_FILE
    folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        content = settings | {"commit": current_commit()}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    elif {key: value for key, value in read_settings(folder).items() if key != "commit"} != settings:
        raise NoData(f"{folder}: holds the pieces of another command, see {path}; choose another --work folder")


def read_settings(work_folder: str | Path) -> dict:
    """Return the command, the seed, the prompts and the commit of a work folder."""
    return json.loads((Path(work_folder) / SETTINGS_FILE).read_text(encoding="utf-8"))


def _compose_run(command, folder, seed, prompt):
    """Run a command once; its folder gets its final name only when the command has succeeded."""
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    arguments = shlex.split(command)
    if arguments[0] == "python":
        arguments[0] = sys.executable
    arguments += ["--seed", str(seed), "--out", str(unfinished.absolute())]
    if prompt is not None:
        path = folder.with_name(f"{folder.name}-{PROMPT_FILE}").absolute()
        write_midi(prompt.notes, path)
        arguments += ["--prompt", str(path)]
    subprocess.run(arguments, cwd=REPOSITORY, check=True)
    if not piece_paths(unfinished):
        raise NoData(f"{unfinished}: the command wrote no MIDI files: {command}")
    unfinished.rename(folder)


def piece_paths(folder: str | Path) -> list[Path]:
    """Return the MIDI files of a run."""
    return sorted(Path(folder).glob("*.mid"))


def composed_excerpts(
    runs: list[Path], quarters: int, n_folds: int, prompt_list: list[Excerpt], prompt_quarters: int
) -> list[Excerpt]:
    """Return the composed excerpts of runs.

    Excerpts are grouped by the work of their prompt, or by run. If there are fewer than twice as many groups as folds,
    each piece is a group of its own, because pieces with different seeds are composed independently of each other.
    """
    excerpts = []
    enough_groups = len(prompt_list or runs) >= 2 * n_folds
    for i, run in enumerate(runs):
        group = prompt_list[i % len(prompt_list)].group if prompt_list else run.name
        for path in piece_paths(run):
            excerpt = _composed_excerpt(path, quarters, prompt_quarters if prompt_list else 0)
            if excerpt is not None:
                excerpts.append(Excerpt(excerpt, group if enough_groups else f"{run.name}/{path.stem}"))
    return excerpts


def folder_excerpts(folder: str | Path, quarters: int, prompt_quarters: int = 0) -> list[Excerpt]:
    """Return excerpts of all MIDI files below a folder; each is a group of its own."""
    excerpts = []
    for path in sorted(Path(folder).rglob("*.mid")):
        excerpt = _composed_excerpt(path, quarters, prompt_quarters)
        if excerpt is not None:
            excerpts.append(Excerpt(excerpt, str(path)))
    return excerpts


def _composed_excerpt(path, quarters, prompt_quarters):
    """Return the excerpt of a MIDI file; None if nothing is in it."""
    try:
        notes = read_midi(path, steps_per_quarter=STEPS_PER_QUARTER)[0]
    except (BadMusicFile, NoNotes):
        return None
    if prompt_quarters:
        start = prompt_quarters * STEPS_PER_QUARTER
        notes = crop(notes, start, start + quarters * STEPS_PER_QUARTER)
    else:
        notes = first_quarters(notes, quarters)
    return notes if len(notes) else None
