"""README's commands are ones that the programs take, and its figures are those on file."""

import json
import re
import shlex
from pathlib import Path

import pytest

from clara_app import compose as generate
from clara_app import train
from critic import ensemble as critic_blend
from critic import excerpts, rank
from critic import train as critic_train
from data_prep import encode, inspect

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
PARSERS = {"generate.py": generate.parser, "train.py": train.parser, "critic.excerpts": excerpts.parser, "critic.rank": rank.parser,
           "critic.train": critic_train.parser, "critic.ensemble": critic_blend.parser, "data_prep.encode": encode.parser, "data_prep.inspect": inspect.parser}


def commands():
    """Every command in README's code blocks that runs one of our programs, as words."""
    blocks = re.findall(r"^```\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    parts = [part.strip() for block in blocks for line in block.splitlines()
             for part in line.split("#")[0].split("&&")]
    return [shlex.split(part.replace("…", "")) for part in parts if part.startswith("python ")]


def test_readme_names_each_program():
    assert {words[2] if words[1] == "-m" else words[1] for words in commands()} >= set(PARSERS)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_parse(words):
    program, rest = (words[2], words[3:]) if words[1] == "-m" else (words[1], words[2:])
    if program in PARSERS:
        assert PARSERS[program]().parse_args(rest)
    else:
        assert (ROOT / program).is_file()


def test_first_screen_has_the_two_lines():
    head = README[:2500]
    assert 'pip install -e . -c constraints.txt && python generate.py' in head
    assert 'pip install -e ".[test]" -c constraints.txt && pytest' in head


def test_figures_are_those_of_the_shipped_weights():
    for folder in (ROOT / "pretrained").iterdir():
        config = json.loads((folder / "config.json").read_text())
        if "classifier" in config:
            for figure in config["figures"]["test"].values():
                assert f"{figure:.3f}" in README
            continue
        for split in ("valid", "test"):
            for how in ("", "_with_match"):
                assert f"{config['figures'][f'{split}_nats_per_quarter{how}']:.2f}" in README
        assert f"{config['n_parameters']:,}" in README


JUDGES = ("| {judge} | {percentile:.1f} | {percentile_interval[0]:.1f} to {percentile_interval[1]:.1f} | {auc_best:.3f} | "
          "{auc_best_interval[0]:.3f} to {auc_best_interval[1]:.3f} | {auc_unranked:.3f} |")
MEASURES = ("| {measure} | {best_area:.3f} | {random_area:.3f} | {gain_interval[0]:+.3f} to {gain_interval[1]:+.3f} | {best_kl:.4f} | "
            "{random_kl:.4f} | {human_area:.3f} |")
SEARCH = ("| {judge} | {plain_percentile:.1f} | {search_percentile:.1f} | {percentile_gain_interval[0]:+.1f} to {percentile_gain_interval[1]:+.1f} | "
          "{plain_odds:+.3f} | {search_odds:+.3f} | {gain_interval[0]:+.3f} to {gain_interval[1]:+.3f} | "
          "{plain_auc:.3f} | {search_auc:.3f} | {search_auc_interval[0]:.3f} to {search_auc_interval[1]:.3f} |")
SEARCH_MEASURES = "| {measure} | {plain_area:.3f} | {search_area:.3f} | {random_area:.3f} | {gain_interval[0]:+.3f} to {gain_interval[1]:+.3f} |"
LIKELIHOOD = "| {model} | {parameters:,} | {what} | {pieces} | {quarters:,.0f} | {nats_per_quarter:.2f} | {nats_per_quarter_with_match:.2f} |"
TABLES = {
    "cluster": "| {texts:,} | {killed_at_texts} | {removed_at_texts} | {different_texts} | {alone_seconds:g} | "
               "{cluster_seconds:g} |",
    "encode_scale": "| {what} | {seconds:g} | {all_pss_mb:g} | {driver_rss_mb:g} |",
    "encodings": "| {steps_per_quarter} | {spelling} | {nats_per_quarter:.2f} | {words_per_quarter:.1f} | {vocabulary:,} | "
                 "{parameters:,} | {million_words:.1f} |",
    "exactness": "| {form} | {steps_per_quarter} | {generated:,} | {files:,} | {keys_of_files:,} | {differences} |",
    "score_speed": "| {format} | {reader} | {files_per_second:g} | {read} of {files} | {same_notes} | {same} |",
    "encode_speed": "| {what} | {files_per_second:g} | {clara_is_times:g} |",
    "train_speed": "| {sizes} | {device}, {threads} threads | {clara_words_per_second:,} | {fastai_words_per_second:,} | {ratio:g} | "
                   "{share_of_peak:.0%} |",
    "kills": "| {kills} | {epochs} | {same_state} | {same_weights} |",
    "finetune": "| {way} | {nats_per_quarter:.2f} | {base_nats_per_quarter:.2f} | {minutes:g} | {kilobytes:,} |",
    "architectures": "| {arch} | {sizes} | {parameters:,} | {nats_per_quarter:.2f} | {million_words:.1f} | "
                     "{training_words_per_second:,} | {generating_words_per_second_1:,} | {generating_words_per_second_16:,} |",
    "polyphonic": "| {set} | {parameters:,} | {minutes:g} | {valid:.3f} | {test:.3f} | {test_in_keys:.3f} | {test_dynamic:.3f} | {repeated[valid]:.0%} | {repeated[test]:.0%} |",
    "wellformed": "| {encoding} | {words:,} | {texts:,} | {malformed} |",
    "filling": "| {quarters} | {one:.2f} | {likeliest:.2f} | {original:.2f} | {likelier_in_percent_of_pieces}% |",
    "likelihood": LIKELIHOOD,
    "likelihood_large": LIKELIHOOD,
    "precision": "| {model} | {format} | {valid_nats_per_quarter:.3f} | {cost_percent:.3f}% |",
    "generate_speed": "| {threads} | {bs} | {clara_words_per_second:,} | {fastai_words_per_second:,} | {gpt2_words_per_second:,} | "
                      "{over_fastai:g} | {over_gpt2:g} | {share_of_limit:.0%} |",
    "critics": "| {critic} | {setting} | {generated} | {auc:.3f} | {accuracy:.3f} |",
    "critic_guards": "| {change} | {of} | {auc:.3f} |",
    "composers": "| {classifier} | {works} | {excerpts} | {excerpt_accuracy:.3f} | {excerpt_balanced_accuracy:.3f} | {pieces} | {piece_accuracy:.3f} | "
                 "{piece_balanced_accuracy:.3f} |",
    "inception": "| {classifier} | {excerpts} | {n} | {inception_score:.2f} | {composers} |",
    "ranking": JUDGES,
    "ranking_measures": MEASURES,
    "ranking_free": JUDGES,
    "ranking_free_measures": MEASURES,
    "ranking_small_free": JUDGES,
    "ranking_small_free_measures": MEASURES,
    "returns": ("| {what} | {pieces} | {same_key_percent}% | {other_key_percent}% | {near_percent}% | "
                "{voices_same_key_percent}% | {voices_other_key_percent}% | {circles_percent}% |"),
    "search": SEARCH,
    "search_measures": SEARCH_MEASURES,
    "search_free": SEARCH,
    "search_free_measures": SEARCH_MEASURES,
    "search_words": SEARCH,
    "search_words_measures": SEARCH_MEASURES,
    "rank_speed": "| {what} | {pieces} | {seconds:.2f} | {times_fastai:g} |",
    "compose_time": "| {what} | {words:,} | {seconds:g} | {best:g} |",
}


def test_every_benchmark_has_its_table():
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.json")} == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_on_file(name):
    told = json.loads((ROOT / f"benchmarks/{name}.json").read_text())
    assert f"`{told['command']}`" in RESULTS.replace("\n", " ")
    assert told["rows"]
    for row in told["rows"]:
        assert TABLES[name].format(**row) + "\n" in RESULTS


def test_what_the_processor_does_and_8_bits_cost():
    told = json.loads((ROOT / "benchmarks/generate_speed.json").read_text())["settings"]
    assert f"8-bit weights cost {told['int8_cost_percent']:.2f} % in nats" in RESULTS
    rates = told["rates_of_one_core"]
    assert f"({max(rates['onnxruntime'], rates['onednn']):,.0f} billion operations per second on one core)" in RESULTS
    assert f"({rates['reading']:g} GB per second)" in RESULTS


def test_pictures_are_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path


def test_the_summary_is_what_is_on_file():
    def rows(name):
        return json.loads((ROOT / f"benchmarks/{name}.json").read_text())["rows"]
    speed = {(r["threads"], r["bs"]): r for r in rows("generate_speed")}
    for who in ("clara", "fastai", "gpt2"):
        assert f"{speed[1, 1][f'{who}_words_per_second']:,}, {speed[1, 256][f'{who}_words_per_second']:,}" in README
    sets = {r["set"]: r for r in rows("polyphonic")}
    assert "| " + ", ".join(f"{sets[name]['test']:.2f}" for name in ("JSB", "Nottingham", "MuseData", "Piano-midi")) + " |" in README
    for name in ("search", "search_free"):
        found = [", ".join(f"{row[f'{way}_percentile']:.0f}" for row in rows(name)[1:8]) for way in ("search", "plain")]
        assert "| {} | the best 8 of 128 independent ones: {} |".format(*found) in README
    free, continuing = ([f"{r['search_auc'] + 1e-9:.2f}" for r in rows(name)] for name in ("search_free", "search"))  # halves rounded up
    assert "(from nothing AUC {4}, {5}, {3}, {6} and {1};".format(*free) in README and f"often ({free[2]});" in README
    assert f"(own kind {continuing[1]}, others {continuing[2]})" in README and f"AUC of {free[2]} and, after a prompt, {continuing[2]}." in (ROOT / "CHANGELOG.md").read_text()
    assert "{:g} s, {:g} s |".format(*(r["seconds"] for r in rows("compose_time") if "large" in r["what"])) in README
    whole = {r["what"]: r["seconds"] for r in rows("compose_time")}
    assert f"| {whole['8 pieces']:g} s, {whole['256 continuations']:g} s |" in README
    train = rows("train_speed")[0]
    assert f"| {train['clara_words_per_second']:,} | fastai {train['fastai_words_per_second']:,} |" in README
    files = {r["what"]: r["files_per_second"] for r in rows("encode_speed")}
    assert f"| {files['clara, notewise']:,.0f} | MidiTok {files['miditok TSD']:.0f} |" in README
    scored = {r["what"]: r["seconds"] for r in rows("rank_speed")}
    assert f"| {scored['Clara, from notes']:.1f} s | fastai {scored['fastai']:.1f} s |" in README
