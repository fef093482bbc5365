"""The loop that writes many texts at once, with a net made up for it and the real grammar."""

from functools import partial

import pytest
import torch

from clara.encodings.notewise import Notewise
from clara.sampling import engine
from clara.sampling.engine import Draws, sample
from clara.sampling.grammar_notewise import NotewiseGrammar
from clara.sampling.strategies import Settings, choose
from clara.vocab import Vocab

ENCODING = Notewise(4, 38)
VOCAB = Vocab.of(ENCODING)
PROMPT = ENCODING.words[38:40] + ["wait4"] + ENCODING.words[:2]


class FakeReader:
    """Logits that hang on every word read so far, the same in any batch; notes what it was given.

    Its state names each text, so that the words fed can be put together again.
    """

    def __init__(self):
        self.calls, self.rows = [], []

    def start(self, bs):
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


def grammar():
    return NotewiseGrammar(ENCODING, VOCAB)


def free(logits, allowed, draws):
    return choose(logits, allowed, Settings(), draws)


def prompt_ids(words=PROMPT):
    return torch.from_numpy(VOCAB.ids(["xxbos", *words]))


def texts_of(seeds, steps=40, words=PROMPT, reader=None, **more):
    return sample(reader or FakeReader(), grammar(), free, prompt_ids(words), steps, seeds, **more)


@pytest.mark.parametrize("words", [[], PROMPT], ids=["no prompt", "prompt"])
def test_each_text_lasts_its_steps_and_is_whole(words):
    for text in texts_of([1, 2, 3], words=words):
        told = VOCAB.text(text)
        assert sum(ENCODING.steps(told)) == 40
        assert not ENCODING.decode(words + told)[1]


def test_the_prompt_is_read_once_and_no_word_twice():
    reader = FakeReader()
    texts = texts_of([1, 2, 3, 4], reader=reader)
    assert torch.equal(reader.calls[0], prompt_ids()[None])
    assert all(call.shape[1] == 1 for call in reader.calls[1:])
    fed = [call[:, 0].tolist() for call in reader.calls[1:]]
    assert fed == [[t[at] for t in texts if at < len(t)] for at in range(max(map(len, texts)))]


def test_ended_texts_leave_the_batch():
    reader = FakeReader()
    texts = texts_of(list(range(8)), reader=reader)
    assert len(set(map(len, texts))) > 1
    sizes = [len(call) for call in reader.calls[1:]]
    assert sizes == [sum(len(t) > at for t in texts) for at in range(len(sizes))]
    assert sizes[0] == 8 and sizes[-1] < 8


@pytest.mark.parametrize("steps", [5, 400], ids=["short", "beyond the draws drawn ahead"])
def test_a_text_of_a_batch_is_the_text_alone(steps):
    seeds = [7, 3, 11, 4]
    together = texts_of(seeds, steps)
    assert max(map(len, together)) > engine.DRAWS_AHEAD or steps < 100
    assert together == [texts_of([s], steps)[0] for s in seeds]


def test_equal_seeds_give_equal_texts_others_differ():
    first, second, other = texts_of([5, 5, 6])
    assert first == second != other


def test_the_state_is_that_of_all_words_before():
    """Reading prompt and text in one go leads to the same choices."""
    text, = texts_of([9])
    whole, draws, rules = torch.cat([prompt_ids(), torch.tensor(text)]), Draws([9]), grammar()
    written = rules.start(1, 0)
    for word in prompt_ids()[1:]:
        written = rules.update(written, word[None])
    written["left"] = torch.tensor([40])
    for at in range(len(prompt_ids()), len(whole) + 1):
        reader = FakeReader()
        logits, _ = reader(whole[None, :at], reader.start(1))
        word = free(logits[:, -1], rules.allowed(written), draws.next(torch.tensor([0])))
        assert word.item() == (whole[at] if at < len(whole) else VOCAB.eos)
        written = rules.update(written, word)


def test_choose_gets_a_row_per_living_text():
    shapes = []

    def choose_and_tell(logits, allowed, draws):
        shapes.append((logits.shape, allowed.shape, draws.shape))
        return free(logits, allowed, draws)

    texts = sample(FakeReader(), grammar(), choose_and_tell, prompt_ids(), 20, [1, 2, 3])
    alive = [sum(len(t) >= at for t in texts) for at in range(len(shapes))]
    assert shapes == [((n, len(VOCAB)), (n, len(VOCAB)), (n, 2)) for n in alive]


def test_only_what_is_allowed_is_written():
    rules = grammar()
    for text in texts_of([1, 2], steps=60):
        state = rules.start(1, 0)
        for word in prompt_ids()[1:]:
            state = rules.update(state, word[None])
        state["left"] = torch.tensor([60])
        for word in [*text, VOCAB.eos]:
            assert rules.allowed(state)[0, word]
            state = rules.update(state, torch.tensor([word]))


def test_progress_is_told_in_steps_left():
    told = []
    texts_of([1, 2], steps=30, on_step=told.append)
    assert told == sorted(told, reverse=True)
    assert told[0] <= 30 and told[-1] == 0


def test_greedy_texts_do_not_hang_on_the_seed():
    greedy = partial(choose, settings=Settings(random_freq=0.0))

    def likeliest(logits, allowed, draws):
        return greedy(logits, allowed, draws=draws)

    first, second = sample(FakeReader(), grammar(), likeliest, prompt_ids(), 20, [1, 2])
    assert first == second


def test_draws_are_those_of_each_seed_alone():
    together, alone = Draws([1, 2]), Draws([2])
    for _ in range(engine.DRAWS_AHEAD + 3):
        both = together.next(torch.tensor([0, 1]))
        assert torch.equal(both[1:], alone.next(torch.tensor([0])))
    assert both.shape == (2, 2) and (both >= 0).all() and (both < 1).all()
