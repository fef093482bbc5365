"""The repeats of outer voices equal those of a search by the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clara import encodings
from clara.encodings.notewise import Chamber, Notewise
from clara.encodings.vocab import Vocab
from clara.music.notes import build_notes
from clara.repeats.outer_voices import (
    INITIAL_ROOM,
    IS_WAIT,
    LENGTH,
    TOKEN,
    TRANSPOSED,
    VoiceRepeatFinder,
    VoiceTokens,
    find_voice_repeats,
    find_voice_runs,
)
from clara.repeats.voice_kernels import MAX_LOOKBACK

ENCODING = Notewise(12, 88)
VOCAB = Vocab.from_encoding(ENCODING)
VOICE_TOKENS = VoiceTokens.from_encoding(VOCAB, ENCODING)
NOTHING = [-1, -1, -1, -1]


def tokens_of(start, length, pitch):
    start, length = np.array(start), np.array(length)
    return ENCODING.encode(build_notes(start, start + length, np.array(pitch))[0])[0]


def notes_of_voices(tokens, encoding=ENCODING):
    """Return (time, pitch) of the notes of the highest and the lowest voice, in steps that are over."""
    over = max((i for i, token in enumerate(tokens) if token.startswith("wait")), default=-1) + 1
    notes = encoding.decode([*tokens[:over], "wait24"])[0]  # what is not ended lasts
    lines = ([], [])
    for t in sorted(set(notes.start.tolist())):
        sounds = (notes.start <= t) & (notes.end > t)
        for line, outer in zip(lines, (notes.pitch[sounds].max(), notes.pitch[sounds].min())):
            if t in notes.start[notes.pitch == outer].tolist():
                line.append((t, int(outer)))
    return lines


def run_of(line, n, i):
    """Return the length of the run that ends with note i and equals the end at note n."""
    length, by = 0, line[n][1] - line[i][1]
    while length <= i and line[n - length][1] - line[i - length][1] == by:
        length += 1
        if (
            length <= i
            and line[n - length + 1][0] - line[n - length][0] != line[i - length + 1][0] - line[i - length][0]
        ):
            break
    return length


def naive(tokens):
    """Return the repeats of both voices at the end of a text, by the definition."""
    clock, repeats = sum(ENCODING.token_steps(tokens)), []
    for voice, line in enumerate(notes_of_voices(tokens)):
        repeats.append(NOTHING)
        n = len(line) - 1
        if n < 1:
            continue
        length, same, place = max((run_of(line, n, i), line[n][1] == line[i][1], i) for i in range(n))
        at, due = line[n][0] + line[place + 1][0] - line[place][0], line[place + 1][1] + line[n][1] - line[place][1]
        since, gone = 0, 0  # in text after the step of the newest note
        for token in tokens:
            if token.startswith("p") and since > line[n][0]:
                pitch = int(token[1:]) + 20
                gone |= pitch >= due if voice == 0 else pitch <= due
            since += int(token[4:]) if token.startswith("wait") else 0
        if length >= n - place or not 21 <= due <= 108 or clock > at or gone:
            continue
        named = (
            f"p{due - 20}"
            if clock == at
            else f"wait{at - clock}"
            if at - clock <= 24 and not tokens[-1].startswith("wait")
            else None
        )
        repeats[voice] = [VOCAB.id_of.get(named, -1), length, int(not same), int(at > clock)]
    if repeats[1][TOKEN] == repeats[0][TOKEN]:
        repeats[1] = [-1, *repeats[1][1:]]
    return repeats


music = st.lists(
    st.tuples(
        st.sampled_from([3, 3, 6, 12]), st.sampled_from([3, 6, 12]), st.sampled_from([60, 62, 64, 65, 67, 48, 50])
    ),
    min_size=4,
    max_size=25,
)


@given(music)
def test_every_position_equals_the_definition(drawn):
    gaps, lengths, pitches = zip(*drawn)
    starts = np.cumsum((0, *gaps))[: len(gaps)]
    tokens = tokens_of(starts, lengths, pitches)
    found = find_voice_repeats(VOICE_TOKENS, VOCAB.to_ids(tokens)).tolist()
    for n in range(1, len(tokens) + 1):
        assert found[n - 1] == naive(tokens[:n]), tokens[:n]


def two_hands(tune, bass, at=0, gap=12):
    """Return a tune in quarters and a bass in eighths, as (start, length, pitch)."""
    return [(at + i * gap, gap, p) for i, p in enumerate(tune)] + [(at + i * 6, 6, p) for i, p in enumerate(bass)]


TUNE = [72, 74, 76, 77, 74, 79, 71]


@pytest.mark.parametrize("by", [0, 5])
def test_a_tune_is_followed_over_another_accompaniment_and_in_another_key(by):
    rng = np.random.default_rng(by)
    first, other = rng.integers(36, 55, (2, 14))
    again = [p + by for p in TUNE[:4]]
    tokens = tokens_of(*zip(*two_hands(TUNE, first), *two_hands(again, other[:8], 84)))
    top = find_voice_repeats(VOICE_TOKENS, VOCAB.to_ids(tokens))[-1, 0]
    assert top.tolist() == [VOCAB.id_of[f"p{TUNE[4] + by - 20}"], 4, int(by > 0), 0]
    before = tokens[: len(tokens) - tokens[::-1].index("wait6") - 1]  # half of the last note is still to come
    waiting = find_voice_repeats(VOICE_TOKENS, VOCAB.to_ids(before))[-1, 0]
    assert waiting.tolist() == [VOCAB.id_of["wait6"], 4, int(by > 0), 1]


def test_a_due_note_is_settled_when_it_comes_or_is_replaced():
    rng = np.random.default_rng(2)
    tokens = tokens_of(
        *zip(*two_hands(TUNE, rng.integers(36, 55, 14)), *two_hands(TUNE[:4], rng.integers(36, 55, 8), 84))
    )
    for more, named in ((["p30"], "p54"), (["p54"], None), (["p60"], None), (["wait1"], None)):
        repeats = find_voice_repeats(VOICE_TOKENS, VOCAB.to_ids(tokens + more))[-1, 0]
        assert repeats[TOKEN] == (VOCAB.id_of[named] if named else -1)


def test_an_overlapping_repeat_names_no_candidate():
    tokens = tokens_of(np.arange(40) * 6, [6] * 40, [60, 62, 64, 65] * 10)
    assert (find_voice_repeats(VOICE_TOKENS, VOCAB.to_ids(tokens))[40:, :, TOKEN] == -1).all()


def test_texts_side_by_side_have_the_repeats_of_each_alone():
    rng = np.random.default_rng(0)
    texts = [
        VOCAB.to_ids(tokens_of(np.cumsum(rng.integers(1, 3, 40)) * 6, [6] * 40, rng.choice([60, 62, 64, 67], 40)))[:100]
        for _ in range(3)
    ]
    finder = VoiceRepeatFinder(VOICE_TOKENS, [t[:20] for t in texts], np.array([0, 1, 2]))
    for at in range(20, 100):
        if at == 40:
            finder.take(np.array([2, 0]))
            texts = [texts[2], texts[0]]
        finder.append(np.array([t[at] for t in texts]))
        for found, text in zip(finder.repeats, texts):
            assert found.tolist() == find_voice_repeats(VOICE_TOKENS, text[: at + 1])[-1].tolist()


def test_texts_outgrow_the_room():
    n = INITIAL_ROOM + 20
    rng = np.random.default_rng(1)
    text = VOCAB.to_ids(tokens_of(np.arange(n) * 6, [6] * n, rng.choice([60, 62, 64, 67], n)))
    finder = VoiceRepeatFinder(VOICE_TOKENS, [text[:0]], np.zeros(1, dtype=np.int64))
    for token in text:
        finder.append(np.array([token]))
    assert (
        finder.notes.shape[3] > INITIAL_ROOM
        and finder.repeats[0].tolist() == find_voice_repeats(VOICE_TOKENS, text)[-1].tolist()
    )


@pytest.mark.parametrize("further", [-8, 1])
def test_the_lookback_is_limited(further):
    n = MAX_LOOKBACK + further - len(TUNE)
    pitch = [*TUNE, *(np.arange(n) % 2 * 30 + 40), *TUNE[:4]]  # two keys in turn, in which nothing of the tune comes
    tokens = tokens_of(np.arange(len(pitch)) * 3, [3] * len(pitch), pitch)
    assert (find_voice_repeats(VOICE_TOKENS, VOCAB.to_ids(tokens))[-1, 0, LENGTH] == 4) == (further < 0)


def test_runs_of_each_note_of_both_voices():
    tokens = tokens_of(*zip(*two_hands(TUNE, [40] * 14), *two_hands([p + 5 for p in TUNE], [43, 47] * 7, 84)))
    length, moved = find_voice_runs(VOICE_TOKENS, VOCAB.to_ids([*tokens, "wait1"]))
    assert (
        length[len(TUNE) : 2 * len(TUNE)].tolist() == [1, 2, 3, 4, 5, 6, 7]
        and moved[len(TUNE) + 1 : 2 * len(TUNE)].all()
    )
    assert len(length) == 2 * len(TUNE) + 28


def test_a_solo_is_a_voice_beside_the_piano():
    encoding = Chamber()
    vocab = Vocab.from_encoding(encoding)
    voices = VoiceTokens.from_encoding(vocab, encoding)
    tune = [f"v{p - 20}" for p in TUNE]
    rng = np.random.default_rng(3)
    tokens = []
    for token in (*tune, *tune[:3]):
        low = rng.integers(10, 30)
        tokens += [token, f"p{low}", "wait12", f"end{token}", f"endp{low}"]
    top = find_voice_repeats(voices, vocab.to_ids(tokens))[-1, 0]
    assert vocab.tokens[top[TOKEN]] == tune[3] and top[TRANSPOSED] == 0 and top[IS_WAIT] == 0


def test_encodings_without_tokens_for_notes_have_no_voices():
    for name in ("chordwise", "melodywise"):
        encoding = encodings.make_encoding({"encoding": name})
        assert VoiceTokens.from_encoding(Vocab.from_encoding(encoding), encoding) is None


def test_a_note_that_ends_in_its_first_step_is_ignored():
    assert (
        find_voice_repeats(VOICE_TOKENS, VOCAB.to_ids(["p40", "endp40", "wait6", "p40", "wait6"])).tolist()
        == [[NOTHING] * 2] * 5
    )
