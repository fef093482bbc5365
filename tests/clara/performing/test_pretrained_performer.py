"""The performer that is part of Clara."""

from clara.checkpoints.shipped_models import find_model
from clara.music.read import read_music
from clara.performing.performer import SHIPPED_PERFORMER, Performer

MAX_BYTES = 5_000_000


def test_it_plays_a_chorale_as_players_do():
    notes = read_music("music21:bach/bwv66.6", 48)
    performer = Performer.load()
    expression = performer.perform(notes, seed=1)
    again = performer.perform(notes, seed=1)
    assert expression.velocity.tolist() == again.velocity.tolist()
    assert not expression.is_flat and expression.has_tempo_curve
    assert 25 < expression.velocity.mean() < 85
    expected = performer.perform(notes, variation=0)
    slowest = expected.tempo_quarters[expected.tempo_qpm.argmin()]
    assert slowest >= notes.quarters - 4  # it slows down at the close


def test_its_folder_is_small_and_names_the_licence():
    folder = find_model(SHIPPED_PERFORMER)
    assert sum(path.stat().st_size for path in folder.iterdir()) < MAX_BYTES
    assert "CC BY-SA 3.0 DE" in (folder / "README.md").read_text()
