"""Perform a score: give it dynamics, tempo and pedal, and write a MIDI file.

Usage: clara perform SCORE -o FILE

Any format that Clara reads becomes a MIDI file in which notes stay at their places in the score. Timing is a tempo map
with a tempo for each beat, each note has a velocity, and the sustain pedal is controller 64. A MIDI file that carries
expression is copied as it is unless you ask for another one. Each seed gives another rendering.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clara import cli
from clara.errors import BadSetting
from clara.wording import count_of

if TYPE_CHECKING:
    import argparse

    from clara.music.expression import Expression
    from clara.music.notes import NoteSequence

EXAMPLES = """
clara perform sonata.musicxml -o sonata.mid             # as the players did whom the performer learned from
clara perform fugue.krn -o fugue.mid --expression 0.5   # half of it; 0 is deadpan
clara perform waltz.abc -o waltz.mid --seed 7           # another rendering
clara perform played.mid -o again.mid --replace         # in place of the expression that the file carries
"""
MIDI_SUFFIXES = (".mid", ".midi")
MAX_EXPRESSION, DEFAULT_VARIATION = 2.0, 0.33


def parser() -> cli.Parser:
    """Return the command line parser."""
    p = cli.Parser(__doc__, EXAMPLES)
    add = p.add_argument_group("music").add_argument
    add("score", metavar="SCORE", help="MIDI, MusicXML, Humdrum or ABC file, or music21:NAME.")
    add("--ensemble", choices=("piano", "chamber"), default="piano", help="Parts of the score.")
    add = p.add_argument_group("performance").add_argument
    add("--seed", type=cli.at_least(0), default=0, metavar="N", help="Random seed; each gives another rendering.")
    add(
        "--expression",
        type=cli.within(0, MAX_EXPRESSION),
        default=1.0,
        metavar="X",
        help="0 is deadpan, 1 as players do, 2 exaggerated.",
    )
    add(
        "--variation",
        type=cli.within(0, MAX_EXPRESSION),
        default=DEFAULT_VARIATION,
        metavar="X",
        help="0 plays what is expected, whatever the seed; by default renderings are as alike as those of two people.",
    )
    add("--no-pedal", action="store_true", help="Leave the sustain pedal out.")
    add(
        "--spread-chords",
        action="store_true",
        help="Spread chords and hands by a few milliseconds (default: notes stay at their places in the score).",
    )
    add("--replace", action="store_true", help="Replace the expression that a MIDI file carries.")
    add("--performer", default="performer", metavar="MODEL", help="Folder that clara train-performer wrote.")
    add = p.add_argument_group("run").add_argument
    add("-o", "--out", required=True, type=cli.file_path, metavar="FILE", help="MIDI file to write.")
    cli.add_json_flag(add)
    return p


def main(argv: list[str] | None = None) -> int:
    """Perform a score and write it as a MIDI file."""
    args = parser().parse_args(argv)
    with cli.json_output(args.json) as payload:
        payload |= perform(args)
    return 0


def perform(args: "argparse.Namespace") -> dict[str, Any]:
    """Perform a score as the flags say, write the file and return what was done.

    Raises
    ------
    BadSetting
        If the file to write is no MIDI file or the score itself.
    ClaraError
        If the score cannot be read, the performer not be loaded or the file not be written.
    """
    from clara.files import write_atomically
    from clara.music.midi import write_midi

    out = Path(args.out)
    if out.suffix.lower() not in MIDI_SUFFIXES:
        raise BadSetting(f"{out}: the result is a MIDI file; name it with {' or '.join(MIDI_SUFFIXES)}")
    if out.exists() and Path(args.score).exists() and out.samefile(args.score):
        raise BadSetting(f"{out}: the score itself; choose another file to write")
    notes, carried = _read(args.score, args.ensemble)
    is_kept = carried is not None and not carried.is_flat and not args.replace
    if is_kept:
        assert carried is not None
        expression = carried
        write_atomically(out, Path(args.score).read_bytes())  # as it is: notes of a recording may lie off the grid
        print(f"{args.score}: carries expression, so it is copied as it is; --replace performs it anyway")
    else:
        from clara.performing.chords import spread_chords
        from clara.performing.performer import Performer

        expression = Performer.load(args.performer).perform(
            notes, args.seed, expression=args.expression, variation=args.variation, pedal=not args.no_pedal
        )
        expression = spread_chords(notes, expression, args.seed)
        write_midi(notes, out, expression=expression, spread_chords=args.spread_chords)
    summary = _summarize(expression, notes) | {"file": str(out), "kept": is_kept}
    print(
        f"{out}: {count_of(summary['notes'], 'note')} in {summary['seconds']:.0f} s, "
        f"velocities {summary['softest']} to {summary['loudest']}, "
        f"{count_of(summary['tempos'], 'tempo')}, {count_of(summary['pedals'], 'pedal')}"
    )
    return summary


def _read(score: str, ensemble: str) -> "tuple[NoteSequence, Expression | None]":
    """Return the notes of a score and the expression that a MIDI file carries."""
    from clara.music.performed_midi import PERFORMED_STEPS_PER_QUARTER, read_performed_midi
    from clara.music.read import MUSIC21_PREFIX, read_music
    from clara.music.score_text import SCORE_SUFFIXES

    is_score = Path(score).suffix.lower() in SCORE_SUFFIXES or score.startswith(MUSIC21_PREFIX)
    if is_score:
        return read_music(score, PERFORMED_STEPS_PER_QUARTER, ensemble=ensemble), None
    return read_performed_midi(score, ensemble=ensemble)


def _summarize(expression: "Expression", notes: "NoteSequence") -> dict[str, Any]:
    """Return numbers that describe a performance."""
    return {
        "notes": len(notes),
        "seconds": round(float(expression.seconds_at(notes.quarters)), 1),
        "softest": int(expression.velocity.min()),
        "loudest": int(expression.velocity.max()),
        "tempos": len(expression.tempo_qpm),
        "pedals": len(expression.pedal_quarters),
    }


if __name__ == "__main__":
    cli.run(main)
