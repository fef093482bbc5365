"""Grammars: they allow what the encoding writes, and nothing else."""

import itertools
import re

import numpy as np
import pytest
import torch
from gridwise import Gridwise

from clara.encodings import ENCODINGS
from clara.encodings.chordwise import Chordwise
from clara.encodings.framewise import Framewise
from clara.encodings.melodywise import Melodywise
from clara.encodings.notewise import Chamber, Notewise, Quartet
from clara.encodings.vocab import CONTROL_TOKENS, Vocab
from clara.errors import BadSetting
from clara.music.notes import build_notes
from clara.sampling import grammars
from clara.sampling.constraints import Constraints
from clara.sampling.grammars import make_grammar

pytestmark = pytest.mark.slow

ENCODINGS_TO_TEST = {
    "notewise, 12 steps": Notewise(),
    "notewise, 4 steps, 38 keys": Notewise(4, 38),
    "notewise, 1 step": Notewise(1, 38),
    "chamber": Chamber(4, 38),
    "quartet": Quartet(4, 38),
    "chordwise": Chordwise(4, 38),
    "chordwise, holds": Chordwise(4, 38, holds=True),
    "chordwise, 12 steps": Chordwise(12),
    "melodywise": Melodywise(),
    "framewise": Framewise(4, 38),
    "gridwise": Gridwise(4, 38),
}
ENCODINGS_TO_TEST |= {name: kind(4, 38) for name, kind in ENCODINGS.items() if name not in ENCODINGS_TO_TEST}
LIMITS = (3, 4)  # longest note and longest silence, in quarters


@pytest.fixture(params=ENCODINGS_TO_TEST)
def encoding(request):
    return ENCODINGS_TO_TEST[request.param]


def grammar_of(encoding, limits=()):
    pieces = [random_notes(encoding, seed) for seed in range(8)] if encoding.open_vocabulary else []
    vocab = Vocab.from_encoding(encoding, {w for notes in pieces for w in encoding.encode(notes)[0]})
    return make_grammar(encoding, vocab, Constraints(*limits)), vocab


def random_notes(encoding, seed, n=60):
    """Chords, repeats, overlaps; notes of up to exactly three quarters, rests of up to exactly four."""
    rng = np.random.default_rng(seed)
    spq = encoding.steps_per_quarter
    gap = rng.choice([0, 0, 1, 2, spq, 2 * spq, 4 * spq], n)
    duration = rng.choice([1, 2, spq, 3 * spq], n)
    rest = rng.random(n) < 0.1  # the next note waits for this one's end, then four quarters
    gap[1:] += np.where(rest[:-1], duration[:-1], 0)
    start = gap.cumsum()
    part = rng.integers(0, len(encoding.prefixes), n)
    notes, _ = build_notes(
        start, start + duration, rng.integers(encoding.lowest, encoding.highest + 1, n), part, steps_per_quarter=spq
    )
    return notes


def silences(notes):
    """Return the steps of each silence of a piece, including one at its start."""
    sounding_until = np.maximum.accumulate(np.r_[0, notes.end[:-1]])
    return notes.start - sounding_until


def read(grammar, vocab, words, steps):
    """Return the state after some tokens; fail at the first that is not allowed."""
    state = grammar.start(1, steps)
    for at, word in enumerate(words):
        assert grammar.allowed(state)[0, vocab.id_of[word]], f"word {at}, {word}, after {words[max(0, at - 5) : at]}"
        state = grammar.update(state, np.array([vocab.id_of[word]]))
    return state


def allowed_after(encoding, text, steps, limits=()):
    """Return the set of tokens that may follow a text."""
    grammar, vocab = grammar_of(encoding, limits)
    state = read(grammar, vocab, text.split(), steps)
    return set(vocab.to_tokens(grammar.allowed(state)[0].nonzero()[0].tolist()))


def walk(grammar, bs, steps, weight, seed=0):
    """Random texts over the allowed words until each has ended, as lists of ids."""
    generator, state = torch.Generator().manual_seed(seed), grammar.start(bs, steps)
    texts, alive = [[] for _ in range(bs)], np.arange(bs)
    while len(alive):
        allowed = grammar.allowed(state)
        grammar.adjust_logits(np.zeros(allowed.shape, dtype=np.float32), allowed, state)
        assert allowed.any(1).all()
        ids = torch.multinomial(torch.from_numpy(allowed) * weight, 1, generator=generator)[:, 0].numpy()
        for row, word in zip(alive.tolist(), ids.tolist()):
            texts[row].append(word)
        state = grammar.update(state, ids)
        assert "sounding" not in state or not state["sounding"][ids == grammar.eos].any()
        rows = (ids != grammar.eos).nonzero()[0]
        state, alive = grammar.take(state, rows), alive[rows]
    return texts


def without_the_silence_at_the_end(words):
    words = list(words)
    while words and (
        words[-1].startswith(("wait", "rest", "r_")) or words[-2:] == ["frame", "frame"] or words == ["frame"]
    ):
        words.pop()
    return [re.sub(r"_s\d", "", w) for w in words]  # a melody's strengths are those of its own metre


def test_every_encoding_has_a_grammar_and_is_tested():
    assert {e.name for e in ENCODINGS_TO_TEST.values()} == ENCODINGS.keys() | {"gridwise"}
    assert {e.grammar for e in ENCODINGS_TO_TEST.values()} == grammars.GRAMMARS.keys()


@pytest.mark.parametrize("limits", [(), LIMITS], ids=["no limits", "limits"])
@pytest.mark.parametrize("seed", range(8))
def test_encoded_pieces_are_accepted(encoding, seed, limits):
    notes = random_notes(encoding, seed)
    words, losses = encoding.encode(notes)
    # In framewise text adjacent notes of a key become one, which may be longer than the limit. In gridwise text the
    # notes that are left out may leave longer rests.
    exceeds_limits = losses["merged"] or (encoding.name == "gridwise" and losses["dropped"])
    grammar, vocab = grammar_of(encoding, () if exceeds_limits else limits)
    state = read(grammar, vocab, words, sum(encoding.token_steps(words)))
    assert grammar.allowed(state)[0].nonzero()[0].tolist() == [vocab.eos_id]


def test_the_random_pieces_reach_both_limits():
    pieces = [random_notes(e, seed) for e in ENCODINGS_TO_TEST.values() for seed in range(8)]
    assert max(silences(p).max() / p.steps_per_quarter for p in pieces) == LIMITS[1]
    assert max(p.duration.max() / p.steps_per_quarter for p in pieces) == LIMITS[0]


def test_without_limits_notes_and_silences_may_last(encoding):
    spq = encoding.steps_per_quarter
    notes, _ = build_notes([100 * spq, 300 * spq], [200 * spq, 301 * spq], [60, 62], steps_per_quarter=spq)
    words = encoding.encode(notes)[0]
    vocab = Vocab.from_encoding(encoding, words)
    state = read(make_grammar(encoding, vocab), vocab, words, sum(encoding.token_steps(words)))
    assert make_grammar(encoding, vocab).allowed(state)[0, vocab.eos_id]


@pytest.mark.parametrize("limits", [(), LIMITS], ids=["no limits", "limits"])
@pytest.mark.parametrize("waits", [0.3, 30.0], ids=["dense", "sparse"])
def test_random_walks_are_what_the_encoding_writes(encoding, waits, limits):
    grammar, vocab = grammar_of(encoding, limits)
    steps = 40 * encoding.steps_per_quarter
    weight = torch.ones(len(vocab))
    for word, i in vocab.id_of.items():
        if word.startswith(("wait", "rest", "r_", "frame")):
            weight[i] = waits * (1 if word.startswith("wait") else 10)
        elif word.startswith("end"):
            weight[i] = 5.0
    texts = [vocab.to_tokens(ids) for ids in walk(grammar, 25, steps, weight)]
    for words in texts:
        assert words[-1] == "xxeos" and not set(words[:-1]) & set(CONTROL_TOKENS)
        notes, losses = encoding.decode(words)
        assert not losses
        assert without_the_silence_at_the_end(encoding.encode(notes)[0]) == without_the_silence_at_the_end(words[:-1])
        assert sum(encoding.token_steps(words)) == steps
        if limits and len(notes):
            lengths_kept = encoding.name != "chordwise" or encoding.holds
            assert not lengths_kept or notes.duration.max() <= LIMITS[0] * encoding.steps_per_quarter
            assert silences(notes).max() <= LIMITS[1] * encoding.steps_per_quarter
    assert sum(map(len, texts)) > 500  # some 80,000 over all


def test_a_grid_too_short_for_music_still_ends(encoding):
    grammar, vocab = grammar_of(encoding)
    for ids in walk(grammar, 20, 1, torch.ones(len(vocab))):
        notes, losses = encoding.decode(vocab.to_tokens(ids))
        assert not losses and notes.n_steps <= 1


@pytest.mark.parametrize(
    "text, word",
    [
        ("", "endp1"),  # does not sound
        ("p40", "p40"),  # sounds already
        ("p40", "p39"),  # starts ascend
        ("p40", "endp40"),  # lasts no step
        ("p40 wait1 endp40", "endp40"),
        ("p40 p41 wait1 endp41", "endp40"),  # ends ascend
        ("p40 wait1 p41", "endp40"),  # ends come before starts
        ("p40 wait1", "wait1"),  # is wait2
        ("p40 wait23", "wait24"),  # the longest comes first
        ("p40 wait24 wait24", "wait13"),  # 60 steps and no more
        ("p40", "xxeos"),
        ("p40 wait24 wait24 wait12", "xxeos"),  # still sounds
        ("p40 wait24 wait24 wait12", "p41"),  # no time left to sound
        ("p40 wait24 wait24 wait12", "wait1"),
        ("p40 wait1 endp40 wait24 wait23", "wait1"),
    ],
)
def test_refused(text, word):
    assert word not in allowed_after(Notewise(), text, 60)


@pytest.mark.parametrize(
    "text, word",
    [
        ("", "p1"),
        ("", "p88"),
        ("", "wait24"),
        ("p40", "p41"),
        ("p40", "wait24"),
        ("p40 wait1", "endp40"),
        ("p40 wait1", "p39"),
        ("p40 wait24", "wait1"),
        ("p40 wait24", "wait24"),
        ("p40 wait1 endp40", "p40"),  # struck again at once
        ("p40 wait24 wait24", "wait12"),
        ("wait24 wait24", "p1"),
        ("wait24", "wait24"),
    ],
)
def test_allowed(text, word):
    assert word in allowed_after(Notewise(), text, 60)


@pytest.mark.parametrize(
    "text, words",
    [
        ("wait24 wait24", {"p1", "p88"}),  # four quarters of silence
        ("p40 wait1 endp40 wait24 wait24", {"p1", "p88"}),
        ("p40 wait24 wait12", {"endp40"}),  # three quarters of a note
        ("p40 p50 wait24 wait12", {"endp40"}),
        ("p40 p50 wait24 wait12 endp40", {"endp50"}),
        ("p40 wait24 wait12 endp40", {"p40", "wait1", "wait24"}),
        ("p40 wait24 p41", {"wait12"}),
    ],
)
def test_what_the_limits_allow(text, words):
    assert words <= allowed_after(Notewise(), text, 200, LIMITS)


@pytest.mark.parametrize(
    "text, word",
    [
        ("wait24 wait24", "wait1"),
        ("p40 wait1 endp40 wait24 wait24", "wait1"),
        ("p40 wait24", "wait13"),
        ("p40 wait24 p41", "wait13"),
        ("p40 wait12 p41 wait24", "wait24"),
        ("p40 wait24 wait12", "p41"),
        ("p40 p50 wait24 wait12", "endp50"),
    ],
)
def test_what_the_limits_refuse(text, word):
    assert word in allowed_after(Notewise(), text, 200)
    assert word not in allowed_after(Notewise(), text, 200, LIMITS)


def test_at_the_end_what_sounds_is_released_from_below():
    steps = ["endp30", "endp40", "endp50", "xxeos"]
    for n in range(len(steps)):
        assert allowed_after(Notewise(), " ".join(["p30 p40 p50 wait24", *steps[:n]]), 24) == {steps[n]}


def test_control_words_but_the_end_are_never_allowed(encoding):
    grammar, vocab = grammar_of(encoding)
    state = read(grammar, vocab, encoding.encode(random_notes(encoding, 1))[0], 10_000)
    assert not grammar.allowed(state)[0, [vocab.pad_id, vocab.bos_id, vocab.eos_id]].any()


def test_silence_is_counted_anew_after_each_sound():
    waits = {f"wait{n}" for n in range(1, 25)}
    assert not waits & allowed_after(Notewise(), "wait24 wait24", 200, LIMITS)
    assert waits <= allowed_after(Notewise(), "wait24 wait24 p40", 200, LIMITS)
    assert waits <= allowed_after(Notewise(), "wait24 wait24 p40 wait5 endp40", 200, LIMITS)


def test_a_note_struck_again_is_a_new_note():
    assert "wait24" in allowed_after(Notewise(), "p40 wait24 wait12 endp40 p40", 200, LIMITS)


def test_texts_side_by_side_do_not_mix():
    encoding = Notewise(4, 38)
    grammar, vocab = grammar_of(encoding)
    rows = [encoding.encode(random_notes(encoding, seed))[0][:80] for seed in range(4)]
    state = grammar.start(4, 1000)
    alone = [grammar.start(1, 1000) for _ in rows]
    for words in itertools.islice(zip(*rows), 80):
        ids = vocab.to_ids(words)
        state = grammar.update(state, ids)
        alone = [grammar.update(s, ids[i : i + 1]) for i, s in enumerate(alone)]
        assert np.array_equal(grammar.allowed(state), np.concatenate([grammar.allowed(s) for s in alone]))
    taken = grammar.allowed(grammar.take(state, np.array([3, 0, 3])))
    assert np.array_equal(taken, grammar.allowed(state)[[3, 0, 3]])


SCALE, LOW, HIGH, MOST = frozenset({0, 2, 4, 5, 7, 9, 11}), 55, 79, 2


def test_what_is_asked_is_kept_to(encoding):
    if encoding.name == "melodywise":
        rules = Constraints(pitch_classes=SCALE, ranges={0: (LOW, HIGH)})
    else:
        rules = Constraints(
            pitch_classes=SCALE, ranges={part: (LOW, HIGH) for part in range(len(encoding.prefixes))}, max_notes=MOST
        )
    _, vocab = grammar_of(encoding)
    grammar, spq = make_grammar(encoding, vocab, rules), encoding.steps_per_quarter
    weight = torch.ones(len(vocab))
    n = 0
    for ids in walk(grammar, 20, 20 * spq, weight):
        notes, losses = encoding.decode(vocab.to_tokens(ids))
        assert not losses
        assert set((notes.pitch % 12).tolist()) <= SCALE
        assert not len(notes) or notes.pitch.min() >= LOW and notes.pitch.max() <= HIGH
        if encoding.name != "chordwise" or encoding.holds:  # without holds lengths are guessed
            assert all(((notes.start <= t) & (notes.end > t)).sum() <= MOST for t in notes.start)
        assert all((notes.start == t).sum() <= MOST for t in notes.start)
        n += len(notes)
    assert n > 30


def test_ranges_are_of_parts():
    encoding = Chamber(4, 38)
    grammar, vocab = make_grammar(encoding, v := Vocab.from_encoding(encoding), Constraints(ranges={1: (60, 61)})), v
    free = vocab.to_tokens(grammar.allowed(grammar.start(1, 100))[0].nonzero()[0].tolist())
    assert {w for w in free if w.startswith("v")} == {
        encoding.tone_names[t]
        for t in range(encoding.n_tones)
        if encoding.pitch_and_part(np.array([t]))[0][0] in (60, 61)
    } & {w for w in vocab.tokens if w.startswith("v")}
    assert sum(w.startswith("p") for w in free) == 38


@pytest.mark.parametrize(
    "bad", [{"max_notes": 0}, {"pitch_classes": frozenset({12})}, {"ranges": {0: (70, 60)}}, {"max_note_quarters": 0}]
)
def test_rules_that_no_music_keeps(bad):
    with pytest.raises(BadSetting):
        Constraints(**bad)


def test_a_prompt_may_break_the_rules():
    """What sounds by then may end."""
    encoding = Notewise(4, 38)
    vocab = Vocab.from_encoding(encoding)
    grammar = make_grammar(encoding, vocab, Constraints(pitch_classes=frozenset({0}), max_notes=1))
    state = grammar.start(1, 100)
    for word in ["p27", "p28", "p30", "wait4"]:
        state = grammar.update(state, np.array([vocab.id_of[word]]))
    assert set(vocab.to_tokens(grammar.allowed(state)[0].nonzero()[0].tolist())) >= {"endp27", "endp28", "endp30"}


@pytest.mark.parametrize("limits", [(), (1, 1)], ids=["no limits", "limits"])
@pytest.mark.parametrize("kind", [Notewise(4, 38), Chamber(4, 38)], ids=["notewise", "chamber"])
def test_a_line_stands_as_it_is(kind, limits):
    """Whatever is drawn around it, on its own keys too."""
    vocab, weight = Vocab.from_encoding(kind), torch.ones(len(kind.tokens) + len(CONTROL_TOKENS))
    for word, i in vocab.id_of.items():
        weight[i] = 20.0 if word.startswith(("end", "wait")) else 1.0
    for seed in range(6):
        line = random_notes(kind, seed, n=20)
        grammar = make_grammar(kind, vocab, Constraints(*limits), line)
        texts = walk(grammar, 10, line.n_steps, weight, seed)
        for ids in texts:
            notes, losses = kind.decode(vocab.to_tokens(ids))
            assert not losses
            found = set(zip(notes.start.tolist(), notes.end.tolist(), kind.to_tones(notes).tolist()))
            assert found >= set(zip(line.start.tolist(), line.end.tolist(), kind.to_tones(line).tolist()))
            if limits:
                others = [
                    end - start
                    for start, end, tone in found
                    - set(zip(line.start.tolist(), line.end.tolist(), kind.to_tones(line).tolist()))
                ]
                assert max(others, default=0) <= limits[0] * 4
        assert max(map(len, texts)) > 2 * len(line) + 20  # there is more than the line


def test_what_the_net_would_go_on_to_speaks_for_the_line():
    """The melody's token takes over the probability of all tokens that would go past it."""
    kind = Notewise(4, 38)
    vocab = Vocab.from_encoding(kind)
    line, _ = build_notes([0], [4], [60], steps_per_quarter=4)
    grammar = make_grammar(kind, vocab, None, line)
    state = grammar.start(1, 4)
    logits = np.full((1, len(vocab)), -20, dtype=np.float32)
    word, wait, low, high = (
        vocab.id_of[w]
        for w in (kind.tokens[38 + 60 - kind.lowest], "wait2", kind.tokens[38], kind.tokens[38 + 60 - kind.lowest + 1])
    )
    logits[0, [word, wait, low, high]] = np.log([0.01, 0.6, 0.09, 0.3])
    mask = grammar.allowed(state)
    grammar.adjust_logits(logits, mask, state)
    assert mask[0, [word, wait, low, high]].tolist() == [1, 0, 1, 0]
    assert np.exp(logits[0, word]) == pytest.approx(0.91, abs=1e-3) and np.exp(logits[0, low]) == pytest.approx(0.09)


def test_other_text_holds_no_line():
    line, _ = build_notes([0], [4], [60], steps_per_quarter=4)
    with pytest.raises(BadSetting, match="framewise"):
        make_grammar(Framewise(4, 38), Vocab.from_encoding(Framewise(4, 38)), None, line)
