"""Make excerpts to train a classifier on: python -m critic.excerpts CORPUS --out FOLDER (--models MODEL | --composers 12)

For a critic, human excerpts of a corpus and generated ones, equal in length and in place: a generated excerpt
goes on from some quarters of a human piece (or begins with nothing, where the human one is a beginning), half of them sampled as `generate.py` does
by itself, half over a spread of settings, from tame to wild; and some of the class that is not human are human excerpts that were damaged, so that
surprise alone does not pass for invention. The prompt is cut off, and of both the first quarters after it too, so that neither a seam nor
a first chord gives the answer; the last quarters are cut off before the composer had to release its notes.

For a composer classifier, excerpts of the composers who left most works. Versions of a work fall
on one side of the split: `train`, `other` (works for a second opinion), `valid`, `test`. With --more corpora there are, of the same composers, `more`: songs
and quartets, say, on one piano, which are learned from and never judged; works that are held out are left out there.

`excerpts.csv` has a row each, its text in the column `words`; `excerpts.json` says how it was made.

Contents: `COLUMNS`, `read_excerpts`, `human_and_generated`, `composers`.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from clara import cli
from clara.errors import BadSetting, NoData
from clara.vocab import spelled
from critic.continuations import Task, continued
from critic.damages import DAMAGES

EXAMPLES = """
python -m critic.excerpts data/mine --models runs/mine --out runs/excerpts  # human and generated, for a critic
python -m critic.excerpts data/mine --models runs/small runs/large --out runs/both  # it will know what either composes
python -m critic.excerpts data/mine --composers 12 --out runs/composers      # for a composer classifier
python -m critic.excerpts data/mine --composers 12 --more data/songs --out runs/composers-more  # it learns from their songs, too
"""
EXCERPTS, SETTINGS = "excerpts.csv", "excerpts.json"
COLUMNS = ["label", "split", "work", "composer", "piece", "from_quarter", "settings", "words"]
PROMPT, SEAM, ENDING = 16, 4, 4  # quarters: of a prompt, cut off after it, cut off at the end
BEGINNINGS = 0.2  # share of excerpts that begin with their piece
PER_PROMPT = 8  # continuations of a prompt
OTHERS, OTHERS_SEED = 0.3, 0  # share of the training works that is kept for a second opinion; the same works whatever else is left to chance
TEMPERATURES, TOP_PS, RANDOM_FREQS = (0.8, 0.9, 0.95, 1.0, 1.1, 1.25, 1.5), (0.9, 0.95, 0.98, 1.0), (1.0, 1.0, 1.0, 0.5)
MATCHES = (1.0, 1.0, 0.0)  # of the half over a spread; else 1
USUAL, USUAL_TEMPERATURES, USUAL_TOP_P = 0.5, (0.85, 0.9, 0.95, 1.0, 1.1), 0.98  # share of what is composed that is sampled as generate.py does
DAMAGED = 0.25  # share of the class that is not human: human excerpts, damaged
MORE, MORE_OF_PIECE, MORE_OF_COMPOSER = "more", 14, 900  # split of what is learned from only, and excerpts there at most
LEAST = 0.5  # of an excerpt's quarters must be left when silence at its end is gone


def read_excerpts(folder):
    """The table of a folder, with `words` as lists, and how it was made.

    Raises
    ------
    NoData
        If there are none.
    """
    import pandas as pd  # heavy imports wait for --help

    folder = Path(folder)
    missing = [n for n in (EXCERPTS, SETTINGS) if not (folder / n).is_file()]
    if missing:
        raise NoData(f"{folder}: no {' and no '.join(missing)}; make them with python -m critic.excerpts")
    table = pd.read_csv(folder / EXCERPTS, keep_default_na=False)
    return table.assign(words=table["words"].str.split()), json.loads((folder / SETTINGS).read_text(encoding="utf-8"))


class Pieces:
    """The pieces of a corpus as notes, which split of a classifier each belongs to, and the vocabulary that excerpts are spelled in."""

    def __init__(self, corpus, vocab=None):
        self.vocab = vocab or corpus.vocab
        self.corpus, self.rows = corpus, corpus.manifest.reset_index(drop=True)
        rng = np.random.default_rng(OTHERS_SEED)
        works = np.unique(self.rows["work"][self.rows["split"] == "train"])
        others = set(rng.permutation(works)[:round(OTHERS * len(works))].tolist())
        self.split = ["other" if s == "train" and w in others else s for s, w in zip(self.rows["split"], self.rows["work"])]
        self._notes = {}

    def notes(self, i):
        """Piece i as notes."""
        if i not in self._notes:
            self._notes[i] = self.corpus.encoding.decode(self.corpus.words(self.rows["piece"][i]))[0]
        return self._notes[i]

    def places(self, split, quarters, n, rng):
        """n pairs of a piece of a split, longer ones oftener, and the quarter where an excerpt may begin; 0 or past a prompt."""
        enough = [i for i, s in enumerate(self.split) if s == split and self.rows["quarters"][i] >= SEAM + quarters]
        if not enough:
            raise NoData(f"{self.corpus.folder}: no piece of the {split} split lasts {SEAM + quarters} quarters")
        room = np.array([self.rows["quarters"][i] for i in enough])
        for i in rng.choice(enough, n, p=np.sqrt(room) / np.sqrt(room).sum()):
            last = int(self.rows["quarters"][i] - SEAM - quarters)
            begins = last < PROMPT or rng.random() < BEGINNINGS
            yield int(i), 0 if begins else int(rng.integers(PROMPT, last + 1))

    def row(self, label, i, at, notes, settings=""):
        """A row of the table, or None where there is too little left."""
        encoding = self.corpus.encoding
        words = spelled(notes, encoding, self.vocab)[0]
        told = self.rows.iloc[i]
        return dict(zip(COLUMNS, (label, self.split[i], told["work"], told["composer"], told["piece"], at, settings, " ".join(words)))), \
            sum(encoding.steps(words)) / encoding.steps_per_quarter


def human_and_generated(models, corpus, n, quarters, seed=0, workers=1, device="cpu", on_step=None):
    """Excerpts of both classes.

    Parameters
    ----------
    models : folders of one or more models of the corpus's encoding and of one vocabulary; each composes for its share of the prompts
    corpus : clara.corpus.Corpus
    n : {split: how many of each class}, made up to whole prompts
    quarters : length of each
    seed : of what is left to chance
    workers : processes, each of which composes for prompts of its own; what comes of it is the same for any number
    device : what they compose with, as torch takes it
    on_step : function(prompts done since the last call)

    Returns
    -------
    DataFrame, `COLUMNS`; of several models `settings` names the one

    Raises
    ------
    BadSetting
        If the models are of another encoding, or differ in their words.
    """
    import pandas as pd

    from clara.notes import crop
    from critic.classifier import GENERATED, HUMAN

    pieces, rng, step = Pieces(corpus, _shared_vocab(models, corpus)), np.random.default_rng(seed), corpus.encoding.steps_per_quarter

    def there(i, at):
        return crop(pieces.notes(i), (at + SEAM) * step, (at + SEAM + quarters) * step)
    cut, tasks, places = [], [], []
    for split, many in n.items():
        many = -(-many // PER_PROMPT) * PER_PROMPT
        cut += [(HUMAN, i, at, None, "") for i, at in pieces.places(split, quarters, many, rng)]
        n_prompts = round((1 - DAMAGED) * many / PER_PROMPT)
        for i, at in pieces.places(split, quarters, many - PER_PROMPT * n_prompts, rng):
            way, here = str(rng.choice(list(DAMAGES))), there(i, at)
            damaged = crop(DAMAGES[way](here, rng), 0, quarters * step) if len(here) else here  # what moved past the end would tell
            cut.append((GENERATED, i, at, damaged, json.dumps({"damaged": way})))
        for i, at in pieces.places(split, quarters, n_prompts, rng):
            settings = [_settings(rng) for _ in range(PER_PROMPT)]
            prompt = crop(pieces.notes(i), (at - PROMPT) * step, at * step) if at else None
            places.append((i, at))
            tasks.append(Task(len(tasks) % len(models), prompt if prompt is not None and len(prompt) else None, settings, int(rng.integers(2**31))))
    composing = continued(models, tasks, SEAM + quarters + ENDING, workers, device, on_step)  # and meanwhile
    rows = [pieces.row(label, i, at, there(i, at) if notes is None else notes, told) for label, i, at, notes, told in cut]
    for (i, at), task, composed in zip(places, tasks, composing):
        by, first = {"model": Path(models[task.model]).name} if len(models) > 1 else {}, (PROMPT if task.prompt is not None else 0) + SEAM
        rows += [pieces.row(GENERATED, i, at, crop(notes, first * step, (first + quarters) * step), json.dumps(_told(how) | by))
                 for notes, how in zip(composed, task.settings)]
    return pd.DataFrame([row for row, left in rows if left >= LEAST * quarters], columns=COLUMNS)


def _shared_vocab(models, corpus):
    """The vocabulary of all the models; raises BadSetting where there is no such thing."""
    from clara.checkpoint import Checkpoint

    found = [Checkpoint.load(folder) for folder in models]
    for folder, model in zip(models, found):
        if model.encoding.settings != corpus.encoding.settings:
            raise BadSetting(f"{folder} and {corpus.folder} are of different encodings")
        if model.vocab.words != found[0].vocab.words:
            raise BadSetting(f"{folder} and {models[0]} know different words")
    return found[0].vocab


def _settings(rng):
    """How one excerpt is sampled."""
    from clara.sampling.strategies import Settings

    if rng.random() < USUAL:
        return Settings(temperature=float(rng.choice(USUAL_TEMPERATURES)), top_p=USUAL_TOP_P)
    freq = float(rng.choice(RANDOM_FREQS))
    return Settings(temperature=float(rng.choice(TEMPERATURES)), top_p=float(rng.choice(TOP_PS)), random_freq=freq,
                    top_k=0 if freq == 1 else 3, match=float(rng.choice(MATCHES)))


def _told(settings):
    """What of some settings is not as usual."""
    from clara.sampling.strategies import Settings

    usual = asdict(Settings())
    return {k: v for k, v in asdict(settings).items() if v != usual[k]}


def composers(corpus, n_composers, quarters, test=0.2, valid=0.1, seed=0, on_composer=None, more=()):
    """Excerpts of the composers with most works, end to end; each composer's works are split.

    Works that the corpus holds out are test works here too.

    Parameters
    ----------
    corpus : clara.corpus.Corpus
    n_composers : int
    quarters : length of each excerpt
    test, valid : shares of the works of each composer
    seed : of the split, and of which excerpts of `more` are taken
    on_composer : function(), called after each composer
    more : list of Corpus of the same encoding, of whose music by the same composers come excerpts of the split `more`, if they are of no work of valid or test

    Returns
    -------
    DataFrame, `COLUMNS`; `settings` is "unread" for pieces that no generator was trained on

    Raises
    ------
    BadSetting
        If a corpus of `more` is of another encoding.
    NoData
        If corpora have no fingerprints to tell works by.
    """
    import pandas as pd

    pieces, rng, rows = Pieces(corpus), np.random.default_rng(seed), []
    table = pieces.rows[pieces.rows["quarters"] >= quarters]
    named = table[~table["composer"].isin(("anonymous", "traditional"))]
    most = named.groupby("composer")["work"].nunique().sort_values(ascending=False, kind="stable").index[:n_composers]
    for composer in most:
        of_composer = table[table["composer"] == composer]
        held = sorted(set(of_composer["work"][of_composer["split"] != "train"]))
        works = rng.permutation(sorted(set(of_composer["work"]) - set(held))).tolist()
        n_works = len(held) + len(works)
        n_more = max(1, round(test * n_works) - len(held))
        split = dict.fromkeys(held + works[:n_more], "test") | dict.fromkeys(works[n_more:n_more + max(1, round(valid * n_works))], "valid")
        for i, told in of_composer.iterrows():
            pieces.split[i] = split.get(told["work"], "train")
            rows += _end_to_end(pieces, i, quarters, "unread" if told["split"] != "train" else "")
        if on_composer:
            on_composer()
    found = pd.DataFrame(rows, columns=COLUMNS)
    if more:
        found = pd.concat([found, _more(pieces, more, list(most), quarters, found, rng)], ignore_index=True)
    return found


def _end_to_end(pieces, i, quarters, settings=""):
    """Rows of all excerpts of a piece, labelled by composer, that are not mostly silence at their end."""
    from clara.notes import crop

    step, rows = pieces.corpus.encoding.steps_per_quarter, []
    for at in range(0, int(pieces.rows["quarters"][i]) - quarters + 1, quarters):
        here = crop(pieces.notes(i), at * step, (at + quarters) * step)
        if len(here):
            row, left = pieces.row(pieces.rows["composer"][i], i, at, here, settings)
            rows += [row] if left >= LEAST * quarters else []
    return rows


def _more(pieces, more, of, quarters, found, rng):
    """Excerpts of other corpora by the same composers, to learn from only; a work that `found` has, too, keeps its number, one that is held out there stays out."""
    import pandas as pd

    from data_prep.encode import fingerprints_of
    from data_prep.works import group_works

    corpora = [pieces.corpus, *more]
    for corpus in more:
        if corpus.encoding.settings != pieces.corpus.encoding.settings:
            raise BadSetting(f"{corpus.folder} and {pieces.corpus.folder} are of different encodings")
    work = np.split(group_works([runs for corpus in corpora for runs in fingerprints_of(corpus.folder, corpus.manifest["piece"])]), np.cumsum([len(c.manifest) for c in corpora])[:-1])
    judged = found.drop_duplicates("piece").set_index("piece")
    known = {w: judged.loc[piece] for w, piece in zip(work[0].tolist(), pieces.rows["piece"]) if piece in judged.index}
    fresh, tables = int(pieces.rows["work"].max()) + 1, []
    for corpus, own in zip(more, work[1:]):
        here, rows = Pieces(corpus, pieces.vocab), []
        for i in np.flatnonzero(here.rows["composer"].isin(of)):
            same = known.get(own[i])
            if same is None or same["split"] == "train":
                here.rows.loc[i, "work"] = fresh + own[i] if same is None else same["work"]
                here.split[i] = MORE
                some = _end_to_end(here, i, quarters)
                rows += [some[k] for k in sorted(rng.permutation(len(some))[:MORE_OF_PIECE])]
        tables.append(pd.DataFrame(rows, columns=COLUMNS))
    return pd.concat(tables).sample(frac=1, random_state=int(rng.integers(2**31))).groupby("label").head(MORE_OF_COMPOSER).sort_index()


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music("corpus", metavar="CORPUS", help="folder that data_prep.encode wrote")
    music("-n", type=cli.at_least(8), default=3000, metavar="N", help="how many; training excerpts of each class")
    music("--quarters", type=cli.at_least(8), default=32, metavar="X", help="length in quarter notes; of an excerpt")
    kind = p.add_argument_group("what is to be told apart").add_mutually_exclusive_group(required=True).add_argument
    kind("--models", nargs="+", metavar="MODEL", help="run folders or shipped models; they compose what is to be told from human music, each its share")
    kind("--composers", type=cli.at_least(2), metavar="N", help="the composers of most works, so many of them")
    music("--more", nargs="+", default=[], metavar="CORPUS", help="other music of the same composers, of the same encoding; with --composers, for critic.train --frozen to learn from and never to judge by")
    run = p.add_argument_group("run").add_argument
    run("--out", required=True, metavar="FOLDER", help="folder to write; new or empty")
    run("--seed", type=cli.at_least(0), default=0, metavar="N", help="of what is left to chance; places, prompts, settings and notes, but not of which works are held out")
    run("--workers", type=cli.at_least(1), default=os.cpu_count() or 1, metavar="N", help="processes; each composes for prompts of its own")
    run("--device", default="cpu", metavar="DEVICE", help="what computes; auto, cpu, cuda, cuda:1, for composing; without it cpu")
    return p


def main(argv=None):
    """Parse, cut and compose, report."""
    p = parser()
    args = p.parse_args(argv)
    if args.more and not args.composers:
        p.error("--more goes with --composers")
    with cli.waiting("loading"):
        from clara.corpus import Corpus
        from clara.devices import choose_device
    from tqdm import tqdm

    from clara.files import new_folder, write_whole

    device = choose_device(args.device)[0]
    corpus, more, out = Corpus.load(args.corpus), [Corpus.load(folder) for folder in args.more], new_folder(args.out)
    if args.composers:
        with tqdm(total=args.composers, unit=" composers", disable=None, desc="cutting", leave=False) as bar:
            table = composers(corpus, args.composers, args.quarters, seed=args.seed, on_composer=bar.update, more=more)
    else:
        n = {"train": args.n, "other": args.n // 2, "valid": args.n // 5, "test": args.n // 3}
        prompts = sum(round((1 - DAMAGED) * -(-many // PER_PROMPT)) for many in n.values())
        with tqdm(total=prompts, unit=" prompts", disable=None, desc="composing", leave=False) as bar:
            table = human_and_generated(args.models, corpus, n, args.quarters, args.seed, args.workers, str(device), bar.update)
    write_whole(out / EXCERPTS, table.to_csv(index=False))
    write_whole(out / SETTINGS, json.dumps(vars(args) | {"encoding": corpus.encoding.settings, "fingerprint": corpus.fingerprint,
                                                        "about": " To learn from, and never judged: ".join(c.about for c in (corpus, *more))}, indent=1) + "\n")
    print(table.groupby(["split", "label"]).size().unstack().to_string())
    return 0


if __name__ == "__main__":
    cli.run(main)
