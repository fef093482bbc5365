"""Filling a gap in a piece: what stays, what is new, and how fillings are ranked."""

from dataclasses import replace

import numpy as np
import pytest
import tiny

from clara.encodings.notewise import Notewise
from clara.errors import BadSetting
from clara.generation.generator import Generator
from clara.generation.infilling import lead_nats
from clara.models.likelihood import nats_per_piece
from clara.music.notes import select

ENCODING = Notewise()


@pytest.fixture(scope="module")
def generator():
    return Generator(tiny.checkpoint())


def named(notes):
    return set(zip(notes.start.tolist(), notes.end.tolist(), notes.pitch.tolist(), notes.part.tolist()))


def test_a_gap_is_filled_and_the_rest_stays(generator):
    piece = tiny.tune(3, n_notes=120)
    first, last = 12 * 8, 12 * 12
    fillings = generator.fill(piece, 8, 12, n=6, seed=1)
    assert len(fillings) == 6 and [cost for _, cost in fillings] == sorted(cost for _, cost in fillings)
    assert len({" ".join(sample.tokens) for sample, _ in fillings}) == 6
    before = {(s, p) for s, e, p, _ in named(piece) if s < first}
    after = {note for note in named(piece) if note[0] >= last}
    for sample, _ in fillings:
        notes = named(sample.notes)
        assert {(s, p) for s, e, p, _ in notes if s < first} >= before and {n for n in notes if n[0] >= last} == after
        assert {n for n in notes if n[1] <= first} == {n for n in named(piece) if n[1] <= first}
        assert any(first <= s < last for s, *_ in notes)


def test_fillings_are_weighted_by_the_music_after_the_gap(generator):
    """Expect the cost of the tokens after the gap, given all tokens before them."""
    piece = tiny.tune(3, n_notes=120)
    (best, cost), *_ = generator.fill(piece, 8, 12, n=4, seed=1)
    tokens = ENCODING.encode(best.notes)[0]
    reached = [sum(ENCODING.token_steps(tokens[:i])) for i in range(len(tokens) + 1)]
    gap = next(i for i, (r, w) in enumerate(zip(reached, tokens)) if r == 12 * 12 and not w.startswith("end"))
    soon = sum(r <= 16 * 12 for r in reached[1:])
    ids = [generator.vocab.to_ids(["xxbos", *tokens[:n]]) for n in (soon, gap)]
    nats = nats_per_piece(generator.model, ids, generator.vocab.pad_id)
    assert cost == pytest.approx(float(nats[0] - nats[1]), rel=1e-3)


@pytest.mark.parametrize("start, end", [(-1, 2), (4, 4), (4, 500), (0, float("nan"))])
def test_no_gap(generator, start, end):
    with pytest.raises(BadSetting, match="to fill"):
        generator.fill(tiny.tune(3), start, end)


def test_held_notes_stay_in_the_gap(generator):
    piece = tiny.tune(3, n_notes=120)
    first, last = 12 * 8, 12 * 12
    top = piece.pitch >= np.median(piece.pitch)
    for sample, _ in generator.fill(piece, 8, 12, n=6, seed=1, hold=select(piece, top)):
        held = {(s, min(e, last), p) for s, e, p, _ in named(select(piece, top)) if first <= s < last}
        assert held and {(s, e, p) for s, e, p, _ in named(sample.notes)} >= held


def test_a_prompt_that_holds_the_melody_writes_none_of_it(generator):
    """A melody is counted from the end of the prompt, even if the prompt begins with the same notes."""
    melody = tiny.tune(2, n_notes=6)
    for sample in generator.generate(3, prompt=melody, fixed_melody=melody):
        later = replace(melody, start=melody.start + melody.n_steps)
        assert {note[:3] for note in named(sample.notes)} >= {note[:3] for note in named(later)}


def test_fillings_without_ranking_are_in_the_order_of_their_seeds(generator):
    piece = tiny.tune(3, n_notes=120)
    ranked = generator.fill(piece, 8, 12, n=4, seed=1)
    unranked = generator.fill(piece, 8, 12, n=4, seed=1, is_ranked=False)
    assert [sample.seed for sample, _ in unranked] == sorted(sample.seed for sample, _ in ranked)
    assert all(np.isnan(nats) for _, nats in unranked)
    nats = {sample.seed: nats for sample, nats in ranked}
    found = lead_nats([sample.notes for sample, _ in unranked], 12, generator)
    assert found == pytest.approx([nats[sample.seed] for sample, _ in unranked], rel=1e-3)
