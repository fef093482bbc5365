"""Cards in Markdown for critics and composer classifiers."""

from critic.classifier import HUMAN


def classifier_card(classifier):
    """A card: what it tells apart, data and licences, figures, how it was made."""
    training = classifier.info["training"]
    rows = "\n".join(
        f"| {split}: {k.replace('_', ' ')} | {v} |"
        for split, found in classifier.info["figures"].items()
        for k, v in found.items()
    )
    is_critic = HUMAN in classifier.classes
    names = (
        "human music from generated"
        if is_critic
        else f"{len(classifier.classes)} composers apart: {', '.join(classifier.classes)}"
    )
    warning = (
        (
            "Its odds are those of a batch that is half human, and of the kind of music and of generator that it was trained on. It does not know "
            "good music, only what is unlike a generator's; a piece that it has never heard the like of may fool it either way."
        )
        if is_critic
        else ("It puts every piece under one of its composers, whoever wrote it.")
    )
    return f"""# {"A critic" if is_critic else "A composer classifier"} of {classifier.encoding.name} text

Tells {names}. {_net(classifier)}; a judgement for every {classifier.window_quarters:g} quarter notes, calibrated.

## Data

{training["excerpts"]["about"] or "Not described."}

Excerpts as `python -m critic.excerpts` makes them, equal in length and place; no work is on two sides of the split. Fingerprint of the data: `{training["excerpts"]["fingerprint"]}`.

## Figures

| what | value |
|---|---|
{rows}

## Made by

{_made(classifier)}

## Use

{warning}
"""


def _net(classifier):
    """What it is made of, as the beginning of a sentence."""
    if classifier.kind == "blend":
        return "A blend of voices: " + "; ".join(
            f"{weight:g} of {_net(voice)[0].lower()}{_net(voice)[1:]}" for voice, weight in classifier.voices
        )
    if classifier.kind == "rolls":
        return f"A net of convolutions that reads piano rolls, {'/'.join(str(w) for w in classifier.sizes['widths'])}, from scratch"
    if classifier.kind == "statistics":
        return f"{classifier.sizes['n_heads']} small nets of {classifier.sizes['hidden']} units that read what can be counted, averaged"
    if classifier.kind == "similarity":
        return f"A net of convolutions that sees where music is like itself, {'/'.join(str(w) for w in classifier.sizes['widths'])}, from scratch"
    head = "a small head that reads what can be counted, too" if classifier.counts else "a small head"
    first = _trainings(classifier)[0]
    begun = (
        "The encoder of a language model" if first["arguments"]["pretrained"] else "A net that reads text from scratch"
    )
    return f"{begun}, {classifier.arch} {'/'.join(str(v) for k, v in classifier.sizes.items() if not k.endswith('_p'))}, and {head}"


def _trainings(classifier):
    """How one that is no blend was made, step by step: of one that went on from another, the other's first."""
    steps = [classifier.info["training"]]
    while "before" in steps[0]:
        steps.insert(0, steps[0]["before"])
    return steps


def _made(classifier):
    """Its commands, and those of its voices before."""
    makings = [step for each in (*(v for v, _ in classifier.voices), classifier) for step in _trainings(each)]
    return "\n\n".join(f"`{m['command']}`, {m['minutes']:g} minutes, {m['date']}." for m in makings)
