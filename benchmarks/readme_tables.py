"""The generated tables of README.md and docs/models.md: the shipped models, and the main results."""

import json
from collections.abc import Callable
from pathlib import Path

MODELS = {
    "notewise": "piano, 12 steps per quarter",
    "notewise-large": "piano, 12 steps per quarter",
    "chordwise": "piano, 4 steps per quarter",
    "chamber": "a solo instrument and piano, 12 steps per quarter",
}


def model_table(repository: Path, load_result: Callable[[str], dict]) -> str:
    """Return the table of the shipped models.

    Parameters
    ----------
    repository : Path
    load_result : callable
        Takes the name of a result file and returns its content.
    """
    lines = [
        "| model | music | follows plans | parameters | size | nats per quarter, test works | with repeats or a plan |",
        "|---|---|---|---|---|---|---|",
    ]
    results = [load_result(name)["rows"] for name in ("plan_likelihood", "plan_likelihood_chamber")]
    plan_rows = {row["model"]: row for rows in results for row in rows if row["split"] == "test"}
    for name, music in MODELS.items():
        folder = repository / "pretrained" / name
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        follows_plans = "context_rows" in config["sizes"]
        if follows_plans:
            alone, total = plan_rows[name]["metre"], plan_rows[name]["returns_total"]
        else:
            figures = config["figures"]
            alone, total = figures["test_nats_per_quarter"], figures["test_nats_per_quarter_with_repeats"]
        megabytes = (folder / "model.safetensors").stat().st_size / 1e6
        lines.append(
            f"| `{name}` | {music} | {'yes' if follows_plans else 'no'} | {config['n_parameters']:,} | "
            f"{megabytes:.1f} MB | {alone:.2f} | {total:.2f} |"
        )
    return "\n".join(lines)


CLASSIFIERS = {
    "critic-notewise": "human or generated",
    "critic-chordwise": "human or generated",
    "composer-notewise": "12 composers",
    "composer-chordwise": "12 composers",
}


def classifier_table(repository: Path) -> str:
    """Return the table of the shipped critics and composer classifiers."""
    lines = ["| classifier | classes | figures on test works |", "|---|---|---|"]
    for name, classes in CLASSIFIERS.items():
        config = json.loads((repository / "pretrained" / name / "config.json").read_text(encoding="utf-8"))
        figures = [f"{key.replace('_', ' ')} {value:.3f}" for key, value in config["figures"]["test"].items()]
        lines.append(f"| `{name}` | {classes} | {', '.join(figures)} |")
    return "\n".join(lines)


def result_table(load_result: Callable[[str], dict]) -> str:
    """Return the table of the main results.

    Parameters
    ----------
    load_result : callable
        Takes the name of a result file and returns its content.
    """

    def rows(name, key):
        return {row[key]: row for row in load_result(name)["rows"]}

    nats = next(row["returns_total"] for row in load_result("plan_likelihood")["rows"] if row["split"] == "test")
    nats_without_plans = rows("likelihood_large", "works")["test"]["nats_per_quarter_with_repeats"]
    polyphonic = load_result("polyphonic")
    test_figures = ", ".join(f"{row['test']:.2f}" for row in polyphonic["rows"])
    balstm = ", ".join(f"{value:.2f}" for value in polyphonic["settings"]["published"]["BALSTM (Johnson 2017)"])
    speed = {(row["threads"], row["bs"]): row for row in load_result("generate_speed")["rows"]}
    one, many = speed[1, 1], speed[1, 256]
    files = rows("encode_speed", "reader")
    tasks = rows("compose_time", "task")
    search = tasks["the search, notes only"]
    ranking = tasks["ranking alone, 320 pieces, notes only"]
    fresh_results = [load_result(f"fresh_judge_{name}") for name in ("default", "ranked", "unranked")]
    searched, ranked, unranked = map(_fresh_judge_aucs, fresh_results)
    n_searched = fresh_results[0]["settings"]["generated"]
    lines = [
        "| what | Clara | beside | limits |",
        "|---|---|---|---|",
        f"| held-out piano works, nats per quarter (lower is better) | {nats:.2f} "
        f"| a network of five times the size with a repeat model in place of plans: {nats_without_plans:.2f} "
        "| no published figure uses this unit ([more](benchmarks/pages/plan_likelihood.md)) |",
        "| polyphonic benchmark of 2012, nats per frame: JSB, Nottingham, MuseData, Piano-midi "
        f"| {test_figures} "
        f"| BALSTM (2017): {balstm} "
        "| pieces repeat themselves; the model may look that up ([more](benchmarks/pages/polyphonic.md)) |",
        "| composing on one core, tokens per second: one piece, 256 at once "
        f"| {one['clara_tokens_per_second']:,}, {many['clara_tokens_per_second']:,} "
        f"| fastai {one['fastai_tokens_per_second']:,}, {many['fastai_tokens_per_second']:,}; "
        f"GPT-2 of that size {one['gpt2_tokens_per_second']:,}, {many['gpt2_tokens_per_second']:,} "
        "| 8-bit weights; untrained networks ([more](benchmarks/pages/generation_speed.md)) |",
        f"| MIDI files to text per second, one core | {files['Clara, notewise']['files_per_second']:,.0f} "
        f"| MidiTok {files['MidiTok TSD']['files_per_second']:,.0f} "
        "| Clara keeps no dynamics and no pedal ([more](benchmarks/pages/encoding_speed.md)) |",
        "| from the command to the last file: eight pieces of 64 quarter notes by a search | "
        f"{search['median_seconds']:g} s "
        f"| the best 8 of 320 independent pieces: {ranking['median_seconds']:g} s "
        "| two cores, without sound and pictures ([more](benchmarks/pages/compose_time.md)) |",
        "| pieces of the default command against human music, by judges trained from nothing on them (AUC; 0.5 is "
        f"chance): descriptors, mean of four judges | {_format_aucs(searched)} "
        f"| ranking alone, in the same time: {_format_aucs(ranked)}; unranked pieces: {_format_aucs(unranked)} "
        f"| {n_searched} pieces; classifiers, not listeners ([more](benchmarks/pages/fresh_judge.md)) |",
    ]
    return "\n".join(lines)


def _fresh_judge_aucs(result: dict) -> dict[str, float]:
    """Return the AUC of each fresh judge by name."""
    return {row["name"]: row["auc"] for row in result["rows"] if row["table"] == "judges"}


def _format_aucs(aucs: dict[str, float]) -> str:
    """Return the AUC of the descriptors and of the mean of all judges."""
    return f"{aucs['descriptors']:.2f}, {aucs['mean of the judges']:.2f}"
