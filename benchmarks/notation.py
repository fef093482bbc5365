"""Measure how often Clara writes hands, voices, names and signatures as engravers do.

python benchmarks/notation.py MIDI_FOLDER SPLITS.csv

Scores in MusicXML that music21 installs lose all but their notes, and get the rest back:

- hand: share of notes on the right staff, in parts with two staves; chorales are taken as two staves with two voices;
- voice: share of notes on the right staff and in the right voice, in measures with up to two voices on each staff;
- spelling: share of notes with the right name, with the key signature estimated, and with the right one given;
- key signature and time signature: share of scores whose longest one is estimated right.

Only scores with even numbers are measured, none of more than 100 kB; weights were fitted on the others. The valid and
test files of SPLITS.csv (columns path and split; the paths are relative to MIDI_FOLDER) are measured for hands if they
have a track for each, and for key signatures if they name one. Where partitura is installed, it is measured too.
"""

import csv
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import music21
import notation_rivals as rivals
import numpy as np
import record
from engraved import STEPS_PER_QUARTER, EngravedScore, read_engraved

from clara.music.bars import bar_lines
from clara.music.key_signatures import signature_of_key
from clara.music.keys import estimate_key, estimate_key_signature
from clara.music.midi import parse_midi, read_midi
from clara.music.notes import quantize
from clara.notation.hands import assign_hands, split_at_middle_c

CORPUS = Path(music21.__file__).parent / "corpus"
LEFT_OUT = ("demos", "theoryExercises", "webern")  # examples, some with errors; music without keys
KINDS = {"bach": "chorales", "monteverdi": "madrigals", "trecento": "trecento"}
MIN_NOTES = 50
HELD_OUT = ("valid", "test")
MAX_BYTES = {".mxl": 100_000, ".xml": 1_500_000, ".musicxml": 1_500_000}  # longer scores take minutes each


def main() -> None:
    """Measure and save."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("folder", help="folder of MIDI files")
    parser.add_argument("splits", help="table of their splits")
    parser.add_argument("--scores", type=int, default=60, help="number of engraved scores of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of scores")
    args = parser.parse_args()
    with open(args.splits, newline="", encoding="utf-8") as file:
        paths = [Path(args.folder, row["path"]) for row in csv.DictReader(file) if row["split"] in HELD_OUT]
    scores = read_scores(args.scores, args.seed)
    rows = measure_staves(scores) + [measure_tracks(paths)] + measure_names(scores) + [measure_keys(paths)]
    for row in rows:
        print(row)
    record.save("notation", rows, scores=args.scores)


def measure_tracks(paths):
    """Return how many notes of MIDI files with two tracks are in the right hand."""
    count = Counter()
    for track_columns in filter(None, map(read_two_tracks, paths)):
        start, end, pitch, hand = track_columns
        count["pieces"] += 1
        count["notes"] += len(start)
        count["hand"] += int((assign_hands(start, end, pitch, STEPS_PER_QUARTER) == hand).sum())
        count["middle_c"] += int((split_at_middle_c(pitch) == hand).sum())
    shares = {name: round(count[name] / count["notes"], 4) for name in ("hand", "middle_c")}
    return {"table": "tracks", "pieces": count["pieces"], "notes": count["notes"]} | shares


def read_two_tracks(path):
    """Return start, end, pitch and hand of the notes of a MIDI file with two tracks; None for another file."""
    score = parse_midi(path)
    tracks = [track.notes.numpy() for track in score.tracks if len(track.notes) and not track.is_drum]
    if len(tracks) != 2:
        return None
    higher = int(np.mean(tracks[1]["pitch"]) > np.mean(tracks[0]["pitch"]))
    start, pitch = (np.concatenate([t[name].astype(np.int64) for t in tracks]) for name in ("time", "pitch"))
    end = start + np.concatenate([t["duration"] for t in tracks])
    hand = np.concatenate([np.full(len(t["time"]), i != higher, dtype=np.int64) for i, t in enumerate(tracks)])
    start, end = (quantize(ticks, score.ticks_per_quarter, STEPS_PER_QUARTER) for ticks in (start, end))
    end = np.maximum(end, start + 1)
    order = np.lexsort((-end, pitch, start))
    order = order[np.append(True, np.diff(start[order] * 128 + pitch[order]) > 0)]
    return start[order], end[order], pitch[order], hand[order]


def measure_keys(paths):
    """Return how often the estimate is the only key signature that a MIDI file names."""
    count = Counter()
    for path in paths:
        named = {signature.key for signature in parse_midi(path).key_signatures}
        if len(named) != 1:
            continue
        notes, _ = read_midi(path)
        count["scores"] += 1
        count["key"] += estimate_key_signature(notes) in named
        count["rules"] += signature_of_key(*estimate_key(notes)) in named
    shares = {name: round(count[name] / count["scores"], 4) for name in ("key", "rules")}
    return {"table": "midi_keys", "scores": count["scores"]} | shares


def list_paths(is_even: bool = True) -> dict[str, list[Path]]:
    """Return the scores in MusicXML that music21 installs, by kind: those with even numbers, or the others."""
    paths = sorted(path for suffix in ("mxl", "xml", "musicxml") for path in CORPUS.rglob(f"*.{suffix}"))
    by_kind = defaultdict(list)
    for number, path in enumerate(paths):
        folder = path.relative_to(CORPUS).parts[0]
        if folder not in LEFT_OUT and path.stat().st_size <= MAX_BYTES[path.suffix] and (number % 2 == 0) == is_even:
            by_kind[KINDS.get(folder, "others")].append(path)
    return by_kind


def read_scores(n_each: int, seed: int, is_even: bool = True) -> list[EngravedScore]:
    """Return up to n scores of each kind: in concert pitch, with enough notes, each piece of music once."""
    random = np.random.default_rng(seed)
    scores, seen = [], set()
    for paths in list_paths(is_even).values():
        for index in random.permutation(len(paths))[:n_each]:
            score = read_engraved(paths[index], paths[index].relative_to(CORPUS).as_posix())
            if score is None or score.has_transposition or len(score.pitch) < MIN_NOTES:
                continue
            music = (score.start.tobytes(), score.pitch.tobytes())
            if music not in seen:
                seen.add(music)
                scores.append(score)
    return scores


def kind_of(score):
    """Return the kind of music of a score."""
    is_piano = any(len(set(score.staff[score.part == part])) == 2 for part in set(score.part.tolist()))
    return "piano, songs" if is_piano else KINDS.get(score.name.split("/")[0], "ensembles")


def list_two_staves(scores):
    """Return (kind, score) of what has two staves: parts of a piano, and chorales taken as such."""
    found = []
    for score in scores:
        parts = sorted(set(score.part.tolist()))
        for part in parts:
            player = score.select(score.part == part)
            if set(player.staff.tolist()) == {0, 1} and len(player.pitch) >= MIN_NOTES:
                found.append(("piano", player))
        if kind_of(score) == "chorales" and len(parts) == 4:
            staff, voice = score.part // 2, score.part % 2
            found.append(("chorales", replace(score, staff=staff, voice=voice)))
    return found


def measure_staves(scores):
    """Return how many notes are on the right staff and in the right voice, for each method and kind of music."""
    counts = defaultdict(Counter)
    for kind, score in list_two_staves(scores):
        notes, order = score.as_piano()
        staff = score.staff[order]
        measure = measure_of_notes(score, notes)
        voice, is_counted = rank_voices(measure, staff, score.voice[order])
        for method, (hand, own_voice) in rivals.assign_staves(notes, measure).items():
            count = counts[kind, method]
            own_voice, _ = rank_voices(measure, hand, own_voice)
            count["pieces"] += 1
            count["notes"] += len(notes)
            count["hand"] += int((hand == staff).sum())
            count["voice_notes"] += int(is_counted.sum())
            count["voice"] += int(((hand == staff) & (own_voice == voice) & is_counted).sum())
    return [
        {
            "table": "staves",
            "music": kind,
            "method": method,
            "pieces": count["pieces"],
            "notes": count["notes"],
            "hand": round(count["hand"] / count["notes"], 4),
            "voice": round(count["voice"] / count["voice_notes"], 4),
        }
        for (kind, method), count in counts.items()
    ]


def measure_of_notes(score, notes):
    """Return the number of the bar in which each note begins, int64 (n,)."""
    signatures = score.time_signatures or ((0, 4, 4),)
    lines = [float(line) for line in bar_lines(signatures, STEPS_PER_QUARTER, notes.n_steps)]
    return np.searchsorted(lines, notes.start, side="right") - 1


def rank_voices(measure, staff, voice):
    """Return the rank of each note's voice among those of its staff in its measure, and where there are up to two."""
    ranks, is_counted = np.zeros_like(voice), np.ones(len(voice), dtype=bool)
    place = measure * 2 + staff
    for value in np.unique(place):
        here = place == value
        names, rank = np.unique(voice[here], return_inverse=True)
        ranks[here], is_counted[here] = rank, len(names) <= 2
    return ranks, is_counted


def measure_names(scores):
    """Return how many names of notes, key signatures and time signatures are right, for each method and kind."""
    counts = defaultdict(Counter)
    for score in scores:
        notes, order = score.as_piano()
        names, signature = score.fifth[order], score.main_key_signature
        time_signature = longest_time_signature(score)
        for method, guess in rivals.name_notes(notes, signature).items():
            for kind in (kind_of(score), "all"):
                count = counts[kind, method]
                count["scores"] += 1
                count["notes"] += len(notes)
                count["spelling"] += int((guess.names == names).sum())
                count["spelling_in_key"] += int((guess.names_in_key == names).sum())
                count["key"] += guess.key_signature == signature
                count["time_scores"] += time_signature is not None
                count["time"] += time_signature is not None and guess.time_signature == time_signature
    return [
        {
            "table": "names",
            "music": kind,
            "method": method,
            "scores": count["scores"],
            "notes": count["notes"],
            "spelling": round(count["spelling"] / count["notes"], 4),
            "spelling_in_key": round(count["spelling_in_key"] / count["notes"], 4),
            "key_signature": round(count["key"] / count["scores"], 4),
            "time_signature": round(count["time"] / max(1, count["time_scores"]), 4),
        }
        for (kind, method), count in sorted(counts.items(), key=lambda item: item[0][0])
    ]


def longest_time_signature(score):
    """Return the time signature that holds for nine tenths of a score, or None."""
    steps = np.array([step for step, _, _ in score.time_signatures] + [int(score.end.max())])
    lengths = Counter()
    for (_, *signature), length in zip(score.time_signatures, np.diff(steps).tolist()):
        lengths[tuple(signature)] += length
    signature, length = max(lengths.items(), key=lambda item: item[1], default=(None, 0))
    return signature if length >= 0.9 * steps[-1] else None


if __name__ == "__main__":
    main()
