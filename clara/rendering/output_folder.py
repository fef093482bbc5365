"""The folder that composing leaves: the pieces, their ranking, the settings, and a page to listen to them.

====================  ==========================================================================
file                  content
====================  ==========================================================================
01.mid, 01.txt, …     each piece as MIDI and text, with a picture and audio if wanted, best first
01.plan.csv, …        the plan that each piece follows, if its model follows plans
ranking.csv           one row for each piece
run.json              everything needed to compose the same pieces again
index.html            the listening page; it holds what it plays and needs no server, no network
human/                the human excerpts of a blind test, which are in no ranking
====================  ==========================================================================
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from clara.files import make_folder, write_atomically
from clara.form.plan_files import write_plan
from clara.form.sections import find_sections, format_sections
from clara.music.bars import describe_time_signatures
from clara.music.expression import Expression, unperformed
from clara.music.midi import write_midi
from clara.rendering.audio import encode_audio, has_mp3, synthesize
from clara.rendering.listening_page import HUMAN, MACHINE, PageEntry, PageSound, render_page
from clara.rendering.plots import plot_piano_roll

EMBEDDED_BYTES = 24 << 20  # of sound in a page, about two hours; pieces beyond that play from the files beside it
SOUND_THREADS = 2  # encoding MP3 takes longer than drawing
HUMAN_FOLDER = "human"
PLAN_SUFFIX = ".plan.csv"


@dataclass(frozen=True)
class RenderSettings:
    """How pieces become files.

    Attributes
    ----------
    audio_format : str or None
        In `clara.rendering.audio.AUDIO_FORMATS`, or None for no sound.
    soundfont : path, optional
        An .sf2 file (default: the one that pretty_midi installs).
    flat : bool
        Play every note equally loud, at one tempo and without pedal (default: the pieces are performed).
    pictures : bool
        Draw piano rolls as PNG.
    spread_chords : bool
        Spread chords in MIDI as in the audio; see `clara.performing.chords`.
    """

    audio_format: str | None = "wav"
    soundfont: str | Path | None = None
    flat: bool = False
    pictures: bool = True
    spread_chords: bool = False

    def expression_of(self, piece) -> Expression:
        """Return how a `Sample` or a `HumanExcerpt` is played."""
        return unperformed(piece.notes, flat=True) if self.flat else piece.expression


def write_playlist(
    samples: Sequence,
    folder: str | Path,
    run: dict,
    scores: Sequence[dict] | None = None,
    render: RenderSettings | None = None,
    excerpts: Sequence = (),
    excerpt_scores: Sequence[dict] | None = None,
    on_piece: Callable | None = None,
) -> list[dict]:
    """Write pieces in the given order, and the page that plays them.

    Parameters
    ----------
    samples : sequence of clara.generation.generator.Sample
        Best first.
    folder : path
        An existing, empty folder.
    run : dict
        The content of run.json. The sampling settings that its `settings` name are columns of the ranking too. Its
        `seed` shuffles a blind test.
    scores : sequence of dict, optional
        For each piece the scores that it was ranked by.
    render : RenderSettings, optional
    excerpts : sequence of clara.rendering.blind_test.HumanExcerpt
        Human music to mix in; the page then is a blind test.
    excerpt_scores : sequence of dict, optional
        As `scores`, of the excerpts.
    on_piece : function(), optional
        Called after each piece.

    Returns
    -------
    list of dict
        The rows of ranking.csv.

    Raises
    ------
    CannotWrite
        Naming the file.
    BadSetting
        If the soundfont is missing or broken, or the audio format is unknown.
    """
    folder = Path(folder)
    render = render or RenderSettings()
    machine = _with_names_and_scores(samples, scores)
    human = [(f"{HUMAN_FOLDER}/{name}", *rest) for name, *rest in _with_names_and_scores(excerpts, excerpt_scores)]
    if human:
        make_folder(folder / HUMAN_FOLDER)
    rows = []
    entries = []
    pool = ThreadPoolExecutor(SOUND_THREADS)  # these write the sound while this thread draws
    try:
        sounds = {
            name: pool.submit(_write_audio, piece, folder, f"{name}.{render.audio_format}", render)
            for name, piece, _ in machine + human
            if render.audio_format
        }
        for name, sample, piece_scores in machine:
            title = f"Machine: composed by Clara, {name}.mid."
            entries.append(_write_piece(sample, folder, name, piece_scores, render, MACHINE, title, sounds.get(name)))
            rows.append(_ranking_row(len(rows) + 1, name, sample, piece_scores, run, render))
            if on_piece:
                on_piece()
        for name, excerpt, piece_scores in human:
            title = f"Human: {excerpt.title}."
            entries.append(_write_piece(excerpt, folder, name, piece_scores, render, HUMAN, title, sounds.get(name)))
            if on_piece:
                on_piece()
    finally:
        pool.shutdown(cancel_futures=True)
    write_atomically(folder / "ranking.csv", pd.DataFrame(rows).to_csv(index=False))
    write_atomically(folder / "run.json", json.dumps(run, indent=1) + "\n")
    if excerpts:
        order = np.random.default_rng(run.get("seed")).permutation(len(entries))
        entries = [entries[i] for i in order]
    write_atomically(folder / "index.html", render_page(_limit_embedded_sound(entries), run))
    return rows


def _with_names_and_scores(pieces, scores):
    """Return (name of its files, piece, scores) for each piece."""
    width = max(2, len(str(len(pieces))))
    scores = scores or [{}] * len(pieces)
    return [
        (f"{n:0{width}d}", piece, piece_scores) for n, (piece, piece_scores) in enumerate(zip(pieces, scores), start=1)
    ]


def _ranking_row(rank, name, sample, scores, run, render):
    """Return a row of ranking.csv."""
    settings = {key: getattr(sample.settings, key) for key in run.get("settings", {})}
    form = {} if sample.plan is None else {"form": format_sections(find_sections(sample.plan))}
    return (
        {"rank": rank, "file": f"{name}.mid", "seed": sample.seed} | _figures(sample, render) | form | scores | settings
    )


def _figures(piece, render):
    """Return the size of a piece by name of the figure."""
    return {
        "notes": len(piece.notes),
        "quarters": round(piece.notes.quarters, 3),
        "time_signature": describe_time_signatures(piece.notes.time_signatures),
        "seconds": round(float(render.expression_of(piece).seconds_at(piece.notes.quarters)), 1),
        "tokens": len(piece.tokens),
    }


def _write_piece(piece, folder, name, scores, render, author, title, sound):
    """Write the files of one piece, wait for its sound, and return its entry on the page."""
    stem = folder / name
    links = {"text": f"{name}.txt"}
    expression = render.expression_of(piece)
    write_midi(piece.notes, stem.with_suffix(".mid"), expression=expression, spread_chords=render.spread_chords)
    write_atomically(stem.with_suffix(".txt"), " ".join(piece.tokens) + "\n")
    plan = piece.plan if author == MACHINE else None
    if plan is not None:
        write_plan(plan, f"{stem}{PLAN_SUFFIX}")
        links["plan"] = f"{name}{PLAN_SUFFIX}"
    if render.pictures:
        plot_piano_roll(piece.notes, stem.with_suffix(".png"), prompt_quarters=piece.prompt_quarters, plan=plan)
        links["picture"] = f"{name}.png"
    if sound:
        links[render.audio_format.upper()] = f"{name}.{render.audio_format}"
    figures = _figures(piece, render)
    if author == MACHINE:
        figures["seed"] = piece.seed
    return PageEntry(
        notes=piece.notes,
        prompt_quarters=piece.prompt_quarters,
        figures=figures,
        scores=scores,
        midi=stem.with_suffix(".mid").read_bytes(),
        midi_name=name.replace("/", "-") + ".mid",
        links=links,
        sound=sound and sound.result(),
        author=author,
        title=title,
        plan=plan,
        expression=expression,
    )


def _write_audio(piece, folder, name, render):
    """Write the audio file of a piece and return the sound for the page, a small MP3 if this machine can write one."""
    sound = synthesize(piece.notes, render.soundfont, expression=render.expression_of(piece))
    write_atomically(folder / name, encode_audio(sound, render.audio_format))
    if has_mp3():
        return PageSound("mp3", encode_audio(sound, "mp3", small=True), name)
    return PageSound(render.audio_format, None, name)


def _limit_embedded_sound(entries):
    """Return the entries; those beyond EMBEDDED_BYTES link to their audio file instead of holding it."""
    total = 0
    limited = []
    for entry in entries:
        if entry.sound and entry.sound.data:
            total += len(entry.sound.data)
        if entry.sound and total > EMBEDDED_BYTES:
            entry = replace(entry, sound=replace(entry.sound, data=None))
        limited.append(entry)
    return limited
