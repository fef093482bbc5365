"""The page to listen to a batch: one HTML file that holds sound, piano rolls, scores and MIDI.

The page loads nothing but the audio files beside it. Its template, style and script are in `clara/rendering/pages/`.
Everything that people name is escaped, and the content security policy lets no other script run.
"""

import json
import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import PurePath
from string import Template

from clara.form.plan import Plan
from clara.music.expression import Expression, unperformed
from clara.music.instruments import INSTRUMENTS
from clara.music.notes import NoteSequence
from clara.rendering.audio import MEDIA_TYPES
from clara.rendering.form_strip import LEGEND, STYLE, FormStrip, form_strip_svg
from clara.rendering.roll_svg import n_pitch_rows, octave_labels, unstyled_roll_svg

HIDDEN_SETTINGS = ("about", "settings", "versions", "weights", "command")  # of run.json, which the page does not list
HUMAN = "human"
MACHINE = "machine"
MAX_LOG_ODDS = 700  # exp overflows a float above 709


@dataclass(frozen=True)
class PageSound:
    """The sound of a piece on the page.

    Attributes
    ----------
    audio_format : str
        In `clara.rendering.audio.AUDIO_FORMATS`.
    data : bytes or None
        The encoded sound to embed in the page.
    link : str
        The file beside the page that plays if there is no data.
    """

    audio_format: str
    data: bytes | None
    link: str


@dataclass(frozen=True)
class PageEntry:
    """One piece on the page.

    Attributes
    ----------
    notes : NoteSequence
    prompt_quarters : float
        Length of the prompt at the beginning of the piece.
    figures : dict
        Its size by name of the figure.
    scores : dict of str to float
        The scores that it was ranked by, or empty.
    midi : bytes
    midi_name : str
        File name under which the browser saves the MIDI.
    links : dict of str to str
        Files beside the page by label.
    sound : PageSound, optional
    author : str
        HUMAN, MACHINE or empty.
    title : str
        The answer of a blind test: who wrote it.
    plan : Plan, optional
        The plan that it was composed by.
    expression : Expression, optional
        How it is played (default: at one tempo).
    sheets : sequence of bytes
        Pages of its sheet music, as SVG, or none.
    """

    notes: NoteSequence
    prompt_quarters: float
    figures: dict
    scores: dict
    midi: bytes
    midi_name: str
    links: dict = field(default_factory=dict)
    sound: PageSound | None = None
    author: str = ""
    title: str = ""
    plan: Plan | None = None
    expression: Expression | None = None
    sheets: Sequence[bytes] = ()


def render_page(entries: Sequence[PageEntry], run: dict) -> str:
    """Return the HTML of the page.

    Parameters
    ----------
    entries : sequence of PageEntry
        In the order of the page. If one is by a human, the page is a blind test.
    run : dict
        The content of run.json.
    """
    blind = any(entry.author == HUMAN for entry in entries)
    # Composed pieces may end a little earlier than human ones; equal lengths hide that in a blind test.
    min_quarters = max((entry.notes.quarters for entry in entries), default=0) if blind else 0
    pieces = [_piece(entry, n, blind, min_quarters) for n, entry in enumerate(entries, start=1)]
    script = _read_part("js")
    return Template(_read_part("html")).substitute(
        title="Human or machine?" if blind else "Composed by Clara",
        mode="blind" if blind else "plain",
        about=_introduction(entries, run, blind),
        controls=_controls(blind, any(entry.scores for entry in entries)),
        pieces="\n".join(pieces),
        legend="" if blind else f"<p>{escape(LEGEND)}</p>",
        settings=_definition_rows(_shown_settings(run)),
        style=f"{_read_part('css')}\n{STYLE}",
        script=script,
        script_hash=f"sha256-{_base64(sha256(script_bytes(script)).digest())}",
    )


def script_bytes(script: str) -> bytes:
    """Return the bytes that a browser hashes: everything between the script tags."""
    return f"\n{script}\n".encode()


def _read_part(suffix):
    """Return the text of a file of the page."""
    return (files("clara.rendering") / "pages" / f"playlist.{suffix}").read_text(encoding="utf-8").strip()


def _introduction(entries, run, blind):
    """Return the sentence at the top."""
    if blind:
        how = "played flat" if run.get("flat") else "played by the same performer"
        return (
            f"People wrote some of these {len(entries)} pieces, and Clara composed the others. All are equally long, "
            f"equally fast and {how}. Listen, vote, and see how often you were right."
        )
    if "about" in run:
        return escape(run["about"])
    count = f"{len(entries)} piece{'s' * (len(entries) != 1)}"
    prompt = f" from {escape(str(run['prompt']))}" if run.get("prompt") else ""
    ranked = ", best first" if any(entry.scores for entry in entries) else ""
    model = escape(PurePath(str(run.get("model", ""))).name)
    return f"{count}{prompt}{ranked}. Model: {model}."


def _controls(blind, has_scores):
    """Return the buttons at the top."""
    voting = (
        '<p id="votes" class="voting" role="status"></p>'
        '<button id="reveal" class="voting" type="button" disabled>Show the answers</button>'
        '<p id="result" class="answers result" tabindex="-1"></p>'
    )
    hide = '<button id="hide" class="answers" type="button">Hide the scores</button>'
    return voting * blind + hide * has_scores


def _piece(entry, n, blind, min_quarters):
    """Return the article of one piece."""
    attributes = ""
    answer = ""
    if blind:
        attributes += f' data-author="{entry.author}"'
        answer = f'<p class="answer">{escape(entry.title)}</p>'
        if "critic" in entry.scores:
            attributes += f' data-critic="{entry.scores["critic"]:g}"'
    return f"""<article class="piece"{attributes}>
<div class="head">{_play_button(entry, n)}<h2>Piece {n}</h2><span class="time"></span></div>
{"" if blind else _form_strip(entry)}{_roll(entry, n, min_quarters or entry.notes.quarters)}
{_audio(entry)}{_vote(n) * blind}
<div class="answers">
{answer}{_scores(entry.scores)}
<dl class="figures">{_definition_rows(entry.figures)}</dl>
<p class="downloads">{_downloads(entry)}</p>
{_sheets(entry, n)}</div>
</article>"""


def _play_button(entry, n):
    """Return the play button, or nothing without sound."""
    return f'<button class="play" type="button" aria-label="Play piece {n}"></button>' if entry.sound else ""


def _form_strip(entry):
    """Return the strip of sections and returns above the roll, or nothing for a piece of a bar."""
    strip = FormStrip.from_notes(entry.notes, entry.plan)
    return f'<div class="form">{form_strip_svg(strip, max(entry.notes.quarters, 1))}</div>' if strip else ""


def _roll(entry, n, quarters):
    """Return the piano roll with octave labels, the slider over it and the legend."""
    labels = [
        f'<span style="top:{100 * position:.1f}%" aria-hidden="true">{name}</span>'
        for name, position in octave_labels(entry.notes)
    ]
    times = json.dumps(timing(entry.expression or unperformed(entry.notes), max(quarters, 0.1)))
    slider = (
        f'<input type="range" min="0" max="{max(quarters, 0.1):.3f}" step="any" value="0" data-times="{escape(times)}" '
        f'aria-label="Position in piece {n}">'
        if entry.sound
        else ""
    )
    svg = unstyled_roll_svg(entry.notes, entry.prompt_quarters, f"Piano roll of piece {n}", quarters)
    rows = n_pitch_rows(entry.notes)
    return f'<div class="roll" style="--rows:{rows}">{svg}{"".join(labels)}{slider}</div>{_legend(entry)}'


def timing(expression: Expression, quarters: float) -> list[list[float]]:
    """Return [place in quarters, seconds] where the tempo changes and at the end; it is constant between them."""
    places = [*expression.tempo_quarters[expression.tempo_quarters < quarters].tolist(), quarters]
    return [[round(place, 4), round(time, 3)] for place, time in zip(places, expression.seconds_at(places).tolist())]


def _legend(entry):
    """Return the meaning of the colours, or nothing if there is only one."""
    colours = [
        (f"part{part}", INSTRUMENTS[prefix].name)
        for part, prefix in enumerate(entry.notes.instruments)
        if (entry.notes.part == part).any()
    ]
    if entry.prompt_quarters:
        colours.append(("prompt", "prompt"))
    if len(colours) < 2:
        return ""
    items = [f"<span><i class={kind}></i>{escape(name)}</span>" for kind, name in colours]
    return f'<p class="key">{"".join(items)}</p>'


def _audio(entry):
    """Return the audio element; its own controls are for browsers that run no script."""
    if not entry.sound:
        return ""
    sound = entry.sound
    embedded = sound.data is not None
    source = _data_url(MEDIA_TYPES[sound.audio_format], sound.data) if embedded else escape(sound.link)
    hint = "" if embedded else " Is the audio file still beside this page?"
    return (
        f'<audio controls preload="none" src="{source}"></audio>'
        f'<p class="failed" hidden>The sound cannot be played.{hint}</p>'
    )


def _vote(n):
    """Return the form to vote human or machine."""
    return f"""
<fieldset class="vote"><legend>Who wrote piece {n}?</legend>
<label><input type="radio" name="vote{n}" value="{HUMAN}" autocomplete="off">Human</label>
<label><input type="radio" name="vote{n}" value="{MACHINE}" autocomplete="off">Machine</label></fieldset>"""


def _scores(scores):
    """Return the list of scores with their meaning."""
    # With a single score the total says nothing new.
    shown = {name: value for name, value in scores.items() if name != "total" or len(scores) > 2}
    if not shown:
        return ""
    items = [
        f"<li><b>{escape(name)} {value:.2f}</b> {escape(describe_score(name, value))}</li>"
        for name, value in shown.items()
    ]
    return f'<ul class="scores">{"".join(items)}</ul>'


def _describe_critic(log_odds):
    """Return the meaning of a log-odds."""
    verdict = HUMAN if log_odds > 0 else "generated"
    return f"log-odds human: the critic takes it for {verdict}, {_percent(_probability(abs(log_odds)))}"


# What the value of each score of `critic.scores` means.
DESCRIPTIONS = {
    "critic": _describe_critic,
    "composer": lambda value: (
        f"log-probability of this composer: {_percent(math.exp(min(value, 0)))} by the composer classifier"
    ),
    "novelty": lambda value: (
        f"human, and unlike every known composer: {100 * math.exp(min(value, 0)):.0f} points of 100"
    ),
    "likelihood": lambda value: f"the generator needs {-value:.2f} nats for each quarter; less is more predictable",
    "longest_copied_run": lambda value: (
        f"the longest passage that also occurs in the training music, in any key, has {value:.0f} notes"
    ),
    "density_likelihood": lambda value: (
        f"in human openings {100 * math.exp(min(value, 0)):.0f} % as likely a density as the likeliest"
    ),
    "note_density": lambda value: f"{2**value:.1f} notes per quarter (the score is their binary logarithm)",
    "rest_ratio": lambda value: f"nothing sounds in {100 * value:.1f} % of its quarters",
    "total": lambda value: "the sum that the pieces are ranked by",
}


def describe_score(name: str, value: float) -> str:
    """Return the meaning of a score in plain words.

    Parameters
    ----------
    name : str
        Name of a score in `critic.scores`, or `total`.
    value : float

    Returns
    -------
    str
        Empty for an unknown score.
    """
    describe = DESCRIPTIONS.get(name.partition(":")[0])
    return describe(value) if describe else ""


def _probability(log_odds):
    """Return log-odds as a probability."""
    return 1 / (1 + math.exp(-min(log_odds, MAX_LOG_ODDS)))


def _percent(p):
    """Return a probability in percent, never quite 0 or 100."""
    if p < 0.01:
        return "below 1 %"
    return "above 99 %" if p > 0.99 else f"{100 * p:.0f} %"


def _definition_rows(values):
    """Return the rows of a <dl>."""
    return "".join(
        f"<div><dt>{escape(str(name).replace('_', ' '))}</dt><dd>{escape(str(value))}</dd></div>"
        for name, value in values.items()
    )


def _shown_settings(run):
    """Return the settings of the run that are set."""
    settings = {name: value for name, value in run.items() if name not in HIDDEN_SETTINGS} | run.get("settings", {})
    return {
        name.replace("_", " "): " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        for name, value in settings.items()
        if value not in (None, "", [], False)
    }


def _downloads(entry):
    """Return the link to the embedded MIDI, and links to the files beside the page."""
    midi = f'<a href="{_data_url("audio/midi", entry.midi)}" download="{escape(entry.midi_name)}">MIDI</a>'
    links = " ".join(f'<a href="{escape(file)}">{escape(label)}</a>' for label, file in entry.links.items())
    return f"{midi} <span>beside this page:</span> {links}" if links else midi


def _sheets(entry, n):
    """Return the sheet music, closed at first, or nothing."""
    if not entry.sheets:
        return ""
    pages = [
        f'<img src="{_data_url("image/svg+xml", page)}" alt="Sheet music of piece {n}, page {number}">'
        for number, page in enumerate(entry.sheets, start=1)
    ]
    return f'<details class="sheets"><summary>Sheet music</summary>{"".join(pages)}</details>\n'


def _data_url(media_type, data):
    """Return bytes as a URL."""
    return f"data:{media_type};base64,{_base64(data)}"


def _base64(data):
    """Return bytes as base64 text."""
    return b64encode(data).decode("ascii")
