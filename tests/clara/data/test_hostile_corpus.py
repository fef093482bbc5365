"""Prepared folders of strangers: no name leads out of them, and what is broken is named."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from examples import melody

from clara.data.corpus import MANIFEST, SETTINGS, Corpus, read_manifest
from clara.data.corpus_writer import prepare_corpus
from clara.data.fingerprints import FINGERPRINTS, FingerprintFile
from clara.data.sources import find_pieces
from clara.errors import ClaraError, NoData, OutsideFolder
from clara.music.midi import write_midi

pytestmark = pytest.mark.slow


@pytest.fixture
def music(tmp_path):
    for i in range(3):
        path = tmp_path / f"music/bach/{i}.mid"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_midi(melody(i), path)
    return tmp_path / "music"


def prepare(music, folder):
    return prepare_corpus(find_pieces([str(music)]), folder, {"encoding": "notewise"})[0]


def rename_piece(folder, name):
    table = pd.read_csv(folder / MANIFEST, keep_default_na=False)
    table.loc[0, "piece"] = name
    table.to_csv(folder / MANIFEST, index=False)


@pytest.mark.parametrize("name", ["../secret", "{tmp}/secret", "bach/../../secret"])
def test_preparing_again_deletes_nothing_outside_the_folder(music, tmp_path, name):
    secret = tmp_path / "secret.txt"
    secret.write_text("p40 wait12 endp40")
    prepare(music, tmp_path / "out")
    rename_piece(tmp_path / "out", name.format(tmp=tmp_path))
    with pytest.raises(OutsideFolder, match="secret"):
        prepare(music, tmp_path / "out")
    with pytest.raises(OutsideFolder, match="secret"):
        Corpus.load(tmp_path / "out")
    assert secret.read_text() == "p40 wait12 endp40"


def test_a_link_out_of_the_folder_is_neither_read_nor_deleted(music, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("p40 wait12 endp40")
    prepare(music, tmp_path / "out")
    (tmp_path / "out/link").symlink_to(outside)
    rename_piece(tmp_path / "out", "link/secret")
    with pytest.raises(OutsideFolder, match="link"):
        Corpus.load(tmp_path / "out").tokens("link/secret")
    with pytest.raises(OutsideFolder, match="link"):
        prepare(music, tmp_path / "out")
    assert (outside / "secret.txt").is_file()


def test_an_empty_text_is_written_again(music, tmp_path):
    before = prepare(music, tmp_path / "out")
    text = tmp_path / "out/bach/0.txt"
    whole = text.read_text()
    text.write_text("")  # as after a power failure
    with pytest.raises(NoData, match="empty; prepare the folder again"):
        Corpus.load(tmp_path / "out").tokens("bach/0")
    assert prepare(music, tmp_path / "out").equals(before) and text.read_text() == whole


def settings_of(folder):
    return json.loads((folder / SETTINGS).read_text())


BROKEN = {
    "nested settings": (SETTINGS, lambda f: "[" * 100_000),
    "settings that are a list": (SETTINGS, lambda f: "[]"),
    "an encoding that is a list": (SETTINGS, lambda f: json.dumps(settings_of(f) | {"encoding": [1]})),
    "a huge grid": (
        SETTINGS,
        lambda f: json.dumps({"encoding": {"encoding": "notewise", "steps_per_quarter": 10**8}}),
    ),
    "prefixes of another type": (
        SETTINGS,
        lambda f: json.dumps({"encoding": {"encoding": "notewise", "prefixes": [1]}}),
    ),
    "about that is a number": (SETTINGS, lambda f: json.dumps(settings_of(f) | {"about": 1})),
    "an empty manifest": (MANIFEST, lambda f: ""),
    "a manifest of NUL bytes": (MANIFEST, lambda f: "\0" * 100),
    "a count that is a word": (MANIFEST, lambda f: (f / MANIFEST).read_text().replace(",40,", ",many,")),
    "a count that is infinite": (MANIFEST, lambda f: (f / MANIFEST).read_text().replace(",40,", ",inf,")),
    "a manifest of one column": (MANIFEST, lambda f: "piece\nbach/0\n"),
    "an open quote": (MANIFEST, lambda f: (f / MANIFEST).read_text() + '"'),
}


@pytest.mark.parametrize("name, text", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(music, tmp_path, name, text):
    folder = tmp_path / "out"
    prepare(music, folder)
    (folder / name).write_text(text(folder))
    with pytest.raises(ClaraError, match=name):
        Corpus.load(folder)


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"\0" * 40, b"{}" + np.array([0], "<i8").tobytes()])
def test_broken_fingerprints_are_named_and_made_again(music, tmp_path, data):
    before = prepare(music, tmp_path / "out")
    path = tmp_path / "out" / FINGERPRINTS
    path.write_bytes(data)
    with pytest.raises(NoData, match=FINGERPRINTS):
        FingerprintFile(path)
    assert prepare(music, tmp_path / "out").equals(before)
    assert len(FingerprintFile(path).sizes) == 3


def test_names_of_refused_pieces_are_checked_too(music, tmp_path):
    (music / "bach/broken.mid").write_bytes(b"no music")
    prepare(music, tmp_path / "out")
    text = Path(tmp_path / "out", MANIFEST).read_text().replace("bach/broken,", "../broken,")
    Path(tmp_path / "out", MANIFEST).write_text(text)
    with pytest.raises(OutsideFolder):
        read_manifest(tmp_path / "out")
