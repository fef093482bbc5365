"""What the page keeps."""

import tiny

from clara_app.web.piece_store import Piece, Shelf


def piece(seed=0):
    return Piece(tiny.tune(seed), f"tune {seed}")


def test_what_was_put_there_is_there():
    shelf = Shelf()
    names = [shelf.put(piece(i)) for i in range(20)]
    assert len(set(names)) == 20 and all(len(n) >= 16 for n in names)
    assert [shelf.get(n).title for n in names] == [f"tune {i}" for i in range(20)]
    assert shelf.get("nothing") is None


def test_the_one_asked_for_longest_ago_goes_first():
    shelf = Shelf(most=3)
    a, b, c = (shelf.put(piece(i)) for i in range(3))
    shelf.get(a)
    d = shelf.put(piece(3))
    assert shelf.get(b) is None and all(shelf.get(n) for n in (a, c, d)) and len(shelf) == 3


def test_nothing_stays_for_ever():
    shelf = Shelf(seconds=100)
    name, kept = shelf.put(piece()), shelf.put(piece(1))
    shelf.get(name).made -= 1000
    assert shelf.get(kept) is not None
    shelf._pieces.move_to_end(name, last=False)
    assert shelf.get(name) is None
