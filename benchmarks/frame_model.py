"""Piano rolls as framewise text, with what a net may know of earlier frames beside each word.

A roll is a bool array (n_frames, 88). Its text is `Framewise`'s: the keys of each frame in
ascending order, then a word that ends the frame. Beside a word stand, all of them functions
of the text so far: the keys already named in the frame that is being written, how long those
of the frame before have sounded, the frames so many steps back, the frames that followed the
likest passages so far (see `likest`), where the frame stands in groups of 16 and of 12, and by
how much the piece was transposed. For each of those frames the net also learns when to go on
as it does: to name its next key after the last one named.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from fastai.text.models.awdlstm import RNNDropout
from torch import nn

from clara.models.fast_lstm import FusedAWDLSTM

N_KEYS = 88
FRAME, BEGIN, PAD = N_KEYS, N_KEYS + 1, N_KEYS + 2  # words after the keys; PAD is never read as music
VOCAB = N_KEYS + 3
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # frames
BEATS = (16, 12)
FURTHEST = 11  # semitones
N_LIKEST, FADE, LEVELS = 2, 0.8, 8
SOURCES = len(LAGS) + N_LIKEST  # frames that the next one may go on as


def load(path):
    """The train, valid and test rolls of a published set, by split; keys by number from A0 = 0."""
    from scipy.io import loadmat

    sets = loadmat(path)
    return {
        split: [np.asarray(roll).astype(bool) for roll in sets[f"{split}data"][0]]
        for split in ("train", "valid", "test")
    }


def repeated(rolls):
    """The share of frames that stand, key for key, earlier in their piece."""
    return sum(len(roll) - len(np.unique(roll, axis=0)) for roll in rolls) / sum(map(len, rolls))


def fitting(roll):
    """Semitones by which a roll can be moved without losing a key, the smallest of each key signature."""
    used = np.flatnonzero(roll.any(0))
    low, high = (used[0], N_KEYS - 1 - used[-1]) if len(used) else (FURTHEST, FURTHEST)
    near = {}
    for s in sorted(range(-FURTHEST, FURTHEST + 1), key=abs):
        if -low <= s <= high:
            near.setdefault(s % 12, s)
    return sorted(near.values())


def likest(roll):
    """For each frame, where in the piece the frames before it were last heard.

    Once by the longest run of frames that are the same, once by a sum of how much frames have
    in common (keys in both over keys in either), earlier ones counting `FADE` times less each.
    The latest of several that are as good.

    Returns
    -------
    after : int64 (2, n_frames), the frame that followed that place, below the frame itself; -1 for none
    level : int64 (2, n_frames), how long or how like, below `LEVELS`
    """
    return _likest(roll.tobytes(), roll.shape)


@lru_cache(maxsize=4096)
def _likest(data, shape):
    roll = np.frombuffer(data, dtype=bool).reshape(shape)
    n = len(roll)
    same_as = np.unique(roll, axis=0, return_inverse=True)[1].ravel()
    counts = roll.sum(1).astype(np.float32)
    after, level = np.full((N_LIKEST, n), -1), np.zeros((N_LIKEST, n), dtype=np.int64)
    length, like = np.zeros(n, dtype=np.float32), np.zeros(n, dtype=np.float32)  # by place, of the run that ends there
    later = np.arange(n, dtype=np.float32) / (n + 1)  # breaks ties
    floats = roll.astype(np.float32)
    for f in range(2, n):
        last = f - 1
        both = floats[:last] @ floats[last]
        either = counts[:last] + counts[last] - both
        common = np.where(either > 0, both / np.maximum(either, 1), 1.0)
        length[1:last] = length[: last - 1] + 1
        length[:1] = 1
        length[:last] *= same_as[:last] == same_as[last]
        like[1:last] = FADE * like[: last - 1]
        like[:1] = 0
        like[:last] += common
        for i, found in enumerate((length, like * (LEVELS - 1) * (1 - FADE))):
            at = int((found[:last] + later[:last] * 0.01).argmax())
            if found[at] >= 1:
                after[i, f] = at + 1
                level[i, f] = min(LEVELS - 1, int(np.log2(found[at]) + 1 if i == 0 else found[at]))
    return after, level


@dataclass
class Text:
    """Words of one or more pieces in a row, and what stands beside them.

    Attributes
    ----------
    words : int64 tensor (n,), each piece BEGIN … FRAME
    frame : int64 tensor (n,), row of `rolls` that the word after belongs to
    rolls : uint8 tensor (n_frames + 1, 88), the last one silent
    ages : float32 tensor (n_frames + 1, 88), log of 1 + the frames for which a key sounds by then
    back : int64 tensor (SOURCES, n_frames + 1), the row so many frames back in the same piece, then the likest, else the silent one
    level : int64 tensor (N_LIKEST, n_frames + 1), how like
    following : uint8 tensor (n_frames + 1, 89), of each row the lowest key from so many on, else FRAME
    beat : int64 tensor (n_frames + 1,), frame within its piece
    shift : int64 tensor (n_frames + 1,), semitones moved, from -FURTHEST as 0
    """

    words: torch.Tensor
    frame: torch.Tensor
    rolls: torch.Tensor
    ages: torch.Tensor
    back: torch.Tensor
    level: torch.Tensor
    following: torch.Tensor
    beat: torch.Tensor
    shift: torch.Tensor

    @classmethod
    def of(cls, pieces, shifts):
        """Of rolls moved by so many semitones."""
        moved = [np.roll(roll, s, axis=1) for roll, s in zip(pieces, shifts)]
        sizes = [len(roll) for roll in moved]
        n = sum(sizes)
        rolls = np.zeros((n + 1, N_KEYS), dtype=bool)
        rolls[:n] = np.concatenate(moved)
        first = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
        beat = np.arange(n) - first
        lags = np.array(LAGS)[:, None]
        back, level = np.full((SOURCES, n + 1), n), np.zeros((N_LIKEST, n + 1), dtype=np.int64)
        back[: len(LAGS), :n] = np.where(beat >= lags, np.arange(n) - lags, n)
        places, level[:, :n] = (np.concatenate(p, axis=1) for p in zip(*map(likest, pieces)))
        back[len(LAGS) :, :n] = np.where(places >= 0, first + places, n)
        following = np.where(np.c_[rolls, np.ones(n + 1, dtype=bool)], np.arange(FRAME + 1), FRAME)
        following = np.minimum.accumulate(following[:, ::-1], axis=1)[:, ::-1].astype(np.uint8)
        words, frame = _words(moved)
        ages = np.zeros((n + 1, N_KEYS), dtype=np.float32)
        run = np.zeros(N_KEYS)
        for f in range(n):
            run = (run * (beat[f] > 0) + 1) * rolls[f]
            ages[f] = run
        shift = np.append(np.repeat(shifts, sizes), 0) + FURTHEST
        return cls(
            torch.from_numpy(words),
            torch.from_numpy(frame),
            torch.from_numpy(rolls.view(np.uint8)),
            torch.from_numpy(np.log1p(ages)),
            torch.from_numpy(back),
            torch.from_numpy(level),
            torch.from_numpy(following),
            torch.from_numpy(np.append(beat, 0)),
            torch.from_numpy(shift),
        )

    def beside(self, words, frame):
        """What stands beside words (bs, n) whose next words are of these frames (bs, n).

        Returns
        -------
        named : float (bs, n, 88), keys already named in the frame that is being written
        next_keys : int64 (bs, n, SOURCES), the word after if the frame goes on as an earlier one
        earlier : float (n_frames, 88 * (1 + SOURCES)), of each frame that occurs: ages and earlier frames
        level : int64 (N_LIKEST, n_frames)
        beat, shift : int64 (n_frames,)
        which : int64 (bs, n), the row of `earlier` that belongs to a word
        """
        key = torch.where(words < N_KEYS, words, -1)
        named = self.rolls[frame] * (torch.arange(N_KEYS) <= key[..., None])
        frames, which = torch.unique(frame, return_inverse=True)
        earlier = torch.cat(
            [self.ages[self.back[0, frames]], self.rolls[self.back[:, frames].T].flatten(1).float()], dim=1
        )
        next_keys = self.following[self.back[:, frame], key + 1].permute(1, 2, 0).long()
        return named.float(), next_keys, earlier, self.level[:, frames], self.beat[frames], self.shift[frames], which


def _words(rolls):
    """Words of pieces in a row, and the row of the frame that the next word belongs to."""
    words, frames, at = [], [], 0
    for roll in rolls:
        frame, key = np.nonzero(np.c_[roll, np.ones(len(roll), dtype=bool)])  # the frame's end is key 88
        words += [[BEGIN], key]
        frames += [[at], at + frame + (key == FRAME)]
        at += len(roll)
        frames[-1][-1] = at - 1  # nothing comes after the last; the row must exist
    return np.concatenate(words).astype(np.int64), np.concatenate(frames).astype(np.int64)


class FrameNet(nn.Module):
    """fastai's AWD-LSTM over framewise text, what stands beside a word added to its embedding and to the output."""

    def __init__(
        self, emb_sz, n_hid, n_layers, input_p, hidden_p, weight_p, embed_p, output_p, features_p, plain=False
    ):
        super().__init__()
        self.rnn = FusedAWDLSTM(
            VOCAB,
            emb_sz,
            n_hid,
            n_layers,
            pad_token=PAD,
            input_p=input_p,
            hidden_p=hidden_p,
            weight_p=weight_p,
            embed_p=embed_p,
        )
        self.plain = plain
        self.named, self.earlier = (
            nn.Linear(N_KEYS, 2 * emb_sz, bias=False),
            nn.Linear(N_KEYS * (1 + SOURCES), 2 * emb_sz),
        )
        self.beats = nn.ModuleList(nn.Embedding(n, emb_sz) for n in BEATS)
        self.shift = nn.Embedding(2 * FURTHEST + 1, emb_sz)
        self.levels = nn.ModuleList(nn.Embedding(LEVELS, emb_sz) for _ in range(N_LIKEST))
        self.trust, self.trusts = (
            nn.Linear(emb_sz, SOURCES),
            nn.ModuleList(nn.Embedding(LEVELS, SOURCES) for _ in range(N_LIKEST)),
        )
        for table in [*self.beats, self.shift, *self.levels]:
            nn.init.normal_(table.weight, std=0.05)
        for table in [self.trust, *self.trusts]:
            nn.init.zeros_(table.weight)
        for linear in (self.named, self.earlier):
            nn.init.zeros_(linear.weight[emb_sz:])  # the way past the LSTM opens as it learns
        self.features_dp, self.output_dp = nn.Dropout(features_p), RNNDropout(output_p)
        self.bias = nn.Parameter(torch.zeros(VOCAB))

    def reset(self):
        """Forget what was read."""
        self.rnn.reset()

    def forward(self, words, named, next_keys, earlier, level, beat, shift, which):
        """Logits (bs, n, VOCAB) of the words after; those that cannot follow are out of the question."""
        x = self.rnn.encoder_dp(words)
        if not self.plain:
            of_frame, past = self.earlier(self.features_dp(earlier)).chunk(2, dim=-1)
            of_frame = of_frame + self.shift(shift) + sum(table(beat % n) for table, n in zip(self.beats, BEATS))
            of_frame = of_frame + sum(table(one) for table, one in zip(self.levels, level))
            of_word, beyond = self.named(named).chunk(2, dim=-1)
            x = x + of_word + of_frame[which]
        h = self.output_dp(self.rnn(x, from_embeds=True))
        if not self.plain:
            h = h + beyond + past[which]
        logits = (h @ self.rnn.encoder.weight.T + self.bias).float()
        if not self.plain:
            trust = self.trust(h) + sum(table(one)[which] for table, one in zip(self.trusts, level))
            logits = logits.scatter_add(2, next_keys, trust.float())
        key = torch.where(words < N_KEYS, words, -1)
        out = torch.arange(VOCAB)
        return logits.masked_fill((out <= key[..., None]) | (out > FRAME), -1e4)
