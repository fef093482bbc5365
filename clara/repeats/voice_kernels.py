"""Compiled loops of `clara.repeats.outer_voices`: notes of the voices, their repeats and the tokens that are due."""

from clara.jit import compiled, int32_4d, int64, int64_1d, int64_2d, int64_3d, int64_4d, uint8_1d, uint8_2d

N_VOICES = 2  # the highest, the lowest
MAX_LOOKBACK = 2**13  # notes

# Columns of a voice's repeat, see `clara.repeats.outer_voices.find_voice_repeats`.
TOKEN, LENGTH, TRANSPOSED, IS_WAIT = range(4)

# Fields of each note of a voice.
N_FIELDS = 8
TIME, TONE = 0, 1  # start in steps, and tone
RUN_LENGTH, RUN_SHIFT = 2, 3  # of the run that ends here and equals the end of the voice now: notes, semitones
REPEAT_LENGTH, REPEAT_TRANSPOSED = 4, 5  # of the longest repeat when this note was the newest; 0 notes if none
DUE_TIME, DUE_TONE = 6, 7  # of the note that this repeat makes due; time -1 if there is none


@compiled(
    int64_2d,
    uint8_2d,
    uint8_1d,
    int64_1d,
    int32_4d,
    int64_2d,
    int64_1d,
    uint8_1d,
    int64_1d,
    int64_1d,
    int64_2d,
    int64_3d,
)
def collect_notes(
    ids, sounding, any_started, clock, notes, n_notes, tone_of, is_start, steps, ascending, clock_after, n_notes_after
):
    """Add the notes of both voices, with `TIME` and `TONE`, whenever a step is over.

    Writes the steps so far after each token into clock_after (n, m), and the number of notes of each voice into
    n_notes_after (n, m, N_VOICES).
    """
    for row in range(len(ids)):
        for k in range(ids.shape[1]):
            token = ids[row, k]
            if tone_of[token] >= 0:
                sounding[row, tone_of[token]] = 2 * is_start[token]
                any_started[row] |= is_start[token]
            elif steps[token] and any_started[row]:
                for voice in range(N_VOICES):
                    n, tone = n_notes[row, voice], 0
                    for i in range(len(ascending)):
                        tone = ascending[i if voice else len(ascending) - 1 - i]
                        if sounding[row, tone]:
                            break
                    if sounding[row, tone] == 2:
                        notes[row, voice, TIME, n], notes[row, voice, TONE, n] = clock[row], tone
                        n_notes[row, voice] = n + 1
                for tone in range(len(ascending)):
                    sounding[row, tone] = min(sounding[row, tone], 1)
                any_started[row] = 0
            clock[row] += steps[token]
            clock_after[row, k] = clock[row]
            n_notes_after[row, k] = n_notes[row]


@compiled(int32_4d, int64_2d, int64_2d, int64_1d, int64)
def find_runs(notes, n_notes_before, n_notes, pitch, n_keys):
    """Find the runs that new notes end, and the note that the longest makes due: fill all other fields."""
    for row in range(len(notes)):
        for voice in range(N_VOICES):
            voice_notes = notes[row, voice]
            time, tone = voice_notes[TIME], voice_notes[TONE]
            length, shift = voice_notes[RUN_LENGTH], voice_notes[RUN_SHIFT]
            for n in range(n_notes_before[row, voice], n_notes[row, voice]):
                best_score, best = 0, -1
                for i in range(n - 1, max(0, n - MAX_LOOKBACK) - 1, -1):
                    interval = pitch[tone[n]] - pitch[tone[i]]
                    continues = (
                        i > 0
                        and length[i - 1] > 0
                        and shift[i - 1] == interval
                        and time[i] - time[i - 1] == time[n] - time[n - 1]
                    )
                    length[i] = length[i - 1] + 1 if continues else 1
                    shift[i] = interval
                    score = 2 * length[i] + (interval == 0)
                    if score > best_score:
                        best_score, best = score, i
                voice_notes[REPEAT_LENGTH, n], voice_notes[REPEAT_TRANSPOSED, n] = 0, 0
                voice_notes[DUE_TIME, n] = -1
                if best >= 0:
                    voice_notes[REPEAT_LENGTH, n], voice_notes[REPEAT_TRANSPOSED, n] = length[best], shift[best] != 0
                    due_tone = tone[best + 1] + shift[best]
                    same_part = due_tone // n_keys == tone[best + 1] // n_keys
                    if length[best] < n - best and same_part:
                        voice_notes[DUE_TIME, n] = time[n] + time[best + 1] - time[best]
                        voice_notes[DUE_TONE, n] = due_tone


@compiled(
    int64_2d,
    int64_2d,
    int64_3d,
    int32_4d,
    int64_2d,
    int64_1d,
    uint8_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_4d,
)
def name_due_tokens(
    ids,
    clock_after,
    n_notes_after,
    notes,
    settled,
    tone_of,
    is_start,
    steps,
    pitch,
    start_token,
    wait_token,
    repeats,
):
    """Write the candidates for the next token into repeats (n, m, N_VOICES, 4).

    settled[row, voice] is the number of notes that a voice had when its due note came, was late, or was replaced by
    another note at or beyond it.
    """
    for row in range(len(ids)):
        for k in range(ids.shape[1]):
            token = ids[row, k]
            for voice in range(N_VOICES):
                n, repeat = n_notes_after[row, k, voice], repeats[row, k, voice]
                if not n or settled[row, voice] == n:
                    continue
                newest = notes[row, voice, :, n - 1]
                due_tone = newest[DUE_TONE]
                steps_left = newest[DUE_TIME] - clock_after[row, k]
                direction = 1 - 2 * voice  # outward: up for the highest voice, down for the lowest
                at_or_beyond = is_start[token] and (pitch[tone_of[token]] - pitch[due_tone]) * direction >= 0
                if newest[DUE_TIME] < 0 or steps_left < 0 or at_or_beyond:
                    settled[row, voice] = n
                    continue
                repeat[LENGTH], repeat[TRANSPOSED] = newest[REPEAT_LENGTH], newest[REPEAT_TRANSPOSED]
                repeat[IS_WAIT] = steps_left > 0
                if steps_left == 0:
                    repeat[TOKEN] = start_token[due_tone]
                elif not steps[token] and steps_left < len(wait_token):
                    repeat[TOKEN] = wait_token[steps_left]
                if voice and repeat[TOKEN] == repeats[row, k, 0, TOKEN]:
                    repeat[TOKEN] = -1
