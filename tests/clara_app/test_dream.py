"""`clara dream`: a folder with a piece on its way to another composer."""

import pandas as pd
import pytest
import tiny
from symusic import Score

from clara.errors import BadMusicFile, BadSetting, CannotWrite, NoNotes
from clara.music.midi import read_midi, write_midi
from clara_app import dream


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny.checkpoint().save(folder / "model")
    tiny.classifier().save(folder / "critic")
    tiny.classifier(classes=["bach", "chopin"], seed=1).save(folder / "composers")
    paths = ["--model", folder / "model", "--critic", folder / "critic", "--classifier", folder / "composers"]
    return [str(path) for path in paths]


@pytest.fixture
def piece(tmp_path):
    write_midi(tiny.tune(3, n_notes=60), tmp_path / "piece.mid")
    return tmp_path / "piece.mid"


def flags(piece, out, *more):
    few = ["--steps", "3", "--proposals", "4", "--audio", "none"]
    return [str(piece), "--out", str(out), *few, *map(str, more)]


def test_a_path_to_two_composers(models, piece, tmp_path, capsys):
    out = tmp_path / "out"
    status, answer = tiny.answer(dream.main, flags(piece, out, "--towards", "Bach", "chopin", *models), capsys)
    assert status == 0
    table = pd.read_csv(out / "dream.csv")
    assert table["file"].tolist() == [row["file"] for row in answer["pieces"]]
    assert table["towards"][0] == "original" and read_midi(out / "01.mid")[0] == read_midi(piece)[0]
    assert {"original", "bach", "chopin"} >= set(table["towards"])
    assert (table["kept"] >= 0.5).all()
    for name in ["dream.png", "index.html", "run.json", *table["file"]]:
        assert (out / name).stat().st_size > 0
    assert "towards bach, then chopin" in (out / "index.html").read_text()


def test_the_critic_of_a_model_is_found(models, piece, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr("critic.own_critic.find_own_critic", lambda model: found.append(model) or models[3])
    assert dream.main(flags(piece, tmp_path / "out", "--towards", "bach", *models[:2], *models[4:])) == 0
    assert found == [models[1]]


def test_bad_input_leaves_no_folder(models, piece, tmp_path):
    silent = tmp_path / "silent.mid"
    Score().dump_midi(silent)
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"MThd nothing")
    out = tmp_path / "out"
    for argv, error in [
        (flags(piece, out, "--towards", "nobody", *models), BadSetting),
        (flags(silent, out, "--towards", "bach", *models), NoNotes),
        (flags(broken, out, "--towards", "bach", *models), BadMusicFile),
        (flags(piece, piece.parent, "--towards", "bach", *models), CannotWrite),
    ]:
        with pytest.raises(error):
            dream.main(argv)
    assert not out.exists()


@pytest.mark.parametrize(("n_states", "expected"), [(1, []), (2, [1]), (5, [1, 2, 3, 4]), (21, [5, 10, 15, 20])])
def test_stations_are_spread_and_end_with_the_last(n_states, expected):
    assert dream._spread(n_states) == expected
