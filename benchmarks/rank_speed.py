"""Time the critic on 256 half-minute pieces, beside fastai's `get_preds` on the same texts.

python benchmarks/rank_speed.py [--critic pretrained/critic-notewise] [--threads 2]

The pieces are composed first; loading is not counted. Clara scores pieces as notes (which it encodes
first) and as texts. fastai scores texts as ids, with a text classifier of the same encoder sizes and
untrained weights. They take turns; the best of ROUNDS rounds counts.
"""

import numpy as np
import record
from timing import best_seconds

ROUNDS = 3
QUARTERS = 55.0  # half a minute at 110 quarters per minute
FASTAI_BS = 64
TEMPERATURE, TOP_P = 0.95, 0.98


def main():
    """Time all in turns and save the result."""
    args = parse_arguments()
    import torch

    from clara.generation.generator import Generator
    from clara.sampling.settings import SamplingSettings
    from critic import Critic

    torch.set_num_threads(1)
    settings = SamplingSettings(temperature=TEMPERATURE, top_p=TOP_P)
    generator = Generator.load(args.model)
    samples = generator.generate(args.n, QUARTERS, settings=settings, seed=0, threads=args.threads)
    torch.set_num_threads(args.threads)
    critic = Critic.load(args.critic)
    notes = [sample.notes for sample in samples]
    texts = [sample.tokens for sample in samples]
    functions = {
        "Clara, from notes": lambda: critic.score(notes),
        "Clara, from texts": lambda: critic.score(texts),
        "fastai": make_fastai(critic, texts),
    }
    best = best_seconds(functions, ROUNDS)
    rows = [
        {
            "input": name,
            "pieces": args.n,
            "seconds": round(seconds, 2),
            "speed_over_fastai": round(best["fastai"] / seconds, 2),
        }
        for name, seconds in best.items()
    ]
    for row in rows:
        print(row)
    n_tokens = int(np.sum([len(text) for text in texts]))
    record.save("rank_speed", rows, tokens=n_tokens, threads=args.threads, rounds=ROUNDS)


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("--critic", default="pretrained/critic-notewise", help="Folder of the critic")
    p.add_argument("--model", default="pretrained/notewise", help="Model that composes the pieces")
    p.add_argument("-n", type=int, default=256, help="Number of pieces")
    p.add_argument("--threads", type=int, default=2, help="Number of CPU threads")
    return p.parse_args()


def make_fastai(critic, texts):
    """Return a function that scores the texts with fastai."""
    import torch
    from fastai.text.all import (
        AWD_LSTM,
        DataLoaders,
        Learner,
        SortedDL,
        awd_lstm_clas_config,
        get_text_classifier,
        pad_input,
        rnn_cbs,
    )

    from critic.members.text import TextMember

    text_member = next(member for member, _ in critic.members if isinstance(member, TextMember))
    vocab = critic.vocab
    sizes = {name: text_member.net_settings["sizes"][name] for name in ("emb_sz", "n_hid", "n_layers")}
    config = awd_lstm_clas_config | sizes | {"pad_token": vocab.pad_id}
    model = get_text_classifier(AWD_LSTM, len(vocab), 2, seq_len=72, config=config, drop_mult=1.0)
    items = [(torch.from_numpy(vocab.to_ids(["xxbos", *text])), torch.tensor(0)) for text in texts]
    loader = SortedDL(
        items,
        bs=FASTAI_BS,
        sort_func=lambda item: len(item[0]),
        before_batch=lambda batch: pad_input(batch, pad_idx=vocab.pad_id),
        num_workers=0,
    )
    learner = Learner(DataLoaders(loader, loader), model, loss_func=torch.nn.CrossEntropyLoss(), cbs=rnn_cbs())

    def score():
        with learner.no_bar(), learner.no_logging():
            return learner.get_preds(dl=loader)[0]

    return score


if __name__ == "__main__":
    main()
