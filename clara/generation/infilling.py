"""Fill a gap in a piece with new music that leads from one side to the other.

A recurrent model only looks back. So many fillings are composed from the music before the gap, and each is weighted by
how probable it makes the music right after the gap: an importance sampler. The best fillings come first.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clara.encodings.vocab import BOS
from clara.errors import BadSetting
from clara.form.extraction import extract_plan
from clara.form.plan import Plan
from clara.generation.request import GenerationRequest
from clara.generation.sample import Sample
from clara.models.likelihood import ending_nats
from clara.music.notes import NoteSequence, select
from clara.sampling.settings import SamplingSettings

HORIZON_QUARTERS = 4  # length of the music after the gap that weights a filling, in quarter notes


@dataclass(frozen=True)
class Gap:
    """A piece as tokens, around the gap that is to be filled.

    Attributes
    ----------
    tokens_before, tokens_after : list of str
        The text up to the gap and the text after it.
    n_steps : int
        Grid steps to compose after `tokens_before`.
    """

    tokens_before: list[str]
    tokens_after: list[str]
    n_steps: int


def cut_gap(piece: NoteSequence, start_quarters: float, end_quarters: float, encoding, tokenize) -> Gap:
    """Cut a gap into a piece.

    Notes that start in the gap are dropped. A note that sounds into the gap ends where the filling ends it.

    Parameters
    ----------
    piece : NoteSequence
        On the grid of the encoding.
    start_quarters, end_quarters : float
        The gap, in quarter notes from the start of the piece.
    encoding : Encoding
    tokenize : callable
        Takes a NoteSequence and returns tokens and losses.

    Raises
    ------
    BadSetting
        If the gap does not lie within the piece.
    """
    first, last = (
        round(quarters * encoding.steps_per_quarter) if math.isfinite(quarters) else -1
        for quarters in (start_quarters, end_quarters)
    )
    if not 0 <= first < last < piece.n_steps:
        raise BadSetting(
            f"no quarters {start_quarters:g} to {end_quarters:g} to fill in a piece of {piece.quarters:g} quarters"
        )
    tokens = tokenize(piece)[0]
    token_end = np.cumsum(encoding.token_steps(tokens))  # the grid step after each token
    token_start = np.concatenate([[0], token_end[:-1]])
    n_before = int(((token_end <= first) & (token_start < first)).sum())
    tokens_before = tokens[:n_before]
    later_notes = select(piece, piece.start >= last)
    tokens_after = tokenize(replace(later_notes, start=later_notes.start - last))[0]
    return Gap(tokens_before, tokens_after, last - sum(encoding.token_steps(tokens_before)))


def fill_gap(
    request: GenerationRequest,
    start_quarters: float,
    end_quarters: float,
    settings_of_piece: Sequence[SamplingSettings],
    seeds: Sequence[int],
    tokenize: Callable,
    hold: NoteSequence | None = None,
    make_grammar: Callable | None = None,
    is_ranked: bool = True,
) -> list[tuple[Sample, float]]:
    """Return pieces with filled gaps, best first.

    Parameters
    ----------
    request : GenerationRequest
        Its prompt is the piece.
    start_quarters, end_quarters : float
        The gap, in quarter notes from the start of the piece.
    settings_of_piece : sequence of n SamplingSettings
    seeds : sequence of n ints
    tokenize : callable
        Takes a NoteSequence and returns tokens and losses.
    hold : NoteSequence, optional
        Notes that every filling has if they start in the gap. They end at the end of the gap at the latest.
    make_grammar : callable, optional
        Takes notes that every text holds from its beginning on, and returns a Grammar; needed to hold notes.
    is_ranked : bool
        Whether the fillings are ranked by the music after the gap; without it they are in the order of their seeds,
        and their numbers are NaN.

    Returns
    -------
    list of (Sample, float)
        Whole pieces, and minus the log-probability of the music right after the gap in nats.

    Raises
    ------
    BadSetting
        If there is no piece, or the gap does not lie within it.
    """
    piece = request.prompt
    if piece is None:
        raise BadSetting("give the piece with the gap to fill")
    gap = cut_gap(piece, start_quarters, end_quarters, request.encoding, tokenize)
    prompt_ids = request.vocab.to_ids([BOS, *gap.tokens_before])
    plan = _open_in_gap(extract_plan(piece), gap, request.encoding) if request.sampler.contexts else None
    plans = None if plan is None else [plan] * len(seeds)
    sampler = request.sampler
    held = None if hold is None else _held_in_gap(hold, gap, start_quarters, request.encoding)
    if held is not None and make_grammar is not None and len(held):
        sampler = replace(sampler, grammar=make_grammar(fixed_melody=held))
    texts = sampler.sample([prompt_ids], gap.n_steps, settings_of_piece, seeds, plans=plans)
    filled = [gap.tokens_before + request.vocab.to_tokens(ids) for ids in texts]
    fillings = []
    unranked = [(i, math.nan) for i in range(len(filled))]
    for i, nats in rank_fillings(filled, gap, request, plan) if is_ranked else unranked:
        tokens = filled[i] + gap.tokens_after
        notes, losses = request.encoding.decode(tokens, qpm=piece.qpm)
        assert not losses, f"the grammar allowed a text that loses {losses}"
        notes = replace(notes, time_signatures=piece.time_signatures, key_signatures=request.key_signatures)
        fillings.append((Sample(tokens, notes, len(filled[i]), 0.0, seeds[i], settings_of_piece[i]), nats))
    return fillings


def lead_nats(pieces: Sequence[NoteSequence], quarter: float, generator: Any) -> np.ndarray:
    """Return minus the log-probability of the first quarters after a place in pieces, given all before it.

    Parameters
    ----------
    pieces : sequence of n NoteSequence
        On the grid of the generator, each with the same notes from the place on.
    quarter : float
        The place, in quarter notes.
    generator : Generator

    Returns
    -------
    float64 array (n,)
        In nats.
    """
    encoding, vocab, contexts = generator.encoding, generator.vocab, generator.contexts
    first = round(quarter * encoding.steps_per_quarter)
    last = first + HORIZON_QUARTERS * encoding.steps_per_quarter
    nats = []
    for piece in pieces:
        tokens = generator.tokenize(piece)[0]
        token_steps = np.array(encoding.token_steps(tokens))
        token_end = np.cumsum(token_steps)
        # The music after the place begins with an onset or a wait; notes that end there belong to the music before.
        is_after = token_end - token_steps >= first
        begins = is_after & [bool(steps or encoding.onset_tones(token)) for steps, token in zip(token_steps, tokens)]
        n_before = int(begins.argmax()) if begins.any() else len(tokens)
        n_until = int((token_end <= last).sum())
        ids = vocab.to_ids([BOS, *tokens[:n_until]])
        if contexts:
            ids = contexts.add_to(ids, extract_plan(piece))
        nats.append(ending_nats(generator.model, [ids], 1 + n_before, n_until - n_before, vocab.pad_id)[0])
    return np.array(nats)


def _held_in_gap(hold, gap, start_quarters, encoding):
    """Return the held notes that start in a gap, on a time axis that starts where the filling starts."""
    first = sum(encoding.token_steps(gap.tokens_before))
    end = first + gap.n_steps
    start = max(first, round(start_quarters * encoding.steps_per_quarter))
    held = select(hold, (hold.start >= start) & (hold.start < end))
    return replace(held, start=held.start - first, duration=np.minimum(held.duration, end - held.start))


def _open_in_gap(plan, gap, encoding):
    """Return the plan of a piece with the bars of its gap left open."""
    first = sum(encoding.token_steps(gap.tokens_before))
    in_gap = (plan.begin[1:] > first) & (plan.begin[:-1] < first + gap.n_steps)
    return plan.open(in_gap)


def rank_fillings(
    filled: list[list[str]], gap: Gap, request: GenerationRequest, plan: Plan | None = None
) -> list[tuple[int, float]]:
    """Rank fillings by how probable they make the music after the gap.

    Parameters
    ----------
    filled : list of lists of str
        The text before the gap with each filling.
    gap : Gap
    request : GenerationRequest
    plan : Plan, optional
        Of the whole piece, for a model that follows plans.

    Returns
    -------
    list of (int, float)
        Index of each filling, best first, and minus the log-probability of the first quarters after the gap in nats.
    """
    encoding, vocab, model = request.encoding, request.vocab, request.sampler.model
    steps_after = np.cumsum(encoding.token_steps(gap.tokens_after))
    n_soon = int((steps_after <= HORIZON_QUARTERS * encoding.steps_per_quarter).sum())
    soon = gap.tokens_after[:n_soon]
    texts = [vocab.to_ids([BOS, *tokens, *soon]) for tokens in filled]
    contexts = request.sampler.contexts
    if plan is not None and contexts is not None:
        texts = [contexts.add_to(ids, plan) for ids in texts]
    nats = ending_nats(model, texts, 1 + len(gap.tokens_before), n_soon, vocab.pad_id)
    order = np.argsort(nats, kind="stable")
    return [(int(i), float(nats[i])) for i in order]
