"""Human excerpts for a blind test."""

import pytest
import tiny

from clara.encodings.chordwise import Chordwise
from clara.encodings.prompts import DEFAULT_QPM
from clara.errors import NoData
from clara.generation.generator import Generator
from clara.music.midi import read_midi, write_midi
from clara.music.notes import COMMON_TIME, crop, rebuild_notes
from clara.rendering.blind_test import MUSIC21_CORPUS, MUSIC21_PIECES, human_excerpts


@pytest.fixture(scope="module")
def generator():
    return Generator(tiny.checkpoint())


@pytest.fixture
def folder(tmp_path):
    for i in range(4):
        tune = tiny.tune(i, n_notes=60)
        later = rebuild_notes(tune, tune.start + 30, tune.end + 30, tune.pitch, 0)[0]
        (tmp_path / f"deep {i % 2}").mkdir(exist_ok=True)
        write_midi(later, tmp_path / f"deep {i % 2}" / f"{i}.MID")
    write_midi(tiny.tune(9, n_notes=5), tmp_path / "short.mid")
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    (tmp_path / "notes.doc").write_bytes(b"none")
    return tmp_path


def test_excerpts_are_beginnings_of_equal_length_and_tempo(generator, folder):
    found, passed_over = human_excerpts(generator, folder, 10, 16)
    assert sorted(e.title for e in found) == ["deep 0/0", "deep 0/2", "deep 1/1", "deep 1/3"]
    assert passed_over == {"TooShort": 1, "BadMusicFile": 1}
    for e in found:
        whole = read_midi(folder / f"{e.title}.MID")[0]
        assert e.notes == crop(whole, int(whole.start[0]), int(whole.start[0]) + 16 * 12)
        assert e.notes.start[0] == 0 and 15 < e.notes.quarters <= 16
        assert (e.notes.qpm, e.notes.time_signatures) == (DEFAULT_QPM, COMMON_TIME)
        assert generator.encoding.decode(e.tokens)[0] == e.notes


def test_the_seed_chooses(generator, folder):
    titles_of = {seed: [e.title for e in human_excerpts(generator, folder, 2, 16, 80.0, seed)[0]] for seed in range(6)}
    assert (
        all(len(set(titles)) == 2 for titles in titles_of.values()) and len({tuple(t) for t in titles_of.values()}) > 2
    )
    again = human_excerpts(generator, folder, 2, 16, 80.0, 3)[0]
    assert [e.title for e in again] == titles_of[3] and {e.notes.qpm for e in again} == {80.0}


@pytest.mark.parametrize("quarters, message", [(4000, "4 TooShort|5 TooShort"), (1, "no MIDI")])
def test_nothing_to_mix_in(generator, folder, tmp_path_factory, quarters, message):
    with pytest.raises(NoData, match=message):
        human_excerpts(generator, folder if quarters > 1 else tmp_path_factory.mktemp("empty"), 3, quarters)


def test_excerpts_have_the_vocabulary_of_the_model(folder):
    """A chord that is not in the vocabulary is replaced."""
    known = tiny.tune(0, n_notes=60, steps_per_quarter=4)
    generator = Generator(tiny.untrained(Chordwise(), known))
    for e in human_excerpts(generator, folder, 4, 12)[0]:
        assert e.notes.steps_per_quarter == 4 and set(e.tokens) <= set(generator.vocab.tokens)


def test_excerpts_from_music21(generator):
    found, _ = human_excerpts(generator, MUSIC21_CORPUS, 2, 16, seed=4)
    assert len(found) == 2 and {e.title for e in found} <= set(MUSIC21_PIECES.values())
    assert all(15 < e.notes.quarters <= 16 for e in found)


def test_music21_has_all_the_pieces():
    from music21 import corpus

    assert all(corpus.getWork(name).is_file() for name in MUSIC21_PIECES)
