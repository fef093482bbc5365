"""Cards in Markdown for what is trained: data and licences, figures, how it was made."""

CARD = "README.md"


def model_card(checkpoint):
    """A model card in Markdown: data and licences, training, figures, use."""
    training, figures = checkpoint.info["training"], checkpoint.info["figures"]
    data, sizes = training["data"], checkpoint.sizes
    rows = "\n".join(f"| {k.replace('_', ' ')} | {v} |" for k, v in figures.items())
    commands = f"`{training['command']}`" + "".join(
        f"; after epoch {r['after_epoch']} `{r['command']}`" for r in training.get("resumed", [])
    )
    return f"""# A {checkpoint.encoding.name} music model

{checkpoint.arch}, {sizes["emb_sz"]}/{sizes["n_hid"]}/{sizes["n_layers"]} (embedding/hidden/layers), \
{checkpoint.n_parameters:,} parameters, {len(checkpoint.vocab)} words, \
{checkpoint.encoding.steps_per_quarter} steps per quarter note.

## Data

{data["about"] or "Not described."}

{data["pieces"]:,} pieces to train on, {data["quarters"]:,.0f} quarter notes, {data["tokens"]:,} tokens in their own \
keys; each epoch reads every piece once, in another key. Valid and test are other works, \
as far as the fingerprints of `clara.data.musical_works` tell versions of one work apart from strangers. Fingerprint of the data: `{data["fingerprint"]}`.

## Figures

| what | value |
|---|---|
{rows}

Nats per quarter note: the summed cost of all words of the held-out pieces over their length.

## Made by

{commands}; seed {training["arguments"]["seed"]}, commit {training["commit"]}, {training["date"]}.

## Use

To compose and to study: `python generate.py --model FOLDER`, this folder. It knows the style of what it \
was trained on, no dynamics, tempo or pedal; what it writes may recall pieces of its training, so check before you \
publish.
"""


def adapter_card(info, figures):
    """A style's card in Markdown."""
    rows = "\n".join(f"| {k.replace('_', ' ')} | {v} |" for k, v in figures.items())
    return f"""# A style for {info["base_folder"]}

Initial states and output layer for the weights `{info["base"]}`; all else is theirs.

## Data

{info["data"]["about"] or "Not described."}

{info["data"]["pieces"]:,} pieces to train on. Fingerprint of the data: `{info["data"]["fingerprint"]}`.

## Figures

| what | value |
|---|---|
{rows}

Nats per quarter note of held-out pieces, before and after.

## Made by

`{info["command"]}`, {info["date"]}.
"""
