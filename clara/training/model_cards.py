"""The cards of trained models and adapters, in Markdown: data and licences, figures, and how they were made."""

from typing import Any

from clara.checkpoints.checkpoint import Checkpoint
from clara.form.plan_tokens import KINDS
from clara.form.planner import Planner

CARD = "README.md"
PLAN_NOTE = (
    " The model follows plans. It always knows the metre; *with returns* it also knows which bars return to which, and"
    " the cost of that plan is not included."
)
PLAN_KINDS = ("length", "upbeat", "home", *KINDS)


def model_card(checkpoint: Checkpoint) -> str:
    """Return a model card: data and licences, figures, training, use."""
    training, figures = checkpoint.info["training"], checkpoint.info["figures"]
    data, sizes = training["data"], checkpoint.sizes
    commands = [f"`{training['command']}`"]
    plans = PLAN_NOTE if checkpoint.context_reader() else ""
    earlier = [f"`{origin['command']}` ({origin['date']})" for origin in training.get("earlier", [])]
    start = f"\n\nIt started from weights made by {', then '.join(earlier)}." if earlier else ""
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

Nats per quarter note: the summed cost of all tokens of the held-out pieces, divided by their length.{plans}

## Made by

{"; ".join(commands)}; seed {training["arguments"]["seed"]}, commit {training["commit"]}, {training["date"]}.{start}

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
    follows_plans = any(name.endswith("_with_returns") for name in figures)
    return f"""# An adapter for {info["base_folder"]}

Initial state and output layer for the weights `{info["base"]}`; everything else comes from that model.

## Data

{info["data"]["about"] or "Not described."}

The adapter was trained on {info["data"]["pieces"]:,} pieces. Fingerprint of the data: `{info["data"]["fingerprint"]}`.

## Figures

{_figures_table(figures)}

Nats per quarter note of held-out pieces, before and after.{PLAN_NOTE if follows_plans else ""}

## Made by

`{info["command"]}`, {info["date"]}.
"""


def planner_card(planner: Planner) -> str:
    """Return a planner's card."""
    training, figures = planner.info["training"], planner.info["figures"]
    data, settings = training["data"], training["settings"]
    n_parameters = sum(parameter.numel() for parameter in planner.network.parameters())
    return f"""# A planner

It composes the form of pieces bar by bar: which bars return and how, phrases, keys, chords, density, register and \
texture. An LSTM with {settings["n_layers"]} layers of {settings["n_units"]} units reads the bars; \
{n_parameters:,} parameters.

## Data

{data["about"] or "Not described."}

The planner was trained on the plans of {data["pieces"]:,} pieces with {data["bars"]:,} bars. Fingerprint of the data: \
`{data["fingerprint"]}`.

## Figures

Nats per bar of held-out pieces, by what is said of a bar; *open*: of plans that leave attributes open.

{_costs_table(figures)}

## Made by

`{training["command"]}`, {training["minutes"]} minutes, commit {training["commit"]}, {training["date"]}.

## Use

`clara.form.planner.Planner.load(FOLDER).compose(range(n_plans), n_bars)` returns plans. The planner knows the \
forms of its training music.
"""


def _costs_table(figures):
    """Return a Markdown table of a planner's costs by kind of token; splits, whole and open, are its columns."""
    columns = {}
    for split, costs in figures.items():
        columns[split] = costs["kinds_per_bar"]
        columns[f"{split}, open"] = costs["open_kinds_per_bar"]
    lines = [("kind", *columns), ("---",) * (len(columns) + 1)]
    for kind in PLAN_KINDS:
        if any(kind in costs for costs in columns.values()):
            lines.append((kind.replace("_", " "), *(f"{costs.get(kind, 0):.3f}" for costs in columns.values())))
    lines.append(("all", *(f"{sum(costs.values()):.3f}" for costs in columns.values())))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figures_table(figures):
    """Return a Markdown table of figures."""
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in figures.items()]
    return "\n".join(["| what | value |", "|---|---|", *rows])
