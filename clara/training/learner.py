"""fastai's Learner for music: `music_learner` makes one, `load_learner` loads an exported one."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from fastai.callback import fp16, progress, schedule  # noqa: F401 - they add methods to the Learner
from fastai.callback.core import Callback
from fastai.callback.rnn import rnn_cbs
from fastai.callback.training import GradientClip
from fastai.learner import Learner
from fastai.optimizer import Adam
from torch import nn

from clara.checkpoints.checkpoint import Checkpoint, context_rows_of, weights_hash
from clara.data.dataloaders import MusicDataLoaders
from clara.data.piece_loader import PieceDataLoader
from clara.data.showing import music_html, prediction_html, show_html
from clara.data.stream_loader import StreamDataLoader
from clara.errors import BadSetting, CheckpointMismatch
from clara.generation.generator import Generator
from clara.generation.sample import Sample
from clara.models import get_architecture
from clara.models.context import choose_scale
from clara.training.callbacks import BFloat16Autocast, EpochHistory, NatsPerQuarter, ReadTokensAlone, ResetBeforePieces
from clara.training.init_weights import adapt_to_vocab, initial_weights
from clara.training.predictions import GatherPieces, NextTokenLoss

MAX_DROPOUT = 0.99
SHOWN_QUARTERS = 16.0


class MusicLearner(Learner):
    """A fastai Learner for a language model of music; make one with `music_learner`.

    `fit_one_cycle`, `fine_tune`, `fit`, `lr_find` and `validate` are fastai's own. `learn.model` is an ordinary
    `nn.Module`: called on token ids (bs, seq_len) it returns a tuple with the logits (bs, seq_len, vocab_sz) first, and
    carries its state to the next call until `reset()`.

    Parameters
    ----------
    dls : MusicDataLoaders
    model : nn.Module
    arch : str
        Name in `clara.models.ARCHITECTURES`.
    sizes : dict
        Sizes and dropouts that are recorded in `config.json`.
    info : dict, optional
        What else is known of the model that it starts from, as in `Checkpoint.info`.
    started_from : str, optional
        Hash of the weights that it starts from.
    **learner_settings
        As for fastai's Learner.
    """

    def __init__(
        self,
        dls: MusicDataLoaders,
        model: nn.Module,
        *,
        arch: str,
        sizes: dict[str, Any],
        info: dict[str, Any] | None = None,
        started_from: str | None = None,
        **learner_settings: Any,
    ):
        super().__init__(dls, model, **learner_settings)
        self.arch, self.sizes, self.info, self.started_from = arch, sizes, info or {}, started_from

    def to_checkpoint(self) -> Checkpoint:
        """Return the model as it is now, ready to save or to compose with."""
        tensors = get_architecture(self.arch).to_tensors(cast(nn.Module, self.model))
        info = dict(self.info)
        if self.sizes.get("context_rows"):
            info.pop("repeats", None)  # of the model that it started from, which followed no plans
        return Checkpoint(self.arch, self.sizes, self.dls.encoding, self.dls.vocab, tensors, info)

    def generate(self, n: int = 8, prompt: Any = None, **settings: Any) -> list[Sample]:
        """Compose n pieces with the model as it is now.

        Parameters
        ----------
        n : int
            Number of pieces.
        prompt : path, str or NoteSequence, optional
            Music to continue (default: begin from nothing).
        **settings
            As for `Generator.generate`: `bars` or `quarters`, `settings`, `seed`, `key` and others.

        Returns
        -------
        list of Sample
        """
        return Generator(self.to_checkpoint()).generate(n, prompt=prompt, **settings)

    def predict(self, prompt: Any, **settings: Any) -> Sample:
        """Continue a prompt; parameters as for `generate`.

        As with fastai's language models, the prediction for a text is its continuation.

        Returns
        -------
        Sample
            The prompt and what follows.
        """
        return self.generate(1, prompt, **settings)[0]

    def get_preds(
        self,
        ds_idx: int = 1,
        dl: Any = None,
        with_input: bool = False,
        with_decoded: bool = False,
        with_loss: bool = False,
        act: Any = None,
        inner: bool = False,
        reorder: bool = True,
        cbs: Any = None,
        with_preds: bool = True,
        with_targs: bool = True,
    ) -> tuple:
        """Predict the next token at each place of each piece, every piece read from its beginning in its own key.

        The pieces of `train` and `valid` are not read in the order of training, where the state runs on from piece to
        piece. All results are lists with a tensor for each piece, as pieces differ in length.

        Parameters
        ----------
        ds_idx : int
            0 for the training pieces, 1 for the validation pieces.
        dl : PieceDataLoader, optional
            Other pieces, from `learn.dls.test_dl(…)`.
        with_input, with_decoded, with_loss : bool
            Also return the inputs, the most likely tokens, and the loss of each piece.
        act : function, optional
            Applied to the logits (default: softmax).
        inner, reorder, cbs
            As in fastai; the order of the pieces is always theirs.
        with_preds, with_targs : bool
            False returns None in their place. Without predictions memory holds one batch at a time.

        Returns
        -------
        inputs : list of n int64 tensors, shape (length,)
            Only `with_input`.
        preds : list of n float tensors, shape (length, vocab_sz)
            The probability of each token to come next.
        targets : list of n int64 tensors, shape (length,)
            The tokens that do come next.
        decoded : list of n int64 tensors, shape (length,)
            The most likely tokens; only `with_decoded`.
        losses : float tensor, shape (n,)
            The mean cost of a piece's tokens, in nats; only `with_loss`.
        """
        pieces = self._piece_loader(ds_idx, dl)
        activation = act or self.loss_func.activation
        gathered = GatherPieces(self.dls.vocab.pad_id, activation, with_preds or with_decoded)
        callbacks = [gathered, *(cbs or [])]
        with self.validation_context(cbs=callbacks, inner=inner), self.loss_not_reduced():
            self._do_epoch_validate(dl=pieces)
        results: list[Any] = [gathered.preds if with_preds else None, gathered.targets if with_targs else None]
        if with_input:
            results.insert(0, gathered.inputs)
        if with_decoded:
            results.append([preds.argmax(-1) for preds in gathered.preds])
        if with_loss:
            results.append(torch.cat(gathered.losses).as_subclass(torch.Tensor))
        self._end_cleanup()
        return tuple(results)

    def _piece_loader(self, ds_idx, dl):
        """Return a loader of whole pieces for what `get_preds` was given."""
        dl = self.dls[ds_idx] if dl is None else dl
        if isinstance(dl, StreamDataLoader):
            return dl.by_piece()
        if isinstance(dl, PieceDataLoader):
            return dl
        raise BadSetting(f"get_preds takes a loader from learn.dls.test_dl(…), not {type(dl).__name__}")

    def show_results(self, ds_idx: int = 1, dl: Any = None, max_n: int = 3, **kwargs: Any) -> None:
        """Show some pieces, and the beginning of their texts beside the tokens that the model finds most likely.

        Parameters
        ----------
        ds_idx, dl
            As for `get_preds`.
        max_n : int
            Number of pieces.
        """
        pieces = self._piece_loader(ds_idx, dl)
        pieces = pieces.new(pieces.items[:max_n])
        _, targets, decoded, losses = self.get_preds(dl=pieces, with_decoded=True, with_loss=True)
        fragments = []
        for piece, target, predicted, loss in zip(pieces.items, targets, decoded, losses.tolist()):
            fragments.append(music_html(piece.name, self.dls.decode(piece.ids), SHOWN_QUARTERS))
            title = f"{loss:.3f} nats per token"
            fragments.append(prediction_html(title, target.tolist(), predicted.tolist(), self.dls.vocab))
        show_html(fragments)

    def export(self, folder: str | Path = "export", *, fit_repeats: bool = True) -> Path:
        """Save the model as a run folder below `learn.path`, with nothing pickled.

        `load_learner`, `Generator.load` and `clara compose --model` read it.

        Parameters
        ----------
        folder : str or Path
        fit_repeats : bool
            Also fit the repeat model, and record exact costs of the held-out pieces. It takes a pass over them.

        Returns
        -------
        Path
            The folder.
        """
        from clara.training.run_folder import write_exported_learner

        folder = Path(self.path) / folder
        write_exported_learner(self, folder, fit_repeats)
        return folder


def music_learner(
    dls: MusicDataLoaders,
    arch: str = "awd_lstm",
    pretrained: str | Path | None = None,
    config: dict[str, Any] | None = None,
    drop_mult: float = 1.0,
    *,
    adapt_vocab: bool = False,
    alpha: float = 2.0,
    beta: float = 1.0,
    clip: float = 0.25,
    moms: tuple[float, ...] = (0.7, 0.99),
    wd: float = 0.01,
    bf16: bool = False,
    follow_plans: bool | None = None,
    path: str | Path = ".",
    log=print,
) -> MusicLearner:
    """Return a fastai Learner for a language model of music.

    Parameters
    ----------
    dls : MusicDataLoaders
    arch : str
        Name in `clara.models.ARCHITECTURES`.
    pretrained : str or Path, optional
        Name of a shipped model such as "notewise", or a run folder (default: start from random weights).
    config : dict, optional
        Sizes and dropouts, keys of the architecture's `DEFAULTS`. A pretrained model keeps its own sizes.
    drop_mult : float
        Factor for all dropouts.
    adapt_vocab : bool
        Accept a pretrained model of another vocabulary; tokens that both have keep their weights.
    alpha, beta : float
        Weights of activation regularisation and temporal activation regularisation.
    clip : float
        Largest norm of the gradient.
    moms : tuple of float
        Decay of Adam's two moving averages.
    wd : float
        Weight decay.
    bf16 : bool
        Multiply matrices in bfloat16.
    follow_plans : bool, optional
        Read the plan of each piece beside its tokens (default: as the pretrained model does, if the encoding of
        `dls` allows it). With True the weights for plans learn ten times as fast, so that a pretrained model that
        follows none learns to; by default they are fine-tuned like all others. Only for awd_lstm and encodings with
        tokens for single notes.
    path : str or Path
        Folder below which fastai saves.
    log : function
        Takes a line about where the weights come from.

    Returns
    -------
    MusicLearner

    Raises
    ------
    MissingModel
        If there is no such pretrained model.
    CheckpointMismatch
        If the pretrained model has another architecture, encoding or vocabulary.
    BadSetting
        If the architecture does not know a key of `config`.

    Examples
    --------
    >>> learn = music_learner(dls, pretrained="notewise")  # doctest: +SKIP
    >>> learn.fine_tune(4)  # doctest: +SKIP
    >>> pieces = learn.generate(8, prompt="bach.mid", bars=16)  # doctest: +SKIP
    """
    module = get_architecture(arch)
    unknown = (config or {}).keys() - module.DEFAULTS.keys()
    if unknown:
        raise BadSetting(
            f"{', '.join(sorted(unknown))} is no setting of {arch}; there are {', '.join(module.DEFAULTS)}"
        )
    start = _load_pretrained(pretrained, arch, dls, adapt_vocab, log) if pretrained else None
    chosen = {**module.DEFAULTS, **(config or {})}
    dropouts = {name: min(MAX_DROPOUT, p * drop_mult) for name, p in chosen.items() if name.endswith("_p")}
    sizes = dict(start.sizes if start else chosen)
    context_rows = _choose_context_rows(arch, dls, follow_plans, sizes.pop("context_rows", 0))
    scale = {}
    if context_rows:
        sizes["context_rows"] = context_rows
        scale["context_scale"] = choose_scale(follow_plans)
        dls.add_contexts()
    model = module.build(sizes | dropouts | scale, len(dls.vocab), dls.vocab.pad_id)
    _set_weights(module, model, start, dls, log)
    metrics = [] if dls.tokens_per_quarter is None else [NatsPerQuarter(dls.tokens_per_quarter, dls.vocab.pad_id)]
    more_callbacks: list[Callback] = [BFloat16Autocast()] if bf16 else []
    if not context_rows:
        more_callbacks.append(ReadTokensAlone())
    return MusicLearner(
        dls,
        model.to(dls.device),
        arch=arch,
        sizes=sizes,
        info=start.info if start else {},
        started_from=weights_hash(pretrained) if pretrained else None,
        loss_func=NextTokenLoss(dls.vocab.pad_id),
        cbs=[*rnn_cbs(alpha, beta), GradientClip(clip), ResetBeforePieces(), EpochHistory(), *more_callbacks],
        path=path,
        wd=wd,
        opt_func=partial(Adam, mom=moms[0], sqr_mom=moms[1]),
        splitter=module.groups,
        metrics=metrics,
    )


def _choose_context_rows(arch, dls, follow_plans, pretrained_rows):
    """Return the rows of the table of contexts of a new model, or 0 for one that follows no plans."""
    context_rows = context_rows_of(arch, dls.encoding, dls.vocab)
    if follow_plans and not context_rows:
        raise BadSetting(
            f"{arch} on {dls.encoding.name} text cannot follow plans: use awd_lstm and notewise, chamber or quartet"
        )
    follows_by_default = pretrained_rows > 0
    return context_rows if (follows_by_default if follow_plans is None else follow_plans) else 0


def load_learner(model: str | Path, dls: MusicDataLoaders | None = None, **settings: Any) -> MusicLearner:
    """Load a run folder that `MusicLearner.export` or `clara train` wrote, or a shipped model.

    Parameters
    ----------
    model : str or Path
        Run folder or name of a shipped model.
    dls : MusicDataLoaders, optional
        Music to train or validate on (default: none; `learn.dls.test_dl` takes music to predict for).
    **settings
        As for `music_learner`.

    Raises
    ------
    MissingModel, CheckpointMismatch
        If the folder does not exist, is broken, or does not go with `dls`.
    """
    checkpoint = Checkpoint.load(model)
    dls = dls or MusicDataLoaders.empty(checkpoint.vocab, checkpoint.encoding)
    settings.setdefault("log", lambda message: None)
    return music_learner(dls, checkpoint.arch, model, **settings)


def _load_pretrained(pretrained, arch, dls, adapt_vocab, log):
    """Return the Checkpoint to start from, with a row for each token of the vocabulary."""
    start = Checkpoint.load(pretrained)
    if start.arch != arch:
        raise CheckpointMismatch(f"{pretrained}: its architecture is {start.arch}, not {arch}")
    if start.vocab == dls.vocab and (adapt_vocab or start.encoding.settings == dls.encoding.settings):
        return start
    if not adapt_vocab:
        raise CheckpointMismatch(
            f"{pretrained} reads {_describe(start.encoding, start.vocab)}, the data is "
            f"{_describe(dls.encoding, dls.vocab)}; prepare the data for that model, or keep what both know with "
            "adapt_vocab=True"
        )
    start.tensors, n_kept, n_equivalent = adapt_to_vocab(start, dls.vocab, dls.encoding)
    log(
        f"{pretrained}: {n_kept:,} of {len(dls.vocab):,} tokens keep their weights, "
        f"{n_equivalent:,} start with those of an equivalent token"
    )
    return start


def _describe(encoding, vocab):
    """Return an encoding and its vocabulary in a few words."""
    return f"{encoding.name} text ({encoding.steps_per_quarter} steps per quarter, {len(vocab):,} tokens)"


def _set_weights(module, model, start, dls, log):
    """Put the starting weights into a new model."""
    if start:
        module.load_tensors(model, start.tensors)
        return
    log('starting from random weights; pretrained="notewise" starts from a trained model')
    if dls.corpus is not None:
        tables = dls.train.tables.cpu().numpy()
        module.load_tensors(model, initial_weights(module.to_tensors(model), dls.corpus, tables))


def find_lr(learn: Any, path: str | Path) -> float:
    """Search the learning rate at which the loss falls fastest (fastai's `lr_find`) and plot the search.

    The rate rises batch by batch until the loss diverges. The weights stay as they were.

    Parameters
    ----------
    learn : MusicLearner
    path : str or Path
        The plot, a PNG.
    """
    from clara.rendering.plots import plot_lr_find

    with tempfile.TemporaryDirectory() as folder, learn.no_bar(), learn.no_logging():
        learn.path = Path(folder)  # where fastai keeps the weights meanwhile
        suggestion = learn.lr_find(show_plot=False).valley
    losses = [float(loss) for loss in learn.recorder.losses]
    plot_lr_find(learn.recorder.lrs, losses, suggestion, path)
    return suggestion
