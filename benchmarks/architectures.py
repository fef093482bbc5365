"""Compare WaveNet with LSTMs at equal parameters and equal training time.

python benchmarks/architectures.py CORPUS [--million-tokens 15]

AWD-LSTM, a plain LSTM (wider, for the same number of parameters) and WaveNet train on the same
pieces in all keys, from the same seed, for the same CPU time: the time in which AWD-LSTM reads
--million-tokens. How many tokens the others read in that time is measured beforehand, batch by
batch in turns. Valid and test works are held out.
"""

import time

import record
from timed_training import Schedule, make_batch_timer, train_on_tokens

CONFIGS = {
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
LEARNING_RATES = {"awd_lstm": 6e-3, "lstm": 6e-3, "wavenet": 8e-3}  # the best of a few, at a million tokens
BS, BPTT, WARMUP = 32, 100, 0.1
TIMING_ROUNDS = 8
WARM_STEPS, TIMED_STEPS = 20, 300


def main():
    """Train all architectures and save the result."""
    args = parse_arguments()
    import torch

    from clara.data.corpus import Corpus

    torch.set_num_threads(1)
    corpus = Corpus.load(args.corpus)
    seconds = measure_batch_seconds(len(corpus.vocab))
    rows = []
    for architecture in args.only:
        n_tokens = int(args.million_tokens * 1e6 * seconds["awd_lstm"] / seconds[architecture])
        rows.append(measure(architecture, corpus, n_tokens, args.seed, seconds[architecture]))
        print(rows[-1], flush=True)
    record.save(
        "architectures",
        rows,
        nets=CONFIGS,
        lr=LEARNING_RATES,
        bs=BS,
        bptt=BPTT,
        million_tokens=args.million_tokens,
        seed=args.seed,
    )


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("corpus", help="Folder of a prepared corpus")
    p.add_argument("--million-tokens", type=float, default=15.0, help="Tokens that AWD-LSTM reads, in millions")
    p.add_argument("--seed", type=int, default=0, help="Random seed")
    p.add_argument("--only", nargs="*", default=list(CONFIGS), choices=list(CONFIGS), help="Architectures to measure")
    return p.parse_args()


def measure_batch_seconds(vocab_sz):
    """Return the shortest CPU seconds of a training batch, by architecture; they take turns."""
    timers = {name: make_batch_timer(name, config, vocab_sz, BS, BPTT) for name, config in CONFIGS.items()}
    rounds = [{name: train_batch() for name, train_batch in timers.items()} for _ in range(TIMING_ROUNDS)]
    return {name: min(seconds[name] for seconds in rounds) for name in CONFIGS}


def measure(architecture, corpus, n_tokens, seed, batch_seconds):
    """Train one architecture and return its row."""
    import torch

    from clara.data.stream_loader import StreamDataLoader
    from clara.encodings.vocab import SHIFTS, transposition_tables
    from clara.models import get_architecture
    from clara.models.likelihood import nats_per_piece

    config, vocab = CONFIGS[architecture], corpus.vocab
    torch.manual_seed(seed)
    tables = transposition_tables(vocab, corpus.encoding, SHIFTS)
    loader = StreamDataLoader(corpus.ids("train"), BS, BPTT, tables=tables, seed=seed)
    schedule = Schedule(n_tokens, LEARNING_RATES[architecture], WARMUP)
    n_read, model = train_on_tokens(loader, architecture, config, vocab, corpus.encoding, schedule)
    tensors = get_architecture(architecture).to_tensors(model)
    inference_model = get_architecture(architecture).InferenceModel(tensors)
    held_out = corpus.ids("valid") + corpus.ids("test")
    quarters = float(corpus.quarters("valid").sum()) + float(corpus.quarters("test").sum())
    nats = float(nats_per_piece(inference_model, held_out, vocab.pad_id).sum())
    return {
        "architecture": architecture,
        "sizes": "/".join(str(config[name]) for name in ("emb_sz", "n_hid", "n_layers")),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "nats_per_quarter": round(nats / quarters, 3),
        "million_tokens": round(n_read / 1e6, 2),
        "training_tokens_per_second": round(BS * BPTT / batch_seconds),
        "composing_tokens_per_second_1": stepping_speed(inference_model, 1),
        "composing_tokens_per_second_16": stepping_speed(inference_model, 16),
    }


def stepping_speed(inference_model, bs):
    """Return the tokens per second of feeding one token at a time to `bs` sequences."""
    import torch

    with torch.inference_mode():
        state = inference_model.initial_state(bs)
        ids = torch.ones(bs, 1, dtype=torch.long)
        for step in range(WARM_STEPS + TIMED_STEPS):
            if step == WARM_STEPS:
                start = time.process_time()
            _, state = inference_model(ids, state)
    return round(bs * TIMED_STEPS / (time.process_time() - start))


if __name__ == "__main__":
    main()
