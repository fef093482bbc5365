"""The folder that composing leaves: pieces, ranking, what made them, a page to listen.

`01.mid`, `01.wav`, `01.txt`, `01.png` and so on, best first; `ranking.csv`, a row per
piece; `run.json`, enough to make the same again; `index.html`, which opens from disk
and needs no server and no network.

Contents: `write_playlist`.
"""

import html
import json
from pathlib import Path

import pandas as pd

from clara.audio import synthesize, write_wav
from clara.files import write_whole
from clara.midi import write_midi
from clara.plots import plot_piano_roll

STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
article { border-top: 1px solid var(--line); padding: 1rem 0; }
audio { width: 100%; } img { width: 100%; background: white; border-radius: 4px; }
dl { display: flex; flex-wrap: wrap; gap: 0 1.5rem; margin: .5rem 0; } dt { opacity: .7; }
dl div { display: flex; gap: .4rem; } dd { margin: 0; } footer { opacity: .7; font-size: .9rem; }
"""


def write_playlist(samples, folder, run, scores=None, *, audio=True, pictures=True, on_piece=None):
    """Write a batch of pieces, in the order given, and the page that plays them.

    Parameters
    ----------
    samples : list of `clara.generator.Sample`, best first
    folder : an existing, empty folder
    run : dict for run.json; its `settings` stand in the ranking too
    scores : list of dict, what each piece was ranked by, or None
    audio : write WAV files
    pictures : draw piano rolls
    on_piece : function(), called after each piece

    Returns
    -------
    list of dict, the rows of ranking.csv

    Raises
    ------
    CannotWrite
        Naming the file.
    """
    folder, rows = Path(folder), []
    width = max(2, len(str(len(samples))))
    for rank, (sample, told) in enumerate(zip(samples, scores or [{}] * len(samples)), start=1):
        name = f"{rank:0{width}d}"
        _write_piece(sample, folder / name, audio, pictures)
        rows.append({"rank": rank, "file": f"{name}.mid", "seed": sample.seed, "notes": len(sample.notes),
                     "quarters": round(sample.notes.quarters, 3), "seconds": round(sample.notes.seconds, 1),
                     "words": len(sample.words)} | told | run.get("settings", {}))
        if on_piece:
            on_piece()
    write_whole(folder / "ranking.csv", pd.DataFrame(rows).to_csv(index=False))
    write_whole(folder / "run.json", json.dumps(run, indent=1) + "\n")
    write_whole(folder / "index.html", _page(rows, run, audio, pictures))
    return rows


def _write_piece(sample, stem, audio, pictures):
    """One piece's MIDI, text, picture and sound."""
    write_midi(sample.notes, stem.with_suffix(".mid"))
    write_whole(stem.with_suffix(".txt"), " ".join(sample.words) + "\n")
    if pictures:
        plot_piano_roll(sample.notes, stem.with_suffix(".png"), prompt_quarters=sample.prompt_quarters)
    if audio:
        write_wav(synthesize(sample.notes), stem.with_suffix(".wav"))


def _page(rows, run, audio, pictures):
    """The listening page."""
    pieces = "\n".join(_article(row, audio, pictures) for row in rows)
    told = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in run.get("settings", {}).items())
    prompt = f" from {html.escape(str(run['prompt']))}" if run.get("prompt") else ""
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Composed by Clara</title><style>{STYLE}</style>
<h1>Composed by Clara</h1>
<p>{len(rows)} pieces{prompt}. {html.escape(told)}.</p>
{pieces}
<footer>Model: {html.escape(str(run.get('model', '')))}. Everything needed to make these again is in
<a href="run.json">run.json</a>; all figures are in <a href="ranking.csv">ranking.csv</a>.</footer>
</html>
"""


def _article(row, audio, pictures):
    """One piece on the page."""
    name = row["file"].removesuffix(".mid")
    told = "".join(f"<div><dt>{k}</dt><dd>{row[k]}</dd></div>" for k in ("notes", "quarters", "seconds", "seed"))
    player = f'<audio controls preload="metadata" src="{name}.wav"></audio>' if audio else ""
    picture = f'<img src="{name}.png" alt="Piano roll of piece {name}: time from left to right, pitch upwards" loading="lazy">' * pictures
    return f"""<article><h2>{name}</h2>{player}
{picture}
<dl>{told}</dl><a href="{name}.mid" download>MIDI</a> · <a href="{name}.txt">text</a></article>"""
