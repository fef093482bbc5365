"""Model cards in Markdown for critics and composer classifiers."""

from critic.classifier import Classifier
from critic.members.base import Member
from critic.members.ensemble import Ensemble

CRITIC_LIMITS = (
    "The odds assume a batch that is half human, and the kind of music and the generator of the training excerpts. "
    "The critic does not recognize good music, only what differs from a generator's. Music unlike any that it was "
    "trained on may mislead it either way."
)
COMPOSER_LIMITS = "It assigns every piece to one of its composers, whoever wrote it."


def classifier_card(classifier: Classifier) -> str:
    """Return a card: the classes, the data with its licences, the figures, the commands and the limits."""
    info, is_critic = classifier.info, classifier.model.settings.is_critic
    training = info["training"]
    title = "A critic" if is_critic else "A composer classifier"
    if is_critic:
        task = "Distinguishes human music from generated music"
    else:
        task = f"Distinguishes {len(classifier.classes)} composers: {', '.join(classifier.classes)}"
    description = classifier.model.describe()
    return f"""# {title} for {classifier.encoding.name} text

{task}. It is {description}. It classifies every {classifier.window_quarters:g} quarter notes, calibrated.

## Data

{training["excerpts"]["about"] or "Not described."}

The excerpts are those of `python -m critic.excerpts`, equal in length and place; no work is in two splits.
Fingerprint of the corpus: `{training["excerpts"]["fingerprint"]}`.

## Figures

| figure | value |
|---|---|
{_figure_rows(info["figures"])}

## Made by

{_commands(classifier.model)}

## Limits

{CRITIC_LIMITS if is_critic else COMPOSER_LIMITS}
"""


def _figure_rows(figures):
    """Return a table row for each figure of each split."""
    return "\n".join(
        f"| {split}: {name.replace('_', ' ')} | {value} |"
        for split, by_name in figures.items()
        for name, value in by_name.items()
    )


def _commands(model: Member | Ensemble) -> str:
    """Return the commands that made a model, its members' first."""
    steps = []
    if isinstance(model, Ensemble):
        for member, _ in model.members:
            steps += training_steps(member.info)
    steps += training_steps(model.info)
    return "\n\n".join(f"`{step['command']}`, {step['minutes']:g} minutes, {step['date']}." for step in steps)


def training_steps(info: dict) -> list[dict]:
    """Return how a model was made, step by step: if it continued from another, the other's steps come first."""
    steps = [info["training"]]
    while "before" in steps[0]:
        steps.insert(0, steps[0]["before"])
    return steps
