"""The cards of trained models and adapters, in Markdown: data and licences, figures, and how they were made."""

from typing import Any

from clara.checkpoints.checkpoint import Checkpoint

CARD = "README.md"


def model_card(checkpoint: Checkpoint) -> str:
    """Return a model card: data and licences, figures, training, use."""
    training, figures = checkpoint.info["training"], checkpoint.info["figures"]
    data, sizes = training["data"], checkpoint.sizes
    commands = [f"`{training['command']}`"]
    commands += [f"after epoch {r['after_epoch']} `{r['command']}`" for r in training.get("resumed", [])]
    return f"""# A {checkpoint.encoding.name} music model

{checkpoint.arch}, {sizes["emb_sz"]}/{sizes["n_hid"]}/{sizes["n_layers"]} (embedding/hidden/layers), \
{checkpoint.n_parameters:,} parameters, {len(checkpoint.vocab)} tokens, \
{checkpoint.encoding.steps_per_quarter} steps per quarter note.

## Data

{data["about"] or "Not described."}

The model was trained on {data["pieces"]:,} pieces: {data["quarters"]:,.0f} quarter notes, {data["tokens"]:,} \
tokens in their own keys. Each epoch reads every piece once, in another key. The valid and test pieces are other \
works, as far as `clara.data.musical_works` recognises versions of a work. Fingerprint of the data: \
`{data["fingerprint"]}`.

## Figures

{_figures_table(figures)}

Nats per quarter note: the summed cost of all tokens of the held-out pieces, divided by their length.

## Made by

{"; ".join(commands)}; seed {training["arguments"]["seed"]}, commit {training["commit"]}, {training["date"]}.

## Use

For composing and studying: `clara compose --model FOLDER` with this folder. The model knows the style of its training \
music, but no dynamics, tempo or pedal. What it composes may repeat its training pieces: check before you publish.
"""


def adapter_card(info: dict[str, Any], figures: dict[str, Any]) -> str:
    """Return an adapter's card.

    Parameters
    ----------
    info : dict
        As in `clara.checkpoints.adapter.Adapter.info`.
    figures : dict
    """
    return f"""# An adapter for {info["base_folder"]}

Initial state and output layer for the weights `{info["base"]}`; everything else comes from that model.

## Data

{info["data"]["about"] or "Not described."}

The adapter was trained on {info["data"]["pieces"]:,} pieces. Fingerprint of the data: `{info["data"]["fingerprint"]}`.

## Figures

{_figures_table(figures)}

Nats per quarter note of held-out pieces, before and after.

## Made by

`{info["command"]}`, {info["date"]}.
"""


def _figures_table(figures):
    """Return a Markdown table of figures."""
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in figures.items()]
    return "\n".join(["| what | value |", "|---|---|", *rows])
