"""Search in blocks: whole texts, the same each time, better than independent ones by what they are rated by."""

from threading import Event

import numpy as np
import pytest
import tiny

import generate
from clara.encodings.chordwise import Chordwise
from clara.encodings.framewise import Framewise
from clara.encodings.melodywise import Melodywise
from clara.encodings.notewise import Notewise
from clara.errors import BadSetting
from clara.generator import Generator
from clara.models import MODELS
from clara.notes import crop
from clara.sampling.strategies import Settings

ENCODINGS = {"notewise": Notewise(), "chordwise": Chordwise(4, 38), "melodywise": Melodywise(), "framewise": Framewise(4, 38)}
N, QUARTERS, BLOCK = 16, 10, 3


def high(pieces):
    """A piece is the better, the higher it lies."""
    return [p.pitch.mean() if len(p) else 0 for p in pieces]


def sung(encoding):
    """Notes that an encoding holds."""
    return encoding.fit(tiny.tune(1, 30, encoding.steps_per_quarter))[0]


@pytest.fixture(params=ENCODINGS)
def generator(request):
    encoding = ENCODINGS[request.param]
    return Generator(tiny.untrained(encoding, sung(encoding)))


@pytest.mark.parametrize("arch", MODELS)
def test_each_architecture_finds_higher_music(arch):
    generator = Generator(tiny.checkpoint(arch=arch))
    found = generator.search(high, N, QUARTERS, seed=1, block_quarters=BLOCK)
    plain = generator.generate(N, QUARTERS, seed=1)
    assert np.mean(high([s.notes for s in found])) > np.mean(high([s.notes for s in plain])) + 1
    assert high([s.notes for s in found]) == sorted(high([s.notes for s in found]), reverse=True)


@pytest.mark.parametrize("prompted", [False, True], ids=["no prompt", "prompt"])
def test_pieces_are_whole_and_last_as_long_as_was_asked(generator, prompted):
    prompt = crop(sung(generator.encoding), 0, 4 * generator.encoding.steps_per_quarter) if prompted else None
    for sample in generator.search(high, N, QUARTERS, prompt, seed=3, block_quarters=BLOCK):
        steps = sum(generator.encoding.steps(sample.words[sample.prompt_words:]))
        assert steps == QUARTERS * generator.encoding.steps_per_quarter
        assert not generator.encoding.decode(sample.words)[1]


def test_the_same_each_time_on_any_threads_and_of_own_luck():
    generator = Generator(tiny.checkpoint())
    told = [[s.words for s in generator.search(high, N, QUARTERS, seed=5, block_quarters=BLOCK, threads=t)] for t in (1, 1, 2)]
    assert told[0] == told[1] == told[2]
    assert len({tuple(words) for words in told[0]}) == N
    other = generator.search(high, N, QUARTERS, seed=6, block_quarters=BLOCK)
    assert [s.words for s in other] != told[0]


def test_one_block_is_plain_sampling_in_order():
    generator = Generator(tiny.checkpoint())
    rated = []
    found = generator.search(lambda pieces: rated.append(len(pieces)) or high(pieces), N, 2, seed=7, block_quarters=BLOCK)
    assert rated == [N] and [s.seed for s in found] != list(range(7, 7 + N)) and {s.seed for s in found} == set(range(7, 7 + N))


def test_it_goes_on_from_the_best():
    """Each text of the end begins with one that was among the best after the first block."""
    generator, seen = Generator(tiny.checkpoint()), []

    def rate(pieces):
        seen.append(pieces)
        return high(pieces)
    found = generator.search(rate, N, QUARTERS, seed=9, block_quarters=BLOCK)
    best = sorted(seen[0], key=lambda p: -p.pitch.mean())[:N // 4]

    def onsets(notes):
        return [(s, p) for s, p in zip(notes.start.tolist(), notes.pitch.tolist()) if s < BLOCK * 12]
    for sample in found:
        assert any(onsets(sample.notes) == onsets(b) for b in best)


def test_stopped_it_leaves_nothing_and_refuses_nonsense():
    generator, stop = Generator(tiny.checkpoint()), Event()
    stop.set()
    assert generator.search(high, N, QUARTERS, seed=1, stop=stop) == []
    for wrong in ({"n": 0}, {"block_quarters": 0}, {"block_quarters": float("nan")}):
        with pytest.raises(BadSetting):
            generator.search(high, **{"n": 4, "quarters": 8} | wrong)


def test_settings_of_each_text_are_kept():
    generator = Generator(tiny.checkpoint())
    greedy = [Settings(random_freq=0.0)] * N
    texts = {tuple(s.words) for s in generator.search(high, N, QUARTERS, settings=greedy, seed=1, block_quarters=BLOCK)}
    assert len(texts) == 1


def test_the_command_line(tmp_path, monkeypatch, capsys):
    from critic import scores

    tiny.checkpoint().save(tmp_path / "model")
    tiny.classifier().save(tmp_path / "pretrained" / "critic-notewise")
    monkeypatch.setattr(scores.Judges.__init__, "__defaults__", ("notewise", tmp_path / "pretrained", None))
    argv = ["--model", tmp_path / "model", "-n", 12, "--top", 4, "--search", "--quarters", 28, "--seed", 2, "--no-audio", "--no-pictures"]
    assert tiny.leave(generate.main, [*argv, "--out", tmp_path / "one"]) == 0
    assert tiny.leave(generate.main, ["--replay", tmp_path / "one" / "run.json", "--no-audio", "--no-pictures", "--out", tmp_path / "two"]) == 0
    one, two = ([p.read_text() for p in sorted((tmp_path / name).glob("*.txt"))] for name in ("one", "two"))
    assert one == two and len(one) == 4
    assert tiny.leave(generate.main, [*argv, "--by", "none", "--out", tmp_path / "three"]) == 2
    assert "--search goes by --by" in capsys.readouterr().err
