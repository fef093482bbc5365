"""WaveNet against LSTM: nats per quarter note at equal parameters after equal training time, and speed.

python benchmarks/architectures.py CORPUS [--million-words 15]

AWD-LSTM, the plain LSTM of the cello-suite system (wider, for the same number of
parameters) and WaveNet train on the same pieces in all keys from the same seed for the
same CPU time: that in which AWD-LSTM reads so many words. How many words the others read in it is
measured by turns beforehand, batch by batch. Held out are the valid and test works.
"""

import argparse
import time

import record
from budget import batch_seconds, learn

NETS = {
    "awd_lstm": {
        "emb_sz": 128,
        "n_hid": 256,
        "n_layers": 2,
        "input_p": 0.1,
        "hidden_p": 0.1,
        "output_p": 0.1,
        "embed_p": 0.0,
        "weight_p": 0.1,
    },
    "lstm": {"emb_sz": 128, "n_hid": 193, "n_layers": 2, "hidden_p": 0.1, "output_p": 0.1},
    "wavenet": {"emb_sz": 128, "n_hid": 97, "n_layers": 10, "input_p": 0.05, "hidden_p": 0.05, "output_p": 0.05},
}
LR = {"awd_lstm": 6e-3, "lstm": 6e-3, "wavenet": 8e-3}  # the best of a few, at a million words
BS, BPTT, WARM = 32, 100, 0.1
TURNS, STEPS = 8, 300


def stepping(reader, bs):
    """Words per second of feeding one word each to bs sequences, again and again."""
    import torch

    with torch.inference_mode():
        state, ids = reader.initial_state(bs), torch.ones(bs, 1, dtype=torch.long)
        for i in range(STEPS + 20):
            if i == 20:
                began = time.process_time()
            _, state = reader(ids, state)
    return round(bs * STEPS / (time.process_time() - began))


def main():
    """Train all and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("corpus")
    p.add_argument("--million-words", type=float, default=15.0, help="that AWD-LSTM reads; the others the same time")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--only", nargs="*", default=list(NETS), choices=list(NETS))
    args = p.parse_args()
    import torch

    from clara.data.corpus import Corpus
    from clara.data.dataloaders import SHIFTS, PieceLoader
    from clara.encodings.vocab import transposition_tables
    from clara.models import get_architecture
    from clara.models.likelihood import nats_per_piece

    torch.set_num_threads(1)
    corpus, rows = Corpus.load(args.corpus), []
    vocab, held = corpus.vocab, [p for split in ("valid", "test") for p in corpus.ids(split)]
    quarters = sum(float(corpus.quarters(split).sum()) for split in ("valid", "test"))
    batches = {arch: batch_seconds(arch, NETS[arch], len(vocab), BS, BPTT) for arch in NETS}
    turns = [{arch: batch() for arch, batch in batches.items()} for _ in range(TURNS)]
    least = {arch: min(turn[arch] for turn in turns) for arch in NETS}
    for arch in args.only:
        torch.manual_seed(args.seed)
        loader = PieceLoader(
            corpus.ids("train"), BS, BPTT, tables=transposition_tables(vocab, corpus.encoding, SHIFTS), seed=args.seed
        )
        budget = int(args.million_words * 1e6 * least["awd_lstm"] / least[arch])
        words, model = learn(loader, arch, NETS[arch], len(vocab), vocab.pad_id, words=budget, lr=LR[arch], warm=WARM)
        tensors = get_architecture(arch).to_tensors(model)
        reader = get_architecture(arch).InferenceModel(tensors)
        nats = float(nats_per_piece(reader, held, vocab.pad_id).sum()) / quarters
        rows.append(
            {
                "arch": arch,
                "sizes": "/".join(str(NETS[arch][k]) for k in ("emb_sz", "n_hid", "n_layers")),
                "parameters": sum(t.numel() for t in tensors.values()),
                "nats_per_quarter": round(nats, 3),
                "million_words": round(words / 1e6, 2),
                "training_words_per_second": round(BS * BPTT / least[arch]),
                "generating_words_per_second_1": stepping(reader, 1),
                "generating_words_per_second_16": stepping(reader, 16),
            }
        )
        print(rows[-1], flush=True)
    record.save(
        "architectures", rows, nets=NETS, lr=LR, bs=BS, bptt=BPTT, million_words=args.million_words, seed=args.seed
    )


if __name__ == "__main__":
    main()
