"""Seconds to score 256 half-minute pieces with the critic, beside fastai's `get_preds` on the same texts.

python benchmarks/rank_speed.py [--critic pretrained/critic-notewise] [--threads 2]

The pieces are composed first and their texts at hand; loading is not counted. Clara's figures are from pieces as notes
(which are encoded first) and from texts, fastai's from texts as ids, by a text classifier of the same encoder sizes with untrained weights.
They take turns; the best of some rounds counts.
"""

import argparse
import time

import numpy as np
import record

ROUNDS, QUARTERS = 3, 55.0  # half a minute at 110 to the minute


def fastai(critic, texts, bs):
    """A function that has fastai score texts."""
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

    text = critic.members[0][0]  # the member that reads text
    sizes = {k: text.net_settings["sizes"][k] for k in ("emb_sz", "n_hid", "n_layers")} | {"pad_token": critic.vocab.pad_id}
    model = get_text_classifier(
        AWD_LSTM, len(critic.vocab), 2, seq_len=72, config=awd_lstm_clas_config | sizes, drop_mult=1.0
    )
    ids = [torch.from_numpy(critic.vocab.to_ids(["xxbos", *t])) for t in texts]
    items = [(i, torch.tensor(0)) for i in ids]
    loader = SortedDL(
        items,
        bs=bs,
        sort_func=lambda item: len(item[0]),
        before_batch=lambda b: pad_input(b, pad_idx=critic.vocab.pad_id),
        num_workers=0,
    )
    learner = Learner(DataLoaders(loader, loader), model, loss_func=torch.nn.CrossEntropyLoss(), cbs=rnn_cbs())

    def score():
        with learner.no_bar(), learner.no_logging():
            return learner.get_preds(dl=loader)[0]

    return score


def main():
    """Measure by turns and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--critic", default="pretrained/critic-notewise")
    p.add_argument("--model", default="pretrained/notewise")
    p.add_argument("-n", type=int, default=256)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    import torch

    from clara.generator import Generator
    from clara.sampling.settings import SamplingSettings
    from critic.classifier import Critic

    torch.set_num_threads(1)
    samples = Generator.load(args.model).generate(
        args.n, QUARTERS, settings=SamplingSettings(temperature=0.95, top_p=0.98), seed=0, threads=args.threads
    )
    torch.set_num_threads(args.threads)
    critic = Critic.load(args.critic)
    notes, texts = [s.notes for s in samples], [s.tokens for s in samples]
    takes = {
        "Clara, from notes": lambda: critic.score(notes),
        "Clara, from texts": lambda: critic.score(texts),
        "fastai": fastai(critic, texts, 64),
    }
    best = dict.fromkeys(takes, float("inf"))
    for _ in range(ROUNDS):
        for name, take in takes.items():
            began = time.perf_counter()
            take()
            best[name] = min(best[name], time.perf_counter() - began)
    rows = [
        {"what": name, "pieces": args.n, "seconds": round(s, 2), "times_fastai": round(best["fastai"] / s, 2)}
        for name, s in best.items()
    ]
    for row in rows:
        print(row)
    record.save("rank_speed", rows, words=int(np.sum([len(t) for t in texts])), threads=args.threads, rounds=ROUNDS)


if __name__ == "__main__":
    main()
