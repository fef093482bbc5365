"""Compare the speed of composing: Clara, fastai's own network, GPT-2 with its cache, and the machine's limit.

python benchmarks/generate_speed.py [--threads 1 2]

All networks have random weights and about the same number of parameters (Clara's sizes are
400/600/4); the tokens are those of notewise text at 12 steps. Clara's figure includes everything that
composing does by default, sampling and grammar too. Those of fastai and GPT-2 include only the network
and a plain draw. They take turns at each batch size; the best of ROUNDS rounds counts, or one round for
large batches.

The limit of a step is the longer of two times: its operations at the rate of the fastest 8-bit product
of large square matrices (ONNX Runtime's or oneDNN's), and reading all weights once as bytes. Last,
with --model and --corpus: what 8-bit weights cost in nats, when the model steps through valid pieces.
"""

import sys
import time

import numpy as np
import record
import torch
from timing import best_rates, best_seconds

ROUNDS, STEPS, MATRIX_SIZE, PEAK_ROUNDS = 5, 96, 2048, 50
BATCH_QUARTERS, SINGLE_QUARTERS = 16.0, 128.0  # length of pieces in a batch, and of a single piece
MAX_BS_FOR_ROUNDS = 256  # larger batches have a single round
TEMPERATURE, TOP_P = 0.95, 0.98
GPT2 = {"n_embd": 320, "n_layer": 8, "n_head": 8, "n_positions": 1024, "bos_token_id": None, "eos_token_id": None}
COST_TOKENS = 600  # per piece, for the cost of 8-bit weights


def main():
    """Time all networks in turns and save the result."""
    args = parse_arguments()
    checkpoint = untrained_checkpoint()
    n_weights = count_step_weights(checkpoint)
    gpt2, n_gpt2_parameters = make_gpt2(checkpoint)
    rows = []
    for threads in args.threads:
        torch.set_num_threads(1)
        peaks = measure_peak_rates(n_weights)
        torch.set_num_threads(threads)
        composers = {"clara": make_clara(checkpoint, threads), "fastai": make_fastai(checkpoint), "gpt2": gpt2}
        for compose in composers.values():
            compose(2)  # warm up
        for bs in args.bs:
            rows.append(measure_row(composers, bs, threads, n_weights, peaks))
            print(rows[-1], flush=True)
    record.save(
        "generate_speed",
        rows,
        parameters=checkpoint.n_parameters,
        gpt2_parameters=n_gpt2_parameters,
        steps=STEPS,
        rounds=ROUNDS,
        peak_rates_of_one_core={name: round(rate / 1e9, 1) for name, rate in peaks.items()},
        int8_cost_percent=measure_int8_cost(args.model, args.corpus) if args.model else None,
    )


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("--threads", type=int, nargs="+", default=[1], help="Numbers of CPU threads to measure")
    p.add_argument("--bs", type=int, nargs="+", default=[1, 16, 64, 256, 1024], help="Batch sizes to measure")
    p.add_argument("--model", help="Model folder or name, for the cost of 8-bit weights")
    p.add_argument("--corpus", help="Folder of the model's corpus, for the cost of 8-bit weights")
    return p.parse_args()


def untrained_checkpoint():
    """Return a checkpoint of the full size, untrained."""
    from clara.checkpoints.checkpoint import Checkpoint
    from clara.encodings.notewise import Notewise
    from clara.encodings.vocab import Vocab
    from clara.models import awd_lstm

    torch.manual_seed(0)
    vocab = Vocab.from_encoding(Notewise())
    tensors = awd_lstm.to_tensors(awd_lstm.build(awd_lstm.DEFAULTS, len(vocab), vocab.pad_id))
    sizes = {name: awd_lstm.DEFAULTS[name] for name in ("emb_sz", "n_hid", "n_layers")}
    return Checkpoint("awd_lstm", sizes, Notewise(), vocab, tensors, {})


def count_step_weights(checkpoint):
    """Return the number of weights that a step reads."""
    n_weights = sum(tensor.numel() for name, tensor in checkpoint.tensors.items() if "weight" in name)
    n_looked_up = checkpoint.sizes["emb_sz"] * 4 * checkpoint.sizes["n_hid"]  # the first layer's input is a table
    return n_weights - n_looked_up


def measure_row(composers, bs, threads, n_weights, peaks):
    """Return the row of a batch size."""
    rounds = ROUNDS if bs <= MAX_BS_FOR_ROUNDS else 1
    best = best_rates({name: lambda compose=compose: compose(bs) for name, compose in composers.items()}, rounds)
    limit = limit_per_core(bs / threads, n_weights, peaks) * threads
    onnxruntime_limit = limit_per_core(bs / threads, n_weights, peaks | {"onednn": 0}) * threads
    return {
        "threads": threads,
        "bs": bs,
        **{f"{name}_tokens_per_second": round(rate) for name, rate in best.items()},
        "speedup_over_fastai": round(best["clara"] / best["fastai"], 2),
        "speedup_over_gpt2": round(best["clara"] / best["gpt2"], 2),
        "share_of_limit": round(best["clara"] / limit, 3),
        "share_of_onnxruntime_limit": round(best["clara"] / onnxruntime_limit, 3),
    }


def make_clara(checkpoint, threads):
    """Return a function that composes n pieces and returns tokens per second."""
    from clara.generation.generator import Generator
    from clara.sampling.settings import SamplingSettings

    generator = Generator(checkpoint)
    settings = SamplingSettings(temperature=TEMPERATURE, top_p=TOP_P)

    def compose(n):
        quarters = BATCH_QUARTERS if n > 1 else SINGLE_QUARTERS
        start = time.perf_counter()
        pieces = generator.generate(n, quarters, settings=settings, seed=0, threads=threads)
        return sum(len(piece.tokens) for piece in pieces) / (time.perf_counter() - start)

    return compose


@torch.inference_mode()
def time_steps(step, n):
    """Return the tokens per second of STEPS steps of n sequences with a plain draw."""
    ids = torch.full((n, 1), 5)
    start = time.perf_counter()
    for _ in range(STEPS):
        ids = step(ids).softmax(1).multinomial(1)
    return n * STEPS / (time.perf_counter() - start)


def make_fastai(checkpoint):
    """Return a function that steps fastai's own network and returns tokens per second."""
    from fastai.text.models.awdlstm import AWD_LSTM
    from fastai.text.models.core import get_language_model

    from clara.models import awd_lstm

    config = awd_lstm.DEFAULTS | {"pad_token": 1, "bidir": False, "tie_weights": True, "out_bias": True}
    model = get_language_model(AWD_LSTM, len(checkpoint.vocab), config)
    awd_lstm.load_tensors(model, checkpoint.tensors)
    model.eval()

    def compose(n):
        model.reset()
        return time_steps(lambda ids: model(ids)[0][:, -1], n)

    return compose


def make_gpt2(checkpoint):
    """Return a function that steps Hugging Face's GPT-2 with its cache, and its number of parameters."""
    sys.modules["torchvision"] = None  # text needs none, and a registry's build does not go with torch for CPUs
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(checkpoint.vocab), **GPT2)).eval()

    def compose(n):
        cache = None

        def step(ids):
            nonlocal cache
            output = model(ids, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            return output.logits[:, -1]

        return time_steps(step, n)

    return compose, sum(parameter.numel() for parameter in model.parameters())


def measure_peak_rates(n_bytes):
    """Return one core's peak rates: 8-bit operations per second of each library, bytes read per second."""
    from clara.sampling.int8 import MatrixProduct, QuantizedMatrix

    rng = np.random.default_rng(0)
    product = MatrixProduct(QuantizedMatrix(rng.normal(size=(MATRIX_SIZE, MATRIX_SIZE))))
    product.resize(MATRIX_SIZE)
    int8_weights = torch.from_numpy(rng.integers(-127, 128, (MATRIX_SIZE, MATRIX_SIZE), dtype=np.int8))
    packed = torch.ops.onednn.qlinear_prepack(int8_weights, None)
    left = torch.zeros(MATRIX_SIZE, MATRIX_SIZE, dtype=torch.int8)
    ones = torch.ones(MATRIX_SIZE)
    zeros = torch.zeros(MATRIX_SIZE, dtype=torch.long)

    def multiply_by_onednn():
        torch.ops.onednn.qlinear_pointwise(
            left, 1.0, 0, packed, ones, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )

    functions = {
        "onnxruntime": product.multiply,
        "reading": np.ones(n_bytes, np.uint8).max,
        "onednn": multiply_by_onednn,
    }
    work = {"onnxruntime": 2 * MATRIX_SIZE**3, "onednn": 2 * MATRIX_SIZE**3, "reading": n_bytes}
    seconds = best_seconds(functions, PEAK_ROUNDS)
    return {name: work[name] / seconds[name] for name in functions}


def limit_per_core(n, n_weights, peaks):
    """Return the highest possible tokens per second of n sequences on one core."""
    multiply_seconds = 2 * n * n_weights / max(peaks["onnxruntime"], peaks["onednn"])
    read_seconds = n_weights / peaks["reading"]
    return n / max(multiply_seconds, read_seconds)


def measure_int8_cost(model_name, corpus):
    """Return the percent that 8-bit weights add to the nats of valid pieces, read token by token."""
    import torch.nn.functional as F

    from clara.checkpoints.checkpoint import Checkpoint
    from clara.data.corpus import Corpus
    from clara.sampling.int8 import Int8Model, Int8Stepper

    model = Checkpoint.load(model_name).inference_model()
    pieces = [ids[:COST_TOKENS] for ids in Corpus.load(corpus).ids("valid") if len(ids) >= COST_TOKENS]
    ids = np.stack(pieces).astype(np.int64)
    targets = torch.from_numpy(ids[:, 1:])
    with torch.inference_mode():
        logits, _ = model(torch.from_numpy(ids[:, :-1]), model.initial_state(len(ids)))
    exact = F.cross_entropy(logits.transpose(1, 2), targets).item()
    stepper = Int8Stepper(Int8Model(model))
    stepper.begin(model.initial_state(len(ids)), np.arange(len(ids)))
    total = 0.0
    for position in range(COST_TOKENS - 1):
        logits = torch.from_numpy(stepper.step(np.ascontiguousarray(ids[:, position])))
        total += F.cross_entropy(logits, targets[:, position]).item()
    return round(100 * (total / (COST_TOKENS - 1) / exact - 1), 4)


if __name__ == "__main__":
    main()
