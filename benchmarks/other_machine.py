"""Measure whether critics know the music of a machine that none of them learned from.

python benchmarks/other_machine.py CRITIC [CRITIC …] --machine FOLDER

FOLDER holds MIDI files of another machine: for the result that is shown, the JS Fake Chorales of KS_Chorus
(github.com/omarperacha/js-fakes, CC BY 4.0), chorales in Bach's manner. The human pieces are the Bach chorales that
music21 installs. The critic of Clara, and each of its members alone, scores all pieces as a whole. Neither the files of
the machine nor anything that learned from them may be used to train a critic. Intervals are 95 %, by bootstrap.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import record
from critic_members import INTERVAL, N_BOOTSTRAP, member_names, weighted_odds


def bach_chorales() -> Iterator[str]:
    """Yield the names of the chorales that music21 installs, such as ``music21:bach/bwv10.7``."""
    from music21 import corpus
    from music21.corpus.chorales import ChoraleListRKBWV

    installed = {Path(path).stem for path in corpus.getComposer("bach")}
    numbers = {entry["bwv"] for entry in ChoraleListRKBWV().byRiemenschneider.values()}
    yield from (f"music21:bach/bwv{number}" for number in sorted(numbers) if f"bwv{number}" in installed)


def read_pieces(names: Sequence[str | Path], critic) -> list:
    """Return pieces as the critic reads them; broken pieces and short ones are left out."""
    from critic.classifier import UNSCORABLE

    texts = []
    for name in names:
        try:
            (text,) = critic.read([name])
        except UNSCORABLE as e:
            print(f"skipped: {e}", flush=True)
            continue
        if text.n_steps >= critic.model.settings.min_quarters * critic.encoding.steps_per_quarter:
            texts.append(text)
    return texts


def auc_row(critic: str, member: str, human: np.ndarray, machine: np.ndarray) -> dict:
    """Return the AUC between the scores of human and machine pieces, with its interval."""
    from critic.evaluation import auc

    rng = np.random.default_rng(0)
    draws = [auc(rng.choice(human, len(human)), rng.choice(machine, len(machine))) for _ in range(N_BOOTSTRAP)]
    interval = [round(float(limit), 3) for limit in np.percentile(draws, INTERVAL)]
    row = {"critic": critic, "member": member, "human": len(human), "machine": len(machine)}
    row |= {"auc": round(auc(human, machine), 3), "interval": interval}
    print(row, flush=True)
    return row


def measure(name: str, critic, chorales: Sequence[str], machine: Sequence[Path]) -> list[dict]:
    """Return the AUC of a critic, and of each of its members."""
    human, other = (read_pieces(names, critic) for names in (chorales, machine))
    is_human = np.repeat([True, False], [len(human), len(other)])
    odds = {
        member: weighted_odds(critic.model, row, human + other) for row, member in enumerate(member_names(critic.model))
    }
    scores = {"all": np.sum(list(odds.values()), axis=0)} | (odds if len(odds) > 1 else {})
    return [auc_row(name, member, score[is_human], score[~is_human]) for member, score in scores.items()]


def main():
    """Run the benchmark."""
    p = record.argument_parser(__doc__)
    p.add_argument("critics", nargs="+", metavar="CRITIC", help="Folders of critics")
    p.add_argument("--machine", required=True, metavar="FOLDER", help="Folder of MIDI files of another machine")
    p.add_argument("--every", type=int, default=1, metavar="N", help="Score every N-th of the pieces only")
    p.add_argument("--threads", type=int, default=2, help="Number of CPU threads")
    args = p.parse_args()
    import torch

    from critic import Critic

    torch.set_num_threads(args.threads)
    chorales = list(bach_chorales())[:: args.every]
    machine = sorted(Path(args.machine).glob("*.mid"))[:: args.every]
    rows = []
    for folder in args.critics:
        rows += measure(Path(folder).name, Critic.load(folder), chorales, machine)
    record.save("other_machine", rows)


if __name__ == "__main__":
    main()
