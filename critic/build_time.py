"""Estimate how long `critic.build` takes."""

from dataclasses import dataclass, field

# Seconds on one core of a server of 2023, measured with the model notewise (3.2 million weights).
REFERENCE_PARAMETERS = 3.2e6
COMPOSE_SECONDS = 0.043  # for a composed excerpt of 32 quarters
REFERENCE_QUARTERS = 32
TRAIN_SECONDS = {  # for an excerpt in an epoch, training and validation
    "text": 0.002,
    "piano_roll": 0.0054,
    "descriptors": 0.00025,
    "boosted_trees": 8e-6,
    "self_similarity": 0.001,
}
# For an excerpt:
SCORE_SECONDS = {
    "text": 0.005,
    "piano_roll": 0.007,
    "descriptors": 0.002,
    "boosted_trees": 0.002,
    "self_similarity": 0.001,
}
SEARCH_SECONDS = 0.4  # for a piece of a search for excerpts of 32 quarters
START_SECONDS = 5  # for imports and files, in each stage
THREADS_EXPONENT = 0.8  # n threads are n to the power of this as fast as one
EXCERPTS, ENSEMBLE = "excerpts", "ensemble"  # the stages beside the members


def round_suffix(number: int) -> str:
    """Return what the names of the stages and folders of a round end with; of the first with nothing."""
    return f"-{number}" if number else ""


@dataclass(frozen=True)
class WorkLoad:
    """What the time depends on.

    Attributes
    ----------
    n_composed : int
        Number of composed excerpts.
    n_trained : int
        Number of excerpts to train and validate on, of both classes.
    n_scored : int
        Number of excerpts that the finished critic scores, of both classes.
    quarters : int
        Length of an excerpt.
    n_parameters : float
        Mean number of weights of the models.
    epochs : dict of str to int
        Number of epochs by member.
    workers, threads : int
    rounds : int
        Number of rounds after the first, in which searched pieces are added.
    n_searched : int
        Number of searched pieces in each of them.
    """

    n_composed: int
    n_trained: int
    n_scored: int
    quarters: int
    n_parameters: float
    epochs: dict[str, int]
    workers: int
    threads: int
    rounds: int = 0
    n_searched: int = 0


def estimate_stages(load: WorkLoad) -> dict[str, float]:
    """Return the expected number of seconds of each stage, by name, in their order."""
    length = load.quarters / REFERENCE_QUARTERS
    speedup = load.threads**THREADS_EXPONENT
    size = load.n_parameters / REFERENCE_PARAMETERS
    seconds = {EXCERPTS: load.n_composed * COMPOSE_SECONDS * length * size / load.workers}
    per_excerpt = sum(SCORE_SECONDS[member] for member in load.epochs)
    for number in range(load.rounds + 1):
        suffix = round_suffix(number)
        if number:
            seconds[f"{EXCERPTS}{suffix}"] = load.n_searched * SEARCH_SECONDS * length * size / load.workers
        for member, epochs in load.epochs.items():
            seconds[f"{member}{suffix}"] = load.n_trained * epochs * TRAIN_SECONDS[member] * length / speedup
        seconds[f"{ENSEMBLE}{suffix}"] = load.n_scored * per_excerpt * length / speedup
    return {stage: START_SECONDS + value for stage, value in seconds.items()}


@dataclass
class RemainingTime:
    """The time that is left, by the expected times of the stages and the speed so far.

    Attributes
    ----------
    expected : dict of str to float
        Seconds of each stage that has not ended.
    """

    expected: dict[str, float]
    _expected_done: float = field(default=0.0, init=False)
    _done: float = field(default=0.0, init=False)

    @property
    def seconds(self) -> float:
        """Return how many seconds are left."""
        slowdown = self._done / self._expected_done if self._expected_done else 1.0
        return slowdown * sum(self.expected.values())

    def end(self, stage: str, seconds: float | None = None) -> None:
        """Record that a stage has ended, after how many seconds; None for a stage that was kept."""
        expected = self.expected.pop(stage)
        if seconds is not None:
            self._expected_done += expected
            self._done += seconds


def describe_seconds(seconds: float) -> str:
    """Return a time in words, such as "about 4 minutes".

    Examples
    --------
    >>> describe_seconds(20), describe_seconds(70), describe_seconds(250)
    ('less than a minute', 'about 1 minute', 'about 4 minutes')
    """
    minutes = round(seconds / 60)
    if seconds < 45:
        return "less than a minute"
    return "about 1 minute" if minutes == 1 else f"about {minutes} minutes"
