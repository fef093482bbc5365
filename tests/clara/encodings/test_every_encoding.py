"""From MIDI to new music in every encoding: prepare, train, compose, write, and go on from a prompt."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tiny
from gridwise import Gridwise

from clara.encodings import ENCODINGS, make_encoding
from clara.encodings.prompts import read_prompt
from clara.generation.generator import Generator
from clara.music.instruments import ENSEMBLES
from clara.music.midi import read_midi, write_midi
from clara.music.notes import build_notes, rebuild_notes
from clara_app import train
from data_prep import prepare

pytestmark = pytest.mark.slow


def played(encoding, seed):
    """Return a tune for the ensemble of an encoding, with the solo in its range."""
    notes = tiny.tune(seed, n_notes=60)
    prefixes = ENSEMBLES[encoding.ensemble]
    part = np.arange(len(notes)) % len(prefixes)
    pitch = notes.pitch + np.where((part > 0) & (len(prefixes) == 2), 12, 0)
    return replace(
        build_notes(notes.start, notes.end, pitch, part)[0], instruments=prefixes if len(prefixes) > 1 else ("p", "v")
    )


@pytest.mark.parametrize("kind", [*ENCODINGS.values(), Gridwise], ids=lambda kind: kind.name)
def test_from_files_to_new_music(kind, tmp_path, monkeypatch):
    monkeypatch.setitem(ENCODINGS, kind.name, kind)
    name, encoding = kind.name, kind()
    (tmp_path / "music/nobody").mkdir(parents=True)
    for seed in range(6):
        write_midi(played(encoding, seed), tmp_path / f"music/nobody/{seed}.mid")
    assert (
        prepare.main([str(tmp_path / "music"), "--encoding", name, "--out", str(tmp_path / "corpus"), "--workers", "1"])
        == 0
    )
    assert (
        train.main(
            [*tiny.flags(tmp_path / "corpus", tmp_path / "run"), "--encoding", name, "--from-scratch", "--epochs", "1"]
        )
        == 0
    )
    generator = Generator.load(tmp_path / "run")
    assert generator.encoding.settings == encoding.settings
    write_midi(played(encoding, 99), tmp_path / "prompt.mid")  # chords that were never seen
    prompt, _ = read_prompt(tmp_path / "prompt.mid", generator.encoding, quarters=8)
    tokens, losses = generator.tokenize(prompt)
    assert set(tokens) <= set(generator.vocab.tokens)
    assert (losses["replaced"] > 0) == encoding.open_vocabulary
    for n, sample in enumerate(generator.generate(3, 8, prompt, seed=1)):
        assert sample.tokens[: sample.prompt_tokens] == tokens and len(sample.notes) > 0
        assert encoding.decode(sample.tokens) == (sample.notes, Counter())
        write_midi(sample.notes, tmp_path / f"{n}.mid")
        players = set(sample.notes.part.tolist())
        if players == set(range(len(ENSEMBLES[encoding.ensemble]))):
            again, _ = read_midi(tmp_path / f"{n}.mid", steps_per_quarter=encoding.steps_per_quarter)
            assert again.n_steps == sample.notes.n_steps


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--holds"], "--holds does not go with --encoding notewise"),
        (["--max-vocab", "1000"], "--max-vocab does not go"),
        (["--solo-track", "2"], "--solo-track does not go"),
    ],
)
def test_flags_of_other_encodings_are_refused(flags, message, music, capsys):
    assert tiny.leave(prepare.main, [music, "--out", music.parent / "out", *flags]) == 2
    assert message in capsys.readouterr().err


def test_to_key_and_a_grid_of_its_own(music, encode_into):
    plain, moved = encode_into(music)[1], encode_into(music, "--to-key", "C")[1]
    assert plain["notes"].tolist() == moved["notes"].tolist()
    assert plain["work"].tolist() == moved["work"].tolist()
    texts = [p.read_text() for p in sorted((music.parent / "out").rglob("*.txt"))]
    encode_into(music)
    assert texts != [p.read_text() for p in sorted((music.parent / "out").rglob("*.txt"))]


def test_performed_music_is_kept_out_on_request(music, encode_into):
    notes = tiny.tune(3, n_notes=200)
    jitter = np.random.default_rng(0).integers(0, 40, len(notes))
    performed = build_notes(notes.start * 40 + jitter, notes.end * 40 + jitter, notes.pitch, steps_per_quarter=480)[0]
    write_midi(performed, music / "bach/performed.mid")
    manifest = encode_into(music, "--max-grid-error", "0.45")[1]
    assert manifest["reason"].str.contains("OffGrid").tolist() == (manifest["piece"] == "bach/performed").tolist()
    assert not encode_into(music)[1]["reason"].any()  # and without it comes back


@pytest.mark.parametrize(
    "settings", [*({"encoding": name} for name in ENCODINGS), {"encoding": "chordwise", "holds": True}], ids=str
)
def test_a_text_is_the_tokens_between_spaces(settings):
    encoding = make_encoding(settings)
    for seed in range(3):
        notes = rebuild_notes(
            played(encoding, seed),
            *(
                f(played(encoding, seed))
                for f in (
                    lambda n: n.start * encoding.steps_per_quarter // 12,
                    lambda n: n.end * encoding.steps_per_quarter // 12 + 1,
                    lambda n: n.pitch,
                    lambda n: n.part,
                )
            ),
        )[0]
        notes = replace(notes, steps_per_quarter=encoding.steps_per_quarter)
        tokens, losses = encoding.encode(notes)
        assert encoding.encode_text(notes) == (" ".join(tokens), len(tokens), losses)
    nothing = build_notes([], [], [], steps_per_quarter=encoding.steps_per_quarter)[0]
    assert encoding.encode_text(nothing)[:2] == ("", 0)
