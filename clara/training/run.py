"""A training run, from its settings to a finished run folder."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from clara.checkpoints.checkpoint import versions
from clara.checkpoints.shipped_models import MissingModel
from clara.data.corpus import Corpus
from clara.data.dataloaders import MusicDataLoaders
from clara.devices import choose_device
from clara.errors import BadSetting
from clara.files import lock_folder, make_folder
from clara.training.callbacks import CheckpointCallback, ProgressLogger
from clara.training.device_memory import OutOfDeviceMemory, is_out_of_memory, largest_batch_size, return_freed_memory
from clara.training.distributed import SINGLE_PROCESS, AverageGradients, World
from clara.training.learner import MusicLearner, find_lr, music_learner
from clara.training.resume_state import STATE, load_state
from clara.training.run_folder import finish_run_folder, start_run_folder, training_record, warn_of_performed
from clara.training.settings import TrainSettings
from clara.training.stages import fit_stages, plan_stages
from clara.wording import count_of

LR_FROM_SCRATCH, LR_FINE_TUNING = 3e-3, 1e-3
LR_PLOT = "lr_find.png"


def train(settings: TrainSettings, command: Sequence[Any] = (), world: World = SINGLE_PROCESS) -> bool:
    """Train a model and leave its run folder.

    Parameters
    ----------
    settings : TrainSettings
    command : sequence
        The words of the command line, for the record.
    world : World
        The processes that train together.

    Returns
    -------
    bool
        True if Ctrl-C ended the run early.

    Raises
    ------
    ClaraError
        If data, weights, settings or the run folder cannot be used.
    """
    _check(settings, world)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device, bf16, device_name = choose_device(settings.device, settings.precision)
    corpus = _load_corpus(settings)
    return_freed_memory()
    torch.manual_seed(settings.seed)
    dls = MusicDataLoaders.from_corpus(
        corpus,
        bs=settings.bs,
        seq_len=settings.bptt,
        device=device,
        seed=settings.seed,
        world=world,
        replay_corpus=settings.replay_data,
        replay_share=settings.replay_share,
    )
    settings = replace(settings, bs=dls.train.wanted_bs)
    learn = _make_learner(settings, dls, bf16)
    with _claim_folder(settings, command, world):
        return _train_in_folder(settings, corpus, learn, device_name, world)


def _train_in_folder(settings, corpus, learn, device_name, world):
    """Train, or search for a learning rate, in a folder that this run holds; return whether Ctrl-C ended it early."""
    _print_summary(settings, learn, device_name)
    if settings.find_lr:
        lr_plot = Path(settings.out) / LR_PLOT
        print(f"{lr_plot}: the loss falls fastest at about --lr {find_lr(learn, lr_plot):.1e}")
        return False
    learn.info = {"training": training_record(settings, corpus), "versions": versions()}
    interrupted = _fit(learn, settings, world)
    if world.is_rank0:
        figures = finish_run_folder(settings.out, corpus, learn.checkpoint.history, learn.dls.device, interrupted)
        print(f"{settings.out}: {figures}; compose with clara compose --model {settings.out}")
    return interrupted


def _check(settings, world):
    """Raise a ClaraError for settings that do not go together."""
    if not settings.pretrained and not settings.from_scratch:
        raise MissingModel(
            "no weights to start from: name a model with --pretrained MODEL, or start from random weights with "
            "--from-scratch"
        )
    if settings.find_lr and world.size > 1:
        raise BadSetting("--find-lr trains nothing: run it in a single process")


def _load_corpus(settings):
    """Return the corpus, in the encoding that the settings ask for."""
    corpus = Corpus.load(settings.data)
    if corpus.encoding.name != settings.encoding:
        raise BadSetting(f"{settings.data} is {corpus.encoding.name} text, --encoding says {settings.encoding}")
    return corpus


def _make_learner(settings, dls, bf16):
    """Return the learner with its starting weights."""
    pretrained = None if settings.from_scratch else settings.pretrained
    return music_learner(
        dls,
        settings.arch,
        pretrained,
        settings.model_config(),
        settings.drop_mult,
        adapt_vocab=True,
        alpha=settings.alpha,
        beta=settings.beta,
        clip=settings.clip,
        moms=settings.moms,
        wd=settings.wd,
        bf16=bf16,
        follow_plans=settings.follow_plans,
        path=settings.out,
        log=print if pretrained else (lambda message: None),
    )


@contextlib.contextmanager
def _claim_folder(settings, command, world):
    """Make the folder to write into and hold it; a search for a learning rate is no run, and leaves no record."""
    with contextlib.ExitStack() as held:
        if settings.find_lr:
            make_folder(settings.out)
        elif world.is_rank0:
            held.enter_context(lock_folder(make_folder(settings.out)))
            start_run_folder(settings, command)
        world.barrier()
        yield


def _print_summary(settings, learn, device_name):
    """Print what is about to be trained, on what; warn of performed music."""
    dls = learn.dls
    start = "from scratch" if settings.from_scratch else f"fine-tuning {settings.pretrained}"
    n_parameters = sum(p.numel() for p in learn.model.parameters())
    print(
        f"{device_name}; {dls.corpus.folder}: {count_of(len(dls.train.items), 'piece')}, "
        f"{count_of(dls.train.n_tokens, 'token')}; {start}, {n_parameters:,} parameters",
        flush=True,
    )
    if dls.valid_split == "train":
        print("no piece is held out (too few works): the valid figures below are those of the training pieces")
    warn_of_performed(dls.corpus)


def _fit(learn, settings, world):
    """Train through the stages, saving after each epoch; return True if Ctrl-C ended it."""
    is_fine_tuning = not settings.from_scratch
    is_gradual = is_fine_tuning and not settings.all_layers
    plan = plan_stages(
        settings.epochs,
        settings.lr or (LR_FINE_TUNING if is_fine_tuning else LR_FROM_SCRATCH),
        settings.schedule,
        len(learn.splitter(learn.model)),
        gradual=is_gradual,
    )
    history, opt_state = [], None
    state_path = Path(settings.out) / STATE
    if settings.resume and state_path.is_file():
        history, opt_state = load_state(learn, state_path)
        print(f"resuming after epoch {len(history)}")
    progress = _add_run_callbacks(learn, settings, world, plan, history)
    try:
        fit_stages(
            learn,
            plan,
            settings.seed,
            finished_epochs=len(history),
            opt_state=opt_state,
            discriminative=is_gradual,
            rank=world.rank,
        )
    except RuntimeError as e:
        if not is_out_of_memory(e):
            raise
        raise OutOfDeviceMemory(_describe_memory(learn, settings, world)) from e
    except KeyboardInterrupt:
        if not learn.checkpoint.history and world.is_rank0:
            save_model(learn, settings.out)
        return True
    finally:
        progress.close()
    return False


def _add_run_callbacks(learn, settings, world, plan, history):
    """Add the callbacks of a run to the learner; return the one that must be closed."""
    n_epochs = sum(stage.epochs for stage in plan)
    train_dl = learn.dls.train
    tokens_per_epoch = train_dl.bs * ((train_dl.n_tokens - 1) // train_dl.bs)
    progress = ProgressLogger((n_epochs - len(history)) * tokens_per_epoch, n_epochs, world)
    checkpoint = CheckpointCallback(settings.out, lambda *args: save_model(*args), history, settings.patience, world)
    learn.add_cbs([checkpoint, progress])
    if world.size > 1:
        learn.add_cb(AverageGradients(world))
    if settings.tensorboard and world.is_rank0:
        learn.add_cb(tensorboard_callback(Path(settings.out) / "tensorboard"))
    return progress


def save_model(learn: MusicLearner, folder: str | Path) -> None:
    """Save the model as it is now, ready to compose with."""
    learn.to_checkpoint().save(folder)


def tensorboard_callback(folder: Path):
    """Return fastai's callback that writes losses, rates and figures for TensorBoard, one run for each stage.

    Raises
    ------
    BadSetting
        If the package tensorboard is not installed.
    """
    try:
        from fastai.callback.tensorboard import TensorBoardCallback
    except ImportError as e:
        raise BadSetting("--tensorboard needs the package: pip install tensorboard") from e
    return TensorBoardCallback(folder, trace_model=False, log_preds=False)


def _describe_memory(learn, settings, world):
    """Return a message about a batch that did not fit, with a batch size that does."""
    fitting_bs = largest_batch_size(learn, settings.bs // world.size, settings.bptt) * world.size
    advice = f"--bs {fitting_bs} fits" if fitting_bs else "not even one stream fits: take a smaller net or --bptt"
    return f"{settings.bs} streams of {settings.bptt} tokens do not fit the memory of {learn.dls.device}; {advice}"
