"""`python -m data_prep.prepare`, run here on small folders of music."""

import hashlib
import os
from dataclasses import replace

import pytest
import tiny
from examples import SOURCES, melody, midi_bytes, off, on, texts, track

from clara.data.corpus import MANIFEST_COLUMNS, Corpus
from clara.encodings.notewise import Notewise
from clara.music.midi import read_midi, write_midi
from clara.music.notes import build_notes, transpose
from data_prep import prepare

pytestmark = pytest.mark.slow


def test_texts_and_manifest(music, encode_into, tmp_path, capsys):
    status, manifest = encode_into(music, "--about", "five lines, CC0")
    assert status == 0
    assert list(manifest.columns) == MANIFEST_COLUMNS and set(manifest["piece"]) == set(SOURCES)
    assert set(texts(tmp_path / "out")) == set(SOURCES)
    for name, row in manifest.iterrows():
        notes, _ = read_midi(row["source"])
        words = Notewise().encode(notes)[0]
        assert (tmp_path / f"out/{name}.txt").read_text() == " ".join(words) + "\n"
        assert (row["composer"], row["reason"]) == (name.split("/")[0], "")
        assert (row["notes"], row["quarters"], row["tokens"]) == (len(notes), 40.0, len(words))
        assert row["hash"] == hashlib.sha256((music / f"{name}.mid").read_bytes()).hexdigest()
    assert sorted(manifest["work"]) == [0, 1, 2, 3, 4]
    assert set(manifest["split"]) == {"train", "valid", "test"}
    assert "5 pieces, 400 notes, 200 quarters" in capsys.readouterr().out


def test_the_folder_loads_as_a_corpus(music, encode_into, tmp_path):
    encode_into(music, "--about", "five lines, CC0", "--keys", "62", "--steps-per-quarter", "4")
    corpus = Corpus.load(tmp_path / "out")
    assert corpus.about == "five lines, CC0"
    assert corpus.encoding.settings == Notewise(4, 62).settings
    assert sum(len(corpus.ids(s)) for s in ("train", "valid", "test")) == 5


@pytest.mark.parametrize("settings, scale", [((), 1), (("--encoding", "chordwise", "--steps-per-quarter", "4"), 3)])
def test_time_signatures_on_the_grid_of_the_encoding(settings, scale, music, encode_into, tmp_path):
    waltz = replace(melody(9), time_signatures=((-24, 3, 4), (120, 2, 2)))
    write_midi(waltz, music / "chopin/waltz.mid")
    manifest = encode_into(music, *settings)[1]
    assert manifest.loc["chopin/waltz", "time_signatures"] == f"{-24 // scale} 3/4, {120 // scale} 2/2"
    assert manifest.loc["bach/1", "time_signatures"] == "0 4/4"
    corpus = Corpus.load(tmp_path / "out")
    split = manifest.loc["chopin/waltz", "split"]
    assert ((-24 // scale, 3, 4), (120 // scale, 2, 2)) in corpus.time_signatures(split)
    assert encode_into(music, *settings)[1].equals(manifest)


def test_losses_are_counted(tmp_path, encode_into):
    overlap = on(0, 60) + on(240, 60) + off(240, 60) + off(480, 60)
    data = midi_bytes(
        track(overlap, on(0, 20), off(480, 20), on(0, 70), end=480),
        track(on(960, 20), off(480, 20)),
        track(on(0, 36, channel=9), off(9, 36, channel=9)),
    )
    (tmp_path / "a.mid").write_bytes(data)
    _, manifest = encode_into(tmp_path / "a.mid")
    counts = manifest.loc["unknown/a", ["notes", "cut", "merged", "folded", "dropped", "mended"]]
    assert counts.tolist() == [4, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("with_a_bad_file", [False, True])
def test_a_second_run_writes_nothing_and_prints_the_same(music, encode_into, tmp_path, capsys, with_a_bad_file):
    if with_a_bad_file:
        (music / "bach/text.mid").write_bytes(b"not MIDI")
    encode_into(music)
    printed, before, table = (
        capsys.readouterr().out,
        texts(tmp_path / "out"),
        (tmp_path / "out/manifest.csv").read_bytes(),
    )
    assert encode_into(music)[0] == 0
    assert texts(tmp_path / "out") == before
    assert (tmp_path / "out/manifest.csv").read_bytes() == table
    assert capsys.readouterr().out == printed


def test_a_changed_file_alone_is_encoded_again(music, encode_into, tmp_path):
    _, first = encode_into(music)
    before = texts(tmp_path / "out")
    write_midi(melody(99, n=30), music / "bach/2.mid")
    _, second = encode_into(music)
    after = texts(tmp_path / "out")
    assert {n for n in SOURCES if after[n] != before[n]} == {"bach/2"}
    assert after["bach/2"][1] == " ".join(Notewise().encode(read_midi(music / "bach/2.mid")[0])[0]) + "\n"
    assert second.loc["bach/2", "notes"] == 60 and second.loc["bach/2", "hash"] != first.loc["bach/2", "hash"]


@pytest.mark.parametrize("settings", [[], ["--keys", "62"]], ids=["same settings", "other settings"])
def test_texts_of_files_that_are_gone_or_went_bad_go_too(music, encode_into, tmp_path, settings):
    encode_into(music)
    (music / "bach/2.mid").unlink()
    (music / "chopin/2.mid").write_bytes(b"not MIDI")
    _, manifest = encode_into(music, *settings)
    left = {"bach/1", "bach/sub/3", "chopin/é 1"}
    assert set(texts(tmp_path / "out")) == left
    assert set(manifest["piece"]) == left | {"chopin/2"}


def test_a_lost_text_is_written_again(music, encode_into, tmp_path):
    encode_into(music)
    before = texts(tmp_path / "out")
    (tmp_path / "out/bach/2.txt").unlink()
    encode_into(music)
    assert texts(tmp_path / "out")["bach/2"][1] == before["bach/2"][1]


def test_other_settings_encode_all_again(music, encode_into, tmp_path):
    encode_into(music)
    before = texts(tmp_path / "out")
    encode_into(music, "--steps-per-quarter", "4")
    after = texts(tmp_path / "out")
    assert all(after[n] != before[n] for n in SOURCES)
    assert (
        after["bach/1"][1]
        == " ".join(Notewise(4).encode(read_midi(music / "bach/1.mid", steps_per_quarter=4)[0])[0]) + "\n"
    )


def test_sustain_is_a_setting(tmp_path, encode_into):
    data = midi_bytes(track(b"\0\xb0\x40\x7f", on(0, 60), off(240, 60), b"\x83\x60\xb0\x40\0"))
    (tmp_path / "a.mid").write_bytes(data)
    assert encode_into(tmp_path / "a.mid")[1].loc["unknown/a", "quarters"] == 0.5
    assert encode_into(tmp_path / "a.mid", "--sustain")[1].loc["unknown/a", "quarters"] == 1.5


def test_the_split_depends_on_the_music_alone(music, encode_into, tmp_path):
    _, first = encode_into(music)
    notes = melody(1)  # bach/2
    (music / "other").mkdir()
    write_midi(transpose(notes, -4)[0], music / "other/in another key.mid")
    os.link(music / "bach/2.mid", music / "other/renamed.mid")
    merged = build_notes(notes.start, notes.end, notes.pitch)[0]
    write_midi(merged, music / "other/on one track.mid")
    _, second = encode_into(music)
    copies = second[second["composer"] == "other"]
    assert len(copies) == 3 and (copies["hash"] != second.loc["bach/2", "hash"]).sum() == 2
    assert set(copies["work"]) == {second.loc["bach/2", "work"]} and second["work"].nunique() == 5
    assert set(copies["split"]) == {first.loc["bach/2", "split"]}
    assert (second.loc[first.index, "split"] == first["split"]).all()
    _, coarse = encode_into(music, "--steps-per-quarter", "4", "--keys", "38")
    assert (coarse["split"] == second["split"]).all()


def test_exclude(music, encode_into, tmp_path):
    _, manifest = encode_into(music, "--exclude", "bach")
    assert set(manifest["piece"]) == {"chopin/é 1", "chopin/2"}
    encode_into(music)
    assert len(texts(tmp_path / "out")) == 5
    encode_into(music, "--exclude", "bach")
    assert len(texts(tmp_path / "out")) == 2


def test_workers_change_nothing(music, tmp_path):
    for workers in ("1", "3"):
        assert prepare.main([str(music), "--out", str(tmp_path / workers), "--workers", workers]) == 0
    one, three = ((tmp_path / w / "manifest.csv").read_bytes() for w in ("1", "3"))
    assert one == three


def test_a_score_of_music21s_corpus(encode_into, tmp_path):
    status, manifest = encode_into("music21:ciconia")
    assert status == 0
    [name] = manifest["piece"]
    assert name.startswith("ciconia/") and (tmp_path / f"out/{name}.txt").read_text().startswith("p")


def test_for_a_program(music, tmp_path, capsys):
    (music / "bach/text.mid").write_bytes(b"not MIDI")
    status, answer = tiny.answer(prepare.main, [music, "--out", tmp_path / "out", "--workers", 1], capsys)
    corpus = Corpus.load(tmp_path / "out")
    assert status == 0 and (answer["files"], answer["accepted"], answer["refused"], answer["works"]) == (
        6,
        5,
        {"BadMusicFile": 1},
        5,
    )
    assert (
        answer["folder"] == str(tmp_path / "out")
        and answer["split"] == corpus.manifest["split"].value_counts().to_dict()
    )
    assert (
        answer["tokens"] == corpus.manifest["tokens"].sum()
        and answer["vocabulary"] is None
        and answer["interrupted"] is False
    )
    status, answer = tiny.answer(
        prepare.main, [music, "--encoding", "chordwise", "--out", tmp_path / "chords", "--workers", 1], capsys
    )
    assert answer["vocabulary"] == len(Corpus.load(tmp_path / "chords").vocab)


def test_performed_music_is_named_with_its_measure(music, encode_into, tmp_path, capsys):
    _, manifest = encode_into(music)
    assert (manifest["grid_misfit"] == 0).all() and "warning" not in capsys.readouterr().err
    (music / "bach/played.mid").write_bytes(tiny.performed_midi())
    encode_into(music, "--performed", "no")
    _, manifest = encode_into(music, "--performed", "no")  # also when nothing is read again
    misfit = manifest.loc["bach/played", "grid_misfit"]
    message = capsys.readouterr().err
    assert misfit > 0.7 and f"1 of {len(manifest)} pieces follow no beat grid (misfit {misfit:.2f}" in message
    assert "--max-grid-error 0.45" in message


def test_beats_of_performed_music_are_found(music, encode_into, capsys):
    (music / "bach/played.mid").write_bytes(tiny.performed_midi())
    _, manifest = encode_into(music)
    printed = capsys.readouterr()
    assert manifest.loc["bach/played", "grid_misfit"] == 0 and "warning" not in printed.err
    assert f"1 piece of {len(manifest)} followed no beat grid, so the beats were found: bach/played" in printed.out


def test_folders_are_works_on_request(music, encode_into):
    _, by_music = encode_into(music)
    _, by_folder = encode_into(music, "--group-by", "folder")
    folders = [os.path.dirname(source) for source in by_folder["source"]]
    assert by_folder.groupby(folders)["split"].nunique().max() == 1
    assert by_folder["work"].nunique() == len(set(folders)) < by_music["work"].nunique()
    assert (by_folder["hash"] == by_music["hash"]).all()


def test_a_folder_of_another_version_is_prepared_again(music, encode_into, tmp_path):
    _, before = encode_into(music)
    manifest = tmp_path / "out/manifest.csv"
    manifest.write_text(manifest.read_text().replace("grid_misfit", "beat"))
    _, after = encode_into(music)
    assert after.equals(before)
