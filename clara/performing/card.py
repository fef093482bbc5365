"""The model card of a performer."""

from clara.performing.performer import Performer
from clara.wording import count_of

FIGURES = {
    "pieces": "pieces",
    "velocity_r": "velocity, Pearson r by piece",
    "tempo_r": "log tempo of beats, Pearson r by piece",
    "pedal_f1": "pedal down where sixteenths begin, F1",
    "pieces_with_pedal": "pieces with pedal",
    "nats_per_note": "nats per velocity, given those before",
}


def performer_card(performer: Performer) -> str:
    """Return a performer's card."""
    training = performer.info["training"]
    sizes = performer.networks[0].sizes
    n_parameters = sum(p.numel() for network in (*performer.networks, *performer.windows) for p in network.parameters())
    networks = count_of(len(performer.networks), "network")
    windows = count_of(len(performer.windows), "network")
    return f"""# A performer

It gives scores dynamics, a tempo map and the sustain pedal. {networks} of a GRU over beats in both directions \
({sizes.n_layers} layers of {sizes.n_units} units) and convolutions over notes, averaged with {windows} that read \
windows around single beats, notes and sixteenths; {n_parameters:,} parameters.

## Data

{training["about"] or "Not described."}

Trained on {training["pieces"]:,} pieces with {training["beats"]:,} beats and {training["notes"]:,} notes. \
{training["played"]:,} of them are played; of the others, scores with dynamic marks, an output of its own learns.

## Figures

What is expected of held-out pieces, compared with how they are played; means over pieces.

{_figures_table(performer.info["figures"])}

## Made by

`{training["command"]}`, {training["minutes"]} minutes, commit {training["commit"]}, {training["date"]}.
{_recurrent(training)}
## Use

`clara perform SCORE -o FILE.mid`, or `clara.performing.performer.Performer.load(FOLDER).perform(notes, seed)`. It \
plays as the players did whom it learned from: it knows notes and metre, but no dynamic marks.
"""


def _recurrent(training):
    """Return how recurrent networks that an earlier training made were trained, or nothing."""
    earlier = training.get("recurrent")
    if not earlier:
        return ""
    return (
        f"\nThe recurrent networks are those of `{earlier['command']}`, {earlier['minutes']} minutes, commit "
        f"{earlier['commit']}, {earlier['date']}.\n"
    )


def _figures_table(figures):
    """Return a Markdown table of figures; splits are its columns."""
    lines = [("figure", *figures), ("---",) * (len(figures) + 1)]
    lines += [(label, *(str(values[name]) for values in figures.values())) for name, label in FIGURES.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
