"""Search in blocks: whole texts, the same each time, better than independent ones by what they are rated by."""

import json
from itertools import pairwise
from threading import Event

import numpy as np
import pytest
import tiny

from clara.encodings.chordwise import Chordwise
from clara.encodings.framewise import Framewise
from clara.encodings.melodywise import Melodywise
from clara.encodings.notewise import Notewise
from clara.errors import BadSetting
from clara.generation.generator import Generator
from clara.generation.request import GenerationRequest
from clara.models import ARCHITECTURES
from clara.music.notes import crop
from clara.sampling.constraints import Constraints
from clara.sampling.search import SearchSettings, _draw_rows, search
from clara.sampling.settings import SamplingSettings, piece_seeds
from clara_app import compose

pytestmark = pytest.mark.slow

ENCODINGS = {
    "notewise": Notewise(),
    "chordwise": Chordwise(4, 38),
    "melodywise": Melodywise(),
    "framewise": Framewise(4, 38),
}
N, TOP, QUARTERS, BLOCK = 16, 4, 10, 3


def blocks(top=8):
    """Search settings with short blocks."""
    return SearchSettings(top=top, first_block_quarters=BLOCK, block_quarters=BLOCK)


def high(pieces):
    """Rate a piece by its mean pitch."""
    return [p.pitch.mean() if len(p) else 0 for p in pieces]


def strictly_high(pieces):
    """Rate so that only the highest piece has a chance."""
    return [1e6 * rating for rating in high(pieces)]


def onsets(notes, quarters):
    """Return onsets and pitches of the notes in the first quarters."""
    return tuple((s, p) for s, p in zip(notes.start.tolist(), notes.pitch.tolist()) if s < quarters * 12)


def sung(encoding):
    """Return notes that an encoding can hold."""
    return encoding.fold_to_range(tiny.tune(1, 30, encoding.steps_per_quarter))[0]


@pytest.fixture(params=ENCODINGS)
def generator(request):
    encoding = ENCODINGS[request.param]
    return Generator(tiny.untrained(encoding, sung(encoding)))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_each_architecture_finds_higher_music(arch):
    generator = Generator(tiny.checkpoint(arch=arch))
    found, plain = [], []
    for seed in (0, 100, 200):
        found.append(
            high([s.notes for s in generator.search(high, 4 * N, QUARTERS, seed=seed, search_settings=blocks(TOP))])
        )
        plain.append(sorted(high([s.notes for s in generator.generate(4 * N, QUARTERS, seed=seed)]))[-TOP:])
        assert len(found[-1]) == TOP and found[-1] == sorted(found[-1], reverse=True)
    assert np.mean(found) > np.mean(plain) + 1


@pytest.mark.parametrize("prompted", [False, True], ids=["no prompt", "prompt"])
def test_pieces_are_whole_and_last_as_long_as_was_asked(generator, prompted):
    prompt = crop(sung(generator.encoding), 0, 4 * generator.encoding.steps_per_quarter) if prompted else None
    for sample in generator.search(high, N, QUARTERS, prompt, seed=3, search_settings=blocks()):
        steps = sum(generator.encoding.token_steps(sample.tokens[sample.prompt_tokens :]))
        assert steps == QUARTERS * generator.encoding.steps_per_quarter
        assert not generator.encoding.decode(sample.tokens)[1]


def test_the_same_each_time_on_any_threads_and_of_own_luck():
    generator = Generator(tiny.checkpoint())
    expected = [
        [s.tokens for s in generator.search(high, N, QUARTERS, seed=5, search_settings=blocks(), threads=t)]
        for t in (1, 1, 2)
    ]
    assert expected[0] == expected[1] == expected[2]
    assert len({tuple(words) for words in expected[0]}) == 8
    other = generator.search(high, N, QUARTERS, seed=6, search_settings=blocks())
    assert [s.tokens for s in other] != expected[0]


def test_one_block_is_plain_sampling_and_the_best_of_each_share():
    generator, rated = Generator(tiny.checkpoint()), []
    found = generator.search(
        lambda pieces: rated.append(len(pieces)) or high(pieces), N, 2, seed=7, search_settings=blocks(N + 1)
    )
    assert (
        rated == [N]
        and [s.seed for s in found] != piece_seeds(7, N)
        and {s.seed for s in found} == set(piece_seeds(7, N))
    )
    best = generator.search(strictly_high, N, 2, seed=7, search_settings=blocks(3))
    shares = [[s for s in found if piece_seeds(7, N).index(s.seed) % 3 == k] for k in range(3)]  # best first, as found
    assert [s.tokens for s in best] == [s.tokens for s in found if s in [share[0] for share in shares]]


@pytest.mark.parametrize("n, top", [(N, TOP), (N, 1), (11, 4), (5, 5), (3, 8)])
def test_each_piece_goes_on_from_a_beginning_of_its_own(n, top):
    """Each search writes its share of the candidates in every block and returns its best."""
    generator, seen = Generator(tiny.checkpoint()), []

    def rate(pieces):
        seen.append(pieces)
        return strictly_high(pieces)

    found = generator.search(rate, n, QUARTERS, seed=9, search_settings=blocks(top))
    assert len(found) == min(n, top) and [len(pieces) for pieces in seen] == [n] * 3
    shares = [[onsets(p, BLOCK) for p in seen[0][k::top]] for k in range(min(n, top))]

    def its_search(notes):
        return next(k for k, share in enumerate(shares) if onsets(notes, BLOCK) in share)

    assert len({b for share in shares for b in share}) == n  # or the searches could not be distinguished
    for pieces in seen:
        sizes = np.bincount([its_search(p) for p in pieces])
        assert len(sizes) == min(n, top) and sizes.max() - sizes.min() <= 1
    own = [[p.pitch.mean() for p in seen[-1] if its_search(p) == its_search(s.notes)] for s in found]
    assert [s.notes.pitch.mean() for s in found] == pytest.approx([max(some) for some in own])
    assert len({its_search(s.notes) for s in found}) == len(found)


def test_candidates_are_drawn_in_proportion_to_their_weights():
    log_weights = np.log([0.5, 0.3, 0.2, 1e-30])
    counts = np.zeros(4)
    for seed in range(200):
        rows = _draw_rows(log_weights, 5, np.random.default_rng(seed))
        own = np.bincount(rows, minlength=4)
        assert own[3] == 0 and (np.abs(own[:3] - [2.5, 1.5, 1]) < 1).all()  # as nearly as the shares allow
        counts += own
    assert counts / 1000 == pytest.approx([0.5, 0.3, 0.2, 0], abs=0.02)
    first = [_draw_rows(log_weights, 5, np.random.default_rng(seed))[0] for seed in range(400)]
    assert np.bincount(first, minlength=4) / 400 == pytest.approx([0.5, 0.3, 0.2, 0], abs=0.08)


def test_a_rating_that_does_not_differ_draws_as_the_model_does():
    generator = Generator(tiny.checkpoint())
    found = generator.search(lambda pieces: [3.0] * len(pieces), N, QUARTERS, seed=4, search_settings=blocks(N))
    assert len({tuple(s.tokens) for s in found}) == N


def test_what_cannot_be_rated_does_not_go_on():
    generator = Generator(tiny.checkpoint())

    def rate(pieces):
        return [-np.inf if rating < np.median(high(pieces)) else 0.0 for rating in high(pieces)]

    found = generator.search(rate, N, 2, seed=4, search_settings=blocks(1))
    plain = high([s.notes for s in generator.search(lambda p: [0.0] * len(p), N, 2, seed=4, search_settings=blocks(N))])
    assert high([found[0].notes])[0] >= np.median(plain)


@pytest.mark.parametrize("quarters, lengths", [(10, [4, 6, 8, 10]), (9, [4, 6, 9]), (5, [5]), (4, [4])])
def test_beginnings_are_rated_after_a_longer_block(quarters, lengths):
    generator, seen = Generator(tiny.checkpoint()), []

    def rate(pieces):
        seen.append(pieces)
        return high(pieces)

    generator.search(
        rate, N, quarters, seed=9, search_settings=SearchSettings(top=TOP, first_block_quarters=4, block_quarters=2)
    )
    assert len(seen) == len(lengths)
    for pieces, begin, until in zip(seen, [0, *lengths], lengths):
        assert begin <= max(p.start.max() for p in pieces) / 12 < until


def search_notewise(lengths, n, top, rate, **options):
    """Search with a tiny model; return the sampler's vocabulary too."""
    generator = Generator(tiny.checkpoint())
    request = GenerationRequest.from_arguments(generator, QUARTERS, None, **options)

    def rate_texts(texts):
        return rate([generator.encoding.decode(generator.vocab.to_tokens(ids))[0] for ids in texts])

    results = search(
        request.sampler, request.prompt_ids, lengths, SamplingSettings(), piece_seeds(4, n), rate_texts, blocks(top)
    )
    return [generator.vocab.to_tokens(ids) for ids, _, _ in results]


def steps_of(words):
    """Return the grid steps of notewise text."""
    return sum(Notewise().token_steps(words))


@pytest.mark.parametrize("lengths", [(120, 119), (120, 40), (30, 200, 84)])
def test_candidates_of_different_lengths(lengths):
    seen = []

    def rate(pieces):
        seen.append(pieces)
        return high(pieces)

    of_candidate = np.resize(lengths, N)
    found = search_notewise(of_candidate, N, len(lengths), rate)  # each search has one length
    assert sorted(map(steps_of, found)) == sorted(lengths)
    assert len(seen) <= max((length - BLOCK * 12) // (BLOCK * 12) + 1 for length in lengths)
    for words in found:
        assert not Notewise().decode(words)[1]


def test_lengths_compete_within_a_search():
    """The short candidates are done in the first block, and are rated against the others until the end."""
    short_wins = search_notewise(np.resize([24, 120], N), N, 1, lambda pieces: [-p.n_steps for p in pieces])
    long_wins = search_notewise(np.resize([24, 120], N), N, 1, lambda pieces: [p.n_steps for p in pieces])
    assert (steps_of(short_wins[0]), steps_of(long_wins[0])) == (24, 120)


@pytest.mark.parametrize("options", [{}, {"cadence": True}, {"threads": 2}])
def test_equal_lengths_are_one_length(options):
    assert search_notewise(np.full(N, 120), N, TOP, high, **options) == search_notewise(120, N, TOP, high, **options)


def test_a_cadence_comes_at_the_end_of_each_length():
    """Of the notes that begin in the last two quarters all are of the tonic triad, as far as the bias reaches."""
    key = (0, True)
    lengths = np.resize([120, 72], N)
    shares = []
    for cadence in (True, False):
        notes = [Notewise().decode(w)[0] for w in search_notewise(lengths, N, 2, high, cadence=cadence, key=key)]
        late = np.concatenate([n.pitch[n.start >= n.n_steps - 24] % 12 for n in notes])
        shares.append(np.isin(late, [0, 4, 7]).mean())
    assert shares[0] > 0.9 > shares[1]


def test_each_search_goes_on_from_its_best():
    generator, seen = Generator(tiny.checkpoint()), []

    def rate(pieces):
        seen.append(pieces)
        return strictly_high(pieces)

    generator.search(rate, N, QUARTERS, seed=9, search_settings=blocks(2))
    searches = [{onsets(p, BLOCK) for p in seen[0][k::2]} for k in range(2)]
    for block, (before, after) in enumerate(pairwise(seen), 1):
        for beginnings in searches:
            own = sorted((p for p in before if onsets(p, BLOCK) in beginnings), key=lambda p: -p.pitch.mean())
            went_on = {onsets(p, block * BLOCK) for p in after if onsets(p, BLOCK) in beginnings}
            assert went_on == {onsets(p, block * BLOCK) for p in own[:1]}


def test_each_beam_writes_its_candidates():
    generator, n_rated = Generator(tiny.checkpoint()), []
    search_settings = SearchSettings(top=2, first_block_quarters=2, block_quarters=2, candidates_per_beam=3)
    settings = [SamplingSettings(temperature=1 + i / 10) for i in range(12)]
    found = generator.search(
        lambda pieces: n_rated.append(len(pieces)) or high(pieces),
        4,
        4,
        settings=settings,
        seed=7,
        search_settings=search_settings,
    )
    assert n_rated == [12, 12] and len(found) == 2
    assert all(sample.settings == settings[piece_seeds(7, 12).index(sample.seed)] for sample in found)
    with pytest.raises(BadSetting, match="4 settings for 12 pieces"):
        generator.search(high, 4, 4, settings=settings[:4], search_settings=search_settings)


def test_stopped_it_leaves_nothing_and_refuses_nonsense():
    generator, stop = Generator(tiny.checkpoint()), Event()
    stop.set()
    assert generator.search(high, N, QUARTERS, seed=1, stop=stop) == []
    with pytest.raises(BadSetting, match="n must be a whole number of at least 1"):
        generator.search(high, 0, 8)
    for wrong in (
        {"top": 0},
        {"candidates_per_beam": 0},
        {"block_quarters": 0},
        {"block_quarters": float("nan")},
        {"first_block_quarters": 0},
    ):
        with pytest.raises(BadSetting, match=next(iter(wrong))):
            SearchSettings(**wrong)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_text_goes_on_as_though_it_had_not_been_left_off(arch, precision):
    """Where nothing is left to chance, settings among it, a search writes what sampling writes."""
    if (arch, precision) == ("wavenet", "int8"):
        pytest.skip("int8 is for LSTM nets")
    generator = Generator(tiny.checkpoint(arch=arch), precision=precision)
    greedy = [SamplingSettings(random_freq=0.0)] * N
    for prompt in (None, tiny.tune(1, 6)):
        texts = {
            tuple(s.tokens)
            for s in generator.search(high, N, QUARTERS, prompt, settings=greedy, seed=1, search_settings=blocks())
        }
        assert texts == {tuple(generator.generate(1, QUARTERS, prompt, greedy[0], seed=1)[0].tokens)}


def test_a_tune_stands_across_blocks_as_it_is():
    tune = tiny.tune(0, n_notes=20)
    found = Generator(tiny.checkpoint()).search(high, N, fixed_melody=tune, seed=1, search_settings=blocks(TOP))
    assert tune.quarters > 2 * BLOCK and len(found) == TOP
    for sample in found:
        assert set(zip(sample.notes.start, sample.notes.end, sample.notes.pitch)) > set(
            zip(tune.start, tune.end, tune.pitch)
        )


def test_a_key_holds_across_blocks():
    for sample in Generator(tiny.checkpoint()).search(
        high,
        N,
        QUARTERS,
        constraints=Constraints(pitch_classes={0, 4, 7}, max_notes=2),
        seed=1,
        search_settings=blocks(),
    ):
        notes = sample.notes
        assert set((notes.pitch % 12).tolist()) <= {0, 4, 7}
        assert max(((notes.start <= t) & (notes.end > t)).sum() for t in range(notes.n_steps)) <= 2


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Save a model, and a critic in place of the shipped one."""
    from critic import scores

    tiny.checkpoint().save(tmp_path / "model")
    tiny.classifier().save(tmp_path / "pretrained" / "critic-notewise")
    monkeypatch.setattr(
        scores.ScoringModels.__init__, "__defaults__", ("notewise", tmp_path / "pretrained", None, None)
    )
    return tmp_path / "model"


QUIET = ["--no-audio", "--no-pictures"]
QUICK = ["--quarters", 8, "--seed", 2, *QUIET]


def count_candidates(monkeypatch):
    """Return a list that records (number of candidates, seed, number of settings) of each search."""
    searches = []
    search = Generator.search

    def recorded(self, rate, n, **options):
        n_candidates = n * options["search_settings"].candidates_per_beam
        searches.append((n_candidates, options["seed"], len(options["settings"])))
        return search(self, rate, n, **options)

    monkeypatch.setattr(Generator, "search", recorded)
    return searches


def test_the_command_line(model, tmp_path, capsys):
    argv = ["--model", model, "-n", 12, "--top", 4, "--search", *QUICK, "--quarters", 28]
    assert tiny.leave(compose.main, [*argv, "--out", tmp_path / "one"]) == 0
    run_json = tmp_path / "one" / "run.json"
    replay = ["--replay", run_json, "--model", model, *QUIET, "--out", tmp_path / "two"]
    assert tiny.leave(compose.main, replay) == 0
    one, two = ([p.read_text() for p in sorted((tmp_path / name).glob("*.txt"))] for name in ("one", "two"))
    assert one == two and len(one) == 4
    assert tiny.leave(compose.main, [*argv, "--rank-by", "none", "--out", tmp_path / "three"]) == 2
    assert "--search) needs scores to rank by" in capsys.readouterr().err
    run = json.loads(run_json.read_text())
    earlier = run["search_version"] - 1
    for version, message in ((None, "search_version is None"), (earlier, f"search version {earlier}")):
        (tmp_path / "earlier.json").write_text(json.dumps(run | {"search_version": version}))
        replay = ["--replay", tmp_path / "earlier.json", "--model", model, "--out", tmp_path / "four"]
        assert tiny.leave(compose.main, replay) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags, searched",
    [
        ([], True),
        (["--no-search"], False),
        (["--rank-by", "none"], False),
        (["--top", 12], False),
        (["--top", 11], True),
    ],
)
def test_it_searches_by_default_if_there_is_something_to_choose(flags, searched, model, tmp_path, capsys):
    argv = ["--model", model, "-n", 12, *QUICK, "--out", tmp_path / "out", *flags]
    assert tiny.leave(compose.main, argv) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["search"] is searched
    assert ("a search with 24 candidates" in capsys.readouterr().out) is searched


@pytest.mark.parametrize("candidates_per_beam, n_candidates", [(1, 12), (3, 36)])
def test_candidates_per_beam(candidates_per_beam, n_candidates, model, tmp_path, capsys, monkeypatch):
    """Expect as many from a replay."""
    searches = count_candidates(monkeypatch)
    argv = ["--model", model, "-n", 12, "--top", 2, "--candidates-per-beam", candidates_per_beam, *QUICK]
    assert tiny.leave(compose.main, [*argv, "--out", tmp_path / "out"]) == 0
    assert f"a search with {n_candidates} candidates" in capsys.readouterr().out
    run_json = tmp_path / "out" / "run.json"
    assert json.loads(run_json.read_text())["candidates_per_beam"] == candidates_per_beam
    replay = ["--replay", run_json, "--model", model, *QUIET, "--out", tmp_path / "again"]
    assert tiny.leave(compose.main, replay) == 0
    assert searches == [(n_candidates, 2, n_candidates)] * 2


def test_each_batch_has_seeds_of_its_own(model, tmp_path, monkeypatch):
    monkeypatch.setattr("clara_app.composer.BATCH_SIZE", 8)
    searches = count_candidates(monkeypatch)
    argv = ["--model", model, "-n", 12, "--top", 2, "--candidates-per-beam", 3, *QUICK, "--seed", 5]
    assert tiny.leave(compose.main, [*argv, "--out", tmp_path / "out"]) == 0
    assert searches == [(24, 5, 24), (12, piece_seeds(5, 25)[24], 12)]


def test_there_is_at_least_one_candidate_per_beam(model, tmp_path, capsys):
    assert tiny.leave(compose.main, ["--model", model, "--candidates-per-beam", 0, "--out", tmp_path / "out"]) == 2
    assert "--candidates-per-beam" in capsys.readouterr().err and not (tmp_path / "out").exists()
