"""Write a score as MusicXML 4.0, https://www.w3.org/2021/06/musicxml40."""

import re
from xml.sax.saxutils import escape

from clara.notation.divisions import TICKS
from clara.notation.score import Score
from clara.notation.spelling import signature_alterations

MIN_QPM, MAX_QPM = 1, 9999  # of a metronome mark; other tempos are written as the nearest of these
ACCIDENTALS = {-2: "flat-flat", -1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp"}
HEADER = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
    '"http://www.musicxml.org/dtds/partwise.dtd">\n'
)
NOT_IN_XML = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # control characters
VOICES_PER_STAFF = 4  # voice numbers of the second staff begin at 5, as in other programs


def write_musicxml(score: Score) -> str:
    """Return a score as the text of a MusicXML file."""
    lines = ['<score-partwise version="4.0">']
    if score.title:
        title = escape(NOT_IN_XML.sub(" ", score.title))
        lines.append(f"<work><work-title>{title}</work-title></work>")
    lines.append("<identification><encoding><software>Clara</software></encoding></identification>")
    lines += _part_list(score)
    for index, part in enumerate(score.parts, start=1):
        lines.append(f'<part id="P{index}">')
        lines += _PartWriter(score, part, is_first=index == 1).write()
        lines.append("</part>")
    lines.append("</score-partwise>\n")
    return HEADER + "\n".join(lines)


def _part_list(score):
    """Return the lines of the list of parts; a piano alone needs no name in print."""
    is_ensemble = len(score.parts) > 1
    has_group = is_ensemble and all(len(part.staves) == 1 for part in score.parts)
    lines = ["<part-list>"]
    if has_group:
        lines.append('<part-group type="start" number="1"><group-symbol>bracket</group-symbol></part-group>')
    for index, part in enumerate(score.parts, start=1):
        shown = "" if is_ensemble else ' print-object="no"'
        name = escape(part.name)
        lines.append(
            f'<score-part id="P{index}"><part-name{shown}>{name}</part-name>'
            f'<score-instrument id="P{index}-I1"><instrument-name>{name}</instrument-name></score-instrument>'
            f'<midi-instrument id="P{index}-I1"><midi-channel>{index}</midi-channel>'
            f"<midi-program>{part.program + 1}</midi-program></midi-instrument></score-part>"
        )
    if has_group:
        lines.append('<part-group type="stop" number="1"/>')
    lines.append("</part-list>")
    return lines


class _PartWriter:
    """Writes the measures of a part."""

    def __init__(self, score, part, is_first):
        self.score = score
        self.part = part
        self.is_first = is_first

    def write(self):
        """Return the lines of all measures."""
        lines = []
        for index, measure in enumerate(self.score.measures):
            implicit = ' implicit="yes"' if measure.number == 0 else ""
            lines.append(f'<measure number="{measure.number}"{implicit}>')
            lines += self._attributes(index, measure)
            if index == 0 and self.is_first:
                lines.append(_tempo(self.score.qpm))
            lines += self._voices(index, measure)
            if index == len(self.score.measures) - 1:
                lines.append('<barline location="right"><bar-style>light-heavy</bar-style></barline>')
            lines.append("</measure>")
        return lines

    def _attributes(self, index, measure):
        """Return the lines of a measure's attributes, if there are any."""
        lines = []
        if index == 0:
            lines.append(f"<divisions>{TICKS}</divisions>")
        fifths = self.score.key_signatures[index]
        if index == 0 or fifths != self.score.key_signatures[index - 1]:
            lines.append(f"<key><fifths>{fifths}</fifths></key>")
        if measure.shows_signature:
            lines.append(f"<time><beats>{measure.numerator}</beats><beat-type>{measure.denominator}</beat-type></time>")
        if index == 0 and len(self.part.staves) > 1:
            lines.append(f"<staves>{len(self.part.staves)}</staves>")
        for number, staff in enumerate(self.part.staves, start=1):
            clef = staff[index].clef
            if clef:
                sign, line, *_ = clef.value
                lines.append(f'<clef number="{number}"><sign>{sign}</sign><line>{line}</line></clef>')
        return ["<attributes>", *lines, "</attributes>"] if lines else []

    def _voices(self, index, measure):
        """Return the lines of all notes and rests of a measure."""
        length = measure.length * self.score.ticks_per_step
        signature = signature_alterations(self.score.key_signatures[index])
        lines = []
        for number, staff in enumerate(self.part.staves):
            voices = staff[index].voices
            accidentals = self._accidentals(voices, signature)
            for voice, events in enumerate(voices):
                if lines:
                    lines.append(f"<backup><duration>{length}</duration></backup>")
                place = _Place(VOICES_PER_STAFF * number + voice + 1, number + 1, len(self.part.staves) > 1)
                stem = ("up", "down")[voice] if len(voices) > 1 else None
                for event in events:
                    lines += self._event(event, place, stem, accidentals)
        return lines

    def _accidentals(self, voices, signature):
        """Return {(tick, note): alteration} of the notes of a staff's measure that need a sign."""
        in_force, shown = {}, {}
        events = sorted((event for events in voices for event in events), key=lambda event: event.start)
        for event in events:
            for note in event.notes:
                pitch = self.score.pitches[note]
                if event.start > self.score.ticks[note][0]:
                    continue  # tied
                place = (pitch.step, pitch.octave)
                if in_force.get(place, signature[pitch.step]) != pitch.alter:
                    shown[event.start, note] = pitch.alter
                    in_force[place] = pitch.alter
        return shown

    def _event(self, event, place, stem, accidentals):
        """Return the lines of a chord or a rest."""
        if not event.notes:
            is_full = ' measure="yes"' if not event.type else ""
            shown = ' print-object="no"' if event.is_hidden else ""
            return [f"<note{shown}><rest{is_full}/>{self._tail(event, place, '', None, [], True)}</note>"]
        lines = []
        for position, note in enumerate(event.notes):
            pitch = self.score.pitches[note]
            start, end = self.score.ticks[note]
            ties = ["stop"] * (event.start > start) + ["start"] * (event.end < end)
            alter = f"<alter>{pitch.alter}</alter>" if pitch.alter else ""
            sign = ACCIDENTALS.get(accidentals.get((event.start, note)))
            accidental = f"<accidental>{sign}</accidental>" if sign else ""
            tail = self._tail(event, place, accidental, stem, ties, not position)
            lines.append(
                f"<note>{'<chord/>' if position else ''}<pitch><step>{pitch.step}</step>{alter}"
                f"<octave>{pitch.octave}</octave></pitch>{tail}</note>"
            )
        return lines

    def _tail(self, event, place, accidental, stem, ties, is_first):
        """Return what follows a pitch or a rest: duration, ties, voice, note value, tuplet, stem, staff, beams."""
        parts = [f"<duration>{event.length}</duration>", *(f'<tie type="{tie}"/>' for tie in ties), place.voice_text]
        if event.type:
            parts.append(f"<type>{event.type}</type>{'<dot/>' * event.n_dots}")
        parts.append(accidental)
        if event.tuplet:
            parts.append(
                f"<time-modification><actual-notes>{event.tuplet.actual}</actual-notes>"
                f"<normal-notes>{event.tuplet.normal}</normal-notes></time-modification>"
            )
        if stem:
            parts.append(f"<stem>{stem}</stem>")
        parts.append(place.staff_text)
        if is_first:
            parts += [f'<beam number="{i}">{kind}</beam>' for i, kind in enumerate(event.beams, start=1)]
        notations = [f'<tied type="{tie}"/>' for tie in ties]
        if is_first:
            notations += [_tuplet(kind, event) for kind in event.tuplet_ends]
        if notations:
            parts.append(f"<notations>{''.join(notations)}</notations>")
        return "".join(parts)


class _Place:
    """The voice and the staff of a note, as MusicXML."""

    def __init__(self, voice, staff, has_staves):
        self.voice_text = f"<voice>{voice}</voice>"
        self.staff_text = f"<staff>{staff}</staff>" if has_staves else ""


def _tuplet(kind, event):
    """Return the beginning or the end of a tuplet; beamed tuplets need no bracket."""
    bracket = ' bracket="yes"' if kind == "start" and not event.beams else ""
    return f'<tuplet type="{kind}"{bracket}/>'


def _tempo(qpm):
    """Return a metronome mark."""
    number = f"{round(min(max(qpm, MIN_QPM), MAX_QPM))}"
    return (
        '<direction placement="above"><direction-type><metronome><beat-unit>quarter</beat-unit>'
        f"<per-minute>{number}</per-minute></metronome></direction-type>"
        f'<sound tempo="{number}"/></direction>'
    )
