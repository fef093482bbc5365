"""The store of pieces."""

import tiny

from clara_app.web.piece_store import Piece, PieceStore


def piece(seed=0):
    return Piece(tiny.tune(seed), f"tune {seed}")


def test_pieces_are_kept():
    store = PieceStore()
    names = [store.add(piece(i)) for i in range(20)]
    assert len(set(names)) == 20 and all(len(n) >= 16 for n in names)
    assert [store.get(n).title for n in names] == [f"tune {i}" for i in range(20)]
    assert store.get("nothing") is None


def test_the_least_recently_used_piece_goes_first():
    store = PieceStore(max_pieces=3)
    a, b, c = (store.add(piece(i)) for i in range(3))
    store.get(a)
    d = store.add(piece(3))
    assert store.get(b) is None and all(store.get(n) for n in (a, c, d)) and len(store) == 3


def test_old_pieces_go():
    store = PieceStore(max_age_seconds=100)
    name, kept = store.add(piece()), store.add(piece(1))
    store.get(name).last_used -= 1000
    assert store.get(kept) is not None
    store._pieces.move_to_end(name, last=False)
    assert store.get(name) is None
