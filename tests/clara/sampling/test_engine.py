"""The sampler, with a fake model and the real grammar of notewise text."""

import numpy as np
import pytest
import torch

from clara.encodings.notewise import Notewise
from clara.encodings.vocab import Vocab
from clara.sampling import engine
from clara.sampling.engine import RandomNumbers, Sampler
from clara.sampling.grammars.notewise import NotewiseGrammar
from clara.sampling.settings import SamplingSettings
from clara.sampling.steppers import FloatStepper
from clara.sampling.token_choice import choose_tokens, settings_table

ENCODING = Notewise(4, 38)
VOCAB = Vocab.from_encoding(ENCODING)
PROMPT = ENCODING.tokens[38:40] + ["wait4"] + ENCODING.tokens[:2]
PLAIN = SamplingSettings()


class FakeModel:
    """A model whose logits depend on every token so far; it records what it was given.

    Its state identifies each text, so that the tokens fed to it can be put together again.
    """

    device = torch.device("cpu")

    def __init__(self):
        self.calls = []

    def initial_state(self, bs):
        return torch.zeros(bs, dtype=torch.long)

    def __call__(self, ids, state):
        self.calls.append(ids.clone())
        for word in ids.T:
            state = (state * 31 + word + 1) % 100_003
        logits = torch.sin(state[:, None] * torch.arange(1, len(VOCAB) + 1) * 0.7) * 2
        return logits[:, None].expand(-1, ids.shape[1], -1), state

    @staticmethod
    def take(state, rows):
        return state[rows]

    @staticmethod
    def join(states):
        return torch.cat(states)


class RecordingStepper(FloatStepper):
    """Record the tokens of each step."""

    def __init__(self, model):
        super().__init__(model)
        self.fed = []

    def step(self, ids, context=None):
        self.fed.append(ids.tolist())
        return super().step(ids, context)


def grammar():
    return NotewiseGrammar(ENCODING, VOCAB)


def prompt_ids(words=PROMPT):
    return VOCAB.to_ids(["xxbos", *words])


def texts_of(seeds, steps=40, words=PROMPT, model=None, settings=PLAIN, make=None, **more):
    model = model or FakeModel()
    sampler = Sampler(model, make or (lambda: FloatStepper(model)), grammar(), steps_per_quarter=4, **more)
    return sampler.sample([prompt_ids(words)], steps, settings, seeds)


@pytest.mark.parametrize("words", [[], PROMPT], ids=["no prompt", "prompt"])
def test_each_text_lasts_its_steps_and_is_whole(words):
    for text in texts_of([1, 2, 3], words=words):
        tokens = VOCAB.to_tokens(text)
        assert sum(ENCODING.token_steps(tokens)) == 40
        assert not ENCODING.decode(words + tokens)[1]


def test_the_prompt_is_read_once_and_no_word_twice():
    model = FakeModel()
    stepper = RecordingStepper(model)
    texts = texts_of([1, 2, 3, 4], model=model, make=lambda: stepper)
    assert torch.equal(model.calls[0], torch.from_numpy(prompt_ids())[None])
    assert all(call.shape[1] == 1 for call in model.calls[1:])
    going = [[t[at] for t in texts if at < len(t)] for at in range(max(map(len, texts)))]
    assert [[i for i in ids if i != VOCAB.eos_id] for ids in stepper.fed if set(ids) != {VOCAB.eos_id}] == going


def test_ended_texts_leave_the_batch():
    model = FakeModel()
    stepper = RecordingStepper(model)
    texts = texts_of(list(range(40)), model=model, make=lambda: stepper)
    assert len(set(map(len, texts))) > 5
    sizes = [len(ids) for ids in stepper.fed]
    living = [sum(len(t) > at for t in texts) for at in range(len(sizes))]
    assert all(n <= size <= n * 16 / 15 for n, size in zip(living, sizes))
    assert sizes[0] == 40 and sizes[-1] < 5


@pytest.mark.parametrize("steps", [5, 400], ids=["short", "beyond the draws drawn ahead"])
def test_a_text_of_a_batch_is_the_text_alone(steps):
    seeds = [7, 3, 11, 4]
    together = texts_of(seeds, steps)
    assert max(map(len, together)) > engine.NUMBERS_PER_DRAW or steps < 100
    assert together == [texts_of([s], steps)[0] for s in seeds]


@pytest.mark.parametrize("threads", [1, 2])
def test_texts_of_different_lengths_are_the_texts_alone(threads):
    seeds, lengths = list(range(20)), np.array([5, 40, 39, 400, 1] * 4)
    together = texts_of(seeds, lengths, threads=threads)
    assert together == [texts_of([seed], length)[0] for seed, length in zip(seeds, lengths.tolist())]
    assert [sum(ENCODING.token_steps(VOCAB.to_tokens(text))) for text in together] == lengths.tolist()


def test_equal_lengths_are_one_length():
    assert texts_of([1, 2, 3], np.full(3, 30)) == texts_of([1, 2, 3], 30)


def test_texts_are_interrupted_at_steps_of_their_own():
    """Texts that were interrupted go on with their random numbers of later; the others are whole."""
    model = FakeModel()
    sampler = Sampler(model, lambda: FloatStepper(model), grammar(), steps_per_quarter=4)
    lengths, until = np.array([40, 30, 40, 20]), np.array([24, 31, 10, 20])
    table, start = settings_table(PLAIN, 4), sampler.read_prompts([prompt_ids()])
    begun, states = sampler.write(start, np.zeros(4, dtype=np.int64), lengths, table, [1, 2, 3, 4], until)
    assert begun[1] == texts_of([2], 30)[0]
    assert (states.steps_written >= until[[0, 2, 3]]).all()
    for text, past, steps in zip([begun[0], begun[2], begun[3]], states.past_ids, states.steps_written):
        assert past.tolist() == [*prompt_ids().tolist(), *text]
        assert sum(ENCODING.token_steps(VOCAB.to_tokens(text))) == steps
    rest, end = sampler.write(states, np.array([1, 2, 0]), np.array([40, 20, 35]), table[:3], [5, 6, 7])
    assert end is None
    for text, length in zip([begun[2] + rest[0], begun[3] + rest[1], begun[0] + rest[2]], [40, 20, 35]):
        words = VOCAB.to_tokens(text)
        assert sum(ENCODING.token_steps(words)) == length
        assert not ENCODING.decode(PROMPT + words)[1]


def test_progress_of_different_lengths_is_that_of_the_text_with_most_to_write():
    steps_left = []
    texts_of([1, 2], np.array([30, 8]), on_step=steps_left.append)
    assert 8 < steps_left[0] <= 30 and steps_left[-1] == 0


def test_equal_seeds_give_equal_texts_others_differ():
    first, second, other = texts_of([5, 5, 6])
    assert first == second != other


def test_the_state_is_that_of_all_words_before():
    """Reading prompt and text in one go leads to the same choices."""
    (text,) = texts_of([9])
    whole, draws, rules = np.r_[prompt_ids(), text], RandomNumbers([9]), grammar()
    written = rules.start(1, 0)
    for word in prompt_ids()[1:]:
        written = rules.update(written, np.array([word]))
    written["steps_left"][:] = 40
    for at in range(len(prompt_ids()), len(whole) + 1):
        model = FakeModel()
        logits, _ = model(torch.from_numpy(whole)[None, :at], model.initial_state(1))
        word = choose_tokens(
            logits[:, -1].float().numpy(), rules.allowed(written), settings_table(SamplingSettings(), 1), draws.next()
        )
        assert word.item() == (whole[at] if at < len(whole) else VOCAB.eos_id)
        written = rules.update(written, word)


def test_only_what_is_allowed_is_written():
    rules = grammar()
    for text in texts_of([1, 2], steps=60):
        state = rules.start(1, 0)
        for word in prompt_ids()[1:]:
            state = rules.update(state, np.array([word]))
        state["steps_left"][:] = 60
        for word in [*text, VOCAB.eos_id]:
            assert rules.allowed(state)[0, word]
            state = rules.update(state, np.array([word]))


def test_progress_is_told_in_steps_left():
    reported = []
    texts_of([1, 2], steps=30, on_step=reported.append)
    assert reported == sorted(reported, reverse=True)
    assert reported[0] <= 30 and reported[-1] == 0


def test_greedy_texts_do_not_hang_on_the_seed():
    first, second = texts_of([1, 2], 20, settings=SamplingSettings(random_freq=0.0))
    assert first == second


def test_threads_change_nothing():
    seeds = list(range(20))
    assert texts_of(seeds) == texts_of(seeds, threads=2) == texts_of(seeds, threads=50)


def test_settings_of_each_text():
    several = [SamplingSettings(random_freq=0.0), SamplingSettings(temperature=1.5), SamplingSettings(top_k=2)]
    assert texts_of([1, 2, 3], settings=several) == [
        texts_of([s], settings=one)[0] for s, one in zip([1, 2, 3], several)
    ]


def test_what_came_lately_is_penalised():
    """With a penalty beyond all odds no note comes again within the window while another may."""
    (text,) = texts_of(
        [4], steps=200, words=[], settings=SamplingSettings(repetition_penalty=1e6, repetition_quarters=2.0)
    )
    clock, last = 0, {}
    for word in VOCAB.to_tokens(text):
        if word.startswith("wait"):
            clock += int(word[4:])
        elif word.startswith("p"):
            assert clock - last.get(word, -100) >= 8, f"{word} at {clock}, last at {last[word]}"
            last[word] = clock
    (free,) = texts_of([4], steps=200, words=[])
    assert len(last) > 10 and text != free


def test_draws_are_those_of_each_seed_alone():
    together, alone = RandomNumbers([1, 2]), RandomNumbers([2])
    for _ in range(engine.NUMBERS_PER_DRAW + 3):
        both = together.next()
        assert np.array_equal(both[1:], alone.next())
    assert both.shape == (2, 2) and (both >= 0).all() and (both < 1).all()
    together.take([1])
    assert np.array_equal(together.next(), alone.next())
