"""The folder that composing leaves: pieces, ranking, what made them, a page to listen.

`01.mid`, `01.wav`, `01.txt`, `01.png` and so on, best first; `ranking.csv`, a row per
piece; `run.json`, enough to make the same again; `index.html`, which opens from disk,
needs no server and no network, and holds what it plays. Human excerpts of a blind test
lie in `human/`, and are in no ranking.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from clara.files import make_folder, write_atomically
from clara.music.midi import write_midi
from clara.rendering.audio import encode_audio, has_mp3, synthesize
from clara.rendering.listening_page import HUMAN, MACHINE, PageEntry, PageSound, render_page
from clara.rendering.plots import plot_piano_roll

EMBEDDED_BYTES = 24 << 20  # of sound in a page, about two hours; what is beyond is played from the files beside it
HUMAN_FOLDER = "human"


def write_playlist(
    samples,
    folder,
    run,
    scores=None,
    *,
    audio="wav",
    soundfont=None,
    flat=False,
    pictures=True,
    humans=(),
    human_scores=None,
    on_piece=None,
):
    """Write a batch of pieces, in the order given, and the page that plays them.

    Parameters
    ----------
    samples : list of `clara.generator.Sample`, best first
    folder : an existing, empty folder
    run : dict for run.json; those of a piece that its `settings` name stand in the ranking too, and its `seed` mixes a blind test
    scores : list of dict, what each piece was ranked by, or None
    audio : form of the audio files, in `clara.rendering.audio.FORMATS`, or None for no sound
    soundfont, flat : as `clara.rendering.audio.synthesize` takes them
    pictures : draw piano rolls as PNG
    humans : list of `clara.rendering.blind_test.HumanExcerpt` to mix in, which makes the page a blind test
    human_scores : as `scores`
    on_piece : function(), called after each piece

    Returns
    -------
    list of dict, the rows of ranking.csv

    Raises
    ------
    CannotWrite
        Naming the file.
    BadSetting
        For a soundfont or a form of audio that there is not.
    """
    folder, rows, entries = Path(folder), [], []
    for name, sample, told in _named(samples, scores):
        files = _write_piece(sample, folder, name, audio, soundfont, flat, pictures)
        rows.append(
            {"rank": len(rows) + 1, "file": f"{name}.mid", "seed": sample.seed}
            | _figures(sample)
            | told
            | {k: getattr(sample.settings, k) for k in run.get("settings", {})}
        )
        entries.append(
            PageEntry(
                figures=_figures(sample) | {"seed": sample.seed},
                scores=told,
                by=MACHINE,
                title=f"Machine: composed by Clara, {name}.mid.",
                **files,
            )
        )
        if on_piece:
            on_piece()
    if humans:
        make_folder(folder / HUMAN_FOLDER)
    for name, excerpt, told in _named(humans, human_scores):
        files = _write_piece(excerpt, folder, f"{HUMAN_FOLDER}/{name}", audio, soundfont, flat, pictures)
        entries.append(
            PageEntry(figures=_figures(excerpt), scores=told, by=HUMAN, title=f"Human: {excerpt.title}.", **files)
        )
        if on_piece:
            on_piece()
    write_atomically(folder / "ranking.csv", pd.DataFrame(rows).to_csv(index=False))
    write_atomically(folder / "run.json", json.dumps(run, indent=1) + "\n")
    order = np.random.default_rng(run.get("seed")).permutation(len(entries)) if humans else range(len(entries))
    write_atomically(folder / "index.html", render_page(_embeddable([entries[i] for i in order]), run))
    return rows


def _named(pieces, scores):
    """Each piece with the name of its files and its scores."""
    width = max(2, len(str(len(pieces))))
    return [
        (f"{n:0{width}d}", piece, told)
        for n, (piece, told) in enumerate(zip(pieces, scores or [{}] * len(pieces)), start=1)
    ]


def _figures(piece):
    """What is told of a piece in numbers."""
    return {
        "notes": len(piece.notes),
        "quarters": round(piece.notes.quarters, 3),
        "seconds": round(piece.notes.seconds, 1),
        "words": len(piece.tokens),
    }


def _write_piece(piece, folder, name, audio, soundfont, flat, pictures):
    """One piece's MIDI, text, picture and sound, and what its Entry takes of them."""
    stem, beside = folder / name, {"text": f"{name}.txt"}
    write_midi(piece.notes, stem.with_suffix(".mid"), flat)
    write_atomically(stem.with_suffix(".txt"), " ".join(piece.tokens) + "\n")
    if pictures:
        plot_piano_roll(piece.notes, stem.with_suffix(".png"), prompt_quarters=piece.prompt_quarters)
        beside["picture"] = f"{name}.png"
    if audio:
        sound = synthesize(piece.notes, soundfont, flat)
        write_atomically(stem.with_suffix(f".{audio}"), encode_audio(sound, audio))
        beside[audio.upper()] = f"{name}.{audio}"
    return {
        "notes": piece.notes,
        "prompt_quarters": piece.prompt_quarters,
        "midi": stem.with_suffix(".mid").read_bytes(),
        "midi_name": name.replace("/", "-") + ".mid",
        "beside": beside,
        "sound": _sound(sound, audio, name) if audio else None,
    }


def _sound(sound, audio, name):
    """What the page plays: a small MP3 where this machine can write one."""
    data = encode_audio(sound, "mp3", small=True) if has_mp3() else None
    return PageSound("mp3" if data else audio, data, f"{name}.{audio}")


def _embeddable(entries):
    """The entries, those with a link in place of their sound that a page would become too large with."""
    total, kept = 0, []
    for e in entries:
        total += len(e.sound.data) if e.sound and e.sound.data else 0
        kept.append(replace(e, sound=replace(e.sound, data=None)) if e.sound and total > EMBEDDED_BYTES else e)
    return kept
