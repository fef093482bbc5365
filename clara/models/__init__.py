"""The architectures, by name.

A module here has

- `DEFAULTS`: sizes and dropouts, one flag of `train.py` each;
- `WORD_ROWS`: names of the weights on disk that have a row for each word;
- `build(config, vocab_sz, pad_id)`: the net to train: called on ids (bs, seq_len) it gives logits, the last
  hidden layer and the same after dropout, and carries its state until `reset()`;
- `groups(model)`: its parameter groups, for discriminative rates;
- `shapes(sizes, vocab_sz)`: the shape of every weight on disk;
- `to_tensors(model)` and `load_tensors(model, tensors)`: to and from disk;
- `encoded(model, ids)`: what its last layer tells of ids read from the beginning, to train a classifier on;
- `InferenceModel(tensors)`: the net to read and compose with, of `vocab_sz` words, its state in the caller's hands; a call
  with a single word may use up the state that it is given.

A new one is a module and an entry in `MODELS`; `tests/test_models.py` then tests it by
itself.
"""

from clara.errors import BadSetting
from clara.models import awd_lstm, lstm, wavenet

MODELS = {"awd_lstm": awd_lstm, "lstm": lstm, "wavenet": wavenet}


def architecture(name):
    """The module of an architecture.

    Raises
    ------
    BadSetting
        If there is none of that name.
    """
    if name not in MODELS:
        raise BadSetting(f"no architecture {name!r}; there are: {', '.join(MODELS)}")
    return MODELS[name]
