"""Compose with a trained model.

Contents: `Generator`, `Sample`, `read_prompt`.
"""

import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from clara.checkpoint import Checkpoint, weights_hash
from clara.errors import BadMusicFile, BadSetting, NoNotes, UnknownWord
from clara.midi import read_midi
from clara.notes import NoteSequence, crop
from clara.sampling.engine import sample
from clara.sampling.grammars import grammar_of
from clara.sampling.strategies import Settings, choose
from clara.score_files import SCORE_SUFFIXES
from clara.style import Style

MUSIC21 = "music21:"
DEFAULT_QPM = 110.0
# In quarters. Of the notes of the piano corpus one in 10,000 is longer than twelve, and 99 of 100 pieces
# have no silence longer than 4.3; what a model holds longer it has forgotten.
LONGEST_NOTE, LONGEST_SILENCE = 12, 4


@dataclass(frozen=True)
class Sample:
    """One composed piece.

    Attributes
    ----------
    words : list of str, prompt included, control words left out
    notes : NoteSequence, prompt included
    prompt_words : how many of them are the prompt's
    prompt_quarters : how much of it is the prompt
    seed : of its random generator
    """

    words: list
    notes: NoteSequence
    prompt_words: int
    prompt_quarters: float
    seed: int


class Generator:
    """A model ready to compose.

    Parameters
    ----------
    checkpoint : clara.checkpoint.Checkpoint
    """

    def __init__(self, checkpoint):
        self.encoding, self.vocab = checkpoint.encoding, checkpoint.vocab
        self.reader = checkpoint.reader()
        self.grammar = grammar_of(self.encoding, self.vocab, LONGEST_NOTE, LONGEST_SILENCE)

    @classmethod
    def load(cls, folder, style=None):
        """Load a run folder, and a style file for it if there is one; raises as `Checkpoint.load` and `Style.load`."""
        checkpoint = Checkpoint.load(folder)
        return cls(Style.load(style).onto(checkpoint, weights_hash(folder), (style, folder)) if style else checkpoint)

    def generate(self, n=8, quarters=64.0, prompt=None, settings=None, seed=0, qpm=None, on_step=None):
        """Compose n pieces in one batch.

        Parameters
        ----------
        n : how many, at least 1
        quarters : length of what is composed, in quarter notes, after the prompt
        prompt : NoteSequence on the encoding's grid to go on from, or None
        settings : how freely to sample; plainly, as the net says, where it is None
        seed : of the first piece; the others take the numbers after it
        qpm : tempo of the result; the prompt's, or 110 where it is None
        on_step : function(steps left), for a progress bar

        Returns
        -------
        list of Sample

        Raises
        ------
        BadSetting
            For n, quarters or qpm out of range, or a prompt on another grid.
        """
        if n < 1:
            raise BadSetting(f"n must be at least 1, not {n}")
        steps = round(quarters * self.encoding.steps_per_quarter) if math.isfinite(quarters) else 0
        if steps < 1:
            raise BadSetting(f"quarters must be a step of the grid at least, not {quarters}")
        if qpm is not None and not 0 < qpm < math.inf:
            raise BadSetting(f"qpm must be above 0, not {qpm}")
        qpm = qpm or (prompt.qpm if prompt else DEFAULT_QPM)
        words = self.prompt_words(prompt)[0] if prompt else []
        ids = torch.from_numpy(self.vocab.ids(["xxbos", *words]))
        seeds = [seed + i for i in range(n)]
        texts = sample(self.reader, self.grammar, partial(self._choose, settings or Settings()), ids, steps, seeds, on_step)
        return [self._sample(words, self.vocab.text(t), prompt, s, qpm) for t, s in zip(texts, seeds)]

    def prompt_words(self, prompt):
        """A prompt as words of this model's vocabulary.

        Parameters
        ----------
        prompt : NoteSequence on the encoding's grid

        Returns
        -------
        words : list of str
        losses : Counter with what encoding lost, and `replaced` (words of an open
            vocabulary that the model never saw, in whose place the nearest stands)
        """
        words, losses = self.encoding.encode(prompt)
        unknown = [w for w in words if w not in self.vocab.id_of] if self.encoding.open_vocabulary else []
        if unknown:
            known = [w for w in self.vocab.words if not w.startswith("xx")]
            nearest = iter(self.encoding.nearest(unknown, known))
            words = [w if w in self.vocab.id_of else next(nearest) for w in words]
        return words, +(losses + Counter(replaced=len(unknown)))

    @staticmethod
    def _choose(settings, logits, allowed, draws):
        """`choose` in the order of arguments that the engine calls."""
        return choose(logits, allowed, settings, draws)

    def _sample(self, before, composed, prompt, seed, qpm):
        """The prompt's words and those composed as a Sample."""
        words = before + composed
        notes, losses = self.encoding.decode(words, qpm=qpm)
        assert not losses, f"the grammar let through {losses}"
        return Sample(words, notes, len(before), prompt.quarters if prompt else 0.0, seed)


def read_prompt(source, encoding, quarters=None):
    """Read music to go on from, on an encoding's grid and in its range.

    Parameters
    ----------
    source : a MIDI file, a score, a text of the encoding, or music21:NAME from music21's corpus
    encoding : of the model
    quarters : take only the first so many quarter notes, or None for all

    Returns
    -------
    notes : NoteSequence
    losses : Counter of what reading and fitting it lost

    Raises
    ------
    BadMusicFile, NoNotes, UnknownWord
        As its reader finds it.
    """
    steps_per_quarter = encoding.steps_per_quarter
    in_corpus = str(source).startswith(MUSIC21)
    if in_corpus or Path(source).suffix.lower() in SCORE_SUFFIXES:
        from clara.scores import read_score

        name = str(source)[len(MUSIC21):] if in_corpus else source
        notes, losses = read_score(name, steps_per_quarter=steps_per_quarter, ensemble=encoding.ensemble)
    elif Path(source).suffix.lower() == ".txt":
        try:
            notes, losses = encoding.decode(_text(source), qpm=DEFAULT_QPM)
        except UnknownWord as e:
            raise UnknownWord(f"{source}: {e}") from e
    else:
        notes, losses = read_midi(source, steps_per_quarter=steps_per_quarter, ensemble=encoding.ensemble)
    if quarters is not None:
        notes = crop(notes, 0, round(quarters * steps_per_quarter))
    if not len(notes):
        raise NoNotes(f"{source}: no notes in it" + (f" before quarter {quarters:g}" if quarters else ""))
    notes, folded = encoding.fit(notes)
    return notes, losses + folded


def _text(path):
    """The words of a text file."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise BadMusicFile(f"{path}: cannot be read as text ({e})") from e
