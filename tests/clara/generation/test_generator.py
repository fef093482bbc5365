"""The generator: lengths, prompts, keys, settings, seeds, and notes as they become final."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from clara.checkpoints.shipped_models import MissingModel
from clara.encodings import ENCODINGS, make_encoding
from clara.encodings.chordwise import Chordwise
from clara.encodings.framewise import Framewise
from clara.encodings.melodywise import Melodywise
from clara.encodings.notewise import Notewise
from clara.errors import BadMusicFile, BadSetting, NoNotes, UnknownToken
from clara.generation.generator import Generator
from clara.generation.request import tokenize_until
from clara.music.bars import describe_time_signatures
from clara.music.midi import write_midi
from clara.music.notes import COMMON_TIME, build_notes, crop
from clara.sampling.constraints import Constraints
from clara.sampling.settings import SEED_STRIDE, SamplingSettings

ENCODING = Notewise()


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny.checkpoint().save(folder)
    return Generator.load(folder)


def steps(words):
    return sum(ENCODING.token_steps(words))


@pytest.mark.parametrize("n", [1, 5])
def test_n_pieces_of_the_length_asked_for(generator, n):
    pieces = generator.generate(n, 6)
    assert len(pieces) == n
    for piece in pieces:
        assert steps(piece.tokens) == 6 * 12
        assert piece.notes == ENCODING.decode(piece.tokens)[0]
        assert piece.notes.n_steps <= 6 * 12
        assert piece.prompt_quarters == 0


@pytest.mark.parametrize("quarters, expected", [(1 / 12, 1), (0.5, 6), (1.3, 16)])
def test_lengths_that_are_no_whole_quarters(generator, quarters, expected):
    assert {steps(p.tokens) for p in generator.generate(3, quarters)} == {expected}


def test_the_prompt_stays_at_the_front(generator):
    prompt = tiny.tune(5)
    words = ENCODING.encode(prompt)[0]
    for piece in generator.generate(3, 4, prompt):
        assert piece.tokens[: len(words)] == words
        assert steps(piece.tokens) == prompt.n_steps + 4 * 12
        assert crop(piece.notes, 0, prompt.n_steps) == prompt
        assert piece.notes.n_steps > prompt.n_steps
        assert piece.prompt_quarters == prompt.quarters


def test_a_continuation_keeps_the_prompts_metre(generator):
    """Expect the time signature of the prompt: its tokens do not hold it, and the accents depend on it."""
    waltz = replace(tiny.tune(0), time_signatures=((0, 3, 4),))
    assert {p.notes.time_signatures for p in generator.generate(2, 4, waltz)} == {((0, 3, 4),)}
    assert {p.notes.time_signatures for p, _ in generator.fill(waltz, 4, 6, 2)} == {((0, 3, 4),)}
    assert {p.notes.time_signatures for p in generator.generate(2, 4)} == {COMMON_TIME}


@pytest.mark.parametrize("time_signature, expected", [("3/4", (3, 4)), ((6, 8), (6, 8)), (" 2/2 ", (2, 2))])
def test_a_time_signature_and_bars(generator, time_signature, expected):
    numerator, denominator = expected
    [piece] = generator.generate(1, bars=3, time_signature=time_signature)
    assert piece.notes.time_signatures == ((0, numerator, denominator),)
    n_steps = 3 * 4 * generator.encoding.steps_per_quarter * numerator // denominator
    assert sum(generator.encoding.token_steps(piece.tokens)) == n_steps
    [found] = generator.search(lambda pieces: [0] * len(pieces), 1, bars=3, time_signature=time_signature)
    assert found.notes.time_signatures == piece.notes.time_signatures


def test_a_text_prompt_is_in_the_time_signature_that_is_given(generator):
    text = " ".join(generator.tokenize(tiny.tune(0))[0])
    for time_signature in ("3/4", "4/4", "5/4"):
        [piece] = generator.generate(1, 4, text, time_signature=time_signature)
        assert describe_time_signatures(piece.notes.time_signatures) == time_signature


@pytest.mark.parametrize(
    "time_signature, message",
    [
        ("waltz", "'waltz' is no time signature"),
        ("4/4", "is in 3/4, not in 4/4; leave out the time signature"),
        ("3/6", "lower number of 3/6 is no note value; take 1, 2, 4"),
        ("1/64", "1/64 is no whole number of steps"),
    ],
)
def test_time_signatures_that_are_refused(generator, time_signature, message):
    waltz = replace(tiny.tune(0), time_signatures=((0, 3, 4),))
    with pytest.raises(BadSetting, match=message):
        generator.generate(1, 4, waltz, time_signature=time_signature)


def test_reproducible_by_seed(generator):
    first, again, other = (generator.generate(3, 8, seed=s) for s in (5, 5, 50))
    assert [p.tokens for p in first] == [p.tokens for p in again]
    assert [p.seed for p in first] == [5, 5 + SEED_STRIDE, 5 + 2 * SEED_STRIDE]
    assert len({" ".join(p.tokens) for p in first + other}) == 6


def test_batches_of_neighbouring_seeds_share_no_piece(generator):
    one, other = ({piece.seed for piece in generator.generate(64, 1, seed=seed)} for seed in (1, 2))
    assert len(one) == len(other) == 64 and not one & other


@pytest.mark.parametrize("quarters", [4, 4.5, 20, 30])
def test_rests_at_the_end_of_a_prompt_count(generator, quarters):
    """The prompt once ended with its last note, so that the continuation came too early."""
    prompt = build_notes([0, 12, 12], [12, 30, 54], [60, 62, 50])[0]  # to quarter 4.5
    piece = generator.generate(1, 6, prompt, prompt_quarters=quarters)[0]
    assert piece.prompt_quarters == quarters
    steps = sum(generator.encoding.token_steps(piece.tokens[: piece.prompt_tokens]))
    assert steps == quarters * 12
    in_prompt = piece.notes.start < steps
    assert in_prompt.sum() == 3 and piece.notes.start[~in_prompt].min() >= steps
    assert piece.notes.end[in_prompt].max() == min(steps, 54) or quarters >= 4.5
    assert piece.composed().start.min() >= 0 and piece.composed().n_steps <= 6 * 12
    [found] = generator.search(lambda pieces: [0] * len(pieces), 1, 6, prompt, prompt_quarters=quarters)
    assert (
        found.prompt_quarters == quarters and found.tokens[: found.prompt_tokens] == piece.tokens[: piece.prompt_tokens]
    )


@pytest.mark.parametrize("name", ENCODINGS)
def test_rests_at_the_end_of_a_prompt_count_in_every_encoding(name):
    encoding = make_encoding({"encoding": name})
    step = encoding.steps_per_quarter
    notes = build_notes(
        [0, step], [step, 2 * step], [60, 62], steps_per_quarter=step, instruments=encoding.instruments
    )[0]
    for quarters in (3, 9, 20):
        tokens = tokenize_until(notes, quarters * step, encoding, encoding.encode)
        assert sum(encoding.token_steps(tokens)) == quarters * step
        decoded = encoding.decode(tokens)[0]  # chordwise without holds lets a note last until the next one
        assert decoded.start.tolist() == [0, step] and decoded.pitch.tolist() == [60, 62]


def test_a_rest_at_the_end_of_a_prompt_is_bounded(generator):
    prompt = build_notes([0], [12], [60])[0]
    assert generator.generate(1, 1, prompt, prompt_quarters=65)[0].prompt_quarters == 65
    with pytest.raises(BadSetting, match="ends at quarter 1: end it at quarter 65 at the latest, not 1e"):
        generator.generate(1, 1, prompt, prompt_quarters=1e9)


def test_a_prompt_without_a_note_is_refused(generator):
    with pytest.raises(NoNotes, match="before quarter 1"):
        generator.generate(1, 4, build_notes([24], [36], [60])[0], prompt_quarters=1)


def test_a_piece_of_a_batch_is_the_piece_of_its_seed(generator):
    batch = generator.generate(3, 8, seed=5)
    assert batch[2].tokens == generator.generate(1, 8, seed=batch[2].seed)[0].tokens


def test_continuations_of_several_prompts_are_those_of_each(generator):
    prompts, settings, seeds = (
        [tiny.tune(5), None, tiny.tune(6)],
        [SamplingSettings(), SamplingSettings(temperature=1.3), SamplingSettings(top_k=3)],
        [3, 9, 3],
    )
    prompts.append(prompts[0])
    settings, seeds = [*settings, SamplingSettings(top_p=0.9)], [*seeds, 4]
    each = generator.continue_each(prompts, 6, settings, seeds)
    alone = [generator.generate(1, 6, prompt, how, seed=seed)[0] for prompt, how, seed in zip(prompts, settings, seeds)]
    assert each == alone and len({" ".join(p.tokens) for p in each}) == 4
    for some in ([], prompts[:3]):
        with pytest.raises(BadSetting, match="as many"):
            generator.continue_each(some, 6, settings, seeds)
    with pytest.raises(BadSetting, match="3 settings for 4 pieces"):
        generator.continue_each(prompts, 6, settings[:3], seeds)
    with pytest.raises(BadSetting, match="3 settings for 4 pieces"):
        generator.continue_each(prompts, 6, settings[:3], seeds)


def test_settings_reach_the_choice(generator):
    greedy = generator.generate(3, 8, settings=SamplingSettings(random_freq=0))
    assert len({" ".join(p.tokens) for p in greedy}) == 1


@pytest.mark.parametrize(
    "prompt, qpm, expected", [(None, None, 110), (tiny.tune(1), None, 120), (None, 77, 77), (tiny.tune(1), 77, 77)]
)
def test_tempo(generator, prompt, qpm, expected):
    assert generator.generate(1, 1, prompt, qpm=qpm)[0].notes.qpm == expected


@pytest.mark.parametrize(
    "what, value",
    [
        ("n", 0),
        ("n", -1),
        ("n", 2.5),
        ("seed", -1),
        ("seed", "abc"),
        ("n", 2.5),
        ("seed", -1),
        ("seed", "abc"),
        ("quarters", 0),
        ("quarters", -4),
        ("quarters", 0.01),
        ("quarters", float("nan")),
        ("quarters", float("inf")),
        ("qpm", -1),
    ],
)
def test_out_of_range(generator, what, value):
    with pytest.raises(BadSetting, match=what):
        generator.generate(**{what: value})


def test_a_prompt_on_another_grid_is_moved_to_the_models(generator):
    coarse = replace(tiny.tune(0, steps_per_quarter=4), time_signatures=((0, 3, 4), (48, 4, 4)))
    fine = build_notes(coarse.start * 3, coarse.end * 3, coarse.pitch)[0]
    pieces = [generator.generate(1, 4, prompt, seed=1)[0] for prompt in (coarse, fine)]
    assert pieces[0].tokens == pieces[1].tokens
    assert pieces[0].notes.time_signatures == ((0, 3, 4), (144, 4, 4))


def test_no_model(tmp_path):
    with pytest.raises(MissingModel, match="nowhere.*notewise"):
        Generator.load(tmp_path / "nowhere")


def test_a_shipped_model_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Generator.load("chordwise").encoding.name == "chordwise"


def test_a_generator_from_a_checkpoint():
    made = Generator.from_checkpoint(tiny.checkpoint(), precision="float32")
    same = Generator(tiny.checkpoint(), precision="float32")
    assert made.precision == "float32"
    assert made.generate(2, 4, seed=1) == same.generate(2, 4, seed=1)


PROMPT_FORMS = ["notes", "path", "str of a path", "text", "text file"]


@pytest.mark.parametrize("form", PROMPT_FORMS)
def test_a_prompt_in_any_form_is_the_same_prompt(generator, tmp_path, form):
    tune = tiny.tune(2)
    text = " ".join(ENCODING.encode(tune)[0])
    write_midi(tune, tmp_path / "my tune.mid")
    (tmp_path / "tune.txt").write_text(text)
    prompt = {
        "notes": tune,
        "path": tmp_path / "my tune.mid",
        "str of a path": str(tmp_path / "my tune.mid"),
        "text": f"xxbos {text}",
        "text file": tmp_path / "tune.txt",
    }[form]
    tokens = generator.generate(1, 2, tune, seed=3)[0].tokens
    assert generator.generate(1, 2, prompt, seed=3)[0].tokens == tokens
    [found] = generator.search(lambda pieces: [0] * len(pieces), 1, 2, prompt, seed=3)
    assert found.tokens[: found.prompt_tokens] == text.split()
    assert generator.fill(prompt, 1, 2, n=1)[0][0].tokens == generator.fill(tune, 1, 2, n=1)[0][0].tokens
    assert generator.continue_each([prompt], 2, None, [3])[0].tokens == tokens


def test_a_prompt_that_carries_expression_keeps_it(generator, tmp_path):
    tune = tiny.tune(2)
    write_midi(tune, tmp_path / "played.mid", expression=tiny.expression(tune))
    [piece] = generator.generate(1, 2, tmp_path / "played.mid")
    assert piece.expression.velocity[: len(tune)].tolist() == tiny.expression(tune).velocity.tolist()
    assert generator.generate(1, 2, tune)[0].played_prompt is None


def test_a_prompt_of_music21s_corpus(generator):
    with pytest.warns(UserWarning, match="prompt music21:bach/bwv66.6: [0-9]+ merged"):
        [piece] = generator.generate(1, 2, "music21:bach/bwv66.6")
    assert piece.prompt_quarters == 36


@pytest.mark.parametrize(
    "prompt, error, message",
    [
        ("nowhere.mid", BadMusicFile, "nowhere.mid: no such file, and no text of the encoding notewise"),
        ("my music/nowhere.mid", BadMusicFile, "no such file"),
        ("p40 wait4 endp40 hello", UnknownToken, "neither a file nor text of the encoding notewise.*hello"),
        ("wait4 wait4", NoNotes, "the prompt has no notes"),
        (Path("nowhere.mid"), BadMusicFile, "nowhere.mid"),
        ([60, 64], BadSetting, "a prompt must be a path.*not list"),
    ],
)
def test_a_bad_prompt_is_named(generator, prompt, error, message):
    with pytest.raises(error, match=message):
        generator.generate(1, 4, prompt)


def test_what_a_prompt_loses_is_said():
    notes = build_notes([0, 12], [12, 24], [22, 60])[0]
    generator = Generator(tiny.checkpoint(Notewise(12, 38)))
    with pytest.warns(UserWarning, match="prompt: 1 folded to fit the model's encoding"):
        generator.generate(1, 4, notes)


@pytest.mark.parametrize("key", ["E minor", (4, False)])
def test_a_key_restricts_the_notes_to_its_scale(generator, key):
    piece = build_notes([0, 96], [12, 108], [64, 64])[0]
    pieces = [
        *generator.generate(3, 8, key=key, cadence=True),
        *generator.search(lambda pieces: [0] * len(pieces), 3, 8, key=key),
        *(sample for sample, _ in generator.fill(piece, 2, 6, n=3, key=key)),
    ]
    pitches = np.concatenate([piece.notes.pitch for piece in pieces])
    assert len(pitches) > 20 and set((pitches % 12).tolist()) <= {4, 6, 7, 9, 11, 0, 3}


@pytest.mark.parametrize("key", ["H major", "", (12, True), (0,), 5, (0, 3), (True, True)])
def test_what_is_no_key(generator, key):
    with pytest.raises(BadSetting, match="key"):
        generator.generate(1, 4, key=key)


def test_a_key_and_other_pitch_classes_contradict(generator):
    with pytest.raises(BadSetting, match="a key or pitch_classes"):
        generator.generate(1, 4, key="C", constraints=Constraints(pitch_classes={1}))


def test_lengths_in_bars(generator):
    waltz = replace(tiny.tune(0), time_signatures=((0, 4, 4), (48, 3, 8)))
    n_steps = steps(ENCODING.encode(waltz)[0])
    assert {steps(p.tokens) for p in generator.generate(2, bars=2)} == {2 * 48}
    assert {steps(p.tokens) - n_steps for p in generator.generate(2, bars=3, prompt=waltz)} == {3 * 18}
    assert sum(len(notes) for notes in generator.stream(bars=2)) > 0
    for wrong in ({"bars": 2, "quarters": 8}, {"bars": 0}, {"bars": "two"}):
        with pytest.raises(BadSetting, match="bars"):
            generator.generate(1, **wrong)


def test_settings_in_any_form(generator):
    as_dict = {"temperature": 0.8, "top_k": 4}
    settings = SamplingSettings(temperature=0.8, top_k=4)
    pieces = generator.generate(2, 4, settings=settings)
    assert pieces[0].settings == settings
    assert generator.generate(2, 4, settings=as_dict) == pieces
    assert generator.generate(2, 4, settings=[as_dict, settings]) == pieces


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"temprature": 1}, "did you mean 'temperature'"),
        ([{}], "1 settings for 2 pieces"),
        ("wild", "settings must be SamplingSettings or a dict"),
        (0.8, "settings must be SamplingSettings or a dict"),
    ],
)
def test_bad_settings_are_named(generator, settings, message):
    with pytest.raises(BadSetting, match=message):
        generator.generate(2, 4, settings=settings)


def test_a_fixed_melody_from_a_file(generator, tmp_path):
    melody = tiny.tune(2, n_notes=6)
    write_midi(melody, tmp_path / "melody.mid")
    [piece] = generator.generate(1, fixed_melody=tmp_path / "melody.mid")
    assert {note[:3] for note in named(piece.notes)} >= {note[:3] for note in named(melody)}


def named(notes):
    return set(zip(notes.start.tolist(), notes.end.tolist(), notes.pitch.tolist(), notes.part.tolist()))


ENCODINGS_TO_STREAM = {
    "notewise": Notewise(),
    "chordwise": Chordwise(4, 38),
    "melodywise": Melodywise(),
    "framewise": Framewise(4, 38),
}


@pytest.mark.parametrize("name", ENCODINGS_TO_STREAM)
@pytest.mark.parametrize("prompted", [False, True], ids=["no prompt", "prompt"])
def test_notes_come_as_they_are_final(name, prompted):
    encoding = ENCODINGS_TO_STREAM[name]
    prompt = encoding.decode(encoding.encode(tiny.tune(5, steps_per_quarter=encoding.steps_per_quarter))[0])[0]
    composer = Generator(tiny.untrained(encoding, prompt))
    streamed, last = set(), -1
    for notes in composer.stream(12, prompt if prompted else None, seed=4):
        assert len(notes) and not named(notes) & streamed
        streamed |= named(notes)
        assert notes.end.max() > last
        last = notes.end.max()
    (whole,) = composer.generate(1, 12, prompt if prompted else None, seed=4)
    at = sum(encoding.token_steps(whole.tokens[: whole.prompt_tokens]))
    assert streamed == {note for note in named(whole.notes) if note[1] > at}


def test_the_first_notes_come_early(generator):
    stream = generator.stream(64, seed=1)
    assert next(stream).end.max() < 64 * 12 / 4
