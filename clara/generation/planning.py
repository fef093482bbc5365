"""The plans of the pieces that a generator composes: given, composed by the planner, or open but for the metre."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clara.errors import BadSetting
from clara.form.extraction import extract_plan
from clara.form.forms import Form, expand_form, parse_form
from clara.form.plan import EXACT, RHYTHM, TRANSPOSED, UNKNOWN, VARIED, Plan
from clara.form.plan_files import read_plan
from clara.form.planner import Planner
from clara.music.bars import bar_lines

OPEN_BARS = 16  # that a plan without an ending goes on beyond the end of its piece
QUARTERS_PER_OPEN_BAR = 4


@dataclass(frozen=True)
class PlanSettings:
    """How the plans of pieces come about.

    Attributes
    ----------
    plan : Plan or None
        The plan of every piece, from the beginning of its prompt.
    form : Form or None
        What returns to what in new pieces, from their first bar.
    ending : bool
        Whether pieces come to an end.
    """

    plan: Plan | None = None
    form: Form | None = None
    ending: bool = True

    @classmethod
    def from_arguments(cls, plan: Plan | str | Path | None, form: Form | str | None, ending: bool) -> "PlanSettings":
        """Return checked settings; a path is read as the file of a plan, a string as a form such as AABA.

        Raises
        ------
        BadSetting
            If the plan or the form is none, or both are given.
        """
        if plan is not None and form is not None:
            raise BadSetting("give a plan or a form, not both: a plan has a form already")
        if isinstance(plan, (str, Path)):
            plan = read_plan(plan)
        elif plan is not None and not isinstance(plan, Plan):
            raise BadSetting(f"a plan must be a Plan or the path of its file, not {type(plan).__name__}")
        if isinstance(form, str):
            form = expand_form(parse_form(form))
        elif form is not None and not isinstance(form, Form):
            raise BadSetting(f'a form must be a Form or letters such as "AABA", not {type(form).__name__}')
        return cls(plan, form, ending)


@dataclass(frozen=True)
class PieceLength:
    """How long pieces are after their prompt, in whole bars nearest to it.

    Attributes
    ----------
    n_steps : int
        Grid steps after the prompt, if `n_bars` is None.
    n_bars : int or None
    """

    n_steps: int
    n_bars: int | None = None


@dataclass(frozen=True)
class Planning:
    """How the pieces of a request are planned.

    Attributes
    ----------
    settings : PlanSettings
    planner : Planner
    time_signature : (numerator, denominator) or None
        Of new pieces (default: drawn for each).
    home : int or None
        Home key, numbered as in `Plan` (default: that of the prompt, or drawn).
    is_open : bool
        Whether the plans say nothing but where bars begin.
    """

    settings: PlanSettings
    planner: Planner
    time_signature: tuple[int, int] | None = None
    home: int | None = None
    is_open: bool = False

    def plan_pieces(self, seeds: Sequence[int], request) -> tuple[list[Plan], np.ndarray]:
        """Return the plan of each piece, and where each piece ends.

        Parameters
        ----------
        seeds : sequence of n ints
        request : clara.generation.request.GenerationRequest

        Returns
        -------
        plans : list of n Plans
            From the beginning of the prompt. Those without an ending are longer than the piece.
        ends : int64 array (n,)
            Grid step at which each piece ends, counted from the beginning of its prompt.
        """
        if self.is_open:
            end = request.prompt_end + request.length.n_steps
            plan = open_plan(request.time_signatures, end, request.encoding.steps_per_quarter)
            return [plan] * len(seeds), np.full(len(seeds), end)
        plans, last_bars = self._given(seeds, request) if self.settings.plan else self._composed(seeds, request)
        ends = np.array([plan.begin[n] for plan, n in zip(plans, last_bars)])
        if self.settings.ending:
            plans = [_free_last_bar(plan) for plan in plans]
        return plans, ends

    def _given(self, seeds, request):
        """Return the given plan for each piece, with what it leaves open composed, and their numbers of bars."""
        given = fit_plan(self.settings.plan, request.encoding.steps_per_quarter, request.prompt_end)
        if self.home is not None and given.home != UNKNOWN:
            given = _move_to_key(given, self.home)
        ending = self.settings.ending
        plans = [self.planner.complete(given, seed=seed, home=self.home, ending=ending) for seed in seeds]
        return plans, [len(given)] * len(plans)

    def _composed(self, seeds, request):
        """Return a composed plan for each piece, and the number of bars that each piece has."""
        beginning = _whole_bars(request.prompt, request.prompt_end) if request.prompt is not None else None
        if beginning and self.settings.form:
            raise BadSetting("a form is for new pieces; leave out the prompt or the form")
        n_bars, n_quarters = self._total_length(request, beginning)
        more_bars = 0 if self.settings.ending else OPEN_BARS
        plans = self.planner.compose(
            seeds,
            None if n_bars is None else n_bars + more_bars,
            quarters=None if n_quarters is None else n_quarters + more_bars * QUARTERS_PER_OPEN_BAR,
            time_signature=None if beginning else self.time_signature,
            home=self.home,
            beginning=beginning,
            form=self.settings.form,
            ending=self.settings.ending,
            steps_per_quarter=request.encoding.steps_per_quarter,
        )
        if n_bars is not None:
            return plans, [n_bars] * len(plans)
        end = request.prompt_end + request.length.n_steps
        n_before = len(beginning) if beginning else 0
        return plans, [max(n_before, int(np.abs(plan.begin[1:] - end).argmin())) + 1 for plan in plans]

    def _total_length(self, request, beginning):
        """Return the length from the beginning of the prompt: in bars and None, or None and in quarter notes."""
        n_before = len(beginning) if beginning else 0
        if request.length.n_bars is not None:
            return n_before + request.length.n_bars, None
        if self.settings.form is not None:
            return len(self.settings.form), None
        return None, (request.prompt_end + request.length.n_steps) / request.encoding.steps_per_quarter


def open_plan(time_signatures: tuple, n_steps: int, steps_per_quarter: int) -> Plan:
    """Return a plan of which only the bars are known.

    Parameters
    ----------
    time_signatures : tuple of (step, numerator, denominator)
        As of a `NoteSequence`.
    n_steps : int
        Length of the piece.
    steps_per_quarter : int
    """
    lines = [math.floor(line) for line in bar_lines(time_signatures, steps_per_quarter, max(1, n_steps))]
    begin = np.array([*lines, max(n_steps, lines[-1] + 1)])
    signatures = [[s for s in time_signatures if s[0] <= max(line, time_signatures[0][0])][-1] for line in lines]
    unknown = np.full(len(lines), UNKNOWN)
    columns = ("relation", "source", "key", "chord", "density", "register", "texture", "phrase")
    return Plan(
        begin=begin,
        numerator=np.array([numerator for _, numerator, _ in signatures]),
        denominator=np.array([denominator for _, _, denominator in signatures]),
        shift=np.zeros(len(lines), dtype=np.int64),
        steps_per_quarter=steps_per_quarter,
        **dict.fromkeys(columns, unknown),
    )


def fit_plan(plan: Plan, steps_per_quarter: int, prompt_end: int = 0) -> Plan:
    """Return a given plan on the grid of an encoding.

    Parameters
    ----------
    plan : Plan
    steps_per_quarter : int
        The grid.
    prompt_end : int
        Grid step at which the prompt ends.

    Raises
    ------
    BadSetting
        If a barline falls between two steps, or the plan does not go on after the prompt.
    """
    begin = plan.begin * steps_per_quarter
    uneven = np.flatnonzero(begin % plan.steps_per_quarter)
    if len(uneven):
        raise BadSetting(
            f"bar {uneven[0] + plan.first_number} of the plan does not begin on a step of the grid of "
            f"{steps_per_quarter} steps per quarter note; give it another time signature"
        )
    fitted = replace(plan, begin=begin // plan.steps_per_quarter, steps_per_quarter=steps_per_quarter)
    if fitted.n_steps <= prompt_end:
        raise BadSetting("the plan is over before the prompt is; give it more bars or a shorter prompt")
    return fitted


def _move_to_key(plan, home):
    """Return a plan in another home key, by the smallest transposition.

    Raises
    ------
    BadSetting
        If one key is major and the other minor.
    """
    if home // 12 != plan.home // 12:
        mode = "major" if plan.home < 12 else "minor"
        raise BadSetting(f"the plan is in a {mode} key; choose a {mode} key or leave the key out")
    return plan.transpose((home - plan.home + 6) % 12 - 6)


def _whole_bars(prompt, prompt_end):
    """Return the plan of the bars of a prompt that are over, or None if there is none."""
    plan = extract_plan(prompt)
    n_bars = int(np.searchsorted(plan.begin[1:], prompt_end, "right"))
    return plan.first(n_bars) if n_bars else None


def _free_last_bar(plan):
    """Return a plan whose last bar is no copy, so that it can close."""
    relation, shift = plan.relation.copy(), plan.shift.copy()
    if relation[-1] in (EXACT, VARIED, TRANSPOSED):
        relation[-1], shift[-1] = RHYTHM, 0
    return replace(plan, relation=relation, shift=shift)
