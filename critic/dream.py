"""Change a piece step by step until it sounds as wanted, and keep it recognizable.

A step chooses some bars and lets the generator compose them again (`clara.generation.infilling`): one or two bars with
all that is in them, or up to three under the melody or over the bass of the original. Of these proposals the one with
the highest objective replaces the bars if the piece gets better by it, and by more than it leads worse into the music
after the bars: hill climbing over proposals that the language model finds natural. The objective adds up

- the score of what is wanted: the log-probability of a composer, or novelty;
- a penalty if the critic finds the piece less human than the original, beyond a margin;
- a penalty for each onset that goes or comes.

No more than a share of the original's notes may ever change; this share is the strength of the dream.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from clara.errors import BadSetting, TooShort
from clara.generation.generator import Generator
from clara.generation.infilling import lead_nats
from clara.music.bars import bar_lines
from clara.music.notes import NoteSequence, select
from clara.music.signature_estimation import with_estimated_time_signature
from clara.sampling.settings import SamplingSettings
from critic.scores import ScoringModels, make_score

NOVELTY = "novelty"
STEPS_PER_BAR = 6
PROPOSAL_SETTINGS = SamplingSettings(temperature=0.9, top_p=0.98)
FREE, UNDER_MELODY, OVER_BASS = "free", "under the melody", "over the bass"
MOVES = {FREE: 2, UNDER_MELODY: 3, OVER_BASS: 3}  # how bars are composed again, and the most bars at once
CRITIC_MARGIN, CRITIC_WEIGHT = 0.25, 4.0  # log-odds that the critic may fall; the penalty of each one beyond
CHANGE_WEIGHT = 1.0  # the penalty for changing all notes, in nats
LEAD_WEIGHT = 0.02  # the penalty for each nat by which the music after the bars gets less probable


@dataclass(frozen=True)
class DreamSettings:
    """How a dream changes a piece.

    Attributes
    ----------
    strength : float
        Largest share of the original's notes that may change, above 0 and at most 1.
    enough : float
        The dream ends when the score of what is wanted, as a probability, is as high as this.
    proposals : int
        Number of fillings that a step composes.
    steps : int or None
        Most steps; None for six for each bar.
    seed : int
        Random seed of places and notes.
    """

    strength: float = 0.5
    enough: float = 0.9
    proposals: int = 8
    steps: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class DreamState:
    """A piece on its way.

    Attributes
    ----------
    notes : NoteSequence
    wanted : float
        Score of what is wanted, at most 0: the log-probability of a composer, or the novelty.
    log_odds : float
        That a human wrote it, by the critic.
    kept : float
        Share of the original's notes, by onset and pitch, that are still there.
    overlap : float
        Share of the notes of both pieces that they have in common, by onset and pitch: the F-measure.
    """

    notes: NoteSequence
    wanted: float
    log_odds: float
    kept: float
    overlap: float


class Dreamer:
    """Change pieces towards a composer, or towards none that is known.

    Parameters
    ----------
    generator : Generator
        Composes the proposals.
    models : ScoringModels
        The critic and the composer classifier, of the generator's encoding.
    towards : str
        A composer whom the classifier knows, or "novelty".

    Raises
    ------
    BadSetting
        If the classifier does not know the composer, or if generator and classifiers read different text.
    """

    def __init__(self, generator: Generator, models: ScoringModels, towards: str) -> None:
        for classifier in (models.composer_classifier, models.critic):
            if classifier.encoding.settings != generator.encoding.settings:
                composed, read = (_describe_encoding(each.encoding) for each in (generator, classifier))
                raise BadSetting(
                    f"the generator composes {composed}, a classifier reads {read}: choose models of one encoding"
                )
        self.generator = generator
        self._wanted = make_score(NOVELTY if towards == NOVELTY else f"composer:{towards}", models)
        self._critic = make_score("critic", models)

    def dream(
        self, original: NoteSequence, settings: DreamSettings, on_step: Callable[[float], object] | None = None
    ) -> Iterator[DreamState]:
        """Yield the original and then the piece after each change, each better than the one before.

        Parameters
        ----------
        original : NoteSequence
            On the grid of the generator's encoding.
        settings : DreamSettings
        on_step : function(float), optional
            Called with the share of the steps that are done, from 0 to 1.

        Raises
        ------
        TooShort
            If the piece has fewer than three bars, or is too short for the classifiers.
        """
        if not original.time_signatures:
            original = with_estimated_time_signature(original)
        edges = _bar_edges(original)
        if len(edges) < 4:
            raise TooShort("a dream needs at least three bars, of which it changes those before the last")
        rng = np.random.default_rng(settings.seed)
        [state] = self._judge([original], original)
        least_odds = state.log_odds - CRITIC_MARGIN
        yield state
        steps = settings.steps or STEPS_PER_BAR * (len(edges) - 2)
        for step in range(steps):
            if np.exp(state.wanted) >= settings.enough:
                return
            proposals, end = self._propose(state.notes, original, edges, settings, rng)
            candidates = [
                candidate for candidate in self._judge(proposals, original) if candidate.kept >= 1 - settings.strength
            ]
            best = max([state, *candidates], key=lambda candidate: _objective(candidate, least_odds))
            gain = _objective(best, least_odds) - _objective(state, least_odds)
            if on_step:
                on_step((step + 1) / steps)
            if gain > 0 and gain > self._lead_penalty(state.notes, best.notes, end):
                state = best
                yield state

    def _propose(self, notes, original, edges, settings, rng):
        """Return the piece with some bars composed again, in several ways, and the quarter at which the bars end."""
        moves = list(MOVES) if self.generator.holds_notes else [FREE]
        move = moves[rng.integers(len(moves))]
        n_bars = int(rng.integers(1, 1 + min(MOVES[move], len(edges) - 2)))
        first = int(rng.integers(len(edges) - 1 - n_bars))
        start, end = edges[first], edges[first + n_bars]
        seed = int(rng.integers(2**31))
        hold = None if move == FREE else outer_voice(original, highest=move == UNDER_MELODY)
        fillings = self.generator.fill(
            notes, start, end, settings.proposals, PROPOSAL_SETTINGS, hold=hold, is_ranked=False, seed=seed
        )
        signatures = {"time_signatures": notes.time_signatures, "key_signatures": notes.key_signatures}
        return [replace(sample.notes, **signatures) for sample, _ in fillings], end

    def _lead_penalty(self, before, after, quarter):
        """Return the penalty for music that leads worse into what comes after a quarter, in nats."""
        nats_before, nats_after = lead_nats([before, after], quarter, self.generator)
        return LEAD_WEIGHT * max(0.0, nats_after - nats_before)

    def _judge(self, pieces, original):
        """Return each piece with its scores."""
        wanted, log_odds = self._wanted(pieces), self._critic(pieces)
        kept = [kept_share(piece, original) for piece in pieces]
        of_piece = [kept_share(original, piece) for piece in pieces]  # the share of each piece that is in the original
        overlap = [2 / (1 / k + 1 / p) if k and p else 0.0 for k, p in zip(kept, of_piece)]
        return [DreamState(*values) for values in zip(pieces, wanted.tolist(), log_odds.tolist(), kept, overlap)]


def kept_share(piece: NoteSequence, original: NoteSequence) -> float:
    """Return the share of the original's notes, by onset and pitch, that a piece on the same grid still has."""
    before, after = (np.unique(notes.start * 128 + notes.pitch) for notes in (original, piece))
    return float(np.isin(before, after).mean())


def outer_voice(notes: NoteSequence, highest: bool) -> NoteSequence:
    """Return the highest or the lowest of the notes that start together, at each onset: the melody or the bass."""
    height = notes.pitch if highest else -notes.pitch
    order = np.lexsort((-height, notes.start))
    is_first = np.diff(notes.start[order], prepend=-1) > 0
    return select(notes, np.sort(order[is_first]))


def _bar_edges(notes):
    """Return the barlines from the beginning to the end of a piece, in quarter notes."""
    lines = bar_lines(notes.time_signatures, notes.steps_per_quarter, notes.n_steps)
    return np.unique([0, *map(float, lines), notes.n_steps]) / notes.steps_per_quarter


def _objective(state, least_odds):
    """Return how good a state is, in nats."""
    missing_odds = max(0.0, least_odds - state.log_odds)
    return state.wanted - CRITIC_WEIGHT * missing_odds - CHANGE_WEIGHT * (1 - state.overlap)


def _describe_encoding(encoding):
    """Return the name and the grid of an encoding in words."""
    return f"{encoding.name} text at {encoding.steps_per_quarter} steps per quarter"
