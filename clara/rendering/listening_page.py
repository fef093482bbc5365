"""The page to listen to a batch: one file with sound, piano rolls, scores and MIDI in it, which loads nothing else.

It is put together from `pages/playlist.html`, `.css` and `.js`; whatever comes from people is escaped, and the page's own
policy lets no other script run and nothing be fetched but audio files beside it.
"""

import math
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import PurePath
from string import Template

from clara.music.instruments import INSTRUMENTS
from clara.rendering.audio import MEDIA_TYPES
from clara.rendering.roll_svg import n_pitch_rows, octave_labels, unstyled_roll_svg

UNTOLD = ("settings", "versions", "weights", "command")  # of run.json, on the page
HUMAN, MACHINE = "human", "machine"
# What the figure of a score means; more is better of all.
WORDS = {
    "critic": lambda v: (
        f"log-odds human: the critic takes it for {HUMAN if v > 0 else 'generated'}, {_share(_odds(abs(v)))}"
    ),
    "composer": lambda v: (
        f"log-probability of this composer: {_share(math.exp(min(v, 0)))}, says the composer classifier"
    ),
    "novelty": lambda v: f"human and like no known composer: {100 * math.exp(min(v, 0)):.0f} points of 100",
    "likelihood": lambda v: f"the generator is surprised by {-v:.2f} nats in each quarter note",
    "longest_copied_run": lambda v: (
        f"its longest run of notes that stands in the training music, in any key, has {v:.0f}"
    ),
    "note_density": lambda v: f"{2**v:.1f} notes in each quarter note",
    "rest_ratio": lambda v: f"in {100 * v:.1f} % of its quarter notes nothing sounds",
    "total": lambda v: "the sum that it is ranked by",
}


@dataclass(frozen=True)
class PageSound:
    """What a page plays.

    Attributes
    ----------
    form : in `clara.rendering.audio.FORMATS`
    data : bytes to stand in the page, or None
    link : file beside the page that is played where there are none
    """

    form: str
    data: bytes | None
    link: str


@dataclass(frozen=True)
class PageEntry:
    """One piece on the page.

    Attributes
    ----------
    notes : NoteSequence
    prompt_quarters : how much of it is the prompt
    figures : dict, what is told of it in numbers
    scores : dict, what it was ranked by, or empty
    midi : bytes
    midi_name : under which they are saved
    beside : dict of label: file beside the page
    sound : Sound or None
    by : HUMAN, MACHINE, or "" where that is no question
    title : who wrote it, told at last
    """

    notes: object
    prompt_quarters: float
    figures: dict
    scores: dict
    midi: bytes
    midi_name: str
    beside: dict = field(default_factory=dict)
    sound: PageSound | None = None
    by: str = ""
    title: str = ""


def render_page(entries, run):
    """The page's text.

    Parameters
    ----------
    entries : list of Entry, in the order of the page; where one is by a human it is a blind test
    run : dict of run.json

    Returns
    -------
    str, HTML
    """
    blind = any(e.by == HUMAN for e in entries)
    length = (
        max((e.notes.quarters for e in entries), default=0) if blind else None
    )  # some end a little earlier, which would tell
    script = _part("js")
    return Template(_part("html")).substitute(
        title="Human or machine?" if blind else "Composed by Clara",
        mode="blind" if blind else "plain",
        about=_about(entries, run, blind),
        controls=_controls(blind, any(e.scores for e in entries)),
        pieces="\n".join(_piece(e, n, length) for n, e in enumerate(entries, start=1)),
        settings=_definitions(_settings(run)),
        style=_part("css"),
        script=script,
        script_hash=f"sha256-{_base64(sha256(script_text(script)).digest())}",
    )


def script_text(script):
    """What a browser takes the hash of: all between the tags."""
    return f"\n{script}\n".encode()


def _part(suffix):
    """A file of the page."""
    return (files("clara.rendering") / "pages" / f"playlist.{suffix}").read_text(encoding="utf-8").strip()


def _about(entries, run, blind):
    """What stands at the top."""
    if blind:
        return (
            f"Some of these {len(entries)} pieces were written by people, the others by Clara; all are as long, as fast and played "
            "alike. Listen, vote, and see how often you were right."
        )
    prompt = f" from {escape(str(run['prompt']))}" if run.get("prompt") else ""
    ranked = ", best first" if any(e.scores for e in entries) else ""
    return f"{len(entries)} piece{'s' * (len(entries) != 1)}{prompt}{ranked}. Model: {escape(PurePath(str(run.get('model', ''))).name)}."


def _controls(blind, scored):
    """The buttons at the top."""
    voting = (
        '<p id="votes" class="voting" role="status"></p><button id="reveal" class="voting" type="button" disabled>Show the answers</button>'
        '<p id="result" class="told result" tabindex="-1"></p>'
    )
    return voting * blind + '<button id="hide" class="told" type="button">Hide the scores</button>' * scored


def _piece(entry, n, length):
    """One piece; of a blind test all are drawn as long as the longest, in quarters, elsewhere `length` is None."""
    blind = length is not None
    critic = f' data-critic="{entry.scores["critic"]:g}"' if blind and "critic" in entry.scores else ""
    by = f' data-by="{entry.by}"' * blind
    return f"""<article class="piece"{by}{critic}>
<div class="head">{_button(entry, n)}<h2>Piece {n}</h2><span class="time"></span></div>
{_roll(entry, n, length or entry.notes.quarters)}
{_audio(entry)}{_vote(n) * blind}
<div class="told">
{f'<p class="answer">{escape(entry.title)}</p>' * blind}{_scores(entry.scores)}
<dl class="figures">{_definitions(entry.figures)}</dl>
<p class="downloads">{_downloads(entry)}</p>
</div>
</article>"""


def _button(entry, n):
    """What plays it."""
    return f'<button class="play" type="button" aria-label="Play piece {n}"></button>' if entry.sound else ""


def _roll(entry, n, quarters):
    """The piano roll, with the slider that moves over it."""
    marks = "".join(
        f'<span style="top:{100 * at:.1f}%" aria-hidden="true">{name}</span>' for name, at in octave_labels(entry.notes)
    )
    seconds = max(quarters * 60 / entry.notes.qpm, 0.1)
    slider = (
        f'<input type="range" min="0" max="{seconds:.2f}" step="any" value="0" aria-label="Position in piece {n}">'
        if entry.sound
        else ""
    )
    drawn = unstyled_roll_svg(entry.notes, entry.prompt_quarters, f"Piano roll of piece {n}", quarters)
    return f'<div class="roll" style="--rows:{n_pitch_rows(entry.notes)}">{drawn}{marks}{slider}</div>{_key(entry)}'


def _key(entry):
    """What the colours stand for, where there is more than one."""
    named = [
        (f"part{i}", INSTRUMENTS[prefix].name)
        for i, prefix in enumerate(entry.notes.instruments)
        if (entry.notes.part == i).any()
    ]
    named += [("prompt", "prompt")] * bool(entry.prompt_quarters)
    return (
        f'<p class="key">{"".join(f"<span><i class={kind}></i>{escape(name)}</span>" for kind, name in named)}</p>'
        if len(named) > 1
        else ""
    )


def _audio(entry):
    """The sound; its own controls are for browsers that run no script."""
    if not entry.sound:
        return ""
    sound = entry.sound
    source = _data_url(MEDIA_TYPES[sound.form], sound.data) if sound.data is not None else escape(sound.link)
    return (
        f'<audio controls preload="none" src="{source}"></audio>'
        f'<p class="failed" hidden>It cannot be played{"" if sound.data else ": is the audio file still beside this page?"}</p>'
    )


def _vote(n):
    """Human or machine?"""
    return f"""
<fieldset class="vote"><legend>Who wrote piece {n}?</legend>
<label><input type="radio" name="vote{n}" value="{HUMAN}" autocomplete="off">Human</label>
<label><input type="radio" name="vote{n}" value="{MACHINE}" autocomplete="off">Machine</label></fieldset>"""


def _scores(scores):
    """What it was ranked by, in figures and in words."""
    shown = {
        k: v for k, v in scores.items() if k != "total" or len(scores) > 2
    }  # of a single score the sum is the same
    if not shown:
        return ""
    return (
        '<ul class="scores">'
        + "".join(f"<li><b>{escape(k)} {v:.2f}</b> {escape(describe_score(k, v))}</li>" for k, v in shown.items())
        + "</ul>"
    )


def describe_score(name, value):
    """What a score says, for those who do not know its figure.

    Parameters
    ----------
    name : of the score in `critic.scores`, or total
    value : float

    Returns
    -------
    str, empty for a score that is not known here
    """
    told = WORDS.get(name.partition(":")[0])
    return told(value) if told else ""


def _odds(log_odds):
    """Log-odds as a probability."""
    return 1 / (1 + math.exp(-min(log_odds, 700)))


def _share(p):
    """A probability in percent; never quite 0 or 100."""
    return "below 1 %" if p < 0.01 else "above 99 %" if p > 0.99 else f"{100 * p:.0f} %"


def _definitions(told):
    """The rows of a <dl>."""
    return "".join(f"<div><dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd></div>" for k, v in told.items())


def _settings(run):
    """What made the pieces, where it says something."""
    told = {k: v for k, v in run.items() if k not in UNTOLD} | run.get("settings", {})
    return {
        k.replace("_", " "): " ".join(map(str, v)) if isinstance(v, (list, tuple)) else v
        for k, v in told.items()
        if v not in (None, "", [], False)
    }


def _downloads(entry):
    """MIDI from the page itself, and the files beside it."""
    midi = f'<a href="{_data_url("audio/midi", entry.midi)}" download="{escape(entry.midi_name)}">MIDI</a>'
    beside = " ".join(f'<a href="{escape(name)}">{escape(label)}</a>' for label, name in entry.beside.items())
    return f"{midi} <span>beside this page:</span> {beside}" if beside else midi


def _data_url(kind, data):
    """Bytes as a URL."""
    return f"data:{kind};base64,{_base64(data)}"


def _base64(data):
    """Bytes as text."""
    return b64encode(data).decode("ascii")
