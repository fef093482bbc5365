"""Train, score and step the small transformers of Hugging Face that `peers.py` compares with Clara."""

import time

import numpy as np
import torch
from torch.nn.functional import cross_entropy

GPT2 = {"n_embd": 192, "n_layer": 5, "n_head": 6, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
LLAMA = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 5, "num_attention_heads": 6}
CONTEXT, BS = 512, 4
LEARNING_RATE, WARMUP, WEIGHT_DECAY, BETAS, CLIP = 2e-3, 0.05, 0.1, (0.9, 0.95), 1.0


def make_transformer(kind: str, vocab_sz: int) -> torch.nn.Module:
    """Return an untrained "gpt2" or "llama" of about 2.4 million parameters."""
    import transformers

    control = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if kind == "gpt2":
        config = transformers.GPT2Config(vocab_size=vocab_sz, n_positions=CONTEXT, **GPT2, **control)
        return transformers.GPT2LMHeadModel(config)
    config = transformers.LlamaConfig(
        vocab_size=vocab_sz, max_position_embeddings=CONTEXT, tie_word_embeddings=True, **LLAMA, **control
    )
    return transformers.LlamaForCausalLM(config)


def train(model: torch.nn.Module, text, seconds: float, lr: float, seed: int) -> int:
    """Train for some seconds of processor time; return the number of tokens read.

    The learning rate rises over the first twentieth of the time and falls along a cosine.

    Parameters
    ----------
    model : nn.Module
    text : peers.Text
    seconds : float
    lr : float
        Highest learning rate.
    seed : int
        Of order and keys.
    """
    from timed_training import Schedule, has_bf16

    model.train()
    schedule = Schedule(0, lr, WARMUP)
    optimizer = torch.optim.AdamW(model.parameters(), betas=BETAS, weight_decay=WEIGHT_DECAY)
    passed, n_tokens = 0.0, 0
    for window in text.windows(BS, CONTEXT + 1, seed):
        start = time.process_time()
        optimizer.param_groups[0]["lr"] = schedule.rate_at(passed / seconds)
        ids = torch.from_numpy(window)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            logits = model(ids[:, :-1], use_cache=False).logits
        loss = cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        n_tokens += ids[:, 1:].numel()
        passed += time.process_time() - start
        if passed >= seconds:
            break
    return n_tokens


@torch.inference_mode()
def piece_nats(model: torch.nn.Module, ids: np.ndarray) -> float:
    """Return the cost of all tokens of a piece but the first, each with at least half a context before it."""
    model.eval()
    tokens = torch.from_numpy(ids)
    n, nats, scored = len(ids) - 1, 0.0, 0
    for first in range(0, max(1, n - CONTEXT // 2), CONTEXT // 2):
        last = min(first + CONTEXT, n)
        log_probs = model(tokens[None, first:last], use_cache=False).logits[0].float().log_softmax(-1)
        wanted = log_probs.gather(1, tokens[first + 1 : last + 1, None])
        nats -= float(wanted[scored - first :].sum())
        scored = last
    return nats


def compose(
    model: torch.nn.Module, first_id: int, n: int, n_tokens: int, temperature: float, top_p: float
) -> np.ndarray:
    """Compose pieces side by side with a cache; when the context is full, the later half is read again.

    Returns
    -------
    int array (n, n_tokens)
        Without the first id.
    """
    model.eval()
    pieces = torch.full((n, 1), first_id)
    sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
    while pieces.shape[1] <= n_tokens:
        prompt = pieces[:, -(CONTEXT // 2) :]
        n_new = CONTEXT - prompt.shape[1]
        mask = torch.ones_like(prompt)
        longer = model.generate(prompt, attention_mask=mask, max_new_tokens=n_new, pad_token_id=0, **sampling)
        pieces = torch.cat([pieces, longer[:, prompt.shape[1] :]], 1)
    return pieces[:, 1 : n_tokens + 1].numpy()
