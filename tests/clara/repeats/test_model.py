"""What matches are worth: the odds of the words they name, against the definition, and the fit."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from clara.checkpoint import CONFIG, Checkpoint
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import Vocab
from clara.errors import BadSetting, CheckpointMismatch
from clara.generator import Generator
from clara.models.likelihood import nats_per_piece
from clara.music.notes import build_notes
from clara.repeats.candidates import MIN_NOTES, MIN_TOKENS, RepeatCandidates, ScoredPiece, score_pieces
from clara.repeats.finder import RepeatFinder, TranspositionTable, find_repeats
from clara.repeats.model import VOICE_CALIBRATION_SHAPE, RepeatModel
from clara.sampling.search import SearchSettings
from clara.sampling.settings import SamplingSettings

ENCODING = Notewise()
VOCAB = Vocab.from_encoding(ENCODING)
TABLE = TranspositionTable(VOCAB, ENCODING)
PAD = VOCAB.pad_id
PLAIN = RepeatModel(np.tile([1.0, 0.0], (2, len(MIN_TOKENS), 1)))
STRONG = RepeatModel(np.tile([0.5, 6.0], (2, len(MIN_TOKENS), 1)))
SINGING = replace(STRONG, voice_calibration=np.tile([0.7, 4.0], (*VOICE_CALIBRATION_SHAPE[:-1], 1)))


def piece(notes):
    return VOCAB.to_ids(["xxbos", *ENCODING.encode(notes)[0], "xxeos"])


@pytest.fixture(scope="module")
def reader():
    return tiny.checkpoint().inference_model()


def bent(model, ids, logits, allowed=None, strength=1.0, temperature=1.0):
    """Logits float32 (vocab_sz,) as `adjust_logits` leaves them after a text."""
    logits = logits[None].astype(np.float32).copy()
    finder = RepeatFinder(TABLE, [ids], np.zeros(1, dtype=np.int64))
    model.adjust_logits(
        logits,
        np.ones(logits.shape, dtype=np.uint8) if allowed is None else allowed[None],
        finder,
        np.array([strength]),
        np.array([temperature]),
    )
    return logits[0].astype(np.float64), int(finder.repeats[0, 0])


def log_odds(logits, word):
    return logits[word] - np.logaddexp.reduce(np.delete(logits, word))


LOGITS = np.random.default_rng(0).normal(size=len(VOCAB))
REPEATED = piece(tiny.ostinato(6))[1:-1]
AGAIN = np.concatenate([REPEATED, VOCAB.to_ids(["p80", "wait5", "endp80"]), REPEATED[:9]])


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
def test_the_word_that_followed_then_gets_the_odds_of_its_line(strength):
    after, named = bent(STRONG, AGAIN, LOGITS, strength=strength)
    assert named == REPEATED[9]
    before = log_odds(LOGITS, named)
    assert log_odds(after, named) == pytest.approx(before + strength * (0.5 * before + 6 - before), abs=1e-4)
    assert np.delete(after, named) == pytest.approx(np.delete(LOGITS, named), abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_temperature_is_for_the_net_and_not_for_matches(temperature):
    after, named = bent(STRONG, AGAIN, LOGITS, temperature=temperature)
    assert log_odds(after / temperature, named) == pytest.approx(
        0.5 * log_odds(LOGITS / temperature, named) + 6, abs=1e-4
    )


def test_only_among_words_that_are_allowed():
    named = REPEATED[9]
    allowed = np.zeros(len(VOCAB), dtype=np.uint8)
    allowed[[named, 5, 6]] = 1
    after, _ = bent(STRONG, AGAIN, LOGITS, allowed)
    before = LOGITS[named] - np.logaddexp(LOGITS[5], LOGITS[6])
    assert after[named] - np.logaddexp(after[5], after[6]) == pytest.approx(0.5 * before + 6, abs=1e-4)
    allowed[named] = 0
    assert bent(STRONG, AGAIN, LOGITS, allowed)[0] == pytest.approx(LOGITS, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [REPEATED[:3], np.concatenate([REPEATED[:9], REPEATED[:3]]), np.tile(REPEATED[:4], 3)],
    ids=["nothing came before", "too short a match", "round and round"],
)
def test_without_a_match_nothing_changes(text):
    assert (bent(STRONG, text, LOGITS)[0] == LOGITS.astype(np.float32)).all()


def test_where_nothing_else_is_allowed_or_the_net_fails_nothing_changes():
    named = REPEATED[9]
    allowed = np.zeros(len(VOCAB), dtype=np.uint8)
    allowed[named] = 1
    assert (bent(STRONG, AGAIN, LOGITS, allowed)[0] == LOGITS.astype(np.float32)).all()
    assert np.isnan(bent(STRONG, AGAIN, np.full(len(VOCAB), np.nan))[0]).all()


def test_by_length_and_key_as_the_lines_say():
    lines = np.arange(2 * len(MIN_TOKENS) * 2, dtype=np.float64).reshape(2, len(MIN_TOKENS), 2) / 10
    tune = np.concatenate([piece(tiny.tune(3, 20))[1:-1]])
    moved = VOCAB.to_ids([ENCODING.transpose_token(w, 2) for w in VOCAB.to_tokens(tune)])
    for key, again in enumerate((tune, moved)):
        for length in (4, 5, 6, 12, 40):
            text = np.concatenate([tune, VOCAB.to_ids(["p1", "wait24", "endp1", "p88"]), again[:length]])
            told = find_repeats(TABLE, text)[-1]
            slope, height = lines[key, np.searchsorted(MIN_TOKENS, told[1], side="right") - 1]
            after, named = bent(RepeatModel(lines), text, LOGITS)
            assert told[:3].tolist() == [named, told[1], key]
            assert log_odds(after, named) == pytest.approx(slope * log_odds(LOGITS, named) + height, abs=1e-4)


def sung(seed, n=20):
    """A tune over one accompaniment, and eight notes of it, seven semitones higher, over another."""
    rng = np.random.default_rng(seed)
    tune = rng.permutation(np.arange(60, 75))[:n]
    pitch, start = np.r_[tune, [95], tune[:8] + 7], np.arange(len(tune) + 9) * 12
    low = rng.integers(30, 45, size=2 * len(start))
    return build_notes(
        np.r_[start, np.arange(len(low)) * 6], np.r_[start + 12, np.arange(len(low)) * 6 + 6], np.r_[pitch, low]
    )[0], tune


@pytest.mark.parametrize("model", [STRONG, SINGING], ids=["words", "voices too"])
def test_the_cost_is_that_of_the_odds_at_each_place(model, reader):
    """Against `adjust_logits`, which composing goes by: two implementations of one model."""
    ids, tunes = piece(tiny.ostinato(20)), piece(sung(2, 15)[0])
    ids = np.concatenate([ids[:40], piece(tiny.tune(1, 8))[1:-1], ids[1:30], tunes[1:200], tunes[60:120], ids[-1:]])
    told = score_pieces(reader, [ids], TABLE, PAD)[0]
    for named in told.candidates[: len(model._calibrations)]:
        matched = named.bin >= 0
        assert matched.sum() > 10 and (named.is_next & matched).any() and (~named.is_next & matched).any()
    with torch.no_grad():
        logits = reader(torch.from_numpy(ids[None, :-1]), reader.initial_state(1))[0][0].numpy()
    expected = []
    for at in range(len(ids) - 1):
        after, _ = bent(model, ids[: at + 1], logits[at])
        expected.append(np.logaddexp.reduce(after) - after[ids[at + 1]])
    assert model.nats(told) == pytest.approx(np.array(expected), abs=1e-3)


def test_lines_that_change_nothing_cost_what_the_net_costs(reader):
    pieces = [piece(tiny.ostinato(50)), piece(tiny.tune(2))]
    told = score_pieces(reader, pieces, TABLE, PAD)
    assert [PLAIN.nats(t).sum() for t in told] == pytest.approx(nats_per_piece(reader, pieces, PAD).tolist(), rel=1e-5)


def drawn(lines, n=4000, seed=0):
    """Places where the named word comes as often as some lines say."""
    rng = np.random.default_rng(seed)
    length, moved, odds = rng.integers(-1, len(MIN_TOKENS), n), rng.integers(0, 2, n), rng.normal(size=n) * 2
    slope, height = lines[moved, np.maximum(length, 0)].T
    hit = rng.random(n) < 1 / (1 + np.exp(-(slope * odds + height)))
    named = -np.logaddexp(0, -odds)
    others = np.log1p(-np.exp(named)) - np.log(50)
    return ScoredPiece(
        np.where(hit, named, others),
        (
            RepeatCandidates(
                np.zeros(n, dtype=np.int64), named, hit, np.where(length >= 0, moved * len(MIN_TOKENS) + length, -1)
            ),
        ),
    )


def test_the_fit_finds_the_lines_that_words_came_by():
    lines = np.stack([np.linspace(1, 0.3, len(MIN_TOKENS)), np.linspace(-0.5, 3, len(MIN_TOKENS))], axis=1)
    lines = np.stack([lines, lines * [1.2, 0.5]])
    fitted = RepeatModel.fit([drawn(lines, 40_000, seed) for seed in range(3)])
    assert np.abs(fitted.calibration - lines).max() < 0.2
    held_out = drawn(lines, 40_000, 9)
    assert RepeatModel(lines).nats(held_out).mean() <= fitted.nats(held_out).mean() + 1e-3 < PLAIN.nats(held_out).mean()


def test_without_a_match_to_fit_to_nothing_changes():
    told = drawn(PLAIN.calibration, 5)
    none = ScoredPiece(told.next_log_prob, (replace(told.candidates[0], bin=np.full(5, -1)),))
    assert (RepeatModel.fit([none]).calibration == PLAIN.calibration).all()


def test_words_that_always_come_do_not_run_away():
    told = drawn(PLAIN.calibration, 3000)
    always = ScoredPiece(told.candidates[0].log_prob, (replace(told.candidates[0], is_next=np.ones(3000, dtype=bool)),))
    lines = RepeatModel.fit([always]).calibration
    assert np.isfinite(lines).all() and np.abs(lines).max() < 20


def test_a_voice_gets_the_odds_of_its_line_after_those_of_words():
    notes, tune = sung(3, 15)
    ids = piece(notes)[:-1]  # its last quarter is over, the ninth note is due
    finder = RepeatFinder(TABLE, [ids], np.zeros(1, dtype=np.int64))
    named, length, moved, waits = finder.voices.repeats[0, 0].tolist()
    assert (VOCAB.tokens[named], length, moved, waits) == (f"p{tune[8] + 7 - 20}", 8, 1, 0) and finder.repeats[
        0, 0
    ] != named
    after, _ = bent(SINGING, ids, LOGITS)
    words = bent(STRONG, ids, LOGITS)[0]
    assert log_odds(after, named) == pytest.approx(0.7 * log_odds(words, named) + 4, abs=1e-4)


def test_the_fit_is_the_cheapest_for_voices_too(reader):
    """Against lines on either side of each that has enough to go by."""
    told = score_pieces(reader, [piece(sung(seed, 15)[0]) for seed in range(20)], TABLE, PAD)
    fitted = RepeatModel.fit(told)

    def cost(model):
        return sum(model.nats(t).sum() for t in told)

    least, n = cost(fitted), 0
    assert least < cost(replace(fitted, voice_calibration=None))
    for voice, kind, length in ((0, 1, 0), (0, 1, 2), (1, 0, 0)):
        for by in (-0.3, 0.3):
            lines = fitted.voice_calibration.copy()
            lines[voice, 0, kind, length, 1] += by
            n += cost(replace(fitted, voice_calibration=lines)) > least - 0.2
    assert n == 6


def with_repeats(model=STRONG):
    checkpoint = tiny.checkpoint()
    checkpoint.info["repeats"] = model.to_dict()
    return checkpoint


def comes_again(seed):
    """A tune of twenty notes, a low note, and eight notes of the tune again; and the words that follow those in it."""
    tune = np.random.default_rng(seed).permutation(np.arange(40, 80))[:20]
    pitch = [*tune, 30, *tune[:8]]
    start = np.arange(len(pitch)) * 6
    notes = build_notes(start, start + 6, pitch)[0]
    return notes, ENCODING.encode(notes)[0][3 * 8 : 3 * 20]


def goes_on_as(sample, tune):
    """How many words of a tune a continuation begins with."""
    words = sample.tokens[sample.prompt_tokens :]
    same = [a == b for a, b in zip(words, tune)]
    return [*same, False].index(False)


def test_composing_goes_on_as_it_did_before():
    prompt, rest = comes_again(5)
    generator = Generator(with_repeats())
    plain, again = (generator.generate(4, 16, prompt, SamplingSettings(repeat_strength=m), seed=3) for m in (0.0, 1.0))
    assert np.mean([goes_on_as(s, rest) for s in again]) > 10
    assert np.mean([goes_on_as(s, rest) for s in plain]) < 2
    assert [s.tokens for s in plain] == [s.tokens for s in Generator(tiny.checkpoint()).generate(4, 16, prompt, seed=3)]


def test_each_piece_of_a_batch_has_a_strength_of_its_own():
    generator, prompt = Generator(with_repeats()), comes_again(5)[0]
    settings = [SamplingSettings(repeat_strength=m) for m in (0.0, 1.0, 0.0)]
    batch = generator.generate(3, 8, prompt, settings, seed=3)
    assert [b.tokens for b in batch] == [
        generator.generate(1, 8, prompt, s, seed=3 + i)[0].tokens for i, s in enumerate(settings)
    ]


def test_streams_and_continuations_are_the_same_pieces():
    generator, prompt = Generator(with_repeats()), comes_again(9)[0]
    sample = generator.generate(1, 8, prompt, seed=4)[0]
    told = sorted(
        (s, p)
        for notes in generator.stream(8, prompt, seed=4)
        for s, p in zip(notes.start.tolist(), notes.pitch.tolist())
    )
    assert told == [
        (s, p) for s, p in sorted(zip(sample.notes.start.tolist(), sample.notes.pitch.tolist())) if s >= prompt.n_steps
    ]
    others = generator.continue_each([None, prompt], 8, [SamplingSettings()] * 2, [9, 4])
    assert others[1].tokens == sample.tokens


def test_a_search_remembers_across_its_blocks():
    prompt, rest = comes_again(7)
    found = Generator(with_repeats()).search(
        lambda pieces: np.zeros(len(pieces)),
        2,
        4,
        prompt,
        seed=1,
        search_settings=SearchSettings(first_block_quarters=0.5, block_quarters=0.5),
    )
    assert min(goes_on_as(s, rest) for s in found) > 10


def test_a_folder_keeps_it(tmp_path):
    with_repeats().save(tmp_path / "run")
    assert np.array_equal(Checkpoint.load(tmp_path / "run").repeat_model().calibration, STRONG.calibration)
    assert Checkpoint.load(tmp_path / "run").info["repeats"]["min_tokens"] == list(MIN_TOKENS)
    with_repeats(SINGING).save(tmp_path / "voices")
    assert np.array_equal(
        Checkpoint.load(tmp_path / "voices").repeat_model().voice_calibration, SINGING.voice_calibration
    )
    tiny.checkpoint().save(tmp_path / "without")
    assert Checkpoint.load(tmp_path / "without").repeat_model() is None


@pytest.mark.parametrize(
    "told",
    [
        {},
        7,
        {"min_tokens": [4], "calibration": [[1, 0]]},
        {"min_tokens": list(MIN_TOKENS), "calibration": "none"},
        PLAIN.to_dict() | {"min_tokens": list(MIN_TOKENS[:-1])},
        PLAIN.to_dict() | {"min_tokens": 3},
        PLAIN.to_dict() | {"calibration": (PLAIN.calibration * np.nan).tolist()},
        PLAIN.to_dict() | {"voice_calibration": 3},
        PLAIN.to_dict() | {"voice_calibration": None, "min_notes": list(MIN_NOTES)},
        SINGING.to_dict() | {"min_notes": list(MIN_NOTES[1:])},
        SINGING.to_dict() | {"voice_calibration": [[1.0, 0.0]]},
    ],
)
def test_what_is_not_a_repeat_model_is_refused_with_the_file(told, tmp_path):
    tiny.checkpoint().save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"repeats": told}))
    with pytest.raises(CheckpointMismatch, match=CONFIG):
        Checkpoint.load(tmp_path)


def test_lines_are_checked():
    with pytest.raises(BadSetting, match="repeat model"):
        RepeatModel.from_dict({"lengths": list(MIN_TOKENS)})
