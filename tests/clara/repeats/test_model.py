"""The odds of repeat candidates equal their definition, and fitting finds the calibration."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from clara.checkpoints.checkpoint import CONFIG, Checkpoint
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import Vocab
from clara.errors import BadSetting, CheckpointMismatch
from clara.generation.generator import Generator
from clara.models.likelihood import nats_per_piece
from clara.music.notes import build_notes
from clara.repeats.candidates import MIN_NOTES, MIN_TOKENS, RepeatCandidates, ScoredPiece, score_pieces
from clara.repeats.finder import RepeatFinder, TranspositionTable, find_repeats
from clara.repeats.model import VOICE_CALIBRATION_SHAPE, RepeatModel
from clara.sampling.search import SearchSettings
from clara.sampling.settings import SamplingSettings, piece_seeds

ENCODING = Notewise()
VOCAB = Vocab.from_encoding(ENCODING)
TABLE = TranspositionTable(VOCAB, ENCODING)
PAD = VOCAB.pad_id
PLAIN = RepeatModel(np.tile([1.0, 0.0], (2, len(MIN_TOKENS), 1)))
STRONG = RepeatModel(np.tile([0.5, 6.0], (2, len(MIN_TOKENS), 1)))
WITH_VOICES = replace(STRONG, voice_calibration=np.tile([0.7, 4.0], (*VOICE_CALIBRATION_SHAPE[:-1], 1)))


def piece(notes):
    return VOCAB.to_ids(["xxbos", *ENCODING.encode(notes)[0], "xxeos"])


@pytest.fixture(scope="module")
def network():
    return tiny.checkpoint().inference_model()


def adjusted(model, ids, logits, allowed=None, strength=1.0, temperature=1.0):
    """Return the logits (vocab_sz,) after `adjust_logits`, and the candidate of a text."""
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
def test_a_candidate_gets_its_calibrated_odds(strength):
    after, candidate = adjusted(STRONG, AGAIN, LOGITS, strength=strength)
    assert candidate == REPEATED[9]
    before = log_odds(LOGITS, candidate)
    assert log_odds(after, candidate) == pytest.approx(before + strength * (0.5 * before + 6 - before), abs=1e-4)
    assert np.delete(after, candidate) == pytest.approx(np.delete(LOGITS, candidate), abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_temperature_affects_the_network_and_not_candidates(temperature):
    after, candidate = adjusted(STRONG, AGAIN, LOGITS, temperature=temperature)
    assert log_odds(after / temperature, candidate) == pytest.approx(
        0.5 * log_odds(LOGITS / temperature, candidate) + 6, abs=1e-4
    )


def test_odds_are_among_allowed_tokens():
    candidate = REPEATED[9]
    allowed = np.zeros(len(VOCAB), dtype=np.uint8)
    allowed[[candidate, 5, 6]] = 1
    after, _ = adjusted(STRONG, AGAIN, LOGITS, allowed)
    before = LOGITS[candidate] - np.logaddexp(LOGITS[5], LOGITS[6])
    assert after[candidate] - np.logaddexp(after[5], after[6]) == pytest.approx(0.5 * before + 6, abs=1e-4)
    allowed[candidate] = 0
    assert adjusted(STRONG, AGAIN, LOGITS, allowed)[0] == pytest.approx(LOGITS, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [REPEATED[:3], np.concatenate([REPEATED[:9], REPEATED[:3]]), np.tile(REPEATED[:4], 3)],
    ids=["nothing came before", "too short a repeat", "overlapping repeat"],
)
def test_without_a_repeat_nothing_changes(text):
    assert (adjusted(STRONG, text, LOGITS)[0] == LOGITS.astype(np.float32)).all()


def test_nothing_changes_if_nothing_else_is_allowed_or_logits_are_nan():
    candidate = REPEATED[9]
    allowed = np.zeros(len(VOCAB), dtype=np.uint8)
    allowed[candidate] = 1
    assert (adjusted(STRONG, AGAIN, LOGITS, allowed)[0] == LOGITS.astype(np.float32)).all()
    assert np.isnan(adjusted(STRONG, AGAIN, np.full(len(VOCAB), np.nan))[0]).all()


def test_the_calibration_depends_on_length_and_key():
    calibration = np.arange(2 * len(MIN_TOKENS) * 2, dtype=np.float64).reshape(2, len(MIN_TOKENS), 2) / 10
    tune = np.concatenate([piece(tiny.tune(3, 20))[1:-1]])
    transposed = VOCAB.to_ids([ENCODING.transpose_token(w, 2) for w in VOCAB.to_tokens(tune)])
    for key, repeated in enumerate((tune, transposed)):
        for length in (4, 5, 6, 12, 40):
            text = np.concatenate([tune, VOCAB.to_ids(["p1", "wait24", "endp1", "p88"]), repeated[:length]])
            repeat = find_repeats(TABLE, text)[-1]
            slope, intercept = calibration[key, np.searchsorted(MIN_TOKENS, repeat[1], side="right") - 1]
            after, candidate = adjusted(RepeatModel(calibration), text, LOGITS)
            assert repeat[:3].tolist() == [candidate, repeat[1], key]
            assert log_odds(after, candidate) == pytest.approx(
                slope * log_odds(LOGITS, candidate) + intercept, abs=1e-4
            )


def melody_twice(seed, n=20):
    """Return a tune over one accompaniment, then eight notes of it 7 semitones higher over another, and the tune."""
    rng = np.random.default_rng(seed)
    tune = rng.permutation(np.arange(60, 75))[:n]
    pitch, start = np.r_[tune, [95], tune[:8] + 7], np.arange(len(tune) + 9) * 12
    low = rng.integers(30, 45, size=2 * len(start))
    return build_notes(
        np.r_[start, np.arange(len(low)) * 6], np.r_[start + 12, np.arange(len(low)) * 6 + 6], np.r_[pitch, low]
    )[0], tune


@pytest.mark.parametrize("model", [STRONG, WITH_VOICES], ids=["tokens", "voices too"])
def test_nats_equal_those_of_adjusted_logits(model, network):
    """`RepeatModel.nats` and `adjust_logits` are two implementations of one model."""
    ids, tunes = piece(tiny.ostinato(20)), piece(melody_twice(2, 15)[0])
    ids = np.concatenate([ids[:40], piece(tiny.tune(1, 8))[1:-1], ids[1:30], tunes[1:200], tunes[60:120], ids[-1:]])
    scored = score_pieces(network, [ids], TABLE, PAD)[0]
    for candidate in scored.candidates[: len(model._calibrations)]:
        has_repeat = candidate.bin >= 0
        assert (
            has_repeat.sum() > 10 and (candidate.is_next & has_repeat).any() and (~candidate.is_next & has_repeat).any()
        )
    with torch.no_grad():
        logits = network(torch.from_numpy(ids[None, :-1]), network.initial_state(1))[0][0].numpy()
    expected = []
    for at in range(len(ids) - 1):
        after, _ = adjusted(model, ids[: at + 1], logits[at])
        expected.append(np.logaddexp.reduce(after) - after[ids[at + 1]])
    assert model.nats(scored) == pytest.approx(np.array(expected), abs=1e-3)


def test_the_identity_costs_what_the_network_costs(network):
    pieces = [piece(tiny.ostinato(50)), piece(tiny.tune(2))]
    scored = score_pieces(network, pieces, TABLE, PAD)
    assert [PLAIN.nats(t).sum() for t in scored] == pytest.approx(
        nats_per_piece(network, pieces, PAD).tolist(), rel=1e-5
    )


def random_positions(calibration, n=4000, seed=0):
    """Return positions whose candidates are right as often as a calibration says."""
    rng = np.random.default_rng(seed)
    length, transposed, odds = rng.integers(-1, len(MIN_TOKENS), n), rng.integers(0, 2, n), rng.normal(size=n) * 2
    slope, intercept = calibration[transposed, np.maximum(length, 0)].T
    is_next = rng.random(n) < 1 / (1 + np.exp(-(slope * odds + intercept)))
    candidate = -np.logaddexp(0, -odds)
    others = np.log1p(-np.exp(candidate)) - np.log(50)
    return ScoredPiece(
        np.where(is_next, candidate, others),
        (
            RepeatCandidates(
                np.zeros(n, dtype=np.int64),
                candidate,
                is_next,
                np.where(length >= 0, transposed * len(MIN_TOKENS) + length, -1),
            ),
        ),
    )


def test_the_fit_finds_the_calibration_of_the_data():
    calibration = np.stack([np.linspace(1, 0.3, len(MIN_TOKENS)), np.linspace(-0.5, 3, len(MIN_TOKENS))], axis=1)
    calibration = np.stack([calibration, calibration * [1.2, 0.5]])
    fitted = RepeatModel.fit([random_positions(calibration, 40_000, seed) for seed in range(3)])
    assert np.abs(fitted.calibration - calibration).max() < 0.2
    held_out = random_positions(calibration, 40_000, 9)
    assert (
        RepeatModel(calibration).nats(held_out).mean()
        <= fitted.nats(held_out).mean() + 1e-3
        < PLAIN.nats(held_out).mean()
    )


def test_without_repeats_the_fit_is_the_identity():
    scored = random_positions(PLAIN.calibration, 5)
    none = ScoredPiece(scored.next_log_prob, (replace(scored.candidates[0], bin=np.full(5, -1)),))
    assert (RepeatModel.fit([none]).calibration == PLAIN.calibration).all()


def test_candidates_that_are_always_right_keep_the_fit_finite():
    scored = random_positions(PLAIN.calibration, 3000)
    always = ScoredPiece(
        scored.candidates[0].log_prob, (replace(scored.candidates[0], is_next=np.ones(3000, dtype=bool)),)
    )
    calibration = RepeatModel.fit([always]).calibration
    assert np.isfinite(calibration).all() and np.abs(calibration).max() < 20


def test_voices_are_calibrated_after_tokens():
    notes, tune = melody_twice(3, 15)
    ids = piece(notes)[:-1]  # its last quarter is over, the ninth note is due
    finder = RepeatFinder(TABLE, [ids], np.zeros(1, dtype=np.int64))
    candidate, length, transposed, waits = finder.voices.repeats[0, 0].tolist()
    assert (VOCAB.tokens[candidate], length, transposed, waits) == (f"p{tune[8] + 7 - 20}", 8, 1, 0) and finder.repeats[
        0, 0
    ] != candidate
    after, _ = adjusted(WITH_VOICES, ids, LOGITS)
    words = adjusted(STRONG, ids, LOGITS)[0]
    assert log_odds(after, candidate) == pytest.approx(0.7 * log_odds(words, candidate) + 4, abs=1e-4)


def test_the_fit_has_the_lowest_cost_for_voices_too(network):
    """A change of an intercept in either direction costs more."""
    scored = score_pieces(network, [piece(melody_twice(seed, 15)[0]) for seed in range(20)], TABLE, PAD)
    fitted = RepeatModel.fit(scored)

    def cost(model):
        return sum(model.nats(t).sum() for t in scored)

    lowest, n_worse = cost(fitted), 0
    assert lowest < cost(replace(fitted, voice_calibration=None))
    for voice, kind, length in ((0, 1, 0), (0, 1, 2), (1, 0, 0)):
        for by in (-0.3, 0.3):
            calibration = fitted.voice_calibration.copy()
            calibration[voice, 0, kind, length, 1] += by
            n_worse += cost(replace(fitted, voice_calibration=calibration)) > lowest - 0.2
    assert n_worse == 6


def with_repeats(model=STRONG):
    checkpoint = tiny.checkpoint()
    checkpoint.info["repeats"] = model.to_dict()
    return checkpoint


def tune_twice(seed):
    """Return a tune of 20 notes, a low note, 8 notes of the tune repeated; and the tokens that followed them first."""
    tune = np.random.default_rng(seed).permutation(np.arange(40, 80))[:20]
    pitch = [*tune, 30, *tune[:8]]
    start = np.arange(len(pitch)) * 6
    notes = build_notes(start, start + 6, pitch)[0]
    return notes, ENCODING.encode(notes)[0][3 * 8 : 3 * 20]


def n_tokens_of(sample, tune):
    """Return how many tokens of a tune a continuation starts with."""
    words = sample.tokens[sample.prompt_tokens :]
    same = [a == b for a, b in zip(words, tune)]
    return [*same, False].index(False)


def test_a_composed_piece_continues_its_repeat():
    prompt, rest = tune_twice(5)
    generator = Generator(with_repeats())
    plain, repeated = (
        generator.generate(4, 16, prompt, SamplingSettings(repeat_strength=m), seed=3) for m in (0.0, 1.0)
    )
    assert np.mean([n_tokens_of(s, rest) for s in repeated]) > 10
    assert np.mean([n_tokens_of(s, rest) for s in plain]) < 2
    assert [s.tokens for s in plain] == [s.tokens for s in Generator(tiny.checkpoint()).generate(4, 16, prompt, seed=3)]


def test_each_piece_of_a_batch_has_its_own_strength():
    generator, prompt = Generator(with_repeats()), tune_twice(5)[0]
    settings = [SamplingSettings(repeat_strength=m) for m in (0.0, 1.0, 0.0)]
    batch = generator.generate(3, 8, prompt, settings, seed=3)
    assert [b.tokens for b in batch] == [
        generator.generate(1, 8, prompt, s, seed=seed)[0].tokens for s, seed in zip(settings, piece_seeds(3, 3))
    ]


def test_streams_and_continuations_are_the_same_pieces():
    generator, prompt = Generator(with_repeats()), tune_twice(9)[0]
    sample = generator.generate(1, 8, prompt, seed=4)[0]
    streamed = sorted(
        (s, p)
        for notes in generator.stream(8, prompt, seed=4)
        for s, p in zip(notes.start.tolist(), notes.pitch.tolist())
    )
    assert streamed == [
        (s, p) for s, p in sorted(zip(sample.notes.start.tolist(), sample.notes.pitch.tolist())) if s >= prompt.n_steps
    ]
    others = generator.continue_each([None, prompt], 8, [SamplingSettings()] * 2, [9, 4])
    assert others[1].tokens == sample.tokens


def test_a_search_follows_repeats_across_blocks():
    prompt, rest = tune_twice(7)
    blocks = SearchSettings(first_block_quarters=0.5, block_quarters=0.5)

    def mean_tokens_of_the_tune(checkpoint):
        generator, n_tokens = Generator(checkpoint), []
        for seed in range(4):
            samples = generator.search(lambda _: np.zeros(2), 2, 4, prompt, seed=seed, search_settings=blocks)
            n_tokens += [n_tokens_of(sample, rest) for sample in samples]
        return np.mean(n_tokens)

    assert mean_tokens_of_the_tune(with_repeats()) > 10
    assert mean_tokens_of_the_tune(tiny.checkpoint()) < 2


def test_a_run_folder_stores_it(tmp_path):
    with_repeats().save(tmp_path / "run")
    assert np.array_equal(Checkpoint.load(tmp_path / "run").repeat_model().calibration, STRONG.calibration)
    assert Checkpoint.load(tmp_path / "run").info["repeats"]["min_tokens"] == list(MIN_TOKENS)
    with_repeats(WITH_VOICES).save(tmp_path / "voices")
    assert np.array_equal(
        Checkpoint.load(tmp_path / "voices").repeat_model().voice_calibration, WITH_VOICES.voice_calibration
    )
    tiny.checkpoint().save(tmp_path / "without")
    assert Checkpoint.load(tmp_path / "without").repeat_model() is None


@pytest.mark.parametrize(
    "settings",
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
        WITH_VOICES.to_dict() | {"min_notes": list(MIN_NOTES[1:])},
        WITH_VOICES.to_dict() | {"voice_calibration": [[1.0, 0.0]]},
    ],
)
def test_a_broken_repeat_model_is_refused_with_the_file(settings, tmp_path):
    tiny.checkpoint().save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"repeats": settings}))
    with pytest.raises(CheckpointMismatch, match=CONFIG):
        Checkpoint.load(tmp_path)


def test_a_missing_calibration_is_named():
    with pytest.raises(BadSetting, match="repeat model"):
        RepeatModel.from_dict({"lengths": list(MIN_TOKENS)})
