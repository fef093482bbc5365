"""Piano rolls as framewise text, the context features of each token, and the network that reads both.

A roll is a bool array (n_frames, 88). Its text is that of `Framewise`: the keys of each frame in ascending
order, then a token that ends the frame. The network also gets context features of each token, all of which are
functions of the text so far:

- the keys already written in the current frame;
- how long the keys of the frame before have sounded;
- the frames at some lags, and the frames that followed the most similar passages so far
  (`find_similar_passages`);
- the position of the frame in groups of 16 and of 12;
- the semitones by which the piece was transposed.

For each of those earlier frames the network learns when to continue as it does: to write its next key after the
last one written.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from fastai.text.models.awdlstm import RNNDropout
from torch import nn

from clara.models.fast_lstm import FusedAWDLSTM

N_KEYS = 88
FRAME_END, PIECE_START, PAD = N_KEYS, N_KEYS + 1, N_KEYS + 2  # tokens after the keys; PAD is never read as music
VOCAB_SZ = N_KEYS + 3
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # frames
BEAT_CYCLES = (16, 12)  # frames
MAX_SHIFT = 11  # semitones
N_SIMILAR = 2  # similar passages: one by the longest equal run, one by similarity
SIMILARITY_DECAY, N_LEVELS = 0.8, 8
N_SOURCES = len(LAGS) + N_SIMILAR  # earlier frames that the next one may continue as


def load_rolls(path):
    """Return the train, valid and test rolls of a published set by split; keys count from A0 = 0."""
    from scipy.io import loadmat

    sets = loadmat(path)
    return {
        split: [np.asarray(roll).astype(bool) for roll in sets[f"{split}data"][0]]
        for split in ("train", "valid", "test")
    }


def repeated_share(rolls):
    """Return the share of frames that occur, key for key, earlier in their piece."""
    n_repeated = sum(len(roll) - len(np.unique(roll, axis=0)) for roll in rolls)
    return n_repeated / sum(map(len, rolls))


def fitting_shifts(roll):
    """Return the semitones by which a roll can be moved without losing a key, the smallest for each key signature."""
    used = np.flatnonzero(roll.any(0))
    room_below, room_above = (used[0], N_KEYS - 1 - used[-1]) if len(used) else (MAX_SHIFT, MAX_SHIFT)
    smallest = {}
    for shift in sorted(range(-MAX_SHIFT, MAX_SHIFT + 1), key=abs):
        if -room_below <= shift <= room_above:
            smallest.setdefault(shift % 12, shift)
    return sorted(smallest.values())


def find_similar_passages(roll):
    """Find, for each frame, the earlier passages that are most similar to the frames before it.

    Two passages are found. One has the longest run of equal frames. The other has the largest sum of similarities of
    frames (keys in both over keys in either); each earlier frame counts `SIMILARITY_DECAY` times as much. Of equally
    good passages the latest is taken.

    Returns
    -------
    next_frame : int64 array (2, n_frames)
        The frame that followed the passage; -1 for none.
    level : int64 array (2, n_frames)
        How long or how similar, below `N_LEVELS`.
    """
    return _find_similar_passages(roll.tobytes(), roll.shape)


@lru_cache(maxsize=4096)
def _find_similar_passages(data, shape):
    """Do what `find_similar_passages` does, on hashable arguments."""
    roll = np.frombuffer(data, dtype=bool).reshape(shape)
    n = len(roll)
    frame_class = np.unique(roll, axis=0, return_inverse=True)[1].ravel()
    n_keys = roll.sum(1).astype(np.float32)
    rows = roll.astype(np.float32)
    next_frame = np.full((N_SIMILAR, n), -1)
    level = np.zeros((N_SIMILAR, n), dtype=np.int64)
    # for each frame: the length and the similarity of the passage that ends there and the one before the current frame
    run_length = np.zeros(n, dtype=np.float32)
    similarity = np.zeros(n, dtype=np.float32)
    recency = 0.01 * np.arange(n, dtype=np.float32) / (n + 1)  # breaks ties
    for frame in range(2, n):
        last = frame - 1
        in_both = rows[:last] @ rows[last]
        in_either = n_keys[:last] + n_keys[last] - in_both
        run_length[1:last] = run_length[: last - 1] + 1
        run_length[:1] = 1
        run_length[:last] *= frame_class[:last] == frame_class[last]
        similarity[1:last] = SIMILARITY_DECAY * similarity[: last - 1]
        similarity[:1] = 0
        similarity[:last] += np.where(in_either > 0, in_both / np.maximum(in_either, 1), 1.0)
        scaled_similarity = similarity * (N_LEVELS - 1) * (1 - SIMILARITY_DECAY)
        for kind, quality in enumerate((run_length, scaled_similarity)):
            best = int((quality[:last] + recency[:last]).argmax())
            if quality[best] >= 1:
                next_frame[kind, frame] = best + 1
                value = np.log2(quality[best]) + 1 if kind == 0 else quality[best]
                level[kind, frame] = min(N_LEVELS - 1, int(value))
    return next_frame, level


@dataclass
class FrameText:
    """The tokens of one or more pieces in a row, and what their context features are made from.

    The last row of the per-frame tensors is a silent frame that stands for "none".

    Attributes
    ----------
    tokens : int64 tensor (n,)
        Each piece is PIECE_START … FRAME_END.
    frame : int64 tensor (n,)
        Row of `rolls` that the token after belongs to.
    rolls : uint8 tensor (n_frames + 1, 88)
    log_ages : float32 tensor (n_frames + 1, 88)
        Log of 1 + the frames for which a key has sounded.
    sources : int64 tensor (N_SOURCES, n_frames + 1)
        Rows of the frames at each lag in the same piece, then those after similar passages.
    level : int64 tensor (N_SIMILAR, n_frames + 1)
        How similar those passages are.
    key_from : uint8 tensor (n_frames + 1, 89)
        For each frame the lowest key from each key on, else FRAME_END.
    beat : int64 tensor (n_frames + 1,)
        Number of the frame in its piece.
    shift : int64 tensor (n_frames + 1,)
        Semitones moved, plus MAX_SHIFT.
    """

    tokens: torch.Tensor
    frame: torch.Tensor
    rolls: torch.Tensor
    log_ages: torch.Tensor
    sources: torch.Tensor
    level: torch.Tensor
    key_from: torch.Tensor
    beat: torch.Tensor
    shift: torch.Tensor

    @classmethod
    def from_rolls(cls, pieces, shifts):
        """Build the text of rolls, each moved by its shift in semitones."""
        moved = [np.roll(roll, shift, axis=1) for roll, shift in zip(pieces, shifts)]
        sizes = [len(roll) for roll in moved]
        n = sum(sizes)
        rolls = np.zeros((n + 1, N_KEYS), dtype=bool)
        rolls[:n] = np.concatenate(moved)
        first_of_piece = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
        beat = np.arange(n) - first_of_piece
        sources, level = _find_sources(pieces, beat, first_of_piece)
        keys_or_end = np.where(np.c_[rolls, np.ones(n + 1, dtype=bool)], np.arange(FRAME_END + 1), FRAME_END)
        key_from = np.minimum.accumulate(keys_or_end[:, ::-1], axis=1)[:, ::-1].astype(np.uint8)
        tokens, frame = _write_tokens(moved)
        shift = np.append(np.repeat(shifts, sizes), 0) + MAX_SHIFT
        return cls(
            tokens=torch.from_numpy(tokens),
            frame=torch.from_numpy(frame),
            rolls=torch.from_numpy(rolls.view(np.uint8)),
            log_ages=torch.from_numpy(np.log1p(_key_ages(rolls, beat))),
            sources=torch.from_numpy(sources),
            level=torch.from_numpy(level),
            key_from=torch.from_numpy(key_from),
            beat=torch.from_numpy(np.append(beat, 0)),
            shift=torch.from_numpy(shift),
        )

    def context(self, tokens, frame):
        """Return the context features of tokens (bs, n) whose next tokens belong to frames (bs, n).

        Returns
        -------
        written : float tensor (bs, n, 88)
            Keys already written in the current frame.
        next_keys : int64 tensor (bs, n, N_SOURCES)
            The next token if the frame continues as each of the earlier ones.
        earlier : float tensor (n_frames, 88 * (1 + N_SOURCES))
            For each frame that occurs: ages of the keys, and the earlier frames.
        level : int64 tensor (N_SIMILAR, n_frames)
        beat, shift : int64 tensors (n_frames,)
        row : int64 tensor (bs, n)
            The row of `earlier` that belongs to each token.
        """
        key = torch.where(tokens < N_KEYS, tokens, -1)
        written = self.rolls[frame] * (torch.arange(N_KEYS) <= key[..., None])
        frames, row = torch.unique(frame, return_inverse=True)
        earlier_rolls = self.rolls[self.sources[:, frames].T].flatten(1).float()
        earlier = torch.cat([self.log_ages[self.sources[0, frames]], earlier_rolls], dim=1)
        next_keys = self.key_from[self.sources[:, frame], key + 1].permute(1, 2, 0).long()
        return written.float(), next_keys, earlier, self.level[:, frames], self.beat[frames], self.shift[frames], row


def _find_sources(pieces, beat, first_of_piece):
    """Return `FrameText.sources` and `FrameText.level`."""
    n = len(beat)
    lags = np.array(LAGS)[:, None]
    sources = np.full((N_SOURCES, n + 1), n)
    sources[: len(LAGS), :n] = np.where(beat >= lags, np.arange(n) - lags, n)
    passages = [find_similar_passages(roll) for roll in pieces]
    next_frames = np.concatenate([next_frame for next_frame, _ in passages], axis=1)
    sources[len(LAGS) :, :n] = np.where(next_frames >= 0, first_of_piece + next_frames, n)
    level = np.zeros((N_SIMILAR, n + 1), dtype=np.int64)
    level[:, :n] = np.concatenate([of_piece for _, of_piece in passages], axis=1)
    return sources, level


def _key_ages(rolls, beat):
    """Return for how many frames each key has sounded, float32 (n_frames + 1, 88)."""
    ages = np.zeros(rolls.shape, dtype=np.float32)
    age = np.zeros(N_KEYS)
    for frame in range(len(beat)):
        age = (age * (beat[frame] > 0) + 1) * rolls[frame]
        ages[frame] = age
    return ages


def _write_tokens(rolls):
    """Return the tokens of pieces in a row, and the row of the frame that the token after belongs to."""
    tokens, frames = [], []
    first_frame = 0
    for roll in rolls:
        frame, key = np.nonzero(np.c_[roll, np.ones(len(roll), dtype=bool)])  # the end of a frame is key 88
        tokens += [[PIECE_START], key]
        frames += [[first_frame], first_frame + frame + (key == FRAME_END)]
        first_frame += len(roll)
        frames[-1][-1] = first_frame - 1  # nothing comes after the last token; the row must exist
    return np.concatenate(tokens).astype(np.int64), np.concatenate(frames).astype(np.int64)


class FrameNet(nn.Module):
    """fastai's AWD-LSTM over framewise text; context features are added to its embedding and to its output.

    Parameters
    ----------
    emb_sz, n_hid, n_layers : int
    input_p, hidden_p, weight_p, embed_p, output_p : float
        Dropout probabilities of the AWD-LSTM.
    features_p : float
        Dropout probability of the earlier frames.
    plain : bool
        Leave the context features out.
    """

    def __init__(
        self, emb_sz, n_hid, n_layers, input_p, hidden_p, weight_p, embed_p, output_p, features_p, plain=False
    ):
        super().__init__()
        self.rnn = FusedAWDLSTM(
            VOCAB_SZ,
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
        self.written = nn.Linear(N_KEYS, 2 * emb_sz, bias=False)
        self.earlier = nn.Linear(N_KEYS * (1 + N_SOURCES), 2 * emb_sz)
        self.beats = nn.ModuleList(nn.Embedding(cycle, emb_sz) for cycle in BEAT_CYCLES)
        self.shift = nn.Embedding(2 * MAX_SHIFT + 1, emb_sz)
        self.levels = nn.ModuleList(nn.Embedding(N_LEVELS, emb_sz) for _ in range(N_SIMILAR))
        self.trust = nn.Linear(emb_sz, N_SOURCES)
        self.trust_of_level = nn.ModuleList(nn.Embedding(N_LEVELS, N_SOURCES) for _ in range(N_SIMILAR))
        for table in [*self.beats, self.shift, *self.levels]:
            nn.init.normal_(table.weight, std=0.05)
        for table in [self.trust, *self.trust_of_level]:
            nn.init.zeros_(table.weight)
        for linear in (self.written, self.earlier):
            nn.init.zeros_(linear.weight[emb_sz:])  # the path past the LSTM opens in training
        self.features_dp, self.output_dp = nn.Dropout(features_p), RNNDropout(output_p)
        self.bias = nn.Parameter(torch.zeros(VOCAB_SZ))

    def reset(self):
        """Forget the text read so far."""
        self.rnn.reset()

    def forward(self, tokens, written, next_keys, earlier, level, beat, shift, row):
        """Return the logits of the next tokens, (bs, n, VOCAB_SZ); impossible tokens have none.

        The other arguments are those of `FrameText.context`.
        """
        x = self.rnn.encoder_dp(tokens)
        if not self.plain:
            of_frame, frame_to_output = self.earlier(self.features_dp(earlier)).chunk(2, dim=-1)
            of_frame = of_frame + self.shift(shift)
            of_frame = of_frame + sum(table(beat % cycle) for table, cycle in zip(self.beats, BEAT_CYCLES))
            of_frame = of_frame + sum(table(of_kind) for table, of_kind in zip(self.levels, level))
            of_token, token_to_output = self.written(written).chunk(2, dim=-1)
            x = x + of_token + of_frame[row]
        h = self.output_dp(self.rnn(x, from_embeds=True))
        if not self.plain:
            h = h + token_to_output + frame_to_output[row]
        logits = (h @ self.rnn.encoder.weight.T + self.bias).float()
        if not self.plain:
            level_trust = sum(table(of_kind)[row] for table, of_kind in zip(self.trust_of_level, level))
            trust = self.trust(h) + level_trust
            logits = logits.scatter_add(2, next_keys, trust.float())
        key = torch.where(tokens < N_KEYS, tokens, -1)
        candidates = torch.arange(VOCAB_SZ)
        return logits.masked_fill((candidates <= key[..., None]) | (candidates > FRAME_END), -1e4)
